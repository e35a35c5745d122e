"""Pictures of a classification: confusion matrix, and figures of each person."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure
import matplotlib.ticker
import numpy as np
from etils import epath

from sigjax.train.writer import replace_file

# Beyond this, cells are too small for two lines of text, or for any.
_MOST_WITH_COUNTS, _MOST_WITH_TEXT = 14, 30
_MOST_NAMES = 45
_STYLES = {
    "balanced_accuracy": ("balanced accuracy", "#0072b2", "o"),
    "kappa": ("Cohen's kappa", "#d55e00", "D"),
    "macro_f1": ("macro-F1", "#009e73", "^"),
}


def confusion(
    path: epath.PathLike,
    matrix: np.ndarray,
    classes: Sequence[str],
    *,
    title: str,
    note: str = "",
) -> None:
    """Draws shares of each true class, with counts; names and shares are readable.

    Classes that neither occur nor are predicted are left out.

    Args:
      path: PNG to write.
      matrix: `[v, v]` counts, rows are the truth.
      classes: Names.
      title: Over the figure.
      note: Under the title, such as `"SIMULATED data"`.
    """
    matrix = np.asarray(matrix)
    there = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))
    absent = [name for i, name in enumerate(classes) if i not in there]
    matrix, names = matrix[np.ix_(there, there)], [classes[int(i)] for i in there]
    rows = matrix.sum(axis=1, keepdims=True)
    percent = np.divide(
        100.0 * matrix, rows, where=rows > 0, out=np.zeros(matrix.shape)
    )
    count = len(names)
    cell = 1.0 if count <= _MOST_WITH_COUNTS else 0.5
    side = max(3.2, cell * count)
    figure = matplotlib.figure.Figure(figsize=(side + 3.2, side + 2.2))
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    image = axes.imshow(percent, vmin=0, vmax=100, cmap="Blues", interpolation="none")
    turn = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(count), [short(n) for n in names], parse_math=False, **turn)
    support = [f"{short(n)}\nn = {r:,}" for n, r in zip(names, rows[:, 0], strict=True)]
    axes.set_yticks(range(count), support, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    axes.set_xticks(np.arange(count + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(count + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=1)
    axes.tick_params(which="minor", length=0)
    if count <= _MOST_WITH_TEXT:
        _write_cells(axes, matrix, percent, count <= _MOST_WITH_COUNTS)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("% of the true class")
    if absent:
        left_out = f"neither occur nor are predicted: {', '.join(absent)}"
        note = f"{note}\n{left_out}" if note else left_out
    head(figure, title, note, round(9 * (side + 3.2)))
    save(figure, path)


def _write_cells(axes, matrix, percent, with_counts: bool) -> None:
    for (row, column), count in np.ndenumerate(matrix):
        share = percent[row, column]
        if not count:
            continue
        text = f"{share:.0f}" if share >= 0.5 else "<1"
        colour = "white" if share > 60 else "#222222"
        weight = "bold" if row == column else "normal"
        size = 11 if with_counts else 8
        place = (column, row - 0.12 if with_counts else row)
        style = {"ha": "center", "va": "center", "color": colour}
        axes.text(*place, text, fontsize=size, weight=weight, **style)
        if with_counts:
            axes.text(column, row + 0.24, f"{count:,}", fontsize=7.5, **style)


def per_person(
    path: epath.PathLike, found: Mapping[str, Any], *, title: str, note: str = ""
) -> None:
    """Draws each person's figures, worst first, and how they are distributed.

    Args:
      path: PNG to write.
      found: What `evals.classification.score` returned.
      title: Over the figure.
      note: Under the title.
    """
    people = found["per_person"]
    named = len(people) <= _MOST_NAMES
    width = min(max(5.5, 0.28 * len(people) + 1.5), 12) if named else 9
    figure = matplotlib.figure.Figure(figsize=(width + 3, 5.2))
    figure.set_layout_engine("constrained")
    grid = figure.add_gridspec(1, 2, width_ratios=[width, 3])
    axes = figure.add_subplot(grid[0])
    spread = figure.add_subplot(grid[1], sharey=axes)
    place = np.arange(len(people))
    for number, (key, (name, colour, marker)) in enumerate(_STYLES.items()):
        values = np.array([p[key] for p in people], float)  # None becomes NaN
        pooled = found[key]
        if pooled["value"] is not None:
            axes.axhline(pooled["value"], color=colour, lw=1, ls="--", alpha=0.8)
        if pooled["low"] is not None:
            axes.axhspan(pooled["low"], pooled["high"], color=colour, alpha=0.1, lw=0)
        axes.plot(
            place,
            values,
            marker,
            color=colour,
            ms=5,
            alpha=0.85,
            label=_of(name, pooled),
        )
        _draw_spread(spread, number, values, colour, marker)
    if named:
        ticks = [short(p["person"]) for p in people]
        axes.set_xticks(place, ticks, rotation=90, fontsize=8, parse_math=False)
        axes.set_xlabel("person, lowest balanced accuracy first")
    else:
        axes.set_xlabel(f"{len(people):,} people, lowest balanced accuracy first")
    axes.set_xlim(-0.7, len(people) - 0.3)
    known = [p[key] for p in people for key in _STYLES if p[key] is not None]
    axes.set_ylim(np.floor(10 * min(known, default=0) - 0.3) / 10, 1.03)
    axes.set_ylabel("of each person alone")
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(steps=[1, 2, 5]))
    axes.grid(axis="y", color="#dddddd", lw=0.7)
    axes.set_axisbelow(True)
    spread.grid(axis="y", color="#dddddd", lw=0.7)
    spread.tick_params(labelleft=False)
    spread.set_xticks(range(3), [name for name, *_ in _STYLES.values()])
    for label in spread.get_xticklabels():
        label.set(rotation=30, ha="right", fontsize=9)
    spread.set_title("median and quartiles of people", fontsize=10)
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=9,
        title="points: people; dashed line and band: all label windows pooled",
        title_fontsize=9,
    )
    head(figure, title, note, round(9 * (width + 3)))
    save(figure, path)


def _of(name: str, pooled: Mapping[str, float | None]) -> str:
    if pooled["value"] is None:
        return f"{name} (undefined)"
    text = f"{name} {pooled['value']:.3f}"
    if pooled["low"] is not None:
        text += f" [{pooled['low']:.3f}, {pooled['high']:.3f}]"
    return text


def _draw_spread(axes, number, values, colour, marker) -> None:
    values = np.sort(values[np.isfinite(values)])
    if not len(values):
        return
    quarter, median, three = np.quantile(values, [0.25, 0.5, 0.75])
    # By rank, so that the picture is the same each time it is drawn.
    aside = 0.16 * np.sin(2.4 * np.arange(len(values)))
    axes.plot(number + aside, values, marker, color=colour, ms=3, alpha=0.5)
    axes.bar(
        number, three - quarter, 0.6, bottom=quarter, fill=False, ec="#222222", lw=1.2
    )
    axes.plot([number - 0.3, number + 0.3], [median, median], color="#222222", lw=2)


def head(figure: matplotlib.figure.Figure, title: str, note: str, columns: int) -> None:
    """Writes title and note over a figure that is so many letters wide."""
    lines = textwrap.wrap(title, columns) or [""]
    for line in note.splitlines():
        lines += textwrap.wrap(line, columns)
    figure.suptitle("\n".join(lines), fontsize=11, parse_math=False)


def short(name: str, most: int = 24) -> str:
    """A name of at most so many letters."""
    return name if len(name) <= most else name[: most - 1] + "…"


def save(figure: matplotlib.figure.Figure, path: epath.PathLike) -> None:
    """Writes a figure as PNG, whole or not at all."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    replace_file(epath.Path(path), buffer.getvalue())
