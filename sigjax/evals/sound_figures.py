"""Pictures of a detector's report: ROC, scores by domain, spectrograms. PNG as bytes.

They are as wide as a phone shows, so that their letters stay readable there; a page
puts several side by side. No curve or class is told by its colour alone.
"""

import dataclasses
import functools
import io
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import matplotlib.axes
import matplotlib.backends.backend_agg
import matplotlib.colors
import matplotlib.figure
import matplotlib.ticker
import numpy as np
import PIL.Image  # matplotlib brings it.

from sigjax.metrics.detection import MAX_FPR

# Colour-blind safe (Okabe & Ito), told apart by their line as well.
_KINDS = {
    "source": ("#0072b2", "-", "o"),
    "target": ("#d55e00", "--", "D"),
    "": ("#222222", "-.", "s"),
}
_NORMAL, _ANOMALY, _LINE, _NOTE = "#56b4e9", "#b3470a", "#222222", "#b32d00"
_WIDTH, _DPI = 4.7, 120  # Inches; letters of 9 points are 9 pixels on a phone.
_GRID = np.linspace(0, 1, 1001)
_BINS, _MOST_ROWS, _MOST_COLUMNS = 28, 12, 160
_HZ = (50, 100, 200, 500, 1000, 2000, 4000, 8000, 16000, 32000)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class SoundExample:
    """A clip to be shown.

    Attributes:
      name: File name.
      machine: Type.
      section: Section.
      domain: `"source"`, `"target"` or `""`.
      label: 0 normal, 1 anomaly.
      score: Higher is more anomalous.
      threshold: A score above it is an anomaly.
      rate_hz: Of the waveform.
      wave: Float32 `[s]` in units of full scale; or
      log_mel: Float32 `[t, f]` in dB, with
      hop_s: seconds from one frame to the next.
      band_hz: Where the bands of `log_mel` peak, `[f]`; without it bands have numbers.
      map: Float32 `[t, f]`, where the anomaly is, over the same time and bands; its
        size may differ.
      title: What it shows, such as `"false alarm"`.
    """

    name: str
    machine: str
    section: str
    domain: str
    label: int
    score: float
    threshold: float
    rate_hz: float
    wave: np.ndarray | None = None
    log_mel: np.ndarray | None = None
    hop_s: float | None = None
    band_hz: np.ndarray | None = None
    map: np.ndarray | None = None
    title: str = ""

    def __post_init__(self):
        """Refuses what cannot be drawn."""
        if (self.wave is None) == (self.log_mel is None):
            raise ValueError(f"{self.name}: give a wave or a log-mel spectrogram")
        if self.log_mel is not None and not self.hop_s:
            raise ValueError(f"{self.name}: a log-mel spectrogram needs its hop_s")
        for name, axes in (("wave", 1), ("log_mel", 2), ("map", 2)):
            value = getattr(self, name)
            if value is not None and (np.ndim(value) != axes or not np.size(value)):
                raise ValueError(f"{self.name}: {name} is {list(np.shape(value))}")

    def spectrogram(self) -> "Spectrogram":
        """In dB; that of the DCASE baselines where a wave is given."""
        if self.log_mel is not None:
            hz = None if self.band_hz is None else np.asarray(self.band_hz)
            hop_s = float(self.hop_s or 1)
            return Spectrogram(np.asarray(self.log_mel), len(self.log_mel) * hop_s, hz)
        wave = np.asarray(self.wave, np.float32)
        band_hz, made = _log_mel(round(self.rate_hz))
        return Spectrogram(np.asarray(made(wave)), len(wave) / self.rate_hz, band_hz)


class Spectrogram(NamedTuple):
    """`[t, f]` in dB, how long all frames last, and where bands peak, or None."""

    value: np.ndarray
    duration_s: float
    band_hz: np.ndarray | None


class Roc(NamedTuple):
    """Curves of one domain.

    Attributes:
      domain: `"source"`, `"target"` or `""`.
      label: For the legend.
      sections: Of each section, rising `(fpr, tpr)`.
      points: Of each section, `(fpr, tpr)` at its threshold; may be empty.
      shaded: Whether its area is what the zoomed figure is of.
    """

    domain: str
    label: str
    sections: Sequence[tuple[np.ndarray, np.ndarray]]
    points: Sequence[tuple[float, float]]
    shaded: bool = True


class Panel(NamedTuple):
    """Scores of one section and domain.

    Attributes:
      section: Row of the figure.
      domain: Column of the figure.
      normal: Scores `[n]`.
      anomaly: Scores `[m]`.
      threshold: Or None.
    """

    section: str
    domain: str
    normal: np.ndarray
    anomaly: np.ndarray
    threshold: float | None


@functools.lru_cache(maxsize=4)
def _log_mel(rate_hz: int) -> tuple[np.ndarray, Callable]:
    """Where the bands of the DCASE baselines peak, and what makes their spectrogram."""
    import jax

    from sigjax.signal import mel

    config = mel.MelConfig(rate_hz=rate_hz)
    made = jax.jit(functools.partial(mel.log_mel, config=config))
    return mel.mel_frequencies(config), made


def roc(curves: Sequence[Roc], *, zoom: bool, note: str = "") -> bytes:
    """ROC curves; the mean over sections is thick, each section thin.

    Args:
      curves: Of the domains.
      zoom: Draw the region of the pAUC alone.
      note: Over the figure, such as `"SIMULATED data"`; so in all of these.
    """
    figure, axes = _figure(3.7, left=0.78, right=0.26)
    edge = MAX_FPR if zoom else 1.0
    region = f"pAUC: up to {100 * MAX_FPR:g} % false alarms"
    if not zoom:
        axes.axvspan(0, MAX_FPR, color="#cc79a7", alpha=0.22, lw=0, label=region)
    axes.plot([0, edge], [0, edge], color="#777777", lw=1, ls=":", label="chance")
    for curve in curves:
        colour, dash, marker = _KINDS[curve.domain]
        tall = [_at(_GRID * edge, fpr, tpr) for fpr, tpr in curve.sections]
        if len(tall) > 1:
            for each in tall:
                axes.plot(_GRID * edge, each, color=colour, lw=0.7, alpha=0.45, ls=dash)
        mean = np.mean(tall, axis=0)
        if zoom and curve.shaded:
            axes.fill_between(_GRID * edge, 0, mean, color=colour, alpha=0.10, lw=0)
        axes.plot(_GRID * edge, mean, color=colour, lw=2.2, ls=dash, label=curve.label)
        if curve.points:
            x, y = np.mean(curve.points, axis=0).tolist()
            if x <= edge:
                look = {"mec": "white", "mew": 1.2, "ms": 9, "clip_on": False}
                axes.plot(x, y, marker, color=colour, **look)
    axes.set_xlim(0, edge)
    axes.set_ylim(0, 1.005)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0))
    axes.set_xlabel("false alarms: share of normal clips flagged")
    axes.set_ylabel("found: share of anomalies")
    axes.grid(color="#e3e3e3", lw=0.6)
    where = "upper left" if zoom else "lower right"
    axes.legend(loc=where, fontsize=8.5, framealpha=0.92)
    what = "of the pAUC region" if zoom else "curves"
    return _png(figure, f"ROC {what}", note, 200)


def _at(x: np.ndarray, fpr: np.ndarray, tpr: np.ndarray) -> np.ndarray:
    """A curve's height at false-alarm rates; the upper end where it is vertical."""
    apart = np.arange(len(fpr)) * 1e-12
    return np.interp(x + 1e-12 * len(fpr), np.asarray(fpr) + apart, tpr)


def histograms(panels: Sequence[Panel], *, note: str = "") -> bytes:
    """Scores by section (rows, the first 12) and domain (columns), with thresholds."""
    sections = list(dict.fromkeys(panel.section for panel in panels))[:_MOST_ROWS]
    domains = list(dict.fromkeys(panel.domain for panel in panels))
    height = 0.95 + max(1.25 * len(sections), 1.9)
    figure = matplotlib.figure.Figure((_WIDTH, height), dpi=_DPI, facecolor="white")
    grid = figure.subplots(
        len(sections), len(domains), squeeze=False, sharex="row", sharey="row",
        gridspec_kw={
            "left": 0.095, "right": 0.985, "wspace": 0.13, "hspace": 0.5,
            "bottom": 0.72 / height, "top": 1 - 0.5 / height,
        },
    )  # fmt: skip
    found = {(panel.section, panel.domain): panel for panel in panels}
    for y, section in enumerate(sections):
        row = [p for d in domains if (p := found.get((section, d))) is not None]
        edges, cut = _edges(row)
        for x, domain in enumerate(domains):
            axes = grid[y, x]
            panel = found.get((section, domain))
            if panel is None:
                axes.set_visible(False)
                continue
            _histogram(axes, panel, edges)
            axes.set_xlabel("score" if y == len(sections) - 1 else "")
            head = f"section {section}" + (f", {domain}" if domain else "")
            head += "; ends: beyond" if cut else ""
            axes.set_title(head, fontsize=8.5, loc="left", pad=3, parse_math=False)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="lower center", ncols=3, fontsize=8.5, frameon=False
    )
    return _png(figure, "Scores of clips, share of each kind", note, 200)


def _edges(panels: Sequence[Panel]) -> tuple[np.ndarray, bool]:
    """Bins of a row, and whether scores lie beyond them."""
    parts = [part for p in panels for part in (p.normal, p.anomaly)]
    lines = [p.threshold for p in panels if p.threshold is not None]
    values = np.concatenate([*parts, np.array(lines, float)])
    low, high = float(values.min()), float(values.max())
    inner_low, inner_high = np.quantile(values, [0.01, 0.99]).tolist()
    cut = inner_high > inner_low and high - low > 3 * (inner_high - inner_low)
    if cut:  # A few far scores would squeeze all others into one bin.
        margin = 0.3 * (inner_high - inner_low)
        low, high = max(low, inner_low - margin), min(high, inner_high + margin)
    if high <= low:
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, _BINS + 1), cut


def _histogram(axes: matplotlib.axes.Axes, panel: Panel, edges: np.ndarray) -> None:
    kinds = (
        ("normal", panel.normal, _NORMAL, None),
        ("anomaly", panel.anomaly, _ANOMALY, "////"),
    )
    for name, values, colour, hatch in kinds:
        inside = np.clip(values, edges[0], edges[-1])
        share = np.full(len(values), 100 / max(len(values), 1))
        axes.hist(
            inside, edges.tolist(), weights=share, color=colour, hatch=hatch, histtype=(
                "step" if hatch else "stepfilled"
            ),
            alpha=0.75 if hatch is None else 1, lw=1.4, label=name,
        )  # fmt: skip
    if panel.threshold is not None:
        axes.axvline(panel.threshold, color=_LINE, lw=1.6, ls="--", label="threshold")
    axes.text(
        0.985, 0.93, f"{len(panel.normal)} normal\n{len(panel.anomaly)} anomalous",
        transform=axes.transAxes, ha="right", va="top", size=7.5, color="#444444",
    )  # fmt: skip
    axes.yaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
    axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(decimals=0))
    axes.tick_params(labelsize=8, labelbottom=True)
    axes.spines[["top", "right"]].set_visible(False)


def levels(
    values: Sequence[np.ndarray], low: float, deepest: float = np.inf
) -> tuple[float, float]:
    """Range of colours for the pictures of several clips, so that they compare.

    Args:
      values: `[t, f]` each; may hold NaN.
      low: Quantile where colour begins.
      deepest: Most that the range may span.
    """
    finite = np.concatenate([np.ravel(v)[np.isfinite(np.ravel(v))] for v in values])
    if not len(finite):
        return 0.0, 1.0
    first, last = np.quantile(finite, [low, 0.998]).tolist()
    first = max(first, last - deepest)
    return (first, last) if last > first else (first, first + 1.0)


def spectrogram(
    shown: Spectrogram, *, limits: tuple[float, float], note: str = ""
) -> bytes:
    """A log-mel spectrogram; `limits` are of the colours in dB, see `levels`."""
    figure, axes = _figure(2.3, left=0.66, right=0.8)
    image = _image(axes, _pooled(shown.value, np.nanmean), shown, "magma", limits)
    figure.colorbar(image, cax=_bar(figure), label="dB")
    return _png(figure, "Log-mel spectrogram", note, 64)


def overlay(
    shown: Spectrogram,
    where: np.ndarray,
    *,
    limits: tuple[float, float],
    map_limits: tuple[float, float],
    note: str = "",
) -> bytes:
    """A grey spectrogram with the anomaly map in colour over it.

    Args:
      shown: What was heard.
      where: `[t, f]`, over the same time and bands.
      limits: Of the greys in dB; see `levels`.
      map_limits: Of the colour.
      note: Over the figure.
    """
    figure, axes = _figure(2.3, left=0.66, right=0.8)
    # Pale greys, or the colour over them would not be seen.
    greys = ["#ffffff", "#8a8a8a"]
    grey = matplotlib.colors.LinearSegmentedColormap.from_list("", greys)
    _image(axes, _pooled(shown.value, np.nanmean), shown, grey, limits)
    colours = [(0.83, 0, 0, min(0.95, 1.1 * i / 255)) for i in range(256)]
    hot = matplotlib.colors.ListedColormap(colours)
    image = _image(axes, _pooled(where, np.nanmax), shown, hot, map_limits)
    figure.colorbar(image, cax=_bar(figure), label="anomaly", ticks=[])
    return _png(figure, "Where it is anomalous", note, 64)


def _pooled(value: np.ndarray, over: Callable[..., np.ndarray]) -> np.ndarray:
    """`[t, f]` with at most `_MOST_COLUMNS` frames: more are smaller than a pixel."""
    value = np.asarray(value, np.float64)
    step = -(-len(value) // _MOST_COLUMNS)
    padded = np.full((-(-len(value) // step) * step, value.shape[1]), np.nan)
    padded[: len(value)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Frames that are NaN stay so.
        return over(padded.reshape(-1, step, value.shape[1]), axis=1)


def _image(axes, value, shown: Spectrogram, colours, limits):
    image = axes.imshow(
        value.T, origin="lower", aspect="auto", interpolation="none", cmap=colours,
        extent=(0, shown.duration_s, -0.5, shown.value.shape[1] - 0.5),
        vmin=limits[0], vmax=limits[1],
    )  # fmt: skip
    axes.set_xlabel("seconds")
    if shown.band_hz is None:
        axes.set_ylabel("mel band")
        return image
    hz = [f for f in _HZ if shown.band_hz[0] <= f <= shown.band_hz[-1]]
    bands = np.interp(hz, shown.band_hz, np.arange(len(shown.band_hz)))
    # Low frequencies crowd on the mel scale.
    kept = [i for i in range(len(hz)) if i == 0 or bands[i] - bands[i - 1] > 8]
    names = [f"{hz[i] / 1000:g}k" if hz[i] >= 1000 else f"{hz[i]}" for i in kept]
    axes.set_yticks([bands[i] for i in kept], names)
    axes.set_ylabel("Hz")
    return image


def _figure(
    height: float, *, left: float, right: float
) -> tuple[matplotlib.figure.Figure, matplotlib.axes.Axes]:
    """A figure with one set of axes; margins in inches, so that pictures line up."""
    figure = matplotlib.figure.Figure((_WIDTH, height), dpi=_DPI, facecolor="white")
    wide, tall = 1 - (left + right) / _WIDTH, 1 - 0.82 / height
    return figure, figure.add_axes((left / _WIDTH, 0.5 / height, wide, tall))


def _bar(figure: matplotlib.figure.Figure) -> matplotlib.axes.Axes:
    """Where the scale of colours goes: right of the axes."""
    inside = figure.axes[0].get_position()
    return figure.add_axes((inside.x1 + 0.02, inside.y0, 0.018, inside.height))


def _png(figure: matplotlib.figure.Figure, title: str, note: str, few: int) -> bytes:
    figure.suptitle(title, x=0.01, ha="left", size=10, weight="bold", parse_math=False)
    if note:
        figure.text(
            0.99, 0.985, note, ha="right", va="top", size=8.5, color=_NOTE,
            weight="bold", parse_math=False,
        )  # fmt: skip
    canvas = matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        # A name in letters that the font lacks is drawn as boxes: no reason to stop.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        canvas.draw()
    image = PIL.Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    # A palette takes a third of the bytes, which pages of many spectrograms need.
    most = PIL.Image.Quantize.MAXCOVERAGE
    image = image.quantize(few, method=most, dither=PIL.Image.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, format="png", optimize=True)
    return buffer.getvalue()
