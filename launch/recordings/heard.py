"""Events that were heard in a recording: in words, as a table, as a picture."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from launch.recordings.clock import at, begun
from sigjax.evals import event_timeline_figures as figures
from sigjax.evals import sound_strip
from sigjax.evals.sound_timeline_figures import span

_MOST_NAMED = 3
_TEXT = ("time", "class", "head", "label")


def named(events: Sequence[Mapping[str, Any]], rank: str) -> str:
    """The foremost events in the order of their beginnings, and how many more.

    Args:
      events: Each with `label`, `start_s` and `end_s`.
      rank: Name of what the foremost have most of, such as `peak`.
    """
    some = sorted(events, key=lambda e: -e[rank])[:_MOST_NAMED]
    some.sort(key=lambda e: e["start_s"])
    text = ", ".join(f"{e['label']} {span(e['start_s'], e['end_s'])}" for e in some)
    more = len(events) - len(some)
    return text + (f" and {more} more" if more else "")


def table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str], start_time: str
) -> pa.Table:
    """A row per event; behind the second column the time of the first, with a clock.

    Args:
      rows: Values by column; the first two columns are begin and end, seconds.
      columns: Names, in their order.
      start_time: When the recording began; empty for no clock.
    """
    start = begun(start_time)
    if start is not None:
        rows = [{**row, "time": at(start, row[columns[0]])} for row in rows]
        columns = [*columns[:2], "time", *columns[2:]]
    kinds = [(n, pa.string() if n in _TEXT else pa.float64()) for n in columns]
    schema = pa.schema(kinds)
    return pa.Table.from_pylist([{n: row[n] for n in columns} for row in rows], schema)


def picture(
    record: Mapping[str, Any],
    heard: figures.Heard,
    strip: sound_strip.Strip,
    verdict: str,
) -> bytes:
    """A recording's spectrogram, and what is heard when, as PNG.

    Args:
      record: What NAME.json holds; its `events` are drawn.
      heard: The classes that are shown.
      strip: That was fed with the wave.
      verdict: What is heard, in a sentence.
    """
    events = record["events"]
    return figures.recording(
        heard,
        [figures.Shown(e["label"], e["start_s"], e["end_s"]) for e in events],
        strip.close(),
        title=record["name"],
        verdict=verdict,
        note=", ".join(record["notes"]),
        start=begun(record["start"]),
    )
