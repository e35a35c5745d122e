"""Cutting a long signal on the device: counts to g, windows, patches.

A 24-hour recording crosses to the device once, as int16; everything below runs
inside the jitted step.
"""

import jax.numpy as jnp

from sigjax.typing import Array, Float, Int, Num


def dequantise(
    counts: Int[Array, "b s c"], scale: Float[Array, " b"]
) -> Float[Array, "b s c"]:
    """Stored counts to physical units.

    Args:
      counts: Int16 `[b, s, c]`.
      scale: Float32 `[b]`, units (g) per count.

    Returns:
      Float32 `[b, s, c]` in the units of `scale`.
    """
    return counts.astype(jnp.float32) * scale[:, None, None]


def window_starts(samples: int, window: int, count: int) -> tuple[int, ...]:
    """Evenly spaced first samples of `count` windows that span `samples`.

    32 windows of 50 minutes with 5 minutes of overlap, as the paper words it, need
    1445 minutes: five more than a day has. Evenly spaced starts (a stride of 44.84
    minutes over 24 hours) use the whole day and nothing beyond it.

    Args:
      samples: Length of the recording in samples.
      window: Length of a window in samples.
      count: How many windows.

    Returns:
      `count` starts, the first 0 and (for `count` > 1) the last `samples - window`.

    Raises:
      ValueError: If the window is longer than the recording.
    """
    if window > samples:
        raise ValueError(
            f"a window of {window} samples does not fit a crop of {samples} samples:"
            " lengthen data.crop_s or shorten task.window_s"
        )
    if count == 1:
        return (0,)
    return tuple(round(i * (samples - window) / (count - 1)) for i in range(count))


def cut_windows(
    x: Num[Array, "b s c"], *, window: int, count: int
) -> Num[Array, "b w l c"]:
    """Windows at the evenly spaced starts of `window_starts`.

    Args:
      x: `[b, s, c]` of any dtype.
      window: Window length `l` in samples.
      count: How many windows `w` to cut from each recording.

    Returns:
      `[b, w, l, c]` of the dtype of `x`.
    """
    starts = window_starts(x.shape[1], window, count)
    return jnp.stack([x[:, start : start + window] for start in starts], axis=1)


def patchify(x: Num[Array, "b s c"], patch_samples: int) -> Num[Array, "b n p"]:
    """Non-overlapping patches, flattened channel by channel.

    Values of one channel stay adjacent (`p = c * patch_samples`, channel-major), so
    that a loss per channel is a reshape and not a transposition.

    Args:
      x: `[b, s, c]`.
      patch_samples: Samples per patch; must divide `s`.

    Returns:
      `[b, s / patch_samples, c * patch_samples]`.

    Raises:
      ValueError: If `patch_samples` does not divide the number of samples.
    """
    b, s, c = x.shape
    if s % patch_samples:
        raise ValueError(
            f"a window of {s} samples does not divide into patches of {patch_samples}"
            " samples: make task.window_s a multiple of task.patch_s"
        )
    x = x.reshape(b, s // patch_samples, patch_samples, c)
    return x.swapaxes(2, 3).reshape(b, s // patch_samples, c * patch_samples)


def unpatchify(patches: Num[Array, "b n p"], channels: int) -> Num[Array, "b s c"]:
    """The inverse of `patchify`: `[b, n, c * l]` to `[b, n * l, c]`."""
    b, n, p = patches.shape
    x = patches.reshape(b, n, channels, p // channels).swapaxes(2, 3)
    return x.reshape(b, n * (p // channels), channels)
