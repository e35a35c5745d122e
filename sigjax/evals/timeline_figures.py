"""A picture of a timeline: a row per day, a colour per class."""

import datetime
import io
import math
import warnings

import matplotlib.axes
import matplotlib.colors
import matplotlib.figure
import matplotlib.patches
import matplotlib.ticker
import numpy as np

from sigjax.evals.timeline import DAY_S, WEAR, Timeline, daily, days, total

MOST_DAYS = 31
# Colour-blind safe (Paul Tol's "muted", then Okabe & Ito's that differ most from it);
# greys are left to what is no class.
_COLOURS = (
    "#332288", "#88ccee", "#ddcc77", "#cc6677", "#117733", "#aa4499", "#44aa99",
    "#e69f00", "#882255", "#0072b2", "#999933", "#d55e00",
)  # fmt: skip
_NOT_WORN, _EDGE, _TOO_SHORT, _LINE = "#e4e4e4", "#8c8c8c", "#555555", "#444444"
_NOTE = "#d55e00"
_WIDTH = 11.0
_BAND, _FOOT = 0.62, 0.68  # Of a row's height: above is movement.
_SHORT_S = 6 * 3600.0
_BINS = 1440
_POINTS = 6


def day_by_day(
    found: Timeline,
    *,
    title: str,
    note: str = "",
    movement: np.ndarray | None = None,
) -> bytes:
    """Draws a recording from midnight to midnight, a row per day.

    One of less than six hours is drawn in one row, a few hours wide.

    Args:
      found: The timeline.
      title: Line over the figure.
      note: A second, coloured one, such as `"simulated data"`; may be empty.
      movement: Float `[d, 1440]` in mg, as `minute_movement` gives it for the days of
        the timeline; drawn above each day.

    Returns:
      A PNG file.
    """
    rows = _rows(found)
    left_out = len(rows) - MOST_DAYS
    rows = rows[:MOST_DAYS]
    figure = matplotlib.figure.Figure(
        figsize=(_WIDTH, 1.35 + max(0.62 * len(rows), 1.3)),
        layout="constrained",
        facecolor="white",
    )
    all_axes = figure.subplots(len(rows), 1, sharex=True, squeeze=False)[:, 0]
    top = _top(movement)
    for axes, (low, high) in zip(all_axes, rows, strict=True):
        _draw_band(axes, found, low, high)
        if movement is not None:
            _draw_movement(axes, movement, days(found), low, high, top)
        _label_row(axes, found, low, high)
    _label_hours(all_axes[-1], *rows[0])
    _legend(figure, found, movement is not None, top)
    if left_out > 0:
        title += f" (the first {MOST_DAYS} of {len(rows) + left_out} days)"
    return _png(figure, title, note)


def _rows(found: Timeline) -> list[tuple[float, float]]:
    """First and last moment of each row of the picture."""
    begin = float(found.start.min())
    end = float((found.start + found.duration_s).max())
    if end - begin <= _SHORT_S:
        return [(600 * math.floor(begin / 600), 600 * math.ceil(end / 600))]
    return [(day * DAY_S, (day + 1) * DAY_S) for day in days(found).tolist()]


def strip(found: Timeline, low: float, high: float, bins: int) -> np.ndarray:
    """What lasts longest in each of `bins` equal parts of a time.

    Returns:
      Int `[bins]`: a class, or the number of classes plus a code of `WEAR`; -1 where
      there is no recording.
    """
    at = low + (high - low) * (np.arange(bins * _POINTS) + 0.5) / (bins * _POINTS)
    row = np.searchsorted(found.start, at, side="right") - 1
    inside = (row >= 0) & (at < (found.start + found.duration_s)[row])
    code = np.where(found.wear == 0, found.label, len(found.labels) + found.wear)
    kinds = len(found.labels) + len(WEAR) + 1
    shown = np.where(inside, code[row], kinds - 1)
    place = np.arange(bins).repeat(_POINTS) * kinds + shown
    most = np.bincount(place, minlength=bins * kinds).reshape(bins, kinds).argmax(1)
    return np.where(most == kinds - 1, -1, most)


def _draw_band(
    axes: matplotlib.axes.Axes, found: Timeline, low: float, high: float
) -> None:
    code = strip(found, low, high, _BINS)
    classes = len(found.labels)
    palette = [_colour(i) for i in range(classes)]
    palette += ["white", _NOT_WORN, "white", _TOO_SHORT]  # In the order of WEAR.
    # One image for the colours: spans drawn one by one leave slits between them.
    axes.imshow(
        np.ma.masked_less(code, 0)[None],
        cmap=matplotlib.colors.ListedColormap(palette),
        vmin=-0.5,
        vmax=len(palette) - 0.5,
        extent=(0, (high - low) / 3600, 0, _BAND),
        aspect="auto",
        interpolation="none",
    )
    edges = np.linspace(0, (high - low) / 3600, _BINS + 1)
    for first, stop in _runs(code == classes + WEAR.index("non-wear")):
        axes.add_patch(_hatched(edges[first], edges[stop] - edges[first]))
    for first, stop in _runs(code >= 0):
        axes.add_patch(
            matplotlib.patches.Rectangle(
                (edges[first], 0), edges[stop] - edges[first], _BAND,
                fill=False, ec=_EDGE, lw=0.6,
            )
        )  # fmt: skip
    axes.set_xlim(0, edges[-1])
    axes.set_ylim(-0.01, 1)  # Else the frame's lower edge is cut.


def _hatched(start: float, length: float) -> matplotlib.patches.Rectangle:
    return matplotlib.patches.Rectangle(
        (start, 0), length, _BAND, fc=_NOT_WORN, ec=_EDGE, hatch="////", lw=0
    )


def _runs(true: np.ndarray) -> list[tuple[int, int]]:
    """Firsts and stops of the runs of a bool array."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], true, [False]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]


def _top(movement: np.ndarray | None) -> float:
    """The movement, in mg, that reaches the upper edge of a row."""
    if movement is None or np.isnan(movement).all():
        return 100.0
    return 50 * math.ceil(max(100.0, float(np.nanpercentile(movement, 99.5))) / 50)


def _draw_movement(
    axes: matplotlib.axes.Axes,
    movement: np.ndarray,
    known: np.ndarray,
    low: float,
    high: float,
    top: float,
) -> None:
    minutes = known[:, None] * DAY_S + np.arange(1440) * 60
    inside = (minutes >= low) & (minutes < high)
    share = np.minimum(np.nan_to_num(movement[inside]) / top, 1)
    axes.fill_between(
        # Each minute until the next, the last one included.
        np.append(minutes[inside] - low, high - low) / 3600,
        _FOOT,
        _FOOT + (1 - _FOOT) * np.append(share, share[-1:]),
        step="post",
        color=_LINE,
        lw=0,
    )


def _label_row(
    axes: matplotlib.axes.Axes, found: Timeline, low: float, high: float
) -> None:
    first = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=low)
    label = f"{first:%a}\n{first:%Y-%m-%d}"
    axes.set_ylabel(label, rotation=0, ha="right", va="center", size=8)
    end = np.minimum(found.start + found.duration_s, high)
    within = np.clip(end - np.maximum(found.start, low), 0, None)
    worn = within[(found.wear == 0) | (found.wear == WEAR.index("too short"))].sum()
    axes.text(
        1.008, _BAND / 2, f"{worn / 3600:.1f} h\nworn", size=7.5, va="center",
        transform=axes.transAxes, color=_LINE,
    )  # fmt: skip
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(axis="x", length=0)


def _label_hours(axes: matplotlib.axes.Axes, low: float, high: float) -> None:
    whole_day = high - low == DAY_S
    steps = (60, 120, 300, 600, 900, 1800, 3600)
    step = next((s for s in steps if (high - low) / s <= 12), 3 * 3600)
    axes.xaxis.set_major_locator(matplotlib.ticker.MultipleLocator(step / 3600))

    def clock(value: float, _: int) -> str:
        if whole_day:
            return f"{value:g}"
        minute = round(60 * value + low % DAY_S / 60)
        return f"{minute // 60 % 24:02d}:{minute % 60:02d}"

    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(clock))
    axes.tick_params(axis="x", length=3, labelsize=8)
    axes.set_xlabel("hour of the day (device clock)", size=9)


def _legend(
    figure: matplotlib.figure.Figure, found: Timeline, movement: bool, top: float
) -> None:
    hours = total(daily(found))
    handles = [
        matplotlib.patches.Patch(fc=_colour(i), label=f"{label}  {duration(value)}")
        for i, label in enumerate(found.labels)
        for value in [hours[f"hours_{label}"]]
    ]
    rest = (
        ("not worn", "non_wear_h", _NOT_WORN, "////"),
        ("no data", "no_data_h", "white", ""),
        ("worn, too short for a label", "too_short_h", _TOO_SHORT, ""),
    )
    for name, key, colour, hatch in rest:
        # A few seconds at the ends of stretches are in the table, not to be seen here.
        if hours[key] >= 0.05 or key == "non_wear_h":
            text = f"{name}  {duration(hours[key])}"
            handles.append(
                matplotlib.patches.Patch(
                    label=text, fc=colour, ec=_EDGE, hatch=hatch, lw=0.6
                )
            )
    if movement:
        text = f"movement above 1 g (ENMO), up to {top:g} mg"
        handles.append(matplotlib.patches.Patch(fc=_LINE, label=text))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(handles), 5),
        fontsize=8,
        frameon=False,
    )


def duration(value: float) -> str:
    """Hours for people: `"7.5 h"`, or `"12 min"` of less than one."""
    if value >= 1:
        return f"{value:.1f} h"
    return "<1 min" if 0 < value < 1 / 60 else f"{60 * value:.0f} min"


def _png(figure: matplotlib.figure.Figure, title: str, note: str) -> bytes:
    title = _printable(title)
    figure.suptitle(title, x=0.01, ha="left", size=11, weight="bold", parse_math=False)
    if note:
        figure.text(
            0.995, 0.995, note.upper(), ha="right", va="top", size=8, color=_NOTE,
            weight="bold",
        )  # fmt: skip
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A name in letters that the font lacks is drawn as boxes: no reason to stop.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _printable(text: str, longest: int = 100) -> str:
    """Without control characters, and cut in the middle where it is too long."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    half = (longest - 1) // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"
