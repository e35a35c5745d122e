"""Pictures of an evaluation of audio events: classes, and what is taken for what."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
from etils import epath

from sigjax.evals import classification_figures as figures

# More classes have no picture of their confusion: names would be too small to read.
_MOST_CONFUSED = 60
# More classes than this: the best and the worst of them are shown.
_MOST_NAMES = 50
_COLOUR, _PALE = "#0072b2", "#9ecae1"
_FIGURES = {"average_precision": "average precision", "recall": "recall"}


def confusion(
    path: epath.PathLike,
    matrix: np.ndarray,
    classes: Sequence[str],
    *,
    title: str,
    note: str = "",
) -> None:
    """Draws shares of each true class; of more than 60 classes, of those most confused.

    Args:
      path: PNG to write.
      matrix: `[v, v]` counts, rows are the truth.
      classes: Names.
      title: Over the figure.
      note: Under the title.
    """
    matrix = np.asarray(matrix)
    if len(classes) > _MOST_CONFUSED:
        wrong = matrix - np.diag(np.diag(matrix))
        order = np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")
        chosen = np.sort(order[: _MOST_CONFUSED // 2])
        matrix = _with_others(matrix, chosen)
        told = f"the {len(chosen)} classes with most confusions, and all others as one"
        classes = [*(classes[int(i)] for i in chosen), "other classes"]
        note = f"{note}\n{told}" if note else told
    figures.confusion(path, matrix, classes, title=title, note=note)


def _with_others(matrix: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Counts of some classes and, last, of all others together."""
    part = np.full(len(matrix), len(chosen))
    part[chosen] = np.arange(len(chosen))
    together = np.zeros((len(chosen) + 1, len(matrix)), matrix.dtype)
    together[part, np.arange(len(matrix))] = 1
    return together @ matrix @ together.T


def classes(
    path: epath.PathLike,
    table: Mapping[str, Mapping[str, Any]],
    *,
    title: str,
    note: str = "",
) -> None:
    """Draws the figure of each class, best first, with how many clips it has.

    Args:
      path: PNG to write.
      table: By name `support` and `recall` or `average_precision`, None if undefined.
      title: Over the figure.
      note: Under the title.
    """
    key = next(k for k in _FIGURES if k in next(iter(table.values())))
    known = [name for name, row in table.items() if row[key] is not None]
    ordered = sorted(known, key=lambda name: -table[name][key])
    shown = ordered
    if len(ordered) > _MOST_NAMES:
        half = _MOST_NAMES // 2
        shown = ordered[:half] + ordered[-half:]
        told = f"the best and the worst {half} of {len(ordered)} classes"
        note = f"{note}\n{told}" if note else told
    if absent := len(table) - len(known):
        told = f"{absent} classes without a clip are left out"
        note = f"{note}\n{told}" if note else told
    height = 1.6 + 0.24 * max(len(shown), 4)
    figure = matplotlib.figure.Figure(figsize=(7.5, height))
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    place = np.arange(len(shown))
    values = [table[name][key] for name in shown]
    axes.barh(place, values, height=0.72, color=_PALE)
    for at, (name, value) in enumerate(zip(shown, values, strict=True)):
        text = f"{value:.2f}  (n = {table[name]['support']:,})"
        # In a column of its own, where no bar ends and no line runs.
        axes.text(1.03, at, text, va="center", fontsize=8, color="#222222")
    names = [figures.short(name) for name in shown]
    axes.set_yticks(place, names, fontsize=9, parse_math=False)
    axes.set_ylim(len(shown) - 0.4, -0.6)
    axes.set_xlim(0, 1.22)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel(_FIGURES[key])
    axes.grid(axis="x", color="#dddddd", lw=0.7)
    axes.set_axisbelow(True)
    mean = float(np.mean([table[name][key] for name in known])) if known else np.nan
    if known:
        axes.axvline(mean, color=_COLOUR, lw=1.2, ls="--")
        axes.set_title(
            f"dashed: mean over classes, {mean:.3f}", fontsize=9, color=_COLOUR
        )
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(ordered) > len(shown):
        axes.axhline(len(shown) / 2 - 0.5, color="#888888", lw=0.8)
    figures.head(figure, title, note, 68)
    figures.save(figure, path)
