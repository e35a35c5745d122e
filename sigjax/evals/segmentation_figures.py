"""Pictures of masks: spectrograms of mixtures, what is true of them, what is said."""

from collections.abc import Sequence
from typing import Any

import matplotlib.colors
import matplotlib.figure
import matplotlib.patches
import numpy as np

from sigjax.evals.sound_figures import Spectrogram
from sigjax.evals.sound_timeline_figures import head, image, png, printable

# Colour-blind safe (Okabe & Ito; Paul Tol's "muted" for what it lacks).
_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#882255",
    "#999933", "#332288", "#f0e442",
)  # fmt: skip
_WIDTH = 11.0


def examples(
    judged: Sequence[Any],
    classes: Sequence[str],
    *,
    frame_s: float,
    band_hz: np.ndarray,
    title: str,
    note: str = "",
) -> bytes:
    """Draws a column for each mixture: spectrogram, what is true, what is said.

    Args:
      judged: `sigjax.evals.segmentation.Judged`, one or more.
      classes: Names, `v` of them.
      frame_s: Seconds from one frame to the next.
      band_hz: Float `[f]`, where bands peak.
      title: Line over the figure.
      note: A coloured line; may be empty.

    Returns:
      A PNG file.
    """
    masks = judged[0].true.ndim == 3
    height = 7.6 if masks else 6.4
    figure = matplotlib.figure.Figure((_WIDTH, height), dpi=110, facecolor="white")
    grid = figure.add_gridspec(
        3, len(judged), left=0.08, right=0.985, top=1 - 0.75 / height,
        bottom=1.15 / height, hspace=0.16, wspace=0.13 if masks else 0.42,
        height_ratios=(1, 1, 1) if masks else (1.5, 1, 1),
    )  # fmt: skip
    used: dict[int, str] = {}
    for column, one in enumerate(judged):
        axes = [figure.add_subplot(grid[row, column]) for row in range(3)]
        shown = Spectrogram(one.spectrogram, len(one.spectrogram) * frame_s, band_hz)
        image(axes[0], shown, "magma", (0, 1))
        rows = (one.true.astype(float), one.said)
        there = np.flatnonzero(one.true_frames.any(0) | one.said_frames.any(0)).tolist()
        for axis, value in zip(axes[1:], rows, strict=True):
            if masks:
                for number in there:
                    used[number] = classes[number]
                _masks(axis, shown, value)
            else:
                _rows(axis, shown, value, there, classes)
        for axis in axes[1:]:
            axis.set_xlim(*axes[0].get_xlim())
        for axis in axes[:2]:
            axis.tick_params(labelbottom=False)
        axes[2].set_xlabel("time (s)", size=9)
        for axis in axes:
            if column and masks:
                axis.set_ylabel("")
                axis.tick_params(labelleft=False)
    names = ("spectrogram", "true", "predicted")
    _label_rows(figure, grid, names)
    if masks:
        _legend(figure, used)
    what = "masks" if masks else "frames of events; darker is more probable"
    head(figure, title, f"True and predicted {what}", note, height, calm=True)
    return png(figure)


def _colour(number: int) -> str:
    return _COLOURS[number % len(_COLOURS)]


def _masks(axes, shown: Spectrogram, value: np.ndarray) -> None:
    """Colours of classes over a pale spectrogram, as strong as they are probable."""
    pale = 1 - 0.35 * shown.value[..., None].repeat(3, axis=-1)
    best = value.argmax(axis=-1)
    colours = np.array(
        [matplotlib.colors.to_rgb(_colour(n)) for n in range(value.shape[-1])]
    )
    strength = np.take_along_axis(value, best[..., None], -1)
    strength = np.clip((strength - 0.3) / 0.4, 0, 1)  # what is unsure is pale
    mixed = pale * (1 - strength) + colours[best] * strength
    axes.imshow(
        mixed.swapaxes(0, 1), origin="lower", aspect="auto", interpolation="none",
        extent=(0, shown.duration_s, -0.5, value.shape[1] - 0.5),
    )  # fmt: skip
    axes.set_yticks([])


def _rows(axes, shown: Spectrogram, value: np.ndarray, there, classes) -> None:
    """A row for each class that is there or said."""
    some = value[:, there].T if len(there) else np.zeros((1, len(value)))
    axes.imshow(
        some, aspect="auto", interpolation="none", cmap="Blues", vmin=0, vmax=1,
        extent=(0, shown.duration_s, len(some) - 0.5, -0.5),
    )  # fmt: skip
    names = [printable(classes[n], 14) for n in there] or ["nothing"]
    axes.set_yticks(range(len(names)), names, size=8, parse_math=False)
    axes.tick_params(axis="y", length=0)


def _label_rows(figure, grid, names) -> None:
    for row, name in enumerate(names):
        box = grid[row, 0].get_position(figure)
        figure.text(
            0.012, (box.y0 + box.y1) / 2, name, rotation=90, va="center", size=10,
            weight="bold", color="#444444",
        )  # fmt: skip


def _legend(figure, used: dict[int, str]) -> None:
    handles = [
        matplotlib.patches.Patch(fc=_colour(number), label=printable(name, 26))
        for number, name in sorted(used.items())
    ]
    if handles:
        figure.legend(
            handles=handles, loc="lower center", ncols=min(len(handles), 5),
            fontsize=8.5, frameon=False,
        )  # fmt: skip
