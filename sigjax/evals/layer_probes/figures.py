"""Pictures of calls, features and probes.

Figures of "Comparing Self-Supervised Learning Models Pre-Trained on Human Speech and
Animal Vocalizations for Bioacoustics Processing" (Sarkar and Magimai.-Doss), drawn from
whatever is at hand: lengths of calls (1), from a call to its features (2), scores over
layers (3 and 4), confusion matrices (5).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure
import matplotlib.ticker
import numpy as np
from etils import epath

from sigjax.evals.classification_figures import head, save, short

# Colour-blind safe (Okabe & Ito); each with a marker of its own.
_STYLES = (
    ("#0072b2", "o"),
    ("#d55e00", "s"),
    ("#009e73", "^"),
    ("#cc79a7", "D"),
    ("#e69f00", "v"),
    ("#56b4e9", "P"),
    ("#222222", "X"),
)
_MOST_NAMED = 40  # classes whose names are readable beside a matrix
_MOST_WRITTEN = 14  # classes whose cells have room for a number
_LETTERS = 16  # of a name
_UPRIGHT = 3  # letters of a name that need not be turned


@dataclasses.dataclass(frozen=True, kw_only=True)
class Curves:
    """A panel of scores over layers.

    Attributes:
      name: Of the data set.
      layers: What `report.summary` has under `"layers"`; those with `weights` or
        without a score are left out.
      models: What it has under `"models"`: the chosen layers are ringed.
      chance: UAR of guessing, 1 / classes that are tested; not drawn without it.
    """

    name: str
    layers: Sequence[Mapping[str, Any]]
    models: Sequence[Mapping[str, Any]] = ()
    chance: float | None = None


def layer_curves(
    path: epath.PathLike,
    panels: Sequence[Curves],
    *,
    title: str,
    note: str = "",
    one_scale: bool = False,
) -> None:
    """Draws test UAR over layers, a line for each model; bands are 95 % over seeds.

    Args:
      path: PNG to write.
      panels: A data set each.
      title: Over the figure.
      note: Under the title, such as `"random weights"`.
      one_scale: Whether panels are to be compared, such as kinds of probe.
    """
    figure, axes = _panels(len(panels), width=5.2, height=4.2, sharey=one_scale)
    models = list(
        dict.fromkeys(layer["model"] for panel in panels for layer in panel.layers)
    )
    for place, (panel, ax) in enumerate(zip(panels, axes, strict=True)):
        drawn = [x for x in panel.layers if "weights" not in x]
        names = list(dict.fromkeys(x["layer"] for x in drawn))
        for number, model in enumerate(models):
            own = {x["layer"]: x["test"] for x in drawn if x["model"] == model}
            _draw_curve(ax, own, names, model, *_STYLES[number % len(_STYLES)])
            _ring(ax, panel, model, own, names)
        if panel.chance is not None:
            ax.axhline(100 * panel.chance, color="#888888", lw=1, ls=":")
            ax.annotate("chance", (0.99, 100 * panel.chance), **_AT_RIGHT)
        ax.set_xticks(range(len(names)), names)
        ax.set_xlim(-0.5, max(len(names) - 0.5, 0.5))
        ax.set_xlabel("layer")
        ax.set_ylabel("test UAR (%)" if not place else "")
        ax.set_title(panel.name, fontsize=10, parse_math=False)
        ax.grid(axis="y", color="#dddddd", lw=0.7)
        _tidy(ax)
    found = {}
    for ax in axes:
        lines, labels = ax.get_legend_handles_labels()
        found |= dict(zip(labels, lines, strict=True))
    figure.legend(
        found.values(),
        found.keys(),
        loc="outside lower center",
        ncols=min(len(found), 4) or 1,
        frameon=False,
        fontsize=9,
        title="band: 95 % over seeds; ring: validation chose the layer, in a fold",
        title_fontsize=8,
    )
    head(figure, title, note, round(62 * len(panels)))
    save(figure, path)


_AT_RIGHT: Any = {
    "xycoords": ("axes fraction", "data"),
    "ha": "right",
    "va": "bottom",
    "fontsize": 8,
    "color": "#666666",
}


def _draw_curve(ax, own, names, model: str, colour: str, marker: str) -> None:
    def values(key: str) -> np.ndarray:
        scores = (own[name][key] if name in own else None for name in names)
        return np.array([math.nan if x is None else 100 * x for x in scores], float)

    mean, low, high = values("value"), values("low"), values("high")
    x = np.arange(len(names))
    ax.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
    # Layers of another kind are no neighbours: "cnn" stands before a gap.
    numbered = np.array([name.isdigit() for name in names], bool)
    style: Any = {"color": colour, "marker": marker, "ms": 4.5, "lw": 1.4}
    line = np.where(numbered, mean, math.nan)
    ax.plot(x, line if numbered.any() else mean, label=model, **style)
    if numbered.any():
        ax.plot(x, np.where(numbered, math.nan, mean), **{**style, "lw": 0})


def _ring(ax, panel: Curves, model: str, own, names) -> None:
    for told in panel.models:
        if told["model"] != model:
            continue
        for layer in dict.fromkeys(told["layer"].split(", ")):
            if layer in own and own[layer]["value"] is not None:
                at = (names.index(layer), 100 * own[layer]["value"])
                ax.plot(*at, "o", ms=11, mfc="none", mec="#222222", mew=1.1)


def layer_weights(
    path: epath.PathLike,
    layers: Sequence[Mapping[str, Any]],
    *,
    title: str,
    note: str = "",
) -> None:
    """Draws how much each layer counts in a learned weighting, a line for each model.

    Args:
      path: PNG to write.
      layers: What `report.summary` has under `"layers"`; those without `weights` are
        left out.
      title: Over the figure.
      note: Under the title.
    """
    figure, (ax,) = _panels(1, width=6.4, height=4.2)
    drawn = [x for x in layers if "weights" in x]
    names = list(dict.fromkeys(name for x in drawn for name in x["weights"]))
    for number, told in enumerate(drawn):
        own = told["weights"]
        share = [100 * own[name] if name in own else math.nan for name in names]
        colour, marker = _STYLES[number % len(_STYLES)]
        ax.plot(share, color=colour, marker=marker, ms=4.5, lw=1.4, label=told["model"])
        ax.axhline(100 / len(own), color="#888888", lw=1, ls=":")
    ax.set_xticks(range(len(names)), names)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("layer")
    ax.set_ylabel("weight (%), mean of folds and seeds")
    ax.grid(axis="y", color="#dddddd", lw=0.7)
    _tidy(ax)
    figure.legend(
        loc="outside lower center",
        ncols=min(len(drawn), 4) or 1,
        frameon=False,
        fontsize=9,
        title="dotted: all layers alike",
        title_fontsize=8,
    )
    head(figure, title, note, 76)
    save(figure, path)


def confusion_panels(
    path: epath.PathLike,
    panels: Sequence[tuple[str, np.ndarray, Sequence[str]]],
    *,
    title: str,
    note: str = "",
) -> None:
    """Draws confusion matrices side by side, shares of each true class.

    Rows of classes that the test clips lack are hatched.

    Args:
      path: PNG to write.
      panels: Of each data set its name, counts `[v, v]` (rows are the truth) and the
        classes' names, which are numbers where they would not be readable.
      title: Over the figure.
      note: Under the title.
    """
    # Names stand at the left and, turned, below.
    names = (name for _, _, own in panels if _readable(own) for name in own)
    longest = max((len(short(name, _LETTERS)) for name in names), default=0)
    aside = 0.09 * longest if longest > _UPRIGHT else 0.2
    height = (5.0 if len(panels) == 1 else 5.5) + aside
    figure, axes = _panels(len(panels), width=4.3 + aside, height=height)
    figure.set_figwidth(figure.get_figwidth() + 0.6)  # the colour bar's
    figure.set_layout_engine("compressed")  # squares leave room at their sides
    image = None
    for place, ((name, matrix, classes), ax) in enumerate(
        zip(panels, axes, strict=True)
    ):
        matrix = np.asarray(matrix, float)
        rows = matrix.sum(axis=1, keepdims=True)
        percent = np.divide(
            100 * matrix, rows, where=rows > 0, out=np.full(matrix.shape, np.nan)
        )
        image = ax.imshow(percent, vmin=0, vmax=100, cmap="Blues")
        if len(classes) <= _MOST_WRITTEN:
            _write_percent(ax, percent)
        for row in np.flatnonzero(rows[:, 0] == 0):
            ax.axhspan(row - 0.5, row + 0.5, fc="none", ec="#bbbbbb", hatch="///", lw=0)
        recall = np.nanmean(np.diag(percent)) if (rows > 0).any() else math.nan
        ax.set_title(f"{name}: UAR {recall:.1f} %", fontsize=10, parse_math=False)
        ax.set_xlabel("predicted")
        ax.set_ylabel("truth" if not place else "")
        _name_classes(ax, classes)
    if image is not None:
        bar = figure.colorbar(image, ax=list(axes), shrink=0.85, pad=0.01)
        bar.set_label("% of the true class; hatched: no test clips")
    head(figure, title, note, round(64 * len(panels)))
    save(figure, path)


def _write_percent(ax, percent: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(percent):
        if value >= 0.5:  # neither NaN nor a 0 in every cell
            colour = "white" if value > 55 else "#333333"
            style: Any = {"ha": "center", "va": "center", "fontsize": 8}
            ax.text(column, row, f"{value:.0f}", color=colour, **style)


def _readable(classes: Sequence[str]) -> bool:
    """Whether so many names of such lengths can be read beside a matrix."""
    longest = max(map(len, classes), default=0)
    return len(classes) <= (_MOST_NAMED if longest <= _UPRIGHT else 20)


def _name_classes(ax, classes: Sequence[str]) -> None:
    count = len(classes)
    longest = max(map(len, classes), default=0)
    if not _readable(classes):
        every = max(1, math.ceil(count / 16))
        ticks = range(0, count, every)
        ax.set_xticks(ticks, [str(i) for i in ticks])
        ax.set_yticks(ticks, [str(i) for i in ticks])
        return
    names = [short(name, _LETTERS) for name in classes]
    turn: Any = {"rotation": 90} if longest > _UPRIGHT else {}
    size = 9 if count <= 14 else 7
    ax.set_xticks(range(count), names, parse_math=False, fontsize=size, **turn)
    ax.set_yticks(range(count), names, parse_math=False, fontsize=size)


def durations(
    path: epath.PathLike,
    data: Mapping[str, np.ndarray],
    *,
    title: str,
    note: str = "",
) -> None:
    """Draws how long calls are, on a logarithmic axis (figure 1).

    Args:
      path: PNG to write.
      data: By data set, durations in s `[n]`, above 0.
      title: Over the figure.
      note: Under the title.

    Raises:
      ValueError: No durations, or one that is not above 0; names the data set.
    """
    for name, seconds in data.items():
        if not len(seconds) or not (np.isfinite(seconds) & (seconds > 0)).all():
            raise ValueError(f"{name}: durations must be some, and above 0 s")
    if not data:
        raise ValueError("there are no durations to draw")
    figure = matplotlib.figure.Figure(figsize=(7.2, 4.8), layout="constrained")
    ax = figure.add_subplot()
    every = np.concatenate([np.log10(x) for x in data.values()])
    low, high = every.min(), every.max()
    aside = max(0.05 * (high - low), 0.1)
    edges = 10 ** np.linspace(low - aside, high + aside, 61)
    for number, (name, seconds) in enumerate(data.items()):
        colour = _STYLES[number % len(_STYLES)][0]
        median = float(np.median(seconds))
        weight = np.full(len(seconds), 100 / len(seconds))
        label = f"{short(name)}: {len(seconds):,} calls, median {_time(median)}"
        style: Any = {"color": colour, "histtype": "stepfilled", "alpha": 0.35}
        ax.hist(seconds, edges, weights=weight, label=label, **style)
        ax.axvline(median, color=colour, lw=1.6, ls="--")
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda x, _: _time(x)))
    ax.set_xlabel("length of a call; dashed: median")
    ax.set_ylabel("% of calls")
    figure.legend(loc="outside lower center", frameon=False, fontsize=9)
    _tidy(ax)
    head(figure, title, note, 80)
    save(figure, path)


def _time(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{1000 * seconds:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 599.5 else f"{seconds / 60:.3g} min"


def pipeline(
    path: epath.PathLike,
    wave: np.ndarray,
    frames: np.ndarray,
    *,
    layer: str,
    rate_hz: float = 16000,
    title: str,
    note: str = "",
) -> None:
    """Draws how a call becomes a row of features (figure 2).

    Args:
      path: PNG to write.
      wave: Float `[s]`, what the encoder hears.
      frames: Float `[t, d]`, its frames of one layer.
      layer: The layer's name.
      rate_hz: Of the wave.
      title: Over the figure.
      note: Under the title.
    """
    figure = matplotlib.figure.Figure(figsize=(12, 3.8), layout="constrained")
    left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1.3, 0.8])
    milliseconds = 1000 * np.arange(len(wave)) / rate_hz
    left.plot(milliseconds, wave, lw=0.6, color=_STYLES[0][0])
    left.set_xlim(0, 1000 * len(wave) / rate_hz)
    left.set_xlabel("ms")
    left.set_title(f"call: {len(wave):,} samples", fontsize=10)
    # Each dimension by itself, or a few large ones are all one sees.
    spread = frames.std(axis=0, keepdims=True)
    shown = np.divide(
        frames - frames.mean(axis=0, keepdims=True),
        spread,
        where=spread > 0,
        out=np.zeros(frames.shape),
    )
    middle.imshow(
        shown.T,
        aspect="auto",
        cmap="RdBu_r",
        vmin=-2.5,
        vmax=2.5,
        interpolation="none",
        origin="lower",
    )
    count, width = frames.shape
    middle.set_xlabel("frame")
    middle.set_ylabel("dimension")
    middle.set_title(f"layer {layer}: {count} x {width}, standardised", fontsize=10)
    order = np.arange(width)
    right.plot(frames.mean(axis=0), order, ".", ms=2, color=_STYLES[0][0], label="mean")
    right.plot(
        frames.std(axis=0), order, ".", ms=2, color=_STYLES[1][0], label="deviation"
    )
    right.set_ylim(-0.5, width - 0.5)
    right.set_title(f"features: {2 * width} numbers", fontsize=10)
    right.legend(frameon=False, fontsize=8, markerscale=4)
    for ax in (left, right):
        _tidy(ax)
    head(figure, title, note, 120)
    save(figure, path)


def _panels(count: int, *, width: float, height: float, sharey: bool = False):
    """A figure with so many panels side by side."""
    if not count:
        raise ValueError("there is nothing to draw")
    figure = matplotlib.figure.Figure(
        figsize=(width * count + 0.6, height + 0.6), layout="constrained"
    )
    return figure, figure.subplots(1, count, squeeze=False, sharey=sharey)[0]


def _tidy(axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
