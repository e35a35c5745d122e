"""Center loss: embeddings of a class near its centre, and how centres move.

Wen et al. 2016 (ECCV, "A discriminative feature learning approach for deep face
recognition"), eq. 2 and 4; eq. 2 of "Self-supervised Anomalous Sound Detection for
Machine Condition Monitoring". Centres are no parameters: they follow the embeddings by
a rule of their own, whatever the optimizer.
"""

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float, Int


def center_loss(
    x: Float[Array, "b d"], centres: Float[Array, "v d"], label: Int[Array, " b"]
) -> Float[Array, " b"]:
    """Half the squared distance of each embedding to its class's centre.

    Args:
      x: Float `[b, d]`.
      centres: Float32 `[v, d]`.
      label: Int `[b]` in `[0, v)`.

    Returns:
      Float32 `[b]`.
    """
    error = x.astype(jnp.float32) - centres[label]
    return 0.5 * jnp.square(error).sum(axis=-1)


def update_centres(
    centres: Float[Array, "v d"],
    x: Float[Array, "b d"],
    label: Int[Array, " b"],
    weight: Float[Array, " b"],
    rate: float,
) -> Float[Array, "v d"]:
    """Moves each centre towards the embeddings of its class.

    `c_j - rate * sum_i w_i [y_i = j] (c_j - x_i) / (1 + sum_i w_i [y_i = j])`. The 1
    keeps a class with few examples in a batch from jumping; one with none stays.

    Args:
      centres: Float32 `[v, d]`.
      x: Float `[b, d]`; no gradient passes.
      label: Int `[b]` in `[0, v)`.
      weight: Float32 `[b]`, 1 for an example, less for a share of one.
      rate: In [0, 1].

    Returns:
      Float32 `[v, d]`.
    """
    x = jax.lax.stop_gradient(x.astype(jnp.float32))
    member = jax.nn.one_hot(label, len(centres)) * weight[:, None]
    count = member.sum(axis=0)[:, None]
    total = jnp.matmul(member.T, x, precision=jax.lax.Precision.HIGHEST)
    return centres - rate * (count * centres - total) / (1 + count)
