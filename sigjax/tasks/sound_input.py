"""What comes between a batch of int16 clips and a model: scaling and statistics."""

import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.signal.mel import MelConfig, log_mel
from sigjax.typing import Array

# Of a spectrogram without any variation: silence, or samples that never change.
_LEAST_STD = 1e-3


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

    def parts() -> Iterator[tuple[int, float, float]]:
        for batch in batches:
            weight = batch.get("weight", np.ones(len(batch["wave"]), np.float32))
            if np.any(np.asarray(weight) > 0):
                found = jax.device_get(_moments(batch["wave"], weight, mel))
                yield int(found[0]), float(found[1]), float(found[2])

    return pooled(parts(), what="log-mel", unit=" dB")


def pooled(
    parts: Iterable[tuple[int, float, float]], *, what: str, unit: str
) -> dict[str, np.ndarray]:
    """Mean and standard deviation of what several parts hold together.

    Args:
      parts: Number of values, their mean and mean squared deviation from it.
      what: They are, for messages.
      unit: Of them, likewise.

    Raises:
      ValueError: There are no values, or they are all alike.
    """
    count, mean, deviation = 0, 0.0, 0.0  # the last is a sum of squares
    for own, own_mean, own_error in parts:
        # Chan et al. 1979: two sets' moments give those of their union.
        shift, both = own_mean - mean, count + own
        deviation += own * own_error + shift * shift * count * own / both
        mean += shift * own / both
        count = both
    std = math.sqrt(deviation / count) if count else 0.0
    if not std > _LEAST_STD or not math.isfinite(std):
        raise ValueError(
            f"the {what} of {count} values has a standard deviation of {std:g}{unit}:"
            " there must be clips, and not silence alone"
        )
    return {"mean": np.asarray(mean, np.float32), "std": np.asarray(std, np.float32)}
