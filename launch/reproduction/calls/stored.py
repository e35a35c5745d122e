"""Sweeps of probes as cells keep them: trained apart, looked at together."""

import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from launch.calls import probing_parts
from launch.calls.probing_calls import Clips, Model
from launch.calls.probing_calls import divided as divided_clips
from sigjax.data.calls.manifest import CallManifest
from sigjax.evals.layer_features import ClipFeatures, digest_of
from sigjax.evals.layer_probes import Fold, LayerFeatures, ProbeProtocol, Sweep
from sigjax.evals.layer_probes.folds import SPLITS
from sigjax.train.writer import replace_file

_PROBES, _CALLS = "probes.npz", "calls.npz"
# Within a cell there is one model; tables name it.
_MODEL = "encoder"


class DifferentCalls(ValueError):
    """Sweeps are not of the same calls; says whose."""


def divided(
    features: ClipFeatures, folder: epath.Path, manifest: CallManifest, split: str
) -> Clips:
    """The calls that are probed: those with features and a label, in splits.

    Labels, groups and splits are the manifest's of today, not those of the extraction.

    Raises:
      sigjax.data.clips.ManifestError: They cannot be divided so.
    """
    rows = {name: row for row, name in enumerate(features.ids.tolist())}
    calls = [call for call in manifest.calls if call.id in rows]
    labelled = [call for call in calls if call.label]
    clips = Clips(
        models=(Model(_MODEL, str(folder), features),),
        rows=(np.array([rows[call.id] for call in labelled], np.int64),),
        manifest=dataclasses.replace(manifest, calls=tuple(labelled)),
        folds=(),
        counts={
            "without features": len(manifest.calls) - len(calls),
            "without a label": len(calls) - len(labelled),
        },
        warnings=(),
    )
    return divided_clips(clips, split=split)


def layers(clips: Clips, layer0: str) -> list[LayerFeatures]:
    """All layers, `layer0` in place of the first if it is not `""`."""
    found = clips.layers(0)
    if not layer0:
        return found
    first = [layer for layer in found if layer.layer == layer0]
    rest = [layer for layer in found if layer.layer not in ("0", layer0)]
    return [*(dataclasses.replace(layer, layer="0") for layer in first), *rest]


class Stored(NamedTuple):
    """A cell's sweep.

    Attributes:
      sweep: What was found.
      calls: Fingerprint of its calls, their classes and splits.
    """

    sweep: Sweep
    calls: str


def write(folder: epath.Path, found: Sweep, clips: Clips) -> dict[str, Any]:
    """Writes a sweep.

    Returns:
      For the cell's result: `protocol`, `classes`, `folds`, `counts`, `warnings`,
      `groups` (by fold and split how many callers or recordings) and `calls`.
    """
    probing_parts.write(folder / _PROBES, found.probed)
    calls = clips.manifest.calls
    arrays: dict[str, Any] = {"label": found.label}
    groups: dict[str, dict[str, int]] = {}
    for number, fold in enumerate(found.folds):
        for split in SPLITS:
            rows = arrays[f"{number}.{split}"] = getattr(fold, split)
            own = {calls[row].source for row in rows.tolist()}
            groups.setdefault(fold.name, {})[split] = len(own)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    replace_file(folder / _CALLS, buffer.getvalue())
    known = [[c.id for c in calls], {k: v.tolist() for k, v in arrays.items()}]
    return {
        "protocol": dataclasses.asdict(found.protocol),
        "classes": list(found.classes),
        "folds": [fold.name for fold in found.folds],
        "counts": dict(clips.counts),
        "warnings": list(clips.warnings),
        "groups": groups,
        "calls": digest_of([*known, list(found.classes)]),
    }


def read(folder: epath.Path, result: Mapping[str, Any], name: str) -> Stored:
    """A cell's sweep, its model called `name`.

    Args:
      folder: Of the cell.
      result: What `write` returned.
      name: Of the model.

    Raises:
      FileNotFoundError: Its files have gone.
    """
    probed = probing_parts.read(folder / _PROBES)
    if probed is None:
        raise FileNotFoundError(f"{folder / _PROBES} is not there, or damaged")
    with np.load(io.BytesIO((folder / _CALLS).read_bytes())) as file:
        arrays = dict(file)
    folds = [
        Fold(name=fold, **{s: arrays[f"{number}.{s}"] for s in SPLITS})
        for number, fold in enumerate(result["folds"])
    ]
    # Out of JSON, tuples are lists.
    asked: dict[str, Any] = {
        field: tuple(value) if isinstance(value, list) else value
        for field, value in result["protocol"].items()
    }
    found = Sweep(
        protocol=ProbeProtocol(**asked),
        classes=tuple(result["classes"]),
        folds=tuple(folds),
        label=arrays["label"],
        probed=tuple(dataclasses.replace(p, model=name) for p in probed),
    )
    return Stored(found, result["calls"])


def together(several: Sequence[Stored]) -> Sweep:
    """Several encoders' sweeps of the same calls as one.

    Raises:
      DifferentCalls: They are not of the same.
    """
    first = several[0]
    for other in several[1:]:
        if other.calls != first.calls:
            names = f"{first.sweep.models[0]} and {other.sweep.models[0]}"
            raise DifferentCalls(
                f"{names} are of different calls or splits: not all calls could be"
                " read for both"
            )
    probed = tuple(p for one in several for p in one.sweep.probed)
    return dataclasses.replace(first.sweep, probed=probed)
