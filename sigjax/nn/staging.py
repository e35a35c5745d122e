"""Arrays that XLA shall write out, where it would rather compute them in their sums."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float


def written_out(
    function: Callable[..., Any], *inputs: Any, unknown: Float[Array, "*a"]
):
    """`function(*inputs)`, on CPU as a computation of its own.

    XLA on CPU fuses what is computed with its uses, and computes it again in each: the
    25 products of a value of a 5x5 convolution once for the mean of its row, once for
    the variance and once for the result. A sum over a blend is no vector loop any more,
    either. Optimisation barriers are dropped before that happens. What a conditional
    gives it must write.

    Args:
      function: Of arrays to a tree of arrays; differentiable if it is.
      *inputs: Trees of arrays.
      unknown: Its first number is asked, for nothing, so the compiler must not know it.
        On several devices it costs least if all have it: a kernel.
    """
    if jax.default_backend() != "cpu" or not unknown.size:
        return function(*inputs)
    like = jax.eval_shape(function, *inputs)

    def never(*inputs):
        del inputs
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)

    value = jax.lax.stop_gradient(unknown).reshape(-1)[0]
    always = (value == value) | (value != value)
    return jax.lax.cond(always, function, never, *inputs)
