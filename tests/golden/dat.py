"""Writes dat.npz beside it: what the public DAT makes of weights that tests rebuild.

    python -m tests.golden.dat --dat_v1=DIR --dat_pp=DIR

DIR are checkouts of github.com/LeapLabTHU/DAT, 566a593 and 32173fc. Needs torch and
einops; the three helpers of timm that it imports, and NATTEN's functions, are stood in
for below. All is computed in float64.

Weights are no part of the file: `drawn` gives them by name and shape, from NumPy's
legacy generator, whose numbers do not change. Of each case the file has

  CASE/names, CASE/shapes   of the state dict, in order
  CASE/y                    the output: a layer's map [c, h, w], a network's features
  CASE/slopes               of each name, the gradient of (y * drawn).sum() by that
                            array times another drawn array, summed; 0 for buffers
  CASE/slope_x              the same of the input
"""

import argparse
import importlib
import pathlib
import sys
import types

import numpy as np
import torch
from torch import nn

from tests.golden.drawn import drawn

HERE = pathlib.Path(__file__).parent


# Layers: kind, channels, heads, rows, columns and what else they take.
LAYERS = {
    "v1 D": ("D", 8, 4, 5, 8, dict(groups=2, stride=1, factor=2.0, ksize=5)),
    "v1 D lepe": (
        "D",
        8,
        2,
        6,
        5,
        dict(groups=2, stride=1, factor=2.0, ksize=3, lepe=True),
    ),
    "v1 S": ("S", 8, 2, 9, 6, {}),
    "pp D": ("D", 8, 2, 9, 6, dict(groups=2, stride=2, factor=1.5, ksize=2)),
    "pp N": ("N", 8, 2, 2, 12, {}),
}
WINDOW = 3
# Of the networks' pictures; published code of ++ divides by 0 in maps of one row.
SIDES = {"v1": 32, "pp": 64}
NETWORKS = {
    "v1 network": dict(
        dims=[8, 16, 32, 64],
        depths=[1, 1, 1, 1],
        stage_spec=[["L"], ["S"], ["D"], ["D"]],
        heads=[1, 2, 4, 8],
        groups=[-1, -1, 2, 4],
        window_sizes=[2, 2, 2, 1],
        use_pes=[False, False, True, True],
        strides=[-1, -1, 1, 1],
        offset_range_factor=[-1, -1, 2, 2],
    ),
    "pp network": dict(
        dims=[8, 16, 32, 64],
        depths=[1, 1, 1, 1],
        stage_spec=[["N"], ["D"], ["N"], ["D"]],
        heads=[1, 2, 4, 8],
        groups=[1, 2, 2, 4],
        use_pes=[True] * 4,
        strides=[8, 4, 2, 1],
        offset_range_factor=[-1] * 4,
        use_dwc_mlps=[True] * 4,
        use_lpus=[True] * 4,
        use_conv_patches=True,
        nat_ksizes=[3, 3, 3, 3],
    ),
}


def stand_in() -> None:
    """Modules that the public code imports and that torch lacks."""
    layers = types.ModuleType("timm.models.layers")
    layers.to_2tuple = lambda x: x if isinstance(x, tuple) else (x, x)
    layers.trunc_normal_ = nn.init.trunc_normal_
    layers.DropPath = nn.Dropout
    functional = types.ModuleType("natten.functional")
    functional.NATTEN2DQKRPBFunction = types.SimpleNamespace(apply=neighbour_logits)
    functional.NATTEN2DAVFunction = types.SimpleNamespace(apply=neighbour_values)
    for name in ("timm", "timm.models", "natten"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["timm.models.layers"] = layers
    sys.modules["natten.functional"] = functional


def around(size: int, taps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """NATTEN's neighbours of each cell of an axis, and their rows of the table."""
    at = torch.arange(size)
    found = (at - taps // 2).clamp(0, size - taps)[:, None] + torch.arange(taps)
    return found, found - at[:, None] + taps - 1


def neighbour_logits(q, k, table, taps, dilation):
    """Queries times keys of their neighbourhoods, plus the table's bias."""
    assert dilation == 1
    (y, below), (x, right) = (around(size, taps) for size in q.shape[2:4])
    near = k[:, :, y][:, :, :, :, x]
    bias = table[:, below][:, :, :, right].permute(0, 1, 3, 2, 4)
    return (torch.einsum("bhijc,bhiajec->bhijae", q, near) + bias).flatten(-2)


def neighbour_values(weights, v, taps, dilation):
    """Sums of neighbourhoods' values."""
    assert dilation == 1
    (y, _), (x, _) = (around(size, taps) for size in v.shape[2:4])
    weights = weights.unflatten(-1, (taps, taps))
    near = v[:, :, y][:, :, :, :, x]
    return torch.einsum("bhijae,bhiajec->bhijc", weights, near)


def layer(case: str, module: types.ModuleType, nat: types.ModuleType | None):
    kind, width, heads, rows, columns, more = LAYERS[case]
    if kind == "L":
        return module.LocalAttention(width, heads, WINDOW, 0.0, 0.0)
    if kind == "S":
        return module.ShiftWindowAttention(
            width, heads, WINDOW, 0.0, 0.0, -(-WINDOW // 2), (rows, columns)
        )
    if kind == "N":
        return nat.NeighborhoodAttention2D(width, 3, heads)
    size = (rows, columns)
    taps, lepe = more["ksize"], more.get("lepe", False)
    last = (taps, False) if case.startswith("pp") else ([9, 7, 5, 3].index(taps),)
    return module.DAttentionBaseline(
        *(size, size, heads, width // heads, more["groups"], 0.0, 0.0),
        *(more["stride"], more["factor"], True, lepe, False, False, *last),
    )


def record(found: dict, case: str, module: nn.Module, x: torch.Tensor, run) -> None:
    state = module.state_dict()
    buffers = {name for name, _ in module.named_buffers()}
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.tensor(drawn(name, tuple(parameter.shape))))
    x.requires_grad_()
    y = run(x)
    (y * torch.tensor(drawn("y", tuple(y.shape), "cotangent"))).sum().backward()

    def slope(name, tensor):
        direction = torch.tensor(drawn(name, tuple(tensor.shape), "direction"))
        return 0.0 if tensor.grad is None else float((tensor.grad * direction).sum())

    parameters = dict(module.named_parameters())
    slopes = [
        0.0 if name in buffers else slope(name, parameters[name]) for name in state
    ]
    found[f"{case}/names"] = np.array(list(state))
    found[f"{case}/shapes"] = np.array(
        [" ".join(map(str, value.shape)) for value in state.values()]
    )
    found[f"{case}/y"] = y.detach().numpy()[0]
    found[f"{case}/slopes"] = np.array(slopes)
    found[f"{case}/slope_x"] = np.array(slope("x", x))


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--dat_v1", required=True)
    flags.add_argument("--dat_pp", required=True)
    args = flags.parse_args()
    stand_in()
    torch.set_default_dtype(torch.float64)
    found: dict[str, np.ndarray] = {}
    for variant, folder in (("v1", args.dat_v1), ("pp", args.dat_pp)):
        package = types.ModuleType(f"dat_{variant}")
        package.__path__ = [str(pathlib.Path(folder) / "models")]
        sys.modules[package.__name__] = package
        dat = importlib.import_module(f"{package.__name__}.dat")
        blocks = importlib.import_module(f"{package.__name__}.dat_blocks")
        nat = None
        if variant == "pp":
            nat = importlib.import_module(f"{package.__name__}.nat")
        for case in LAYERS:
            if case.startswith(variant):
                _, width, _, rows, columns, _ = LAYERS[case]
                module = layer(case, blocks, nat)
                x = torch.tensor(drawn(case, (1, width, rows, columns), "input"))
                record(found, case, module, x, lambda x, m=module: m(x)[0])
        case = f"{variant} network"
        module = dat.DAT(
            img_size=SIDES[variant], num_classes=3, dim_stem=8, **NETWORKS[case]
        ).eval()
        kept = {}
        module.cls_norm.register_forward_hook(
            lambda _, __, y, kept=kept: kept.update(map=y)
        )
        x = torch.tensor(drawn(case, (1, 1, *[SIDES[variant]] * 2), "input"))

        def run(x, module=module, kept=kept):
            module(x.expand(-1, 3, -1, -1))
            return kept["map"].mean(dim=(2, 3))

        record(found, case, module, x, run)
    np.savez_compressed(HERE / "dat.npz", **found)


if __name__ == "__main__":
    main()
