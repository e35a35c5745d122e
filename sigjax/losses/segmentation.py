"""Losses of masks: overlap, which few true places among many do not change."""

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float


def dice(
    logits: Float[Array, "b *a v"], target: Float[Array, "b *a v"], smooth: float = 1.0
) -> Float[Array, " b"]:
    """One minus the soft Dice coefficient of each class, their mean.

    `1 - (2 sum p y + smooth) / (sum p + sum y + smooth)`, p the sigmoid of the logits,
    sums over the places of an example. (Milletari et al. 2016, arXiv 1606.04797,
    squares p and y in the denominator; this is the form without.)

    Args:
      logits: `[b, ..., v]`.
      target: In [0, 1], likewise.
      smooth: Makes a class that is neither there nor said a loss of 0.

    Returns:
      `[b]`, in [0, 1).
    """
    p = jax.nn.sigmoid(logits)
    places = tuple(range(1, logits.ndim - 1))
    both = (p * target).sum(axis=places)
    total = p.sum(axis=places) + target.sum(axis=places)
    return jnp.mean(1 - (2 * both + smooth) / (total + smooth), axis=-1)
