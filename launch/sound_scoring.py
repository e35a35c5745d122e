"""Runs trained sound models over clips, and fits and applies back-ends."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tqdm
from etils import epath

from launch.sound_autoencoder import SoundAutoencoder
from launch.sound_sections import SoundSections
from sigjax.data.machine_sound.stream import SoundData
from sigjax.evals import thresholds
from sigjax.evals.anomaly.per_section import PerSection
from sigjax.evals.anomaly.registry import configure, describe
from sigjax.evals.sound_embedding import Embedded, embed
from sigjax.train.checkpoint import latest_variables

SoundSystem = SoundSections | SoundAutoencoder


class Scored(NamedTuple):
    """What one candidate says of one machine.

    Attributes:
      detector: Fitted on the training clips.
      indices: Int64 `[n]`, numbers of the test clips.
      score: Float64 `[n]`.
      thresholds: By section.
    """

    detector: PerSection
    indices: np.ndarray
    score: np.ndarray
    thresholds: Mapping[str, thresholds.Threshold]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """A trained model and the data it was trained on."""

    system: SoundSystem
    data: SoundData
    workdir: epath.Path

    @property
    def machines(self) -> tuple[str, ...]:
        """Those it was trained on."""
        return tuple(dict.fromkeys(machine for machine, _ in self.data.classes))

    def candidates(self) -> dict[str, Any]:
        """Back-ends by a short name."""
        found: dict[str, Any] = {}
        for given in self.system.scoring.backends:
            description = describe(configure(given))
            name = description["name"]
            if name == "one_number" and isinstance(self.system, SoundAutoencoder):
                name = "mean squared error"
            while name in found:
                name += "'"
            found[name] = given
        return found


def score_part(part: Part) -> dict[str, dict[str, Scored]]:
    """Fits every candidate on a part's training clips and scores its test clips.

    Returns:
      By machine and candidate.
    """
    system, data = part.system, part.data
    task = system.make_task(data)
    best = part.workdir / "best" if system.train.select else part.workdir
    variables = latest_variables(best)[1]
    candidates = part.candidates()
    residuals = "selective_mahalanobis" in candidates
    found: dict[str, dict[str, Scored]] = {}
    for machine in part.machines:
        sections = [s for m, s in data.classes if m == machine]
        # Residuals of a whole machine do not fit in memory.
        groups = [[s] for s in sections] if residuals else [sections]
        pieces: dict[str, list[Scored]] = {name: [] for name in candidates}
        for group in groups:
            which: dict[str, Any] = dict(machine=machine, section=group)
            train, test = (
                embed(
                    *(task, variables, data),
                    side=side,
                    residuals=residuals,
                    progress=_bar(f"{machine} {' '.join(group)} {side}"),
                    **which,
                )
                for side in ("train", "test")
            )
            for name, given in candidates.items():
                pieces[name].append(_fit(given, system.scoring, train, test))
        found[machine] = {name: _joined(each) for name, each in pieces.items()}
    return found


def _fit(given: Any, scoring: Any, train: Embedded, test: Embedded) -> Scored:
    detector = PerSection(given, scope=scoring.scope).fit(train.bank)
    score = detector.score(test.bank).score
    held_out = detector.held_out(train.bank)
    rate = thresholds.rate_of(scoring.false_alarms_per_day, scoring.hop_s)
    limits = {}
    for section in np.unique(train.bank.section).tolist():
        own = held_out[np.asarray(train.bank.section) == section]
        limits[section] = _threshold(own, rate)
    return Scored(detector, test.indices, score, limits)


def _threshold(score: np.ndarray, rate: float) -> thresholds.Threshold:
    """Conformal, or where there are too few clips the plain quantile, and said."""
    try:
        return thresholds.conformal(score, rate)
    except thresholds.ThresholdError as error:
        found = thresholds.empirical(score, rate)
        return dataclasses.replace(found, remark=str(error))


def _joined(pieces: Sequence[Scored]) -> Scored:
    """One machine, whose sections were fitted one by one."""
    detector = pieces[0].detector
    for piece in pieces[1:]:
        detector.models |= piece.detector.models
    limits = {k: v for piece in pieces for k, v in piece.thresholds.items()}
    indices = np.concatenate([piece.indices for piece in pieces])
    score = np.concatenate([piece.score for piece in pieces])
    return Scored(detector, indices, score, limits)


def _bar(title: str) -> Any:
    def progress(segments: Any) -> Any:
        return tqdm.tqdm(segments, desc=title, unit="batch", leave=False)

    return progress
