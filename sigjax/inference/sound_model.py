"""What models of windows of sound share: their length, their waves, their batches."""

import abc
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.config import build
from sigjax.inference.base import BundleError, SignalConfig


class SoundWindowModel(abc.ABC):
    """A network that takes windows of one channel of sound.

    Attributes:
      params: Float32 parameters.
      config: Architecture and task.
      signal: What it takes in.
      info: The whole of `bundle.json`.
    """

    config: Any

    def __init__(self, params: Any, info: Mapping[str, Any]):
        """Takes the parameters; the config is the kind's own matter."""
        self.params = jax.tree.map(jnp.asarray, params)
        self.info = info
        self.signal = build(SignalConfig, info["signal"], path="signal")

    @property
    @abc.abstractmethod
    def rate_hz(self) -> int:
        """Sampling rate of the waves that it takes."""

    @property
    def window_s(self) -> float:
        """Length of what it sees at once."""
        return self.config.task.window_s

    @property
    def samples(self) -> int:
        """Samples of a window."""
        return self.config.task.samples

    def _count(self) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(self.params))

    def _windows(self, wave: Any) -> jax.Array:
        """Windows `[b, s]`.

        Raises:
          BundleError: They have another length.
        """
        wave = jnp.asarray(wave)
        if wave.ndim != 2 or wave.shape[1] != self.samples:
            raise BundleError(
                f"expected [batch, {self.samples}], windows of {self.window_s:g} s at"
                f" {self.rate_hz} Hz, got {tuple(wave.shape)}"
            )
        return wave


def rows_for(count: int, most: int) -> int:
    """Rows of a batch of so many windows: a power of two, or `most`.

    Few sizes, each of which compiles once: a single clip does not pay for many.
    """
    return min(most, 1 << (count - 1).bit_length())


def floating(wave: np.ndarray) -> np.ndarray:
    """Float32 in units of full scale, of int16 or floating samples.

    Raises:
      BundleError: They are others.
    """
    if np.issubdtype(wave.dtype, np.integer):
        if wave.dtype != np.int16:
            raise BundleError(f"expected int16 or floating samples, got {wave.dtype}")
        return wave.astype(np.float32) / np.float32(32768)
    return wave.astype(np.float32, copy=False)


def resampled(wave: np.ndarray, rate_hz: float | None, wanted: int) -> np.ndarray:
    """A wave `[s]` at another rate; as it is, if it has that or nobody says."""
    if rate_hz is None or rate_hz == wanted:
        return wave
    import soxr

    return soxr.resample(floating(np.asarray(wave)), rate_hz, wanted, quality="HQ")
