"""What a model said of clips of audio events, in memory and as a Parquet file."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
from etils import epath

from sigjax.data.audio_events.clips import HEADS, SEPARATOR, Classes, Kind
from sigjax.data.audio_events.sounds import MISSING, EventSet
from sigjax.evals.predictions import PredictionsError, read_table, write_table

# Columns of the file hold a head's probabilities under this and its name.
_PREFIX = "p_"
_ABOUT = b"sigjax.events"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EventPredictions:
    """One row per clip, in any order.

    Attributes:
      kind: `"single"`, `"multi"` or `"verb_noun"`.
      classes: Names by head, in the order of the model's outputs.
      probability: By head, float32 `[r, v]`; of `"multi"` each class on its own.
      truth: By head, int32 `[r]`, -1 where there is none; of `"multi"` float32
        `[r, v]` of 0 and 1. Clips without a label of every head are kept, and do not
        count in any figure; of `"multi"`, where none of the classes may sound, all
        clips count.
      path: Text `[r]`, of each clip's file.
      start_s: Float64 `[r]`, where in its file the clip begins.
      group: Text `[r]`, what it was cut from: resampled together.
      end_s: Float64 `[r]`, where the clip ends; NaN, as by default, for the file's end.
    """

    kind: Kind
    classes: Classes
    probability: Mapping[str, np.ndarray]
    truth: Mapping[str, np.ndarray]
    path: np.ndarray
    start_s: np.ndarray
    group: np.ndarray
    end_s: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))

    def __post_init__(self):
        """Refuses columns that do not fit each other and numbers that are none."""
        rows = len(self.path)
        if not len(self.end_s):
            object.__setattr__(self, "end_s", np.full(rows, np.nan))
        for mapping in (self.classes, self.probability, self.truth):
            if tuple(mapping) != HEADS[self.kind]:
                raise PredictionsError(
                    f"predictions of {self.kind!r} have the heads"
                    f" {', '.join(HEADS[self.kind])}, got {', '.join(mapping)}"
                )
        for head in self.classes:
            self._check(head)
        for name in ("start_s", "end_s", "group"):
            if len(getattr(self, name)) != rows:
                raise PredictionsError(
                    f"{rows} clips and {len(getattr(self, name))} of {name}"
                )

    def _check(self, head: str) -> None:
        rows, names, truth = len(self.path), self.classes[head], self.truth[head]
        shape = rows, len(names)
        if self.probability[head].shape != shape:
            raise PredictionsError(
                f"{rows} clips of {len(names)} classes of {head!r}, but probabilities"
                f" {list(self.probability[head].shape)}"
            )
        expected = shape if self.kind == "multi" else (rows,)
        if truth.shape != expected:
            raise PredictionsError(
                f"the truth of {head!r} is {list(expected)}, got {list(truth.shape)}"
            )
        if self.kind == "multi":
            if not ((truth == 0) | (truth == 1)).all():
                raise PredictionsError(f"the truth of {head!r} is 0 or 1")
        elif rows and not MISSING <= truth.min() <= truth.max() < len(names):
            raise PredictionsError(
                f"labels of {head!r} from {truth.min()} to {truth.max()}, not in"
                f" [0, {len(names)}) (a missing one is {MISSING})"
            )
        broken = ~np.isfinite(self.probability[head]).all(axis=-1)
        if broken.any():
            raise PredictionsError(
                f"{broken.sum()} of {rows} clips have no finite probabilities, the"
                f" first {str(self.path[broken][0])!r}: is the model damaged?"
            )

    def __len__(self) -> int:
        """Clips, with a label or without."""
        return len(self.path)

    @property
    def labelled(self) -> np.ndarray:
        """Bool `[r]`, clips that count: of which a class of every head is known."""
        there = np.ones(len(self), bool)
        for head in self.classes if self.kind != "multi" else ():
            there &= self.truth[head] != MISSING
        return there


def of_clips(
    dataset: EventSet,
    indices: np.ndarray,
    probability: Mapping[str, np.ndarray],
    classes: Classes | None = None,
) -> EventPredictions:
    """Predictions of clips of a set, with their truth.

    Args:
      dataset: The set.
      indices: Int `[r]`, numbers of the clips.
      probability: By head float `[r, v]`, such as means over windows.
      classes: Names by head, as the model has them (`EventData.classes`); by default
        those of the set.

    Raises:
      PredictionsError: Something does not fit.
    """
    classes = classes or dataset.classes
    clips = [dataset.clips[index] for index in indices]
    return EventPredictions(
        kind=dataset.kind,
        classes=classes,
        probability={h: np.asarray(probability[h], np.float32) for h in classes},
        truth=dataset.targets(indices, classes),
        path=np.array([clip.path for clip in clips], str),
        start_s=np.array([clip.start_s for clip in clips], np.float64),
        group=np.array([clip.source for clip in clips], str),
        end_s=np.array([clip.end_s for clip in clips], np.float64),
    )


def concatenate_events(parts: Sequence[EventPredictions]) -> EventPredictions:
    """All clips, such as those of the folds of a cross-validation.

    Raises:
      PredictionsError: Classes differ, a clip is in two parts, or there are none.
    """
    if not parts:
        raise PredictionsError("there are no predictions")
    first = parts[0]
    for part in parts[1:]:
        if dict(part.classes) != dict(first.classes):
            raise PredictionsError("classes of the parts differ")

    def of_heads(name: str) -> dict[str, np.ndarray]:
        return {
            head: np.concatenate([getattr(part, name)[head] for part in parts])
            for head in first.classes
        }

    whole = EventPredictions(
        kind=first.kind,
        classes=first.classes,
        probability=of_heads("probability"),
        truth=of_heads("truth"),
        path=np.concatenate([part.path for part in parts]),
        start_s=np.concatenate([part.start_s for part in parts]),
        group=np.concatenate([part.group for part in parts]),
        end_s=np.concatenate([part.end_s for part in parts]),
    )
    event_order(whole)
    return whole


def event_order(predictions: EventPredictions) -> np.ndarray:
    """Int `[r]`: clips by path and times, so that two systems' clips are paired.

    Raises:
      PredictionsError: A clip is there twice.
    """
    p = predictions
    # The end of a file sorts last, and equals itself.
    end_s = np.where(np.isnan(p.end_s), np.inf, p.end_s)
    rows = np.lexsort((end_s, p.start_s, p.path))
    keys = [column[rows] for column in (p.path, p.start_s, end_s)]
    twice = np.logical_and.reduce([key[1:] == key[:-1] for key in keys])
    if twice.any():
        raise PredictionsError(
            f"{twice.sum()} clips are there twice, the first"
            f" {str(keys[0][1:][twice][0])!r}"
        )
    return rows


def write_event_predictions(
    path: epath.PathLike, predictions: EventPredictions
) -> None:
    """Writes one row per clip, whole or not at all.

    Columns: `path`, `start_s`, `end_s`, `group`; for each head its name (the truth: a
    class, or several separated by `|`; null for none), `predicted_HEAD` (the likeliest
    class) and `p_HEAD`, a list of probabilities in the order of the classes, which are
    in the file's metadata.

    Args:
      path: File or URL.
      predictions: What to write.
    """
    p = predictions
    columns: dict[str, pa.Array] = {
        "path": pa.array(p.path.astype(str)),
        "start_s": pa.array(p.start_s, pa.float64()),
        "end_s": pa.array(p.end_s, pa.float64(), mask=np.isnan(p.end_s)),
        "group": pa.array(p.group.astype(str)).dictionary_encode(),
    }
    for head, names in p.classes.items():
        truth, probability = p.truth[head], p.probability[head]
        if p.kind == "multi":
            told = [[names[v] for v in np.flatnonzero(row)] for row in truth]
        else:
            told = [[names[v]] if v != MISSING else [] for v in truth]
        columns[head] = pa.array([SEPARATOR.join(t) or None for t in told], pa.string())
        best = probability.argmax(axis=-1) if len(p) else np.zeros(0, int)
        columns[f"predicted_{head}"] = pa.array([names[v] for v in best], pa.string())
        flat = pa.array(probability.astype(np.float32).reshape(-1), pa.float32())
        columns[_PREFIX + head] = pa.FixedSizeListArray.from_arrays(flat, len(names))
    about = {"kind": p.kind, "classes": {h: list(n) for h, n in p.classes.items()}}
    table = pa.table(columns).replace_schema_metadata({_ABOUT: json.dumps(about)})
    write_table(path, table)


def read_event_predictions(path: epath.PathLike) -> EventPredictions:
    """Reads what `write_event_predictions` wrote.

    Raises:
      PredictionsError: There is no such file, or it is no file of predictions.
    """
    table = read_table(path)
    try:
        about = json.loads((table.schema.metadata or {})[_ABOUT])
        kind: Kind = about["kind"]
        classes = {head: tuple(names) for head, names in about["classes"].items()}
        probability, truth = {}, {}
        for head, names in classes.items():
            lists = table[_PREFIX + head].combine_chunks()
            flat = lists.flatten().to_numpy(zero_copy_only=False)
            probability[head] = flat.reshape(-1, len(names)).astype(np.float32)
            truth[head] = _truth(table[head].to_pylist(), names, kind)
        return EventPredictions(
            kind=kind,
            classes=classes,
            probability=probability,
            truth=truth,
            path=np.array(table["path"].to_pylist(), str),
            start_s=table["start_s"].to_numpy(),
            group=np.array(table["group"].to_pylist(), str),
            end_s=table["end_s"].to_numpy(),
        )
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise PredictionsError(
            f"{path} holds no predictions of audio events: {error}"
        ) from error


def _truth(told: Sequence[str | None], names: Sequence[str], kind: Kind) -> np.ndarray:
    number = {name: index for index, name in enumerate(names)}
    if kind != "multi":
        found = [MISSING if name is None else number[name] for name in told]
        return np.array(found, np.int32)
    target = np.zeros((len(told), len(names)), np.float32)
    for row, text in enumerate(told):
        target[
            row, [number[name] for name in (text or "").split(SEPARATOR) if name]
        ] = 1
    return target
