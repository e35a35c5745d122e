"""Runs trained sound models over clips, and fits and applies back-ends."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tqdm
from etils import epath

from launch.sounds.autoencoder import SoundAutoencoder
from launch.sounds.sections import SoundSections
from sigjax.data.machine_sound.stream import SoundData
from sigjax.evals import thresholds
from sigjax.evals.anomaly.per_section import PerSection
from sigjax.evals.anomaly.registry import configure, describe, make
from sigjax.evals.sound_embedding import Embedded, embed
from sigjax.inference.sounds.alarm_thresholds import (
    TRAINED_ON,
    alarm_threshold,
    clips_needed,
)
from sigjax.train.checkpoint import latest_variables

SoundSystem = SoundSections | SoundAutoencoder


class Fitted(NamedTuple):
    """A candidate fitted on one machine's training clips.

    Attributes:
      detector: The back-ends.
      held_out: By section, scores of normal clips that the back-ends were not fitted
        on.
      thresholds: By section, made of these.
      clips: By section, how many the back-ends were fitted on.
    """

    detector: PerSection
    held_out: Mapping[str, np.ndarray]
    thresholds: Mapping[str, thresholds.Threshold]
    clips: Mapping[str, int]


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


def trained(part: Part) -> tuple[int, Any, Mapping[str, Any]]:
    """Step, task and variables of a part: those of the best step, if it was chosen."""
    system = part.system
    best = part.workdir / "best" if system.train.select else part.workdir
    step, variables = latest_variables(best)
    return step, system.make_task(part.data), variables


def score_part(
    part: Part, *, with_thresholds: bool = True
) -> dict[str, dict[str, Scored]]:
    """Fits every candidate on a part's training clips and scores its test clips.

    Args:
      part: Trained.
      with_thresholds: They take most of the time: for them each back-end is fitted ten
        times more.

    Returns:
      By machine and candidate.
    """
    _, task, variables = trained(part)
    candidates = part.candidates()
    found: dict[str, dict[str, Scored]] = {}
    for machine in part.machines:
        pieces: dict[str, list[Scored]] = {name: [] for name in candidates}
        for group in section_groups(part, machine, candidates.values()):
            train, test = (
                embed_side(part, task, variables, candidates.values(), side, group)
                for side in ("train", "test")
            )
            for name, given in candidates.items():
                if with_thresholds:
                    fitted = fit_candidate(given, part, train)
                    detector, limits = fitted.detector, fitted.thresholds
                else:
                    scope = part.system.scoring.scope
                    detector, limits = PerSection(given, scope=scope), {}
                    detector.fit(train.bank)
                score = detector.score(test.bank).score
                pieces[name].append(Scored(detector, test.indices, score, limits))
        found[machine] = {name: _joined(each) for name, each in pieces.items()}
    return found


def fit_part(part: Part, chosen: Mapping[str, Any]) -> dict[str, Fitted]:
    """Fits one back-end for each machine of a part.

    Args:
      part: Of machines in `chosen`.
      chosen: Description of a back-end by machine.

    Returns:
      By machine.
    """
    _, task, variables = trained(part)
    found = {}
    for machine, given in chosen.items():
        pieces = []
        for group in section_groups(part, machine, [given]):
            train = embed_side(part, task, variables, [given], "train", group)
            pieces.append(fit_candidate(given, part, train))
        first = pieces[0]
        for piece in pieces[1:]:
            first.detector.models |= piece.detector.models
            first = Fitted(
                first.detector,
                {**first.held_out, **piece.held_out},
                {**first.thresholds, **piece.thresholds},
                {**first.clips, **piece.clips},
            )
        found[machine] = first
    return found


def section_groups(
    part: Part, machine: str, candidates: Iterable[Any]
) -> list[dict[str, Any]]:
    """Which sections of a machine are embedded together."""
    sections = [s for m, s in part.data.classes if m == machine]
    if not _reads_residuals(candidates):
        return [{"machine": machine, "section": sections}]
    # Residuals of a whole machine do not fit in memory.
    return [{"machine": machine, "section": [section]} for section in sections]


def embed_side(
    part: Part,
    task: Any,
    variables: Mapping[str, Any],
    candidates: Iterable[Any],
    side: str,
    which: Mapping[str, Any],
) -> Embedded:
    """What the model says of a group's clips; silent ones are not trained on."""
    found = embed(
        *(task, variables, part.data),
        side=side,
        residuals=_reads_residuals(candidates),
        progress=_bar(f"{which['machine']} {' '.join(which['section'])} {side}"),
        **which,
    )
    silent = part.data.dataset.silent[found.indices]
    if side == "train" and silent.any():
        return Embedded(found.indices[~silent], found.bank.take(~silent))
    return found


def fit_candidate(given: Any, part: Part, train: Embedded) -> Fitted:
    """Fits a back-end and takes thresholds.

    Thresholds are made of validation clips, which neither the network nor the back-end
    was fitted on, where there are enough of them; else of training clips, each scored
    by a back-end that was fitted without it.
    """
    scoring = part.system.scoring
    asked = {
        "false_alarms_per_day": scoring.false_alarms_per_day,
        "hop_s": scoring.hop_s,
    }
    held = np.isin(train.indices, part.data.validation_clips)
    needed = clips_needed(**asked)
    sections = np.asarray(train.bank.section)
    names = np.unique(sections).tolist()
    fewest = min(int((held & (sections == name)).sum()) for name in names)
    remark = TRAINED_ON
    if fewest >= needed:
        remark, bank = "", train.bank.take(~held)
        detector = PerSection(given, scope=scoring.scope).fit(bank)
        score, scored = detector.score(train.bank.take(held)).score, sections[held]
    else:
        if held.any():
            remark += f"; {fewest} clips to validate with are fewer than {needed}"
        bank = train.bank
        detector = PerSection(given, scope=scoring.scope).fit(bank)
        score, scored = detector.held_out(bank), sections
    held_out = {name: score[scored == name] for name in names}
    limits = {
        name: alarm_threshold(own, remark=remark, **asked)
        for name, own in held_out.items()
    }
    fitted_on = np.asarray(bank.section)
    clips = {name: int((fitted_on == name).sum()) for name in names}
    return Fitted(detector, held_out, limits, clips)


def _reads_residuals(candidates: Iterable[Any]) -> bool:
    return any("residual" in make(given).reads for given in candidates)


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
