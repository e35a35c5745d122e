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
    variables = dict(variables)
    try:
        path.mkdir(parents=True, exist_ok=True)
        # First, so that one that is replaced is no bundle while its parts change.
        (path / "bundle.json").unlink(missing_ok=True)
        save_params(path / "params", variables.pop("params"))
        if (path / "state").exists():
            (path / "state").rmtree()
        if variables:
            save_params(path / "state", variables)
        (path / "detector").mkdir(exist_ok=True)
        packed = io.BytesIO()
        np.savez_compressed(packed, **arrays)  # pyright: ignore[reportArgumentType]
        (path / _ARRAYS).write_bytes(packed.getvalue())
        manifest.write(path)
        # Last, so that a bundle with this file is whole.
        (path / "bundle.json").write_text(json.dumps(dict(info), indent=1) + "\n")
    except OSError as error:
        raise BundleError(f"cannot write the bundle {path}: {error}") from error


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
