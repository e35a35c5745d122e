"""Stochastic depth: whole residual branches left out, example by example."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float


class DropPath(nn.Module):
    """Zeroes the branch of each example with probability `rate` while training.

    What is kept is divided by `1 - rate` (Huang et al. 2016, in the form that
    published transformers have).

    Attributes:
      rate: In [0, 1).
    """

    rate: float

    def __post_init__(self):
        """Refuses rates without meaning."""
        if not 0 <= self.rate < 1:
            raise ValueError(f"a drop path rate lies in [0, 1), got {self.rate}")
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Float[Array, "b *a"], train: bool) -> Float[Array, "b *a"]:
        """Draws from the stream `"drop_path"`; the identity unless training."""
        if not train or self.rate == 0:
            return x
        shape = (x.shape[0],) + (1,) * (x.ndim - 1)
        keep = jax.random.bernoulli(self.make_rng("drop_path"), 1 - self.rate, shape)
        return jnp.where(keep, x / (1 - self.rate), 0).astype(x.dtype)
