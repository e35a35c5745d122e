"""Weights of Audio Spectrogram Transformers as variables of `sigjax.models.ast.Ast`.

Three kinds of state dicts, told apart by their names:

  transformers   `ASTForAudioClassification` or `ASTModel`: a file with `config.json`
                 beside it; labels come from there, statistics from
                 `preprocessor_config.json`. Names of all versions are read.
  AST's own      `.pth` of github.com/YuanGongND/ast: `v.blocks.0...`, `mlp_head...`.
                 Frames and strides are known by the number of positions.
  DeiT           distilled, of ImageNet, as timm and facebookresearch/deit give them
                 out: made into a network of spectrograms as AST's code does it.

The rule for DeiT: the stem's kernel is summed over the colours, so that a spectrogram
counts as a grey picture does; rows are frequency, columns time; the square table of
positions is cut in the middle where the new one is shorter and interpolated bilinearly
where it is longer (`resize_positions`), 24 x 24 to 12 x 101 for 10 s; ImageNet's heads
are left out. The same rule resizes positions for other frames and bands.

  theirs (DeiT's names)       ours
  patch_embed.proj.weight     patch/kernel: [d, c, 16, 16] to [256, d], frequency slow
  cls_token, dist_token       class_token, distillation_token
  pos_embed                   token_positions (the first two), positions [f, t, d]
  blocks.I.norm1, .norm2      blocks/attention_norm, mlp_norm, layer I of the stack
  blocks.I.attn.qkv, .proj    blocks/attention/qkv (head by head), /out
  blocks.I.mlp.fc1, .fc2      blocks/mlp_up, mlp_down
  norm                        norm
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from sigjax.convert.ast_layout import (
    Layout,
    State,
    config_of_settings,
    config_of_shapes,
    config_with,
    labels_of,
    layout_of,
    preprocessing_of,
    target_of,
)
from sigjax.convert.audio import (
    AudioWeights,
    beside,
    check_names,
    checked,
    weights_file,
)
from sigjax.convert.pickles import WeightsError
from sigjax.convert.torch_files import read_state_dict
from sigjax.models.ast import AstConfig, resize_positions


def read_ast(
    path: epath.PathLike, *, frames: int | None = None, bands: int | None = None
) -> AudioWeights:
    """Reads a checkpoint, or the folder of a snapshot; see `convert_ast`.

    Raises:
      WeightsError: It cannot be read, or is of another network.
      FileNotFoundError: If there is no such file.
    """
    return convert_ast(
        read_state_dict(weights_file(path)),
        settings=beside(path, "config.json"),
        extractor=beside(path, "preprocessor_config.json"),
        frames=frames,
        bands=bands,
    )


def convert_ast(
    state: State,
    *,
    settings: Mapping[str, Any] | None = None,
    extractor: Mapping[str, Any] | None = None,
    frames: int | None = None,
    bands: int | None = None,
) -> AudioWeights:
    """Sorts a state dict's arrays into our parameters.

    Args:
      state: Arrays by name, as `read_state_dict` gives them.
      settings: `config.json` of transformers; read for its state dicts alone.
      extractor: `preprocessor_config.json` of transformers, likewise.
      frames: Of the spectrograms that it shall take; the checkpoint's own if None, and
        1024 for DeiT.
      bands: Likewise; 128 for DeiT.

    Raises:
      WeightsError: Names are missing or unknown, an array has another shape or holds
        what is no finite number, or the settings do not fit; the message says which.
    """
    layout = layout_of(state)
    outside = tuple(layout.body(name) for name in layout.ignored)
    ignored = tuple(sorted(name for name in state if name.startswith(outside)))
    kept = {name: value for name, value in state.items() if name not in ignored}
    own, grid = _own_size(kept, layout, settings, frames, bands)
    params = _params(kept, layout, own, grid)
    notes = []
    if layout.colours > 1:
        notes.append(f"stem summed over {layout.colours} colours")
    size = {"frames": frames or own.frames, "bands": bands or own.bands}
    made = config_with(**(dataclasses.asdict(own) | size))
    if made.grid != grid:
        params["positions"] = resize_positions(params["positions"], made.grid)
        notes.append(
            "positions {} x {} -> {} x {}: the middle where shorter, bilinear where"
            " longer".format(*grid, *made.grid)
        )
    head = _head(kept, layout, own.width)
    labels = labels_of(settings) if layout.described and settings and head else None
    if head and labels and len(labels) != len(head["logits"]["bias"]):
        raise WeightsError(
            f"its head has {len(head['logits']['bias'])} classes, but id2label of"
            f" config.json names {len(labels)}"
        )
    return AudioWeights(
        config=made,
        params=params,
        preprocessing=preprocessing_of(made, extractor if layout.described else None),
        head=head,
        head_eps=own.norm_eps if layout.described else layout.eps[1],
        labels=labels,
        target=target_of(settings if layout.described else None, head),
        ignored=ignored,
        notes=tuple(notes),
    )


def _own_size(
    state: State,
    layout: Layout,
    settings: Mapping[str, Any] | None,
    frames: int | None,
    bands: int | None,
) -> tuple[AstConfig, tuple[int, int]]:
    """The checkpoint's architecture and grid of positions; its names are checked."""
    if layout.described and settings is None:
        raise WeightsError("config.json is not beside it: fetch it, too")
    described = config_of_settings(settings) if layout.described and settings else None
    depth = described.depth if described else max(layout.depth(state), 1)
    names = [layout.body(name) for name in (*layout.tokens, layout.positions)]
    for layer in layout.layers(depth, head=_has_head(state, layout)):
        names += [f"{layer}.weight", f"{layer}.bias"]
    check_names(layout.what, state, names)
    if described:
        return described, described.grid
    return config_of_shapes(state, layout, frames, bands)


def _has_head(state: State, layout: Layout) -> bool:
    return layout.head is not None and any(n.startswith(layout.head) for n in state)


def _params(
    state: State, layout: Layout, config: AstConfig, grid: tuple[int, int]
) -> dict[str, Any]:
    """Our parameters, with positions as they are and colours summed."""
    c, d = config, config.width

    def array(name: str, *shape: int) -> np.ndarray:
        whole = layout.body(name)
        return checked(whole, state[whole], shape)

    def dense(name: str, before: int, after: int) -> dict[str, np.ndarray]:
        kernel = array(f"{name}.weight", after, before).T
        return {"kernel": kernel, "bias": array(f"{name}.bias", after)}

    def norm(name: str) -> dict[str, np.ndarray]:
        return {"scale": array(f"{name}.weight", d), "bias": array(f"{name}.bias", d)}

    def block(i: int) -> dict[str, Any]:
        start = layout.block.format(i)
        width = 3 * d // len(layout.qkv)
        parts = [dense(start + name, d, width) for name in layout.qkv]
        both = {key: np.concatenate([p[key] for p in parts], -1) for key in parts[0]}
        # From q k v, each head by head, to heads, each q k v.
        both = {
            key: x.reshape(*x.shape[:-1], 3, c.heads, -1)
            .swapaxes(-3, -2)
            .reshape(x.shape)
            for key, x in both.items()
        }
        return {
            "attention_norm": norm(start + layout.norms[0]),
            "attention": {"qkv": both, "out": dense(start + layout.out, d, d)},
            "mlp_norm": norm(start + layout.norms[1]),
            "mlp_up": dense(start + layout.mlp[0], d, c.mlp),
            "mlp_down": dense(start + layout.mlp[1], c.mlp, d),
        }

    stem = array(f"{layout.patch}.weight", d, layout.colours, c.patch, c.patch)
    positions = array(layout.positions, 1, 2 + math.prod(grid), d)[0]
    tokens = (array(name, 1, 1, d)[0, 0] for name in layout.tokens)
    return {
        "patch": {
            "kernel": stem.sum(axis=1).reshape(d, -1).T,
            "bias": array(f"{layout.patch}.bias", d),
        },
        **dict(zip(("class_token", "distillation_token"), tokens, strict=True)),
        "token_positions": positions[:2],
        "positions": positions[2:].reshape(*grid, d),
        "blocks": _stacked([block(i) for i in range(c.depth)]),
        "norm": norm(layout.norm),
    }


def _stacked(trees: list[Any]) -> Any:
    if isinstance(trees[0], dict):
        return {key: _stacked([tree[key] for tree in trees]) for key in trees[0]}
    return np.stack(trees)


def _head(state: State, layout: Layout, width: int) -> dict[str, Any] | None:
    if layout.head is None or not _has_head(state, layout):
        return None
    norm, linear = layout.head
    classes = len(state[f"{linear}.bias"])
    kernel = checked(f"{linear}.weight", state[f"{linear}.weight"], (classes, width)).T
    return {
        "norm": {
            ours: checked(f"{norm}.{theirs}", state[f"{norm}.{theirs}"], (width,))
            for ours, theirs in (("scale", "weight"), ("bias", "bias"))
        },
        "logits": {
            "kernel": kernel,
            "bias": checked(f"{linear}.bias", state[f"{linear}.bias"], (classes,)),
        },
    }
