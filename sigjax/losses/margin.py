"""AdaCos and its sub-cluster variant: softmax over cosines to learnt directions.

Zhang et al. 2019 (CVPR, arXiv 1905.00292) set the scale s of `softmax(s cos)` by a rule
instead of by search. Wilkinghoff 2021 (IJCNN, "Sub-cluster AdaCos: Learning
representations for anomalous sound detection") gives each class several sub-centres; a
class's probability is the sum of theirs. With one sub-centre it is AdaCos.

Dimension `u` counts a class's sub-centres.
"""

import math

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float, PRNGKey


def fixed_scale(classes: int, subcentres: int = 1) -> float:
    """`sqrt(2) ln(classes * subcentres - 1)`: the fixed scale, and the first dynamic.

    Raises:
      ValueError: For fewer than three centres in all; the rule has no scale for them.
    """
    if classes < 1 or subcentres < 1 or classes * subcentres < 3:
        raise ValueError(
            f"{classes} classes of {subcentres} sub-centres: the scale"
            " sqrt(2) ln(classes * subcentres - 1) needs three centres at least"
        )
    return math.sqrt(2) * math.log(classes * subcentres - 1)


def initial_centres(
    key: PRNGKey, classes: int, subcentres: int, width: int
) -> Float[Array, "v u d"]:
    """Random centres, float32 `[classes, subcentres, width]`; only directions count."""
    bound = math.sqrt(6 / (width + classes * subcentres))
    shape = (classes, subcentres, width)
    return jax.random.uniform(key, shape, jnp.float32, -bound, bound)


def cosines(
    x: Float[Array, "b d"], centres: Float[Array, "v u d"]
) -> Float[Array, "b v u"]:
    """Cosine of each embedding to each sub-centre, float32 `[b, v, u]`."""
    x, centres = _unit(x), _unit(centres)
    precision = jax.lax.Precision.HIGHEST
    return jnp.einsum("bd,vud->bvu", x, centres, precision=precision)


def _unit(x: Array) -> Array:
    x = x.astype(jnp.float32)
    # The floor keeps the gradient of an embedding of zeros finite.
    power = jnp.square(x).sum(axis=-1, keepdims=True)
    return x * jax.lax.rsqrt(jnp.maximum(power, 1e-24))


def class_log_probability(
    cosine: Float[Array, "b v u"], scale: float | Float[Array, ""]
) -> Float[Array, "b v"]:
    """Log of each class's probability: of the sum over its sub-centres' softmax.

    Args:
      cosine: Float32 `[b, v, u]`, from `cosines`.
      scale: Of the softmax over all `v * u`.

    Returns:
      Float32 `[b, v]`; their exponentials sum to 1.
    """
    logits = scale * cosine
    every = jax.nn.logsumexp(logits, axis=(1, 2))
    return jax.nn.logsumexp(logits, axis=2) - every[:, None]


def sub_cluster_adacos(
    x: Float[Array, "b d"],
    centres: Float[Array, "v u d"],
    target: Float[Array, "b v"],
    scale: float | Float[Array, ""],
) -> Float[Array, " b"]:
    """Cross-entropy of the classes' probabilities.

    Args:
      x: Float `[b, d]`, of any length.
      centres: Float32 `[v, u, d]`, of any length.
      target: Float32 `[b, v]`, each class's share of the example: one-hot, or mixed.
      scale: Of the cosines; `fixed_scale` or `adapted_scale`.

    Returns:
      Float32 `[b]`.
    """
    log_p = class_log_probability(cosines(x, centres), scale)
    return -(target * log_p).sum(axis=-1)


def adapted_scale(
    cosine: Float[Array, "b v u"],
    target: Float[Array, "b v"],
    scale: float | Float[Array, ""],
) -> Float[Array, ""]:
    """The dynamic scale after a batch.

    `ln B / cos(min(pi / 4, median angle))`: B is the mean over the batch of the sum of
    `exp(scale cos)` and the angle that of an example to its class's centre. With one
    sub-centre the sum leaves the own class out (Zhang et al., eq. 11 and 14); with
    several it is over all (Wilkinghoff). The angle to a class of several is their mean;
    to classes that are mixed, weighted by their shares.

    Args:
      cosine: Float32 `[b, v, u]`; no gradient passes.
      target: Float32 `[b, v]`, as in `sub_cluster_adacos`.
      scale: The present one.

    Returns:
      Float32 `[]`.
    """
    cosine = jax.lax.stop_gradient(cosine)
    counted = jnp.ones_like(cosine)
    if cosine.shape[2] == 1:
        counted = 1 - target[..., None]
    # Averaged in logarithms: exp of a scale that has grown overflows.
    each = jax.nn.logsumexp(scale * cosine, axis=(1, 2), b=counted)
    mean = jax.nn.logsumexp(each) - math.log(len(cosine))
    angle = jnp.arccos(jnp.clip(cosine, -1.0, 1.0)).mean(axis=2)
    median = jnp.median((target * angle).sum(axis=-1))
    return mean / jnp.cos(jnp.minimum(math.pi / 4, median))
