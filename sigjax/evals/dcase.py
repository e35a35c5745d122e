"""Official scores of DCASE Task 2, 2020 to 2026, from the scores of clips.

The rules:

  * 2020: AUC and pAUC of each machine and ID, averaged (arithmetic) over the IDs of a
    machine. A system has no official total: the challenge averaged its ranks among the
    teams, machine by machine. The total here is the mean over machines.
  * 2021: AUC and pAUC of each machine, section and domain, of the domain's own normal
    and anomalous clips. The official score is the harmonic mean of all of them: 7
    machines, 3 sections, 2 domains, 2 figures, so 84.
  * 2022 and later: of each machine and section the AUC of the source domain's normal
    clips against the anomalies of *both* domains, the same of the target domain, and
    one pAUC of all clips. The official score is the harmonic mean of these three over
    sections and machines.

Precision, recall and F1 of decisions are of each domain's own clips in every year.

Where the official scripts err we do not follow:

  * They pair scores with labels by the sorted order of lines; `evals.submission` does
    by name.
  * 2022's harmonic means per machine and domain cut the list of figures at half the
    number of sections, which mixes domains; ours are of the domain they name.
  * "official score ci95" divides the jackknife's squares by N (N - 1) where (N - 1) / N
    times them belongs, so that it is (N - 1) times too small, and is of clips pooled
    over machines; `evals.detection_intervals` resamples clips within sections.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from sigjax.evals.dcase_years import (
    COLUMNS,
    DECISIONS,
    DOMAINS,
    EVALUATION,
    DcaseError,
    coverage,
    domains_of,
    rule_of,
)
from sigjax.metrics import detection

__all__ = ["ClipScores", "DcaseError", "DcaseScores", "score"]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class ClipScores:
    """What a system says about clips whose truth is known, in any order.

    Attributes:
      machine: Text `[n]`, such as `"fan"`.
      section: Text `[n]`, two digits; 2020's IDs too.
      domain: Text `[n]`, `"source"`, `"target"` or `""` where there is none.
      label: Integers `[n]`, 0 normal and 1 anomaly.
      score: Float64 `[n]`, higher is more anomalous.
      decision: Integers `[n]`, 1 where the system says "anomaly", or None.
      name: Text `[n]` for messages, or None.
    """

    machine: np.ndarray
    section: np.ndarray
    domain: np.ndarray
    label: np.ndarray
    score: np.ndarray
    decision: np.ndarray | None = None
    name: np.ndarray | None = None

    def __post_init__(self):
        """Refuses columns of different lengths, and values that mean nothing."""
        for field in dataclasses.fields(self):
            column = getattr(self, field.name)
            if column is not None and np.shape(column) != (len(self),):
                raise DcaseError(
                    f"{len(self)} clips, but {field.name} is {list(np.shape(column))}"
                )
        binary = "is 0 (normal) or 1 (anomaly)"
        self._refuse("label", ~np.isin(self.label, (0, 1)), binary)
        if self.decision is not None:
            self._refuse("decision", ~np.isin(self.decision, (0, 1)), binary)
        self._refuse("score", ~np.isfinite(self.score), "is a finite number")
        known = (*DOMAINS, "")
        self._refuse("domain", ~np.isin(self.domain, known), "is source, target or ''")

    def __len__(self):
        """Clips."""
        return len(self.label)

    def where(self, row: int) -> str:
        """A clip in words."""
        named = "" if self.name is None else f", {self.name[row]}"
        return f"{self.machine[row]} section {self.section[row]}{named}"

    def of_section(self, machine: str, section: str) -> np.ndarray:
        """Bool `[n]`."""
        return (self.machine == machine) & (self.section == section)

    def of_domain(self, domain: str) -> np.ndarray:
        """Bool `[n]`; all of them for `""`."""
        return (self.domain == domain) | (domain == "")

    def _refuse(self, field: str, wrong: np.ndarray, expected: str) -> None:
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            value = np.asarray(getattr(self, field))[row].item()
            raise DcaseError(
                f"{field} {expected}, but not in {wrong.sum()} of {len(self)} clips;"
                f" the first is {value!r} ({self.where(row)})"
            )


class Term(NamedTuple):
    """A figure to compute.

    Attributes:
      machine: Machine.
      section: Section or ID.
      domain: Whose normal clips; `""` for all.
      metric: `"auc"`, `"pauc"`, `"precision"`, `"recall"` or `"f1"`.
      rows: Int64 `[m]`, the clips it is of.
    """

    machine: str
    section: str
    domain: str
    metric: str
    rows: np.ndarray

    @property
    def official(self) -> bool:
        """Whether the official score is a mean over such figures."""
        return self.metric not in DECISIONS


class NotScored(NamedTuple):
    """A figure that does not exist, such as the AUC of a section without anomalies.

    Attributes:
      machine: Machine.
      section: Section or ID.
      domain: Domain or `""`.
      metric: Which figure.
      reason: In words.
    """

    machine: str
    section: str
    domain: str
    metric: str
    reason: str


def terms_of(clips: ClipScores, year: int) -> list[Term]:
    """The figures that a year computes, by machine and section.

    Raises:
      DcaseError: There is no such rule, or it needs domains and a clip has none.
    """
    rule = rule_of(year)
    unknown = clips.domain == ""
    if rule == 2022:  # Its anomalies count in both domains.
        unknown = unknown & (clips.label == 0)
    if rule > 2020 and unknown.any():
        row = int(np.flatnonzero(unknown)[0])
        raise DcaseError(
            f"the rule of {year} needs domains, source or target, and {unknown.sum()}"
            f" clips have none, such as {clips.where(row)}. Score clips without"
            " domains by the rule of 2020"
        )
    figures = [(m, d) for m, d in COLUMNS[rule].values() if d is not None]
    decisions = [(m, d) for m in DECISIONS for d in domains_of(year)]
    names = np.stack([clips.machine.astype(str), clips.section.astype(str)], axis=-1)
    found = []
    for machine, section in np.unique(names, axis=0).tolist():
        here = clips.of_section(machine, section)
        for metric, domain in figures:
            which = clips.of_domain(domain)
            if rule == 2022:
                which = which | (clips.label == 1)
            rows = np.flatnonzero(here & which)
            found.append(Term(machine, section, domain, metric, rows))
        for metric, domain in decisions if clips.decision is not None else ():
            rows = np.flatnonzero(here & clips.of_domain(domain))
            found.append(Term(machine, section, domain, metric, rows))
    return found


def values_of(
    clips: ClipScores, terms: Iterable[Term], *, weight: np.ndarray | None = None
) -> tuple[list[Any], list[NotScored]]:
    """Figures of terms, NaN for those that do not exist, and why they do not.

    Args:
      clips: Clips.
      terms: Of `terms_of`.
      weight: `[*r, n]`, how often each clip counts; not for figures of decisions.
    """
    areas = {"auc": detection.roc_auc, "pauc": detection.partial_auc}
    values, missing = [], []
    for term in terms:
        label = clips.label[term.rows]
        try:
            if term.official:
                share = None if weight is None else weight[..., term.rows]
                scores = clips.score[term.rows]
                value = areas[term.metric](label, scores, weight=share)
            else:
                assert clips.decision is not None
                made = detection.precision_recall(label, clips.decision[term.rows])
                value = getattr(made, term.metric)
                if math.isnan(made.recall):  # Its precision of 0 says nothing either.
                    raise detection.DetectionError("there are no anomalous clips")
        except detection.DetectionError as error:
            value = np.nan
            missing.append(NotScored(*term[:4], str(error)))
        values.append(value)
    return values, missing


def mean_of(
    year: int,
    terms: Sequence[Term],
    values: Sequence[Any],
    *,
    harmonic: bool | None = None,
) -> dict[str, Any]:
    """Means over terms by column of a table; `mean` is over all that are official.

    Args:
      year: Gives the columns, and the kind of mean.
      terms: Of one section, of one machine or of all.
      values: Of each, `[*r]` each; terms that are NaN are left out.
      harmonic: Kind of mean; the year's own by default.
    """
    rule = rule_of(year)
    harmonic = rule > 2020 if harmonic is None else harmonic
    average = detection.harmonic_mean if harmonic else detection.arithmetic_mean

    def over(chosen: list[int]) -> Any:
        chosen = [i for i in chosen if not np.isnan(values[i]).all()]
        if not chosen:
            return np.nan
        # 2020 averages the IDs of a machine, then machines; machines differ in IDs.
        by_machine: dict[str, list[Any]] = {}
        for i in chosen:
            group = terms[i].machine if rule == 2020 else ""
            by_machine.setdefault(group, []).append(values[i])
        means = [average(np.stack(group), axis=0) for group in by_machine.values()]
        return means[0] if len(means) == 1 else average(np.stack(means), axis=0)

    columns = dict(COLUMNS[rule])
    if not all(term.official for term in terms):
        for metric in DECISIONS:
            for domain in domains_of(year):
                columns[f"{metric}_{domain}".rstrip("_")] = metric, domain
    found = {}
    for column, (metric, domain) in columns.items():
        which = [i for i, t in enumerate(terms) if t.metric == metric]
        found[column] = over([i for i in which if domain in (None, terms[i].domain)])
    found["mean"] = over([i for i, term in enumerate(terms) if term.official])
    return found


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DcaseScores:
    """Scores of a system by a year's rule; fractions, not percent.

    `evals.dcase_table` makes JSON, CSV and a table for the terminal of it.

    Attributes:
      year: Of the rule.
      terms: What was computed.
      values: Of each term; NaN where it does not exist.
      not_scored: Terms that do not exist and why.
      clips: What was scored.
    """

    year: int
    terms: list[Term]
    values: list[float]
    not_scored: list[NotScored]
    clips: ClipScores

    @property
    def machines(self) -> list[str]:
        """Machines, sorted."""
        return sorted({term.machine for term in self.terms})

    @property
    def sections(self) -> list[tuple[str, str]]:
        """Machine and section, sorted."""
        return sorted({(term.machine, term.section) for term in self.terms})

    @property
    def kind(self) -> str:
        """Of the year's means: `"harmonic"` or `"arithmetic"`."""
        return "harmonic" if rule_of(self.year) > 2020 else "arithmetic"

    @property
    def count(self) -> int:
        """How many figures the score is a mean of, had all of them existed."""
        return sum(term.official for term in self.terms)

    @property
    def missing(self) -> int:
        """How many of these do not exist."""
        return sum(entry.metric not in DECISIONS for entry in self.not_scored)

    @property
    def official(self) -> float | None:
        """The year's score; None unless all of its evaluation set could be scored."""
        whole = frozenset(self.sections) == EVALUATION[self.year] and not self.missing
        return self.mean()["mean"] if whole else None

    @property
    def data(self) -> str:
        """Which part of the year's data was scored, in words."""
        return coverage(self.year, self.sections)

    def mean(
        self, machine: str = "", section: str = "", *, harmonic: bool | None = None
    ) -> dict[str, float]:
        """Means by column over everything, a machine or a section; see `mean_of`."""
        chosen = [
            i
            for i, term in enumerate(self.terms)
            if machine in ("", term.machine) and section in ("", term.section)
        ]
        terms = [self.terms[i] for i in chosen]
        values = [self.values[i] for i in chosen]
        found = mean_of(self.year, terms, values, harmonic=harmonic)
        return {column: float(value) for column, value in found.items()}

    def counts(self, machine: str, section: str) -> dict[str, int]:
        """Clips of a section by label and domain, such as `normal_source`."""
        here = self.clips.of_section(machine, section)
        found = {}
        for label, name in enumerate(("normal", "anomaly")):
            for domain in domains_of(self.year):
                own = self.clips.of_domain(domain) & (self.clips.label == label)
                found[f"{name}_{domain}".rstrip("_")] = int((here & own).sum())
        return found


def score(clips: ClipScores, year: int) -> DcaseScores:
    """Scores clips by the rule of a year.

    A section that lacks normal or anomalous clips, or those of a domain, is listed in
    `not_scored` and left out of the means; there is no official score then.

    Args:
      clips: Scores and truth.
      year: 2020 to 2026. For data of one's own: 2020 without domains, 2022 with.

    Raises:
      DcaseError: There is nothing to score, no such rule, or domains are missing.
    """
    if not len(clips):
        raise DcaseError("there are no clips to score")
    terms = terms_of(clips, year)
    values, missing = values_of(clips, terms)
    return DcaseScores(
        year=year, terms=terms, values=values, not_scored=missing, clips=clips
    )
