"""A picture of a recording: scores over its spectrogram, and the worst window.

Made for somebody who looks after the machine: when was there an alarm, how far above
the threshold, and at which frequencies. Nothing is told by colour alone.
"""

import datetime
import io
import warnings
from typing import NamedTuple

import matplotlib.axes
import matplotlib.colors
import matplotlib.figure
import matplotlib.gridspec
import matplotlib.ticker
import numpy as np

from sigjax.evals.sound_figures import Spectrogram, levels
from sigjax.evals.sound_strip import hertz, loudest_band

# Colour-blind safe (Okabe & Ito).
_SCORE, _ALARM, _THRESHOLD, _NOTE, _GREY = (
    "#0072b2", "#d55e00", "#222222", "#b32d00", "#8c8c8c",
)  # fmt: skip
_WIDTH, _DPI = 11.0, 110
_HZ = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16000, 32000)
_LEFT, _RIGHT = 0.075, 0.925
_MOST_NAMED = 4


class Scored(NamedTuple):
    """Windows of a recording, in their order; `[n]` each.

    Attributes:
      start_s: Where each begins.
      end_s: Where it ends.
      score: NaN where there is none.
      threshold: NaN where there is none.
      alarm: Bool.
      hop_s: From one to the next.
    """

    start_s: np.ndarray
    end_s: np.ndarray
    score: np.ndarray
    threshold: np.ndarray
    alarm: np.ndarray
    hop_s: float

    def cells(self) -> tuple[np.ndarray, np.ndarray]:
        """Where the part of the time begins and ends that a window's score stands for.

        It is a hop wide, in the middle of the window; those at the ends reach there.
        """
        return cells(self.start_s, self.end_s, self.hop_s)

    def alarms(self) -> list[tuple[int, int, float, float]]:
        """First window and stop of each alarm, and when it begins and ends."""
        left, right = self.cells()
        return [
            (first, stop, float(left[first]), float(right[stop - 1]))
            for first, stop in _runs(self.alarm)
        ]


def cells(
    start_s: np.ndarray, end_s: np.ndarray, hop_s: float
) -> tuple[np.ndarray, np.ndarray]:
    """The parts of the time that windows stand for; see `Scored.cells`."""
    middle, width = (start_s + end_s) / 2, np.minimum(hop_s, end_s - start_s)
    left, right = middle - width / 2, middle + width / 2
    left[:1], right[-1:] = start_s[:1], end_s[-1:]
    left[1:] = np.maximum(left[1:], right[:-1])  # The last one reaches back.
    return left, right


class Worst(NamedTuple):
    """The window with the highest score above its threshold, or nearest below it.

    Attributes:
      start_s: Where it begins.
      end_s: Where it ends.
      above: Whether it is above the threshold.
      spectrogram: Of it.
      value: `[t f]`, where it is anomalous.
      frequency_hz: `[f]`, where the map's bands peak, rising.
    """

    start_s: float
    end_s: float
    above: bool
    spectrogram: Spectrogram
    value: np.ndarray
    frequency_hz: np.ndarray


def recording(
    scored: Scored,
    strip: Spectrogram,
    worst: Worst | None,
    *,
    title: str,
    note: str = "",
    start: datetime.datetime | None = None,
) -> bytes:
    """Draws a recording.

    Args:
      scored: Its windows.
      strip: Its spectrogram.
      worst: Its most anomalous window, drawn beneath.
      title: Line over the figure.
      note: A second, coloured one, such as `"simulated"`; may be empty.
      start: When it began, for a clock beneath.

    Returns:
      A PNG file.
    """
    height = 8.3 if worst is not None else 5.2
    figure = matplotlib.figure.Figure((_WIDTH, height), dpi=_DPI, facecolor="white")
    top, bottom = 1 - 0.95 / height, (3.75 if worst is not None else 0.55) / height
    grid = figure.add_gridspec(
        2, 1, left=_LEFT, right=_RIGHT, top=top, bottom=bottom, hspace=0.09,
        height_ratios=[1.25, 1],
    )  # fmt: skip
    axes = figure.add_subplot(grid[0])
    _draw_scores(axes, scored, strip.duration_s)
    below = figure.add_subplot(grid[1], sharex=axes)
    limits = levels([strip.value], 0.02, deepest=80)
    bar(figure, below, image(below, strip, "magma", limits), "dB")
    if worst is not None and worst.end_s - worst.start_s < 0.99 * strip.duration_s:
        _bracket(axes, worst, "#444444")
        _bracket(below, worst, "white")
    axes.tick_params(labelbottom=False)
    time_axis(below, strip.duration_s, start)
    if worst is not None:
        _draw_worst(figure, worst, height, strip.duration_s, start)
    head(figure, title, _verdict(scored, start), note, height)
    return png(figure)


def _draw_scores(axes: matplotlib.axes.Axes, scored: Scored, last_s: float) -> None:
    left, right = scored.cells()
    middle = (left + right) / 2
    x = np.column_stack([left, right]).ravel()
    y = np.repeat(scored.score, 2)
    level = np.repeat(scored.threshold, 2)
    for number, (_, _, start_s, end_s) in enumerate(scored.alarms()):
        look = {"color": _ALARM, "alpha": 0.18, "lw": 0}
        axes.axvspan(start_s, end_s, label=None if number else "alarm", **look)
    axes.plot(x, level, color=_THRESHOLD, lw=1.4, ls="--", label="threshold")
    axes.plot(x, y, color=_SCORE, lw=1.5, label="anomaly score")
    over = scored.score > scored.threshold
    if over.any() and over.sum() <= 400:
        axes.plot(
            middle[over], scored.score[over], "v", color=_ALARM, ms=6, mec="white",
            mew=0.7, label="above the threshold",
        )  # fmt: skip
    missing = np.isnan(scored.score)
    for number, (first, stop) in enumerate(_runs(missing)):
        axes.axvspan(
            left[first], right[stop - 1], fc="#ececec", ec=_GREY, hatch="////", lw=0,
            label=None if number else "not scored",
        )  # fmt: skip
    axes.set_xlim(0, last_s)
    axes.margins(y=0.12)
    axes.set_ylabel("anomaly score")
    axes.grid(color="#e6e6e6", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=5, fontsize=8.5,
        frameon=False, borderaxespad=0.1,
    )  # fmt: skip


def _runs(true: np.ndarray) -> list[tuple[int, int]]:
    """Firsts and stops of the runs of a bool array."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _bracket(axes: matplotlib.axes.Axes, worst: Worst, colour: str) -> None:
    """Marks the window that is drawn beneath."""
    for x in (worst.start_s, worst.end_s):
        axes.axvline(x, ls=":", lw=1.2, color=colour)


def _draw_worst(
    figure: matplotlib.figure.Figure,
    worst: Worst,
    height: float,
    last_s: float,
    start: datetime.datetime | None,
) -> None:
    grid = figure.add_gridspec(
        1, 2, left=_LEFT, right=_RIGHT, top=1 - 5.3 / height, bottom=0.55 / height,
        width_ratios=[4.6, 1], wspace=0.07,
    )  # fmt: skip
    axes = figure.add_subplot(grid[0])
    greys = matplotlib.colors.LinearSegmentedColormap.from_list(
        "", ["#ffffff", "#858585"]
    )
    shown = worst.spectrogram
    at = (worst.start_s, worst.start_s + shown.duration_s)
    image(axes, shown, greys, levels([shown.value], 0.02, deepest=80), at)
    found = np.clip(np.nan_to_num(np.asarray(worst.value, np.float64)), 0, None)
    colours = [(0.83, 0.1, 0, min(0.95, 1.15 * i / 255)) for i in range(256)]
    spread = Spectrogram(found, shown.duration_s, worst.frequency_hz)
    hot = matplotlib.colors.ListedColormap(colours)
    where = np.interp(worst.frequency_hz, *_bands_of(shown))
    axes.pcolormesh(
        np.linspace(*at, len(found) + 1), _edges(where), found.T, cmap=hot, vmin=0,
        vmax=levels([found[found > 0]], 0.0)[1] if found.any() else 1.0,
        rasterized=True,
    )  # fmt: skip
    axes.set_ylim(-0.5, shown.value.shape[1] - 0.5)
    time_axis(axes, last_s, start, at)
    what = "makes it anomalous" if worst.above else "raises its score"
    which = "" if worst.above else " (below the threshold)"
    axes.set_title(
        f"Highest score{which}, {span(*at, start)}: grey is its sound, red what {what}",
        size=10, loc="left", weight="bold",
    )  # fmt: skip
    _draw_profile(figure.add_subplot(grid[1], sharey=axes), spread, where)


def _edges(middle: np.ndarray) -> np.ndarray:
    """Where cells begin and end that have these middles, `[n + 1]`."""
    between = (middle[1:] + middle[:-1]) / 2
    return np.concatenate([[middle[0] - 0.5], between, [middle[-1] + 0.5]])


def _draw_profile(
    axes: matplotlib.axes.Axes, spread: Spectrogram, where: np.ndarray
) -> None:
    """The map's sum over time, by frequency, with the loudest bands named."""
    assert spread.band_hz is not None
    share = spread.value.sum(axis=0)
    share = 100 * share / share.sum() if share.sum() > 0 else share
    axes.fill_betweenx(where, 0, share, color=_ALARM, lw=0, alpha=0.9)
    axes.tick_params(labelleft=False)
    axes.spines[["top", "right"]].set_visible(False)
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
    axes.set_xlabel("share of the red, %", size=9)
    look = {"size": 10, "weight": "bold", "loc": "left"}
    if not share.any():
        axes.set_title("nothing stands out", **look)
        axes.set_xticks([])
        return
    axes.set_xlim(0, 1.1 * float(share.max()))
    band = loudest_band(spread.value, spread.band_hz)
    text = "at many frequencies" if band is None else f"mostly {hertz(band)}"
    axes.set_title(text, color=_NOTE, **look)


def _bands_of(shown: Spectrogram) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and numbers of the bands of a spectrogram."""
    assert shown.band_hz is not None
    return shown.band_hz, np.arange(len(shown.band_hz), dtype=np.float64)


def image(axes, shown: Spectrogram, colours, limits, at=None):
    """Draws a spectrogram with frequencies beside it; returns the image."""
    image = axes.imshow(
        shown.value.T, origin="lower", aspect="auto", interpolation="none",
        cmap=colours, vmin=limits[0], vmax=limits[1],
        extent=(*(at or (0, shown.duration_s)), -0.5, shown.value.shape[1] - 0.5),
    )  # fmt: skip
    band_hz, number = _bands_of(shown)
    hz = [f for f in _HZ if band_hz[0] <= f <= band_hz[-1]]
    bands = np.interp(hz, band_hz, number)
    # Low frequencies crowd on the mel scale.
    kept = [i for i in range(len(hz)) if i == 0 or bands[i] - bands[i - 1] > 8]
    names = [f"{hz[i] / 1000:g}k" if hz[i] >= 1000 else f"{hz[i]}" for i in kept]
    axes.set_yticks([bands[i] for i in kept], names)
    axes.set_ylabel("frequency (Hz)")
    return image


def bar(figure, axes, image, label: str) -> None:
    """A scale of colours, right of the axes."""
    inside = axes.get_position()
    place = (inside.x1 + 0.012, inside.y0, 0.01, inside.height)
    figure.colorbar(image, cax=figure.add_axes(place), label=label)


def time_axis(axes, last_s: float, start, at=None) -> None:
    """Ticks as clock time where the start is known, else since the beginning."""
    shown = (at or (0.0, last_s))[1] - (at or (0.0, last_s))[0]
    # Beyond a minute labels have whole seconds.
    tenths = (0.1, 0.2, 0.5) if last_s < 60 and start is None else ()
    seconds = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400)
    step = next((s for s in (*tenths, *seconds) if shown / s <= 12), 21600)
    axes.xaxis.set_major_locator(matplotlib.ticker.MultipleLocator(step))

    def name(value: float, _: int) -> str:
        if start is not None:
            moment = start + datetime.timedelta(seconds=value)
            return f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}"
        return clock(value)

    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(name))
    text = "clock" if start is not None else "seconds"
    if start is None and last_s >= 60:
        text = "hours:minutes:seconds" if last_s >= 3600 else "minutes:seconds"
    axes.set_xlabel(f"time ({text})", size=9)


def clock(seconds: float) -> str:
    """A moment of a recording: `"12 s"`, `"3:05"` or `"2:03:05"`."""
    if round(seconds, 1) < 60:
        return f"{round(seconds, 1):g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def span(start_s: float, end_s: float, start: datetime.datetime | None = None) -> str:
    """A stretch of a recording: `"3:05 to 3:15"`, or by the clock if it has a start."""
    if start is None:
        return f"{clock(start_s)} to {clock(end_s)}"
    moments = (start + datetime.timedelta(seconds=s) for s in (start_s, end_s))
    return " to ".join(f"{moment:%H:%M:%S}" for moment in moments)


def _verdict(scored: Scored, start: datetime.datetime | None = None) -> str:
    """What happened, in a sentence."""
    if np.isnan(scored.score).all():
        return "No window could be scored"
    found = [span(*alarm[2:], start) for alarm in scored.alarms()]
    if not found:
        over = int((scored.score > scored.threshold).sum())
        if over:
            return f"No alarm; {over} of {len(scored.score)} windows above threshold"
        return "No alarm: all scores are below the threshold"
    text = ", ".join(found[:_MOST_NAMED])
    if len(found) > _MOST_NAMED:
        text += f" and {len(found) - _MOST_NAMED} more"
    return ("Alarm: " if len(found) == 1 else f"{len(found)} alarms: ") + text


def head(
    figure, title: str, verdict: str, note: str, height: float, *, calm: bool = False
) -> None:
    """Writes title, what happened and a note over a figure `height` inches high.

    Unless it is `calm`, what happened is coloured, if anything has.
    """

    def write(x: float, inches: float, text: str, **look) -> None:
        figure.text(x, 1 - inches / height, text, va="top", parse_math=False, **look)

    colour = "#1a1a1a" if calm or verdict.startswith("No") else _NOTE
    write(0.012, 0.1, printable(title), size=11, color="#444444")
    write(0.012, 0.36, verdict, size=13, weight="bold", color=colour)
    write(0.992, 0.1, note, ha="right", size=8.5, weight="bold", color=_NOTE)


def printable(text: str, longest: int = 100) -> str:
    """Without control characters, and cut in the middle where it is too long."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    half = (longest - 1) // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"


def png(figure: matplotlib.figure.Figure) -> bytes:
    """The figure as a file."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A name in letters that the font lacks is drawn as boxes: no reason to stop.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format="png", dpi=_DPI)
    return buffer.getvalue()
