"""Reads windows of acceleration in the layout of ssl-wearables: one folder of arrays.

`X.npy` holds the windows of many people, `[n, t, 3]` in g (30 Hz and t = 300 there).
Beside it, each with one entry per window and each optional: `Y.npy` (labels),
`pid.npy` or `P.npy` (persons), `time.npy` or `T.npy` (starts). A person's windows are
one recording, addressed as if the file were a folder: `X.npy/P001`.
"""

import io
import os
import urllib.parse
from typing import NamedTuple

import numpy as np
from etils import epath

from sigjax.data.formats.options import DEFAULT, ReadOptions
from sigjax.data.formats.source import Source
from sigjax.data.formats.table_rows import LARGEST_G
from sigjax.data.recording import Channel, FormatError, Recording, Segment

DEFAULT_RATE_HZ = 30.0
_WINDOWS = "X.npy"
_BESIDE = {
    "label": ("Y.npy",),
    "person": ("pid.npy", "P.npy"),
    "time": ("time.npy", "T.npy"),
}
# Windows without times are laid this far apart, so that nothing joins them.
_APART_S = 3600.0


def recognises(source: Source) -> bool:
    """Whether a file is called `X.npy` (or `NAME.npy` is read from bytes)."""
    if source.path is None:
        return source.kind.endswith(".npy")
    return source.path.name == _WINDOWS


def is_beside_windows(path: epath.Path) -> bool:
    """Whether a file is one of those that describe the windows of an `X.npy`."""
    named = any(path.name in names for names in _BESIDE.values())
    return named and (path.parent / _WINDOWS).exists()


def members(source: Source) -> list[epath.Path]:
    """The recordings in an `X.npy`: one for each person.

    It is one recording itself if no file names persons, or none that can be read:
    reading it then tells why.
    """
    if source.path is None:
        return []
    try:
        persons = _beside(source, "person")
    except FormatError:
        persons = None
    if persons is None:
        return [source.path]
    texts = sorted({_text(person) for person in np.unique(persons)})
    return [source.path / _quote(text) for text in texts]


def read_npy_windows(
    source: epath.PathLike | bytes | Source,
    *,
    name: str = "",
    options: ReadOptions = DEFAULT,
    person: str | None = None,
) -> Recording:
    """Reads one person's windows.

    Windows of which each begins when the one before it ends (to a sample) become one
    segment. Others, and all windows where no file tells their times, are a segment
    each; without times they are laid an hour apart, and `metadata["time"]` says so.
    `datetime64` times are local, numbers are seconds since 1970-01-01, UTC.

    Args:
      source: `X.npy`, or `X.npy/PERSON`; or the bytes of an `X.npy`.
      name: What to call the source; the path unless given.
      options: `csv.rate_hz` if a layout is given that has one, else windows are at
        30 Hz.
      person: Whose; that of the path unless given. Not needed for one person.

    Returns:
      The recording. Blocks are windows; `bad_number` (not finite), `bad_range` (more
      than 1000 g) and `bad_time` (no time) are left out. Labels become the
      channel `"label"`, numbered over the whole file; -1 where a label is empty, NaN
      or -1.

    Raises:
      FormatError: An array has another shape or type, is damaged or holds pickled
        objects, there are several persons and none was named, or not this one.
      FileNotFoundError: If there is no `X.npy`.
    """
    source = Source(source, name)
    windows, beside = _arrays(source)
    persons, times = beside["person"], beside["time"]
    chosen, who = _choose(persons, person or source.member, len(windows), source)
    layout = options.csv
    rate = layout.rate_hz if layout is not None and layout.rate_hz else DEFAULT_RATE_HZ
    starts = _starts(times, chosen, windows.shape[1] / rate, source.name)
    codes, labels = _codes(beside["label"])
    kept, quality = _usable(windows, chosen, starts)
    runs = _runs(starts[kept], windows.shape[1] / rate, rate)
    quality["breaks_time"] = max(len(runs) - 1, 0)
    utc = times is not None and times.dtype.kind != "M"
    metadata = {"clock": "utc" if utc else "device-local"}
    metadata |= {"subject_code": who} if who else {}
    metadata |= {} if times is not None else {"time": "unknown"}
    return Recording(
        source=source.name,
        device="windows",
        device_id="",
        nominal_rate_hz=rate,
        segments=tuple(
            _segment(windows, chosen[kept][run], starts[kept][run][0], rate, codes)
            for run in runs
        ),
        quality=quality,
        metadata=metadata | ({"labels": labels} if codes is not None else {}),
        utc_offset_s=0.0 if utc else None,
    )


def _arrays(source: Source) -> tuple[np.ndarray, dict[str, np.ndarray | None]]:
    """The windows and what is beside them, all of one length."""
    windows = _load(source)
    if windows.ndim != 3 or windows.shape[2] != 3 or windows.dtype.kind != "f":
        raise FormatError(
            f"{source.name}: expected windows of float [n, t, 3] in g, found"
            f" {windows.dtype} {list(windows.shape)}"
        )
    if not windows.shape[1]:
        raise FormatError(f"{source.name}: its windows have no samples")
    beside = {what: _beside(source, what) for what in _BESIDE}
    for what, values in beside.items():
        if values is not None and values.shape != windows.shape[:1]:
            raise FormatError(
                f"{source.name}: {len(windows)} windows, but its {what} file has shape"
                f" {list(values.shape)}: expected one entry for each"
            )
    return windows, beside


def _choose(
    persons: np.ndarray | None, person: str, count: int, source: Source
) -> tuple[np.ndarray, str]:
    """Returns which windows are a person's, and who that is."""
    if persons is None:
        if person:
            raise FormatError(
                f"{source.name}: there is no pid.npy beside it to find {person!r} in"
            )
        return np.arange(count), ""
    known, of = np.unique(persons, return_inverse=True)
    texts = [_text(value) for value in known]
    if not person and len(texts) == 1:
        person = texts[0]
    if person not in texts:
        some = ", ".join(texts[:5])
        problem = f"no person {person!r}" if person else f"{len(texts)} persons"
        raise FormatError(
            f"{source.name}: {problem} ({some}...): name one as {_WINDOWS}/PERSON"
        )
    return np.flatnonzero(of == texts.index(person)), person


def _starts(
    times: np.ndarray | None, chosen: np.ndarray, window_s: float, name: str
) -> np.ndarray:
    """Float64 `[m]` seconds since 1970-01-01, NaN for none."""
    if times is None:
        return np.arange(len(chosen)) * (window_s + _APART_S)
    times = times[chosen]
    if times.dtype.kind == "M":
        missing = np.isnat(times)
        whole = times.astype("datetime64[us]").astype(np.int64)
        seconds = np.where(missing, np.nan, whole / 1e6)
    elif times.dtype.kind in "iuf":
        seconds = times.astype(np.float64)
    else:
        raise FormatError(
            f"{name}: its times are {times.dtype}: expected datetime64, or seconds"
            " since 1970-01-01"
        )
    # What a double can still tell apart to a microsecond.
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(seconds) < 2**33, seconds, np.nan)


def _usable(
    windows: np.ndarray, chosen: np.ndarray, starts: np.ndarray
) -> tuple[np.ndarray, dict[str, int]]:
    """Tells the windows to keep, and counts the others."""
    largest = np.empty(len(chosen))
    for place, index in enumerate(chosen):
        largest[place] = np.abs(windows[index]).max()
    number, timed = np.isfinite(largest), np.isfinite(starts)
    inside = number & ~(largest > LARGEST_G)
    kept = inside & timed
    quality = {
        "blocks": len(chosen),
        "bad_blocks": int((~kept).sum()),
        "samples": int(kept.sum()) * windows.shape[1],
        "bad_number": int((~number).sum()),
        "bad_range": int((number & ~inside).sum()),
        "bad_time": int((inside & ~timed).sum()),
    }
    return kept, quality


def _runs(starts: np.ndarray, window_s: float, rate_hz: float) -> list[slice]:
    """Windows that continue one another."""
    if not len(starts):
        return []
    joined = np.abs(np.diff(starts) - window_s) < 1 / rate_hz
    edges = [0, *(np.flatnonzero(~joined) + 1).tolist(), len(starts)]
    return [slice(low, high) for low, high in zip(edges, edges[1:], strict=False)]


def _segment(
    windows: np.ndarray,
    chosen: np.ndarray,
    start: float,
    rate_hz: float,
    codes: np.ndarray | None,
) -> Segment:
    counts = np.asarray(windows[chosen], np.float32).reshape(-1, 3)
    channels = {}
    if codes is not None:
        values = np.repeat(codes[chosen], windows.shape[1])
        channels["label"] = Channel(values=values, unit="label")
    index = np.array([0.0, len(counts)])
    return Segment(
        counts=counts,
        scale=1.0,
        anchor_index=index,
        anchor_time=start + index / rate_hz,
        temperature_index=np.zeros(0),
        temperature_c=np.zeros(0, np.float32),
        channels=channels,
    )


def _codes(labels: np.ndarray | None) -> tuple[np.ndarray | None, list[str]]:
    """Int16 codes of all windows' labels, and the labels in order."""
    if labels is None:
        return None, []
    known, codes = np.unique(labels, return_inverse=True)
    texts = [_text(value) for value in known]
    none = np.array([text in ("", "nan", "NaN", "-1") for text in texts], bool)
    table = np.where(none, -1, np.cumsum(~none) - 1).astype(np.int16)
    return table[codes], [t for t, no in zip(texts, none, strict=True) if not no]


def _text(value: np.generic) -> str:
    if isinstance(value, np.bytes_):
        return value.decode("utf-8", errors="replace")
    number = isinstance(value, np.floating) and np.isfinite(value)
    return str(int(value)) if number and value == int(value) else str(value)


def _quote(person: str) -> str:
    # A dot would be read as the beginning of a file's ending.
    return urllib.parse.quote(person, safe=" ").replace(".", "%2E")


def _beside(source: Source, what: str) -> np.ndarray | None:
    """One of the files that describe the windows, if there is one."""
    if source.path is None:
        return None
    for name in _BESIDE[what]:
        path = source.path.parent / name
        if path.exists():
            return np.asarray(_load(Source(path)))
    return None


class _Header(NamedTuple):
    dtype: np.dtype
    shape: tuple[int, ...]
    fortran: bool
    offset: int


def _load(source: Source) -> np.ndarray:
    """An array, mapped where the file system can; never unpickled."""
    with source.open() as stream:
        head = stream.read(1 << 16)
        header = _header(head, source.name)
        size = header.dtype.itemsize
        for length in header.shape:
            size *= length
        local = source.path is not None and os.path.exists(os.fspath(source.path))
        if local and stream.size is not None:
            there, raw = stream.size - header.offset, b""
        else:
            raw = (head + stream.read_all())[header.offset :]
            there = len(raw)
    if there < size:
        raise FormatError(
            f"{source.name}: ends after {max(there, 0):,} of {size:,} bytes of data"
        )
    order = "F" if header.fortran else "C"
    if not size:
        return np.zeros(header.shape, header.dtype)
    if raw:
        flat = np.frombuffer(raw[:size], header.dtype)
        return flat.reshape(header.shape, order=order)
    return np.memmap(
        os.fspath(source.path or ""),
        header.dtype,
        mode="r",
        offset=header.offset,
        shape=header.shape,
        order=order,
    )


def _header(head: bytes, name: str) -> _Header:
    stream = io.BytesIO(head)
    try:
        version = np.lib.format.read_magic(stream)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read(stream)
    except Exception as error:  # Whatever its parser meets in a damaged header.
        raise FormatError(f"{name}: not a .npy file: {error}") from error
    if dtype.hasobject:
        raise FormatError(
            f"{name}: holds pickled Python objects, which are never loaded; save it as"
            " text: np.save(path, np.load(path, allow_pickle=True).astype(str))"
        )
    sensible = all(0 <= length < 2**40 for length in shape) and len(shape) <= 3
    if dtype.names is not None or dtype.subdtype is not None or not sensible:
        raise FormatError(f"{name}: expected a plain array, found {dtype} {shape}")
    return _Header(dtype, shape, fortran, stream.tell())
