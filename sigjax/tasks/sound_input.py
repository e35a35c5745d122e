"""What comes between a batch of int16 clips and a model: scaling and statistics."""

import functools
import math
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.signal.mel import MelConfig, log_mel
from sigjax.typing import Array

# Of a spectrogram without any variation: silence, or samples that never change.
_LEAST_STD_DB = 1e-3


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
