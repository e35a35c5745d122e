"""Data that a bundle of examples takes: a set, or files and folders of them."""

import dataclasses
import pathlib
from typing import NamedTuple

import numpy as np
from etils import epath

from launch import results as res
from launch.autoencoders.reading import (
    READING_ERRORS,
    data_of,
    files_of,
    known_of,
    stretches_of,
)
from launch.evaluating import Asked, EvaluationError
from sigjax.data import audio, formats
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.examples import division
from sigjax.data.examples.arrays import arrays
from sigjax.data.examples.example_set import UNKNOWN, ExampleSet, example_set
from sigjax.data.examples.loaded import Loaded, undivided
from sigjax.data.examples.stream import ExampleError, load_examples
from sigjax.data.labelled import LabelledSet
from sigjax.inference.example_model import ExampleModel

NAMED = ("digits", "mnist")  # Sets that need no path.
_MOST_TOLD = 3


def set_of(
    model: ExampleModel,
    bundle: epath.PathLike,
    path: str,
    batch_size: int,
    *,
    scheme: str = "",
) -> Loaded:
    """Examples of a set, read as the bundle's training data were.

    Args:
      model: Of the bundle.
      bundle: Its path, for messages.
      path: A table of sounds, the folder of a labelled wrist set, or an .npz, by what
        the model takes; or `digits` or `mnist`.
      batch_size: Examples at once.
      scheme: Label scheme of a labelled set; its default if empty.

    Raises:
      ExampleError: The examples are others than the model takes.
      FileNotFoundError: There is no such file.
    """
    config = data_of(model, path, batch_size)
    loaded = load_examples(dataclasses.replace(config, scheme=scheme))
    _check_shape(loaded.examples, model, bundle, path)
    return loaded


def _check_shape(
    found: ExampleSet, model: ExampleModel, bundle: epath.PathLike, path: str
) -> None:
    if found.shape != model.raw_shape:
        raise ExampleError(
            f"{path}: examples of {found.shape}, and {bundle} takes {model.raw_shape}"
        )


class Chosen(NamedTuple):
    """Examples that are evaluated.

    Attributes:
      found: Them.
      rest: The others of the set; there may be none.
      side: Which they are, in words.
      remarks: What was left out or changed, in words.
    """

    found: ExampleSet
    rest: ExampleSet
    side: str
    remarks: list[str]


def chosen(
    model: ExampleModel, bundle: epath.PathLike, dataset: epath.PathLike, asked: Asked
) -> Chosen:
    """The examples that are asked for.

    Args:
      model: Of the bundle.
      bundle: Its path, for messages.
      dataset: As of `set_of`; or files and folders as launch.predict takes them:
        sounds, device files or .npz.
      asked: `split` names splits of the set, separated by commas; of a labelled wrist
        set it is a division of people, of which `side` says which.

    Raises:
      EvaluationError: What is asked is for data of another kind.
      ExampleError: The examples are others than the model takes, there is no such
        split, or no file can be read.
      FileNotFoundError: There is no such file.
    """
    path, of_wrists = str(dataset), _source(model) == "windows"
    asked.refuse("min_purity", why="for bundles of classifiers of wrist recordings")
    raw = _is_raw(path, model)
    if raw or not of_wrists or path.endswith(".npz"):
        asked.refuse("scheme", why="for labelled sets of wrist recordings")
    if raw:
        asked.refuse("split", why="for sets: files and folders have no splits")
        loaded = _of_files(path, model, bundle)
    else:
        size = asked.batch_size or 64
        loaded = set_of(model, bundle, path, size, scheme=asked.scheme)
    found = loaded.examples
    rows, side = np.ones(len(found.x), bool), "all examples"
    if asked.split and of_wrists and not path.endswith(".npz"):
        people = LabelledSet.open(path).side(asked.split, asked.side)
        rows, side = np.isin(found.group, people), f"{asked.side} of {asked.split}"
        if not rows.any():
            raise EvaluationError(f"{path}: no window is of the people of {side}")
    elif asked.split:
        names, origin = asked.splits, found.origin
        rows = division.of_names(loaded.split, names, "split", origin)
        side = ", ".join(names)
    return Chosen(found.rows(rows), found.rows(~rows), side, list(loaded.remarks))


def _source(model: ExampleModel) -> str:
    return model.info["extra"]["examples"]["source"]


def _is_raw(path: str, model: ExampleModel) -> bool:
    """Whether data are files as launch.predict takes them, and no set."""
    where = pathlib.Path(path).expanduser()
    if path in NAMED or where.suffix == ".npz":
        return False
    if not where.exists():
        raise FileNotFoundError(f"{path} does not exist")
    source = _source(model)
    if source == "clips":
        return where.is_dir() or audio.is_audio(where.name)
    if source != "windows" or not where.is_dir():
        return where.is_dir() or source == "windows"
    try:
        LabelledSet.open(where)
    except DatasetError:
        if formats.find_recordings(path)[0]:
            return True
        raise
    return False


def _of_files(path: str, model: ExampleModel, bundle: epath.PathLike) -> Loaded:
    """Windows and examples of files; groups are files."""
    parts: list[ExampleSet] = []
    remarks: list[str] = []
    for file in files_of([path], model):
        try:
            found = _of_file(file, model)
            _check_shape(found, model, bundle, str(file))
        except READING_ERRORS as error:
            remarks.append(f"left out: {file}: {res.reason(error, str(file))}")
            continue
        parts.append(found)
    if not parts:
        raise ExampleError(
            f"{path}: nothing can be read: {'; '.join(remarks[:_MOST_TOLD])}"
        )
    classes = tuple(dict.fromkeys(name for one in parts for name in one.classes))
    label = np.concatenate([renumbered(one, classes) for one in parts])
    joined = example_set(
        np.concatenate([one.x for one in parts]),
        origin=f"{len(parts)} files of {path}",
        label=label,
        group=np.concatenate([one.group for one in parts]),
        ids=np.concatenate([one.ids for one in parts]),
        classes=classes,
        rate_hz=model.signal.rate_hz,
        units=model.signal.units,
    )
    return undivided(joined)._replace(remarks=tuple(remarks))


def _of_file(path: pathlib.Path, model: ExampleModel) -> ExampleSet:
    if path.suffix == ".npz":
        found = arrays(path).examples
        return found._replace(
            group=np.full(len(found.x), str(path)),
            ids=np.array([f"{path}:{own}" for own in found.ids]),
        )
    parts = list(stretches_of(path, model, 0.0))
    _, start_s = known_of(parts, model.signal.rate_hz)
    x = np.concatenate([part.examples for part in parts])
    ids = [f"{path}@{n}: {start:.3f}" for n, start in enumerate(start_s.tolist())]
    return example_set(x, origin=str(path), group=[str(path)] * len(x), ids=ids)


def renumbered(found: ExampleSet, classes: tuple[str, ...]) -> np.ndarray:
    """Labels int32 `[n]` as numbers of other classes; -1 where it is not known.

    Raises:
      ExampleError: A label is none of these.
    """
    number = {name: index for index, name in enumerate(classes)}
    used = (found.classes[n] for n in np.unique(found.label[found.label >= 0]))
    unknown = [name for name in used if name not in number]
    if unknown:
        raise ExampleError(
            f"{found.origin}: {len(unknown)} of its classes are none of the model's:"
            f" {', '.join(unknown[:5])}{', ...' if unknown[5:] else ''}; the model"
            f" knows {', '.join(classes[:8])}{', ...' if classes[8:] else ''}"
        )
    table = [number.get(name, UNKNOWN) for name in found.classes] + [UNKNOWN]
    return np.array(table, np.int32)[found.label]


def of_same_set(model: ExampleModel, path: epath.PathLike) -> bool:
    """Whether this is the set that the model was trained on, as far as is told."""
    about = model.info["extra"].get("dataset") or {}
    saved = (model.info.get("source_run") or {}).get("config") or {}
    data = saved.get("data") or {}
    known = about.get("path") or data.get("path") or data.get("source") or ""
    if not known or str(path) in NAMED:
        return str(path) == known
    return _absolute(path) == _absolute(known)


def _absolute(path: epath.PathLike) -> pathlib.Path:
    return pathlib.Path(path).expanduser().resolve()
