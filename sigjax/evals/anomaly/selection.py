"""Choosing a back-end (high-pass, loss ...) without looking at what is reported.

The seed paper's best total chooses score, high-pass and centre loss for each machine on
the very sections that it reports. Here a choice is made on development sections
(`select`) and reported on evaluation sections (`report`). What the best choice would
have been there (`oracle`) is another type, which `report` does not take.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

ALL = "all machines"


class SelectionError(ValueError):
    """Scores that do not compare, or sides that would mix."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ScoredClips:
    """Scores of labelled clips by one candidate.

    Attributes:
      clip: Text `[n]`, names.
      machine: Text `[n]`.
      section: Text `[n]`.
      domain: Text `[n]`.
      label: Int `[n]`, 0 normal, 1 anomaly.
      score: Float `[n]`.
    """

    clip: np.ndarray
    machine: np.ndarray
    section: np.ndarray
    domain: np.ndarray
    label: np.ndarray
    score: np.ndarray

    def take(self, rows: np.ndarray) -> "ScoredClips":
        """The clips of an index or a mask."""
        names = [field.name for field in dataclasses.fields(self)]
        columns = {name: np.asarray(getattr(self, name))[rows] for name in names}
        return ScoredClips(**columns)


Figure = Callable[[ScoredClips], float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Figures:
    """One figure for each machine and candidate, on one side.

    Attributes:
      side: `"development"` or `"evaluation"`.
      name: What the figure is, for the table.
      sections: (machine, section) pairs that were scored.
      value: `value[machine][candidate]`; higher is better. NaN where undefined.
    """

    side: Literal["development", "evaluation"]
    name: str
    sections: frozenset[tuple[str, str]]
    value: Mapping[str, Mapping[str, float]]


Scope = Literal["machine", "all", "machine_or_all"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """A candidate for each machine, chosen on development sections.

    Attributes:
      candidate: By machine; or the one for all of them, as `ALL`. Since 2023 the
        evaluation machines are others, and only that one says something of them.
      development: The figures it was chosen by.
    """

    candidate: Mapping[str, str]
    development: Figures


@dataclasses.dataclass(frozen=True, kw_only=True)
class Oracle:
    """The best candidate of each machine on the evaluation sections: not a result.

    Attributes:
      candidate: By machine, or as `ALL`.
      evaluation: The figures it was chosen by, and reaches.
    """

    candidate: Mapping[str, str]
    evaluation: Figures


def measure(
    scores: Mapping[str, ScoredClips],
    figure: Figure,
    *,
    side: Literal["development", "evaluation"],
    name: str,
) -> Figures:
    """A figure of each candidate and machine.

    Args:
      scores: By candidate. All must score the same clips.
      figure: Of one machine's clips; the side's official score, for example.
      side: Which sections these are.
      name: Of the figure.

    Raises:
      SelectionError: Naming the candidate, for other clips, two scores of one clip, or
        a score that is not finite.
    """
    if not scores:
        raise SelectionError("no candidate to measure")
    first, expected = None, None
    value: dict[str, dict[str, float]] = {}
    for candidate, clips in scores.items():
        keys = _keys(clips)
        if len(set(keys)) != len(keys):
            raise SelectionError(f"{candidate}: a clip has two scores")
        if expected is None:
            first, expected = candidate, set(keys)
        if set(keys) != expected:
            odd = sorted(set(keys) ^ expected)[0]
            raise SelectionError(
                f"{candidate} and {first} score different clips: {'/'.join(odd)} has"
                " one score only"
            )
        bad = ~np.isfinite(np.asarray(clips.score, float))
        if bad.any():
            raise SelectionError(
                f"{candidate}: {int(bad.sum())} scores are not finite, the first of"
                f" {'/'.join(keys[int(bad.argmax())])}"
            )
        for machine in np.unique(clips.machine).tolist():
            rows = np.flatnonzero(np.asarray(clips.machine) == machine)
            found = float(figure(clips.take(rows)))
            value.setdefault(machine, {})[candidate] = found
    sections = frozenset((m, s) for m, s, _ in expected or ())
    return Figures(side=side, name=name, sections=sections, value=value)


def select(development: Figures, *, scope: Scope = "machine") -> Choice:
    """Chooses on the development sections.

    Args:
      development: Figures of that side.
      scope: `"machine"` one candidate for each machine; `"all"` one for all of them, by
        the harmonic mean of the machines' figures; `"machine_or_all"` one for each, and
        one for all, which holds for machines without any figure.

    Returns:
      Of equal figures the candidate that was named first.

    Raises:
      SelectionError: For figures of the other side, or a machine without any.
    """
    if development.side != "development":
        raise SelectionError(
            "select takes development figures: a choice on the evaluation side is"
            " an oracle"
        )
    if scope not in ("machine", "all", "machine_or_all"):
        raise SelectionError(
            f"scope must be 'machine', 'all' or 'machine_or_all', got {scope!r}"
        )
    candidate = {} if scope == "all" else _best_of_each(development)
    without = set(development.value) - set(candidate)
    if scope == "machine" and without:
        raise SelectionError(f"{min(without)}: no candidate has a figure")
    if scope != "machine":
        candidate[ALL] = _best_of_all(development)
    return Choice(candidate=candidate, development=development)


def oracle(evaluation: Figures) -> Oracle:
    """What would have been best on the evaluation sections: an upper bound.

    A machine without any figure, for example without anomalies, has none.

    Raises:
      SelectionError: For figures of the other side, or a machine without any.
    """
    if evaluation.side != "evaluation":
        raise SelectionError("oracle takes evaluation figures")
    return Oracle(candidate=_best_of_each(evaluation), evaluation=evaluation)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """A machine's line of the table.

    Attributes:
      machine: Its name, or `ALL` for the harmonic mean of the lines above.
      chosen: Candidate chosen on development sections.
      development: Its figure there.
      evaluation: Its figure on evaluation sections: the result.
      oracle_candidate: Best candidate on evaluation sections.
      oracle: Its figure there.
    """

    machine: str
    chosen: str
    development: float
    evaluation: float
    oracle_candidate: str
    oracle: float


def report(choice: Choice, evaluation: Figures) -> dict[str, float]:
    """The figures of an honest choice on the evaluation sections.

    Returns:
      By machine, and their harmonic mean as `ALL`.

    Raises:
      SelectionError: If `choice` is no `Choice`, if a section is on both sides, or if a
        machine or a candidate is missing on the evaluation side.
    """
    if not isinstance(choice, Choice):
        raise SelectionError(
            f"report takes what select chose, not {type(choice).__name__}"
        )
    if evaluation.side != "evaluation":
        raise SelectionError("report takes evaluation figures")
    both = choice.development.sections & evaluation.sections
    if both:
        named = ", ".join(f"{m} {s}" for m, s in sorted(both))
        raise SelectionError(f"sections on both sides, so the choice saw them: {named}")
    gone = set(choice.candidate) - {ALL} - set(evaluation.value)
    if gone:
        raise SelectionError(f"chosen for, but not evaluated: {sorted(gone)}")
    return _read(choice.candidate, evaluation)


def rows(choice: Choice, evaluation: Figures) -> list[Row]:
    """The honest result and the oracle side by side, a machine a line."""
    honest, best = report(choice, evaluation), oracle(evaluation)
    seen = _read(choice.candidate, choice.development)
    bound = _read(best.candidate, evaluation)
    one = choice.candidate.get(ALL, "")
    return [
        Row(
            machine=machine,
            chosen=choice.candidate.get(machine, one),
            development=seen.get(machine, np.nan),
            evaluation=honest[machine],
            oracle_candidate=best.candidate.get(machine, ""),
            oracle=bound[machine],
        )
        for machine in honest
    ]


def table(choice: Choice, evaluation: Figures) -> str:
    """`rows` as Markdown, in per cent, with what each column means below."""
    head = (
        "| machine | chosen on development | development | evaluation |"
        " oracle: best on evaluation | oracle |"
    )
    lines = [head, "|---|---|---:|---:|---|---:|"]
    for row in rows(choice, evaluation):
        cells = (row.development, row.evaluation, row.oracle)
        dev, result, bound = ("–" if c != c else f"{100 * c:.2f}" for c in cells)
        lines.append(
            f"| {row.machine} | {row.chosen} | {dev} | {result} |"
            f" {row.oracle_candidate} | {bound} |"
        )
    count = len({c for by in evaluation.value.values() for c in by})
    lines += [""]
    without = sorted(set(evaluation.value) - set(_defined(evaluation)))
    if without:
        lines += [
            f"{', '.join(without)}: no figure, since normal or anomalous clips are"
            " missing; no part of the mean.",
        ]
    unchosen = sorted(set(choice.development.value) - set(_defined(choice.development)))
    if unchosen:
        lines += [
            f"{', '.join(unchosen)}: nothing to choose by on the development sections;"
            f" {choice.candidate.get(ALL, '')} is best for the others there.",
        ]
    lines += [
        f"{evaluation.name}, per cent; {count} candidates. The result is the column"
        " `evaluation`: chosen on other sections than it is reported on. `oracle` chose"
        " on the evaluation sections and is an upper bound, not a result.",
    ]
    return "\n".join(lines)


def _keys(clips: ScoredClips) -> list[tuple[str, str, str]]:
    columns = (clips.machine, clips.section, clips.clip)
    return list(zip(*(np.asarray(c, np.str_).tolist() for c in columns), strict=True))


def measured(figures: Figures) -> set[str]:
    """Machines of which some candidate has a figure."""
    return set(_defined(figures))


def _defined(figures: Figures) -> dict[str, dict[str, float]]:
    """Figures that are numbers, of machines that have any."""
    found = {
        machine: {name: value for name, value in by.items() if not np.isnan(value)}
        for machine, by in figures.value.items()
    }
    return {machine: by for machine, by in found.items() if by}


def _best_of_each(figures: Figures) -> dict[str, str]:
    every = _defined(figures).items()
    return {machine: max(by, key=by.__getitem__) for machine, by in every}


def _best_of_all(figures: Figures) -> str:
    every = _defined(figures)
    names = dict.fromkeys(name for by in every.values() for name in by)
    merged = {
        name: _harmonic([by[name] for by in every.values()])
        for name in names
        if all(name in by for by in every.values())
    }
    if not merged:
        raise SelectionError("no candidate has a figure of every machine")
    return max(merged, key=merged.__getitem__)


def _read(candidate: Mapping[str, str], figures: Figures) -> dict[str, float]:
    """Figures of the named candidates on each machine, and their harmonic mean."""
    found = {}
    for machine, by in figures.value.items():
        name = candidate.get(machine, candidate.get(ALL))
        if name is None and all(np.isnan(value) for value in by.values()):
            found[machine] = float("nan")
            continue
        if name is None:
            raise SelectionError(f"{machine}: nothing was chosen for it")
        if name not in by:
            raise SelectionError(
                f"{machine}: no figure of {name!r} on the {figures.side} side"
            )
        found[machine] = by[name]
    # A machine without a figure is told of, and no part of the mean.
    return found | {ALL: _harmonic([v for v in found.values() if not np.isnan(v)])}


def _harmonic(values: list[float]) -> float:
    """As the official scores have it: 0 counts as the smallest step from 1."""
    if not values:
        return float("nan")
    floored = np.maximum(np.asarray(values, float), np.finfo(float).eps)
    return float(len(floored) / (1 / floored).sum())
