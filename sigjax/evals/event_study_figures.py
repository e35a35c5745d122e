"""Variants of a classifier of audio events beside each other, and their differences."""

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.figure
from etils import epath

from sigjax.train.writer import replace_file

# Colour-blind safe (Okabe & Ito).
_OURS, _FOLD, _PAPER, _LINES = "#0072b2", "#999999", "#d55e00", ("#222222", "#cc79a7")


class Mark(NamedTuple):
    """A figure with its interval.

    Attributes:
      name: Its line.
      value: The mean.
      low: Of its interval.
      high: Likewise.
      folds: The same of each fold.
      paper: What a paper prints, on its own data; None if nothing.
    """

    name: str
    value: float
    low: float
    high: float
    folds: tuple[float, ...]
    paper: float | None


def draw(
    path: epath.PathLike,
    scores: Sequence[Mark],
    differences: Sequence[Mark],
    *,
    lines: Mapping[str, float],
    reference: str,
    title: str,
    note: str,
) -> None:
    """Accuracies on the left, differences to a reference on the right.

    Args:
      path: PNG to write.
      scores: From top to bottom; one at least.
      differences: Of some of them, by the same names; may be none.
      lines: Values drawn from top to bottom on the left, by name.
      reference: What the differences are to.
      title: Over both.
      note: Under the title.
    """
    names = [mark.name for mark in scores]
    columns = 2 if differences else 1
    figure = matplotlib.figure.Figure(
        figsize=(4.0 + 3.6 * columns, 1.7 + 0.36 * len(names)), layout="constrained"
    )
    axes = figure.subplots(1, columns, squeeze=False, sharey=True)[0]
    for (name, value), colour in zip(lines.items(), _LINES, strict=False):
        axes[0].axvline(value, color=colour, ls="--", lw=1.2)
        del name
    _marks(axes[0], scores, names)
    axes[0].set_xlabel("accuracy")
    if differences:
        axes[1].axvline(0, color="black", lw=0.8)
        _marks(axes[1], differences, names)
        axes[1].set_xlabel(f"accuracy less that of “{reference}”, fold by fold")
    axes[0].set_yticks([-i for i in range(len(names))], names)
    axes[0].set_ylim(-len(names) + 0.4, 0.6)
    handles = [
        axes[0].plot([], [], color=_OURS, marker="o", label="mean, 95 % interval")[0],
        axes[0].plot([], [], color=_FOLD, marker="|", ls="none", label="each fold")[0],
    ]
    if any(mark.paper is not None for mark in differences):
        handles += axes[0].plot(
            *([], []), color=_PAPER, marker="D", fillstyle="none", ls="none",
            label="PAPER, on its own data",
        )  # fmt: skip
    for (name, _), colour in zip(lines.items(), _LINES, strict=False):
        handles += axes[0].plot([], [], color=colour, ls="--", label=name)
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=8,
    )
    figure.suptitle(f"{title}\n", fontsize=11)
    figure.text(0.5, 0.985, f"\n{note}", ha="center", va="top", fontsize=8)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    replace_file(epath.Path(path), data.getvalue())


def _marks(axes, marks: Sequence[Mark], names: Sequence[str]) -> None:
    for y in range(0, len(names), 2):
        axes.axhspan(-y - 0.5, -y + 0.5, color="#f3f3f3", lw=0, zorder=-2)
    for mark in marks:
        y = -names.index(mark.name)
        axes.plot(
            *(mark.folds, [y - 0.22] * len(mark.folds)),
            color=_FOLD, marker="|", ls="none", ms=7,
        )  # fmt: skip
        axes.plot([mark.low, mark.high], [y, y], color=_OURS, lw=2, alpha=0.6)
        axes.plot(mark.value, y, color=_OURS, marker="o", ms=5)
        if mark.paper is not None:
            look = {"color": _PAPER, "marker": "D", "fillstyle": "none", "ms": 5}
            axes.plot(mark.paper, y + 0.22, ls="none", **look)
    axes.grid(axis="x", alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
