"""Losses of audio events: one class a clip, or any number, with mixed targets."""

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float


def soft_cross_entropy(
    logits: Float[Array, "b v"], target: Float[Array, "b v"]
) -> Float[Array, " b"]:
    """Cross-entropy with the distribution `target`, whose rows sum to one."""
    return -(target * jax.nn.log_softmax(logits)).sum(axis=-1)


def binary_cross_entropy(
    logits: Float[Array, "b v"], target: Float[Array, "b v"]
) -> Float[Array, " b"]:
    """Mean over classes of each one's own cross-entropy; targets are in [0, 1]."""
    # log(1 + exp(x)) - x * target, which neither overflows nor loses small values.
    each = jax.nn.softplus(logits) - logits * target
    return jnp.mean(each, axis=-1)
