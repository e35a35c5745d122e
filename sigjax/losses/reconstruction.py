"""How well something is reconstructed: squared and absolute error, two likelihoods.

The slides "Autoencoders" (Neural Networks and Deep Learning) print `L_MSE ||x - x^||`
for the squared error; the norm lacks its square. They add `lambda * sum_k w_k^2` over
the weights: `kernel_l2`, over kernels alone, since a bias does not scale what it is
added to.

Values of an example are averaged or summed. A plain autoencoder takes the mean, whose
size does not depend on the length of the signal. In a variational bound the sum is the
log-likelihood; a mean would weigh the divergence as many times more as there are
values.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.typing import Array, Float, PyTree

Likelihood = Literal["mse", "l1", "log_mse", "bernoulli", "gaussian"]

# Of the squared error in a logarithm: 80 dB below values of size 1.
_LEAST_ERROR = 1e-8
Reduce = Literal["mean", "sum"]


def _values(value: Array, reduce: Reduce) -> Array:
    """`[b, ...]` to `[b]`."""
    axes = tuple(range(1, value.ndim))
    return value.mean(axis=axes) if reduce == "mean" else value.sum(axis=axes)


def _float32(prediction: Array, x: Array) -> tuple[Array, Array]:
    # Broadcasting one against the other would be a loss of something else.
    if prediction.shape != x.shape:
        raise ValueError(
            f"a reconstruction of shape {prediction.shape} is not one of {x.shape}"
        )
    return jnp.asarray(prediction, jnp.float32), jnp.asarray(x, jnp.float32)


def mse(
    prediction: Float[Array, "b *a"], x: Float[Array, "b *c"], reduce: Reduce = "mean"
) -> Float[Array, " b"]:
    """Squared error of each example, float32 `[b]`.

    Args:
      prediction: `[b, ...]`.
      x: `[b, ...]`, of the same shape.
      reduce: Mean or sum over an example's values.

    Raises:
      ValueError: The shapes differ.
    """
    prediction, x = _float32(prediction, x)
    return _values(jnp.square(prediction - x), reduce)


def l1(
    prediction: Float[Array, "b *a"], x: Float[Array, "b *c"], reduce: Reduce = "mean"
) -> Float[Array, " b"]:
    """Absolute error of each example; arguments, result and errors as of `mse`."""
    prediction, x = _float32(prediction, x)
    return _values(jnp.abs(prediction - x), reduce)


def log_mse(
    prediction: Float[Array, "b *a"], x: Float[Array, "b *c"]
) -> Float[Array, " b"]:
    """Logarithm of the mean squared error of each example, float32 `[b]`.

    The negative signal-to-noise ratio, but for a factor and the signal's own power,
    which no reconstruction changes. So examples with little noise count as much as
    those with much, whose squared errors are a hundred times theirs from 0 to 20 dB.

    Args:
      prediction: `[b, ...]`.
      x: `[b, ...]`, of the same shape.

    Raises:
      ValueError: The shapes differ.
    """
    return jnp.log(mse(prediction, x) + _LEAST_ERROR)


def bernoulli(
    logits: Float[Array, "b *a"], x: Float[Array, "b *c"], reduce: Reduce = "mean"
) -> Float[Array, " b"]:
    """Binary cross-entropy `-x log p - (1 - x) log(1 - p)` with `p = sigmoid(logits)`.

    Of values that are not 0 or 1 it is not 0 at its minimum, but their own entropy.

    Args:
      logits: `[b, ...]`.
      x: `[b, ...]` in [0, 1], of the same shape.
      reduce: Mean or sum over an example's values.

    Returns:
      Float32 `[b]` in nats; NaN for an example with a value outside of [0, 1], where
      the cross-entropy has no minimum.

    Raises:
      ValueError: The shapes differ.
    """
    logits, x = _float32(logits, x)
    # One logarithm for both terms; no digits are lost at either end.
    rest = jnp.log1p(jnp.exp(-jnp.abs(logits)))
    value = jnp.maximum(logits, 0) - logits * x + rest
    return _values(jnp.where((x >= 0) & (x <= 1), value, jnp.nan), reduce)


def gaussian(
    prediction: Float[Array, "b *a"],
    x: Float[Array, "b *c"],
    log_scale: Float[Array, ""] | float | int = 0.0,
    reduce: Reduce = "mean",
) -> Float[Array, " b"]:
    """Negative log-density `-log N(x; prediction, scale^2)`, the constant included.

    With a learned scale the optimum is the root mean square error: the model measures
    its own noise, and a variational bound needs no weight (Rybkin et al. 2021, "Simple
    and Effective VAE Training with Calibrated Decoders").

    Args:
      prediction: `[b, ...]`, the mean.
      x: `[b, ...]`, of the same shape.
      log_scale: Natural logarithm of the standard deviation of every value.
      reduce: Mean or sum over an example's values.

    Returns:
      Float32 `[b]` in nats. It may be negative: it is of a density.

    Raises:
      ValueError: The shapes differ.
    """
    prediction, x = _float32(prediction, x)
    error = jnp.square((x - prediction) * jnp.exp(-log_scale))
    return _values(0.5 * error + log_scale + 0.5 * np.log(2 * np.pi), reduce)


def reconstruction(
    kind: Likelihood,
    prediction: Float[Array, "b *a"],
    x: Float[Array, "b *c"],
    *,
    reduce: Reduce = "mean",
    log_scale: Float[Array, ""] | float | int = 0.0,
) -> Float[Array, " b"]:
    """The loss named `kind`: `mse`, `l1`, `log_mse`, `bernoulli` or `gaussian`.

    Args:
      kind: Which.
      prediction: `[b, ...]`; logits for `"bernoulli"`.
      x: `[b, ...]`, of the same shape.
      reduce: Mean or sum over an example's values; `"log_mse"` is of their mean.
      log_scale: Of `"gaussian"`.

    Returns:
      Float32 `[b]`.

    Raises:
      ValueError: The shapes differ, or there is no such loss.
    """
    if kind == "gaussian":
        return gaussian(prediction, x, log_scale, reduce)
    if kind == "log_mse":
        return log_mse(prediction, x)
    known = {"mse": mse, "l1": l1, "bernoulli": bernoulli}
    if kind not in known:
        names = get_args(Likelihood)
        raise ValueError(f"a likelihood is one of {names}, not {kind!r}")
    return known[kind](prediction, x, reduce)


def kernel_l2(params: PyTree) -> Float[Array, ""]:
    """`sum_k w_k^2` over all kernels: no biases, no scales of norms.

    Weights that two layers share are one parameter and count once.

    Args:
      params: Parameters by name; those whose own name ends in `kernel` count.

    Returns:
      Float32 `[]`.
    """
    total = jnp.zeros(())
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        if str(getattr(path[-1], "key", path[-1])).endswith("kernel"):
            total = total + jnp.square(leaf.astype(jnp.float32)).sum()
    return total
