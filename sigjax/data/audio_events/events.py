"""Events with their times: a table beside recordings, and what windows hold of them."""

import csv
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from etils import epath

from sigjax.data.clips import ManifestError, read_rows

COLUMNS = ("path", "start_s", "end_s", "label")


class Event(NamedTuple):
    """A sound in a recording.

    Attributes:
      path: Of the recording, relative to the table's folder.
      start_s: Where it begins.
      end_s: Where it ends.
      label: Name of its class.
    """

    path: str
    start_s: float
    end_s: float
    label: str


def write_events(path: epath.PathLike, events: Iterable[Event]) -> None:
    """Writes a table of events as CSV, whole or not at all."""
    path = epath.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.parent / f"{path.name}.part"
    with part.open("w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for event in events:
            times = (f"{event.start_s:.3f}", f"{event.end_s:.3f}")
            table.writerow((event.path, *times, event.label))
    part.replace(path)


def read_events(path: epath.PathLike) -> list[Event]:
    """Reads a table of events: columns path, start_s, end_s, label.

    Raises:
      ManifestError: A column or value is missing or wrong; the message names the row.
      FileNotFoundError: It is not there.
    """
    path = epath.Path(path)
    found = []
    for number, row in read_rows(path, COLUMNS, needed=COLUMNS):
        try:
            start_s, end_s = float(row["start_s"]), float(row["end_s"])
        except ValueError:
            start_s, end_s = 0.0, 0.0
        if not 0 <= start_s < end_s or not row["label"]:
            raise ManifestError(
                f"{path}, row {number}: {row} is no event: it needs a label and times"
                " in seconds, the end after the start"
            )
        found.append(Event(row["path"], start_s, end_s, row["label"]))
    return found


def window_targets(
    events: Iterable[Event],
    starts_s: Sequence[float] | np.ndarray,
    window_s: float,
    classes: Sequence[str],
    *,
    least_s: float = 0.0,
) -> np.ndarray:
    """Which classes sound in which window of one recording.

    Args:
      events: Of the recording; those of other classes do not count.
      starts_s: Where each window begins, `n`.
      window_s: Length of a window.
      classes: `v`.
      least_s: Of an event, at least so much lies in the window, or half of the event
        if that is less.

    Returns:
      Float32 `[n, v]`, 1 where one does.
    """
    begins = np.asarray(starts_s, np.float64)
    number = {name: index for index, name in enumerate(classes)}
    found = np.zeros((len(begins), len(classes)), np.float32)
    for event in events:
        if event.label not in number:
            continue
        first = np.maximum(begins, event.start_s)
        inside_s = np.minimum(begins + window_s, event.end_s) - first
        # Less a rounding: the half of an event counts where it is exactly that.
        enough = min(least_s, (event.end_s - event.start_s) / 2) - 1e-6
        sounds = (inside_s > 0) & (inside_s >= enough)
        found[sounds, number[event.label]] = 1
    return found
