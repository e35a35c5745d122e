"""What every converter of an audio network gives, and where it finds its files."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from etils import epath

from sigjax.convert.pickles import WeightsError
from sigjax.convert.shards import INDEX

# What a snapshot's folder may hold, the preferred first.
_FILES = ("model.safetensors", "pytorch_model.bin")
_WEIGHTS = tuple(name for file in _FILES for name in (file, file + INDEX))


class AudioWeights(NamedTuple):
    """A converted backbone of spectrograms, and its head if there is one.

    Attributes:
      config: Architecture, the dataclass of the backbone's module.
      params: Its parameters, float32, nested.
      preprocessing: What it takes in: `fbank` (fields of `FbankConfig`), `frames` of
        the spectrogram, `mean` and `std` (see `sigjax.signal.fbank.normalise`).
      head: `norm` (`scale`, `bias`) and `logits` (`kernel` `[d, v]`, `bias`) of a
        classifier on the features, or None.
      head_eps: Of the head's norm.
      labels: Class names in output order, or None.
      target: Of the head: `"single"`, one class a clip, or `"multi"`, any number.
      ignored: Names of arrays that were left out.
      notes: What was changed on the way, for people: a stem summed, a table resized.
    """

    config: Any
    params: dict[str, Any]
    preprocessing: Mapping[str, Any]
    head: dict[str, Any] | None = None
    head_eps: float = 1e-5
    labels: tuple[str, ...] | None = None
    target: Literal["single", "multi"] = "single"
    ignored: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def weights_file(path: epath.PathLike) -> epath.Path:
    """The file of weights: `path` itself, or what a snapshot's folder holds.

    That is an index where weights are divided among files (`sigjax.convert.shards`).

    Raises:
      WeightsError: It is a folder without such a file.
    """
    path = epath.Path(path)
    if not path.is_dir():
        return path
    for name in _WEIGHTS:
        if (path / name).exists():
            return path / name
    raise WeightsError(
        f"{path} is a folder without {' or '.join(_FILES)}: name the file of weights"
    )


def beside(path: epath.PathLike, name: str) -> dict[str, Any] | None:
    """A JSON file of the folder that holds the weights; None if there is none.

    Raises:
      WeightsError: It is damaged.
    """
    file = weights_file(path).parent / name
    if not file.exists():
        return None
    try:
        found = json.loads(file.read_text())
    except ValueError as error:
        raise WeightsError(f"{file} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise WeightsError(f"{file} is damaged: it holds no object")
    return found


def check_names(
    what: str, found: Iterable[str], expected: Iterable[str], most: int = 12
) -> None:
    """Refuses a state dict with other names than expected.

    Raises:
      WeightsError: Listing those that are missing and those that are unknown, up to
        `most` of each.
    """
    found, expected = list(found), list(expected)
    kinds = {
        "it lacks": sorted(set(expected) - set(found)),
        "it has, unexpectedly,": sorted(set(found) - set(expected)),
    }
    wrong = []
    for kind, names in kinds.items():
        if names:
            more = f" and {len(names) - most} more" if len(names) > most else ""
            wrong.append(f"{kind} {', '.join(names[:most])}{more}")
    if wrong:
        raise WeightsError(f"this is no {what}: {'; '.join(wrong)}")


def checked(name: str, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """An array as float32.

    Raises:
      WeightsError: It has another shape, or holds what is no finite number.
    """
    if value.shape != shape:
        raise WeightsError(f"{name} has shape {value.shape}, expected {shape}")
    array = np.asarray(value, np.float32)
    if not np.isfinite(array).all():
        raise WeightsError(f"{name} holds values that are no finite numbers")
    return array
