"""State dicts of the public HARNet as variables of `sigjax.models.harnet.HarNet`.

The checkpoint `mtl_best.mdl` (Yuan et al. 2024; github.com/OxWearables/ssl-wearables,
for academic use) is HARNet10's backbone, `feature_extractor`, with the linear heads of
the three pretext tasks. A network that was fine-tuned there has a `classifier` instead.
The backbone is converted; the heads are left out, and named.

  theirs                           ours
  layerI.0.weight                  stageI/conv/kernel
  layerI.J.bn1, .conv1, ...        stageI/blockJ/norm1, /conv1, ...
  layerI.M.weight, .running_mean   stageI/norm/scale, batch_stats stageI/norm/mean
  layerI.K.kernel                  a constant (`blur_kernel`); compared
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from sigjax.convert.pickles import WeightsError
from sigjax.models.harnet import KERNEL, HarNetConfig, blur_kernel

_BACKBONE = "feature_extractor."
# Arrow of time, scaling, permutation, time warping; and what fine-tuning put there.
_HEADS = ("aot_h.", "scale_h.", "permute_h.", "time_w_h.", "classifier.")
_NORM = {
    "weight": ("params", "scale"),
    "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}


class HarNetWeights(NamedTuple):
    """A converted network.

    Attributes:
      config: Its architecture.
      params: Float32 parameters, nested.
      batch_stats: Float32 running means and variances, nested.
      ignored: Names of what is not part of the backbone.
    """

    config: HarNetConfig
    params: dict[str, Any]
    batch_stats: dict[str, Any]
    ignored: tuple[str, ...]


class _Target(NamedTuple):
    collection: str
    path: tuple[str, ...]
    shape: tuple[int, ...]  # in the state dict


def convert_harnet(
    state: Mapping[str, np.ndarray], config: HarNetConfig | None = None
) -> HarNetWeights:
    """Sorts a state dict's arrays into our variables.

    Args:
      state: Arrays by name, as `read_state_dict` gives them: of the whole network, or
        of its `feature_extractor` alone.
      config: The architecture that the weights must fit; HARNet10 by default.

    Raises:
      WeightsError: Names are missing or unknown, or an array has another shape or
        holds what is no finite number; the message names them.
    """
    config = HarNetConfig() if config is None else config
    backbone, ignored = _backbone(state)
    targets = _targets(config)
    optional = _constants(config)
    counters = {
        name.replace(".running_mean", ".num_batches_tracked") for name in targets
    }
    missing = [name for name in targets if name not in backbone]
    unknown = sorted(backbone.keys() - targets.keys() - optional.keys() - counters)
    if missing or unknown:
        wrong = [
            _listed("it lacks", missing),
            _listed("it has, unexpectedly,", unknown),
        ]
        text = "; ".join(part for part in wrong if part)
        raise WeightsError(f"this is no HARNet of the expected size: {text}")
    _check_constants(backbone, optional)
    trees: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for name, target in targets.items():
        value = _checked(name, backbone[name], target.shape)
        node = trees[target.collection]
        for part in target.path[:-1]:
            node = node.setdefault(part, {})
        node[target.path[-1]] = value
    return HarNetWeights(config, trees["params"], trees["batch_stats"], ignored)


def _backbone(
    state: Mapping[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    if not any(name.startswith(_BACKBONE) for name in state):
        return dict(state), ()
    inside = {
        name.removeprefix(_BACKBONE): value
        for name, value in state.items()
        if name.startswith(_BACKBONE)
    }
    outside = tuple(sorted(name for name in state if not name.startswith(_BACKBONE)))
    strange = [name for name in outside if not name.startswith(_HEADS)]
    if strange:
        raise WeightsError(
            f"this is no HARNet: beside backbone and heads it {_listed('has', strange)}"
        )
    return inside, outside


def _targets(config: HarNetConfig) -> dict[str, _Target]:
    """Where each array of a backbone goes."""
    found: dict[str, _Target] = {}

    def convolution(name: str, before: int, width: int, *path: str) -> None:
        found[f"{name}.weight"] = _Target(
            "params", (*path, "kernel"), (width, before, KERNEL)
        )

    def norm(name: str, width: int, *path: str) -> None:
        for theirs, (collection, ours) in _NORM.items():
            found[f"{name}.{theirs}"] = _Target(collection, (*path, ours), (width,))

    before = config.channels
    for i, (width, blocks) in enumerate(
        zip(config.widths, config.blocks, strict=True), 1
    ):
        layer, stage = f"layer{i}", f"stage{i}"
        convolution(f"{layer}.0", before, width, stage, "conv")
        for j in range(1, blocks + 1):
            for half in ("1", "2"):
                norm(f"{layer}.{j}.bn{half}", width, stage, f"block{j}", f"norm{half}")
                convolution(
                    f"{layer}.{j}.conv{half}",
                    width,
                    width,
                    *(stage, f"block{j}", f"conv{half}"),
                )
        norm(f"{layer}.{blocks + 1}", width, stage, "norm")
        before = width
    return found


def _constants(config: HarNetConfig) -> dict[str, np.ndarray]:
    """The blurs' buffers, `[width, 1, kernel]`: the ReLU before them has no arrays."""
    stages = zip(
        config.widths, config.blocks, config.factors, config.orders, strict=True
    )
    return {
        f"layer{i}.{blocks + 3}.kernel": np.tile(blur_kernel(f, o), (width, 1, 1))
        for i, (width, blocks, f, o) in enumerate(stages, 1)
    }


def _check_constants(
    backbone: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]
) -> None:
    for name in expected.keys() & backbone.keys():
        value = _checked(name, backbone[name], expected[name].shape)
        if not np.allclose(value, expected[name].T, atol=1e-6):
            raise WeightsError(f"{name} is another downsampling filter than HARNet's")


def _checked(name: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Float32, with PyTorch's (out, in, width) turned to (width, in, out)."""
    if value.shape != shape:
        raise WeightsError(f"{name} has shape {value.shape}, expected {shape}")
    array = np.ascontiguousarray(value.astype(np.float32).T)
    if not np.isfinite(array).all():
        raise WeightsError(f"{name} holds values that are no finite numbers")
    return array


def _listed(what: str, names: list[str], most: int = 6) -> str:
    if not names:
        return ""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{what} {', '.join(names[:most])}{more}"
