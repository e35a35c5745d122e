"""What sets simulated people apart from one another."""

import dataclasses

import numpy as np

# Share of people whose x, y or z axis points the other way.
_WORN_OTHERWISE = (0.1, 0.1, 0.0)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Traits:
    """What stays the same over all recordings of a person."""

    cadence_hz: float
    swing_g: float
    impact_g: float
    roughness: float
    bed_hour: float
    wake_hour: float
    flip: np.ndarray  # signs of the axes: other wrist, device turned round
    postures: dict[str, np.ndarray]

    @classmethod
    def draw(cls, seed: int) -> "Traits":
        """The person whom `seed` stands for."""
        rng = np.random.default_rng([seed, 0])
        # Studies say how to wear a device and few wear it otherwise; never with the
        # dial towards the skin.
        flip = np.where(rng.random(3) < _WORN_OTHERWISE, -1.0, 1.0)
        # x points along the forearm to the fingers, z out of the dial.
        typical = {
            "sit": (-0.2, 0.3, 0.9),
            "walk": (-0.95, 0.15, 0.1),
            "vehicle": (-0.5, 0.2, 0.8),
            "bicycling": (-0.6, -0.3, 0.7),
            "mixed": (-0.5, 0.3, 0.5),
        }
        postures = {
            name: unit(flip * (np.array(mean) + 0.15 * rng.standard_normal(3)))
            for name, mean in typical.items()
        }
        return cls(
            cadence_hz=rng.uniform(1.55, 2.1),
            swing_g=rng.uniform(0.15, 0.45),
            impact_g=rng.uniform(0.12, 0.35),
            roughness=rng.uniform(0.7, 1.4),
            bed_hour=rng.uniform(22.0, 24.0),
            wake_hour=rng.uniform(6.0, 8.0),
            flip=flip,
            postures=postures,
        )

    def posture(self, activity: str) -> np.ndarray:
        """Usual unit vector of gravity, float64 `[3]`, of one of some activities."""
        return self.postures[activity]


def unit(vector: np.ndarray) -> np.ndarray:
    """`vector` at length 1 along its last axis."""
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)
