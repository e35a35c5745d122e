"""A bundle on what it was not trained on: codes of sets, denoised signals of files.

Of each file OUTPUT gets

  NAME.csv            a row per window or example: when (or id), score: higher is odder
  NAME_codes.npz      codes, score, and start_s or ids
  NAME_denoised.wav   or .npz: of an autoencoder that was trained to denoise values
  NAME.png            usual and odd ones beside their reconstructions
"""

import csv
import io
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import soundfile
from etils import epath

from launch import results as res
from launch.autoencoders import drawing
from launch.autoencoders.drawing import Row
from sigjax import export
from sigjax.data import audio, formats
from sigjax.data.audio_files import audio_files
from sigjax.data.examples.arrays import arrays
from sigjax.data.examples.example_set import ExampleSet, example_set
from sigjax.data.examples.stream import ExampleDataConfig, ExampleError, load_examples
from sigjax.data.recording import FormatError
from sigjax.inference.autoencoder import AutoencoderModel
from sigjax.inference.base import BundleError, prepare
from sigjax.train.writer import prepare_workdir, replace_file

_DRAWN = 12
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


def open_bundle(path: epath.PathLike) -> AutoencoderModel:
    """Loads an autoencoder.

    Raises:
      BundleError: There is none.
    """
    model = export.load(path)
    if not isinstance(model, AutoencoderModel):
        raise BundleError(f"{path} is no autoencoder of launch.export")
    return model


def extract_codes(
    bundle: epath.PathLike,
    manifest: str,
    output: epath.PathLike,
    *,
    batch_size: int = 64,
) -> str:
    """Codes of a whole set, with what is known of its examples.

    Args:
      bundle: Of an autoencoder.
      manifest: A table of sounds, the folder of a labelled wrist set, or an .npz, by
        what the bundle was trained on; or `digits` or `mnist`.
      output: Folder; `codes.npz` has `codes`, `score`, `ids`, `label`, `group` and
        `classes`.
      batch_size: Examples at once.

    Returns:
      What was done, in a line.

    Raises:
      ExampleError: The examples are others than the bundle takes.
      BundleError: It is no autoencoder.
      FileNotFoundError: There is no such file.
    """
    model = open_bundle(bundle)
    loaded = load_examples(_data_of(model, manifest, batch_size))
    found = loaded.examples
    if found.shape != model.raw_shape:
        raise ExampleError(
            f"{manifest}: examples of {found.shape}, and {bundle} takes"
            f" {model.raw_shape}"
        )
    folder = prepare_workdir(output)
    codes = model.in_batches(model.encode, found.x, batch_size=batch_size)
    score = model.in_batches(model.score, found.x, batch_size=batch_size)
    _write_npz(
        folder / "codes.npz",
        codes=codes,
        score=score,
        ids=found.ids,
        label=found.label,
        group=found.group,
        classes=np.array(found.classes, dtype=str),
    )
    told = [f"{len(codes)} codes of {codes[0].size} numbers: {folder / 'codes.npz'}"]
    return "\n".join([*told, *loaded.remarks])


def _data_of(model: AutoencoderModel, path: str, batch_size: int) -> ExampleDataConfig:
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


def predict_files(
    inputs: Sequence[str],
    bundle: epath.PathLike,
    output: epath.PathLike,
    *,
    overlap: float = 0.5,
    batch_size: int | None = None,
) -> dict[str, Any]:
    """Scores, codes and, if it was trained to, denoises files.

    Args:
      inputs: Files and folders: sounds, device files or .npz, by what the bundle takes.
      bundle: Of an autoencoder.
      output: Folder; see the top of this file.
      overlap: Share of a window that the next one covers too.
      batch_size: Windows at once.

    Returns:
      What report.json holds: `used` and `refused`, and `text` for people.

    Raises:
      BundleError: It is no autoencoder.
      FileNotFoundError: An input does not exist.
    """
    model = open_bundle(bundle)
    folder = prepare_workdir(output)
    used, refused = [], []
    taken: set[str] = set()
    for path in _files(inputs, model):
        name = _name_of(path, taken)
        try:
            stretches = list(_stretches(path, model, overlap))
            used.append(_one(model, path, name, stretches, folder, batch_size or 64))
        except (audio.AudioError, FormatError, ExampleError, BundleError) as error:
            refused.append({"path": str(path), "reason": res.reason(error, str(path))})
    _write_csv(folder / "summary.csv", list(used[0]) if used else ["path"], used)
    report = {"bundle": str(bundle), "used": used, "refused": refused}
    replace_file(folder / "report.json", json.dumps(report, indent=1).encode())
    lines = [
        f"{row['path']}: {row['examples']} examples, score {row['score_median']:.4g}"
        f" (median), {row['score_max']:.4g} (highest)"
        + (f"; denoised: {row['denoised']}" if row["denoised"] else "")
        for row in used
    ]
    lines += [f"not used: {row['path']}: {row['reason']}" for row in refused]
    return {**report, "text": "\n".join(lines)}


def _name_of(path: pathlib.Path, taken: set[str]) -> str:
    """The file's name, with a number if another one is called so."""
    name, number = path.stem, 2
    while name in taken:
        name, number = f"{path.stem}_{number}", number + 1
    taken.add(name)
    return name


def _files(inputs: Sequence[str], model: AutoencoderModel) -> list[pathlib.Path]:
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


def _stretches(
    path: pathlib.Path, model: AutoencoderModel, overlap: float
) -> Iterator[Stretch]:
    """What a file holds, as the model takes it.

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
    model: AutoencoderModel, start_s: float, signal: np.ndarray, overlap: float
) -> Stretch:
    short = model.raw_shape[0] - len(signal)
    filled = signal
    if short > 0:  # Only sounds: zeros follow, as in training.
        filled = np.pad(signal, (0, short))
    windows, starts = model.windows_of(filled, overlap)
    return Stretch(start_s, signal, windows, starts)


def _one(
    model: AutoencoderModel,
    path: pathlib.Path,
    name: str,
    stretches: list[Stretch],
    folder: epath.Path,
    batch_size: int,
) -> dict[str, Any]:
    """Writes the results of one file; returns its row of the summary."""
    x = np.concatenate([stretch.examples for stretch in stretches])
    size = {"batch_size": batch_size}
    score = model.in_batches(model.score, x, **size)
    codes = model.in_batches(model.encode, x, **size)
    rate = model.signal.rate_hz
    signal = stretches[0].signal is not None
    if signal:
        start = [s.start_s + s.starts / rate for s in stretches]
        known = {"start_s": np.concatenate(start)}
    else:
        known = {"ids": np.array([own for s in stretches for own in s.ids])}
    column, values = next(iter(known.items()))
    rows = [
        {column: f"{value:.3f}" if signal else value, "score": f"{own:.6g}"}
        for value, own in zip(values.tolist(), score.tolist(), strict=True)
    ]
    _write_csv(folder / f"{name}.csv", [column, "score"], rows)
    _write_npz(folder / f"{name}_codes.npz", codes=codes, score=score, **known)
    denoised = ""
    if model.denoises and model.task.config.input.kind == "values":
        denoised = _denoise(model, name, stretches, folder, size)
    _draw(model, path, folder / f"{name}.png", x, score, size)
    return {
        "path": str(path),
        "name": name,
        "examples": len(x),
        "score_median": float(np.median(score)),
        "score_max": float(score.max()),
        "denoised": denoised,
    }


def _denoise(model, name: str, stretches: list[Stretch], folder, size) -> str:
    """Writes what is left without noise; returns the file's name."""
    parts = []
    for stretch in stretches:
        if stretch.signal is None:
            parts.append(model.in_batches(model.denoise, stretch.examples, **size))
            continue
        signal, length = stretch.signal, model.raw_shape[0]
        filled = (
            np.pad(signal, (0, length - len(signal)))
            if len(signal) < length
            else signal
        )
        parts.append(model.denoise_signal(filled, **size)[: len(signal)])
    if model.signal.units == "full scale":
        data = io.BytesIO()
        counts = np.clip(np.round(parts[0]), -32768, 32767).astype(np.int16)
        rate = round(model.signal.rate_hz)
        soundfile.write(data, counts, rate, format="WAV", subtype="PCM_16")
        replace_file(folder / f"{name}_denoised.wav", data.getvalue())
        return f"{name}_denoised.wav"
    path = folder / f"{name}_denoised.npz"
    if stretches[0].signal is None:
        ids = [own for stretch in stretches for own in stretch.ids]
        _write_npz(path, x=np.concatenate(parts), ids=np.array(ids))
        return path.name
    starts = np.array([stretch.start_s for stretch in stretches])
    named = {f"stretch{n}": part for n, part in enumerate(parts)}
    rate_hz = np.array(model.signal.rate_hz)
    _write_npz(path, start_s=starts, rate_hz=rate_hz, **named)
    return path.name


def _draw(model, path, target, x: np.ndarray, score: np.ndarray, size) -> None:
    """Draws examples of the lowest to the highest score and what is made of them."""
    order = np.argsort(score, kind="stable")
    spread = np.linspace(0, len(order) - 1, min(_DRAWN, len(order))).round().astype(int)
    chosen = order[np.unique(spread)]
    some = x[chosen]
    found: ExampleSet = example_set(
        some,
        origin=str(path),
        rate_hz=model.signal.rate_hz,
        units=model.signal.units,
    )
    made = model.in_batches(model.apply, some, **size)
    own = model.task.config.input
    taken = np.asarray(model.as_taken(some))
    name = "denoised" if model.denoises else "reconstruction"
    drawing.draw_rows(
        target,
        [Row("as read", taken), Row(name, made)],
        found,
        own,
        title=f"{path.name}: scores {score.min():.3g} to {score.max():.3g}, the most"
        " usual first",
        names=[f"score {value:.3g}" for value in score[chosen]],
    )


def _write_npz(path: epath.Path, **values: np.ndarray) -> None:
    data = io.BytesIO()
    np.savez(data, **values)  # pyright: ignore[reportArgumentType]
    replace_file(path, data.getvalue())


def _write_csv(path: epath.Path, columns: list[str], rows: list[dict]) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_file(path, text.getvalue().encode())
