"""What a detector said of every clip, and what follows from it: tables for a report.

    FOLDER/scores.csv     a row per clip: truth, score, decision, attributes
    FOLDER/results.json   thresholds, choices, facts, and scores by the year's rule

Development and evaluation clips are kept apart: settings are chosen by the former, so
that their figures flatter.
"""

import csv
import dataclasses
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy
from etils import epath

from sigjax.data.machine_sound.clips import read_attributes, write_attributes
from sigjax.evals import dcase, dcase_table, thresholds
from sigjax.evals.dcase import ClipScores
from sigjax.evals.detection_intervals import Interval
from sigjax.metrics import detection

# What is reported stands first.
SIDES = ("evaluation", "development")
UNDECIDED = -1
_COLUMNS = (
    "name",
    "machine",
    "section",
    "domain",
    "side",
    "label",
    "score",
    "decision",
    "attributes",
    "group",
)
_VERSION = 1


class SoundResultsError(ValueError):
    """Results contradict themselves, or cannot be read; says where."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SoundResults:
    """Scores of `n` clips and how they came about.

    Attributes:
      clips: Truth and scores. Where `decision` is None, the thresholds decide.
      year: Of the DCASE rule to score by; for data of one's own 2020 without domains,
        2022 with.
      chosen: By machine, back-end and settings in words.
      thresholds: By machine and section; sections may lack one.
      hop_s: Seconds from one scored clip to the next in use, for false alarms a day.
      attributes: Of each clip, by name; may be empty.
      side: Of each clip, one of `SIDES`.
      facts: What a reader should know, by name: data set, model, run.
      simulated: Whether the clips are simulated.
      group: Of each clip, the recording that it was cut from: those of one are not
        independent, and intervals take them together. None where each clip is a
        recording of its own.
    """

    clips: ClipScores
    year: int
    chosen: Mapping[str, str]
    thresholds: Mapping[tuple[str, str], thresholds.Threshold]
    hop_s: float
    attributes: Sequence[Mapping[str, str]]
    side: Sequence[str]
    facts: Mapping[str, str]
    simulated: bool
    group: Sequence[str] | None = None

    def __post_init__(self):
        """Refuses columns of other lengths, unknown sides and decisions that differ."""
        dcase.rule_of(self.year)
        thresholds.clips_per_day(self.hop_s)
        for name in ("attributes", "side", "group"):
            column = getattr(self, name)
            if column is not None and len(column) != len(self.clips):
                raise SoundResultsError(
                    f"{len(self.clips)} clips, but {len(column)} of {name}"
                )
        strange = sorted(set(map(str, self.side)) - set(SIDES))
        if strange:
            raise SoundResultsError(
                f"side {strange[0]!r} is none of {', '.join(SIDES)}"
            )
        given = self.clips.decision
        if given is not None:
            made = self._by_threshold()
            wrong = np.flatnonzero((made != UNDECIDED) & (made != given))
            if len(wrong):
                raise SoundResultsError(
                    f"{len(wrong)} decisions are not those of the thresholds, the first"
                    f" of {self.clips.where(int(wrong[0]))}: leave decisions out, or"
                    " the thresholds"
                )

    def _by_threshold(self) -> np.ndarray:
        made = np.full(len(self.clips), UNDECIDED, np.int8)
        for (machine, section), threshold in self.thresholds.items():
            here = self.clips.of_section(machine, section)
            made[here] = threshold.decide(self.clips.score[here])
        return made

    @property
    def decision(self) -> np.ndarray:
        """Int8 `[n]`: 1 anomaly, 0 normal, -1 where there is no threshold."""
        if self.clips.decision is not None:
            return np.asarray(self.clips.decision, np.int8)
        return self._by_threshold()

    @property
    def sides(self) -> tuple[str, ...]:
        """Those that clips are of, evaluation first."""
        return tuple(side for side in SIDES if side in set(self.side))

    def of_side(self, side: str) -> "SoundResults":
        """The clips of one side alone."""
        rows = np.flatnonzero(np.asarray(self.side) == side).tolist()
        columns = {}
        for field in dataclasses.fields(ClipScores):
            column = getattr(self.clips, field.name)
            columns[field.name] = None if column is None else np.asarray(column)[rows]
        return dataclasses.replace(
            self,
            clips=ClipScores(**columns),
            attributes=[self.attributes[i] for i in rows],
            side=[self.side[i] for i in rows],
            group=None if self.group is None else [self.group[i] for i in rows],
        )

    def recordings(self, rows: np.ndarray) -> int:
        """How many recordings some clips are of; `rows` are their index."""
        if self.group is None:
            return len(rows)
        return len({self.group[row] for row in rows.tolist()})

    def score(self) -> dcase.DcaseScores:
        """Figures by the year's rule; give it one side.

        Raises:
          DcaseError: There are no clips, or they lack domains that the year needs.
        """
        made = self.decision
        decision = None if (made == UNDECIDED).any() else made
        return dcase.score(
            dataclasses.replace(self.clips, decision=decision), self.year
        )

    def write(self, folder: epath.PathLike) -> None:
        """Writes `scores.csv`, then `results.json`; each appears whole or not at all.

        Raises:
          DcaseError: See `score`.
        """
        # It imports JAX, which reading results does not need.
        from sigjax.train.writer import replace_file

        path = epath.Path(folder).expanduser()
        path.mkdir(parents=True, exist_ok=True)
        table = self._csv().encode()
        sides = {side: self.of_side(side).score() for side in self.sides}
        about = {
            "version": _VERSION,
            "simulated": self.simulated,
            "year": self.year,
            "hop_s": self.hop_s,
            "facts": dict(self.facts),
            "chosen": dict(self.chosen),
            "thresholds": [
                {"machine": machine, "section": section, **threshold.as_dict()}
                for (machine, section), threshold in self.thresholds.items()
            ],
            "decisions_given": self.clips.decision is not None,
            "named": self.clips.name is not None,
            "grouped": self.group is not None,
            "clips": len(self.clips),
            "crc32": zlib.crc32(table),
            "scores": {s: dcase_table.as_dict(found) for s, found in sides.items()},
        }
        text = json.dumps(about, indent=2, allow_nan=False)
        replace_file(path / "scores.csv", table)
        replace_file(path / "results.json", text.encode())

    def _csv(self) -> str:
        clips, made = self.clips, self.decision
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for i in range(len(clips)):
            writer.writerow([
                "" if clips.name is None else clips.name[i],
                clips.machine[i],
                clips.section[i],
                clips.domain[i],
                self.side[i],
                int(clips.label[i]),
                repr(float(clips.score[i])),
                "" if made[i] == UNDECIDED else int(made[i]),
                write_attributes(self.attributes[i]),
                "" if self.group is None else self.group[i],
            ])  # fmt: skip
        return text.getvalue()


def read_results(folder: epath.PathLike) -> SoundResults:
    """Reads what `SoundResults.write` wrote, bit for bit.

    Raises:
      SoundResultsError: A file is missing, damaged, or the two do not belong together.
    """
    path = epath.Path(folder).expanduser()
    try:
        about: dict[str, Any] = json.loads((path / "results.json").read_text())
        table = (path / "scores.csv").read_bytes()
    except (OSError, ValueError) as error:
        raise SoundResultsError(f"{path}: no results: {error}") from error
    if about.get("version") != _VERSION:
        raise SoundResultsError(
            f"{path}: results.json is of version {about.get('version')}, this reads"
            f" {_VERSION}"
        )
    if about["crc32"] != zlib.crc32(table):
        raise SoundResultsError(
            f"{path}: scores.csv is not the one that results.json was written with:"
            " it was changed, or writing was interrupted"
        )
    rows = list(csv.DictReader(io.StringIO(table.decode(), newline="")))
    # Results from before there were groups have no such column.
    column = {name: [row.get(name, "") for row in rows] for name in _COLUMNS}
    decided = about["decisions_given"]
    found = {}
    for entry in about["thresholds"]:
        key = entry.pop("machine"), entry.pop("section")
        found[key] = thresholds.Threshold.from_dict(entry)
    clips = ClipScores(
        machine=np.array(column["machine"], str),
        section=np.array(column["section"], str),
        domain=np.array(column["domain"], str),
        label=np.array(column["label"], np.int64),
        score=np.array(column["score"], np.float64),
        decision=np.array(column["decision"], np.int64) if decided else None,
        name=np.array(column["name"], str) if about["named"] else None,
    )
    return SoundResults(
        clips=clips,
        year=about["year"],
        chosen=about["chosen"],
        thresholds=found,
        hop_s=about["hop_s"],
        attributes=[read_attributes(text) for text in column["attributes"]],
        side=column["side"],
        facts=about["facts"],
        simulated=about["simulated"],
        group=column["group"] if about.get("grouped") else None,
    )


class Decided(NamedTuple):
    """Decisions about some clips.

    Attributes:
      section: Section, or words for all.
      domain: Domain or `""`.
      normal: Normal clips.
      anomalous: Anomalous clips.
      undecided: Clips without a threshold, which are in no figure.
      figures: Precision, recall, F1, hits, false alarms and misses.
      false: Share of normal clips flagged, with exact binomial limits. Where clips are
        cut from recordings, those of as many clips as there are recordings: as if all
        clips of one were flagged together.
      per_day: These, in false alarms a day.
      promised: False alarms a day that the threshold was set for; NaN if unknown.
    """

    section: str
    domain: str
    normal: int
    anomalous: int
    undecided: int
    figures: detection.Decisions
    false: Interval
    per_day: Interval
    promised: float


def decided_rows(results: SoundResults, machine: str) -> list[Decided]:
    """By section and domain, then of the machine; none if nothing was decided."""
    clips, rows = results.clips, []
    for section in np.unique(clips.section[clips.machine == machine]).tolist():
        here = clips.of_section(machine, section)
        for domain in sorted(set(clips.domain[here].tolist())):
            which = np.flatnonzero(here & (clips.domain == domain))
            rows.append(decided(results, which, section, domain))
    if all(row.undecided == row.normal + row.anomalous for row in rows):
        return []
    if len(rows) > 1:
        own = np.flatnonzero(clips.machine == machine)
        rows.append(decided(results, own, "all", ""))
    return rows


def decided(
    results: SoundResults, rows: np.ndarray, section: str, domain: str
) -> Decided:
    """Decisions about some clips; a rate of several sections is of all their clips.

    Args:
      results: Of all clips.
      rows: Index of the clips.
      section: In words.
      domain: In words.
    """
    made, label = results.decision[rows], results.clips.label[rows]
    known = made != UNDECIDED
    found = detection.precision_recall(label[known], made[known])
    normal = int((label[known] == 0).sum())
    false = Interval(np.nan, np.nan, np.nan)
    if normal:
        share = found.false_alarms / normal
        n = results.recordings(rows[known & (label == 0)])
        k, beta, tail = share * n, scipy.stats.beta, (1 - thresholds.CONFIDENCE) / 2
        low = beta.ppf(tail, k, n - k + 1) if k else 0.0
        high = beta.ppf(1 - tail, k + 1, n - k) if k < n else 1.0
        false = Interval(share, float(low), float(high))
    clips_a_day = thresholds.clips_per_day(results.hop_s)
    names = zip(results.clips.machine[rows], results.clips.section[rows], strict=True)
    used = [results.thresholds.get((str(m), str(s))) for m, s in set(names)]
    promised = [t.per_day(results.hop_s) for t in used if t is not None]
    return Decided(
        section=section,
        domain=domain,
        normal=int((label == 0).sum()),
        anomalous=int((label == 1).sum()),
        undecided=int((~known).sum()),
        figures=found,
        false=false,
        per_day=Interval(*(clips_a_day * end for end in false)),
        promised=float(np.mean(promised)) if promised else np.nan,
    )


def choose_examples(
    results: SoundResults, machine: str, *, each: int = 1
) -> list[tuple[int, str]]:
    """Clips worth looking at, of the side that is reported.

    Args:
      results: Of both sides or one.
      machine: Whose.
      each: Clips of each kind.

    Returns:
      Index of the clip and what it shows. Kinds that do not occur are left out.
    """
    clips, made = results.clips, results.decision
    own = (clips.machine == machine) & (made != UNDECIDED)
    sides = np.asarray(results.side)
    for side in results.sides:
        if (own & (sides == side)).any():
            own &= sides == side
            break
    # Sections have scales of their own: margins are in spreads of normal clips.
    margin = np.full(len(clips), np.nan)
    for section in np.unique(clips.section[own]):
        here = own & (clips.section == section)
        threshold = results.thresholds.get((machine, str(section)))
        if threshold is not None:
            normal = clips.score[here & (clips.label == 0)]
            spread = float(np.std(normal)) if len(normal) else 0.0
            margin[here] = (clips.score[here] - threshold.value) / (spread or 1.0)
    anomaly, flagged = clips.label == 1, made == 1
    quiet = margin[own & ~anomaly & ~flagged & np.isfinite(margin)]
    typical = np.abs(margin - np.median(quiet)) if len(quiet) else margin
    kinds = (
        ("most anomalous", anomaly & flagged, -margin),
        ("false alarm", ~anomaly & flagged, -margin),
        ("miss", anomaly & ~flagged, margin),
        ("borderline", np.ones(len(clips), bool), np.abs(margin)),
        ("normal, as it should be", ~anomaly & ~flagged, typical),
    )
    found: dict[int, str] = {}
    for title, which, order in kinds:
        rows = np.flatnonzero(own & which & np.isfinite(margin))
        rows = [int(i) for i in rows[np.argsort(order[rows], kind="stable")]]
        for row in [i for i in rows if i not in found][:each]:
            found[row] = title
    return list(found.items())
