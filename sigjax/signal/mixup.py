"""Mixup: each wave of a batch with another of it (Zhang et al. 2018, arXiv 1710.09412).

AST mixes waves too, half of the examples with shares from Beta(10, 10):
`mix(key, wave, target, probability=0.5, alpha=10)`. It removes means before and after,
which changes nothing for `sigjax.signal.fbank`, where frames lose theirs. Padding: the
frames of the mixed wave beyond an example's own end are the other's; `fit_frames` with
the example's own number of valid frames takes them out, as AST cuts the other wave.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float, PRNGKey, Shaped


class Mixed(NamedTuple):
    """Waves after Mixup.

    Attributes:
      wave: Float32 `[b, s]`.
      other: `[b, ...]` as the labels given, those of what each was mixed with.
      share: Float32 `[b]`, how much of each is its own; 1 where it was not mixed.
    """

    wave: Array
    other: Array
    share: Array


def mix(
    key: PRNGKey,
    wave: Float[Array, "b s"],
    label: Shaped[Array, "b *v"],
    *,
    probability: float | int,
    alpha: float | int,
) -> Mixed:
    """Mixup: `share * own + (1 - share) * other`, the other of the same batch.

    Args:
      key: Decides who is mixed, with whom and how much.
      wave: Float32 `[b, s]`.
      label: Int `[b]` classes, or float `[b, v]` targets, of several labels too.
      probability: That an example is mixed.
      alpha: The share is drawn from Beta(alpha, alpha).

    Returns:
      Mixed waves, and what the labels are made of (`mixed_target`).
    """
    chosen_key, share_key, other_key = jax.random.split(key, 3)
    rows = (len(wave),)
    if alpha == 1:  # uniform: no rejection sampling to compile and run
        share = jax.random.uniform(share_key, rows)
    else:
        share = jax.random.beta(share_key, alpha, alpha, rows)
    share = jnp.where(jax.random.uniform(chosen_key, rows) < probability, share, 1.0)
    other = jax.random.permutation(other_key, len(wave))
    mixed = share[:, None] * wave + (1 - share[:, None]) * wave[other]
    return Mixed(mixed, label[other], share)


def mixed_target(
    own: Float[Array, "b v"], other: Float[Array, "b v"], share: Float[Array, " b"]
) -> Float[Array, "b v"]:
    """`share * own + (1 - share) * other`: of one-hot rows, or of several labels.

    Args:
      own: Float `[b, v]`, targets of the batch.
      other: Float `[b, v]`, of what each was mixed with.
      share: Float `[b]`, see `Mixed`.
    """
    return share[:, None] * own + (1 - share[:, None]) * other
