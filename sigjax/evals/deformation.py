"""Where a deformable audio transformer looks: reference points, and where they go."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from sigjax.tasks.audio_events import AudioEvents
from sigjax.typing import PyTree

_BLOCK = re.compile(r"stage(\d+)_block(\d+)")
# Bands and frames of the spectrogram that a row and a column of the first stage are.
_STEM = 4


class Deformation(NamedTuple):
    """The points of one deformable layer on one clip.

    They are in cells of the spectrogram: 0 is the centre of its first band or frame.

    Attributes:
      stage: Of the pyramid, from 1.
      block: Of the stage, from 1.
      cell: Bands and frames that a cell of this stage's map covers.
      reference: Float64 `[n, 2]` of (band, frame): the regular grid.
      points: Float64 `[g, n, 2]`: where each group of heads samples instead.
    """

    stage: int
    block: int
    cell: int
    reference: np.ndarray
    points: np.ndarray

    @property
    def title(self) -> str:
        """Which layer, and how far its points move, in cells of its map."""
        moved = np.linalg.norm(self.points - self.reference, axis=-1) / self.cell
        return (
            f"stage {self.stage}, block {self.block}: points move"
            f" {moved.mean():.2f} cells, at most {moved.max():.2f}"
        )


def deformations(
    task: AudioEvents,
    variables: Mapping[str, PyTree],
    wave: np.ndarray,
    valid: int | None = None,
) -> tuple[np.ndarray, list[Deformation]]:
    """Runs a clip through a network and keeps where it sampled.

    Args:
      task: Of a deformable audio transformer.
      variables: As trained: `params` and `statistics`.
      wave: Int16 or floating `[s]`, a window of the task's.
      valid: Real samples; all by default.

    Returns:
      The normalised spectrogram, float32 `[t, f]`, and the deformable layers in their
      order.

    Raises:
      ValueError: The network has no deformable layer, or the wave has another length
        than a window.
    """
    if task.model_config.dat is None:
        raise ValueError("this network has no deformable attention: it is an AST")
    length = np.array([len(wave) if valid is None else valid], np.int32)

    @jax.jit
    def run(variables, wave, length):
        x = task.spectrogram(variables, wave, length)
        _, sown = task.model.apply(
            {"params": variables["params"]}, x, mutable=["intermediates"]
        )
        return x[0], sown.get("intermediates", {})

    x, sown = jax.device_get(run(variables, wave[None], length))
    found = []
    for name, kept in sown.get("backbone", {}).items():
        place, attention = _BLOCK.fullmatch(name), kept_points(kept)
        if place is None or attention is None:
            continue
        stage, block = int(place[1]), int(place[2])
        cell = _STEM * 2 ** (stage - 1)
        size = [-(-length // cell) for length in (x.shape[1], x.shape[0])]
        reference, points = (
            _cells(value, size, cell) for value in (attention[0], attention[1][0])
        )
        flat = reference.reshape(-1, 2), points.reshape(len(points), -1, 2)
        found.append(Deformation(stage, block, cell, *flat))
    if not found:
        raise ValueError("this network has no deformable attention in any block")
    return x, sorted(found, key=lambda d: (d.stage, d.block))


def kept_points(kept: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """References and points that a block has sown; None of one that deforms nothing."""
    own = kept.get("attention", {}) if isinstance(kept, Mapping) else {}
    if "points" not in own:
        return None
    return own["references"][0], own["points"][0]


def _cells(points: np.ndarray, size: list[int], cell: int) -> np.ndarray:
    """Of [-1, 1], the centres of a map's outermost cells, to cells of its input."""
    at = (points.astype(np.float64) + 1) / 2 * (np.array(size) - 1)
    return (at + 0.5) * cell - 0.5
