"""Losses of masks, for few true places among many: weighted, or of their overlap."""

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float


def weighted_cross_entropy(
    logits: Float[Array, "b *a v"],
    target: Float[Array, "b *a v"],
    positive_weight: float = 1.0,
) -> Float[Array, " b"]:
    """Binary cross-entropy whose true places count more: a mean over places, classes.

    `-w y log p - (1 - y) log(1 - p)`, p the sigmoid of the logits: PyTorch's
    `pos_weight`; up to a factor equation 2 of Xie and Tu 2015 (arXiv 1504.06375). It is
    least where the odds of p are w times those of y, so a threshold of 0.5 is then that
    of 1 / (1 + w) without: what is rare and never sure is said at all.

    Args:
      logits: `[b, ..., v]`.
      target: In [0, 1], likewise.
      positive_weight: w.

    Returns:
      `[b]`.
    """
    # -log(1 - p) is softplus(x) and -log p that less x: one logarithm, no overflow.
    weight = 1 + (positive_weight - 1) * target
    each = weight * jax.nn.softplus(logits) - positive_weight * target * logits
    return each.mean(axis=tuple(range(1, each.ndim)))


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
