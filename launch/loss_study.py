r"""Puts the sheets of `--paper=000_real` together: one JSON file, one figure, tables.

python -m launch.loss_study --workdir=runs/real --output=docs/losses_on_real_data

reads WORKDIR/tables/*.json and the cells that they name, writes OUTPUT.json and
OUTPUT.png, and puts the tables into OUTPUT.md, between its two lines `<!-- tables -->`;
without such a page it prints them.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import app, flags
from etils import epath

from launch import command
from launch.pages import publish
from sigjax.evals import loss_study_figures
from sigjax.evals.loss_study_figures import Mark

SHEETS = {
    "losses": "Pre-trained on E4 and the training people",
    "sweeps": "Pre-trained on E4 alone, one change at a time",
    "supervised": "From scratch, on the labels alone",
    "patch_half": "Patches and labels of 0.5 s, pre-trained on E4 alone",
    "patch_two": "Patches and labels of 2 s, pre-trained on E4 alone",
}
METRICS = ("balanced_accuracy", "kappa", "macro_f1")
LOSSES = ("lmm", "lmm_baseline", "mse", "mse_baseline")
# Where two losses are compared: sheet, what changed, and the rows' names there.
CONDITIONS = (
    ("losses", "E4 + training people", "LMM", "MSE"),
    ("sweeps", "E4 alone", "LMM", "MSE"),
    ("sweeps", "E4, 4,000 steps", "LMM, 4,000 steps", "MSE, 4,000 steps"),
    ("patch_half", "E4, patches of 0.5 s", "LMM", "MSE"),
    ("patch_two", "E4, patches of 2 s", "LMM", "MSE"),
    ("sweeps", "E4, LMM with reflecting pad", "LMM, reflect", "MSE"),
    ("sweeps", "E4, LMM with detrend", "LMM, detrend", "MSE"),
    ("sweeps", "E4, LMM with eps 1", "LMM, eps 1", "MSE"),
    ("sweeps", "E4, LMM + 0.1 MSE", "LMM + 0.1 MSE", "MSE"),
    ("sweeps", "E4, LMM + 10 MSE", "LMM + 10 MSE", "MSE"),
    ("losses", "E4 + training people, LMM + 10 MSE", "LMM + 10 MSE", "MSE"),
)
# Lines of the figure for what is no encoder: as dotted bars.
BARS = {
    "hand-made features": "hand-made, alone",
    "CONTROL: position in the script": "position in the script",
}


def collect(workdir: epath.Path) -> dict[str, Any]:
    """All sheets that are there, without the paths of this machine.

    Raises:
      FileNotFoundError: There is none.
    """
    found: dict[str, Any] = {"rows": [], "differences": []}
    for sheet in SHEETS:
        path = workdir / "tables" / f"{sheet}.json"
        if not path.exists():
            continue
        table = json.loads(path.read_text())
        if table["simulated"]:
            raise ValueError(f"{path} is of SIMULATED data: this study is of real ones")
        found.setdefault("made_with", table["made_with"])
        for row in table["rows"]:
            if row["ours"] is None:
                continue
            found["rows"].append(
                {
                    "sheet": sheet,
                    "name": row["labels"][0],
                    "context": row["labels"][1],
                    "people": row["people"],
                    "scores": row["ours"],
                    "reconstruction": _reconstruction(workdir, row["cells"]),
                }
            )
        for entry in table["differences"]:
            if "failed" not in entry:
                first, context = entry["first"].split(", context ")
                second, _ = entry["second"].split(", context ")
                scores = {metric: entry[metric] for metric in METRICS}
                named = {"first": first, "second": second, "context": context}
                found["differences"].append({"sheet": sheet, **named, "scores": scores})
    if not found["rows"]:
        raise FileNotFoundError(f"{workdir}/tables has none of {', '.join(SHEETS)}")
    return found


def _reconstruction(workdir: epath.Path, cells: Sequence[str]) -> dict[str, float]:
    """A row's pre-training losses on the tested people, over all windows and seeds."""
    parts = []
    for key in cells:
        cell = json.loads((workdir / "cells" / key / "cell.json").read_text())
        part = cell["result"]["finetuned"].get("reconstruction")
        if part:
            parts.append(part)
    if not parts:
        return {}
    weight = [part["windows"] for part in parts]
    return {
        name: float(np.average([part[name] for part in parts], weights=weight))
        for name in LOSSES
    }


def marks(found: Mapping[str, Any]) -> tuple[list[Mark], dict[str, float], list[Mark]]:
    """What the figure shows: scores, bars and differences."""
    scores, bars, differences = [], {}, []
    for row in found["rows"]:
        name, own = row["name"], row["scores"]["balanced_accuracy"]
        if row["sheet"] == "losses" and name in BARS:
            bars[BARS[name]] = own["value"]
        elif row["sheet"] in ("losses", "supervised"):
            value = own["value"], own["low"], own["high"], own["seeds"]
            scores.append(Mark(name, row["context"], *value))
    for sheet, says, first, second in CONDITIONS:
        for entry in found["differences"]:
            if (entry["sheet"], entry["first"], entry["second"]) == (
                *(sheet, first, second),
            ):
                own = entry["scores"]["balanced_accuracy"]
                value = own["value"], own["low"], own["high"]
                differences.append(Mark(says, entry["context"], *value))
    return scores, bars, differences


def markdown(found: Mapping[str, Any]) -> str:
    """The results page's tables."""
    lines = []
    for sheet, title in SHEETS.items():
        rows = [row for row in found["rows"] if row["sheet"] == sheet]
        if not rows:
            continue
        lines += [f"**{title}**", ""]
        lines += ["| model | context | balanced accuracy | κ | macro-F1 |"]
        lines += ["| --- " * 5 + "|", *[_scores(row) for row in rows], ""]
        told = [row for row in rows if row["reconstruction"]]
        if told:
            lines += ["| pre-training | LMM | trivial | MSE | trivial |"]
            lines += ["| --- " * 5 + "|"]
            lines += list(dict.fromkeys(map(_losses, told))) + [""]
        pairs = [d for d in found["differences"] if d["sheet"] == sheet]
        if pairs:
            lines += ["| difference | context | balanced accuracy | κ | macro-F1 |"]
            lines += ["| --- " * 5 + "|", *map(_difference, pairs), ""]
    return "\n".join(lines)


def _scores(row: Mapping[str, Any]) -> str:
    cells = [row["name"], row["context"]]
    for metric in METRICS:
        own = row["scores"][metric]
        spread = f" ± {own['sd']:.3f}" if own["sd"] else ""
        interval = f"[{own['low']:.3f}, {own['high']:.3f}]"
        cells.append(f"{own['value']:.3f}{spread} {interval}")
    return _table_row(cells)


def _losses(row: Mapping[str, Any]) -> str:
    told = row["reconstruction"]
    return _table_row([row["name"], *(f"{told[name]:.3f}" for name in LOSSES)])


def _difference(entry: Mapping[str, Any]) -> str:
    cells = [f"{entry['first']} − {entry['second']}", entry["context"]]
    for metric in METRICS:
        own = entry["scores"][metric]
        interval = f"[{own['low']:+.3f}, {own['high']:+.3f}]"
        cells.append(f"{own['value']:+.3f} {interval}")
    return _table_row(cells)


def _table_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("workdir", None, "Of `launch.reproduce --paper=000_real`.")
    flags.DEFINE_string("output", None, "Path of the results without its ending.")
    flags.mark_flags_as_required(["workdir", "output"])


def main(argv: list[str]) -> None:
    """Writes the JSON file and the figure, and the page's tables."""
    command.refuse_arguments(argv)
    given = flags.FLAGS
    try:
        found = collect(epath.Path(given.workdir))
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"error: {error}")
    scores, bars, differences = marks(found)
    loss_study_figures.losses(
        f"{given.output}.png",
        scores=scores,
        bars=bars,
        differences=differences,
        title="Which loss on small wrist data with patches of a second?",
        note="linear probes; 23 people, 5 scripted activities; pre-training never"
        " met the people tested on",
    )
    print(publish(given.output, found, markdown(found)))


if __name__ == "__main__":
    define_flags()
    app.run(main)
