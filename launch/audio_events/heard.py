"""What is heard in a recording, as tables: a row per window, and a row per event."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from launch.audio_events.settings import Settings
from launch.recordings.clock import at, started
from launch.recordings.heard import table
from sigjax.inference.audio_events import AudioEventsModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Heard:
    """What was heard in a recording.

    Attributes:
      start_s: Float `[n]`, where each window begins.
      end_s: Float `[n]`, where it ends.
      probability: Float32 `[n, v]` by head; NaN where a window is not scored.
      remark: What is wrong with each window; mostly nothing.
    """

    start_s: np.ndarray
    end_s: np.ndarray
    probability: Mapping[str, np.ndarray]
    remark: Sequence[str]

    def mean(self, head: str) -> np.ndarray:
        """Means over the windows that are scored, float32 `[v]`; NaN without any."""
        scored = self.probability[head]
        scored = scored[np.isfinite(scored).all(axis=1)]
        if not len(scored):
            return np.full(self.probability[head].shape[1], np.nan, np.float32)
        return scored.mean(axis=0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Event:
    """A stretch in which a class is heard.

    Attributes:
      head: Of the class.
      label: Its name.
      start_s: Where the stretch begins.
      end_s: Where it ends.
      peak: Its highest probability.
      mean: Its mean probability.
    """

    head: str
    label: str
    start_s: float
    end_s: float
    peak: float
    mean: float


def windows_table(heard: Heard, model: AudioEventsModel, asked: Settings) -> pa.Table:
    """A row per window: time, likeliest class and probabilities of all."""
    columns: dict[str, Any] = {
        "start_s": pa.array(heard.start_s.round(4)),
        "end_s": pa.array(heard.end_s.round(4)),
    }
    if asked.start_time:
        start = started(asked.start_time)
        columns["time"] = pa.array([at(start, s) for s in heard.start_s])
    several = len(model.classes) > 1
    for head, names in model.classes.items():
        value = heard.probability[head]
        missing = np.asarray(~np.isfinite(value).all(axis=1))
        best = np.nan_to_num(value).argmax(axis=1)
        prefix = f"{head}_" if several else ""
        label = [None if m else names[i] for m, i in zip(missing, best, strict=True)]
        columns[head if several else "label"] = pa.array(label, pa.string())
        columns[f"{prefix}probability"] = _column(
            value[np.arange(len(best)), best], missing
        )
        for number, name in enumerate(names):
            columns[f"{prefix}p_{name}"] = _column(value[:, number], missing)
    columns["remark"] = pa.array(heard.remark, pa.string())
    return pa.table(columns)


def _column(value: np.ndarray, missing: np.ndarray) -> pa.Array:
    return pa.array(value.astype(np.float64).round(5), mask=missing)


def events_table(events: Sequence[Event], asked: Settings) -> pa.Table:
    """A row per event."""
    columns = ("start_s", "end_s", "head", "label", "peak", "mean")
    rows = [dataclasses.asdict(event) for event in events]
    return table(rows, columns, asked.start_time)
