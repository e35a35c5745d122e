"""Codes of which few values are active at a time.

The slides "Autoencoders" show the two penalties as pictures. They are the sum of
absolute values, and Ng's divergence (CS294A lecture notes, "Sparse autoencoder",
Sect. 3): `sum_j KL(rho || rho^_j)` between a wanted activation and that of unit j,
averaged over the examples.

The divergence takes activations for probabilities. They have to lie in (0, 1), as a
sigmoid's do; there is no KL of a ReLU, and no clipping here that would make one.
"""

import dataclasses
from typing import Literal

import jax.numpy as jnp

from sigjax.typing import Array, Float

# A sigmoid is exactly 0 or 1 in float32 from about 100 or 17 on; log(0) is no penalty.
_LEAST = 1e-6


@dataclasses.dataclass(frozen=True, kw_only=True)
class SparsityConfig:
    """How codes are made sparse.

    Attributes:
      kind: `"l1"`, or `"kl"` for codes that end in a sigmoid.
      weight: The penalty's factor (lambda or beta).
      rho: Wanted mean activation, of `"kl"`.
      active: A value counts as active above this size, in the reported share.
    """

    kind: Literal["l1", "kl"] = "l1"
    weight: float | int
    rho: float = 0.05
    active: float | int = 0.01

    def __post_init__(self):
        """Refuses values without meaning."""
        if self.weight < 0:
            raise ValueError(f"weight must be >= 0, got {self.weight}")
        if not 0 < self.rho < 1:
            raise ValueError(f"rho must be in (0, 1), got {self.rho}")
        if self.active < 0:
            raise ValueError(f"active must be >= 0, got {self.active}")


def l1(code: Float[Array, "b *a k"]) -> Float[Array, " b"]:
    """`sum_j |h_j|` of each example, float32 `[b]`."""
    value = jnp.abs(code.astype(jnp.float32))
    return value.sum(axis=tuple(range(1, code.ndim)))


def mean_activation(code: Float[Array, "b *a k"]) -> Float[Array, "b k"]:
    """Each example's activation of every unit: `[b, ..., k]` to float32 `[b, k]`.

    A unit of a convolutional code is a channel: its positions share the weights, so
    they are averaged. The mean over the batch is `rho^`.
    """
    return code.astype(jnp.float32).mean(axis=tuple(range(1, code.ndim - 1)))


def kl(rho: float, activation: Float[Array, " k"]) -> Float[Array, ""]:
    """`sum_j rho log(rho / rho^_j) + (1 - rho) log((1 - rho) / (1 - rho^_j))`.

    Args:
      rho: The wanted activation, in (0, 1).
      activation: Float `[k]`, `rho^`: the mean of each unit over a batch.

    Returns:
      Float32 `[]`, at least 0; 0 if every unit has the wanted activation, NaN if one
      lies outside of [0, 1]. Of units nearer to 0 or 1 than 1e-6 it is that of 1e-6.
    """
    activation = jnp.asarray(activation, jnp.float32)
    inside = jnp.clip(activation, _LEAST, 1 - _LEAST)
    value = rho * jnp.log(rho / inside)
    value = value + (1 - rho) * jnp.log((1 - rho) / (1 - inside))
    valid = (activation >= 0) & (activation <= 1)
    return jnp.where(valid, value, jnp.nan).sum()


def active_share(
    code: Float[Array, "b *a k"], threshold: float | int
) -> Float[Array, " b"]:
    """Share of each example's code that is larger than `threshold` in size, `[b]`."""
    return (jnp.abs(code) > threshold).mean(
        axis=tuple(range(1, code.ndim)), dtype=jnp.float32
    )
