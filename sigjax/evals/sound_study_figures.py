"""Many detectors asked the same questions: their AUCs in one figure."""

import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.figure
from etils import epath

from sigjax.train.writer import replace_file

_COLUMNS = 3
# Colour-blind safe (Okabe & Ito), and told apart by their marks as well.
_LOOKS = {
    "trained": ("#0072b2", "o", "full"),
    "untrained": ("#d55e00", "D", "none"),
    "nothing to train": ("#222222", "s", "full"),
}
_APART = {"trained": 0.17, "untrained": -0.17, "nothing to train": 0.0}
_LINES, _AIM = ("#777777", "#cc79a7"), "#009e73"


class Mark(NamedTuple):
    """An AUC with its interval.

    Attributes:
      name: Its line in the figure.
      state: `"trained"`, `"untrained"`, or `"nothing to train"`.
      value: The AUC.
      low: Of its interval.
      high: Likewise.
    """

    name: str
    state: str
    value: float
    low: float
    high: float


class Panel(NamedTuple):
    """Answers to one question.

    Attributes:
      title: The question.
      aim: The AUC that a good detector has.
      lines: Values drawn from top to bottom, by name.
      marks: Of the detectors.
    """

    title: str
    aim: float
    lines: Mapping[str, float]
    marks: Sequence[Mark]


def draw(path: epath.PathLike, panels: Sequence[Panel]) -> None:
    """Panels in rows of three, four in two rows; detectors have the same line in all.

    Args:
      path: PNG to write.
      panels: One at least.
    """
    names = _merged([[mark.name for mark in panel.marks] for panel in panels])
    columns = 2 if len(panels) == 4 else min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    wide, tall = 3.0 + 2.7 * columns, 0.6 + (1.0 + 0.21 * len(names)) * rows
    figure = matplotlib.figure.Figure(figsize=(wide, tall), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for own, panel in zip(axes, panels, strict=False):
        _draw(own, panel, names)
    for own in axes[len(panels) :]:
        own.set_visible(False)
    axes[0].set_yticks([-i for i in range(len(names))], names)
    axes[0].set_ylim(-len(names) + 0.4, 0.6)
    for state, (colour, marker, fill) in _LOOKS.items():
        axes[0].plot([], [], color=colour, marker=marker, fillstyle=fill, label=state)
    axes[0].axvspan(-1, -0.5, color=_AIM, alpha=0.35, lw=0, label="as it should be")
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=6,
        frameon=False,
        fontsize=9,
    )
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    replace_file(epath.Path(path), data.getvalue())


def _merged(lists: Sequence[Sequence[str]]) -> list[str]:
    """All names in one order: what one list adds comes after what it follows there."""
    names: list[str] = []
    for own in lists:
        place = 0
        for name in own:
            if name in names:
                place = names.index(name) + 1
            else:
                names.insert(place, name)
                place += 1
    return names


def _draw(axes, panel: Panel, names: Sequence[str]) -> None:
    for y in range(0, len(names), 2):
        axes.axhspan(-y - 0.5, -y + 0.5, color="#f3f3f3", lw=0, zorder=-2)
    axes.axvspan(panel.aim - 0.006, panel.aim + 0.006, color=_AIM, alpha=0.35, lw=0)
    if panel.aim != 0.5:
        axes.axvline(0.5, color="black", lw=0.8)
    for (name, value), colour in zip(panel.lines.items(), _LINES, strict=False):
        axes.axvline(value, color=colour, ls="--", lw=1.2, label=name)
    for mark in panel.marks:
        colour, marker, fill = _LOOKS[mark.state]
        y = _APART[mark.state] - names.index(mark.name)
        axes.plot([mark.low, mark.high], [y, y], color=colour, lw=1.6, alpha=0.55)
        look = {"color": colour, "marker": marker, "fillstyle": fill, "ms": 5}
        axes.plot(mark.value, y, ls="none", **look)
    axes.set_title(panel.title, fontsize=9)
    axes.set_xlabel("AUC")
    axes.set_xlim(-0.02, 1.02)
    axes.grid(axis="x", alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
