"""Pure samplers of which tokens to hide."""

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Bool, Int, PRNGKey


def masked_count(tokens: int, rate: float) -> int:
    """How many of `tokens` a masking rate hides: `round(rate * tokens)`.

    Raises:
      ValueError: If that leaves nothing masked or nothing visible.
    """
    count = round(rate * tokens)
    if not 0 < count < tokens:
        raise ValueError(
            f"a mask rate of {rate} hides {count} of {tokens} tokens; at least one must"
            " be masked and at least one visible"
        )
    return count


def random_masked_index(key: PRNGKey, tokens: int, count: int) -> Int[Array, " m"]:
    """A uniformly random subset of exactly `count` positions, in ascending order.

    Args:
      key: Randomness; equal keys give equal subsets.
      tokens: How many positions there are.
      count: How many to choose.

    Returns:
      Int32 `[count]`.
    """
    order = jnp.argsort(jax.random.uniform(key, (tokens,)))
    return jnp.sort(order[:count])


def index_to_mask(index: Int[Array, "b m"], tokens: int) -> Bool[Array, "b n"]:
    """Bool `[b, tokens]`, true at the positions in `index` `[b, m]`."""
    rows = jnp.arange(index.shape[0])[:, None]
    return jnp.zeros((index.shape[0], tokens), bool).at[rows, index].set(True)
