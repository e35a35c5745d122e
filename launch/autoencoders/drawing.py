"""Pictures of what an autoencoder or a generator makes of examples."""

from typing import NamedTuple

import numpy as np
from etils import epath

from sigjax.data.examples.example_set import ExampleSet
from sigjax.evals.autoencoders import pictures
from sigjax.evals.autoencoders.pictures import Cloud, Strip, Wave
from sigjax.tasks.example_input import ExampleInputConfig

_IMAGES, _SIGNALS = 12, 3
CODE_PLANE, RECONSTRUCTION, SAMPLES = "codes.png", "reconstruction.png", "samples.png"


class Row(NamedTuple):
    """Examples as a model has them, under one name.

    Attributes:
      name: Such as `"reconstruction"`.
      values: `[e, *input_shape]`.
    """

    name: str
    values: np.ndarray


def spread(values: np.ndarray, most: int) -> np.ndarray:
    """At most so many rows, evenly spaced: sets are often in order of their classes."""
    rows = np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int)
    return values[rows]


def look(found: ExampleSet, own: ExampleInputConfig, shape: tuple[int, ...]) -> str:
    """What examples are drawn as: `"sound"`, `"image"`, `"points"` or `"signal"`."""
    if own.kind == "log_mel":
        return "sound"
    raw = found.shape
    if len(raw) == 3:
        return "image"
    if shape == (2,):
        return "points"
    return "image" if len(shape) == 3 else "signal"


def draw_rows(
    path: epath.PathLike,
    rows: list[Row],
    found: ExampleSet,
    own: ExampleInputConfig,
    *,
    title: str,
    names: list[str] | None = None,
) -> None:
    """Draws examples, a row for each thing that was made of them.

    Args:
      path: PNG to write.
      rows: The first is the clean one, if there are several.
      found: Where they are from: decides how they are drawn.
      own: The task's input.
      title: Over the figure.
      names: Of the examples, for signals.
    """
    kind = look(found, own, rows[0].values.shape[1:])
    note = "SIMULATED data" if "SIMULATED" in found.origin else ""
    if kind == "points":
        panels = [Cloud(row.name, row.values, x="x", y="y") for row in rows]
        pictures.clouds(path, panels, title=title, note=note, shared=True)
    elif kind == "signal":
        _draw_signals(path, rows, found, own, title, note, names)
    else:
        _draw_images(path, rows, found, own, kind == "sound", title, note)


def _draw_images(path, rows, found, own, sound: bool, title: str, note: str) -> None:
    about = ""
    if sound:
        shape = _frames(rows[0].values.shape[1:], own)
        seconds = shape[0] * own.mel.hop / own.mel.rate_hz
        top = (own.mel.f_max_hz or own.mel.rate_hz / 2) / 1000
        about = (
            f"an image: {seconds:.2g} s to the right, mel bands up to {top:g} kHz;"
            f" dark to bright {own.top_db:g} dB"
        )
        low, high = 0.0, 1.0
    else:
        shape = found.shape if len(found.shape) == 3 else rows[0].values.shape[1:]
        limit = {"uint8": _largest(found.x)}.get(found.x.dtype.name)
        low = own.offset if limit else float(rows[0].values.min())
        high = limit * own.scale + own.offset if limit else float(rows[0].values.max())
    drawn = [
        Strip(
            row.name,
            spread(np.asarray(row.values), _IMAGES).reshape(-1, *shape)[..., 0],
            low,
            high,
        )
        for row in rows
    ]
    pictures.strips(path, drawn, title=title, note=note, sound=sound, axes_note=about)


def _largest(x: np.ndarray) -> float:
    """White of images: 255, or the power of two that they stay below or reach."""
    most = int(x.max())
    return 255.0 if most > 128 else float(2 ** max(most - 1, 0).bit_length())


def _frames(shape: tuple[int, ...], own: ExampleInputConfig) -> tuple[int, int, int]:
    """Frames and bands of a log-mel, whatever shape the model has it in."""
    bands = own.mel.n_mels if own.mel else 1
    return int(np.prod(shape)) // bands, bands, 1


def _draw_signals(path, rows, found, own, title, note, names) -> None:
    """The examples that move most, one channel of each."""
    clean = np.asarray(rows[0].values, np.float64)
    clean = clean.reshape(len(clean), clean.shape[1], -1)
    moving = clean.std(axis=1)
    chosen = np.argsort(-moving.max(axis=1), kind="stable")[:_SIGNALS]
    unit = found.units if (own.scale, own.offset) == (1.0, 0.0) else ""
    columns = {}
    for number in sorted(chosen.tolist()):
        channel = int(moving[number].argmax())
        waves = [
            Wave(
                row.name,
                np.asarray(row.values).reshape(clean.shape)[number, :, channel],
            )
            for row in rows
        ]
        name = names[number] if names else f"example {number}"
        if clean.shape[2] > 1:
            name += f", channel {channel}"
        columns[name] = (found.rate_hz or 1.0, unit, waves)
    pictures.waves(path, columns, title=title, note=note)


def draw_codes(
    path: epath.PathLike,
    panels: list[Cloud],
    found: ExampleSet,
    *,
    title: str,
) -> None:
    """Codes in the plane; classes by colour, if they are known of all of them."""
    note = "SIMULATED data" if "SIMULATED" in found.origin else ""
    labelled = any(panel.label is not None for panel in panels)
    pictures.clouds(
        path,
        panels,
        found.classes if labelled else (),
        title=title,
        note=note,
        legend="class (not seen in training)" if labelled else "",
    )
