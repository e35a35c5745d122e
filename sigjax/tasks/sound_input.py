"""What comes between a batch of int16 clips and a model: scaling, Mixup, statistics."""

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.signal.mel import MelConfig, log_mel
from sigjax.typing import Array, Float, Int, PRNGKey

# Of a spectrogram without any variation: silence, or samples that never change.
_LEAST_STD_DB = 1e-3


class Mixed(NamedTuple):
    """Waves after Mixup.

    Attributes:
      wave: Float32 `[b, s]`.
      other: Int32 `[b]`, the label of what each was mixed with.
      share: Float32 `[b]`, how much of each is its own; 1 where it was not mixed.
    """

    wave: Array
    other: Array
    share: Array


def mix(
    key: PRNGKey,
    wave: Float[Array, "b s"],
    label: Int[Array, " b"],
    *,
    probability: float,
    alpha: float,
) -> Mixed:
    """Mixup: `share * own + (1 - share) * other`, the other of the same batch.

    Args:
      key: Decides who is mixed, with whom and how much.
      wave: Float32 `[b, s]`.
      label: Int `[b]`.
      probability: That an example is mixed.
      alpha: The share is drawn from Beta(alpha, alpha).

    Returns:
      Mixed waves, and what the labels are made of.
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


def dequantised(wave: Array) -> Array:
    """Int16 samples in units of full scale, float32; floating ones as they are."""
    if jnp.issubdtype(wave.dtype, jnp.integer):
        return wave.astype(jnp.float32) / 32768
    return wave.astype(jnp.float32)


@functools.partial(jax.jit, static_argnames="mel")
def _moments(wave: Array, weight: Array, mel: MelConfig):
    """Rows, and the mean and mean squared deviation of their log-mel."""
    x = log_mel(dequantised(wave), mel)
    counted = (weight > 0)[:, None, None]
    values = (weight > 0).sum() * x.shape[1] * x.shape[2]
    mean = jnp.where(counted, x, 0.0).sum() / values
    error = jnp.where(counted, jnp.square(x - mean), 0.0).sum() / values
    return values, mean, error


def input_statistics(
    batches: Iterable[Mapping[str, Any]], mel: MelConfig
) -> dict[str, np.ndarray]:
    """Mean and standard deviation of the log-mel of clips, over all bands and frames.

    Args:
      batches: Each with `wave` int16 `[b, s]` and, if some rows are padding, `weight`
        `[b]`, 0 there. An endless stream has to be cut before.
      mel: Of the task, with its high-pass.

    Returns:
      `mean` and `std`, float32 scalars in dB: the `statistics` of `given`.

    Raises:
      ValueError: There are no clips, or their spectrograms never change: silence.
    """
    count, mean, deviation = 0, 0.0, 0.0  # the last is a sum of squares
    for batch in batches:
        weight = batch.get("weight", np.ones(len(batch["wave"]), np.float32))
        if not np.any(np.asarray(weight) > 0):
            continue
        found = jax.device_get(_moments(batch["wave"], weight, mel))
        own, own_mean, own_error = int(found[0]), float(found[1]), float(found[2])
        # Chan et al. 1979: two sets' moments give those of their union.
        shift, both = own_mean - mean, count + own
        deviation += own * own_error + shift * shift * count * own / both
        mean += shift * own / both
        count = both
    std = math.sqrt(deviation / count) if count else 0.0
    if not std > _LEAST_STD_DB or not math.isfinite(std):
        raise ValueError(
            f"the log-mel of {count} values has a standard deviation of {std:g} dB:"
            " there must be clips, and not silence alone"
        )
    return {"mean": np.asarray(mean, np.float32), "std": np.asarray(std, np.float32)}
