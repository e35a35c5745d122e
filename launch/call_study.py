r"""Speech encoders pre-trained by us, on spoken digits and ESC-10, beside plain bars.

python -m launch.call_study --fsdd=FOLDER --esc10=FOLDER --workdir=runs/call_study \
    --output=docs/calls_on_real_data

The whole path: calls, pre-training by masked prediction, features of every layer,
probes, table. Each speaker of FSDD and each official fold of ESC-10 is tested once, by
an encoder that never heard it. Beside it stand the same encoder with random weights,
and what scikit-learn makes of MFCCs.

Every encoder, and every probing of one, is a cell in WORKDIR/cells: run again after a
stop, the study goes on, and a second process on the same WORKDIR shares the work. Then
it writes OUTPUT.json and OUTPUT.png, and puts the tables into OUTPUT.md, between its
two lines `<!-- tables -->`; without such a page it prints them. --nomissing makes
tables of what is there.
"""

import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import app, flags
from etils import epath

from launch import command, runtime
from launch.calls import study_cells, study_page, study_plain, study_sizes
from launch.calls import study_tables as tables
from launch.calls.study_data import (
    ESC10,
    FSDD,
    StudyCalls,
    StudyError,
    read_esc10,
    read_fsdd,
)
from launch.calls.study_work import Work
from launch.claims import ClaimError
from launch.event_study import rounded
from launch.pages import publish
from launch.reproduction.rendering import made_with
from launch.reproduction.runner import Cells
from sigjax.data.audio import AudioError
from sigjax.data.clips import ManifestError
from sigjax.evals import call_study_figures
from sigjax.train.writer import WorkdirError, prepare_workdir

EXPECTED_ERRORS = (
    AudioError,
    ClaimError,
    FileNotFoundError,
    ManifestError,
    StudyError,
    WorkdirError,
)
_say = functools.partial(print, flush=True)


def collect(
    sets: Sequence[tuple[StudyCalls, str]],
    workdir: epath.Path,
    *,
    size: str,
    parts: Sequence[str] = study_cells.PARTS,
    seeds: int = 3,
    trainings: int = 1,
    missing: bool = True,
) -> dict[str, Any]:
    """Makes the cells that are not there, and what they come to.

    Args:
      sets: Calls, and where they lie.
      workdir: Cells are kept below it.
      size: Of `study_sizes.SIZES`.
      parts: Of `study_cells.PARTS`.
      seeds: Of random weights.
      trainings: Of each encoder that is pre-trained.
      missing: Otherwise tables are made of the cells that are there.

    Returns:
      `size` and what is said of it, `trained_says` by set; `rows`, `differences` and
      `trainings` (see `study_tables`), `classes` by set, `waiting` (cells to be run, by
      kind), `failed`, `made_with`; JSON-able.
    """
    networks = study_sizes.SIZES[size]
    planned = study_cells.make_cells(
        sets, networks, parts=parts, seeds=seeds, trainings=trainings
    )
    kept = Cells(workdir, planned)
    work = Work({calls.name: calls for calls, _ in sets}, workdir)
    outcomes = kept.run(work, _say) if missing else kept.outcomes()
    found: dict[str, Any] = {
        "size": size,
        "size_says": networks.says,
        "trained_says": {c.name: networks.trained_says(c.name) for c, _ in sets},
        "classes": {calls.name: list(calls.classes) for calls, _ in sets},
        "rows": [],
        "differences": [],
        "trainings": [],
        "waiting": {},
        "failed": {},
    }
    for calls, _ in sets:
        rows = tables.rows(calls, tables.members_of(calls, planned, outcomes))
        found["rows"] += rows
        pairs = tables.pairs_of(calls)
        found["differences"] += tables.differences(calls, rows, pairs)
        found["trainings"] += tables.trainings(calls, planned, outcomes)
    for key, cell in planned.items():
        if outcomes[key].result is None:
            waiting = found["waiting"]
            waiting[cell.kind] = waiting.get(cell.kind, 0) + 1
        if outcomes[key].error and outcomes[key].record:  # Not those that wait.
            found["failed"][f"{cell.kind} {cell.title}"] = outcomes[key].error
    results = [o.result for o in outcomes.values() if o.result]
    return rounded({**found, "made_with": made_with(results)})


def panels(found: Mapping[str, Any]) -> list[call_study_figures.Panel]:
    """What the figure shows."""
    made = []
    for name, title in study_page.TITLES.items():
        rows = [row for row in found["rows"] if row["set"] == name]
        if not rows:
            continue
        by = {row["name"]: row for row in rows}
        rich = study_plain.RICH[name]
        lines = (study_plain.machine(rich), f"{rich}: MLP", study_plain.TRIVIAL[name])
        best = study_page.best_row(rows)
        most = max(len(row["units"]) for row in rows)
        made.append(
            call_study_figures.Panel(
                title=title,
                unit="speaker" if name == FSDD else "fold",
                curves={
                    _named(row, most): [
                        _score(k, own) for k, own in row["curve"].items()
                    ]
                    for row in rows
                    if "curve" in row
                },
                lines={n: by[n]["uar"]["value"] for n in lines if n in by},
                scores=[_score(_named(row, most), row) for row in rows],
                confusion=np.array(best["confusion"]),
                classes=found["classes"][name],
                confusion_of=best["name"],
                chance=1 / len(found["classes"][name]),
            )
        )
    return made


def _named(row: Mapping[str, Any], most: int) -> str:
    """A row's name, with how many units it is of where that is not all."""
    few = len(row["units"])
    return row["name"] if few == most else f"{row['name']} ({few} of {most})"


def _score(name: str, row: Mapping[str, Any]) -> call_study_figures.Score:
    own = row["uar"]
    units = tuple(row["units"].values())
    return call_study_figures.Score(name, own["value"], own["low"], own["high"], units)


def write(found: Mapping[str, Any], output: str) -> str:
    """Writes OUTPUT.json and OUTPUT.png; puts the tables into OUTPUT.md if it is there.

    Returns:
      What to tell the user.
    """
    text = study_page.markdown(found)
    call_study_figures.draw(
        f"{output}.png",
        panels(found),
        title="Features of a small speech encoder, pre-trained and not, beside MFCCs",
        note=f"size {found['size']}; each speaker or fold is tested by an encoder and"
        " probes that never heard it; validation chooses the layer; confusion: of the"
        " best encoder or fusion, by its test score",
    )
    return publish(output, found, text)


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("fsdd", "", "Folder of the Free Spoken Digit Dataset.")
    flags.DEFINE_string("esc10", "", "Folder of ESC-10, as it was first published.")
    flags.DEFINE_string("workdir", None, "Cells are kept here.")
    flags.DEFINE_string("output", "", "Results' path without its ending.")
    flags.DEFINE_enum("size", "nano", [*study_sizes.SIZES], "Of the encoders.")
    flags.DEFINE_list("parts", list(study_cells.PARTS), "Bars, encoders, of these.")
    flags.DEFINE_integer("seeds", 3, "Of random weights.", 1)
    flags.DEFINE_integer("trainings", 1, "Of each pre-trained encoder.", 1)
    flags.DEFINE_bool("missing", True, "Make cells that are not there.")
    flags.mark_flag_as_required("workdir")


def _sets() -> list[tuple[StudyCalls, str]]:
    given = flags.FLAGS
    folders = {FSDD: given.fsdd, ESC10: given.esc10}
    readers = {FSDD: read_fsdd, ESC10: read_esc10}
    return [(readers[name](path), path) for name, path in folders.items() if path]


def main(argv: list[str]) -> None:
    """Makes what is missing, and writes the page's parts."""
    command.refuse_arguments(argv)
    given = flags.FLAGS
    odd = sorted(set(given.parts) - set(study_cells.PARTS))
    if odd or not given.parts:
        known = ", ".join(study_cells.PARTS)
        sys.exit(f"error: --parts is of {known}; got {', '.join(odd) or 'none'}")
    if not (given.fsdd or given.esc10):
        sys.exit("error: --fsdd or --esc10 is needed")
    runtime.start()
    with command.told(EXPECTED_ERRORS, "stopped; the same command goes on from here"):
        found = collect(
            _sets(),
            prepare_workdir(given.workdir),
            size=given.size,
            parts=tuple(dict.fromkeys(given.parts)),
            seeds=given.seeds,
            trainings=given.trainings,
            missing=given.missing,
        )
    for title, why in found["failed"].items():
        print(f"{title}: {why}", file=sys.stderr)
    if not found["rows"]:
        sys.exit("error: nothing has been tested yet")
    print(write(found, given.output) if given.output else study_page.markdown(found))
    if found["failed"]:
        sys.exit(1)


if __name__ == "__main__":
    define_flags()
    app.run(main)
