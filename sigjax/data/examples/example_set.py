"""Examples of one shape in memory, and what is known of them."""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

DTYPES = ("uint8", "int16", "float32")
UNKNOWN = -1  # as a label


class ExampleError(ValueError):
    """Examples cannot be read or divided; says what, where and what to do."""


class ExampleSet(NamedTuple):
    """Examples; `len(found.x)` of them.

    Attributes:
      x: `[n, *raw]`, uint8, int16 or float32.
      label: Int32 `[n]`, index into `classes`; -1 if it is not known.
      group: Text `[n]`: person, speaker, recording; `""` if it is not known.
      ids: Text `[n]`, each its own.
      classes: Names.
      rate_hz: Sampling rate along the first axis of an example; 0 if it has none.
      units: Of the values: `"g"`, `"full scale"` (int16 counts of which 32768 are
        full scale), `"grey level"`, `""`.
      origin: What it is, a line for headers; it says so if the examples are simulated.
    """

    x: np.ndarray
    label: np.ndarray
    group: np.ndarray
    ids: np.ndarray
    classes: tuple[str, ...]
    rate_hz: float
    units: str
    origin: str

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example."""
        return self.x.shape[1:]

    def rows(self, rows: np.ndarray) -> "ExampleSet":
        """Some of them: int `[m]`, or bool `[n]`."""
        return self._replace(
            x=self.x[rows],
            label=self.label[rows],
            group=self.group[rows],
            ids=self.ids[rows],
        )


def example_set(
    x: np.ndarray,
    *,
    origin: str,
    label: np.ndarray | None = None,
    group: Sequence[str] | np.ndarray | None = None,
    ids: Sequence[str] | np.ndarray | None = None,
    classes: Sequence[str] = (),
    rate_hz: float = 0.0,
    units: str = "",
) -> ExampleSet:
    """Checks examples.

    Args:
      x: `[n, *raw]`; float64 becomes float32.
      origin: What they are; begins messages.
      label: Int `[n]`, by default all -1.
      group: By default all `""`.
      ids: By default their numbers.
      classes: Names of labels.
      rate_hz: See `ExampleSet`.
      units: See `ExampleSet`.

    Raises:
      ExampleError: There is none, a dtype is none of `DTYPES`, a value is not finite, a
        label is no class, lengths differ, or an id is there twice.
    """
    x = np.asarray(x)
    if x.dtype == np.float64:
        x = x.astype(np.float32)
    if x.dtype.name not in DTYPES:
        raise ExampleError(
            f"{origin}: x is {x.dtype.name}; give {', '.join(DTYPES)} or float64"
        )
    if x.ndim < 2 or not x.size:
        raise ExampleError(
            f"{origin}: x is {list(x.shape)}; give [examples, values, ...], none empty"
        )
    n = len(x)
    found = ExampleSet(
        x=x,
        label=np.full(n, UNKNOWN, np.int32) if label is None else np.asarray(label),
        group=np.full(n, "") if group is None else np.asarray(group).astype(str),
        ids=np.asarray(np.arange(n) if ids is None else ids).astype(str),
        classes=tuple(classes),
        rate_hz=float(rate_hz),
        units=units,
        origin=origin,
    )
    for name in ("label", "group", "ids"):
        value = getattr(found, name)
        if value.shape != (n,):
            raise ExampleError(
                f"{origin}: {name} is {list(value.shape)}, and there are {n} examples"
            )
    _check_values(found)
    return found._replace(label=_checked_labels(found))


def _check_values(found: ExampleSet) -> None:
    if found.x.dtype == np.float32:
        good = np.isfinite(found.x).reshape(len(found.x), -1).all(axis=1)
        if not good.all():
            first = found.ids[np.flatnonzero(~good)[0]]
            raise ExampleError(
                f"{found.origin}: {np.count_nonzero(~good)} of {len(found.x)} examples"
                f" have NaN or infinite values, the first of them {first!r}; leave"
                " them out, or fill them"
            )
    names, counts = np.unique(found.ids, return_counts=True)
    if len(names) < len(found.ids):
        twice = str(names[np.argmax(counts)])
        raise ExampleError(f"{found.origin}: id {twice!r} is there twice")


def _checked_labels(found: ExampleSet) -> np.ndarray:
    label = found.label
    if label.dtype.kind not in "iu":
        raise ExampleError(f"{found.origin}: labels are {label.dtype}, not integers")
    known = len(found.classes)
    if label.min() < UNKNOWN or label.max() >= known:
        raise ExampleError(
            f"{found.origin}: labels are {label.min()} to {label.max()}, and there are"
            f" {known} classes: 0 to {known - 1}, or {UNKNOWN} for unknown"
        )
    return label.astype(np.int32)


def digest(found: ExampleSet) -> str:
    """Short hash of values, labels, groups and ids: equal means the same examples."""
    state = hashlib.blake2b(digest_size=8)
    parts: list[Any] = [found.x, found.label, found.group, found.ids]
    for part in parts:
        state.update(f"{part.dtype.str} {part.shape}".encode())
        state.update(np.ascontiguousarray(part).view(np.uint8).data)
    return state.hexdigest()
