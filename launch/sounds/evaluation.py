"""Scores the clips of trained sound models, chooses honestly, writes what follows."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from launch.sounds.candidates import (
    SIDE_OF,
    by_candidate,
    of_dcase,
    official_figure,
    sides_of,
    write_candidates,
)
from launch.sounds.scoring import Part, Scored, score_part
from sigjax.data.machine_sound.clips import Clip
from sigjax.data.machine_sound.names import UNKNOWN
from sigjax.evals import dcase, submission, thresholds
from sigjax.evals.anomaly import selection
from sigjax.evals.anomaly.backend import BackendError
from sigjax.evals.sound_embedding import names_of
from sigjax.evals.sound_report import SoundExample, write_report
from sigjax.evals.sound_results import SoundResults, choose_examples
from sigjax.train.writer import prepare_workdir, replace_file

EXPECTED_ERRORS = (
    BackendError,
    dcase.DcaseError,
    selection.SelectionError,
    submission.SubmissionError,
    thresholds.ThresholdError,
)


def evaluate_sounds(
    parts: Sequence[Part], output: epath.Path, *, bootstrap: int = 1000
) -> str:
    """Scores all clips of the machines that runs were trained on.

    `output` gets, for each side (development, evaluation) that has labelled clips,
    `SIDE/report.html`, `scores.csv` and `results.json`; `candidates.csv`, every
    back-end's score of every test clip; `choice.md`, what was chosen and how, beside
    the oracle; `choice.json`, the back-end by machine; and `submission/`, the files of
    the year's evaluator, where it is a year of DCASE.

    Args:
      parts: Of one data set.
      output: Folder.
      bootstrap: Resamples of clips for the page's intervals; 0 for none.

    Returns:
      A table for the terminal.

    Raises:
      EXPECTED_ERRORS: With messages that say what to change.
    """
    output = prepare_workdir(output)
    scored = {m: s for part in parts for m, s in score_part(part).items()}
    dataset = parts[0].data.dataset
    clips = by_candidate(scored, dataset)
    sides = sides_of(scored, dataset)
    write_candidates(output / "candidates.csv", clips, sides)
    year = _year(clips, dataset)
    choice, text = _choose(parts, scored, clips, year)
    replace_file(output / "choice.md", f"{text}\n".encode())
    # What launch.export reads.
    replace_file(output / "choice.json", f"{json.dumps(choice, indent=1)}\n".encode())
    lines = [*dict.fromkeys(r for part in parts for r in part.data.remarks), text]
    for side in ("development", "evaluation"):
        found = _results(parts, scored, clips, choice, side, year)
        if found is not None:
            examples = _examples(found, dataset)
            page = write_report(
                output / side, found, examples=examples, bootstrap=bootstrap
            )
            lines.append(f"{side}: {page}")
    written = _submit(scored, choice, dataset, year, output / "submission")
    if written:
        lines.append(f"submission: {output / 'submission'} ({len(written)} files)")
    return "\n".join(lines)


def _year(clips: Mapping[str, selection.ScoredClips], dataset: Any) -> int:
    """The rule to score by: the set's, or for other data by whether it has domains."""
    years = {clip.year for clip in dataset.clips} - {0}
    if len(years) == 1:
        return years.pop()
    first = next(iter(clips.values()))
    return 2022 if (first.domain != "").any() else 2020


def _rows(
    scored: Mapping[str, Mapping[str, Scored]], dataset: Any, side: str
) -> np.ndarray:
    """Bool `[n]` in the order of `by_candidate`: labelled clips of a side."""
    indices = np.concatenate(
        [next(iter(by.values())).indices for by in scored.values()]
    )
    clips = [dataset.clips[i] for i in indices]
    return np.array(
        [c.label != UNKNOWN and SIDE_OF[c.split] == side for c in clips], bool
    )


def _choose(
    parts: Sequence[Part],
    scored: Mapping[str, Mapping[str, Scored]],
    clips: Mapping[str, selection.ScoredClips],
    year: int,
) -> tuple[dict[str, str], str]:
    """The back-end of each machine, and how it was chosen, in words."""
    dataset = parts[0].data.dataset
    first = next(iter(clips))
    given = dict.fromkeys(scored, first)
    figures = {}
    for side in ("development", "evaluation"):
        rows = _rows(scored, dataset, side)
        if rows.any():
            figures[side] = selection.measure(
                {name: c.take(rows) for name, c in clips.items()},
                official_figure(year),
                side=side,
                name=f"mean of the figures of {year}'s rule",
            )
    development = figures.get("development")
    if development is None or not selection.measured(development):
        why = "there are no development clips of both labels to choose by"
        return (
            given,
            f"back-end {first} for all machines, the first that is named: {why}",
        )
    # Since 2023 the evaluation machines are others: what is best for all of those that
    # can be judged is taken for them.
    whole = selection.measured(development) >= set(scored)
    choice = selection.select(
        development, scope="machine" if whole else "machine_or_all"
    )
    one = choice.candidate.get(selection.ALL, first)
    chosen = {machine: choice.candidate.get(machine, one) for machine in scored}
    if "evaluation" in figures:
        return chosen, selection.table(choice, figures["evaluation"])
    lines = [
        f"{machine}: {name}, {100 * value:.2f} %"
        if (value := development.value.get(machine, {}).get(name, np.nan)) == value
        else f"{machine}: {name}, the best of the other machines"
        for machine, name in chosen.items()
    ]
    lines.append("chosen on the development clips, so these figures flatter")
    return chosen, "\n".join(lines)


def _results(
    parts: Sequence[Part],
    scored: Mapping[str, Mapping[str, Scored]],
    clips: Mapping[str, selection.ScoredClips],
    choice: Mapping[str, str],
    side: str,
    year: int,
) -> SoundResults | None:
    """One side's labelled clips by the chosen back-ends; None if there are none."""
    dataset = parts[0].data.dataset
    rows = _rows(scored, dataset, side)
    if not rows.any():
        return None
    any_of = next(iter(clips.values()))
    score = np.stack([c.score for c in clips.values()], axis=1)
    names = list(clips)
    column = np.array([names.index(choice[str(m)]) for m in any_of.machine])
    chosen = dataclasses.replace(
        any_of, score=score[np.arange(len(column)), column]
    ).take(rows)
    indices = np.concatenate(
        [next(iter(by.values())).indices for by in scored.values()]
    )[rows]
    limits = {
        (machine, section): limit
        for machine, by in scored.items()
        for section, limit in by[choice[machine]].thresholds.items()
    }
    scoring = parts[0].system.scoring
    simulated = dataset.simulated
    return SoundResults(
        clips=of_dcase(chosen),
        year=year,
        chosen=choice,
        thresholds=limits,
        hop_s=scoring.hop_s,
        attributes=[dict(dataset.clips[i].attributes) for i in indices],
        side=[side] * len(indices),
        group=_recordings([dataset.clips[i] for i in indices]),
        facts={
            "data set": dataset.name,
            "fingerprint": dataset.fingerprint,
            "run": ", ".join(part.workdir.name for part in parts),
            "data": "SIMULATED" if simulated else "as given",
        },
        simulated=simulated,
    )


def _recordings(clips: Sequence[Clip]) -> list[str] | None:
    """The file of each clip; None if every clip is one of its own."""
    files = [clip.path for clip in clips]
    return files if len(set(files)) < len(files) else None


def _examples(results: SoundResults, dataset: Any) -> list[SoundExample]:
    """Clips to look at: hits, misses, false alarms, of each machine one a kind."""
    numbers = {
        (dataset.clips[i].machine, str(name)): i
        for i, name in enumerate(names_of(dataset, np.arange(len(dataset))))
        if dataset.clips[i].side == "test"
    }
    clips, found = results.clips, []
    named = np.asarray(clips.name)
    for machine in np.unique(clips.machine).tolist():
        for row, title in choose_examples(results, machine):
            section = str(clips.section[row])
            wave = dataset.read(numbers[machine, str(named[row])])
            found.append(
                SoundExample(
                    name=str(named[row]),
                    machine=machine,
                    section=section,
                    domain=str(clips.domain[row]),
                    label=int(clips.label[row]),
                    score=float(clips.score[row]),
                    threshold=results.thresholds[machine, section].value,
                    rate_hz=dataset.rate_hz,
                    wave=wave.astype(np.float32) / 32768,
                    title=title,
                )
            )
    return found


def _submit(
    scored: Mapping[str, Mapping[str, Scored]],
    choice: Mapping[str, str],
    dataset: Any,
    year: int,
    folder: epath.Path,
) -> list[str]:
    """The evaluator's files of the evaluation clips, labelled or not."""
    if year not in {clip.year for clip in dataset.clips}:
        return []
    columns: dict[str, list[Any]] = {
        name: [] for name in ("machine", "section", "name", "score", "decision")
    }
    for machine, by in scored.items():
        one = by[choice[machine]]
        names = names_of(dataset, one.indices)
        for row, i in enumerate(one.indices):
            clip = dataset.clips[i]
            if clip.split != "eval":
                continue
            limit = one.thresholds[clip.section]
            columns["machine"].append(machine)
            columns["section"].append(clip.section)
            columns["name"].append(names[row])
            columns["score"].append(one.score[row])
            columns["decision"].append(int(limit.decide(one.score[row : row + 1])[0]))
    if not columns["name"]:
        return []
    arrays = {name: np.array(values) for name, values in columns.items()}
    return submission.write_submission(folder, year, **arrays)
