"""Pictures of where a deformable audio transformer looks."""

from typing import Any

import numpy as np

from sigjax.evals.deformation import Deformation

# Colour-blind safe on dark spectrograms: bright ones of Okabe & Ito.
_GRID, _GROUPS = "#ffffff", ("#e69f00", "#56b4e9", "#cc79a7", "#009e73", "#f0e442")


def draw_points(
    axes: Any,
    spectrogram: np.ndarray,
    found: Deformation,
    *,
    group: int | None = None,
    duration_s: float | None = None,
) -> None:
    """Reference points and where they go, over the spectrogram they are sampled from.

    Args:
      axes: Matplotlib's, to draw on.
      spectrogram: `[t, f]`.
      found: A layer's points on it.
      group: Of heads; None for all, in a colour each.
      duration_s: Of the spectrogram, for the axis; in frames without it.
    """
    frames, bands = spectrogram.shape
    across = 1.0 if duration_s is None else duration_s / frames
    # Darker than it could be: points must be seen on the loudest sounds.
    low, high = np.quantile(spectrogram, [0.02, 0.995])
    high += 0.6 * (high - low)
    axes.imshow(
        spectrogram.T,
        origin="lower",
        aspect="auto",
        cmap="gray",
        extent=(0, frames * across, 0, bands),
        vmin=low,
        vmax=high,
    )
    groups = range(len(found.points)) if group is None else [group]
    # From the centre of the first cell to the corner of the picture.
    start = (found.reference + 0.5)[:, ::-1] * (across, 1)
    axes.plot(*start.T, ls="none", marker="+", ms=4, mew=1, color=_GRID)
    for number in groups:
        colour = _GROUPS[number % len(_GROUPS)]
        end = (found.points[number] + 0.5)[:, ::-1] * (across, 1)
        shaft = end - start
        axes.quiver(
            *start.T, *shaft.T, angles="xy", scale_units="xy", scale=1, color=colour,
            width=0.8, units="dots", headwidth=0, headlength=0, headaxislength=0,
        )  # fmt: skip
        axes.plot(*end.T, ls="none", marker="o", ms=3, color=colour)
    axes.set(
        title=found.title,
        xlabel="frames" if duration_s is None else "seconds",
        ylabel="mel band",
        xlim=(0, frames * across),
        ylim=(0, bands),
    )
    axes.label_outer()
