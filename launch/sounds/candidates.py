"""Scores of test clips by every candidate, as they are kept, read and judged."""

import csv
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from etils import epath

from sigjax.evals import dcase
from sigjax.evals.anomaly import selection
from sigjax.evals.sound_embedding import names_of
from sigjax.train.writer import replace_file

if TYPE_CHECKING:
    from launch.sounds.scoring import Scored

SIDE_OF = {"dev": "development", "eval": "evaluation", "": "evaluation"}
_COLUMNS = ("name", "machine", "section", "domain", "label", "side")


def by_candidate(
    scored: "Mapping[str, Mapping[str, Scored]]", dataset: Any
) -> dict[str, selection.ScoredClips]:
    """Every candidate's scores of all machines' test clips.

    A candidate that not all machines have is none.

    Args:
      scored: By machine and candidate; see `launch.sounds.scoring.score_part`.
      dataset: The set of the clips.
    """
    first = next(iter(scored.values()))
    names = [n for n in first if all(n in by for by in scored.values())]
    found = {}
    for name in names:
        each = [by[name] for by in scored.values()]
        indices = np.concatenate([one.indices for one in each])
        clips = [dataset.clips[i] for i in indices]
        found[name] = selection.ScoredClips(
            clip=names_of(dataset, indices),
            machine=np.array([c.machine for c in clips], np.str_),
            section=np.array([c.section for c in clips], np.str_),
            domain=np.array([c.domain for c in clips], np.str_),
            label=np.array([c.label for c in clips], np.int64),
            score=np.concatenate([one.score for one in each]),
        )
    return found


def sides_of(scored: "Mapping[str, Mapping[str, Scored]]", dataset: Any) -> list[str]:
    """`"development"` or `"evaluation"`, in the order of `by_candidate`."""
    indices = [i for by in scored.values() for i in next(iter(by.values())).indices]
    return [SIDE_OF[dataset.clips[i].split] for i in indices]


def write_candidates(
    path: epath.Path, clips: Mapping[str, selection.ScoredClips], sides: list[str]
) -> None:
    """A CSV with a row for each clip and a column for each candidate, in full digits.

    Args:
      path: The file.
      clips: By candidate, all of the same clips in the same order.
      sides: Of each clip.
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*_COLUMNS, *clips])
    first = next(iter(clips.values()))
    scores = np.stack([c.score for c in clips.values()], axis=1)
    columns = (first.clip, first.machine, first.section, first.domain, first.label)
    whole = zip(*columns, sides, strict=True)
    for row, values in zip(whole, scores.tolist(), strict=True):
        rows.writerow([*row, *map(repr, values)])
    replace_file(path, text.getvalue().encode())


def read_candidates(
    path: epath.Path,
) -> tuple[dict[str, selection.ScoredClips], np.ndarray]:
    """What `write_candidates` wrote.

    Returns:
      Scored clips by candidate, and the side of each clip, text `[n]`.

    Raises:
      FileNotFoundError: There is no such file.
      ValueError: It is none of these.
    """
    header, *rows = csv.reader(io.StringIO(path.read_text()))
    if tuple(header[: len(_COLUMNS)]) != _COLUMNS or not rows:
        raise ValueError(f"{path}: no table of candidates' scores; evaluate again")
    columns = [np.array(column, np.str_) for column in zip(*rows, strict=True)]
    name, machine, section, domain, label, side = columns[: len(_COLUMNS)]
    shared: dict[str, np.ndarray] = dict(
        clip=name,
        machine=machine,
        section=section,
        domain=domain,
        label=label.astype(np.int64),
    )
    scores = zip(header[len(_COLUMNS) :], columns[len(_COLUMNS) :], strict=True)
    found = {
        candidate: selection.ScoredClips(**shared, score=column.astype(np.float64))
        for candidate, column in scores
    }
    return found, side


def official_figure(year: int) -> selection.Figure:
    """The official mean of a year's figures, of one machine's clips."""

    def official(clips: selection.ScoredClips) -> float:
        return dcase.score(of_dcase(clips), year).mean()["mean"]

    return official


def of_dcase(
    clips: selection.ScoredClips, decision: np.ndarray | None = None
) -> dcase.ClipScores:
    """The same clips, to be scored by a year's rule.

    Args:
      clips: With labels.
      decision: 1 where the system says "anomaly", `[n]`.
    """
    return dcase.ClipScores(
        machine=clips.machine,
        section=clips.section,
        domain=clips.domain,
        label=clips.label,
        score=clips.score,
        decision=decision,
        name=clips.clip,
    )
