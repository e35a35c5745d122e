"""A task's function over all examples of a set, batch by batch."""

import operator
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from sigjax.typing import PyTree


def over(
    function: Callable[..., PyTree], x: np.ndarray, *given: Any, batch_size: int
) -> PyTree:
    """Applies a function of the last argument to all rows of `x`.

    Args:
      function: `(*given, x [b, ...]) -> pytree` of arrays `[b, ...]`; it is compiled
        for one size of batch.
      x: `[n, ...]`.
      *given: Such as variables.
      batch_size: Rows at once.

    Returns:
      NumPy arrays `[n, ...]`.
    """
    compiled = jax.jit(function)
    size = min(batch_size, len(x))
    parts = []
    for start in range(0, len(x), size):
        some = x[start : start + size]
        filled = np.concatenate([some, np.repeat(some[-1:], size - len(some), axis=0)])
        out = jax.device_get(compiled(*given, filled))
        rows = slice(len(some))
        parts.append(jax.tree.map(operator.itemgetter(rows), out))
    return jax.tree.map(lambda *values: np.concatenate(values), *parts)
