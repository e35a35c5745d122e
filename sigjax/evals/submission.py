"""Submission folders of DCASE Task 2: written, read, and paired with the ground truth.

Files, all CSV without header, a row `clip's file name,value` each:

    2020        anomaly_score_MACHINE_id_XX.csv
    2021        anomaly_score_MACHINE_section_SS_DOMAIN_test.csv, decision_result_...
    2022-2026   anomaly_score_MACHINE_section_SS_test.csv, decision_result_...

The baselines' own results since 2023 (`anomaly_score_DCASE2023T2MACHINE_section_00_
test_seed13711TAG_Eval.csv`) are read as well.

The official scripts sort both sides' lines and pair them in that order: a missing,
extra or renamed clip shifts the labels of others. Here clips are paired by name. Names
of hidden clips may be spelt with or without `_test`; since 2023 the names that tell the
truth (`section_00_source_test_normal_0010_vel_15.wav`) are accepted where the ground
truth agrees with them.
"""

import collections
import csv
import dataclasses
import io
import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath

from sigjax.data.machine_sound import names
from sigjax.evals import dcase_years
from sigjax.evals.dcase import ClipScores
from sigjax.evals.ground_truth import Section, Truth, published

_FILE = re.compile(
    r"(?P<kind>anomaly_score|decision_result)_(?:DCASE20\d\dT2)?(?P<machine>.+?)"
    r"_(?P<word>section|id)_(?P<section>\d\d)(?:_(?P<domain>source|target))?"
    r"(?:_test)?(?:_seed.*)?\.csv"
)
_MOST_NAMED = 3
_MOST_PROBLEMS = 8


class SubmissionError(ValueError):
    """A submission cannot be written, read or scored; says where and what to do."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Submission:
    """What a folder says.

    Attributes:
      scores: By section: name and score of each clip, in the files' order.
      decisions: The same of decisions, 0 or 1; empty where there are none.
      ignored: Files that are none of a submission.
    """

    scores: Mapping[Section, Sequence[tuple[str, float]]]
    decisions: Mapping[Section, Sequence[tuple[str, float]]]
    ignored: tuple[str, ...]


def write_submission(
    folder: epath.PathLike,
    year: int,
    *,
    machine: np.ndarray,
    section: np.ndarray,
    name: np.ndarray,
    score: np.ndarray,
    decision: np.ndarray | None = None,
) -> list[str]:
    """Writes the files that a year's evaluator reads.

    Rows are sorted by name, as the evaluators pair them; scores are written so that
    they are read back bit for bit.

    Args:
      folder: Made if it is not there.
      year: 2020 to 2026.
      machine: Text `[n]`.
      section: Text `[n]`, two digits.
      name: Text `[n]`, the clips' file names; folders before them are dropped.
      score: `[n]`, finite.
      decision: `[n]`, 0 or 1; not for 2020, needed after it.

    Returns:
      Names of the files.

    Raises:
      SubmissionError: Columns differ in length, a score is NaN or infinite, a name is
        there twice or has no domain in 2021, decisions are missing, or the folder has
        files of another submission.
    """
    # It imports JAX and TensorBoard, which reading and scoring do not need.
    from sigjax.train.writer import replace_file

    tables = _tables(year, machine, section, name, score, decision)
    path = epath.Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    others = {p.name for p in path.iterdir() if _FILE.fullmatch(p.name)} - set(tables)
    if others:
        raise SubmissionError(
            f"{path} has files of another submission, such as {min(others)}: choose an"
            " empty folder"
        )
    for file, table in tables.items():
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(sorted(table.items()))
        replace_file(path / file, text.getvalue().encode())
    return sorted(tables)


def _tables(
    year: int,
    machine: np.ndarray,
    section: np.ndarray,
    name: np.ndarray,
    score: np.ndarray,
    decision: np.ndarray | None,
) -> dict[str, dict[str, str]]:
    """By file: clips and what is said of them."""
    rule = dcase_years.rule_of(year)
    kinds = {"anomaly_score": score}
    if rule > 2020:
        if decision is None:
            raise SubmissionError(f"the evaluator of {year} needs decisions, 0 or 1")
        kinds["decision_result"] = decision
    lengths = {len(column) for column in (machine, section, name, *kinds.values())}
    if len(lengths) > 1:
        raise SubmissionError(f"columns differ in length: {sorted(lengths)} clips")
    tables: dict[str, dict[str, str]] = collections.defaultdict(dict)
    for row in range(len(name)):
        clip = _file_name(str(name[row]))
        which = _ending(rule, str(machine[row]), str(section[row]), clip)
        for kind, column in kinds.items():
            table, value = tables[f"{kind}_{which}"], float(column[row])
            if clip in table:
                raise SubmissionError(f"{machine[row]} {clip} is there twice")
            _check(kind, value, f"{machine[row]} {clip}")
            table[clip] = repr(value) if kind == "anomaly_score" else str(int(value))
    return tables


def _file_name(path: str) -> str:
    return path.replace("\\", "/").rsplit("/", 1)[-1]


def _check(kind: str, value: float, where: str) -> None:
    if not math.isfinite(value):
        raise SubmissionError(f"{where}: {value} is no finite number")
    if kind == "decision_result" and value not in (0, 1):
        raise SubmissionError(f"{where}: {value} is no decision, 0 or 1")


def _ending(rule: int, machine: str, section: str, clip: str) -> str:
    if rule == 2020:
        return f"{machine}_id_{section}.csv"
    if rule == 2022:
        return f"{machine}_section_{section}_test.csv"
    said = names.parse(clip)
    if said is None or not said.domain:
        raise SubmissionError(
            f"{machine} {clip}: files of 2021 are by domain, and the name tells none"
        )
    return f"{machine}_section_{section}_{said.domain}_test.csv"


def read_submission(folder: epath.PathLike) -> Submission:
    """Reads the files of one system.

    Raises:
      SubmissionError: There are none, two are of the same section, or a row is no
        name and number; the message says which.
    """
    path = epath.Path(folder).expanduser()
    if not path.is_dir():
        raise SubmissionError(f"{path}: no such folder")
    found: dict[str, dict[Section, list]] = {"anomaly_score": {}, "decision_result": {}}
    files: dict[tuple[str, ...], str] = {}
    ignored = []
    for file in sorted(path.iterdir()):
        match = _FILE.fullmatch(file.name)
        if match is None:
            ignored.append(file.name)
            continue
        kind, machine, section = match["kind"], match["machine"], match["section"]
        key = kind, machine, section, match["domain"] or ""
        if key in files:
            raise SubmissionError(
                f"{path}: {files[key]} and {file.name} are of the same section; give"
                " the folder of one system"
            )
        files[key] = file.name
        rows = _rows(file, kind)
        found[kind].setdefault((machine, section), []).extend(rows)
    if not found["anomaly_score"]:
        below = [f"{p.parent.name}" for p in path.glob("*/anomaly_score_*.csv")]
        raise SubmissionError(
            f"{path}: no anomaly_score_*.csv here"
            + (f"; there are some in {', '.join(sorted(set(below)))}" if below else "")
        )
    return Submission(
        scores=found["anomaly_score"],
        decisions=found["decision_result"],
        ignored=tuple(ignored),
    )


def _rows(file: epath.Path, kind: str) -> list[tuple[str, float]]:
    rows = []
    text = file.read_text().removeprefix("\ufeff")  # As spreadsheets begin a file.
    for number, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        row = [cell.strip() for cell in row]
        if not any(row):
            continue
        try:
            name, value = row[0], float(row[1])
        except (IndexError, ValueError):
            raise SubmissionError(
                f"{file}, line {number}: expected `file name,number`, got"
                f" {','.join(row)[:60]!r}" + ("; write no header" * (number == 1))
            ) from None
        _check(kind, value, f"{file}, line {number}")
        rows.append((_file_name(name), value))
    return rows


def pair(submission: Submission, known: Truth, year: int) -> ClipScores:
    """Gives each score its clip's label and domain, by name.

    Args:
      submission: Of one system.
      known: Ground truth.
      year: Since 2023 names that tell the truth are accepted.

    Raises:
      SubmissionError: Clips are missing, extra or there twice, a name contradicts the
        truth, or some sections have decisions and others none. All are listed.
    """
    problems, columns = [], []
    pairing = _Pairing(known, year)
    for section in sorted(known.clips.keys() | submission.scores.keys()):
        rows = submission.scores.get(section)
        scores = pairing.section(section, rows, "scores", problems)
        decisions: Mapping[str, float] = {}
        if submission.decisions:
            rows = submission.decisions.get(section)
            decisions = pairing.section(section, rows, "decisions", problems)
        columns += [
            (*section, *known.clips[section][stem], value, decisions.get(stem, 0), stem)
            for stem, value in scores.items()
        ]
    if problems:
        shown = "\n  ".join(problems[:_MOST_PROBLEMS])
        more = len(problems) - _MOST_PROBLEMS
        raise SubmissionError(
            f"the submission does not fit the ground truth:\n  {shown}"
            + (f"\n  and {more} problems more" if more > 0 else "")
        )
    machine, section, label, domain, score, decision, stem = zip(*columns, strict=True)
    return ClipScores(
        machine=np.array(machine),
        section=np.array(section),
        domain=np.array(domain),
        label=np.array(label),
        score=np.array(score, np.float64),
        decision=np.array(decision, np.int64) if submission.decisions else None,
        name=np.array(stem),
    )


class _Pairing:
    def __init__(self, known: Truth, year: int):
        self.known = known
        self.year = year
        self._by_told: dict[Section, Mapping[tuple, str]] = {}

    def section(
        self,
        section: Section,
        rows: Sequence[tuple[str, float]] | None,
        what: str,
        problems: list[str],
    ) -> dict[str, float]:
        """Values by published stem; what does not fit goes to `problems`."""
        where = f"{section[0]} section {section[1]}"
        clips = self.known.clips.get(section)
        if clips is None:
            problems.append(f"{where}: the ground truth has no such section")
            return {}
        if rows is None:
            problems.append(f"{where}: no file of {what}")
            return {}
        found: dict[str, float] = {}
        extra, twice = [], []
        for name, value in rows:
            stem = self._stem(section, name)
            if stem is None:
                extra.append(name)
            elif stem in found:
                twice.append(name)
            else:
                found[stem] = value
        missing = [stem for stem in clips if stem not in found]
        for some, text in (
            (missing, f"{what} of {len(missing)} of {len(clips)} clips are missing"),
            (twice, f"{what} of {len(twice)} clips are there twice"),
            (extra, f"{what} of {len(extra)} clips that the ground truth has not"),
        ):
            if some:
                dots = ", ..." if len(some) > _MOST_NAMED else ""
                problems.append(
                    f"{where}: {text}: {', '.join(some[:_MOST_NAMED])}{dots}"
                )
        return {} if missing or twice or extra else found

    def _stem(self, section: Section, name: str) -> str | None:
        """The published stem of a clip's name, or None if there is no such clip."""
        clips, stem = self.known.clips[section], names.stem(name)
        if stem in clips:
            return stem
        if self.year >= 2023 and stem in self.known.renamed.get(section, {}):
            return self.known.renamed[section][stem]
        said = names.parse(name)
        if said is None or said.section != section[1]:
            return None
        if said.label == names.UNKNOWN:
            spelt = (published(kind, *said.key) for kind in ("section", "id"))
            return next((stem for stem in spelt if stem in clips), None)
        return self._told(section).get(_told(said)) if self.year >= 2023 else None

    def _told(self, section: Section) -> Mapping[tuple, str]:
        """Published stems by what true names tell beside attributes.

        Attributes may be spelt otherwise, or hidden. The number is that of the true
        name: since 2024 it is not always the published one.
        """
        if section not in self._by_told:
            found: dict[tuple, list[str]] = collections.defaultdict(list)
            for true_name, stem in self.known.renamed.get(section, {}).items():
                said = names.parse(true_name)
                if said is not None:
                    found[_told(said)].append(stem)
            alone = {told: stems[0] for told, stems in found.items() if len(stems) == 1}
            self._by_told[section] = alone
        return self._by_told[section]


def _told(said: names.Name) -> tuple[str, str, int, int]:
    return said.section, said.domain, said.label, said.number
