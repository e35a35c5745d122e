"""Weights of DAT and DAT++ as variables of `sigjax.models.dat.Dat`.

State dicts of github.com/LeapLabTHU/DAT: the CVPR paper's ("v1") and ++ ("pp"), told
apart and measured by their names and shapes. What those do not say is that of the
public configs: strides 8, 4, 2, 1 and no limit of offsets in ++, stride 1 and a factor
of 2 in v1.

  theirs                              ours
  patch_proj.0, .1.norm               stem, stem_norm (++: 0, 1, 3, 4 to stem1 ...)
  down_projs.I.0, .1.norm             downI+1, downI+1_norm
  stages.I                            stageI+1_blockJ+1, for each block J:
    .layer_norms.2J, .2J+1.norm         norm1, norm2
    .local_perception_units.J           perception (++)
    .attns.J.proj_qkv, .proj_out        attention/qkv, out        (L, S)
    .attns.J.qkv, .proj, .rpb           attention/qkv, out, table (N)
    .attns.J.proj_q, _k, _v, _out       attention/q, k, v, out    (D)
    .attns.J.conv_offset.0, .1, .3      attention/offsets         (D)
    .attns.J.rpe_table                  attention/table           (D)
    .mlps.J                             mlp/up, down, depthwise (++)
  cls_norm.norm                       norm
  cls_head                            left out

The rule for spectrograms: the stem's kernel is summed over the colours, so that a
spectrogram counts as a grey picture does; rows are frequency, columns time; tables of
deformable attention are resized, each axis by itself, bicubically as DAT's own code
does for square ones (`sigjax.nn.deformable.resize_table`): from 27 x 27 to 15 x 127 and
from 13 x 13 to 7 x 63 for v1 at 128 bands and 1024 frames. Windows and neighbourhoods
keep their tables. Buffers (`relative_position_index`, `attn_mask`) hold no weights.
"""

import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from etils import epath

from sigjax.convert.audio import AudioWeights, check_names, checked, weights_file
from sigjax.convert.pickles import WeightsError
from sigjax.convert.torch_files import read_state_dict
from sigjax.models.dat import DatConfig, Variant
from sigjax.nn.deformable.tables import cubic_matrix
from sigjax.signal.fbank import STATISTICS, FbankConfig

State = Mapping[str, np.ndarray]

_BUFFERS = ("relative_position_index", "attn_mask", "q_grid", "reference")
_HEAD = "cls_head."
# Drop path of the public configs; it is no weight.
_DROP_PATH = {
    ("v1", 96, 6): 0.2,
    ("v1", 96, 18): 0.3,
    ("v1", 128, 18): 0.5,
    ("pp", 64, 18): 0.2,
    ("pp", 96, 18): 0.4,
    ("pp", 128, 18): 0.7,
}


def read_dat(
    path: epath.PathLike, *, frames: int | None = None, bands: int | None = None
) -> AudioWeights:
    """Reads a checkpoint; see `convert_dat`.

    Raises:
      WeightsError: It cannot be read, or is of another network.
      FileNotFoundError: If there is no such file.
    """
    state = read_state_dict(weights_file(path))
    return convert_dat(state, frames=frames, bands=bands)


def convert_dat(
    state: State, *, frames: int | None = None, bands: int | None = None
) -> AudioWeights:
    """Sorts a state dict's arrays into our parameters.

    Args:
      state: Arrays by name, as `read_state_dict` gives them.
      frames: Of the spectrograms that it shall take. If None, 1024 for a network of
        pictures, else what its tables are of.
      bands: Likewise; 128 for a network of pictures.

    Raises:
      WeightsError: Names are missing or unknown, an array has another shape or holds
        what is no finite number; the message says which.
    """
    config = config_of(state)
    ignored = tuple(
        sorted(n for n in state if n.startswith(_HEAD) or n.endswith(_BUFFERS))
    )
    kept = {name: value for name, value in state.items() if name not in ignored}
    places = targets(config)
    check_names(f"DAT of variant {config.variant}", kept, places)
    pictures = kept["patch_proj.0.weight"].shape[1] > 1
    own = _own_size(kept, config)
    if own is None and None in (frames, bands) and not pictures:
        raise WeightsError(
            "it has no bias tables that say its size: name frames, bands"
        )
    size = own or (1024, 128)
    if pictures:
        size = (1024, 128)
    size = (frames or size[0], bands or size[1])
    notes = [f"stem summed over {kept['patch_proj.0.weight'].shape[1]} colours"]
    notes = notes if pictures else []
    params: dict[str, Any] = {}
    for name, target in places.items():
        _put(params, target, _turned(name, kept[name], target))
    notes += _resize_tables(params, config, size)
    mean, std = STATISTICS["audioset"]
    fbank = FbankConfig(n_mels=size[1])
    return AudioWeights(
        config=config,
        params=params,
        preprocessing={
            "fbank": dataclasses.asdict(fbank),
            "frames": size[0],
            "mean": float(mean),
            "std": float(std),
        },
        ignored=ignored,
        notes=tuple(notes),
    )


def config_of(state: State) -> DatConfig:
    """The architecture that names and shapes of a state dict tell.

    Raises:
      WeightsError: They are of no DAT.
    """
    found = [re.match(r"stages\.(\d+)\.attns\.(\d+)\.", name) for name in state]
    places = {(int(m[1]), int(m[2])) for m in found if m}
    if not places or "patch_proj.0.weight" not in state:
        raise WeightsError(
            "this is no DAT: it lacks patch_proj.0.weight or stages.0.attns.0"
        )
    stages = 1 + max(stage for stage, _ in places)
    depths = [sum(s == stage for s, _ in places) for stage in range(stages)]
    variant: Variant = "pp" if "patch_proj.3.weight" in state else "v1"
    try:
        found = [_stage(state, i, depth) for i, depth in enumerate(depths)]
    except (KeyError, IndexError, ValueError) as error:
        raise WeightsError(f"this is no DAT: it lacks {error}") from None
    blocks, widths, heads, groups, taps, window = zip(*found, strict=True)
    windows = {size for size in window if size}
    if len(windows) > 1:
        raise WeightsError(f"its windows have several sizes: {sorted(windows)}")
    window = windows.pop() if windows else 7
    key = (variant, widths[0], max(depths))
    try:
        return DatConfig(
            variant=variant,
            convention=variant,
            widths=widths,
            blocks=blocks,
            heads=heads,
            groups=groups,
            taps=taps,
            strides=(8, 4, 2, 1)[-stages:] if variant == "pp" else (1,) * stages,
            offset_factor=2.0 if variant == "v1" else -1.0,
            window=window,
            neighbourhood=window,
            shift=math.ceil(window / 2),
            drop_path=_DROP_PATH.get(key, 0.0),
        )
    except ValueError as error:
        raise WeightsError(f"this is no DAT that we know: {error}") from None


def _stage(state: State, stage: int, depth: int) -> tuple[str, int, int, int, int, int]:
    """Letters, width, heads, groups, taps and window of a stage."""
    start = f"stages.{stage}"
    width = len(state[f"{start}.layer_norms.0.norm.weight"])
    masks = any(name.endswith("attn_mask") for name in state)
    letters, heads, groups, window = "", 0, 1, 0
    taps = (9, 7, 5, 3)[stage]
    windowed = all(
        f"{start}.attns.{i}.relative_position_bias_table" in state for i in range(depth)
    )
    for i in range(depth):
        attention = f"{start}.attns.{i}"
        if f"{attention}.proj_q.weight" in state:
            letters += "D"
            heads = len(state[f"{attention}.rpe_table"])
            kernel = state[f"{attention}.conv_offset.0.weight"].shape
            groups, taps = width // kernel[0], kernel[-1]
        elif f"{attention}.rpb" in state:
            letters += "N"
            heads = len(state[f"{attention}.rpb"])
            window = (state[f"{attention}.rpb"].shape[-1] + 1) // 2
        else:
            rows, heads = state[f"{attention}.relative_position_bias_table"].shape
            window = (math.isqrt(rows) + 1) // 2
            # Shifted windows have the same arrays but for a buffer; where buffers were
            # left out, they are every second block of a stage of windows.
            shifted = f"{attention}.attn_mask" in state
            letters += "S" if shifted or (not masks and windowed and i % 2) else "L"
    return letters, width, heads, groups, taps, window


@dataclasses.dataclass(frozen=True)
class _Target:
    """Where an array goes: its path, the shape expected there, and how it is turned."""

    path: tuple[str, ...]
    shape: tuple[int, ...] | None  # of theirs; None where it depends on the map
    turn: Callable[[np.ndarray], np.ndarray] = lambda x: x


def _matrix(x: np.ndarray) -> np.ndarray:
    return x.reshape(x.shape[:2]).T


def _kernel(x: np.ndarray) -> np.ndarray:
    return x.transpose(2, 3, 1, 0)


def _summed(x: np.ndarray) -> np.ndarray:
    return _kernel(x.sum(axis=1, keepdims=True))


class _Targets:
    """Collects the targets of a network."""

    def __init__(self):
        self.found: dict[str, _Target] = {}

    def one(self, name, path, shape, turn=lambda x: x):
        self.found[name] = _Target(path, shape, turn)

    def norm(self, name, path, width):
        self.one(f"{name}.norm.weight", (*path, "scale"), (width,))
        self.one(f"{name}.norm.bias", (*path, "bias"), (width,))

    def linear(self, name, path, before, after, *, spatial=False):
        shape = (after, before, 1, 1) if spatial else (after, before)
        self.one(f"{name}.weight", (*path, "kernel"), shape, _matrix)
        self.one(f"{name}.bias", (*path, "bias"), (after,))

    def convolution(self, name, path, shape, *, bias=True, turn=_kernel):
        self.one(f"{name}.weight", (*path, "kernel"), shape, turn)
        if bias:
            self.one(f"{name}.bias", (*path, "bias"), (shape[0],))


def targets(config: DatConfig) -> dict[str, _Target]:
    """Where each array of a state dict of this architecture goes."""
    t, pp = _Targets(), config.variant == "pp"
    width = config.widths[0]
    if pp:
        half = width // 2
        t.convolution("patch_proj.0", ("stem1",), (half, None, 3, 3), turn=_summed)
        t.norm("patch_proj.1", ("stem_norm1",), half)
        t.convolution("patch_proj.3", ("stem2",), (width, half, 3, 3))
        t.norm("patch_proj.4", ("stem_norm2",), width)
    else:
        t.convolution("patch_proj.0", ("stem",), (width, None, 4, 4), turn=_summed)
        t.norm("patch_proj.1", ("stem_norm",), width)
    for i, (letters, width) in enumerate(
        zip(config.blocks, config.widths, strict=True)
    ):
        if i:
            taps = 3 if pp else 2
            shape = (width, config.widths[i - 1], taps, taps)
            t.convolution(f"down_projs.{i - 1}.0", (f"down{i}",), shape, bias=False)
            t.norm(f"down_projs.{i - 1}.1", (f"down{i}_norm",), width)
        for j, letter in enumerate(letters):
            _block(t, config, i, j, letter)
    t.norm("cls_norm", ("norm",), config.widths[-1])
    return t.found


def _block(t: _Targets, config: DatConfig, i: int, j: int, letter: str) -> None:
    stage, path = f"stages.{i}", (f"stage{i + 1}_block{j + 1}",)
    width, hidden = config.widths[i], config.mlp_ratio * config.widths[i]
    pp = config.variant == "pp"
    for k in (0, 1):
        t.norm(f"{stage}.layer_norms.{2 * j + k}", (*path, f"norm{k + 1}"), width)
    mlp = f"{stage}.mlps.{j}"
    first, second = (
        ("linear1.0", "linear2.0")
        if pp
        else (
            "chunk.linear1",
            "chunk.linear2",
        )
    )
    t.linear(f"{mlp}.{first}", (*path, "mlp", "up"), width, hidden, spatial=pp)
    t.linear(f"{mlp}.{second}", (*path, "mlp", "down"), hidden, width, spatial=pp)
    if pp:
        shape = (hidden, 1, 3, 3)
        t.convolution(f"{mlp}.dwc", (*path, "mlp", "depthwise"), shape)
        unit = f"{stage}.local_perception_units.{j}"
        t.convolution(unit, (*path, "perception"), (width, 1, 3, 3))
    name, path, heads = f"{stage}.attns.{j}", (*path, "attention"), config.heads[i]
    if letter == "D":
        _deformable(t, config, i, name, path)
        return
    if letter == "N":
        t.linear(f"{name}.qkv", (*path, "qkv"), width, 3 * width)
        t.linear(f"{name}.proj", (*path, "out"), width, width)
        size = 2 * config.neighbourhood - 1
        t.one(f"{name}.rpb", (*path, "table"), (heads, size, size))
        return
    t.linear(f"{name}.proj_qkv", (*path, "qkv"), width, 3 * width)
    t.linear(f"{name}.proj_out", (*path, "out"), width, width)
    shape = ((2 * config.window - 1) ** 2, heads)
    t.one(f"{name}.relative_position_bias_table", (*path, "table"), shape)


def _deformable(t: _Targets, config: DatConfig, i: int, name: str, path) -> None:
    width, taps = config.widths[i], config.taps[i]
    group = width // config.groups[i]
    for part in "q", "k", "v", "out":
        t.linear(f"{name}.proj_{part}", (*path, part), width, width, spatial=True)
    offsets = (*path, "offsets")
    t.convolution(f"{name}.conv_offset.0", offsets, (group, 1, taps, taps))
    t.norm(f"{name}.conv_offset.1", (*offsets, "norm"), group)
    t.one(
        f"{name}.conv_offset.3.weight", (*offsets, "points"), (2, group, 1, 1), _matrix
    )
    t.one(f"{name}.rpe_table", (*path, "table"), None)


def _turned(name: str, value: np.ndarray, target: _Target) -> np.ndarray:
    shape = value.shape if target.shape is None else target.shape
    if len(shape) == value.ndim:
        pairs = zip(shape, value.shape, strict=True)
        shape = tuple(have if want is None else want for want, have in pairs)
    return np.ascontiguousarray(target.turn(checked(name, value, shape)))


def _put(tree: dict[str, Any], target: _Target, value: np.ndarray) -> None:
    for part in target.path[:-1]:
        tree = tree.setdefault(part, {})
    tree[target.path[-1]] = value


def _own_size(state: State, config: DatConfig) -> tuple[int, int] | None:
    """Frames and bands that the first table is of; None without deformable layers."""
    for i, letters in enumerate(config.blocks):
        if "D" in letters:
            table = state[f"stages.{i}.attns.{letters.index('D')}.rpe_table"]
            rows, columns = ((n + 1) // 2 * 4 * 2**i for n in table.shape[-2:])
            return columns, rows
    return None


def _resize_tables(
    params: dict[str, Any], config: DatConfig, size: tuple[int, int]
) -> list[str]:
    """Brings tables to maps of `size` (frames, bands) in place; says what changed."""
    frames, bands = size
    notes = []
    for i, letters in enumerate(config.blocks):
        cell = 4 * 2**i
        shape = tuple(2 * -(-n // cell) - 1 for n in (bands, frames))
        before = set()
        for j, letter in enumerate(letters):
            if letter != "D":
                continue
            layer = params[f"stage{i + 1}_block{j + 1}"]["attention"]
            if layer["table"].shape[1:] != shape:
                before.add(layer["table"].shape[1:])
                layer["table"] = _resized(layer["table"], shape)
        notes += [
            "position tables of stage {}: {} x {} -> {} x {}, bicubic".format(
                i + 1, *old, *shape
            )
            for old in sorted(before)
        ]
    return notes


def _resized(table: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    rows, columns = (
        cubic_matrix(before, after)
        for before, after in zip(table.shape[1:], shape, strict=True)
    )
    found = np.einsum("ua,hab,vb->huv", rows, table.astype(np.float64), columns)
    return found.astype(np.float32)
