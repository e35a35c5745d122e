"""Simulated days: which activity follows which, and for how long."""

import dataclasses

import numpy as np

from sigjax.data.synthetic.people import Traits

ACTIVITIES = (
    "sleep",
    "sit",
    "walk",
    "vehicle",
    "bicycling",
    "mixed",
    "nonwear",
)

DAY_S = 86_400.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Span:
    """One activity from `start_s` to `end_s`, in seconds since the recording began."""

    activity: str
    start_s: float
    end_s: float


# One round of a waking day: how often each activity comes up, and for how long.
_ROUND = {"sit": 8, "mixed": 6, "walk": 6, "vehicle": 3, "bicycling": 2}
_MINUTES = {
    "sit": (12, 50),
    "mixed": (6, 30),
    "walk": (4, 18),
    "vehicle": (10, 35),
    "bicycling": (8, 25),
    "nonwear": (100, 200),
}
_NONWEAR_PER_ROUND = 0.4


def draw_schedule(
    rng: np.random.Generator, traits: Traits, days: float, start: float
) -> tuple[Span, ...]:
    """Sleeps at night; awake, draws activities from a bag that is refilled.

    A bag instead of independent draws makes rare activities appear on every day.
    """
    spans, bag, now, end = [], [], 0.0, days * DAY_S
    while now < end:
        hour = (start + now) % DAY_S / 3600.0
        until_wake = (traits.wake_hour - hour) % 24.0
        if until_wake < (traits.wake_hour - traits.bed_hour) % 24.0:
            activity, minutes = "sleep", 60.0 * until_wake + rng.uniform(5, 45)
        else:
            if not bag:
                bag = [name for name, times in _ROUND.items() for _ in range(times)]
                # Off the wrist once for sure, where the recording is long enough.
                if days >= 1 and (not spans or rng.random() < _NONWEAR_PER_ROUND):
                    bag.append("nonwear")
                rng.shuffle(bag)
            activity = bag.pop()
            minutes = rng.uniform(*_MINUTES[activity])
        stop = min(now + 60.0 * minutes, end)
        spans.append(Span(activity=activity, start_s=now, end_s=stop))
        now = stop
    return tuple(spans)
