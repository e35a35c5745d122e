"""Audio Spectrogram Transformer (Gong et al. 2021, arXiv 2104.01778).

A DeiT (Touvron et al. 2021) on overlapping patches of a filter bank: patches of 16 by
16 every 10 frames and 10 bands are projected linearly, a class token and a distillation
token are put before them, a learned position is added to each, and 12 blocks of
attention and MLP follow, normalised before. The features of a clip are the mean of the
first two tokens after the last norm. Classifying is another module's: a norm and a
linear layer on the features.

  frames 1024, bands 128, stride 10: 12 x 101 patches and 2 tokens, 1214 in all

Tokens of patches are ordered band by band (frequency is the slow axis), as in the
public code, but the table of positions is kept as a map, so that `resize_positions`
needs no sizes. Sizes (`ast_size`) are DeiT's; all have heads of 64.
"""

import dataclasses
from typing import Any, Literal, get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sigjax.nn.attention import AttentionKind, attend, split_qkv
from sigjax.nn.conv import precision
from sigjax.nn.gelu import gelu
from sigjax.nn.layer_norm import LayerNorm
from sigjax.nn.precision import ComputeDtype, compute_dtype
from sigjax.nn.products import dense_product
from sigjax.signal.framing import cut_frames
from sigjax.typing import Array, Float

AstSize = Literal["tiny", "small", "base"]

_SIZES: dict[str, dict[str, Any]] = {
    "tiny": {"width": 192, "heads": 3, "mlp": 768},
    "small": {"width": 384, "heads": 6, "mlp": 1536},
    "base": {"width": 768, "heads": 12, "mlp": 3072},
}
# timm's, which DeiT and AST were trained with: kernels, tokens and positions alike.
_INIT = nn.initializers.normal(0.02)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AstConfig:
    """Architecture; the defaults are the paper's on 10 s.

    Attributes:
      frames: Of the input.
      bands: Of the input.
      patch: Length of a patch along both axes.
      stride_t: Frames from one patch to the next.
      stride_f: Bands from one patch to the next.
      width: Of the tokens.
      depth: Blocks.
      heads: Of the attention.
      mlp: Hidden width of the MLP.
      dropout: Share dropped of the embedded tokens and of what each half of a block
        adds.
      drop_path: Share of examples that skip the last block's halves in training; it
        rises linearly from 0 at the first block.
      norm_eps: Of the layer norms; 1e-12 of the weights that transformers gives out.
      remat: Recompute blocks in the backward pass; slower, but activations of one
        block at a time.
      unroll: Blocks per loop iteration; `depth` leaves no loop: longer to compile,
        but activations are not copied into stacked buffers.
      dtype: `"auto"` computes in bfloat16 on accelerators, float32 on CPU; `"float32"`
        is full float32 everywhere, without TF32.
      attention: Attention kernel (`sigjax.nn.attention.attention_kind`).

    Raises:
      ValueError: Sizes that do not fit together or have no meaning.
    """

    frames: int = 1024
    bands: int = 128
    patch: int = 16
    stride_t: int = 10
    stride_f: int = 10
    width: int = 768
    depth: int = 12
    heads: int = 12
    mlp: int = 3072
    dropout: float = 0.0
    drop_path: float = 0.0
    norm_eps: float = 1e-6
    remat: bool = False
    unroll: int = 1
    dtype: ComputeDtype = "auto"
    attention: AttentionKind = "auto"

    def __post_init__(self):
        """Refuses sizes that do not fit together."""
        for name in ("patch", "stride_t", "stride_f", "width", "depth", "heads", "mlp"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {self}")
        if self.frames < self.patch or self.bands < self.patch:
            raise ValueError(
                f"{self.frames} frames of {self.bands} bands hold no patch of"
                f" {self.patch} by {self.patch}"
            )
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        if not 0 <= self.dropout < 1 or not 0 <= self.drop_path < 1:
            raise ValueError(f"dropout and drop_path must be in [0, 1), got {self}")

    @property
    def grid(self) -> tuple[int, int]:
        """Patches along frequency and along time."""
        return (
            (self.bands - self.patch) // self.stride_f + 1,
            (self.frames - self.patch) // self.stride_t + 1,
        )


def ast_size(size: AstSize, **changes: Any) -> AstConfig:
    """The configuration of a size, with fields changed.

    Raises:
      ValueError: There is no such size.
    """
    if size not in _SIZES:
        raise ValueError(f"no AST {size!r}: there are {', '.join(get_args(AstSize))}")
    return AstConfig(**(_SIZES[size] | changes))


class Ast(nn.Module):
    """Filter bank to features; see the module docstring.

    Parameters are float32: `patch` (kernel `[patch * patch, d]`, frequency slow),
    `class_token` and `distillation_token` `[d]`, `token_positions` `[2, d]`,
    `positions` `[*grid, d]`, `blocks` (stacked along a leading axis of layers), `norm`.

    Attributes:
      config: The architecture.
    """

    config: AstConfig

    @nn.compact
    def encode(
        self, x: Float[Array, "b t f"], train: bool = False
    ) -> Float[Array, "b n d"]:
        """All tokens: class, distillation, then patches, frequency slow.

        Args:
          x: `[b, t, f]`, normalised (`sigjax.signal.fbank.normalise`).
          train: Whether to drop; needs the keys `dropout` and `drop_path` of what is
            dropped.

        Returns:
          Float32 `[b, 2 + n, d]`, after the last norm.

        Raises:
          ValueError: For a spectrogram of another size.
        """
        c = self.config
        if x.shape[1:] != (c.frames, c.bands):
            raise ValueError(
                f"this AST takes {c.frames} frames of {c.bands} bands, got"
                f" {tuple(x.shape[1:])}: cut or pad them (fit_frames), or set frames"
                " and bands and resize its positions (resize_positions)"
            )
        dtype = compute_dtype(c.dtype)
        x = _dense(c.width, dtype, "patch")(_patches(x.astype(dtype), c))
        tokens = [
            self.param(name, _INIT, (c.width,))
            for name in ("class_token", "distillation_token")
        ]
        first = jnp.stack(tokens) + self.param("token_positions", _INIT, (2, c.width))
        positions = self.param("positions", _INIT, (*c.grid, c.width))
        x = x + positions.reshape(-1, c.width).astype(dtype)
        first = jnp.broadcast_to(first.astype(dtype), (len(x), 2, c.width))
        x = jnp.concatenate([first, x], axis=1)
        x = nn.Dropout(c.dropout, deterministic=not train)(x)
        # A loop body is safe from CSE, which otherwise undoes rematerialisation.
        block = nn.remat(_Block, prevent_cse=c.unroll > 1) if c.remat else _Block
        stack = nn.scan(
            block,
            variable_axes={"params": 0},
            split_rngs={"params": True, "dropout": True, "drop_path": True},
            in_axes=0,
            length=c.depth,
            unroll=c.unroll,
        )
        rates = jnp.linspace(0.0, c.drop_path, c.depth)
        x, _ = stack(c, dtype, train, name="blocks")(x, rates)
        return _norm(c, jnp.dtype("float32"), "norm")(x)

    def __call__(
        self, x: Float[Array, "b t f"], train: bool = False
    ) -> Float[Array, "b d"]:
        """Features of clips, float32 `[b, d]`; see `encode`."""
        return self.encode(x, train)[:, :2].mean(axis=1)


class _Block(nn.Module):
    config: AstConfig
    dtype: jnp.dtype
    train: bool

    @nn.compact
    def __call__(self, x: Array, rate: Array) -> tuple[Array, None]:
        c = self.config
        h = _norm(c, self.dtype, "attention_norm")(x)
        x = x + self._dropped(_Attention(c, self.dtype, name="attention")(h), rate)
        h = _norm(c, self.dtype, "mlp_norm")(x)
        h = _dense(c.mlp, self.dtype, "mlp_up")(h)
        h = _dense(c.width, self.dtype, "mlp_down")(gelu(h))
        return x + self._dropped(h, rate), None

    def _dropped(self, x: Array, rate: Array) -> Array:
        c = self.config
        x = nn.Dropout(c.dropout, deterministic=not self.train)(x)
        if not self.train or not c.drop_path:
            return x
        # Whole examples (Huang et al. 2016); those that stay make up for the others.
        shape = (len(x), 1, 1)
        kept = jax.random.uniform(self.make_rng("drop_path"), shape) >= rate
        return x * (kept / (1 - rate)).astype(x.dtype)


class _Attention(nn.Module):
    config: AstConfig
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x: Float[Array, "b n d"]) -> Float[Array, "b n d"]:
        c = self.config
        # Head by head, so that a tensor axis splits whole heads.
        qkv = _dense(3 * c.width, self.dtype, "qkv")(x)
        qkv = qkv.reshape(*x.shape[:2], c.heads, 3, -1)
        mixed = attend(*split_qkv(qkv), c.attention)
        return _dense(c.width, self.dtype, "out")(mixed.reshape(x.shape))


def _dense(width: int, dtype: jnp.dtype, name: str) -> nn.Dense:
    return nn.Dense(
        width,
        dtype=dtype,
        kernel_init=_INIT,
        precision=precision(dtype),
        dot_general=dense_product,
        name=name,
    )


def _norm(config: AstConfig, dtype: jnp.dtype, name: str) -> LayerNorm:
    return LayerNorm(config.norm_eps, dtype, name=name)


def _patches(x: Float[Array, "b t f"], config: AstConfig) -> Float[Array, "b n p"]:
    """Patches' values, frequency slow in both axes: a convolution as one product."""
    c = config
    x = cut_frames(x.swapaxes(1, 2), length=c.patch, hop=c.stride_t)  # b f T patch
    x = cut_frames(jnp.moveaxis(x, 1, -1), length=c.patch, hop=c.stride_f)
    x = x.transpose(0, 3, 1, 4, 2)  # b T patch F patch -> b F T patch_f patch_t
    return x.reshape(len(x), c.grid[0] * c.grid[1], c.patch * c.patch)


def resize_positions(
    positions: Float[Array, "y x d"] | np.ndarray, grid: tuple[int, int]
) -> np.ndarray:
    """A table of positions for another number of patches, by the rule of AST's code.

    Along each axis: the middle part where the new one is no longer, else bilinear
    interpolation between the centres of equal cells (torch's `align_corners=False`).

    Args:
      positions: `[f, t, d]`.
      grid: New patches along frequency and time (`AstConfig.grid`).

    Returns:
      Float32 `[*grid, d]`.
    """
    table = np.asarray(positions, np.float32)
    for axis, new in enumerate(grid):
        old = table.shape[axis]
        if new <= old:
            start = old // 2 - new // 2
            table = np.take(table, np.arange(start, start + new), axis)
        else:
            place = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
            share = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(old)))
            table = np.moveaxis(np.tensordot(share, table, (1, axis)), 0, axis)
    return np.ascontiguousarray(table, np.float32)
