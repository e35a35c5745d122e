"""What a classifier said about label windows, in memory and as a Parquet file."""

import dataclasses
import io
import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from etils import epath
from pyarrow import parquet

from sigjax.losses.classification import IGNORE
from sigjax.train.writer import replace_file

# Columns of the file hold probabilities under this and the name of the class.
_PREFIX = "p_"
_CLASSES = b"sigjax.classes"


class PredictionsError(ValueError):
    """Predictions do not fit each other, or a file holds none; says what and where."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """One row per label window, in any order.

    Attributes:
      classes: Names, `v`, in the order of the model's outputs.
      probability: Float32 `[r, v]`.
      label: Int32 `[r]`, the truth; -1 where there is none: such rows are kept, and
        do not count in any figure.
      person: Text `[r]`.
      recording: Text `[r]`.
      time: Float64 `[r]`, seconds since 1970-01-01 of its start, on the device's clock.
      embedding: Float32 `[r, d]`, what the head saw, or None.
    """

    classes: tuple[str, ...]
    probability: np.ndarray
    label: np.ndarray
    person: np.ndarray
    recording: np.ndarray
    time: np.ndarray
    embedding: np.ndarray | None = None

    def __post_init__(self):
        """Refuses columns of different lengths and numbers that are none."""
        rows, classes = len(self.label), len(self.classes)
        if self.probability.shape != (rows, classes):
            raise PredictionsError(
                f"{rows} labels of {classes} classes but probabilities"
                f" {list(self.probability.shape)}"
            )
        columns = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)[2:]}
        for name, column in columns.items():
            if column is not None and len(column) != rows:
                raise PredictionsError(f"{len(column)} rows of {name}, {rows} expected")
        broken = ~np.isfinite(self.probability).all(axis=-1)
        if broken.any():
            raise PredictionsError(
                f"{broken.sum()} of {rows} label windows have no finite probabilities,"
                f" the first in recording {self.recording[broken][0]!r}: is the model"
                " damaged, or are there NaN in its input?"
            )
        if rows and not -1 <= self.label.min() <= self.label.max() < classes:
            raise PredictionsError(
                f"labels from {self.label.min()} to {self.label.max()}, not in"
                f" [0, {classes}) (a missing label is -1)"
            )

    def __len__(self) -> int:
        """Label windows, with a label or without."""
        return len(self.label)

    @property
    def predicted(self) -> np.ndarray:
        """Int32 `[r]`, the likeliest class; the first of those that are equal."""
        return self.probability.argmax(axis=-1).astype(np.int32)


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """All rows, such as those of the folds of a cross-validation.

    Raises:
      PredictionsError: Classes differ, or a label window is in two parts.
    """
    if not parts:
        raise PredictionsError("there are no predictions")
    first = parts[0]
    for part in parts[1:]:
        if part.classes != first.classes:
            raise PredictionsError(
                f"classes differ: {', '.join(first.classes)} and"
                f" {', '.join(part.classes)}"
            )

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    embedded = all(part.embedding is not None for part in parts)
    whole = Predictions(
        classes=first.classes,
        probability=joined("probability"),
        label=joined("label"),
        person=joined("person"),
        recording=joined("recording"),
        time=joined("time"),
        embedding=joined("embedding") if embedded else None,
    )
    order(whole)
    return whole


def order(predictions: Predictions) -> np.ndarray:
    """Int `[r]`: rows by recording and time, so that two systems' rows are paired.

    Raises:
      PredictionsError: A label window is there twice.
    """
    p = predictions
    rows = np.lexsort((p.time, p.recording))
    same = p.recording[rows][1:] == p.recording[rows][:-1]
    twice = same & (p.time[rows][1:] == p.time[rows][:-1])
    if twice.any():
        row = rows[1:][twice][0]
        raise PredictionsError(
            f"{twice.sum()} label windows are there twice, the first at"
            f" {p.time[row]:.3f} s in recording {p.recording[row]!r}"
        )
    return rows


def write_predictions(
    path: epath.PathLike, predictions: Predictions, *, embedding: bool = False
) -> None:
    """Writes one row per label window, whole or not at all.

    Columns: `person`, `recording`, `time` (seconds since 1970-01-01, device's clock),
    `label` (name, null for none), `predicted` (name), `p_CLASS` for each class, and
    `embedding` (a list) if asked for.

    Args:
      path: File or URL.
      predictions: What to write.
      embedding: Also write embeddings: 1 KB per row at 256 dimensions.
    """
    p = predictions
    names = pa.array(p.classes, pa.string())

    def named(index: np.ndarray) -> pa.DictionaryArray:
        found = pa.array(index, pa.int32(), mask=index == IGNORE)
        return pa.DictionaryArray.from_arrays(found, names)

    columns = {
        "person": pa.array(p.person.astype(str)).dictionary_encode(),
        "recording": pa.array(p.recording.astype(str)).dictionary_encode(),
        "time": pa.array(p.time, pa.float64()),
        "label": named(p.label),
        "predicted": named(p.predicted),
    }
    for index, name in enumerate(p.classes):
        columns[_PREFIX + name] = pa.array(p.probability[:, index], pa.float32())
    if embedding and p.embedding is not None:
        flat = pa.array(p.embedding.reshape(-1), pa.float32())
        width = p.embedding.shape[1]
        columns["embedding"] = pa.FixedSizeListArray.from_arrays(flat, width)
    table = pa.table(columns)
    write_table(path, table.replace_schema_metadata({_CLASSES: json.dumps(p.classes)}))


def write_table(path: epath.PathLike, table: pa.Table) -> None:
    """Writes a Parquet file, whole or not at all."""
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    replace_file(epath.Path(path), buffer.getvalue())


def read_table(path: epath.PathLike) -> pa.Table:
    """Reads a Parquet file of predictions.

    Raises:
      PredictionsError: There is no such file, or it is no Parquet file.
    """
    path = epath.Path(path)
    if not path.exists():
        raise PredictionsError(
            f"{path} does not exist: write it with `python -m launch.evaluate`"
        )
    try:
        return parquet.read_table(io.BytesIO(path.read_bytes()))
    except pa.ArrowException as error:
        raise PredictionsError(f"{path} holds no predictions: {error}") from error


def read_predictions(path: epath.PathLike) -> Predictions:
    """Reads what `write_predictions` wrote.

    Raises:
      PredictionsError: There is no such file, or it is no file of predictions.
    """
    table = read_table(path)
    try:
        classes = tuple(json.loads((table.schema.metadata or {})[_CLASSES]))
        number = {name: index for index, name in enumerate(classes)}
        label = [number.get(name, IGNORE) for name in table["label"].to_pylist()]
        probability = [table[_PREFIX + name].to_numpy() for name in classes]
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise PredictionsError(f"{path} holds no predictions: {error}") from error
    embedding = None
    if "embedding" in table.column_names:
        lists = table["embedding"].combine_chunks()
        embedding = lists.flatten().to_numpy().reshape(len(table), -1)
    return Predictions(
        classes=classes,
        probability=np.stack(probability, axis=-1).astype(np.float32),
        label=np.array(label, np.int32),
        person=np.array(table["person"].to_pylist(), str),
        recording=np.array(table["recording"].to_pylist(), str),
        time=table["time"].to_numpy(),
        embedding=embedding,
    )
