"""Weighted cross-entropy with missing labels, and its class weights.

Lorenzen et al. 2025 (arXiv 2502.17477), Eq. 8. The paper prints `log(y^_i)` of logits;
the log of their softmax is meant.
"""

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.typing import Array, Float, Int

# A label window without a label; the paper's class index g.
IGNORE = -1


def weighted_cross_entropy(
    logits: Float[Array, "*a v"],
    label: Int[Array, "*a"],
    weight: Float[Array | np.ndarray, " v"],
) -> Float[Array, "*a"]:
    """`-w_y log softmax(logits)_y` of each label window, 0 where there is no label.

    The mean over a batch is the task's business. What the logits are where there is no
    label does not matter, not even to the gradient, and not even if they are NaN.

    Args:
      logits: Float `[..., v]` of any precision.
      label: Int `[...]` in `[0, v)`, -1 (`IGNORE`) for none.
      weight: Float `[v]`, of each class; see `class_weights`.

    Returns:
      Float32 `[...]`.
    """
    counted = label != IGNORE
    label = jnp.where(counted, label, 0)
    # Before the softmax: NaN times a gradient of 0 would be NaN.
    logits = jnp.where(counted[..., None], jnp.asarray(logits, jnp.float32), 0.0)
    log_p = jax.nn.log_softmax(logits)
    log_p = jnp.take_along_axis(log_p, label[..., None], axis=-1)[..., 0]
    loss = -jnp.asarray(weight, jnp.float32)[label] * log_p
    return jnp.where(counted, loss, 0.0)


def class_weights(counts: np.ndarray) -> np.ndarray:
    """Inverse prevalence, scaled so that the mean over the counted labels is 1.

    `w_c = N / (V n_c)` with `N` labels of `V` classes that occur. The paper gives no
    scale; with this one the loss is of the same size whatever the prevalences.

    Args:
      counts: `[v]`, training labels of each class.

    Returns:
      Float32 `[v]`; 0 for classes without labels: what never occurs in training has no
      prevalence, and its labels elsewhere do not count in the loss.

    Raises:
      ValueError: Counts are negative, or there is no label at all.
    """
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 1 or not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError(f"expected a count for each class, got {counts}")
    occurs = counts > 0
    if not occurs.any():
        raise ValueError("there is no label to take class weights from")
    mean = counts.sum() / occurs.sum()
    weight = np.divide(mean, counts, out=np.zeros_like(counts), where=occurs)
    return weight.astype(np.float32)
