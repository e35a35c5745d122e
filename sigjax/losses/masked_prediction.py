"""Prediction of hidden frames' clusters (HuBERT, Hsu et al. 2021, arXiv 2106.07447).

Eq. 3: logits are cosines of what is predicted and each cluster's learned code, over a
temperature. Eq. 1: the cross-entropy is taken of hidden frames.
"""

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Bool, Float, Int

# Under the norms of vectors: one of zeros has no direction, and no gradient either.
_EPS = 1e-6


def cosine_logits(
    predicted: Float[Array, "*a p"], codes: Float[Array, "v p"], temperature: float
) -> Float[Array, "*a v"]:
    """Cosine of each prediction with each code, over the temperature; float32."""

    def unit(x: Array) -> Array:
        x = x.astype(jnp.float32)
        square = jnp.square(x).sum(axis=-1, keepdims=True)
        return x * jax.lax.rsqrt(square + _EPS**2)

    cosine = jnp.matmul(
        unit(predicted), unit(codes).T, precision=jax.lax.Precision.HIGHEST
    )
    return cosine / temperature


def frame_cross_entropy(
    logits: Float[Array, "b t v"], target: Int[Array, "b t"]
) -> Float[Array, "b t"]:
    """`-log softmax(logits)[target]` of each frame, float32."""
    log_p = jax.nn.log_softmax(logits.astype(jnp.float32))
    return -jnp.take_along_axis(log_p, target[..., None], axis=-1)[..., 0]


def frame_sums(
    values: Float[Array, "b t"], counted: Bool[Array, "b t"]
) -> Float[Array, " b"]:
    """Sums over the frames that count. Others may hold anything, NaN included."""
    return jnp.where(counted, values, 0.0).sum(axis=1)


def frame_means(
    values: Float[Array, "b t"], counted: Bool[Array, "b t"]
) -> Float[Array, " b"]:
    """One value a clip, whose mean is that over all frames of the batch that count.

    Every frame counts alike, not every clip: a clip of two frames would else weigh as
    much as one of a minute. 0 where nothing counts.
    """
    share = len(values) / jnp.maximum(counted.sum(), 1)
    return frame_sums(values, counted) * share
