"""Weights that are divided among files, as hubs divide large ones.

`model.safetensors.index.json` (or `pytorch_model.bin.index.json`) has a `weight_map`,
the file of every array, beside the files themselves.
"""

import json
from collections.abc import Callable

import numpy as np
from etils import epath

from sigjax.convert.pickles import WeightsError

INDEX = ".index.json"


def read_shards(
    index: epath.PathLike, read: Callable[[epath.Path], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Names and arrays of all files that an index names.

    Args:
      index: The index.
      read: Gives names and arrays of one file.

    Raises:
      WeightsError: The index is damaged or names a file elsewhere, files are missing,
        or they hold other arrays than it says; the message lists them.
      FileNotFoundError: There is no such index.
    """
    index = epath.Path(index)
    wanted = _weight_map(index)
    files = sorted(set(wanted.values()))
    missing = [name for name in files if not (index.parent / name).exists()]
    if missing:
        raise WeightsError(f"{index} names files that are not there: {_some(missing)}")
    found: dict[str, np.ndarray] = {}
    where: dict[str, str] = {}
    for file in files:
        arrays = read(index.parent / file)
        found |= arrays
        wrong = [name for name in arrays if wanted.get(name) != file or name in where]
        if wrong:
            raise WeightsError(
                f"{index.parent / file} holds what {index.name} does not say is there:"
                f" {_some(wrong)}"
            )
        where |= dict.fromkeys(arrays, file)
    lost = [f"{name} of {file}" for name, file in wanted.items() if name not in found]
    if lost:
        raise WeightsError(f"{index} names arrays that are not there: {_some(lost)}")
    return found


def files_of(path: epath.PathLike) -> list[epath.Path]:
    """`path`, and with an index the files that it names, in the order of their names.

    Raises:
      WeightsError: The index is damaged.
    """
    path = epath.Path(path)
    if not path.name.endswith(INDEX):
        return [path]
    return [
        path,
        *(path.parent / name for name in sorted(set(_weight_map(path).values()))),
    ]


def _weight_map(index: epath.Path) -> dict[str, str]:
    try:
        wanted = json.loads(index.read_text())["weight_map"]
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{index} is damaged: no weight_map ({error})") from None
    if not isinstance(wanted, dict) or not wanted:
        raise WeightsError(f"{index} is damaged: its weight_map is empty or no object")
    for file in wanted.values():
        # Beside the index, and nowhere else: an index comes from strangers.
        if not isinstance(file, str) or epath.Path(file).name != file:
            raise WeightsError(f"{index} is damaged: {str(file)!r:.80} is no file name")
    return wanted


def _some(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
