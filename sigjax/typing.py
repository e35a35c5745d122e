"""Array types and the legend of dimension letters.

The same letter means the same thing in annotations, einsum strings and the
suffix of a name:

  b batch        s samples     c channels     t frames       f bins
  n tokens       m masked      p patch values d width        h heads
  k head dim     v classes     w windows

Annotations are checked in the test suite, by jaxtyping's import hook and
beartype. Models, losses, signal steps and the training step must import on a bare
accelerator image, so without jaxtyping the annotations fall back to plain text.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax

Array = jax.Array
PRNGKey = jax.Array
PyTree = Any
Params = Mapping[str, Any]
Batch = Mapping[str, jax.Array]

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int, Num, Shaped
else:
    try:
        from jaxtyping import Bool, Float, Int, Num, Shaped
    except ImportError:

        class _Unchecked:
            """`Float[Array, "b s"]` without jaxtyping: the array type alone."""

            def __class_getitem__(cls, item):
                return item[0]

        Bool = Float = Int = Num = Shaped = _Unchecked


class LossOutput(NamedTuple):
    """What a task's loss returns.

    Attributes:
      loss: Float32 `[e]`, one value per example. An example is what the model sees at
        once (a window), so `e` may be a multiple of the batch's leading dimension.
      metrics: Float32 `[e]` each, the loss's components.
      model_state: The updated collections besides `params` (batch statistics), or `{}`.
    """

    loss: Array
    metrics: Mapping[str, Array]
    model_state: PyTree


__all__ = [
    "Array",
    "Batch",
    "Bool",
    "Float",
    "Int",
    "LossOutput",
    "Num",
    "PRNGKey",
    "Params",
    "PyTree",
    "Shaped",
]
