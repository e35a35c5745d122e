"""Trained probes as files: a run that was stopped goes on."""

import dataclasses
import io
import json
import zipfile
from collections.abc import Iterable
from typing import Any

import numpy as np
from etils import epath

from sigjax.evals.layer_probes import Probed
from sigjax.train.writer import replace_file

_ARRAYS = ("validation_uar", "best_epoch", "epochs")
_OPTIONAL = ("weights", "neighbours")
_NUMBERS = ("model", "layer", "constant", "diverged", "weighted")


def write(path: epath.Path, probed: Iterable[Probed]) -> None:
    """Writes probes of some layers, whole or not at all; without their weights."""
    arrays: dict[str, Any] = {}
    about = []
    for number, one in enumerate(probed):
        about.append({name: getattr(one, name) for name in _NUMBERS})
        for name in (*_ARRAYS, *_OPTIONAL):
            if getattr(one, name) is not None:
                arrays[f"{number}.{name}"] = getattr(one, name)
        for name, values in one.history.items():
            arrays[f"{number}.history.{name}"] = values
        for fold, values in enumerate(one.probability):
            arrays[f"{number}.probability.{fold}"] = values
    text = json.dumps(about).encode()
    buffer = io.BytesIO()
    np.savez(buffer, about=np.frombuffer(text, np.uint8), **arrays)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, buffer.getvalue())


def read(path: epath.Path) -> list[Probed] | None:
    """What `write` wrote; None if there is nothing that can be read."""
    if not path.exists():
        return None
    try:
        with np.load(io.BytesIO(path.read_bytes())) as file:
            arrays = dict(file)
        about = json.loads(arrays.pop("about").tobytes())
        return [_probed(arrays, number, told) for number, told in enumerate(about)]
    except (KeyError, OSError, ValueError, zipfile.BadZipFile):
        return None  # it is computed again


def _probed(arrays: dict[str, np.ndarray], number: int, told: dict[str, Any]) -> Probed:
    start = f"{number}.history."
    folds = sum(name.startswith(f"{number}.probability.") for name in arrays)
    one = Probed(
        model=told["model"],
        layer=told["layer"],
        constant=told["constant"],
        diverged=told["diverged"],
        weighted=tuple(told["weighted"]),
        probability=tuple(arrays[f"{number}.probability.{f}"] for f in range(folds)),
        history={
            name.removeprefix(start): values
            for name, values in arrays.items()
            if name.startswith(start)
        },
        **{name: arrays[f"{number}.{name}"] for name in _ARRAYS},
    )
    kept = {n: arrays[f"{number}.{n}"] for n in _OPTIONAL if f"{number}.{n}" in arrays}
    return dataclasses.replace(one, **kept)


def named(folder: epath.Path, kind: str, digest: str) -> epath.Path:
    """Where probes of some layers are, told apart by what they depend on."""
    return folder / "parts" / f"{kind}-{digest}.npz"
