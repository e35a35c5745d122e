"""Files and sets as a bundle of examples takes them, and what is left of each."""

import csv
import io
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from launch import results as res
from sigjax.data import audio, formats
from sigjax.data.audio_files import audio_files
from sigjax.data.examples.arrays import arrays
from sigjax.data.examples.stream import ExampleDataConfig, ExampleError
from sigjax.data.recording import FormatError
from sigjax.inference.base import BundleError, prepare
from sigjax.inference.example_model import ExampleModel
from sigjax.train.writer import prepare_workdir, replace_file

# A file that has one costs itself alone.
READING_ERRORS = (audio.AudioError, FormatError, ExampleError, BundleError)
# How the examples of a bundle's source are called in a folder.
_SUFFIXES = {"clips": "sounds", "windows": "device files"}


class Stretch(NamedTuple):
    """A part of a file that is one signal, or examples that are none.

    Attributes:
      start_s: Of its first sample: in the file, or seconds since 1970-01-01.
      signal: `[s, ...]`; None of examples.
      examples: `[n, *raw_shape]`: windows of the signal.
      starts: Int `[n]`, first sample of each; of examples 0 ... n - 1.
      ids: Of examples.
    """

    start_s: float
    signal: np.ndarray | None
    examples: np.ndarray
    starts: np.ndarray
    ids: tuple[str, ...] = ()


def each_file(
    inputs: Sequence[str],
    model: ExampleModel,
    output: epath.PathLike,
    overlap: float,
    one: Callable[[pathlib.Path, str, list[Stretch], epath.Path], dict[str, Any]],
) -> tuple[epath.Path, list[dict[str, Any]], list[dict[str, str]]]:
    """Does all files; one that cannot be read costs itself alone.

    Args:
      inputs: Files and folders.
      model: Whose bundle says what is looked for.
      output: Folder; gets `summary.csv`.
      overlap: Share of a window that the next one covers too.
      one: Of a path, the name of its results, what it holds and the folder: writes
        results and gives a row of the summary.

    Returns:
      The folder, rows, and of each file that was refused `path` and `reason`.

    Raises:
      FileNotFoundError: An input does not exist.
    """
    folder = prepare_workdir(output)
    used, refused = [], []
    taken: set[str] = set()
    for path in files_of(inputs, model):
        name = _name_of(path, taken)
        try:
            used.append(
                one(path, name, list(stretches_of(path, model, overlap)), folder)
            )
        except READING_ERRORS as error:
            refused.append({"path": str(path), "reason": res.reason(error, str(path))})
    write_csv(folder / "summary.csv", list(used[0]) if used else ["path"], used)
    return folder, used, refused


def reported(
    folder: epath.Path,
    bundle: epath.PathLike,
    used: list[dict[str, Any]],
    refused: list[dict[str, str]],
    told: Sequence[str],
) -> dict[str, Any]:
    """Writes report.json; returns it with `text` for people.

    Args:
      folder: Of the results.
      bundle: What they were made with.
      used: See `each_file`.
      refused: Likewise.
      told: A line for each that was used.
    """
    report = {"bundle": str(bundle), "used": used, "refused": refused}
    replace_file(folder / "report.json", json.dumps(report, indent=1).encode())
    lines = [*told, *(f"not used: {row['path']}: {row['reason']}" for row in refused)]
    return {**report, "text": "\n".join(lines)}


def known_of(stretches: Sequence[Stretch], rate_hz: float) -> tuple[str, np.ndarray]:
    """What tells a file's examples apart: `start_s` of windows, else `ids`."""
    if stretches[0].signal is None:
        return "ids", np.array([own for stretch in stretches for own in stretch.ids])
    start = [stretch.start_s + stretch.starts / rate_hz for stretch in stretches]
    return "start_s", np.concatenate(start)


def data_of(model: ExampleModel, path: str, batch_size: int) -> ExampleDataConfig:
    """How a set is read as the bundle's training data were."""
    source = model.info["extra"]["examples"]["source"]
    given: dict[str, Any] = {"source": source, "path": path, "batch_size": batch_size}
    if path in ("digits", "mnist"):
        return ExampleDataConfig(**{**given, "source": path, "path": ""})
    if path.endswith(".npz"):
        return ExampleDataConfig(**{**given, "source": "arrays"})
    if source == "clips":
        read = model.info["preprocessing"]
        keys = ("samples", "rate_hz", "channel")
        return ExampleDataConfig(**given, **{key: read[key] for key in keys})
    if source == "windows":
        return ExampleDataConfig(**given, window_s=model.signal.window_s)
    raise ExampleError(
        f"{path}: the bundle takes examples like {source}; give an .npz with x"
        f" [n, {', '.join(map(str, model.raw_shape))}], or {source}"
    )


def _name_of(path: pathlib.Path, taken: set[str]) -> str:
    """The file's name, with a number if another one is called so."""
    name, number = path.stem, 2
    while name in taken:
        name, number = f"{path.stem}_{number}", number + 1
    taken.add(name)
    return name


def files_of(inputs: Sequence[str], model: ExampleModel) -> list[pathlib.Path]:
    """The files that inputs name, by what the model takes.

    Raises:
      FileNotFoundError: An input does not exist, or there is none in them.
    """
    source = model.info["extra"]["examples"]["source"]
    found: list[pathlib.Path] = []
    for where in inputs:
        path = pathlib.Path(where).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"{where} does not exist")
        if not path.is_dir():
            found.append(path)
        elif source == "clips":
            found += [path / own for own in audio_files(path)[0]]
        elif source == "windows":
            found += [pathlib.Path(own) for own in formats.find_recordings(where)[0]]
        else:
            found += sorted(path.rglob("*.npz"))
    if not found:
        kind = _SUFFIXES.get(source, ".npz files")
        raise FileNotFoundError(f"no {kind} in {', '.join(inputs)}")
    return list(dict.fromkeys(found))


def stretches_of(
    path: pathlib.Path, model: ExampleModel, overlap: float
) -> Iterator[Stretch]:
    """What a file holds, as the model takes it; windows overlap by a share.

    Raises:
      AudioError, FormatError, ExampleError, BundleError: It cannot be read.
    """
    source = model.info["extra"]["examples"]["source"]
    if path.suffix == ".npz":
        found = arrays(path).examples
        places = np.arange(len(found.x))
        yield Stretch(0.0, None, found.x, places, tuple(found.ids.tolist()))
    elif source == "clips":
        read = model.info["preprocessing"]
        wave, _ = audio.read(path, rate_hz=read["rate_hz"], channel=read["channel"])
        counts, _ = audio.to_int16(wave)
        yield _windowed(model, 0.0, counts, overlap)
    elif source == "windows":
        prepared = prepare(path, model.info)
        long = [
            s for s in prepared.segments if len(s.acceleration) >= model.raw_shape[0]
        ]
        if not long:
            raise BundleError(
                f"no stretch of wear is as long as a window of"
                f" {model.signal.window_s:g} s"
            )
        for segment in long:
            yield _windowed(model, segment.start, segment.acceleration, overlap)
    else:
        raise ExampleError(f"{path}: give an .npz with x; the bundle takes {source}")


def _windowed(
    model: ExampleModel, start_s: float, signal: np.ndarray, overlap: float
) -> Stretch:
    short = model.raw_shape[0] - len(signal)
    filled = signal
    if short > 0:  # Only sounds: zeros follow, as in training.
        filled = np.pad(signal, (0, short))
    windows, starts = model.windows_of(filled, overlap)
    return Stretch(start_s, signal, windows, starts)


def write_npz(path: epath.Path, **values: np.ndarray) -> None:
    """Writes arrays, whole or not at all."""
    data = io.BytesIO()
    np.savez(data, **values)  # pyright: ignore[reportArgumentType]
    replace_file(path, data.getvalue())


def write_csv(path: epath.Path, columns: list[str], rows: list[dict]) -> None:
    """Writes rows, whole or not at all."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(path, text.getvalue().encode())
