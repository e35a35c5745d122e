"""When a recording began, and the times of what is in it."""

import datetime


def started(start_time: str) -> datetime.datetime:
    """The moment that a text names.

    Raises:
      ValueError: It names none.
    """
    try:
        return datetime.datetime.fromisoformat(start_time)
    except ValueError as error:
        raise ValueError(
            f"--start_time={start_time} is no time such as 2026-03-01T06:00:00"
        ) from error


def begun(start_time: str) -> datetime.datetime | None:
    """Likewise; None for `""`, a recording without a clock."""
    return started(start_time) if start_time else None


def at(start: datetime.datetime, seconds: float) -> str:
    """ISO 8601 of a moment after the start, to the millisecond."""
    found = start + datetime.timedelta(seconds=round(seconds, 3))
    return found.isoformat(timespec="milliseconds")
