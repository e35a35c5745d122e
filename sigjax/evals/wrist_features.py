"""Features of short patches of wrist acceleration that nobody learned: bars, controls.

What an encoder is worth shows only beside them: `hand_made` is what a sensible user
would try first, `position` holds no signal at all and tells what a script gives away,
`log_spectrum` is what the LMM loss asks a masked autoencoder to predict.
"""

from typing import Literal

import numpy as np

Feature = Literal["hand_made", "mean_sd", "log_spectrum", "samples", "position"]

_FLOOR_G = 1e-2
_END_SAMPLES = 5
_BINS = 10
_PLACES = 16
_PARTS = 12


def hand_made(patch: np.ndarray) -> np.ndarray:
    """83 statistics of each patch: of x, y, z and the vector's length.

    Mean, sd, extremes, quartiles, change from the first to the last sixth of a second,
    mean and sd of sample-to-sample differences; the log spectrum of the lowest bins
    without the mean; correlations of the axes.

    Args:
      patch: Float `[r, s, 3]`, g; at least 20 samples for all bins.

    Returns:
      Float64 `[r, 83]` for 20 samples or more.
    """
    x = np.asarray(patch, np.float64).swapaxes(1, 2)
    z = np.concatenate([x, np.linalg.norm(x, axis=1, keepdims=True)], axis=1)
    step = np.diff(z, axis=2)
    quartiles = np.percentile(z, [25, 50, 75], axis=2)
    statistics = [
        z.mean(axis=2),
        z.std(axis=2),
        z.min(axis=2),
        z.max(axis=2),
        *quartiles,
        z[..., -_END_SAMPLES:].mean(axis=2) - z[..., :_END_SAMPLES].mean(axis=2),
        np.abs(step).mean(axis=2),
        step.std(axis=2),
    ]
    window = np.hanning(z.shape[2])
    flat = (z - z.mean(axis=2, keepdims=True)) * window
    spectrum = np.abs(np.fft.rfft(flat))[..., :_BINS]
    spectrum = np.log(spectrum + _FLOOR_G).reshape(len(z), -1)
    return np.concatenate([*statistics, spectrum, _correlations(x)], axis=1)


def _correlations(x: np.ndarray) -> np.ndarray:
    """Of x with y, x with z, y with z: `[r, 3, s]` to `[r, 3]`; 0 for a still axis."""
    apart = x - x.mean(axis=2, keepdims=True)
    size = np.sqrt((apart**2).sum(axis=2))
    pairs = [(0, 1), (0, 2), (1, 2)]
    found = []
    for a, b in pairs:
        scale = size[:, a] * size[:, b]
        product = (apart[:, a] * apart[:, b]).sum(axis=1)
        found.append(np.divide(product, scale, where=scale > 0, out=np.zeros(len(x))))
    return np.stack(found, axis=1)


def mean_sd(patch: np.ndarray) -> np.ndarray:
    """Mean and sd of each axis: `[r, s, 3]` to `[r, 6]`."""
    return np.concatenate([patch.mean(axis=1), patch.std(axis=1)], axis=1)


def samples(patch: np.ndarray) -> np.ndarray:
    """The patch itself: `[r, s, 3]` to `[r, 3 s]`."""
    return patch.swapaxes(1, 2).reshape(len(patch), -1)


def position(place: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Where in its recording a label window lies; no signal.

    Args:
      place: Int `[r]`, from 0.
      count: Int `[r]`, label windows of that recording.

    Returns:
      Float64 `[r, 47]`: place from the start, from the end and relative, and indicators
      of the first and last 16 places and of relative twelfths, so that a linear model
      can tell the parts of a short script apart.
    """
    before, after = place.astype(np.int64), (count - 1 - place).astype(np.int64)
    relative = (before + 0.5) / count
    numbers = np.stack([before, after, relative], axis=1)
    indicators = [(side[:, None] == np.arange(_PLACES)) for side in (before, after)]
    indicators.append((relative * _PARTS).astype(int)[:, None] == np.arange(_PARTS))
    return np.concatenate([numbers, *indicators], axis=1).astype(np.float64)
