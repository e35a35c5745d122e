"""A bundle on what it was not trained on: codes of sets, denoised signals of files.

Of each file OUTPUT gets

  NAME.csv            a row per window or example: when (or id), score: higher is odder
  NAME_codes.npz      codes, score, and start_s or ids
  NAME_denoised.wav   or .npz: of an autoencoder that was trained to denoise values
  NAME.png            usual and odd ones beside their reconstructions
"""

import io
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import soundfile
from etils import epath

from launch.autoencoders import drawing
from launch.autoencoders.drawing import Row
from launch.autoencoders.reading import (
    Stretch,
    each_file,
    known_of,
    reported,
    write_csv,
    write_npz,
)
from launch.autoencoders.sets import set_of
from sigjax import export
from sigjax.data.examples.example_set import ExampleSet, example_set
from sigjax.inference.autoencoder import AutoencoderModel
from sigjax.inference.base import BundleError
from sigjax.inference.code_classifier import CodeClassifierModel
from sigjax.inference.generator import GeneratorModel
from sigjax.train.writer import prepare_workdir, replace_file

_DRAWN = 12


def open_bundle(path: epath.PathLike) -> AutoencoderModel:
    """Loads an autoencoder.

    Raises:
      BundleError: There is none.
    """
    model = export.load(path)
    refuse_generator(model, path)
    if not isinstance(model, AutoencoderModel):
        raise BundleError(f"{path} is no autoencoder of launch.export")
    return model


def refuse_generator(model: Any, path: epath.PathLike) -> None:
    """Says what a GAN is for, where it is given files.

    Raises:
      BundleError: It is one.
    """
    if isinstance(model, GeneratorModel) or model is GeneratorModel:
        raise BundleError(
            f"{path} is a generator (a GAN), which takes no files: in Python"
            f" sigjax.load({str(path)!r}).sample(16) draws examples, and score(x) is"
            " what its critic says of some. Codes and scores of files are of"
            " autoencoders, such as the variant 'adversarial' of configs/gan.py"
        )


def extract_codes(
    bundle: epath.PathLike,
    manifest: str,
    output: epath.PathLike,
    *,
    batch_size: int = 64,
) -> str:
    """Codes of a whole set, with what is known of its examples.

    Args:
      bundle: Of an autoencoder, or of a classifier on the code of one.
      manifest: A table of sounds, the folder of a labelled wrist set, or an .npz, by
        what the bundle was trained on; or `digits` or `mnist`.
      output: Folder; `codes.npz` has `codes`, `ids`, `label`, `group` and `classes` of
        the set, and `score`; of a classifier, instead, `probability` and `labels`, the
        names of its columns.
      batch_size: Examples at once.

    Returns:
      What was done, in a line.

    Raises:
      ExampleError: The examples are others than the bundle takes.
      BundleError: It is neither.
      FileNotFoundError: There is no such file.
    """
    info = export.read_info(bundle)
    classifies = export.MODELS[info["model"]] is CodeClassifierModel
    model: Any = export.load(bundle) if classifies else open_bundle(bundle)
    loaded = set_of(model, bundle, manifest, batch_size)
    found = loaded.examples
    folder = prepare_workdir(output)
    size = {"batch_size": batch_size}
    if classifies:
        codes = model.in_batches(model.codes, found.x, **size)
        probability = model.in_batches(model.probabilities, found.x, **size)
        more = {"probability": probability, "labels": np.array(model.labels)}
    else:
        codes = model.in_batches(model.encode, found.x, **size)
        more = {"score": model.in_batches(model.score, found.x, **size)}
    write_npz(
        folder / "codes.npz",
        codes=codes,
        **more,
        ids=found.ids,
        label=found.label,
        group=found.group,
        classes=np.array(found.classes, dtype=str),
    )
    told = [f"{len(codes)} codes of {codes[0].size} numbers: {folder / 'codes.npz'}"]
    return "\n".join([*told, *loaded.remarks])


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

    def one(path, name, stretches, folder) -> dict[str, Any]:
        return _one(model, path, name, stretches, folder, batch_size or 64)

    folder, used, refused = each_file(inputs, model, output, overlap, one)
    told = [
        f"{row['path']}: {row['examples']} examples, score {row['score_median']:.4g}"
        f" (median), {row['score_max']:.4g} (highest)"
        + (f"; denoised: {row['denoised']}" if row["denoised"] else "")
        for row in used
    ]
    return reported(folder, bundle, used, refused, told)


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
    column, values = known_of(stretches, model.signal.rate_hz)
    signal = column == "start_s"
    rows = [
        {column: f"{value:.3f}" if signal else value, "score": f"{own:.6g}"}
        for value, own in zip(values.tolist(), score.tolist(), strict=True)
    ]
    write_csv(folder / f"{name}.csv", [column, "score"], rows)
    write_npz(
        folder / f"{name}_codes.npz", codes=codes, score=score, **{column: values}
    )
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
        write_npz(path, x=np.concatenate(parts), ids=np.array(ids))
        return path.name
    starts = np.array([stretch.start_s for stretch in stretches])
    named = {f"stretch{n}": part for n, part in enumerate(parts)}
    rate_hz = np.array(model.signal.rate_hz)
    write_npz(path, start_s=starts, rate_hz=rate_hz, **named)
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
