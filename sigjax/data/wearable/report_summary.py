"""What the rows of a report add up to."""

import collections
import dataclasses
import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sigjax.data.wearable import prepare
from sigjax.data.wearable.report_rows import STATUSES, Row

HOUR_PARTS = ("wear_h", "nonwear_h", "too_short_h", "dropped_h")
# Real loggers were seen to run up to 2.5 % off their nominal rate.
_RATE_OFF = 0.05
_FIRST_YEAR = 2005  # The first wrist loggers that store raw acceleration.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loss:
    """Files that are not used for one reason.

    Attributes:
      status: See `Row`.
      reason: Likewise.
      rows: The files, in order.
    """

    status: str
    reason: str
    rows: tuple[Row, ...]

    @property
    def recorded_h(self) -> float:
        """Hours that these files hold, as far as they could be read."""
        return _total(self.rows, "recorded_h")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """Read recordings that have something in common.

    Attributes:
      name: What they share: a device's model, a nominal rate in Hz.
      files: How many could be read.
      used: How many are used.
      devices: Different serial numbers among those read.
      wear_h: Hours of wear in the store.
      rates_hz: Smallest, median and largest measured rate; None if none is known.
    """

    name: str
    files: int
    used: int
    devices: int
    wear_h: float
    rates_hz: tuple[float, float, float] | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """Something that a study manager should look at.

    Attributes:
      text: What is the case.
      files: How many files it concerns.
      column: Where `report.csv` shows it.
    """

    text: str
    files: int
    column: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
    """The figures at the head of a report.

    Attributes:
      found: Files; the sum of `counts`.
      counts: Files by status, in the order of `STATUSES`.
      losses: By reason, most frequent first within each status; their files and the
        used ones add up to `found`.
      hours: Sums of the columns `recorded_h`, `wear_h`, `nonwear_h`, `too_short_h`,
        `dropped_h` and `bridged_h`.
      persons: Among the recordings that could be read.
      persons_used: Among those that are used.
      segments: In the store.
      blocks: Units of format in the files that have such.
      bad_blocks: Those of them that failed a check.
      devices: By model.
      rates: By nominal rate.
      checks: What to look at; only what is the case.
      bytes: Of all files that a reader was tried on.
      seconds: Mean and median time that one of these took on one core; None if none
        is known.
      calibration_mg: Median error before and after, of the used recordings that were
        calibrated; None where there are none.
    """

    found: int
    counts: Mapping[str, int]
    losses: tuple[Loss, ...]
    hours: Mapping[str, float]
    persons: int
    persons_used: int
    segments: int
    blocks: int
    bad_blocks: int
    devices: tuple[Group, ...]
    rates: tuple[Group, ...]
    checks: tuple[Check, ...]
    bytes: int
    seconds: tuple[float, float] | None
    calibration_mg: tuple[float, float] | None

    @property
    def files_per_hour(self) -> float | None:
        """That one core prepares."""
        return 3600 / self.seconds[0] if self.seconds and self.seconds[0] else None


def summarise(rows: Sequence[Row]) -> Summary:
    """Adds up the rows of a store."""
    by_status = collections.Counter(row.status for row in rows)
    used = [row for row in rows if row.status == "used"]
    read = [row for row in rows if row.status in ("used", "dropped")]
    tried = [row for row in rows if row.status != "unsupported"]
    seconds = _known(tried, "seconds")
    errors = [
        (row.calibration_error_before_mg, row.calibration_error_after_mg)
        for row in used
        if row.calibration_ok and row.calibration_method != "none"
    ]
    errors = [(a, b) for a, b in errors if a is not None and b is not None]
    summary = Summary(
        found=len(rows),
        counts={status: by_status[status] for status in STATUSES},
        losses=_losses(rows),
        hours={
            key: _total(rows, key) for key in ("recorded_h", *HOUR_PARTS, "bridged_h")
        },
        persons=len({row.person for row in read}),
        persons_used=len({row.person for row in used}),
        segments=sum(row.segments for row in rows),
        blocks=int(_total(rows, "blocks")),
        bad_blocks=int(_total(rows, "bad_blocks")),
        devices=_groups(read, lambda row: row.device or "unknown"),
        rates=_groups(read, _nominal),
        checks=_checks(rows),
        bytes=int(_total(tried, "bytes")),
        seconds=(float(np.mean(seconds)), float(np.median(seconds)))
        if seconds
        else None,
        calibration_mg=(
            float(np.median([a for a, _ in errors])),
            float(np.median([b for _, b in errors])),
        )
        if errors
        else None,
    )
    lost = sum(len(loss.rows) for loss in summary.losses)
    # What the report is for: no file may be missing from it, or stand in it twice.
    assert summary.found == sum(summary.counts.values()) == len(used) + lost
    return summary


def _known(rows: Iterable[Row], key: str) -> list[Any]:
    return [v for v in (getattr(row, key) for row in rows) if v is not None]


def _total(rows: Iterable[Row], key: str) -> float:
    return sum(_known(rows, key))


def _losses(rows: Iterable[Row]) -> tuple[Loss, ...]:
    kinds = collections.defaultdict(list)
    for row in rows:
        if row.status != "used":
            kinds[row.status, row.reason or "no reason given"].append(row)
    losses = [
        Loss(status=status, reason=reason, rows=tuple(some))
        for (status, reason), some in kinds.items()
    ]
    order = {status: number for number, status in enumerate(STATUSES)}
    return tuple(
        sorted(losses, key=lambda x: (order[x.status], -len(x.rows), x.reason))
    )


def _nominal(row: Row) -> str:
    return "unknown" if row.rate_nominal_hz is None else f"{row.rate_nominal_hz:g} Hz"


def _groups(rows: Iterable[Row], name: Callable[[Row], str]) -> tuple[Group, ...]:
    kinds = collections.defaultdict(list)
    for row in rows:
        kinds[name(row)].append(row)
    groups = []
    for key, some in kinds.items():
        rates = _known(some, "rate_measured_hz")
        spread = (min(rates), float(np.median(rates)), max(rates)) if rates else None
        groups.append(
            Group(
                name=key,
                files=len(some),
                used=sum(row.status == "used" for row in some),
                devices=len({row.device_id for row in some if row.device_id}),
                wear_h=_total(some, "wear_h"),
                rates_hz=spread,
            )
        )
    return tuple(sorted(groups, key=lambda group: (-group.files, group.name)))


def _off_rate(row: Row) -> bool:
    if not row.rate_nominal_hz or not row.rate_measured_hz:
        return False
    return abs(row.rate_measured_hz / row.rate_nominal_hz - 1) > _RATE_OFF


def _odd_clock(row: Row) -> bool:
    if row.start is None or row.end is None:
        return False
    # A day's grace: device clocks are local.
    latest = datetime.datetime.now() + datetime.timedelta(days=1)
    return row.start.year < _FIRST_YEAR or row.end > latest


def _uncalibrated(row: Row) -> bool:
    return row.calibration_method != "none" and row.calibration_ok is False


def _positive(column: str) -> Callable[[Row], bool]:
    return lambda row: bool(getattr(row, column))


# What is worth a look, of which recordings, when, and in which column.
_READ, _USED = ("used", "dropped"), ("used",)
_CHECKS = (
    ("used although not calibrated", _USED, _uncalibrated, "calibration_ok"),
    (
        f"clock before {_FIRST_YEAR} or in the future: was it set?",
        _READ,
        _odd_clock,
        "start",
    ),
    (
        f"measured rate more than {_RATE_OFF:.0%} from nominal",
        _READ,
        _off_rate,
        "rate_measured_hz",
    ),
    *(
        (text, statuses, _positive(column), column)
        for text, statuses, column in (
            ("corrupt blocks left out", _READ, "bad_blocks"),
            ("gaps in time, bridged or kept", _READ, "gaps"),
            ("device restarted within the file", _READ, "restarts"),
            ("clock set back within the file", _READ, "clock_set_back"),
            ("values beyond ±16 g clipped in the store", _USED, "clipped_values"),
        )
    ),
)


def _checks(rows: Sequence[Row]) -> tuple[Check, ...]:
    names = collections.Counter(row.person for row in rows if row.status == "used")
    several = (
        "used recordings of a person who has several",
        _USED,
        lambda row: names[row.person] > 1,
        "person",
    )
    counted = (
        Check(
            text=text,
            files=sum(row.status in statuses and holds(row) for row in rows),
            column=column,
        )
        for text, statuses, holds, column in (*_CHECKS, several)
    )
    return tuple(check for check in counted if check.files)


def settings(
    description: Mapping[str, Any],
) -> tuple[str, list[tuple[str, str, str | None]]]:
    """How a store was prepared.

    Args:
      description: Of the store.

    Returns:
      The name of the preset that is closest, with what differs in words, and
      `(setting, value, the preset's value if it differs)`.
    """
    flat = _flatten(description)
    known = {
        name: _flatten(dataclasses.asdict(c)) for name, c in prepare.PRESETS.items()
    }

    def changed(name: str) -> list[str]:
        return [key for key, value in known[name].items() if flat.get(key) != value]

    best = min(known, key=lambda name: len(changed(name)))
    differs = changed(best)
    if len(differs) > len(known[best]) // 2:
        return "own settings", [(key, str(value), None) for key, value in flat.items()]
    table = [
        (key, str(value), str(known[best][key]) if key in differs else None)
        for key, value in flat.items()
    ]
    words = ", ".join(f"{key} = {flat.get(key, 'absent')}" for key in differs)
    return f"preset {best}" + (f", but {words}" if words else ""), table


def _flatten(value: Any, at: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        return {at: value}
    parts = (_flatten(v, f"{at}.{k}" if at else str(k)) for k, v in value.items())
    return {key: item for part in parts for key, item in part.items()}
