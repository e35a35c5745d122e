"""When to choose which loss: a study's scores and differences in one figure."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.figure
from etils import epath

from sigjax.train.writer import replace_file

# Colour-blind safe (Okabe & Ito): without context, with it.
_COLOURS = {"none": "#0072b2", "execution": "#d55e00"}
_SAYS = {"none": "each patch alone", "execution": "with its execution"}
_APART = {"none": 0.14, "execution": -0.14}
_GREY = "#777777"


class Mark(NamedTuple):
    """A value with its interval.

    Attributes:
      name: Its line in the figure.
      context: `"none"` or `"execution"`.
      value: Of all runs together.
      low: Of its interval.
      high: Likewise.
      seeds: Each run's own; may be empty.
    """

    name: str
    context: str
    value: float
    low: float
    high: float
    seeds: Sequence[float] = ()


def losses(
    path: epath.PathLike,
    *,
    scores: Sequence[Mark],
    bars: Mapping[str, float],
    differences: Sequence[Mark],
    title: str,
    note: str,
) -> None:
    """Scores of encoders on the left, differences of two losses on the right.

    Args:
      path: PNG to write.
      scores: Balanced accuracy of each encoder, in the order of their lines.
      bars: Values of what is no encoder, as dotted lines, by name.
      differences: First loss less second, by condition.
      title: Over the figure.
      note: Below the title: on which data.
    """
    lines = max(len(_names(scores)), len(_names(differences)))
    figure = matplotlib.figure.Figure(
        figsize=(14, 2.6 + 0.42 * lines), layout="constrained"
    )
    figure.suptitle(f"{title}\n{note}", fontsize=12)
    left, right = figure.subplots(1, 2)
    _draw(left, scores)
    for number, (name, value) in enumerate(bars.items()):
        left.axvline(value, color=_GREY, ls=":", lw=1.2, zorder=0)
        left.annotate(
            f"{name} {value:.2f}",
            (value, 1.01 + 0.035 * number),
            xycoords=("data", "axes fraction"),
            ha="center",
            va="bottom",
            fontsize=8,
            color="#444444",
        )
    left.set_xlabel("balanced accuracy of people who were not trained on")
    _draw(right, differences)
    right.axvline(0, color="black", lw=1, zorder=0)
    right.set_xlabel("LMM less MSE, balanced accuracy (paired by person)")
    right.text(
        *(0.01, 1.01, "MSE is better"),
        transform=right.transAxes,
        fontsize=9,
        color="#444444",
    )
    right.text(
        *(0.99, 1.01, "LMM is better"),
        transform=right.transAxes,
        ha="right",
        fontsize=9,
        color="#444444",
    )
    edge = max(abs(v) for m in differences for v in (m.low, m.high)) * 1.08
    right.set_xlim(-edge, edge)
    _legend(figure, left)
    _save(figure, path)


def _names(marks: Sequence[Mark]) -> list[str]:
    return list(dict.fromkeys(mark.name for mark in marks))


def _draw(axes: Any, marks: Sequence[Mark]) -> None:
    names = _names(marks)
    contexts = {n: {m.context for m in marks if m.name == n} for n in names}
    for mark in marks:
        aside = _APART[mark.context] if len(contexts[mark.name]) > 1 else 0.0
        y = aside - names.index(mark.name)
        colour = _COLOURS[mark.context]
        axes.plot([mark.low, mark.high], [y, y], color=colour, lw=2, alpha=0.6)
        axes.plot(mark.value, y, "o", ms=7, color=colour)
        axes.plot(mark.seeds, [y] * len(mark.seeds), "|", ms=9, color=colour)
    axes.set_yticks([-n for n in range(len(names))], names)
    axes.set_ylim(-len(names) + 0.4, 0.6)
    axes.grid(axis="x", alpha=0.3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _legend(figure: matplotlib.figure.Figure, axes: Any) -> None:
    for context, colour in _COLOURS.items():
        axes.plot([], [], "o-", color=colour, label=_SAYS[context])
    axes.plot([], [], "|", ms=9, color="#333333", label="one seed")
    axes.plot([], [], "-", color=_GREY, label="95 % interval over people")
    figure.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=4)


def _save(figure: matplotlib.figure.Figure, path: epath.PathLike) -> None:
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110)
    replace_file(epath.Path(path), data.getvalue())
