"""What came into a store, what was lost and why, and whether the rest looks right.

    STORE/report.parquet   one row per device file, with types: see `Row`
    STORE/report.csv       the same
    STORE/report.html      counts, hours and pictures on one page; needs nothing else

Everything comes from the store: reports can be written as often as wanted.
"""

import base64
import dataclasses
import datetime
import importlib.resources
import io
import os
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jinja2
import numpy as np
import pyarrow as pa
from etils import epath
from pyarrow import csv, parquet

from sigjax.data import store as stores
from sigjax.data import store_layout as layout
from sigjax.data.wearable import report_figures as figures
from sigjax.data.wearable.report_rows import Row, category, open_store, rows
from sigjax.data.wearable.report_summary import (
    HOUR_PARTS,
    Summary,
    settings,
    summarise,
)

__all__ = ["Row", "Written", "category", "rows", "table", "text", "write"]

# The page of 100,000 files must open in any browser; the tables have everything.
_FILES_PER_REASON = 20
_FILES_LISTED = 500
_REASONS_LISTED = 40
_WEEKS_ON_PAGE = 12
_WEEKS_BY_DEFAULT = 3
_FOLDERS_ASKED = 64

_HOURS = {
    "wear_h": "wear, kept",
    "nonwear_h": "not worn",
    "too_short_h": "wear in stretches below the minimum",
    "dropped_h": "wear of dropped recordings",
}
_TYPES = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    datetime.datetime: pa.timestamp("ms"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Written:
    """A report that was written.

    Attributes:
      folder: Where `report.html`, `report.parquet` and `report.csv` lie.
      weeks: Paths below `folder` of the pictures of the recordings asked for.
      not_drawn: `(name, why)` of recordings whose samples cannot be read.
      summary: Its figures.
    """

    folder: str
    weeks: tuple[str, ...]
    not_drawn: tuple[tuple[str, str], ...]
    summary: Summary


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Week:
    """The picture of one recording: where it lies, as a data URL, or why it is not."""

    name: str
    path: str = ""
    picture: str = ""
    error: str = ""


def _column_type(name: str) -> pa.DataType:
    hint = typing.get_type_hints(Row)[name]
    if isinstance(hint, types.UnionType):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    return _TYPES[hint]


def table(some: Sequence[Row]) -> pa.Table:
    """The rows as an Arrow table; `start` and `end` are times without a zone."""
    names = [field.name for field in dataclasses.fields(Row)]
    columns = {
        name: pa.array([getattr(row, name) for row in some], _column_type(name))
        for name in names
    }
    return pa.table(columns)


def _parquet(content: pa.Table) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(content, buffer)
    return buffer.getvalue()


def _csv(content: pa.Table) -> bytes:
    buffer = io.BytesIO()
    csv.write_csv(content, buffer)
    return buffer.getvalue()


def write(
    store: stores.Store | str | os.PathLike[str],
    recordings: Sequence[str] = (),
    *,
    output: str | os.PathLike[str] | None = None,
    progress: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> Written:
    """Writes the three files of the report; each appears whole or not at all.

    Args:
      store: A store, or the folder or URL of one; it may be unfinished or without
        any recording.
      recordings: Names of used recordings whose movement is drawn, day by day. The
        first 12 stand on the page; the picture of each is `weeks/NAME.png` beside
        the report. The first three used ones by default, on the page alone.
      output: Folder or URL to write to; the store by default.
      progress: Wraps the sequence of recordings to draw, as `tqdm.tqdm` does.

    Raises:
      KeyError: A recording is not in the store, or has no segments.
      StoreError: There is no store, it is damaged, or the output cannot be written.
    """
    store = open_store(store)
    used = {entry.name: entry for entry in store.entries if entry.segments}
    for name in recordings:
        if name not in used:
            raise KeyError(f"{store.path}: no used recording is called {name!r}")
    every = rows(store)
    summary = summarise(every)
    files = layout.Files(store.path if output is None else output)
    note = _note(every)
    drawn = list(recordings) or list(used)[:_WEEKS_BY_DEFAULT]
    weeks = []
    for name in progress(drawn):
        try:
            picture = figures.week(store, used[name], note)
        except layout.StoreError as error:  # Lost data is news, not an end.
            weeks.append(_Week(name=name, error=str(error)))
            continue
        path = f"weeks/{name}.png" if recordings else ""
        if path:
            _put(files, path, picture)
        inline = _inline(picture) if len(weeks) < _WEEKS_ON_PAGE else ""
        weeks.append(_Week(name=name, path=path, picture=inline))
    content = table(every)
    _put(files, "report.parquet", _parquet(content))
    _put(files, "report.csv", _csv(content))
    page = _page(store, every, summary, note, weeks)
    _put(files, "report.html", page.encode("utf-8"))
    return Written(
        folder=files.path,
        weeks=tuple(week.path for week in weeks if week.path),
        not_drawn=tuple((week.name, week.error) for week in weeks if week.error),
        summary=summary,
    )


def _put(files: layout.Files, key: str, content: bytes) -> None:
    try:
        files.write(key, content)
    except Exception as error:  # TensorStore raises no type of its own.
        raise layout.StoreError(
            f"{files.path}: cannot write {key}: {error}; name another place as output"
        ) from error


def _note(every: Sequence[Row]) -> str:
    """Says if data is simulated: its folder holds a SIMULATED.txt."""
    folders = dict.fromkeys(row.file.rpartition("/")[0] for row in every)
    simulated = set()
    for folder in list(folders)[:_FOLDERS_ASKED]:
        try:
            if folder and (epath.Path(folder) / "SIMULATED.txt").exists():
                simulated.add(folder)
        except Exception:  # A bucket that is gone must not cost the report.
            continue
    if not simulated:
        return ""
    marked = sum(row.file.rpartition("/")[0] in simulated for row in every)
    return "simulated data" if marked == len(every) else "partly simulated data"


def _inline(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()


def _pictures(store: stores.Store, every: Sequence[Row], note: str) -> dict[str, str]:
    """The figures over all recordings; "" where there is nothing to show."""
    found = {"wear": "", "hours": "", "calibration": ""}
    used = [entry for entry in store.entries if entry.segments]
    if used:
        found["wear"] = _inline(figures.wear(used, note))
        hours = [row.wear_h for row in every if row.status == "used" and row.wear_h]
        shortest = store.description.get("min_wear_h")
        if hours:
            array = np.array(hours, np.float64)
            found["hours"] = _inline(figures.wear_hours(array, shortest, note))
    errors = [
        (row.calibration_error_before_mg, row.calibration_error_after_mg)
        for row in every
    ]
    known = [pair for pair in errors if None not in pair]
    if known:
        before, after = np.array(known, np.float64).T
        found["calibration"] = _inline(figures.calibration_errors(before, after, note))
    return found


def _page(
    store: stores.Store,
    every: Sequence[Row],
    summary: Summary,
    note: str,
    weeks: Sequence[_Week],
) -> str:
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["n"] = lambda value: "–" if value is None else f"{value:,}"
    environment.filters["f"] = _number
    folder = importlib.resources.files("sigjax.data.wearable")
    template = (folder / "report.html.jinja").read_text(encoding="utf-8")
    preset, table_of_settings = settings(store.description)
    rarer = summary.losses[_REASONS_LISTED:]
    listed = [row for row in every if row.status in ("used", "dropped")]
    return environment.from_string(template).render(
        store=store,
        written=datetime.datetime.now().astimezone(),
        s=summary,
        status_bar=[(status, n, status) for status, n in summary.counts.items()],
        hour_bar=[(key, summary.hours[key], _HOURS[key]) for key in HOUR_PARTS],
        lost_h=sum(loss.recorded_h for loss in summary.losses),
        note=note,
        preset=preset,
        settings=table_of_settings,
        losses=summary.losses[:_REASONS_LISTED],
        more_losses=rarer,
        more_files=sum(len(loss.rows) for loss in rarer),
        more_h=sum(loss.recorded_h for loss in rarer),
        per_reason=_FILES_PER_REASON,
        listed=listed[:_FILES_LISTED],
        readable=len(listed),
        pictures=_pictures(store, every, note),
        many=figures.MOST_ROWS,
        weeks=weeks,
        weeks_on_page=_WEEKS_ON_PAGE,
    )


def _number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def text(summary: Summary) -> str:
    """The figures of a report as a table for the terminal."""
    lines = [_line("files found", summary.found)]
    lines += [_line(f"  {status}", n) for status, n in summary.counts.items()]
    lines += [
        _line("persons", summary.persons_used),
        _line("segments", summary.segments),
        _line("hours recorded", summary.hours["recorded_h"]),
    ]
    lines += [_line(f"  {_HOURS[key]}", summary.hours[key]) for key in HOUR_PARTS]
    if summary.files_per_hour:
        lines.append(_line("files per hour and core", round(summary.files_per_hour)))
    if summary.losses:
        lines.append("not used:")
    for loss in summary.losses:
        reason = "".join(c if c.isprintable() else "?" for c in loss.reason)
        lines.append(f"{len(loss.rows):>10,}  {loss.status}: {reason}")
    if summary.checks:
        lines.append("worth a look (columns of report.csv):")
    for check in summary.checks:
        lines.append(f"{check.files:>10,}  {check.text} ({check.column})")
    return "\n".join(lines)


def _line(label: str, value: float) -> str:
    figures = f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
    return f"{label:<40}{figures:>14}"
