"""Points of the plane of a known density: what a generator or a denoiser has learnt."""

import math

import numpy as np

from sigjax.data.examples.config import PointsConfig
from sigjax.data.examples.example_set import example_set
from sigjax.data.examples.loaded import Loaded, undivided

_TURNS = 1.5
_INNER = 0.2  # Of the radius: where the spiral begins.


def ring_centres(config: PointsConfig) -> np.ndarray:
    """Means of the ring's Gaussians, float32 `[modes, 2]`; the first lies on +x."""
    angle = 2 * math.pi * np.arange(config.modes) / config.modes
    return (config.radius * spun(angle)).astype(np.float32)


def spiral(share: np.ndarray, config: PointsConfig) -> np.ndarray:
    """Points on the curve, float64 `[n, 2]`, at shares of its angle in [0, 1]."""
    reach = config.radius * (_INNER + (1 - _INNER) * share)
    return reach[:, None] * spun(2 * math.pi * _TURNS * share)


def spun(angle: np.ndarray) -> np.ndarray:
    """Unit vectors `[n, 2]` of angles `[n]` in radians."""
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def points(config: PointsConfig) -> Loaded:
    """Simulated points, float32 `[2]`; those of the ring are labelled by Gaussian."""
    rng = np.random.default_rng(config.seed)
    noise = rng.normal(0, config.sd, (config.count, 2))
    ids = [f"point{number:06d}" for number in range(config.count)]
    if config.kind == "ring":
        # As many of each Gaussian as of any other, but for a remainder.
        label = np.arange(config.count) % config.modes
        centres = ring_centres(config)[label]
        told = f"ring of {config.modes} Gaussians, sd {config.sd:g}"
        classes = [f"mode{number}" for number in range(config.modes)]
    else:
        label, classes = None, []
        centres = spiral(rng.random(config.count), config)
        told = f"spiral with noise of sd {config.sd:g}"
    return undivided(
        example_set(
            centres + noise,
            label=label,
            ids=ids,
            classes=classes,
            origin=f"SIMULATED points: {told}",
        )
    )
