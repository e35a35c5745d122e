"""The files of a detector's bundle.

BUNDLE/params/             plain Orbax checkpoint
BUNDLE/state/              likewise: running statistics, statistics of the input
BUNDLE/detector/arrays.npz back-ends, held-out scores, references, mean spectra
BUNDLE/files.json          sizes and checksums of these
BUNDLE/bundle.json         everything else
"""

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from sigjax.inference.base import BundleError
from sigjax.train import manifest
from sigjax.train.checkpoint import CheckpointError, load_params, save_params
from sigjax.typing import PyTree

_ARRAYS = "detector/arrays.npz"
_PARTS = ("bundle.json", "files.json", "detector", "state", "params")


def write(
    path: epath.PathLike,
    info: Mapping[str, Any],
    variables: Mapping[str, PyTree],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Writes a bundle, replacing one that is there.

    Raises:
      BundleError: It cannot be written.
    """
    path = epath.Path(path).expanduser()
    part = path.parent / f"{path.name}.part"
    try:
        if part.exists():
            part.rmtree()
        part.mkdir(parents=True)
        _write(part, info, variables, arrays)
        # Only now, so that what cannot be written costs nobody the bundle before it.
        path.mkdir(exist_ok=True)
        for name in _PARTS:
            old = path / name
            if old.exists():
                old.rmtree() if old.is_dir() else old.unlink()
        # The last one makes it a bundle.
        for name in reversed(_PARTS):
            if (part / name).exists():
                (part / name).rename(path / name)
        part.rmtree()
    except OSError as error:
        raise BundleError(f"cannot write the bundle {path}: {error}") from error


def _write(
    path: epath.Path,
    info: Mapping[str, Any],
    variables: Mapping[str, PyTree],
    arrays: Mapping[str, np.ndarray],
) -> None:
    state = {name: value for name, value in variables.items() if name != "params"}
    save_params(path / "params", variables["params"])
    if state:
        save_params(path / "state", state)
    (path / "detector").mkdir()
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)  # pyright: ignore[reportArgumentType]
    (path / _ARRAYS).write_bytes(packed.getvalue())
    manifest.write(path)
    (path / "bundle.json").write_text(json.dumps(dict(info), indent=1) + "\n")


def read(
    path: epath.PathLike,
) -> tuple[dict[str, PyTree], dict[str, np.ndarray]]:
    """Variables and arrays of a bundle.

    Raises:
      BundleError: Naming the part that is missing or damaged.
    """
    path = epath.Path(path).expanduser()
    damage = manifest.find_damage(path)
    if damage:
        raise BundleError(
            f"the bundle {path} is damaged: {damage}. Copy it again, or write it anew"
            " with launch.export or launch.fit_sounds"
        )
    variables = {}
    try:
        variables["params"] = load_params(path / "params")
        if (path / "state").exists():
            variables |= load_params(path / "state")
    except CheckpointError as error:
        raise BundleError(f"the bundle {path} is damaged: {error}") from error
    try:
        with np.load(io.BytesIO((path / _ARRAYS).read_bytes())) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BundleError(
            f"the bundle {path} is damaged: {_ARRAYS} cannot be read: {error}"
        ) from error
    return variables, arrays
