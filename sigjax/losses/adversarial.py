"""Losses of two networks against each other, and the critic's gradient penalty.

A critic gives each example one number, its logit for "real". With s the sigmoid, a
generator that makes `g` and a critic `D`:

  min-max         critic -log s(D(x)) - log(1 - s(D(g))), generator log(1 - s(D(g))):
                  Goodfellow et al. 2014 (arXiv 1406.2661), equation 1
  non-saturating  the same critic, generator -log s(D(g)): the same paper, section 3
  hinge           critic max(0, 1 - D(x)) + max(0, 1 + D(g)), generator -D(g): Miyato
                  et al. 2018 (arXiv 1802.05957), equations 16 and 17

Of an example, the generator's gradient in the non-saturating game is that of min-max
times exp(-D(g)): it points the same way and is equal where the critic cannot tell, but
it stays large while the critic rejects all that is made.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float

Game = Literal["non_saturating", "min_max", "hinge"]


def critic_loss(
    game: Game, real: Float[Array, " b"], made: Float[Array, " b"]
) -> Float[Array, " b"]:
    """What the critic minimises.

    Args:
      game: See the module; `"min_max"` and `"non_saturating"` share the critic.
      real: Its logits of data, float32 `[b]`.
      made: Of what the generator made, one for each of data; no gradient of this loss
        belongs to the generator.

    Returns:
      Float32 `[b]`.

    Raises:
      ValueError: No such game.
    """
    if game == "hinge":
        return jax.nn.relu(1 - real) + jax.nn.relu(1 + made)
    _check(game)
    return jax.nn.softplus(-real) + jax.nn.softplus(made)


def generator_loss(game: Game, made: Float[Array, " b"]) -> Float[Array, " b"]:
    """What the generator minimises, of the critic's logits `[b]` of what it made.

    Raises:
      ValueError: No such game.
    """
    if game == "hinge":
        return -made
    _check(game)
    if game == "min_max":
        return -jax.nn.softplus(made)
    return jax.nn.softplus(-made)


def _check(game: str) -> None:
    if game not in ("non_saturating", "min_max"):
        raise ValueError(f"game must be non_saturating, min_max or hinge, got {game!r}")


def squared_gradient(
    critic: Callable[[Array], Float[Array, " b"]], x: Float[Array, "b *shape"]
) -> Float[Array, " b"]:
    """Squared norm of the critic's gradient in each example, exact.

    On real data, times half a weight, it is R1 (Mescheder et al. 2018, arXiv
    1801.04406, equation 9). If the critic normalises over the batch, an example's
    gradient is that of all scores' sum.

    Args:
      critic: Examples to logits `[b]`.
      x: Float32 `[b, ...]`.

    Returns:
      Float32 `[b]`.
    """
    gradient = jax.grad(lambda x: critic(x).sum())(x)
    return jnp.square(gradient).reshape(len(x), -1).sum(axis=1)
