"""Pictures of what autoencoders make: copies, samples, maps, fields and waves."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib.figure
import matplotlib.lines
import numpy as np
from etils import epath

from sigjax.evals.autoencoders.figures import head, save
from sigjax.evals.embedding_figures import COLOURS


class Strip(NamedTuple):
    """A row of images.

    Attributes:
      name: At its left.
      images: `[n, h, w]`.
      low: Value of black; None for the least of the row.
      high: Likewise of white.
    """

    name: str
    images: np.ndarray
    low: float | None = 0.0
    high: float | None = 1.0


def strips(
    path: epath.PathLike,
    rows: Sequence[Strip],
    *,
    title: str,
    note: str = "",
    sound: bool = False,
    axes_note: str = "",
) -> None:
    """Rows of images of one size.

    Args:
      path: PNG to write.
      rows: From top to bottom.
      title: Over the figure.
      note: Under the title.
      sound: Images are spectrograms `[n, t, f]`: time runs to the right, frequency up.
      axes_note: What the axes of an image are, with units; at the foot.
    """
    most = max(len(row.images) for row in rows)
    label = 0.085 * max(len(row.name) for row in rows)
    first = rows[0].images
    size = np.asarray(first).shape[2:0:-1] if not sound else np.asarray(first).shape[1:]
    wide = 0.95 * min(max(size[0] / size[1], 0.7), 1.6)
    figure = matplotlib.figure.Figure(
        figsize=(max(label + 0.3 + wide * most, 5.5), 1.0 + 0.99 * len(rows)),
        layout="constrained",
    )
    grid = figure.subplots(len(rows), most, squeeze=False)
    for line, row in zip(grid, rows, strict=True):
        for place, axes in enumerate(line):
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(False)
            if place < len(row.images):
                image = np.asarray(row.images[place], np.float64)
                axes.imshow(
                    image.T if sound else image,
                    origin="lower" if sound else "upper",
                    aspect="auto" if sound else "equal",
                    cmap="magma" if sound else "gray_r",
                    vmin=row.images.min() if row.low is None else row.low,
                    vmax=row.images.max() if row.high is None else row.high,
                    interpolation="nearest",
                )
        line[0].set_ylabel(
            row.name, rotation=0, ha="right", va="center", fontsize=9, labelpad=6
        )
    if axes_note:
        figure.supxlabel(axes_note, fontsize=8)
    head(figure, title, note)
    save(figure, path)


class Cloud(NamedTuple):
    """Points in a plane.

    Attributes:
      title: Over them.
      points: `[n, 2]`.
      label: Int `[n]`, index into the classes; None for one colour.
      marks: `[m, 2]`: crosses, such as modes that should be reached.
      x: Name of the axis.
      y: Likewise.
    """

    title: str
    points: np.ndarray
    label: np.ndarray | None = None
    marks: np.ndarray | None = None
    x: str = "first number of the code"
    y: str = "second"


def clouds(
    path: epath.PathLike,
    panels: Sequence[Cloud],
    classes: Sequence[str] = (),
    *,
    title: str,
    note: str = "",
    legend: str = "",
    shared: bool = False,
) -> None:
    """Scatter plots side by side, three in a row.

    Args:
      path: PNG to write.
      panels: One at least.
      classes: Names of labels.
      title: Over the figure.
      note: Under the title.
      legend: Over the classes, such as `"digit (not seen in training)"`.
      shared: Whether all panels have the same, equally scaled axes.
    """
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = matplotlib.figure.Figure(
        figsize=(4.1 * columns + 0.4, 4.1 * lines + 1.2), layout="constrained"
    )
    grid = figure.subplots(
        lines, columns, squeeze=False, sharex=shared, sharey=shared
    ).ravel()
    rng = np.random.default_rng(0)
    drawn = [x for panel in panels for x in (panel.points, panel.marks)]
    values = np.concatenate([np.ravel(x) for x in drawn if x is not None])
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if values.size else (0.0, 1.0)
    edge = 0.03 * (high - low) or 1.0
    limits = (low - edge, high + edge)
    for place, (axes, panel) in enumerate(zip(grid, panels, strict=False)):
        order = rng.permutation(len(panel.points))  # No class hides another.
        colours = [_colour(panel.label, row) for row in order]
        axes.scatter(*panel.points[order].T, s=7, c=colours, alpha=0.75, lw=0)
        if panel.marks is not None:
            axes.scatter(*panel.marks.T, s=40, c="#222222", marker="x", lw=1.2)
        axes.set_title(panel.title, fontsize=10)
        if not shared or place + columns >= len(panels):  # None is below.
            axes.set_xlabel(panel.x, fontsize=9)
        if not shared or place % columns == 0:
            axes.set_ylabel(panel.y, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
        if shared:  # A square range in a square box: equal scales keep the layout.
            axes.set(xlim=limits, ylim=limits, box_aspect=1)
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    handles = [_dot(name, place) for place, name in enumerate(classes)]
    if handles:
        figure.legend(
            handles=handles,
            loc="outside lower center",
            ncols=min(len(handles), 5 * columns),
            title=legend or None,
            frameon=False,
            fontsize=8,
            title_fontsize=8,
        )
    head(figure, title, note)
    save(figure, path)


_TEN = (*COLOURS, "#8c564b", "#7f7f7f")


def _colour(label: np.ndarray | None, row: int) -> str:
    return _TEN[0] if label is None else _TEN[int(label[row]) % len(_TEN)]


def _dot(name: str, place: int) -> matplotlib.lines.Line2D:
    return matplotlib.lines.Line2D(
        [], [], ls="none", marker="o", ms=5, color=_TEN[place % len(_TEN)], label=name
    )


class Field(NamedTuple):
    """Where a reconstruction moves points.

    Attributes:
      title: Over it.
      at: `[n, 2]`.
      moved: `[n, 2]`: reconstructions of these points.
    """

    title: str
    at: np.ndarray
    moved: np.ndarray


def fields(
    path: epath.PathLike,
    panels: Sequence[Field],
    data: np.ndarray,
    *,
    title: str,
    note: str = "",
) -> None:
    """Arrows from points to their reconstructions, over the data.

    Arrows have their true length; points that a reconstruction leaves in place have
    none.

    Args:
      path: PNG to write.
      panels: Two in a row.
      data: `[m, 2]`, drawn beneath.
      title: Over the figure.
      note: Under the title.
    """
    columns = min(2, len(panels))
    lines = -(-len(panels) // columns)
    figure = matplotlib.figure.Figure(
        figsize=(5.0 * columns + 0.3, 4.9 * lines + 1.0), layout="constrained"
    )
    grid = figure.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for axes in grid.ravel()[len(panels) :]:
        axes.set_visible(False)
    for place, (axes, panel) in enumerate(zip(grid.ravel(), panels, strict=False)):
        axes.scatter(*np.asarray(data).T, s=4, color=COLOURS[1], lw=0, label="data")
        step = panel.moved - panel.at
        axes.quiver(
            *panel.at.T,
            *step.T,
            angles="xy",
            scale_units="xy",
            scale=1,
            color=COLOURS[0],
            width=0.003,
            label="from a point to its reconstruction",
        )
        axes.set_title(panel.title, fontsize=10)
        if place + columns >= len(panels):
            axes.set_xlabel("x")
        if place % columns == 0:
            axes.set_ylabel("y")
        axes.set_aspect("equal")
        axes.spines[["top", "right"]].set_visible(False)
    marks, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(marks, names, loc="outside lower center", ncols=2, frameon=False)
    head(figure, title, note)
    save(figure, path)


class Wave(NamedTuple):
    """A signal over time.

    Attributes:
      name: Over its panel.
      values: `[s]`.
    """

    name: str
    values: np.ndarray


def waves(
    path: epath.PathLike,
    columns: Mapping[str, tuple[float, str, Sequence[Wave]]],
    *,
    title: str,
    note: str = "",
) -> None:
    """Signals one above the other; the first of a column lies grey behind the others.

    The first two, clean and noisy, are black; the others have colours as in `curves`.

    Args:
      path: PNG to write.
      columns: By title: samples per second, the vertical axis with its unit, and
        waves, the first of which is the clean one.
      title: Over the figure.
      note: Under the title.
    """
    lines = max(len(found) for _, _, found in columns.values())
    figure = matplotlib.figure.Figure(
        figsize=(0.6 + 6.2 * len(columns), 1.2 + 1.45 * lines), layout="constrained"
    )
    grid = figure.subplots(lines, len(columns), squeeze=False, sharex="col")
    for column, (name, (rate_hz, unit, found)) in enumerate(columns.items()):
        every = np.concatenate([wave.values for wave in found])
        low, high = float(every.min()), float(every.max())
        margin = 0.05 * (high - low or 1.0)
        for line in range(lines):
            axes = grid[line, column]
            if line >= len(found):
                axes.set_visible(False)
                continue
            wave = found[line]
            seconds = np.arange(len(wave.values)) / rate_hz
            if line:
                axes.plot(seconds, found[0].values, color="#bbbbbb", lw=1.6)
            colour = "#222222" if line < 2 else COLOURS[(line - 2) % len(COLOURS)]
            axes.plot(seconds, wave.values, color=colour, lw=0.8)
            axes.set_title(wave.name, fontsize=9, loc="left", pad=2)
            axes.set_ylim(low - margin, high + margin)
            axes.set_ylabel(unit, fontsize=8)
            axes.tick_params(labelsize=7)
            axes.spines[["top", "right"]].set_visible(False)
        grid[len(found) - 1, column].set_xlabel("seconds")
        grid[0, column].set_title(f"{name}\n{found[0].name}", fontsize=9, loc="left")
    head(figure, title, note)
    save(figure, path)
