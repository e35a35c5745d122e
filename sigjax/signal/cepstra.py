"""Cepstra and their deltas on the device: what frames sound like, in few numbers.

Of Kaldi's log-mel filter bank (`sigjax.signal.fbank`) the first coefficients of an
orthonormal cosine transform, and regressions over time as in HTK and Kaldi:

  delta[t] = sum_k k (x[t + k] - x[t - k]) / (2 sum_k k^2),  k = 1, 2

with the first and last frame repeated beyond a clip's ends. A padded clip has the
deltas that it has alone. Liftering is left out: it scales coefficients, and whoever
compares frames standardises them.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.signal.fbank import FbankConfig, fbank, valid_frames
from sigjax.typing import Array, Float, Int

_REACH = 2


@dataclasses.dataclass(frozen=True, kw_only=True)
class CepstraConfig:
    """What a frame is described by.

    The defaults are those that HuBERT's first clusters are of (Hsu et al. 2021, arXiv
    2106.07447, section IV): 13 coefficients, deltas and their deltas: 39 numbers.

    Attributes:
      fbank: The filter bank.
      coefficients: Of the cosine transform, from the 0th; 0 for the filter bank itself.
      orders: Of deltas: 0 for none, 2 for deltas and their deltas.
    """

    fbank: FbankConfig = FbankConfig(n_mels=23, window="povey")
    coefficients: int = 13
    orders: int = 2

    def __post_init__(self):
        """Refuses more coefficients than bands."""
        if not 0 <= self.coefficients <= self.fbank.n_mels or self.orders < 0:
            raise ValueError(
                f"coefficients {self.coefficients} must be in [0, n_mels ="
                f" {self.fbank.n_mels}], orders {self.orders} at least 0"
            )

    @property
    def values(self) -> int:
        """Numbers of a frame."""
        return (self.coefficients or self.fbank.n_mels) * (1 + self.orders)


def cepstra(
    x: Float[Array, "b s"], samples: Int[Array, " b"], config: CepstraConfig
) -> Float[Array, "b t p"]:
    """Describes every frame of clips; a pure function, to be jitted.

    Args:
      x: Float32 `[b, s]` in units of full scale, at the filter bank's rate.
      samples: Int `[b]`, how many of each are no padding.
      config: How.

    Returns:
      Float32 `[b, t, values]`, at the filter bank's frames: coefficients, deltas,
      deltas of those. Frames beyond `fbank.valid_frames(samples)` mean nothing.

    Raises:
      ValueError: Clips are shorter than a frame.
    """
    found = fbank(x, config.fbank)
    if config.coefficients:
        matrix = cosines(config.fbank.n_mels, config.coefficients)
        found = jnp.matmul(found, matrix, precision=jax.lax.Precision.HIGHEST)
    parts = [found]
    valid = valid_frames(samples, config.fbank)
    for _ in range(config.orders):
        parts.append(deltas(parts[-1], valid))
    return jnp.concatenate(parts, axis=-1)


def cosines(values: int, coefficients: int) -> np.ndarray:
    """The orthonormal cosine transform (DCT-II), float32 `[values, coefficients]`."""
    place = np.arange(values)[:, None] + 0.5
    matrix = np.cos(np.pi / values * place * np.arange(coefficients))
    matrix *= np.sqrt(2 / values)
    matrix[:, 0] *= np.sqrt(0.5)
    return matrix.astype(np.float32)


def deltas(
    x: Float[Array, "b t p"], valid: Int[Array, " b"], reach: int = _REACH
) -> Float[Array, "b t p"]:
    """Slopes over time, a regression over `2 reach + 1` frames.

    Args:
      x: `[b, t, p]`.
      valid: Int `[b]`, frames of each that are no padding.
      reach: Frames to either side.
    """
    place, last = jnp.arange(x.shape[1]), jnp.maximum(valid - 1, 0)[:, None]

    def at(offset: int) -> Array:
        index = jnp.clip(place + offset, 0, last)
        return jnp.take_along_axis(x, index[..., None], axis=1)

    total = sum(k * (at(k) - at(-k)) for k in range(1, reach + 1))
    return jnp.asarray(total) / (2 * sum(k * k for k in range(1, reach + 1)))
