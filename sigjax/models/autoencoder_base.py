"""What an autoencoder adds to: the mean example, or principal components.

A network that has to draw the mean of its examples, too, spends most of a short
training on that; and components that carry little variance are learnt last, whatever
the optimizer. Both are known in closed form.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import flax.linen as nn
import jax.numpy as jnp

from sigjax.nn.conv import precision
from sigjax.nn.layer_grammar import Layer, Shape
from sigjax.typing import Array, Float

Base = Literal["none", "mean", "principal"]


def check_base(
    base: str, code: Shape, values: int, last: Layer, residual: bool
) -> None:
    """Refuses a base that the network cannot add to.

    Args:
      base: Which.
      code: Shape of a code, without the batch.
      values: Of an example.
      last: The decoder's last layer.
      residual: Whether the input is added already.

    Raises:
      ValueError: Says what to change.
    """
    if base not in get_args(Base):
        raise ValueError(f"a base is one of {', '.join(get_args(Base))}, got {base!r}")
    if base == "none":
        return
    if residual:
        raise ValueError(f"residual adds the input: base={base!r} cannot be added, too")
    if last.activation != "identity":
        raise ValueError(
            f"base={base!r} adds to what is decoded: the decoder must end in"
            f" 'identity', not {last.activation!r}"
        )
    if base == "principal" and (len(code) != 1 or code[0] > values):
        raise ValueError(
            "base='principal' has a component for each number of the code: it must be"
            f" a vector of {values} numbers at most, got {code}"
        )


class AutoencoderBase(nn.Module):
    """Examples less their mean, and principal components.

    Collection `statistics`: `mean` `[*input_shape]` and `scale` `[]`, 0 and 1 unless
    they are set from training examples, and of `"principal"` `components` `[k, p]`,
    orthonormal rows of deviations over `scale`, and `spread` `[k]`, the standard
    deviation of each. They do not learn. Parameter `gain` `[2]`: factors of what
    encoder and decoder add to the components, which start at 0 (as in Bachlechner et
    al. 2021, arXiv 2003.04887): untrained, the whole is PCA.

    Attributes:
      kind: `"mean"` or `"principal"`.
      shape: Of an example, without the batch.
      size: Numbers in a code.
    """

    kind: Base
    shape: Sequence[int]
    size: int

    def setup(self):
        """Statistics and factors."""
        shape, values = tuple(self.shape), 1
        for length in shape:
            values *= length
        self.mean = self.variable("statistics", "mean", jnp.zeros, shape)
        self.scale = self.variable("statistics", "scale", jnp.ones, ())
        if self.kind == "principal":
            zeros, rows = jnp.zeros, (self.size, values)
            self.components = self.variable("statistics", "components", zeros, rows)
            self.spread = self.variable("statistics", "spread", jnp.ones, (self.size,))
            self.gain = self.param("gain", nn.initializers.zeros_init(), (2,))

    def deviations(self, x: Float[Array, "b *a"]) -> Float[Array, "b *a"]:
        """Float32, shaped as examples: what the encoder is given."""
        # Out of a file they are NumPy's.
        mean, scale = jnp.asarray(self.mean.value), jnp.asarray(self.scale.value)
        return (x.astype(jnp.float32) - mean) / scale

    def code(
        self, encoded: Float[Array, "b k"], deviations: Float[Array, "b *a"]
    ) -> Float[Array, "b k"]:
        """Codes: components of unit variance, and what the encoder adds."""
        if self.kind != "principal":
            return encoded
        flat = deviations.reshape(len(deviations), -1)
        rows = jnp.asarray(self.components.value)
        found = jnp.matmul(flat, rows.T, precision=precision(flat.dtype))
        return found / self.spread.value + self.gain[0] * encoded

    def examples(
        self, decoded: Float[Array, "b *a"], code: Float[Array, "b *k"]
    ) -> Float[Array, "b *a"]:
        """Float32 examples of codes and of what the decoder makes of them."""
        decoded = decoded.astype(jnp.float32)
        if self.kind == "principal":
            rows = jnp.asarray(self.components.value)
            scaled = code.astype(jnp.float32) * self.spread.value
            linear = jnp.matmul(scaled, rows, precision=precision(scaled.dtype))
            decoded = linear.reshape(decoded.shape) + self.gain[1] * decoded
        return self.mean.value + self.scale.value * decoded
