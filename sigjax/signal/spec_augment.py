"""SpecAugment: stretches of time and of frequency that are hidden (Park et al. 2019).

Without its time warping (arXiv 1904.08779, Sect. 2). A mask is drawn as
`torchaudio.functional.mask_along_axis` does: of a size n, with u1 and u2 uniform in
[0, 1), a real width w = u1 W, and hidden are the floor(w) values from floor(u2 (n - w))
on: 0 to W - 1 of them, never all W.
"""

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Bool, Float, PRNGKey


def random_masks(
    key: PRNGKey, rows: int, size: int, *, width: int, masks: int = 1
) -> Bool[Array, "b n"]:
    """Bool `[rows, size]`, true where one of the masks of a row hides.

    Args:
      key: Randomness; every row has its own masks.
      rows: How many.
      size: Positions of a row.
      width: More than a mask is ever wide; 0 for none.
      masks: How many there are in each row; they may overlap.

    Raises:
      ValueError: A mask could be wider than the row.
    """
    if not 0 <= width <= size or masks < 0:
        raise ValueError(
            f"{masks} masks of up to {width} do not fit into {size}: take narrower ones"
        )
    wide, place = jax.random.uniform(key, (2, rows, masks, 1))
    wide = width * wide
    first = jnp.floor(place * (size - wide))
    at = jnp.arange(size)
    return ((at >= first) & (at < first + jnp.floor(wide))).any(axis=1)


def spec_augment(
    x: Float[Array, "b t f"],
    key: PRNGKey,
    *,
    time_width: int,
    band_width: int,
    masks: int = 1,
    value: float | int = 0.0,
) -> Float[Array, "b t f"]:
    """Hides stretches of frames and of bands, in each example other ones.

    AST: widths 192 and 48 (of 1024 frames and 128 bands) on AudioSet, 96 and 24 on
    ESC-50; before `normalise`, so that what is hidden becomes what padding is.

    Args:
      x: `[b, t, f]`.
      key: Randomness.
      time_width: More than a mask hides of the frames; 0 for no such mask.
      band_width: Of the bands likewise.
      masks: How many of each kind.
      value: What stands in their place.

    Returns:
      `[b, t, f]`, of the dtype of `x`.

    Raises:
      ValueError: A mask could be wider than the spectrogram.
    """
    time_key, band_key = jax.random.split(key)
    rows, frames, bands = x.shape
    in_time = random_masks(time_key, rows, frames, width=time_width, masks=masks)
    in_band = random_masks(band_key, rows, bands, width=band_width, masks=masks)
    hidden = in_time[:, :, None] | in_band[:, None, :]
    return jnp.where(hidden, jnp.asarray(value, x.dtype), x)
