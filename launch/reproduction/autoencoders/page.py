"""A page of what experiments found: tables of a folder that `launch.reproduce` made.

python -m launch.reproduction.autoencoders.page --workdir=runs/paper004 \
    --output=docs/autoencoders_on_real_data

Writes OUTPUT.json, OUTPUT.png and further pictures OUTPUT_NAME.png, and puts the tables
into OUTPUT.md, between its two lines `<!-- tables -->`; without such a page it prints
them. Only tables on data that are not simulated are shown.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import app, flags
from etils import epath

from launch import command
from launch.pages import publish
from launch.reproduction import papers
from launch.reproduction.autoencoders import tables
from sigjax.train.writer import replace_file

# What of a sheet's pictures is shown on the page; the first is OUTPUT.png.
PICTURES = (
    "denoising-curves",
    "denoising-waves",
    "compression-curves",
    "compression-images-digits",
    "plane-clouds",
    "anomaly-dots",
    "initialisation-curves",
    "initialisation-gains",
    "segmentation-examples-1",
    "generation-images-digits",
    "generation-images-sounds",
    "modes-clouds",
)

# What says of a machine where its files lie.
_LOCAL = ("command",)


def read(workdir: epath.Path, paper: Any) -> list[dict[str, Any]]:
    """Tables of a folder, in the order of the paper's sheets."""
    found = []
    for sheet in paper.sheets:
        path = workdir / "tables" / f"{sheet.key}.json"
        if path.exists():
            table = json.loads(path.read_text())
            if not table["simulated"]:
                found.append(table)
    return found


def markdown(found: Sequence[Mapping[str, Any]], paper: Any) -> str:
    """All tables, each with its title, data and notes."""
    parts = []
    for table in found:
        metrics = paper.sheet(table["sheet"]).metrics
        page = tables.page(table, metrics)
        marks = ["---"] * page.labels + ["--:"] * (len(page.names) - page.labels)
        lines = [f"### {table['title']}", ""]
        lines += [f"*{line}*" for line in table["data"]] + [""]
        lines += [f"| {' | '.join(row)} |" for row in (page.names, marks, *page.rows)]
        notes = [note for note in page.below if note != table["open"]]
        parts.append("\n".join([*lines, "", *(f"- {note}" for note in notes), ""]))
    made = dict.fromkeys(f"{t['scale']}; made with {t['made_with']}" for t in found)
    return "\n".join([*parts, *(f"Scale {line}." for line in made)])


def pictures(workdir: epath.Path, output: str) -> list[str]:
    """Copies the pictures that are there; returns their paths."""
    written = []
    for place, name in enumerate(PICTURES):
        source = workdir / "figures" / f"{name}.png"
        if not source.exists():
            continue
        path = (
            f"{output}.png" if place == 0 else f"{output}_{name.replace('-', '_')}.png"
        )
        replace_file(epath.Path(path), source.read_bytes())
        written.append(path)
    return written


def main(argv: list[str]) -> None:
    """Writes the page's parts."""
    command.refuse_arguments(argv)
    given = flags.FLAGS
    paper = papers.load(given.paper)
    workdir = epath.Path(given.workdir).expanduser()
    found = read(workdir, paper)
    if not found:
        sys.exit(f"error: {workdir}/tables has no table on data that are not simulated")
    text = markdown(found, paper)
    if not given.output:
        print(text)
        return
    kept = [{k: v for k, v in t.items() if k not in _LOCAL} for t in found]
    for row in (row for table in kept for row in table["rows"]):
        facts = row["facts"]
        row["facts"] = {k: facts[k] for k in ("filter", "intervals") if k in facts}
    print(publish(given.output, {"tables": kept}, text))
    for path in pictures(workdir, given.output):
        print(path)


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("paper", "004", "Whose tables.")
    flags.DEFINE_string("workdir", None, "That of launch.reproduce.")
    flags.DEFINE_string("output", "", "Results' path without its ending.")
    flags.mark_flags_as_required(["workdir"])


if __name__ == "__main__":
    define_flags()
    app.run(main)
