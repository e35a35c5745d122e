"""What a detector says of waves."""

from typing import NamedTuple

import numpy as np


class SoundScores(NamedTuple):
    """Scores of waves.

    Attributes:
      score: Float64 `[n]`; higher is more anomalous.
      threshold: Float64 `[n]`, above which a score is an anomaly.
      decision: Int8 `[n]`: 1 anomaly, 0 normal, -1 where there is no score.
      machine: Text `[n]`, whose model gave the score.
      section: Text `[n]`, likewise.
      remark: What a user must know of each wave, or `""`: silent, clipped, repeated
        because it is short, of a section that is not known.
    """

    score: np.ndarray
    threshold: np.ndarray
    decision: np.ndarray
    machine: np.ndarray
    section: np.ndarray
    remark: tuple[str, ...]


def unnamed(section: str | None, nearest: str) -> str:
    """Of a wave whose section is not named, or not known: what was done."""
    what = "no section is named" if section is None else f"section {section} is unknown"
    if not nearest:
        return f"{what}: the highest threshold of the machine's sections stands"
    return f"{what}: scored as the nearest, {nearest}"


def joined(*remarks: str) -> str:
    """Remarks as one, without the empty ones."""
    return "; ".join(remark for remark in remarks if remark)
