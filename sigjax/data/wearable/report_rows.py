"""One row per device file: what it held, what became of it, and why.

The rows come from a store alone (`recordings/` and `failures/`), so a report can be
written again at any time, while a run goes on or years after the files are gone.
"""

import dataclasses
import datetime
import json
import os
import re
from collections.abc import Mapping
from typing import Any

from sigjax.data import store as stores
from sigjax.data import store_layout as layout

STATUSES = ("used", "dropped", "unreadable", "unsupported")
_EPOCH = datetime.datetime(1970, 1, 1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """What became of one device file: a line of `report.parquet` and `report.csv`.

    None (null in Parquet, empty in CSV) stands for what is not known: of a file that
    could not be read, everything that is inside it.

    Attributes:
      file: Path or URL that it was read from.
      name: Its name in the store.
      person: Whose wrist.
      device: Model, such as `"AX3"`.
      device_id: Serial number.
      start: First usable sample, to the millisecond, on the device's clock (see
        `utc_offset_s`).
      end: Last usable sample, likewise.
      utc_offset_s: Device clock minus UTC in seconds; None where the file does not
        tell its time zone.
      rate_nominal_hz: As configured.
      rate_measured_hz: By the device's clock, gaps not counted.
      samples: That the reader took from the file, per axis.
      blocks: Units that the format consists of and checks.
      bad_blocks: Those of them that failed a check and were left out.
      gaps: Times without samples, bridged by preparation or kept as gaps.
      restarts: Times that the device began anew within the file: a new session, or
        block numbers that start again.
      clock_set_back: Times that the clock went backwards within the file.
      calibration_method: `"van_hees"`, `"actipy"` or `"none"`.
      calibration_ok: Whether the recording counts as calibrated.
      calibration_points: Stationary windows that calibration rests on.
      calibration_error_before_mg: Mean distance from 1 g at rest, as recorded.
      calibration_error_after_mg: The same once calibrated (the best that was reached
        where calibration failed).
      recorded_h: Hours from first to last sample less gaps that were kept;
        `recorded_h = wear_h + nonwear_h + too_short_h + dropped_h`.
      wear_h: Hours of wear in the store.
      nonwear_h: Hours taken out as non-wear.
      too_short_h: Hours of wear in stretches shorter than the minimum.
      dropped_h: Hours of wear lost with a dropped recording.
      bridged_h: Part of `recorded_h` that no sample covers.
      segments: Stretches of wear in the store.
      clipped_values: Numbers in the store that were clipped to its range.
      status: `"used"`, `"dropped"` (read, nothing kept), `"unreadable"` or
        `"unsupported"` (no device file that any reader knows).
      reason: Why it is not used, as a category; None if used.
      detail: Why it is not used, in full; None if used.
      seconds: That reading, preparing and writing took on one core.
      bytes: Size of the file.
    """

    file: str
    name: str
    person: str | None = None
    device: str | None = None
    device_id: str | None = None
    start: datetime.datetime | None = None
    end: datetime.datetime | None = None
    utc_offset_s: float | None = None
    rate_nominal_hz: float | None = None
    rate_measured_hz: float | None = None
    samples: int | None = None
    blocks: int | None = None
    bad_blocks: int | None = None
    gaps: int | None = None
    restarts: int | None = None
    clock_set_back: int | None = None
    calibration_method: str | None = None
    calibration_ok: bool | None = None
    calibration_points: int | None = None
    calibration_error_before_mg: float | None = None
    calibration_error_after_mg: float | None = None
    recorded_h: float | None = None
    wear_h: float | None = None
    nonwear_h: float | None = None
    too_short_h: float | None = None
    dropped_h: float | None = None
    bridged_h: float | None = None
    segments: int = 0
    clipped_values: int | None = None
    status: str
    reason: str | None = None
    detail: str | None = None
    seconds: float | None = None
    bytes: int | None = None


def open_store(store: stores.Store | str | os.PathLike[str]) -> stores.Store:
    """Opens a store as it is now: unfinished, or without any recording, too.

    Raises:
      StoreError: There is no store, or one of its recordings is damaged.
    """
    if isinstance(store, stores.Store):
        return store
    try:
        return stores.Store.open(store)
    except layout.StoreError:
        files = layout.Files(store)
        header = layout.read_header(files)
        if header is None:
            raise
    keys = files.list("recordings/", suffix="/recording.json")
    found = zip(keys, files.read_many(keys), strict=True)
    return stores.Store(
        path=os.fspath(store),
        rate_hz=header["rate_hz"],
        description=header["description"],
        # One that is being replaced just now reads as nothing.
        entries=tuple(
            layout.parse_entry(row, f"{store}: {key}") for key, row in found if row
        ),
        fingerprint="",
        concurrency=layout.usable_cores(),
    )


def rows(store: stores.Store | str | os.PathLike[str]) -> list[Row]:
    """What became of every file that was prepared into a store, ordered by file.

    Args:
      store: A store, or the folder or URL of one; it may be unfinished, and it need
        not hold any recording.

    Raises:
      StoreError: There is no store, or a file of it is damaged.
    """
    store = open_store(store)
    found = [_of_entry(entry) for entry in store.entries]
    # A run that was killed between the two leaves both; the recording counts.
    there = {(row.name, row.file) for row in found}
    failures = map(_of_failure, _failures(store.path))
    found += [row for row in failures if (row.name, row.file) not in there]
    return sorted(found, key=lambda row: (row.file, row.name))


def _failures(path: str) -> list[Mapping[str, Any]]:
    files = layout.Files(path)
    keys = files.list("failures/", suffix=".json")
    failures = []
    for key, text in zip(keys, files.read_many(keys), strict=True):
        if not text:  # Deleted since it was listed: the file has been prepared.
            continue
        try:
            failure = json.loads(text)
            missing = {"name", "source", "reason", "status"} - set(failure)
            if missing or failure["status"] not in ("unreadable", "unsupported"):
                raise ValueError(f"lacks {sorted(missing)} or has an unknown status")
        except (ValueError, TypeError) as error:
            raise layout.StoreError(
                f"{path}: {key} is damaged ({error!r}); delete it and prepare again"
            ) from error
        failures.append(failure)
    return failures


def _of_failure(failure: Mapping[str, Any]) -> Row:
    detail = _text(failure["reason"])
    return Row(
        file=_text(failure["source"]),
        name=_text(failure["name"]),
        status=failure["status"],
        reason=category(detail),
        detail=detail,
        seconds=failure.get("seconds"),
        bytes=failure.get("bytes"),
    )


def _of_entry(entry: layout.Entry) -> Row:
    quality = entry.quality
    reader = quality.get("reader", {})
    calibration = quality.get("calibration", {})
    hours = quality.get("hours", {})
    detail = None
    if not entry.segments:
        detail = _text(quality.get("status", "no segment")).removeprefix("dropped: ")
    return Row(
        file=_text(entry.source),
        name=_text(entry.name),
        person=_text(entry.person),
        device=_text(entry.device),
        device_id=_text(entry.device_id),
        start=_time(quality.get("start")),
        end=_time(quality.get("end")),
        utc_offset_s=quality.get("utc_offset_s"),
        rate_nominal_hz=quality.get("nominal_rate_hz"),
        rate_measured_hz=quality.get("measured_rate_hz"),
        samples=reader.get("samples"),
        blocks=reader.get("blocks"),
        bad_blocks=reader.get("bad_blocks"),
        gaps=_sum(quality.get("gaps_bridged"), quality.get("gaps_kept")),
        restarts=_sum(reader.get("breaks_session"), reader.get("breaks_restart")),
        clock_set_back=quality.get("clock_set_back"),
        calibration_method=calibration.get("method"),
        calibration_ok=calibration.get("ok"),
        calibration_points=calibration.get("points"),
        calibration_error_before_mg=calibration.get("error_before_mg"),
        calibration_error_after_mg=calibration.get("error_after_mg"),
        recorded_h=hours.get("recorded"),
        wear_h=hours.get("used"),
        nonwear_h=hours.get("nonwear"),
        too_short_h=hours.get("too_short"),
        dropped_h=hours.get("dropped"),
        bridged_h=hours.get("bridged"),
        segments=len(entry.segments),
        clipped_values=quality.get("clipped_values"),
        status="dropped" if detail is not None else "used",
        reason=category(detail) if detail is not None else None,
        detail=detail,
        seconds=quality.get("seconds"),
        bytes=quality.get("bytes"),
    )


# What preparation says with figures in it, said without. A reason that is not here is
# a category by itself, less its figures.
_CATEGORIES = (
    (r"not calibrated \(\d+ stationary windows", "not calibrated: too little rest"),
    (
        r"not calibrated \(stationary windows span",
        "not calibrated: rest in too few orientations",
    ),
    (r"not calibrated \(error .* after", "not calibrated: error stays above 10 mg"),
    (r"no \S+ h of contiguous wear", "no contiguous wear of the minimum length"),
    (r"\d+ bytes starting with .* header of", "the file ends inside its header"),
)
_LONGEST_CATEGORY = 90


def category(detail: str) -> str:
    """The kind of a reason: without figures, names and advice.

    `"not calibrated (3 stationary windows, 10 needed)"` and the same with 4 are
    both `"not calibrated: too little rest"`.
    """
    for pattern, words in _CATEGORIES:
        match = re.match(pattern, detail)
        if match:
            return words
    text = re.sub(r"not calibrated \((.*)\)", r"not calibrated: \1", detail)
    # "...; name its columns with --csv" and "(starts with ...)": for one file.
    text = re.sub(r"\s*\([^()]*\)", "", text.split("; ")[0])
    text = re.sub(r"""(?<!\w)b?(['"]).*?\1""", "…", text)
    text = re.sub(r"(?<![\w.])[-+]?\d[\d.,]*(?:e[-+]?\d+)?(?!-?\w)", "…", text)
    text = " ".join(text.split()) or "no reason given"
    if len(text) > _LONGEST_CATEGORY:
        text = text[: _LONGEST_CATEGORY - 1].rstrip() + "…"
    return text


def _text(value: Any) -> str:
    """Text that can be written: a file name may hold bytes that are no UTF-8."""
    return str(value).encode("utf-8", "backslashreplace").decode("utf-8")


def _time(seconds: float | None) -> datetime.datetime | None:
    if seconds is None:
        return None
    try:
        return _EPOCH + datetime.timedelta(milliseconds=round(1e3 * seconds))
    except OverflowError:  # A clock beyond the year 9999 tells no time.
        return None


def _sum(*counts: int | None) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
