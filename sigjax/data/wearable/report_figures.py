"""Pictures of a report: wear by day, calibration, a week of movement. PNG as bytes.

Days and hours are the device's clock; see `report_wear`.
"""

import datetime
import io
import math
import warnings
from collections.abc import Sequence

import matplotlib.axes
import matplotlib.colors
import matplotlib.figure
import matplotlib.ticker
import numpy as np

from sigjax.data import store as stores
from sigjax.data.wearable import calibration
from sigjax.data.wearable.report_wear import (
    DAY_S,
    MOST_DAYS,
    days_of,
    hours_worn,
    minute_means,
    spans_of,
    wear_share,
)

MOST_ROWS = 60  # More recordings than this share one map.
_WIDTH = 9.3  # Inches: as wide as the page.
_MOST_FIELDS = 20 * MOST_DAYS

# Colour-blind safe (Okabe & Ito).
_BLUE, _GREY, _RED = "#0072b2", "#8c8c8c", "#d55e00"
# Not worn, no data, too short to keep.
_SHADES = ("#fbe3b5", "#e3e3e3", "#c9e1f0")
_WEAR_COLOURS = "YlGnBu"


def wear(entries: Sequence[stores.Entry], note: str) -> bytes:
    """Hours worn by day: a row per recording, or the share of many by hour of day.

    Args:
      entries: Recordings with segments, at least one.
      note: Written over the figure, such as `"simulated data"`; may be empty.
    """
    _, end, row, origin = spans_of(entries)
    days = np.zeros(len(entries), int)
    np.maximum.at(days, row, np.ceil((end - origin[row]) / DAY_S).astype(int))
    # One clock that jumped must not make the map of all others narrow.
    shown = min(max(int(np.quantile(days, 0.99, method="higher")), 1), MOST_DAYS)
    beyond = int((days > shown).sum())
    rest = f" ({beyond:,} with wear after day {shown}, not shown)" if beyond else ""
    if len(entries) <= MOST_ROWS:
        return _wear_rows(entries, shown, rest, note)
    return _wear_share(entries, shown, rest, note)


def _wear_rows(
    entries: Sequence[stores.Entry], days: int, rest: str, note: str
) -> bytes:
    hours = hours_worn(entries, bin_h=24, bins=days)
    origin = spans_of(entries)[3]
    for number, entry in enumerate(entries):
        ended = entry.quality.get("end")
        if ended is not None:  # White after the end: not recorded is not "not worn".
            hours[number, max(math.ceil((ended - origin[number]) / DAY_S), 1) :] = (
                np.nan
            )
    figure = _figure(
        min(max(6.0, 1.6 + 0.62 * days), _WIDTH), 1.5 + 0.26 * len(entries)
    )
    axes = figure.add_subplot()
    image = axes.imshow(
        hours, vmin=0, vmax=24, cmap=_WEAR_COLOURS, aspect="auto", interpolation="none"
    )
    axes.set_xticks(range(days), [str(day + 1) for day in range(days)])
    axes.set_yticks(
        range(len(entries)), [_short(e.name) for e in entries], parse_math=False
    )
    axes.tick_params(which="both", length=0, labelsize=8)
    axes.set_xlabel("day of recording (midnight to midnight, device clock)")
    axes.set_xticks(np.arange(days + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(entries) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.spines[:].set_visible(False)
    if hours.size <= _MOST_FIELDS:
        for (y, x), value in np.ndenumerate(hours):
            if np.isfinite(value):
                colour = "white" if value > 13 else "#333333"
                text = f"{value:.0f}" if value >= 10 or value == 0 else f"{value:.1f}"
                axes.text(x, y, text, ha="center", va="center", size=7, color=colour)
    bar = figure.colorbar(image, ax=axes, ticks=range(0, 25, 6), pad=0.02)
    bar.set_label("hours worn per day")
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    return _png(figure, f"Wear by day{rest}", note)


def _wear_share(
    entries: Sequence[stores.Entry], days: int, rest: str, note: str
) -> bytes:
    share = 100 * wear_share(entries, days)
    figure = _figure(_WIDTH, 1.6 + 0.28 * max(days, 4))
    axes = figure.add_subplot()
    image = axes.imshow(
        share,
        vmin=0,
        vmax=100,
        cmap=_WEAR_COLOURS,
        aspect="auto",
        extent=(0, 24, days + 0.5, 0.5),
        interpolation="none",
    )
    axes.set_xticks(range(0, 25, 3))
    axes.set_yticks(range(1, days + 1))
    axes.tick_params(labelsize=8)
    axes.set_xlabel("hour of the day (device clock)")
    axes.set_ylabel("day of recording")
    axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=axes, ticks=range(0, 101, 25), pad=0.02)
    bar.set_label(f"% of {len(entries):,} recordings worn")
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    return _png(figure, f"Wear by day and hour{rest}", note)


def calibration_errors(before_mg: np.ndarray, after_mg: np.ndarray, note: str) -> bytes:
    """Calibration errors before and after: how often, and recording by recording.

    Args:
      before_mg: Float `[r]`, mean distance from 1 g at rest, in mg.
      after_mg: Float `[r]`, once calibrated.
      note: See `wear`.
    """
    limit = 1e3 * calibration.MAX_ERROR_G
    low, high = 0.1, 300.0  # Beyond it is drawn at the edge.
    before, after = np.clip(before_mg, low, high), np.clip(after_mg, low, high)
    figure = _figure(_WIDTH, 3.6)
    left, right = figure.subplots(1, 2)
    edges = np.geomspace(low, high, 36).tolist()
    left.hist(before, edges, color=_GREY, alpha=0.65, label="before")
    left.hist(after, edges, color=_BLUE, alpha=0.75, label="after")
    left.axvline(limit, color=_RED, lw=1.2, ls="--", label=f"limit {limit:g} mg")
    left.set_ylabel("recordings")
    left.set_xlabel("calibration error (mg)")
    left.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    left.legend(frameon=False, fontsize=8)
    many = len(before) > 500
    right.plot(
        before, after, ".", ms=2 if many else 7, alpha=0.3 if many else 0.7,
        color=_BLUE, mew=0, rasterized=True,
    )  # fmt: skip
    right.plot([low, high], [low, high], color=_GREY, lw=0.8)
    right.text(0.14, 0.19, "unchanged", color=_GREY, size=8, rotation=42)
    right.axhline(limit, color=_RED, lw=1.2, ls="--")
    right.set_xlabel("error before (mg)")
    right.set_ylabel("error after (mg)")
    left.set_xscale("log")
    right.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    for axis in (left.xaxis, right.xaxis, right.yaxis):
        axis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    _plain(left, right)
    title = f"Calibration error of {len(before):,} recordings, mean at rest"
    return _png(figure, title, note)


def wear_hours(hours: np.ndarray, min_wear_h: float | None, note: str) -> bytes:
    """How many hours of wear recordings have.

    Args:
      hours: Float `[r]`, of the used recordings.
      min_wear_h: The shortest stretch that preparation keeps, drawn as a line.
      note: See `wear`.
    """
    figure = _figure(_WIDTH, 2.8)
    axes = figure.add_subplot()
    top = 1.02 * float(hours.max())
    axes.hist(hours, np.linspace(0, top, 49).tolist(), color=_BLUE, alpha=0.8)
    if min_wear_h:
        label = f"shortest stretch kept: {min_wear_h:g} h"
        axes.axvline(min_wear_h, color=_RED, lw=1.2, ls="--", label=label)
        axes.legend(frameon=False, fontsize=8, loc="upper center")
    axes.set_xlim(0, top)
    if top > 60:
        step = 24 * math.ceil(top / 24 / 12)
        axes.set_xticks(np.arange(0, top, step))
    axes.set_xlabel("hours of wear kept per recording")
    axes.set_ylabel("recordings")
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    _plain(axes)
    return _png(figure, f"Wear of {len(hours):,} used recordings", note)


def week(store: stores.Store, entry: stores.Entry, note: str) -> bytes:
    """Draws the movement of one recording: a row per day, non-wear and gaps shaded.

    Args:
      store: That holds the recording.
      entry: The recording, with at least one segment.
      note: See `wear`.
    """
    days = days_of(entry)
    means = minute_means(store, entry, days)
    worn = means[np.isfinite(means)]
    top = max(100.0, float(np.percentile(worn, 99.5))) if len(worn) else 100.0
    top = 50 * math.ceil(top / 50)
    figure = _figure(_WIDTH, 1.25 + 0.62 * len(days))
    rows = figure.subplots(len(days), 1, sharex=True, squeeze=False)[:, 0]
    for axes, day, values, shade in zip(
        rows, days, means, _shades(entry, days, means), strict=True
    ):
        _day(axes, int(day), values, shade, top)
    rows[-1].set_xlim(0, 24)
    rows[-1].set_xticks(range(0, 25, 3))
    rows[-1].set_xlabel("hour of the day (device clock)")
    figure.legend(
        [rows[0].fill_between([], [], color=c) for c in (_BLUE, *_SHADES)],
        [
            "vector magnitude above 1 g (ENMO), minute means, mg",
            "not worn",
            "no data",
            "worn, too short to keep",
        ],
        loc="outside lower center",
        ncols=4,
        fontsize=8,
        frameon=False,
    )
    who = entry.name if entry.person == entry.name else f"{entry.name}, {entry.person}"
    device = f"{entry.device} {entry.device_id}".strip()
    return _png(figure, f"{_short(who)} ({device or 'unknown device'})", note)


def _shades(entry: stores.Entry, days: np.ndarray, means: np.ndarray) -> np.ndarray:
    """Of each minute: 0 for samples or no recording, else the number of a shade."""
    middle = (days[:, None] * 1440 + np.arange(1440) + 0.5) * 60

    def within(key: str) -> np.ndarray:
        inside = np.zeros(means.shape, bool)
        for start, end in entry.quality.get(key, ()):
            inside |= (start <= middle) & (middle < end)
        return inside

    begun, ended = entry.quality.get("start"), entry.quality.get("end")
    inside = np.ones(means.shape, bool)
    if begun is not None and ended is not None:
        inside = (begun <= middle) & (middle < ended)
    lost = np.isnan(means)
    kinds = [within("nonwear"), within("too_short"), inside]
    return np.select([lost & kind for kind in kinds], [1, 3, 2], 0)


def _day(
    axes: matplotlib.axes.Axes,
    day: int,
    values: np.ndarray,
    shade: np.ndarray,
    top: float,
) -> None:
    # One strip for the shading: spans drawn one by one leave slits between them.
    axes.imshow(
        shade[None],
        cmap=matplotlib.colors.ListedColormap(["white", *_SHADES]),
        vmin=0,
        vmax=len(_SHADES),
        extent=(0, 24, 0, top),
        aspect="auto",
        interpolation="none",
    )
    hour = (np.arange(1440) + 0.5) / 60
    moved = np.minimum(values, top)
    axes.fill_between(hour, 0, moved, step="mid", color=_BLUE, lw=0)
    axes.set_ylim(0, top)
    axes.set_yticks([0, top])
    axes.tick_params(labelsize=7)
    date = datetime.date(1970, 1, 1) + datetime.timedelta(days=day)
    label = f"{date:%a}\n{date.isoformat()}"
    axes.set_ylabel(label, rotation=0, ha="right", va="center", size=7.5)
    _plain(axes)


def _figure(width: float, height: float) -> matplotlib.figure.Figure:
    return matplotlib.figure.Figure(
        figsize=(width, height), layout="constrained", facecolor="white"
    )


def _plain(*every: matplotlib.axes.Axes) -> None:
    for axes in every:
        axes.spines[["top", "right"]].set_visible(False)


def _short(text: str, longest: int = 40) -> str:
    """Without control characters, and cut in the middle where it is too long."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    half = (longest - 1) // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half:]}"


def _png(figure: matplotlib.figure.Figure, title: str, note: str) -> bytes:
    figure.suptitle(title, x=0.01, ha="left", size=11, weight="bold", parse_math=False)
    if note:
        figure.text(
            0.995, 0.995, note.upper(), ha="right", va="top", size=8, color=_RED,
            weight="bold",
        )  # fmt: skip
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A name in letters that the font lacks is drawn as boxes: no reason to stop.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
