"""Encoders of calls beside bars: scores over layers, over models, and a confusion."""

import dataclasses
import io
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.figure
import numpy as np
from etils import epath

from sigjax.train.writer import replace_file

# Colour-blind safe (Okabe & Ito).
_CURVES = (("#999999", "s"), ("#0072b2", "o"), ("#009e73", "^"))
_LINES = (("#d55e00", "--"), ("#cc79a7", ":"), ("#222222", "-."))
_MARK, _UNIT = "#0072b2", "#999999"


class Score(NamedTuple):
    """A UAR with its interval.

    Attributes:
      name: Of a model, or of a layer.
      value: The mean.
      low: Of its interval; None without one.
      high: Likewise.
      units: The same of each unit.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    units: tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Panel:
    """A set of calls: a line of three pictures.

    Attributes:
      title: Of the set.
      unit: What the units are, such as `"speaker"`.
      curves: By encoder its layers, in order.
      lines: Bars across the curves, by name; at most three are drawn.
      scores: Of models, from top to bottom.
      confusion: Shares `[v, v]`, rows are the truth.
      classes: Their names.
      confusion_of: Whose.
      chance: UAR of guessing.
    """

    title: str
    unit: str
    curves: Mapping[str, Sequence[Score]]
    lines: Mapping[str, float]
    scores: Sequence[Score]
    confusion: np.ndarray
    classes: Sequence[str]
    confusion_of: str
    chance: float


def draw(path: epath.PathLike, panels: Sequence[Panel], *, title: str, note: str):
    """Draws a line of pictures for each set.

    Args:
      path: PNG to write.
      panels: One at least.
      title: Over all.
      note: Under the title.
    """
    figure = matplotlib.figure.Figure(
        figsize=(16.5, 5.6 * len(panels) + 0.8), layout="constrained"
    )
    axes = figure.subplots(
        len(panels), 3, squeeze=False, width_ratios=[1.05, 1.05, 0.95]
    )
    for panel, (left, middle, right) in zip(panels, axes, strict=True):
        _curves(left, panel)
        _scores(middle, panel)
        _confusion(right, panel)
    figure.suptitle(f"{title}\n\n", fontsize=13)
    figure.text(0.5, 0.983, f"\n{note}", ha="center", va="top", fontsize=9)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=100)
    replace_file(epath.Path(path), data.getvalue())


def _curves(ax, panel: Panel) -> None:
    for (name, own), (colour, marker) in zip(
        panel.curves.items(), _CURVES, strict=False
    ):
        layers = [score.name for score in own]
        x = np.arange(len(layers))
        mean = np.array([score.value for score in own])
        ax.plot(x, mean, color=colour, marker=marker, lw=1.8, label=name, zorder=3)
        each = np.array([score.units for score in own])
        ax.plot(x, each, color=colour, lw=0.7, alpha=0.35)
        ax.set_xticks(x, layers)
    for (name, value), (colour, style) in zip(
        panel.lines.items(), _LINES, strict=False
    ):
        ax.axhline(value, color=colour, ls=style, lw=1.4, label=name)
    ax.axhline(panel.chance, color="#bbbbbb", lw=0.8)
    ax.annotate(
        "chance", (0.99, panel.chance), xycoords=("axes fraction", "data"),
        ha="right", va="bottom", fontsize=8, color="#888888",
    )  # fmt: skip
    ax.set_xlabel(f"layer (thin: each {panel.unit})")
    ax.set_ylabel("test UAR")
    ax.set_ylim(0, 1)
    ax.set_title(panel.title, fontsize=11)
    ax.legend(
        fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.11), frameon=False,
        ncols=2,
    )  # fmt: skip
    _tidy(ax)


def _scores(ax, panel: Panel) -> None:
    for place, score in enumerate(panel.scores):
        y = -place
        if not place % 2:
            ax.axhspan(y - 0.5, y + 0.5, color="#f3f3f3", lw=0, zorder=-2)
        ax.plot(
            *(score.units, [y - 0.22] * len(score.units)),
            color=_UNIT, marker="|", ls="none", ms=7,
        )  # fmt: skip
        if score.low is not None and score.high is not None:
            ax.plot([score.low, score.high], [y, y], color=_MARK, lw=2, alpha=0.6)
        ax.plot(score.value, y, color=_MARK, marker="o", ms=5)
    names = [score.name for score in panel.scores]
    ax.set_yticks([-i for i in range(len(names))], names, fontsize=8)
    ax.set_ylim(-len(names) + 0.4, 0.6)
    lowest = min((min(score.units) for score in panel.scores), default=0.0)
    ax.set_xlim(max(0.0, math.floor(10 * lowest) / 10 - 0.02), 1.0)
    ax.set_xlabel(f"test UAR: mean, 95 % over {panel.unit}s; each {panel.unit}")
    _tidy(ax)


def _confusion(ax, panel: Panel) -> None:
    matrix = np.asarray(panel.confusion)
    ax.imshow(matrix, vmin=0, vmax=1, cmap="Blues")
    for row, column in np.ndindex(*matrix.shape):
        share = matrix[row, column]
        if share >= 0.005:
            colour = "white" if share > 0.55 else "black"
            ax.text(
                *(column, row, f"{100 * share:.0f}"),
                ha="center", va="center", fontsize=7, color=colour,
            )  # fmt: skip
    places = range(len(panel.classes))
    long = max(map(len, panel.classes)) > 3
    turn = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if long else {}
    ax.set_xticks(places, panel.classes, fontsize=8, **turn)
    ax.set_yticks(places, panel.classes, fontsize=8)
    ax.set_xlabel("predicted")
    ax.set_ylabel("truth")
    ax.set_title(f"{panel.confusion_of}, % of each class", fontsize=10)


def _tidy(ax) -> None:
    ax.grid(axis="both", alpha=0.25)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
