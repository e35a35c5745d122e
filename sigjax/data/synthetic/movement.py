"""How each activity moves a wrist: gravity's direction and acceleration beside it."""

import numpy as np
from scipy import signal

from sigjax.data.synthetic.people import Traits, unit

_TURN_S = 1.5  # duration of a change of posture


class Movement:
    """Movement over one piece of `length` samples, all float32 `[s, 3]` in g."""

    def __init__(
        self, rng: np.random.Generator, traits: Traits, rate_hz: float, length: int
    ):
        """`rng` decides everything; movement begins at rest at time 0 of the piece."""
        self.rng, self.traits = rng, traits
        self.rate, self.length = rate_hz, length
        self._directions = np.empty((0, 3), np.float32)

    def move(
        self, activity: str, direction: np.ndarray, fresh: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Acceleration of the piece and the direction of gravity at its end.

        Args:
          activity: One of `ACTIVITIES`.
          direction: Unit vector of gravity before the piece.
          fresh: The activity begins here, so the posture changes to one of its own.
        """
        return getattr(self, f"_{activity}")(direction, fresh)

    def turning_dps(self, before: np.ndarray) -> np.ndarray:
        """Rates about x, y, z float64 `[s, 3]`, degrees per second, of the last `move`.

        A vector g that rests in the room changes by g x w in a frame that turns at w;
        of w this gives what is perpendicular to g.

        Args:
          before: Unit vector of gravity before the piece.
        """
        gravity = np.concatenate([before[None], self._directions.astype(np.float64)])
        change = np.diff(gravity, axis=0) * self.rate
        return np.degrees(np.cross(change, gravity[1:]))

    def _sleep(self, direction, fresh):
        # Turns go anywhere, which is what lets calibration see all orientations.
        still, end = self._gravity(direction, fresh, 700.0, np.zeros(3), 1.0)
        seconds = np.arange(self.length, dtype=np.float32) / np.float32(self.rate)
        breathing = 0.002 * np.sin(2 * np.pi * 0.25 * seconds).astype(np.float32)
        still[:, 2] += breathing
        return self._add_bursts(still, every_s=150.0, rms=0.05, band=(0.5, 5.0)), end

    def _sit(self, direction, fresh):
        mean = self.traits.posture("sit")
        still, end = self._gravity(direction, fresh, 90.0, mean, 0.35)
        return self._add_bursts(still, every_s=25.0, rms=0.08, band=(0.5, 5.0)), end

    def _mixed(self, direction, fresh):
        mean = self.traits.posture("mixed")
        moved, end = self._gravity(direction, fresh, 8.0, mean, 0.6)
        envelope = 0.04 + 0.12 * np.abs(self._slow(period_s=6.0))
        moved += envelope[:, None] * self._band_noise(0.3, 4.0)
        return moved, end

    def _vehicle(self, direction, fresh):
        mean = self.traits.posture("vehicle")
        moved, end = self._gravity(direction, fresh, 120.0, mean, 0.2)
        speed = np.clip(0.6 + 0.5 * self._slow(period_s=40.0), 0.05, None)
        shake = np.float32(0.03 * self.traits.roughness) * self._band_noise(1.0, 12.0)
        moved += speed[:, None] * shake
        return moved, end

    def _bicycling(self, direction, fresh):
        mean = self.traits.posture("bicycling")
        moved, end = self._gravity(direction, fresh, 60.0, mean, 0.1)
        road = np.float32(0.12 * self.traits.roughness) * self._band_noise(3.0, 15.0)
        speed = np.clip(0.8 + 0.4 * self._slow(period_s=30.0), 0.2, None)
        moved += speed[:, None] * road
        pedal = self._phase(0.7 * self.traits.cadence_hz, wander=0.05)
        moved[:, 0] += np.float32(0.06) * np.sin(pedal)
        moved[:, 1] += np.float32(0.03) * np.cos(pedal)
        return moved, end

    def _walk(self, direction, fresh):
        mean = self.traits.posture("walk")
        moved, end = self._gravity(direction, fresh, 60.0, mean, 0.1)
        down = unit(moved.mean(0)).astype(np.float32)
        ahead = unit(np.cross(down, self.traits.flip * [0.0, 1.0, 0.0]))
        aside = np.cross(down, ahead)
        step = self._phase(self.traits.cadence_hz, wander=0.03)
        effort = np.clip(1.0 + 0.15 * self._slow(period_s=4.0), 0.3, None)
        # Impacts once per step, sharp enough for four harmonics.
        impact = np.zeros(self.length, np.float32)
        for harmonic, size in enumerate((1.0, 0.5, 0.25, 0.12), start=1):
            impact += np.float32(size) * np.cos(harmonic * (step - np.float32(0.7)))
        # The arm swings once per stride of two steps.
        swing = np.sin(step / 2)
        sway = np.float32(0.3) * np.sin(step / 2 + 1) + np.float32(0.2) * np.sin(step)
        moved += np.outer(self.traits.impact_g * effort * impact, down)
        moved += np.outer(self.traits.swing_g * effort * swing, ahead)
        moved += np.outer(self.traits.swing_g * effort * sway, aside)
        moved += np.float32(0.04) * self._band_noise(1.0, 15.0)
        return moved, end

    def _nonwear(self, direction, fresh):
        # Lies on a table: dial up, dial down or on its side, nearly level.
        axis, sign = self.rng.choice([1, 2, 2]), self.rng.choice([-1.0, 1.0])
        table = 0.03 * self.rng.standard_normal(3)
        table[axis] += sign
        return self._gravity(direction, fresh, np.inf, table, 0.0)

    def _gravity(self, direction, fresh, hold_s, mean, spread):
        """Gravity held for `hold_s` on average between smooth changes of posture."""
        turn = max(min(int(_TURN_S * self.rate), self.length // 2), 1)
        changes = self.rng.poisson(self.length / self.rate / hold_s)
        at = np.sort(self.rng.integers(0, max(self.length - turn, 1), changes))
        at = np.concatenate([[0], at]) if fresh else at
        out = np.empty((self.length, 3), np.float32)
        out[:] = direction
        blend = 0.5 - 0.5 * np.cos(np.pi * np.arange(1, turn + 1) / turn)[:, None]
        for begin in at:
            # The next change may come before this one is done: go on from there.
            source = out[begin].astype(np.float64)
            target = unit(mean + spread * self.rng.standard_normal(3))
            path = (1 - blend) * source + blend * target
            # Opposite directions meet in the middle: step around the origin.
            path += 0.2 * np.sin(np.pi * blend) * np.roll(target, 1)
            stop = min(begin + turn, self.length)
            out[begin:stop] = unit(path)[: stop - begin]
            out[stop:] = target
            direction = target
        self._directions = out.copy()
        return out, out[-1].astype(np.float64)

    def _band_noise(self, low_hz, high_hz):
        """Noise of unit variance between two frequencies."""
        high_hz = min(high_hz, 0.45 * self.rate)
        low_hz = min(low_hz, 0.5 * high_hz)
        edges = (low_hz, high_hz)
        sos = np.asarray(
            signal.butter(1, edges, "bandpass", fs=self.rate, output="sos"), np.float32
        )
        noise = self.rng.standard_normal((3, self.length), np.float32)
        shaped = np.asarray(signal.sosfilt(sos, noise))
        # White noise keeps the share of its variance that the band holds.
        level = np.sqrt(0.5 * np.pi * (high_hz - low_hz) / (self.rate / 2))
        return (shaped / np.float32(level)).T

    def _slow(self, period_s):
        """Slow noise `[s]` of about unit variance, a new value each `period_s`."""
        knots = int(self.length / self.rate / period_s) + 2
        values = self.rng.standard_normal(knots)
        seconds = np.arange(self.length) / self.rate
        return np.interp(seconds, np.arange(knots) * period_s, values).astype("f4")

    def _phase(self, frequency_hz, wander):
        """Phase `[s]` of an oscillation whose frequency wanders by a share."""
        frequency = frequency_hz * (1 + wander * self._slow(period_s=5.0))
        start = self.rng.uniform(0, 4 * np.pi)
        return start + 2 * np.pi * np.cumsum(frequency, dtype=np.float64) / self.rate

    def _add_bursts(self, still, every_s, rms, band):
        """Adds short movements at random times."""
        for _ in range(self.rng.poisson(self.length / self.rate / every_s)):
            size = int(self.rng.uniform(0.8, 4.0) * self.rate)
            begin = int(self.rng.integers(0, self.length))
            size = min(size, self.length - begin)
            burst = Movement(self.rng, self.traits, self.rate, size)
            window = np.hanning(size + 2)[1:-1, None].astype(np.float32)
            scale = np.float32(rms * self.rng.uniform(0.5, 2.0))
            still[begin : begin + size] += scale * window * burst._band_noise(*band)
        return still
