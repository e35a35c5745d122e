"""A picture of the events of a recording: its spectrogram, and what is heard when."""

import datetime
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.colors
import matplotlib.figure
import matplotlib.patches
import numpy as np

from sigjax.evals.sound_figures import Spectrogram, levels
from sigjax.evals.sound_timeline_figures import (
    bar,
    head,
    image,
    png,
    printable,
    time_axis,
)

_DARK, _BAR, _EVENT = "#222222", "#0072b2", "#d55e00"
_WIDTH, _LEFT, _RIGHT = 11.0, 0.2, 0.925
# Beyond this many windows, cells are too narrow for a number.
_MOST_NUMBERS = 16


class Heard(NamedTuple):
    """Windows of a recording and the classes that are shown.

    Attributes:
      names: Of the classes, `v` of them, the first on top.
      probability: Float `[n, v]`, NaN in windows that are not scored.
      left_s: Float `[n]`, where the time begins that a window stands for.
      right_s: Float `[n]`, where it ends.
    """

    names: Sequence[str]
    probability: np.ndarray
    left_s: np.ndarray
    right_s: np.ndarray


class Shown(NamedTuple):
    """An event.

    Attributes:
      label: Its class.
      start_s: Where it begins.
      end_s: Where it ends.
    """

    label: str
    start_s: float
    end_s: float


def recording(
    heard: Heard,
    events: Sequence[Shown],
    strip: Spectrogram,
    *,
    title: str,
    verdict: str,
    note: str = "",
    start: datetime.datetime | None = None,
) -> bytes:
    """Draws a recording; of one window the probabilities as bars.

    Args:
      heard: Its windows.
      events: Framed in the picture.
      strip: Its spectrogram.
      title: Line over the figure.
      verdict: What is heard, in a sentence.
      note: A coloured line, such as `"simulated"`; may be empty.
      start: When it began, for a clock beneath.

    Returns:
      A PNG file.
    """
    rows = len(heard.names)
    below = 0.75 + 0.3 * rows
    height = 3.7 + below
    figure = matplotlib.figure.Figure((_WIDTH, height), dpi=110, facecolor="white")
    low = (below + 0.1) / height
    grid = figure.add_gridspec(
        1, 1, left=_LEFT, right=_RIGHT, top=1 - 0.85 / height, bottom=low + 0.3 / height
    )
    axes = figure.add_subplot(grid[0])
    limits = levels([strip.value], 0.02, deepest=80)
    bar(figure, axes, image(axes, strip, "magma", limits), "dB")
    one = len(heard.probability) == 1
    place = figure.add_gridspec(
        1, 1, left=_LEFT, right=_RIGHT, top=low - 0.2 / height, bottom=0.6 / height
    )
    if one:
        time_axis(axes, strip.duration_s, start)
        _bars(figure.add_subplot(place[0]), heard)
    else:
        axes.tick_params(labelbottom=False)
        map_axes = figure.add_subplot(place[0], sharex=axes)
        _map(figure, map_axes, heard, events)
        time_axis(map_axes, strip.duration_s, start)
    head(figure, title, verdict, note, height, calm=True)
    return png(figure)


def _bars(axes, heard: Heard) -> None:
    values = np.nan_to_num(heard.probability[0])
    at = np.arange(len(values))
    axes.barh(at, values, color=_BAR, height=0.72)
    for row, value in enumerate(values):
        inside = value > 0.9
        axes.text(
            value - 0.01 if inside else value + 0.01, row, f"{value:.2f}", va="center",
            ha="right" if inside else "left", size=9,
            color="white" if inside else _DARK,
        )  # fmt: skip
    _names(axes, heard)
    axes.set_xlim(0, 1)
    axes.set_xlabel("probability", size=9)
    axes.spines[["top", "right"]].set_visible(False)


def _map(figure, axes, heard: Heard, events: Sequence[Shown]) -> None:
    edges = np.append(heard.left_s, heard.right_s[-1:])
    colours = matplotlib.colors.LinearSegmentedColormap.from_list(
        "", ["#ffffff", "#9ecae1", "#08519c"]
    ).with_extremes(bad="#ececec")
    found = axes.pcolormesh(
        edges, np.arange(len(heard.names) + 1) - 0.5,
        np.ma.masked_invalid(heard.probability.T), cmap=colours, vmin=0, vmax=1,
        rasterized=True,
    )  # fmt: skip
    bar(figure, axes, found, "probability")
    if len(heard.probability) <= _MOST_NUMBERS:
        _numbers(axes, heard)
    row = {name: number for number, name in enumerate(heard.names)}
    for event in events:
        if event.label in row:
            axes.add_patch(
                matplotlib.patches.Rectangle(
                    (event.start_s, row[event.label] - 0.5),
                    event.end_s - event.start_s, 1, fill=False, ec=_EVENT, lw=1.6,
                    zorder=3,
                )
            )  # fmt: skip
    _names(axes, heard)
    axes.tick_params(axis="y", length=0)


def _numbers(axes, heard: Heard) -> None:
    middle = (heard.left_s + heard.right_s) / 2
    for (window, row), value in np.ndenumerate(heard.probability):
        if value >= 0.05:
            axes.text(
                middle[window], row, f"{value:.2f}", ha="center", va="center", size=8,
                color="white" if value > 0.6 else _DARK,
            )  # fmt: skip


def _names(axes, heard: Heard) -> None:
    names = [printable(name, 26) for name in heard.names]
    axes.set_yticks(np.arange(len(names)), names, size=9, parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
