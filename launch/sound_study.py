r"""Anomaly detectors on real sound: motors and ESC-10, beside what learns nothing.

python -m launch.sound_study --data=FOLDER --workdir=runs/sound_study \
    --output=docs/machine_sounds_on_real_data

FOLDER holds `bldc_motor_audio` (brushless motors: `Healthy/M1/1400.wav`, ...) and
`esc10` (`001 - Dog bark/1-100032-A.ogg`, ...). Each split, class and fold is a cell in
WORKDIR/cells: run again after a stop, it goes on. Then it writes OUTPUT.json and
OUTPUT.png, and puts the tables into OUTPUT.md, between its two lines
`<!-- tables -->`; without such a page it prints them.

    --part=autoencoders

compares dense, convolutional, variational and denoising autoencoders on the motors,
with what learns nothing beside them.
"""

import functools
import json
import sys
from collections.abc import Mapping
from typing import Any

from absl import app, flags
from etils import epath

from launch import runtime
from launch.pages import publish
from launch.sounds.study_cells import Cell, Cells, Environment, Motors
from launch.sounds.study_data import StudyError
from launch.sounds.study_page import markdown, marks
from launch.sounds.study_recipes import AUTOENCODER_RECIPES, MOTOR_RECIPES, Recipe
from launch.sounds.study_tables import environment_rows, motor_rows
from sigjax.data.audio import AudioError
from sigjax.data.machine_sound.clips import ManifestError
from sigjax.evals import sound_study_figures
from sigjax.train.writer import prepare_workdir

PARTS = ("bldc", "motors", "esc10", "autoencoders")
_USUAL = PARTS[:3]
_OF_MOTORS = {"bldc": MOTOR_RECIPES, "autoencoders": AUTOENCODER_RECIPES}
_say = functools.partial(print, flush=True)


def collect(
    data: epath.PathLike,
    workdir: epath.Path,
    *,
    parts: tuple[str, ...],
    splits: int,
    folds: int,
    missing: bool = True,
) -> dict[str, Any]:
    """Makes the cells that are not there, and what they come to.

    Args:
      data: Folder of the recordings.
      workdir: Cells are kept below it.
      parts: Of `PARTS`; `"motors"` goes with `"bldc"`. Without `"bldc"`,
        `"autoencoders"` is the motors' only part.
      splits: Of each motor's healthy recordings, for what is trained.
      folds: Of ESC-10's five, how many are tested.
      missing: Otherwise tables are made of the cells that are there.
    """
    cells = Cells(folder=workdir / "cells", say=_say, missing=missing)
    found: dict[str, Any] = {"motors": [], "environment": [], "training": []}
    made: dict[str, list[tuple[str, Cell]]] = {}
    recipes: dict[str, Recipe] = {}
    for part, own in _OF_MOTORS.items():
        recipes |= own if part in parts else {}
    if recipes:
        study = Motors(data, cells, splits, recipes)
        made["bldc"] = list(study.apart())
        if "motors" in parts:
            made["motors"] = list(study.together())
        both = [*made["bldc"], *made.get("motors", [])]
        found["motors"] = motor_rows(study.recordings, both)
    if "esc10" in parts:
        study = Environment(data, cells, folds)
        made["esc10"] = list(study.all())
        found["environment"] = environment_rows(study.recordings, made["esc10"])
    for part, several in made.items():
        for _, cell in several:
            if "loss" in cell:
                network = next(iter(cell["scores"])).split(", ")[0].split(": ")[-1]
                told = {"part": part, "kind": network, "loss": cell["loss"]}
                found["training"].append({**told, "seconds": cell["seconds"]})
    return rounded(found)


def rounded(value: Any) -> Any:
    """Numbers to four digits after the point, at any depth."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def as_text(found: Mapping[str, Any]) -> str:
    """JSON with a row on each line."""
    parts = []
    for name, rows in found.items():
        lines = [json.dumps(row, allow_nan=False, ensure_ascii=False) for row in rows]
        parts.append(f'"{name}": [\n' + ",\n".join(lines) + "\n]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("data", None, "Folder of bldc_motor_audio and esc10.")
    flags.DEFINE_string("workdir", None, "Cells are kept here.")
    flags.DEFINE_string("output", "", "Results' path without its ending.")
    flags.DEFINE_list("part", list(_USUAL), "Detectors of one motor, of all; ESC-10.")
    flags.DEFINE_integer("splits", 4, "Of a motor's recordings, for what is trained.")
    flags.DEFINE_integer("folds", 1, "Of ESC-10's five, how many are tested.")
    flags.DEFINE_bool("missing", True, "Make cells that are not there.")
    flags.mark_flags_as_required(["data", "workdir"])


def main(argv: list[str]) -> None:
    """Makes what is missing, and writes the page's parts."""
    if len(argv) > 1:
        raise app.UsageError(f"flags start with two dashes; not understood: {argv[1:]}")
    given = flags.FLAGS
    odd = sorted(set(given.part) - set(PARTS))
    if odd or not given.part or ("motors" in given.part and "bldc" not in given.part):
        sys.exit(f"error: --part is of {', '.join(PARTS)}; motors goes with bldc")
    if not 1 <= given.folds <= 5 or not 1 <= given.splits <= 70:
        sys.exit("error: --folds is from 1 to 5, --splits from 1 to 70")
    runtime.start()
    try:
        workdir = prepare_workdir(given.workdir)
        parts = tuple(dict.fromkeys(given.part))
        found = collect(
            *(given.data, workdir),
            parts=parts,
            splits=given.splits,
            folds=given.folds,
            missing=given.missing,
        )
    except (StudyError, ManifestError, AudioError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    if not given.output:
        print(markdown(found))
        return
    sound_study_figures.draw(f"{given.output}.png", marks(found))
    print(publish(given.output, found, markdown(found), as_text(found)))


if __name__ == "__main__":
    define_flags()
    app.run(main)
