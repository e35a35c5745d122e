"""Arrays that XLA shall write out, where it would rather compute them in their sums."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Bool


def written_out(always: Bool[Array, ""], function: Callable[..., Any], *inputs: Any):
    """`function(*inputs)`, on CPU as a computation of its own.

    XLA on CPU fuses a sum with what it sums. A blend of windows then is no vector loop
    any more: to write it out and sum it is faster. Optimisation barriers are
    dropped before that. What a conditional gives it must write.

    Args:
      always: True, but not known to the compiler.
      function: Of arrays to a tree of arrays.
      *inputs: Trees of arrays.
    """
    if jax.default_backend() != "cpu":
        return function(*inputs)
    like = jax.eval_shape(function, *inputs)

    def never(*inputs):
        del inputs
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), like)

    return jax.lax.cond(always, function, never, *inputs)
