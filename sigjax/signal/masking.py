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


def random_span_mask(
    key: PRNGKey, tokens: int, valid: Int[Array, ""], *, rate: float, length: int
) -> Bool[Array, " n"]:
    """Hides spans of consecutive positions, as wav2vec 2.0 and HuBERT do.

    Spans begin at `rate * valid` different places, drawn uniformly among those where
    one fits (rounded up or down at random, at least one), and may overlap: of long rows
    `1 - (1 - rate) ** length` is hidden, 57 % with 0.08 and 10.

    A span has at most half of the row's positions, so that short rows keep something to
    tell the rest from. A row of a single position hides nothing.

    Args:
      key: Randomness.
      tokens: Positions, with padding.
      valid: Int `[]`, how many of them are no padding.
      rate: Spans for each valid position.
      length: Of a span.

    Returns:
      Bool `[tokens]`, true where hidden; never in padding.
    """
    order_key, round_key = jax.random.split(key)
    place = jnp.arange(tokens)
    span = jnp.minimum(length, valid // 2)
    places = valid - span + 1
    wanted = jnp.floor(rate * valid + jax.random.uniform(round_key))
    order = jnp.where(place < places, jax.random.uniform(order_key, (tokens,)), 2.0)
    rank = jnp.argsort(jnp.argsort(order))
    begun = jnp.cumsum((rank < jnp.maximum(wanted, 1)) & (place < places))
    ended = jnp.where(place < span, 0, begun[jnp.maximum(place - span, 0)])
    return begun > ended
