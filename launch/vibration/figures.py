"""The study's figure: signals, how many recordings make a threshold, AUC by depth."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.figure
import numpy as np
from etils import epath

from launch.vibration.comparison import RATE
from launch.vibration.detectors import BAND_HZ, NOTHING, SPECTRA, WINDOWS
from launch.vibration.recordings import Recordings
from sigjax.data.synthetic.bearing import PASSING_HZ, RATE_HZ
from sigjax.evals.vibration_numbers import envelope_spectrum
from sigjax.train.writer import replace_file

# Colour-blind safe (Okabe & Ito), and told apart by marks as well.
_LOOKS = [
    ("#0072b2", "o"),
    ("#d55e00", "^"),
    ("#009e73", "D"),
    ("#cc79a7", "v"),
]
_GREYS = [("#222222", "s"), ("#777777", "X")]
_SHADES = ("#009e73", "#e69f00", "#d55e00")
_SHOWN_S, _SHOWN_HZ = 0.064, 400.0
_TITLES = {
    NOTHING: "a number, nothing learned",
    WINDOWS: "PCA and networks of windows",
    SPECTRA: "of envelope spectra",
}


class Example(NamedTuple):
    """Recordings of a condition.

    Attributes:
      condition: Its name.
      signals: By what they are, float `[s]` in g.
    """

    condition: str
    signals: Mapping[str, np.ndarray]


def example(condition: str, given: Recordings) -> Example:
    """A healthy recording, and one with small and with large damage."""
    depths = sorted(given.damaged)
    shown = {depths[len(depths) // 4]: None, depths[len(depths) * 3 // 4]: None}
    signals = {"healthy": given.healthy[0].ravel()}
    for depth in shown:
        signals[f"damaged, depth {depth:g}"] = given.damaged[depth][0].ravel()
    return Example(condition, signals)


def draw(
    path: epath.PathLike, found: Mapping[str, Any], examples: Sequence[Example]
) -> None:
    """Writes the PNG.

    Args:
      path: Of it.
      found: Rows of the tables.
      examples: Of each condition.
    """
    rows = 1 + len(examples)
    figure = matplotlib.figure.Figure(figsize=(14, 4.1 * rows), layout="constrained")
    axes = figure.subplots(rows, 3)
    _signals(axes[0, 0], examples[0])
    _spectra(axes[0, 1], examples[0])
    _thresholds(axes[0, 2], found["calibrations"])
    for own, shown in zip(axes[1:], examples, strict=True):
        rows_of = [r for r in found["rows"] if r["condition"] == shown.condition]
        for axis, seen in zip(own, _TITLES, strict=True):
            mine = [row for row in rows_of if row["seen"] == seen]
            _depths(axis, mine)
            axis.set_title(f"{shown.condition}: {_TITLES[seen]}", fontsize=10)
        own[0].set_ylabel("AUC of recordings, 95 % interval")
    figure.suptitle(
        "SIMULATED bearing with a damaged outer race: which detector, trained on"
        " healthy recordings, finds it?"
    )
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=100)
    replace_file(epath.Path(path), data.getvalue())


def _signals(axis: Any, shown: Example) -> None:
    """Windows above one another."""
    count = round(_SHOWN_S * RATE_HZ)
    step = 2.2 * max(np.abs(x[:count]).max() for x in shown.signals.values())
    for i, (name, x) in enumerate(shown.signals.items()):
        ms = 1000 * np.arange(count) / RATE_HZ
        axis.plot(ms, x[:count] - i * step, color=_SHADES[i % 3], lw=0.8)
        axis.text(0.5, 0.42 * step - i * step, name, fontsize=9, color=_SHADES[i % 3])
    axis.set_ylim((0.6 - len(shown.signals)) * step, 0.6 * step)
    axis.set_xlim(0, 1000 * _SHOWN_S)
    axis.set_xlabel("time, ms")
    axis.set_ylabel(f"acceleration, g (each {step:.1f} g below)")
    axis.set_title(f"one window, {shown.condition}", fontsize=10)


def _spectra(axis: Any, shown: Example) -> None:
    """Envelope spectra of whole recordings."""
    for (name, x), colour in [*zip(shown.signals.items(), _SHADES, strict=False)][::-1]:
        power = envelope_spectrum(x.astype(np.float64), RATE_HZ, BAND_HZ)
        hz = np.arange(len(power)) * RATE_HZ / len(x)
        inside = (hz > 5) & (hz < _SHOWN_HZ)
        size = np.sqrt(power[inside])
        size /= np.median(size)
        axis.plot(hz[inside], size, color=colour, lw=0.9, label=name)
    for times in (1, 2, 3, 4):
        ends = [times * each for each in PASSING_HZ]
        said = "passing rate and multiples" if times == 1 else None
        axis.axvspan(*ends, color="#bbbbbb", alpha=0.4, lw=0, label=said)
    axis.set_xlim(0, _SHOWN_HZ)
    axis.set_yscale("log")
    axis.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    axis.minorticks_off()
    axis.set_ylim(bottom=0.7)
    axis.set_xlabel("frequency of the envelope, Hz")
    axis.set_ylabel("amplitude over its median")
    band = " to ".join(f"{each / 1000:g}" for each in BAND_HZ)
    axis.set_title(f"envelope spectrum of {band} kHz, whole recording", fontsize=10)
    axis.legend(fontsize=8)


def _thresholds(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """False alarms by how many recordings made the threshold."""
    condition = rows[0]["condition"]
    seen = dict.fromkeys(row["seen"] for row in rows)
    for i, (name, (colour, mark)) in enumerate(zip(seen, _LOOKS, strict=False)):
        own = [r for r in rows if r["seen"] == name and r["condition"] == condition]
        count = np.array([row["recordings"] for row in own]) * (1 + 0.06 * (i - 0.5))
        mean, low, high = (
            100 * np.array([row[part] for row in own])
            for part in ("mean", "low", "high")
        )
        axis.errorbar(
            *(count, mean, [mean - low, high - mean]),
            **{"color": colour, "marker": mark, "ms": 5, "lw": 1.2, "capsize": 2},
            label=f"AE of {name}: mean, 95 % of draws",
        )
    own = [r for r in rows if r["condition"] == condition and r["seen"] in list(seen)]
    promised = sorted({(row["recordings"], 100 * row["promised"]) for row in own})
    axis.plot(*zip(*promised, strict=True), "k:", lw=1, label="promised of the mean")
    axis.axhline(100 * RATE, color="black", lw=1, label="asked for")
    ticks = [count for count, _ in promised]
    axis.set_xscale("log", base=2)
    axis.set_xticks(ticks, [str(count) for count in ticks])
    axis.set_ylim(0, 100)
    axis.set_xlabel("healthy recordings that made the threshold")
    axis.set_ylabel("false alarms, % of other recordings' windows")
    axis.set_title(f"threshold for 5 % false alarms, {condition}", fontsize=10)
    axis.legend(fontsize=8)


def _depths(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """AUC over depth."""
    trained = [row for row in rows if row["trained"]]
    looks = dict(zip((row["detector"] for row in trained), _LOOKS, strict=False))
    others = [row for row in rows if not row["trained"]]
    plain = _GREYS if trained else _LOOKS
    looks |= dict(zip((row["detector"] for row in others), plain, strict=False))
    for i, row in enumerate(rows):
        depth, value, low, high = np.array(row["auc"]).T
        colour, mark = looks[row["detector"]]
        apart = 1.025 ** (i - (len(rows) - 1) / 2)
        grey = bool(trained) and not row["trained"]
        axis.errorbar(
            *(depth * apart, value, [np.maximum(value - low, 0), high - value]),
            **{"color": colour, "marker": mark, "ms": 5, "lw": 1.2, "elinewidth": 0.9},
            ls="--" if grey else "-",
            label=row["detector"],
        )
    axis.axhline(0.5, color="black", lw=0.8)
    ticks = [depth for depth, *_ in rows[0]["auc"]]
    axis.set_xscale("log", base=2)
    axis.set_xticks(ticks, [f"{depth:g}" for depth in ticks])
    axis.minorticks_off()
    axis.set_ylim(0.2, 1.03)
    axis.grid(axis="y", alpha=0.3)
    axis.set_xlabel("depth of the blows, standard deviations of the noise")
    axis.legend(fontsize=8, loc="lower right")
