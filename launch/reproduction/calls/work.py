"""Does a cell: looks at a set, extracts its features, or probes them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from launch import runtime
from launch.calls.encoder import Encoder
from launch.calls.extraction import Extraction, Settings
from launch.reproduction.calls import encoders, stored
from launch.reproduction.cells import Cell
from launch.reproduction.working import in_cell
from sigjax.data import audio
from sigjax.data.calls.buckets import BucketConfig
from sigjax.data.calls.manifest import CallManifest, read_calls
from sigjax.data.calls.reading import ReadingConfig, read_call, survey
from sigjax.evals.layer_features import ClipFeatures
from sigjax.evals.layer_probes import protocol, sweep

# Files that cells leave for tables and figures.
LENGTHS, FRAMES, FEATURES = "lengths.npy", "frames.npz", "features"
# A picture shows the beginning of a longer call.
_MOST_SAMPLES = 160_000


class Work:
    """Runs cells; what they print goes to `log.txt` in their folders."""

    def __init__(self, workdir: epath.Path, *, optimise: bool = True):
        """Remembers where cells lie, and whether XLA is to optimise."""
        self._workdir, self._optimise = workdir, optimise

    def __call__(self, cell: Cell, folder: epath.Path) -> dict[str, Any]:
        """Runs or continues `cell` in `folder`.

        Returns:
          What `overview_of`, `counts_of`, `frames_of`, `features_of` or `probes_of`
          does.
        """
        with in_cell(folder, optimise=self._optimise):
            if cell.kind == "probes":
                assert cell.parent is not None
                before = self._workdir / "cells" / cell.parent.key / FEATURES
                result = probes_of(cell, folder, before)
            else:
                result = _WORK[cell.kind](cell, folder)
        return {**result, **runtime.provenance()}


def overview_of(cell: Cell, folder: epath.Path) -> dict[str, Any]:
    """What headers say of a set's calls.

    Returns:
      `facts` by the names of `sheets.FACTS`, `left_out` and `remarks`, counts by what
      they are. Lengths in seconds go to `LENGTHS`.
    """
    manifest = read_calls(cell.data.path)
    found = survey(manifest.root, manifest.calls, ReadingConfig(normalise="none"))
    used = found.usable
    seconds = found.seconds[used]
    if not len(seconds):
        raise ValueError(f"none of {len(manifest.calls)} calls can be read")
    paths = sorted({manifest.calls[row].path for row in used.tolist()})
    rates = {audio.probe(epath.Path(manifest.root) / path).rate_hz for path in paths}
    np.save(folder / LENGTHS, seconds)
    facts = {
        "calls": len(used),
        "minutes": float(seconds.sum()) / 60,
        "rate_khz": rates.pop() / 1000 if len(rates) == 1 else None,
        "classes": len({manifest.calls[row].label for row in used.tolist()} - {""}),
        "median_ms": 1000 * float(np.median(seconds)),
        "sd_ms": 1000 * float(seconds.std()),
    }
    return {
        "facts": facts,
        "left_out": len(found.left_out),
        "remarks": {what: len(ids) for what, ids in found.remarks.items()},
    }


def counts_of(cell: Cell, folder: epath.Path) -> dict[str, Any]:
    """An encoder's size: `counts`, by the names of `sheets.COUNTS`."""
    del folder
    if not cell.weights.path:
        return {"counts": encoders.published(cell.overrides["published"])}
    model = encoders.opened(cell.weights.path)
    return {"counts": encoders.counted(model.config, model.params)}


def frames_of(cell: Cell, folder: epath.Path) -> dict[str, Any]:
    """A call of median length, and its frames of the last layer, in `FRAMES`."""
    manifest, model = read_calls(cell.data.path), encoders.opened(_bundle(cell, folder))
    reading = _reading(cell, model.normalise)
    found = survey(manifest.root, manifest.calls, reading)
    seconds = found.seconds[found.usable]
    at = found.usable[int(np.abs(seconds - np.median(seconds)).argmin())]
    call = manifest.calls[at]
    wave = read_call(manifest.root, call, int(found.samples[at]), reading)
    if wave.reason:
        raise ValueError(f"call {call.id!r}: {wave.reason}")
    heard = wave.wave[:_MOST_SAMPLES]
    frames = model.layers(heard, normalise="none").layers[-1]
    np.savez(folder / FRAMES, wave=heard, frames=frames)
    return {"of": cell.title, "call": call.id, "layer": str(model.config.depth)}


def features_of(cell: Cell, folder: epath.Path) -> dict[str, Any]:
    """Features of every layer of a set's calls, in `FEATURES`.

    Returns:
      `clips`, `seconds` of sound, `left_out` and `remarks` (counts by what they are),
      `layers`, `encoder`, and of this run `elapsed_s` and `computed`.
    """
    encoder = Encoder(_bundle(cell, folder), proj=cell.overrides["proj"])
    rows = len(encoder.devices)
    shapes = BucketConfig()
    extraction = Extraction(
        encoder,
        read_calls(cell.data.path),
        folder / FEATURES,
        Settings(
            reading=_reading(cell, encoder.model.normalise),
            buckets=BucketConfig(
                budget=shapes.budget * rows,
                multiple=rows,
                most_rows=shapes.most_rows * rows,
            ),
            ddof=cell.overrides["ddof"],
        ),
    )
    extraction.begin()
    done = extraction.compute()
    about = {"bundle": cell.weights.path or "random weights"}
    found = extraction.publish(about)
    return {
        "clips": found["clips"],
        "seconds": found["seconds"],
        "left_out": len(found["left_out"]),
        "remarks": {what: told["clips"] for what, told in found["remarks"].items()},
        "layers": list(encoder.layers),
        "encoder": _told(encoder),
        "elapsed_s": done.elapsed_s,
        "computed": done.clips,
    }


def _told(encoder: Encoder) -> str:
    c = encoder.config
    return f"{c.kind}, {c.depth} blocks of width {c.width}, {encoder.dtype}"


def _bundle(cell: Cell, folder: epath.Path) -> epath.PathLike:
    return cell.weights.path or encoders.write_random(folder, cell.overrides["random"])


def _reading(cell: Cell, normalise: Any) -> ReadingConfig:
    return ReadingConfig(
        normalise=cell.overrides["normalise"] or normalise,
        short=cell.overrides["short"],
    )


def probes_of(cell: Cell, folder: epath.Path, features: epath.Path) -> dict[str, Any]:
    """Probes of every layer, as `stored` keeps them.

    Args:
      cell: Of kind `"probes"`.
      folder: Of the cell.
      features: Folder of its parent's.
    """
    settings: Mapping[str, Any] = cell.overrides
    manifest: CallManifest = read_calls(cell.data.path)
    clips = stored.divided(
        ClipFeatures.open(features), features, manifest, settings["split"]
    )
    layers = stored.layers(clips, settings["layer0"])
    changes = dict(settings["probes"])
    asked = protocol(changes.pop("protocol"), **changes)
    label, classes = clips.label, clips.manifest.classes
    found = sweep(layers, label, classes, clips.folds, asked)
    return stored.write(folder, found, clips)


_WORK = {
    "overview": overview_of,
    "count": counts_of,
    "frames": frames_of,
    "features": features_of,
}
