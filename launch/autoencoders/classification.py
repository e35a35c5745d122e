"""A classifier of examples on files: a class of each window or example, and of each.

Of each file OUTPUT gets NAME.csv, a row per window or example: when (start_s, end_s) or
`ids`, the likeliest class `label`, its `probability`, and `p_LABEL` of all. summary.csv
has a row per file: the class whose mean probability over the rows is highest, the means
of all, and the share of the rows in which that class is the likeliest. Examples of an
.npz are not one thing: their file has means alone.
"""

import pathlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from etils import epath

from launch.autoencoders.reading import (
    Stretch,
    each_file,
    known_of,
    reported,
    write_csv,
)
from sigjax import export
from sigjax.inference.base import BundleError
from sigjax.inference.code_classifier import CodeClassifierModel

_DIGITS = 5  # Of probabilities in CSV files.


def open_bundle(path: epath.PathLike) -> CodeClassifierModel:
    """Loads a classifier of examples.

    Raises:
      BundleError: There is none.
    """
    model = export.load(path)
    if not isinstance(model, CodeClassifierModel):
        raise BundleError(
            f"{path} is no classifier of launch.finetune on configs/code_classifier.py"
        )
    return model


def predict_files(
    inputs: Sequence[str],
    bundle: epath.PathLike,
    output: epath.PathLike,
    *,
    overlap: float = 0.0,
    batch_size: int | None = None,
) -> dict[str, Any]:
    """Classifies files; a longer signal window by window.

    Args:
      inputs: Files and folders: sounds, device files or .npz, by what the bundle takes.
      bundle: Of a classifier of examples.
      output: Folder; see the top of this file.
      overlap: Share of a window that the next one covers too.
      batch_size: Windows at once.

    Returns:
      What report.json holds: `used` and `refused`, and `text` for people.

    Raises:
      BundleError: It is no such classifier.
      FileNotFoundError: An input does not exist.
    """
    model = open_bundle(bundle)

    def one(path, name, stretches, folder) -> dict[str, Any]:
        return _one(model, path, name, stretches, folder, batch_size or 64)

    folder, used, refused = each_file(inputs, model, output, overlap, one)
    told = [f"{row['path']}: {_verdict(row)}" for row in used]
    labels = [row["label"] for row in used if row["label"]]
    if len(labels) > 1:
        counts = Counter(labels).most_common()
        every = ", ".join(f"{label} {count}" for label, count in counts)
        told.append(f"{len(labels)} files: {every}")
    return reported(folder, bundle, used, refused, told)


def _verdict(row: dict[str, Any]) -> str:
    if not row["label"]:
        return f"{row['examples']} examples: classes in {row['name']}.csv"
    return (
        f"{row['label']} {row['probability']:.2f} ({row['share']:.0%} of"
        f" {row['examples']} windows)"
    )


def _one(
    model: CodeClassifierModel,
    path: pathlib.Path,
    name: str,
    stretches: list[Stretch],
    folder: epath.Path,
    batch_size: int,
) -> dict[str, Any]:
    """Writes the rows of one file; returns its row of the summary."""
    x = np.concatenate([stretch.examples for stretch in stretches])
    found = model.in_batches(model.probabilities, x, batch_size=batch_size)
    label, probability = model.named(found)
    column, values = known_of(stretches, model.signal.rate_hz)
    known = {column: values.tolist()}
    if column == "start_s":
        spans = zip(values.tolist(), _lengths(stretches, model), strict=True)
        known = {
            "start_s": [f"{value:.3f}" for value in values],
            "end_s": [f"{start + length:.3f}" for start, length in spans],
        }
    columns = {
        **known,
        "label": label.tolist(),
        "probability": _shown(probability.max(axis=1)),
        **_of_classes(model.labels, [_shown(one) for one in probability.T]),
    }
    names = list(columns)
    rows = [
        dict(zip(names, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]
    write_csv(folder / f"{name}.csv", names, rows)
    mean = probability.mean(axis=0, dtype=np.float64)
    chosen: dict[str, Any] = dict.fromkeys(("label", "probability", "share"), "")
    if column == "start_s":
        likeliest = model.labels[int(mean.argmax())]
        share = round(float((label == likeliest).mean()), _DIGITS)
        chosen = {
            "label": likeliest,
            "probability": round(float(mean.max()), _DIGITS),
            "share": share,
        }
    return {
        "path": str(path),
        "name": name,
        "examples": len(x),
        **chosen,
        **_of_classes(model.labels, np.round(mean, _DIGITS).tolist()),
    }


def _lengths(stretches: Sequence[Stretch], model: CodeClassifierModel) -> list[float]:
    """Seconds of each window; what was padded is not counted."""
    length = []
    for stretch in stretches:
        assert stretch.signal is not None
        own = min(model.raw_shape[0], len(stretch.signal))
        length += [own / model.signal.rate_hz] * len(stretch.examples)
    return length


def _shown(values: np.ndarray) -> list[float]:
    return np.round(values.astype(np.float64), _DIGITS).tolist()


def _of_classes(labels: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {f"p_{name}": own for name, own in zip(labels, values, strict=True)}
