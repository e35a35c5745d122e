r"""DATAR's ablation on ESC-10, from scratch, beside AST and what learns no features.

python -m launch.event_study --esc10=FOLDER --workdir=runs/event_study \
    --output=docs/audio_events_on_real_data

FOLDER holds ESC-10 as it was first published (`001 - Dog bark/1-30226-A.ogg`, ...). Of
each official fold and seed every variant of the paper's Table 4 is trained with the
same recipe on the other folds. Each training is a cell in WORKDIR/cells: run again
after a stop, the study goes on, and a second process on the same WORKDIR shares the
work. Then it writes OUTPUT.json and OUTPUT.png, and puts the tables into OUTPUT.md,
between its two lines `<!-- tables -->`; without such a page it prints them.

--size=nano is for two CPU cores (a small pyramid, not one of the paper's), --size=tiny
are DATAR-T and AST-tiny for a GPU. --validate scores a fold of those that would be
trained on instead: what a recipe may be chosen by. --epochs trains longer.
"""

import dataclasses
import functools
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import app, flags
from etils import epath

from launch import command, runtime
from launch.audio_events import study_cells, study_page, study_sizes, study_tables
from launch.audio_events.study_data import FOLDS, EventClips, StudyError, read_esc10
from launch.claims import ClaimError
from launch.pages import publish
from launch.reproduction.rendering import made_with
from launch.reproduction.runner import Cells
from sigjax.data.audio import AudioError
from sigjax.data.clips import ManifestError
from sigjax.evals import event_study_figures
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
    clips: EventClips,
    workdir: epath.Path,
    *,
    size: str,
    variants: Sequence[str] = study_sizes.VARIANTS,
    seeds: int = 3,
    folds: int = FOLDS,
    epochs: int = 0,
    validate: bool = False,
    missing: bool = True,
    source: str = "",
) -> dict[str, Any]:
    """Makes the cells that are not there, and what they come to.

    Args:
      clips: ESC-10.
      workdir: Cells are kept below it.
      size: Of `study_sizes.SIZES`.
      variants: Of `study_sizes.VARIANTS`.
      seeds: Trainings of each.
      folds: How many of the five are held out, one after the other.
      epochs: Instead of the recipe's, if any.
      validate: Score a fold of the rest instead.
      missing: Otherwise tables are made of the cells that are there.
      source: Where the clips lie, for the cells' records.

    Returns:
      `size`, what is said of it and of the recipe, `validate`, `folds` (numbers of
      those scored), `rows` (see `study_tables.rows`), `failed`, `made_with`; JSON-able.
    """
    networks = study_sizes.SIZES[size]
    if epochs:
        recipe = dataclasses.replace(networks.recipe, epochs=epochs)
        networks = dataclasses.replace(networks, recipe=recipe)
    planned = study_cells.make_cells(
        *(clips, source, networks),
        variants=variants, seeds=seeds, folds=folds, validate=validate,
    )  # fmt: skip
    kept = Cells(workdir, planned)
    work = study_cells.Work(clips)
    outcomes = kept.run(work, _say) if missing else kept.outcomes()
    runs = study_cells.runs_of(clips, planned, outcomes, folds)
    order = [name for name in study_page.NAMES if name in runs]
    rows = study_tables.rows(clips, {name: runs[name] for name in order})
    failed = {
        cell.title: outcomes[key].error
        for key, cell in planned.items()
        if outcomes[key].error and outcomes[key].record  # Not those that wait.
    }
    results = [o.result for o in outcomes.values() if o.result]
    scored = {cell.scored_fold for cell in planned.values()}
    return rounded(
        {
            "size": size,
            "size_says": networks.says,
            "recipe_says": networks.recipe.says,
            "validate": validate,
            "folds": sorted(scored),
            "rows": rows,
            "failed": failed,
            "made_with": made_with(results),
        }
    )


def rounded(value: Any) -> Any:
    """Numbers to four digits after the point, at any depth."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def write(found: Mapping[str, Any], output: str) -> str:
    """Writes OUTPUT.json and OUTPUT.png; puts the tables into OUTPUT.md if it is there.

    Returns:
      What to tell the user.
    """
    tables = study_page.markdown(found)
    scores, differences, lines = study_page.marks(found["rows"])
    event_study_figures.draw(
        f"{output}.png",
        scores,
        differences,
        lines=lines,
        reference=study_page.NAMES[study_tables.REFERENCE],
        title="ESC-10 from scratch: what do deformation and adaptor add?",
        note=f"size {found['size']}; 320 training clips; 95 % intervals over sources of"
        " test clips and over seeds",
    )
    return publish(output, found, tables)


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("esc10", None, "Folder of ESC-10.")
    flags.DEFINE_string("workdir", None, "Cells are kept here.")
    flags.DEFINE_string("output", "", "Results' path without its ending.")
    flags.DEFINE_enum("size", "nano", [*study_sizes.SIZES], "Of the networks.")
    flags.DEFINE_list("variants", list(study_sizes.VARIANTS), "Which are trained.")
    flags.DEFINE_integer("seeds", 3, "Trainings of each on each fold.", 1)
    flags.DEFINE_integer("folds", FOLDS, "Of the five, how many.", 1, FOLDS)
    flags.DEFINE_integer("epochs", 0, "Instead of the recipe's, if any.", 0)
    flags.DEFINE_bool("validate", False, "Score a fold of those trained on instead.")
    flags.DEFINE_bool("missing", True, "Make cells that are not there.")
    flags.mark_flags_as_required(["esc10", "workdir"])


def main(argv: list[str]) -> None:
    """Makes what is missing, and writes the page's parts."""
    command.refuse_arguments(argv)
    given = flags.FLAGS
    odd = sorted(set(given.variants) - set(study_sizes.VARIANTS))
    if odd or not given.variants:
        known = ", ".join(study_sizes.VARIANTS)
        sys.exit(f"error: --variants is of {known}; got {', '.join(odd) or 'none'}")
    runtime.start()
    with command.told(EXPECTED_ERRORS, "stopped; the same command goes on from here"):
        found = collect(
            read_esc10(given.esc10),
            prepare_workdir(given.workdir),
            size=given.size,
            variants=tuple(dict.fromkeys(given.variants)),
            seeds=given.seeds,
            folds=given.folds,
            epochs=given.epochs,
            validate=given.validate,
            missing=given.missing,
            source=given.esc10,
        )
    for title, why in found["failed"].items():
        print(f"{title}: {why}", file=sys.stderr)
    if not found["rows"]:
        sys.exit("error: no variant has all its folds yet")
    print(write(found, given.output) if given.output else study_page.markdown(found))
    if found["failed"]:
        sys.exit(1)


if __name__ == "__main__":
    define_flags()
    app.run(main)
