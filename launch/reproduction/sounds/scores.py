"""From scores of clips to the numbers of a table: choosing, then counting.

Choosing is `sigjax.evals.anomaly.selection`: on the development sections for the honest
number, on the reported ones for the oracle. Both are reported on the evaluation
sections, by the rule of the paper's year, with intervals over clips.
"""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from launch.reproduction.runner import Outcome
from launch.reproduction.sounds.cells import Place, Plan
from launch.reproduction.sounds.sheets import DEVELOPMENT, EVALUATION, Candidate
from launch.sounds import candidates as sound_candidates
from sigjax.data.machine_sound.names import UNKNOWN
from sigjax.evals import dcase
from sigjax.evals.anomaly import selection
from sigjax.evals.anomaly.selection import ScoredClips
from sigjax.evals.detection_intervals import bootstrap_scores

TOTAL = "total"
SELECTIONS = ("honest", "oracle")
_RESAMPLES = 1000

# By machine (and `TOTAL`) and metric: `value`, `low`, `high`, `sd` and `seeds`.
Figures = Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SystemScore:
    """What a system's rows show.

    Attributes:
      figures: By selection; of machines that have any, and of all of them.
      chosen: By selection and machine, the candidate of each seed.
      development: By machine, the figure by which the honest choice was made; of the
        first seed.
      candidates: By machine, how many there were to choose among.
      left_out: Candidates that failed, and why.
      failed: By machine, why there are no numbers.
    """

    figures: Mapping[str, Figures]
    chosen: Mapping[str, Mapping[str, Sequence[Candidate]]]
    development: Mapping[str, float]
    candidates: Mapping[str, int]
    left_out: Mapping[str, str]
    failed: Mapping[str, str]

    @property
    def choice(self) -> bool:
        """Whether there was anything to choose."""
        return any(count > 1 for count in self.candidates.values())


class Reader:
    """Reads the scores that evaluation cells kept, each once."""

    def __init__(self, workdir: epath.Path, outcomes: Mapping[str, Outcome]):
        """Reads nothing yet."""
        self._workdir, self._outcomes = workdir, outcomes
        self._table = functools.cache(self._read)

    def why_not(self, key: str) -> str:
        """Why a cell has no scores; "" if it has."""
        return self._outcomes[key].error

    def clips(self, key: str, candidate: Candidate, machine: str) -> dict[str, Any]:
        """A candidate's scored clips of one machine, by side; labelled ones alone."""
        by_name, side = self._table(key)
        if candidate.score not in by_name:
            raise selection.SelectionError(
                f"{candidate.title}: {key} has scores of {', '.join(by_name)}"
            )
        own = by_name[candidate.score]
        rows = (own.machine == machine) & (own.label != UNKNOWN)
        return {s: own.take(rows & (side == s)) for s in (DEVELOPMENT, EVALUATION)}

    def _read(self, key: str) -> tuple[dict[str, ScoredClips], np.ndarray]:
        result = self._outcomes[key].result
        assert result is not None
        path = self._workdir / "cells" / key / result["scores"]
        return sound_candidates.read_candidates(path)


def of_systems(
    plan: Plan, outcomes: Mapping[str, Outcome], workdir: epath.Path
) -> list[SystemScore]:
    """Scores of every system of a sheet."""
    reader = Reader(workdir, outcomes)
    numbers = range(len(plan.sheet.systems))
    return [_of_system(plan, reader, number) for number in numbers]


def _of_system(plan: Plan, reader: Reader, number: int) -> SystemScore:
    chosen: dict[str, dict[str, list[Candidate]]] = {s: {} for s in SELECTIONS}
    clips: dict[str, dict[int, list[ScoredClips]]] = {s: {} for s in SELECTIONS}
    development: dict[str, float] = {}
    count, left_out, failed = {}, {}, {}
    for machine in plan.machines if plan.sheet.systems[number].models else ():
        per_seed = [
            _candidates(plan, reader, (number, machine, seed), left_out)
            for seed in range(plan.seeds)
        ]
        count[machine] = len(plan.candidates[number, machine, 0])
        if not all(per_seed):
            reasons = [left_out[c] for c in left_out if c.startswith(f"{machine},")]
            failed[machine] = reasons[0] if reasons else "no candidate has scores"
            continue
        for seed, found in enumerate(per_seed):
            picked = choose(found, plan.paper.year)
            development.setdefault(machine, picked.development)
            for name in SELECTIONS:
                candidate = getattr(picked, name)
                chosen[name].setdefault(machine, []).append(candidate)
                own = found[candidate][EVALUATION]
                clips[name].setdefault(seed, []).append(own)
    figures = {s: _figures(list(clips[s].values()), plan.paper.year) for s in clips}
    return SystemScore(
        figures=figures,
        chosen=chosen,
        development=development,
        candidates=count,
        left_out=left_out,
        failed=failed,
    )


def _candidates(
    plan: Plan, reader: Reader, place: Place, left_out: dict[str, str]
) -> dict[Candidate, dict[str, ScoredClips]]:
    """Clips of each candidate that did not fail; those that did are noted."""
    _, machine, seed = place
    found = {}
    for candidate, key in plan.candidates[place].items():
        why = reader.why_not(key)
        if not why:
            found[candidate] = reader.clips(key, candidate, machine)
            continue
        trained = ", ".join(list(candidate.words().values())[:-1])
        left_out[f"{machine}, {trained}" + f", seed {seed}" * (seed > 0)] = why
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class Picked:
    """The two choices for one machine.

    Attributes:
      honest: By the development sections.
      oracle: By the evaluation sections.
      development: Figure of `honest` on the development sections.
      evaluation: Its figure on the evaluation sections.
    """

    honest: Candidate
    oracle: Candidate
    development: float
    evaluation: float


def choose(found: Mapping[Candidate, Mapping[str, ScoredClips]], year: int) -> Picked:
    """Chooses a machine's candidate, among runs and back-ends alike.

    Args:
      found: By candidate its clips of each side, all of one machine.
      year: Whose official mean is the figure.

    Raises:
      sigjax.evals.anomaly.selection.SelectionError: Candidates score different clips,
        or none has a figure.
    """
    by_title = {candidate.title: candidate for candidate in found}
    figure = sound_candidates.official_figure(year)

    def measured(side: Any) -> selection.Figures:
        scores = {c.title: clips[side] for c, clips in found.items()}
        name = f"official mean of {year}"
        return selection.measure(scores, figure, side=side, name=name)

    development, evaluation = measured(DEVELOPMENT), measured(EVALUATION)
    choice = selection.select(development)
    ((machine, honest),) = choice.candidate.items()
    # Refuses a section that is on both sides.
    reported = selection.report(choice, evaluation)
    return Picked(
        honest=by_title[honest],
        oracle=by_title[selection.oracle(evaluation).candidate[machine]],
        development=development.value[machine][honest],
        evaluation=reported[machine],
    )


def _figures(seeds: Sequence[Sequence[ScoredClips]], year: int) -> Figures:
    """Means over seeds, intervals over clips, spread over seeds."""
    each = [_of_clips(machines, year) for machines in seeds]
    if not each:
        return {}
    summed: dict[str, dict[str, dict[str, Any]]] = {}
    for name, metrics in each[0].items():
        for metric in metrics:
            own = [found[name][metric] for found in each]
            values = [interval.value for interval in own]
            summed.setdefault(name, {})[metric] = {
                "value": _number(np.mean(values)),
                # Of one seed's clips; no wider for a mean over seeds.
                "low": _number(np.mean([interval.low for interval in own])),
                "high": _number(np.mean([interval.high for interval in own])),
                "sd": _number(np.std(values, ddof=1)) if len(own) > 1 else None,
                "seeds": [_number(value) for value in values],
            }
    return summed


def _of_clips(machines: Sequence[ScoredClips], year: int) -> dict[str, Any]:
    names = [field.name for field in dataclasses.fields(ScoredClips)]
    columns = {
        name: np.concatenate([getattr(clips, name) for clips in machines])
        for name in names
    }
    scores = dcase.score(sound_candidates.of_dcase(ScoredClips(**columns)), year)
    return bootstrap_scores(scores, resamples=_RESAMPLES)


def _number(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None
