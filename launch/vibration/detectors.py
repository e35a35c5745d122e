"""Detectors of the study: what learns nothing, PCA, and autoencoders of two inputs."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA

from sigjax.data.synthetic.bearing import PASSING_HZ, RATE_HZ
from sigjax.evals import vibration_numbers as numbers
from sigjax.inference.anomaly_detector import AutoencoderDetector

# Around the resonance that blows excite, above the shaft's harmonics.
BAND_HZ = (1000.0, 3900.0)
NOTHING, WINDOWS, SPECTRA = "a number", "windows", "envelope spectra"
_LINES, _CODE = 64, 16
_DENSE = {"widths": (128, 64), "code": _CODE}
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "AE": _DENSE,
    "conv AE": {"kind": "conv", "widths": (8, 16, 16), "code": _CODE},
    "VAE": {**_DENSE, "latent": "gaussian"},
    "denoising AE": {**_DENSE, "noise": 0.5},
}
# Spectra are an eighth as long as windows.
_EPOCHS_OF_SPECTRA = 3


class Detector(NamedTuple):
    """A detector after training.

    Attributes:
      name: Of it.
      seen: What it is given: `NOTHING`, `WINDOWS` or `SPECTRA`.
      trained: Whether it is a network.
      score: Of recordings `[r, w, s]`, float64 `[r, w]`; `[r, 1]` if it is one number
        of a recording. Higher is odder.
    """

    name: str
    seen: str
    trained: bool
    score: Callable[[np.ndarray], np.ndarray]


def spectra(x: np.ndarray) -> np.ndarray:
    """Envelope spectra in decibels, float64 `[..., 64]` of windows `[..., s]`.

    Without the mean: of 512 samples at 8 kHz they are 15.6 Hz apart and end at 1 kHz.
    """
    power = numbers.envelope_spectrum(x.astype(np.float64), RATE_HZ, BAND_HZ)
    return numbers.decibels(power[..., 1 : _LINES + 1])


def fitted(
    train: np.ndarray, *, epochs: int, seed: int, networks: Mapping[str, Any] = NETWORKS
) -> Iterator[Detector]:
    """All detectors, in the order of the tables.

    Args:
      train: Healthy recordings `[r, w, s]`.
      epochs: Of networks of windows.
      seed: Of networks.
      networks: By name, parameters of `AutoencoderDetector`.
    """
    for name, number in _NUMBERS.items():
        yield Detector(name, NOTHING, False, number)
    inputs = {WINDOWS: lambda x: x.astype(np.float64), SPECTRA: spectra}
    for seen, look in inputs.items():
        rows = look(train).reshape(-1, look(train[:1]).shape[-1])
        yield Detector("PCA", seen, False, _pca(rows, look))
        if seen == SPECTRA:
            yield Detector("Mahalanobis", seen, False, _mahalanobis(rows, look))
        for name, given in networks.items():
            times = _EPOCHS_OF_SPECTRA if seen == SPECTRA else 1
            made = AutoencoderDetector(
                **given, epochs=times * epochs, held_out=0.0, random_state=seed
            ).fit(rows[..., None].astype(np.float32))
            yield Detector(name, seen, True, _network(made, look))


def _root_mean_square(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float64).std(axis=-1)


def _kurtosis(x: np.ndarray) -> np.ndarray:
    return numbers.kurtosis(x.astype(np.float64))


def _kurtosis_of_band(x: np.ndarray) -> np.ndarray:
    return numbers.kurtosis(np.real(numbers.analytic(x, RATE_HZ, BAND_HZ)))


def _passing_line(x: np.ndarray) -> np.ndarray:
    """Of a recording at once: a window is too short to tell lines apart."""
    whole = x.reshape(len(x), -1).astype(np.float64)
    return numbers.passing_line(whole, RATE_HZ, BAND_HZ, PASSING_HZ)[:, None]


_NUMBERS = {
    "root mean square": _root_mean_square,
    "kurtosis": _kurtosis,
    "kurtosis above 1 kHz": _kurtosis_of_band,
    "envelope's passing line": _passing_line,
}


def _pca(rows: np.ndarray, look: Callable) -> Callable[[np.ndarray], np.ndarray]:
    """The residual of as many components as the codes have numbers."""
    spread = rows.std()
    pca = PCA(min(_CODE, *rows.shape)).fit(rows / spread)

    def score(x: np.ndarray) -> np.ndarray:
        given = look(x) / spread
        flat = given.reshape(-1, given.shape[-1])
        rest = flat - pca.inverse_transform(pca.transform(flat))
        return np.square(rest).mean(axis=-1).reshape(x.shape[:2])

    return score


def _mahalanobis(rows: np.ndarray, look: Callable) -> Callable:
    cloud = LedoitWolf().fit(rows)

    def score(x: np.ndarray) -> np.ndarray:
        given = look(x)
        flat = given.reshape(-1, given.shape[-1])
        return cloud.mahalanobis(flat).reshape(x.shape[:2])

    return score


def _network(made: AutoencoderDetector, look: Callable) -> Callable:
    def score(x: np.ndarray) -> np.ndarray:
        given = look(x).astype(np.float32)
        flat = given.reshape(-1, given.shape[-1], 1)
        return made.anomaly_score(flat).reshape(x.shape[:2])

    return score
