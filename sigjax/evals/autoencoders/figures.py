"""Figures of numbers: curves over a setting, and values with their intervals."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.figure
import numpy as np
from etils import epath
from matplotlib.transforms import ScaledTranslation

from sigjax.evals.embedding_figures import COLOURS
from sigjax.train.writer import replace_file

_MARKERS = "os^Dv*PX"
# Between lines with intervals: those of one x stand side by side.
_APART_POINTS = 3.4


class Spot(NamedTuple):
    """A value with its interval.

    Attributes:
      x: Where it stands: a share, a factor, a ratio in dB.
      value: The mean; None leaves it out.
      low: Of the interval; None for none.
      high: Likewise.
    """

    x: float
    value: float | None
    low: float | None = None
    high: float | None = None


class Panel(NamedTuple):
    """One pair of axes.

    Attributes:
      title: Over it.
      x: Label of the horizontal axis, with its unit.
      y: Likewise.
      lines: Spots by name.
      log_x: Whether the axis is logarithmic; values of 0 then stand left of the others.
      log_y: Likewise.
      level: Values drawn from left to right, by name: chance, a target.
      ticks: Under the axis, where these are not numbers: text of each x.
    """

    title: str
    x: str
    y: str
    lines: Mapping[str, Sequence[Spot]]
    log_x: bool = False
    log_y: bool = False
    level: Mapping[str, float] = {}
    ticks: Mapping[float, str] = {}


def looks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each name, the same in all panels of a figure."""
    found = {}
    for place, name in enumerate(names):
        colour = COLOURS[place % len(COLOURS)]
        marker = _MARKERS[(place + place // len(COLOURS)) % len(_MARKERS)]
        found[name] = {"color": colour, "marker": marker}
    return found


def curves(
    path: epath.PathLike,
    panels: Sequence[Panel],
    *,
    title: str,
    note: str = "",
    names: Sequence[str] = (),
) -> None:
    """Lines over a setting, a panel each; one legend under all.

    Args:
      path: PNG to write.
      panels: From left to right; one at least.
      title: Over the figure.
      note: Under the title, such as `"SIMULATED data"`.
      names: Of another figure's lines, in order: those here look as they do there.
    """
    look = looks(list(dict.fromkeys((*names, *(n for p in panels for n in p.lines)))))
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    figure = matplotlib.figure.Figure(
        figsize=(0.6 + 4.6 * len(panels), 4.7), layout="constrained"
    )
    for axes, panel in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        every = [spot for spots in panel.lines.values() for spot in spots]
        apart = _APART_POINTS * any(spot.low is not None for spot in every)
        for place, (name, spots) in enumerate(panel.lines.items()):
            right = apart * (place - (len(panel.lines) - 1) / 2)
            _line(axes, spots, panel, look[name], right)
        for place, (name, value) in enumerate(panel.level.items()):
            style = ("--", ":", "-.")[place % 3]
            axes.axhline(value, color="#666666", ls=style, lw=1.1, label=name)
        _scales(axes, panel)
        axes.set_title(panel.title, fontsize=10)
        axes.set_xlabel(panel.x)
        axes.set_ylabel(panel.y)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    handles = [
        figure.axes[0].plot([], [], lw=1.6, ms=5, label=name, **look[name])[0]
        for name in names
    ]
    levels = {}
    for axes in figure.axes:
        found = zip(*axes.get_legend_handles_labels(), strict=True)
        levels |= {label: handle for handle, label in found if label not in names}
    handles += levels.values()
    if len(handles) > 1:
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=_columns(
                [str(handle.get_label()) for handle in handles],
                min(len(handles), 2 + len(panels)),
                figure.get_figwidth(),
            ),
            frameon=False,
            fontsize=8,
        )
    head(figure, title, note)
    save(figure, path)


def _columns(names: Sequence[str], most: int, width_in: float) -> int:
    """How many columns a legend of 8 points has room for, at most `most`."""
    for count in range(most, 1, -1):
        columns = np.array_split(np.array([len(name) for name in names]), count)
        if sum(0.6 + 0.065 * column.max() for column in columns) <= width_in:
            return count
    return 1


def _line(
    axes, spots: Sequence[Spot], panel: Panel, look: Mapping[str, Any], right: float
) -> None:
    """A line and its intervals, `right` points right of where they stand."""
    shift = ScaledTranslation(right / 72, 0, axes.figure.dpi_scale_trans)
    shown = [spot for spot in spots if spot.value is not None]
    x = [_placed(spot.x, panel) for spot in shown]
    made = axes.plot(x, [spot.value for spot in shown], lw=1.6, ms=5, **look)
    for place, spot in zip(x, shown, strict=True):
        if spot.low is not None and spot.high is not None:
            ends = [spot.low, spot.high]
            style = dict(color=look["color"], lw=2.6, alpha=0.4)
            made += axes.plot([place] * 2, ends, **style)
    for artist in made:  # Only now: the axes' limits are of data that are not moved.
        artist.set_transform(axes.transData + shift)


def _placed(x: float, panel: Panel) -> float:
    """Where a value stands; on a logarithmic axis 0 is a third of a decade left."""
    if not panel.log_x or x > 0:
        return x
    positive = [s.x for line in panel.lines.values() for s in line if s.x > 0]
    return min(positive, default=1.0) / 10**0.6


def _scales(axes, panel: Panel) -> None:
    places = sorted({spot.x for line in panel.lines.values() for spot in line})
    if panel.log_x:
        axes.set_xscale("log")
    if panel.log_y:
        axes.set_yscale("log")
    if panel.ticks or (panel.log_x and len(places) <= 8):
        shown = [panel.ticks.get(x, f"{x:g}") for x in places]
        axes.set_xticks([_placed(x, panel) for x in places], shown)
        axes.minorticks_off()
        if panel.log_y:  # Of this axis alone.
            axes.yaxis.minorticks_on()


class Bar(NamedTuple):
    """A named value.

    Attributes:
      name: Its line.
      value: The mean; None where there is none.
      low: Of the interval; None for none.
      high: Likewise.
      each: Values of repeats.
      bar: Whether it is what the others are held against: drawn in another colour.
    """

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    each: tuple[float, ...] = ()
    bar: bool = False


def dots(
    path: epath.PathLike,
    panels: Mapping[str, Sequence[Bar]],
    *,
    title: str,
    note: str = "",
    interval: str = "95 % interval",
    level: Mapping[str, float] | None = None,
) -> None:
    """Values with intervals, a line each, a panel for each figure.

    Args:
      path: PNG to write.
      panels: Bars by what they measure; all panels have the same names in one order.
      title: Over the figure.
      note: Under the title.
      interval: What the lines through the dots are.
      level: Values drawn from top to bottom in every panel, by name.
    """
    names = [bar.name for bar in next(iter(panels.values()))]
    longest = max(len(name) for name in names)
    figure = matplotlib.figure.Figure(
        figsize=(0.08 * longest + 1.2 + 3.7 * len(panels), 2.0 + 0.34 * len(names)),
        layout="constrained",
    )
    every = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (measure, bars) in zip(every, panels.items(), strict=True):
        for y, bar in enumerate(bars):
            if y % 2 == 0:
                axes.axhspan(-y - 0.5, -y + 0.5, color="#f4f4f4", lw=0, zorder=-2)
            _dot(axes, -y, bar)
        for name, value in (level or {}).items():
            axes.axvline(value, color="#666666", ls="--", lw=1.1, label=name)
        axes.set_yticks([-y for y in range(len(names))], names)
        axes.set_ylim(0.5 - len(names), 0.5)
        axes.set_xlabel(measure)
        axes.locator_params(axis="x", nbins=3)  # Labels of six digits stay apart.
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    marks = [(COLOURS[0], f"mean, {interval}")]
    if any(bar.bar for bars in panels.values() for bar in bars):
        marks.append((COLOURS[5], "no network"))
    handles = [
        every[0].plot([], [], "o-", color=colour, label=label)[0]
        for colour, label in marks
    ]
    if any(len(bar.each) > 1 for bars in panels.values() for bar in bars):
        handles += every[0].plot([], [], "|", color="#777777", ms=7, label="each seed")
    handles += every[0].get_legend_handles_labels()[0][: len(level or {})]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )
    head(figure, title, note)
    save(figure, path)


def _dot(axes, y: float, bar: Bar) -> None:
    colour = COLOURS[5] if bar.bar else COLOURS[0]
    if bar.value is None:
        return
    if bar.low is not None and bar.high is not None:
        axes.plot([bar.low, bar.high], [y, y], color=colour, lw=2, alpha=0.6)
    axes.plot(bar.value, y, "o", color=colour, ms=6)
    if len(bar.each) > 1:
        axes.plot(bar.each, [y - 0.25] * len(bar.each), "|", color="#777777", ms=6)


def head(figure: matplotlib.figure.Figure, title: str, note: str) -> None:
    """Puts a title and, smaller, a note over a figure."""
    lines = note.count("\n") + 1 if note else 0
    figure.suptitle(title + "\n" * lines, fontsize=11)
    if note:
        height = figure.get_size_inches()[1]
        figure.text(0.5, 1 - 0.3 / height, note, ha="center", va="top", fontsize=8)


def save(figure: matplotlib.figure.Figure, path: epath.PathLike) -> None:
    """Writes a PNG, whole or not at all."""
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=120)
    replace_file(epath.Path(path), data.getvalue())
