"""Spectral normalisation: kernels divided by their largest singular value.

Miyato et al. 2018 (ICLR, arXiv 1802.05957), section 2.1 and algorithm 1. The singular
vectors are found by power iteration, one step for each step of training; they are Flax
state (collection `spectral`), no parameters, and no gradient passes through them. The
gradient does pass through the singular value itself (equation 12).

A kernel `[*taps, in, out]` is the matrix `[taps * in, out]`, as in the paper; that of a
transposed convolution, which has the axes the other way round, is turned first. This
bounds a dense layer's Lipschitz constant by 1, that of a convolution only up to a
factor of its taps.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float

COLLECTION = "spectral"
# Before the first step: the vectors start near the singular ones, as PyTorch's do.
_FIRST_ITERATIONS = 15
_HIGHEST = jax.lax.Precision.HIGHEST


def _unit(x: Array) -> Array:
    # The floor keeps a kernel of zeros finite.
    return x * jax.lax.rsqrt(jnp.maximum(jnp.square(x).sum(), 1e-24))


def power_iteration(
    matrix: Float[Array, "m d"], right: Float[Array, " d"], iterations: int = 1
) -> tuple[Float[Array, " m"], Float[Array, " d"]]:
    """Approximate singular vectors of the largest singular value, without gradient.

    Args:
      matrix: Float32 `[m, d]`.
      right: Where the iteration starts, float32 `[d]`.
      iterations: How many.

    Returns:
      Unit vectors `[m]` and `[d]`.
    """
    matrix, right = jax.lax.stop_gradient((matrix, right))

    def iterate(_, vectors):
        left = _unit(jnp.matmul(matrix, vectors[1], precision=_HIGHEST))
        return left, _unit(jnp.matmul(left, matrix, precision=_HIGHEST))

    return jax.lax.fori_loop(
        0, iterations, iterate, (jnp.zeros(matrix.shape[0]), right)
    )


def largest_singular_value(
    matrix: Float[Array, "m d"], left: Float[Array, " m"], right: Float[Array, " d"]
) -> Float[Array, ""]:
    """`left^T matrix right`; its gradient is in the matrix alone, `left right^T`."""
    left, right = jax.lax.stop_gradient((left, right))
    found = jnp.matmul(matrix, right, precision=_HIGHEST)
    return jnp.matmul(left, found, precision=_HIGHEST)


def spectrally_normalised(
    module: nn.Module, kernel: Array, train: bool, output: int = -1
) -> Array:
    """A module's kernel divided by its largest singular value.

    The module gets the variables `left` and `right` of the collection `spectral`.

    Args:
      module: Whose kernel it is; called inside its compact method.
      kernel: Float32, of two axes or more.
      train: Iterate once and keep the vectors, if the collection is mutable; else take
        them as they are.
      output: The axis of the kernel's outputs; all others are rows of the matrix.

    Returns:
      Float32 of the kernel's shape.
    """
    matrix = jnp.moveaxis(kernel, output, -1)
    matrix = matrix.reshape(-1, matrix.shape[-1])
    first = (None, None)
    if not module.has_variable(COLLECTION, "right"):
        start = jax.random.normal(module.make_rng("params"), matrix.shape[1:])
        first = power_iteration(matrix, start, _FIRST_ITERATIONS)
    state = tuple(
        module.variable(COLLECTION, name, lambda value=value: value)
        for name, value in zip(("left", "right"), first, strict=True)
    )
    left, right = (each.value for each in state)
    if train and not module.is_initializing():
        left, right = power_iteration(matrix, right)
        if module.is_mutable_collection(COLLECTION):
            state[0].value, state[1].value = left, right
    value = largest_singular_value(matrix, left, right)
    return kernel / jnp.maximum(value, 1e-12)
