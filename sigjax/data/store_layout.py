"""How a store is laid out: its rows, its array format, its small files.

`sigjax.data.store` reads and writes with these.
"""

import dataclasses
import hashlib
import json
import math
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorstore as ts

FORMAT = "sigjax recordings"
VERSION = 1
CHUNKS_PER_SHARD = 24
_CHUNK_S = 3600


class StoreError(ValueError):
    """A store is missing, damaged or unfit; the message says which, why, what to do."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentEntry:
    """One array of the store.

    Attributes:
      start: Seconds since 1970-01-01 of sample 0 (device-local clock).
      samples: Its length.
      scale: g per count.
      path: Of the array, within the store.
      digest: Hash of the counts: the store's fingerprint follows the data.
    """

    start: float
    samples: int
    scale: float
    path: str
    digest: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """One recording of the store.

    Attributes:
      name: Unique within the store.
      person: Whose wrist.
      source: The file it came from.
      device: Model.
      device_id: Serial number.
      rate_hz: Of every segment.
      segments: In time order; empty if preparation left nothing (see `quality`).
      quality: Figures of the reader and of preparation, plus `clipped_values`:
        how many of the numbers lay beyond the int16 range and were clipped.
    """

    name: str
    person: str
    source: str
    device: str
    device_id: str
    rate_hz: float
    segments: tuple[SegmentEntry, ...]
    quality: Mapping[str, Any]


class Files:
    """The small files of a store, through TensorStore's key-value interface."""

    def __init__(self, path: str | os.PathLike[str]):
        """Connects to a folder or URL; nothing needs to exist there."""
        text = os.fspath(path)
        if "://" in text:
            spec: Any = text.rstrip("/") + "/"
        else:
            absolute = str(pathlib.Path(text).expanduser().resolve())
            spec = {"driver": "file", "path": absolute.rstrip("/") + "/"}
        try:
            self._store = ts.KvStore.open(spec, context=_SMALL).result()
        except Exception as error:  # TensorStore raises no type of its own.
            raise StoreError(f"{path}: cannot open: {error}") from error
        self.path = text

    def spec(self, key: str) -> dict[str, Any]:
        """Key-value store of the folder `key`, for an array."""
        root = self._store.spec().to_json()
        return {**root, "path": f"{root['path']}{key}/"}

    def read(self, key: str) -> bytes | None:
        """Content of `key`, or None where there is none."""
        return self._finish(key, self._store.read(key), missing=None)

    def read_many(self, keys: Sequence[str]) -> list[bytes]:
        """Reads at most 256 at a time: a bucket answers each after a while."""
        values = []
        for at in range(0, len(keys), 256):
            some = keys[at : at + 256]
            pending = [self._store.read(key) for key in some]
            values += [
                self._finish(key, future, missing=b"")
                for key, future in zip(some, pending, strict=True)
            ]
        return values

    def _finish(self, key: str, future: Any, *, missing: Any) -> Any:
        try:
            result = future.result()
        except Exception as error:  # TensorStore raises no type of its own.
            raise StoreError(f"{self.path}: cannot read {key}: {error}") from error
        return result.value if result.state == "value" else missing

    def write(self, key: str, value: bytes) -> None:
        """Writes all of it or nothing."""
        self._store.write(key, value).result()

    def delete(self, key: str) -> None:
        """Deletes `key` if it exists."""
        self._store.write(key, None).result()

    def delete_folder(self, key: str) -> None:
        """Deletes everything under `key`."""
        self._store.delete_range(ts.KvStore.KeyRange(f"{key}/", f"{key}0")).result()

    def list(self, folder: str, *, suffix: str) -> list[str]:
        """Sorted keys under `folder` (with its slash) that end in `suffix`."""
        under = ts.KvStore.KeyRange(folder, folder[:-1] + "0")  # "0" follows "/".
        keys = (key.decode() for key in self._store.list(under).result())
        return sorted(key for key in keys if key.endswith(suffix))


_SMALL = ts.Context()


def usable_cores() -> int:
    """CPU cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # Not every system has it.
        return os.cpu_count() or 1


def make_context(concurrency: int, cache_bytes: int = 0) -> ts.Context:
    """Resources of one store: decodes on at most `concurrency` cores."""
    return ts.Context(
        {
            "cache_pool": {"total_bytes_limit": cache_bytes},
            "data_copy_concurrency": {"limit": concurrency},
            "file_io_concurrency": {"limit": 4 * concurrency},
        }
    )


def chunk_samples(rate_hz: float) -> int:
    """Samples of a chunk: an hour."""
    return round(_CHUNK_S * rate_hz)


def array_spec(files: Files, path: str, samples: int, rate_hz: float) -> dict[str, Any]:
    """TensorStore spec of a segment's array, complete: opening needs no zarr.json."""
    chunk = chunk_samples(rate_hz)
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    blosc = {"cname": "lz4", "clevel": 5, "shuffle": "bitshuffle", "typesize": 2}
    compress = {"name": "blosc", "configuration": {**blosc, "blocksize": 0}}
    crc = {"name": "crc32c"}
    sharding = {
        "chunk_shape": [chunk, 3],
        "codecs": [little, compress, crc],
        "index_codecs": [little, crc],
        "index_location": "end",
    }
    grid = {"chunk_shape": [chunk * CHUNKS_PER_SHARD, 3]}
    return {
        "driver": "zarr3",
        "kvstore": files.spec(path),
        "metadata": {
            "shape": [samples, 3],
            "data_type": "int16",
            "fill_value": 0,
            "chunk_grid": {"name": "regular", "configuration": grid},
            "chunk_key_encoding": {"name": "default"},
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "dimension_names": ["sample", "axis"],
        },
    }


def read_header(files: Files) -> dict[str, Any] | None:
    """The content of store.json, or None where there is none."""
    text = files.read("store.json")
    if text is None:
        return None
    where = f"{files.path}: store.json"
    try:
        header = json.loads(text)
        kind, version = header.pop("format"), header.pop("version")
        found = {"rate_hz", "units", "description"} <= set(header)
    except (ValueError, AttributeError, KeyError) as error:
        raise StoreError(f"{where} is damaged or not sigjax's: {error!r}") from error
    if kind != FORMAT or version != VERSION or not found:
        raise StoreError(
            f"{where} says format {kind!r}, version {version}; this program reads"
            f" {FORMAT!r}, version {VERSION}. Prepare the recordings again."
        )
    return {"format": kind, "version": version, **header}


def parse_entry(row: bytes, where: str) -> Entry:
    """One recording.json; `where` names it in an error."""
    try:
        fields = json.loads(row)
        segments = tuple(SegmentEntry(**segment) for segment in fields["segments"])
        return Entry(**{**fields, "segments": segments})
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"{where} is damaged ({error}); delete the recording's recording.json,"
            " prepare it again and call StoreWriter(...).finish()"
        ) from error


def fingerprint(rate_hz: float, entries: Sequence[Entry]) -> str:
    """Short hash of names, persons and samples."""
    # Not the index itself, which also tells how long each recording took.
    data = []
    for entry in entries:
        segments = [[s.start, s.samples, s.scale, s.digest] for s in entry.segments]
        data.append([entry.name, entry.person, segments])
    text = json.dumps([rate_hz, data])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def to_json(value: Any, indent: int | None = None) -> bytes:
    """JSON with NumPy's values as plain ones; NaN and infinity become null."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray | np.generic):
            value = value.tolist()
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value

    return json.dumps(plain(value), indent=indent, allow_nan=False).encode()


def differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Which keys of two JSON objects differ, dotted, and how."""

    def flat(value: Any, at: str = "") -> dict[str, Any]:
        if not isinstance(value, Mapping) or not value:
            return {at: value}
        inner = (flat(v, f"{at}.{k}" if at else k) for k, v in value.items())
        return {key: item for part in inner for key, item in part.items()}

    old, new = flat(found), flat(wanted)
    keys = [k for k in {**old, **new} if old.get(k, "-") != new.get(k, "-")]
    return "; ".join(
        f"{key} is {old.get(key, 'absent')!r} there, {new.get(key, 'absent')!r} here"
        for key in keys
    )


def checked_name(name: str) -> str:
    """`name`, if a folder can be called so."""
    if re.fullmatch(r"[^./\\\x00-\x1f][^/\\\x00-\x1f]*", name):
        return name
    raise StoreError(
        f"{name!r} cannot name a recording: it becomes a folder, so it must not be"
        " empty, start with a dot or hold slashes or control characters"
    )
