"""Attention within windows of a map, with or without a cyclic shift (Swin, DAT).

Liu et al. 2021 (arXiv 2103.14030), as DAT has it: windows of 7, shifted by 4 where it
is shifted, and a table of position biases by whole cells. Windows and masks follow from
the map that comes in: where its size is no multiple of the window, it is padded at its
end and no query attends to the padding. Published code demands multiples and has its
masks made for one size.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sigjax.nn.products import wide_product
from sigjax.nn.torch_init import dense
from sigjax.typing import Array, Float

# What Swin adds between cells that are neighbours only by the shift.
_APART = -100.0


def relative_index(window: int) -> np.ndarray:
    """Row of the bias table for each query and key, int `[window**2, window**2]`.

    `(y + window - 1) * (2 window - 1) + x + window - 1` for a query `y` rows and `x`
    columns after a key.
    """
    at = np.stack(np.meshgrid(*[np.arange(window)] * 2, indexing="ij"), -1)
    at = at.reshape(-1, 2)
    between = at[:, None] - at[None] + window - 1
    return between[..., 0] * (2 * window - 1) + between[..., 1]


def shift_mask(
    size: tuple[int, int], window: int, shift: int
) -> Float[np.ndarray, "n p p"] | None:
    """What is added to the logits of each window, or None where nothing is.

    0 between cells that belong together, -100 between cells that only the shift brings
    into one window, minus infinity to keys of the padding.

    Args:
      size: Rows and columns of the map.
      window: Of both axes.
      shift: Cells that the padded map is rolled up and left.

    Returns:
      Float32 `[windows, window**2, window**2]`.
    """
    whole = [-(-n // window) * window for n in size]
    if not shift and tuple(whole) == tuple(size):
        return None

    def regions(length):
        # The last window of the rolled axis holds its end and its beginning.
        at = np.arange(length)
        if not shift:
            return np.zeros(length)
        return (at >= length - window).astype(float) + (at >= length - shift)

    region = 3 * regions(whole[0])[:, None] + regions(whole[1])
    real = np.zeros(whole, bool)
    real[: size[0], : size[1]] = True
    real = np.roll(real, (-shift, -shift), axis=(0, 1))

    def cut(x):
        x = x.reshape(whole[0] // window, window, whole[1] // window, window)
        return x.swapaxes(1, 2).reshape(-1, window * window)

    region, real = cut(region), cut(real)
    mask = np.where(region[:, :, None] == region[:, None], 0.0, _APART)
    # A window may be padding alone: its queries keep finite logits, and are dropped.
    empty = np.max(real, axis=1)[:, None, None] == 0
    hide = (real[:, None] == 0) & ~empty
    return np.where(hide, -np.inf, mask).astype(np.float32)


class WindowAttention(nn.Module):
    """Multi-head attention within windows, under a relative position bias.

    Attributes:
      heads: Must divide the channels.
      window: Rows and columns of a window.
      shift: Cells that the map is rolled before, and back afterwards; 0 for none.
      dtype: What it computes in; logits are at least float32.
    """

    heads: int
    window: int = 7
    shift: int = 0
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """`[b, h, w, c]` to `[b, h, w, c]`, for any map.

        Raises:
          ValueError: Heads do not divide the channels, or the shift is not below the
            window.
        """
        batch, rows, columns, width = x.shape
        window, shift = self.window, self.shift
        if width % self.heads or not 0 <= shift < window:
            raise ValueError(
                f"{self.heads} heads must divide {width} channels, and a shift of"
                f" {shift} must lie below a window of {window}"
            )
        x = x.astype(self.dtype)
        down, across = (-(-n // window) for n in (rows, columns))
        pads = (down * window - rows, across * window - columns)
        x = jnp.pad(x, ((0, 0), (0, pads[0]), (0, pads[1]), (0, 0)))
        if shift:
            x = jnp.roll(x, (-shift, -shift), axis=(1, 2))
        cells = x.reshape(batch, down, window, across, window, width).swapaxes(2, 3)
        cells = cells.reshape(batch, down * across, window * window, width)
        mixed = self._attend(cells, shift_mask((rows, columns), window, shift))
        mixed = mixed.reshape(batch, down, across, window, window, width)
        x = mixed.swapaxes(2, 3).reshape(x.shape)
        if shift:
            x = jnp.roll(x, (shift, shift), axis=(1, 2))
        return x[:, :rows, :columns]

    def _attend(self, cells: Array, mask: np.ndarray | None) -> Array:
        heads, width = self.heads, cells.shape[-1]

        qkv = dense(3 * width, width, self.dtype, "qkv")(cells)
        qkv = qkv.reshape(*cells.shape[:3], 3, heads, width // heads)
        q, k, v = (qkv[..., i, :, :] for i in range(3))
        shape = ((2 * self.window - 1) ** 2, heads)
        table = self.param("table", nn.initializers.normal(0.01), shape)
        bias = jnp.asarray(table)[relative_index(self.window)].transpose(2, 0, 1)
        wide = jnp.promote_types(self.dtype, jnp.float32)
        logits = wide_product("bwqhk,bwnhk->bwhqn", q * (width // heads) ** -0.5, k)
        logits = logits + bias.astype(wide)
        if mask is not None:
            logits = logits + jnp.asarray(mask, wide)[:, None]
        weights = jax.nn.softmax(logits, axis=-1).astype(self.dtype)
        mixed = wide_product("bwhqn,bwnhk->bwqhk", weights, v).astype(self.dtype)
        return dense(width, width, self.dtype, "out")(mixed.reshape(cells.shape))
