"""Figures of paper 000 from our runs: losses against scores, scores of several models.

Lorenzen et al. 2025 (arXiv 2502.17477), figure 2. Means over seeds have 95 % confidence
intervals of Student's t, as few seeds need.
"""

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.figure
import numpy as np
from etils import epath
from scipy import stats

from sigjax.train.writer import replace_file

# Colour-blind safe (Okabe & Ito).
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "kappa": "Cohen's kappa",
    "macro_f1": "macro-F1",
    "lmm": "validation LMM loss",
    "mse": "validation MSE loss",
}


class Point(NamedTuple):
    """One run: a pretraining and what came of it.

    Attributes:
      group: Which runs differ by their seed alone.
      values: Losses and scores by name.
    """

    group: str
    values: Mapping[str, float]


class Association(NamedTuple):
    """Pearson's r over runs, and its two-sided p; NaN where undefined."""

    r: float
    p: float
    points: int


def pearson(points: Sequence[Point], x: str, y: str) -> Association:
    """How a loss goes with a score, over all runs.

    Undefined for fewer than three runs, or where either is the same in all.
    """
    pairs = np.array([(p.values[x], p.values[y]) for p in points], float)
    pairs = pairs.reshape(-1, 2)
    pairs = pairs[np.isfinite(pairs).all(axis=1)]
    if len(pairs) < 3 or (np.ptp(pairs, axis=0) == 0).any():
        return Association(math.nan, math.nan, len(pairs))
    found: Any = stats.pearsonr(pairs[:, 0], pairs[:, 1])
    return Association(float(found.statistic), float(found.pvalue), len(pairs))


def half_width(values: Sequence[float], level: float = 0.95) -> float:
    """Half of the mean's confidence interval; NaN for fewer than two values."""
    n = len(values)
    if n < 2:
        return math.nan
    spread = float(np.std(values, ddof=1)) / math.sqrt(n)
    return spread * float(stats.t.ppf((1 + level) / 2, n - 1))


def losses_and_scores(
    path: epath.PathLike,
    points: Sequence[Point],
    *,
    group_name: str,
    title: str,
    note: str = "",
) -> None:
    """Figure 2: scores and losses by group, and losses against scores.

    Args:
      path: PNG to write.
      points: With `lmm`, `mse`, `balanced_accuracy` and `kappa` each.
      group_name: Label of the horizontal axes, such as `"w_MSE"`.
      title: Over the figure.
      note: Under the title, such as `"SIMULATED data"`.
    """
    groups = list(dict.fromkeys(point.group for point in points))
    figure = matplotlib.figure.Figure(figsize=(13, 7.6), layout="constrained")
    figure.suptitle(f"{title}\n{note}" if note else title, fontsize=11)
    grid = figure.add_gridspec(2, 12)
    tops = [figure.add_subplot(grid[0, 4 * i : 4 * i + 4]) for i in range(3)]
    contents = (("balanced_accuracy", "kappa"), ("mse",), ("lmm",))
    for letter, axes, names in zip("abc", tops, contents, strict=True):
        _by_group(axes, points, groups, names)
        axes.set_title(letter, loc="left", fontweight="bold")
        axes.set_xlabel(group_name)
    pairs = [(x, y) for x in ("lmm", "mse") for y in ("kappa", "balanced_accuracy")]
    for place, (letter, (x, y)) in enumerate(zip("defg", pairs, strict=True)):
        axes = figure.add_subplot(grid[1, 3 * place : 3 * place + 3])
        _scatter(axes, points, groups, x, y, legend=place == 0, name=group_name)
        axes.set_title(letter, loc="left", fontweight="bold")
    _save(figure, path)


def _by_group(axes, points, groups: Sequence[str], names: Sequence[str]) -> None:
    """Means with their intervals, and each run as a small dot beside."""
    aside = 0.16 if len(names) > 1 else 0.0
    for number, name in enumerate(names):
        colour = _COLOURS[number] if len(names) > 1 else "#222222"
        for place, group in enumerate(groups):
            values = [p.values[name] for p in points if p.group == group]
            x = place + aside * (2 * number - 1)
            width = half_width(values)
            axes.errorbar(
                x,
                np.mean(values),
                yerr=None if math.isnan(width) else width,
                fmt="o",
                ms=6,
                capsize=4,
                color=colour,
                label=_NAMES[name] if place == 0 else None,
            )
            beside = np.full(len(values), x + 0.08)
            axes.plot(beside, values, ".", ms=5, color=colour, alpha=0.5)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_xlim(-0.5, len(groups) - 0.5)
    if len(names) > 1:
        axes.legend(frameon=False, fontsize=9)
        axes.set_ylabel("score of the reported people")
    else:
        axes.set_ylabel(_NAMES[names[0]])
    _tidy(axes)


def _scatter(axes, points, groups, x: str, y: str, *, legend: bool, name: str) -> None:
    for number, group in enumerate(groups):
        own = [p for p in points if p.group == group]
        axes.plot(
            [p.values[x] for p in own],
            [p.values[y] for p in own],
            "o",
            ms=6,
            color=_COLOURS[number % len(_COLOURS)],
            label=group,
        )
    found = pearson(points, x, y)
    if math.isfinite(found.r):
        horizontal, vertical = ([p.values[k] for p in points] for k in (x, y))
        line = np.polyfit(horizontal, vertical, 1)
        ends = np.array(axes.get_xlim())
        axes.plot(ends, np.polyval(line, ends), color="#888888", lw=1, zorder=0)
        axes.set_xlim(*ends)
    chance = "p < 0.01" if found.p < 0.01 else f"p = {found.p:.2f}"
    told = f"r = {found.r:.2f}, {chance}"
    axes.set_title("r undefined" if math.isnan(found.r) else told, fontsize=10)
    axes.set_xlabel(_NAMES[x])
    axes.set_ylabel(_NAMES[y])
    if legend:
        axes.legend(frameon=False, fontsize=8, title=name, title_fontsize=8)
    _tidy(axes)


def scores(
    path: epath.PathLike,
    rows: Sequence[tuple[str, Mapping[str, Mapping[str, Any]], Mapping[str, float]]],
    *,
    metrics: Sequence[str],
    title: str,
    note: str = "",
) -> None:
    """Scores of several models: mean, interval over people, each seed, the paper's.

    Args:
      path: PNG to write.
      rows: Name; by metric `value`, `low`, `high`, `seeds`, ours; by metric the paper's
        number, which may be missing.
      metrics: A panel each.
      title: Over the figure.
      note: Under the title.
    """
    height = 1.8 + 0.36 * len(rows)
    figure = matplotlib.figure.Figure(
        figsize=(2.5 + 4.2 * len(metrics), height), layout="constrained"
    )
    figure.suptitle(f"{title}\n{note}" if note else title, fontsize=11)
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    place = [-float(n) for n in range(len(rows))]
    for axes, metric in zip(panels, metrics, strict=True):
        for y, (_, ours, paper) in zip(place, rows, strict=True):
            _draw_row(axes, y, ours.get(metric), paper.get(metric))
        axes.set_yticks(place, [name for name, _, _ in rows])
        axes.set_xlabel(_NAMES[metric])
        axes.grid(axis="x", alpha=0.3)
        _tidy(axes)
    marks, labels = panels[0].get_legend_handles_labels()
    shown = dict(zip(labels, marks, strict=True))
    figure.legend(
        shown.values(), shown.keys(), loc="outside lower center", ncols=4, fontsize=9
    )
    _save(figure, path)


def _draw_row(axes, y: float, ours, paper: float | None) -> None:
    if ours is not None and ours["value"] is not None:
        if ours["low"] is not None:
            axes.plot([ours["low"], ours["high"]], [y, y], color=_COLOURS[0], lw=2)
        label = "ours: mean, 95 % over people"
        axes.plot(ours["value"], y, "o", color=_COLOURS[0], ms=7, label=label)
        if len(ours["seeds"]) > 1:
            across = np.full(len(ours["seeds"]), y - 0.2)
            axes.plot(
                ours["seeds"], across, "|", color="#222222", ms=6, label="each seed"
            )
    if paper is not None:
        axes.plot(
            paper, y, "D", color=_COLOURS[1], ms=6, mfc="none", label="PAPER, its data"
        )


def _tidy(axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _save(figure: matplotlib.figure.Figure, path: epath.PathLike) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    replace_file(epath.Path(path), buffer.getvalue())
