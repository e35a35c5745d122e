"""Prepared recordings at rest: one compressed zarr3 array per wear segment.

    STORE/store.json                     format, rate, units, how it was prepared
    STORE/recordings/NAME/0, 1, ...      int16 counts [s, 3], one array per segment
    STORE/recordings/NAME/recording.json written last: it exists = NAME is complete
    STORE/index.jsonl, index.sha256      every recording.json, sorted by name

An array holds chunks of one hour inside shards of one day (`sharding_indexed`),
bitshuffled lz4 with a crc32c each, so a day is one file and a random crop reads only
its own hours. STORE is a folder or any key-value store that TensorStore knows by URL
(`gs://bucket/path`, `s3://bucket/path`). The small files go through TensorStore too:
its writes are atomic everywhere and need no further package for a bucket.

The index carries every array's length, so opening an array reads nothing, and
opening a store of 100,000 recordings reads three files.
"""

import dataclasses
import functools
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorstore as ts

from sigjax.data import store_layout as layout
from sigjax.data.recording import PreparedRecording
from sigjax.data.store_layout import Entry, SegmentEntry, StoreError

__all__ = ["SCALE", "Entry", "SegmentEntry", "Store", "StoreError", "StoreWriter"]

# g per count: 16 g fill the int16 range and the error is at most 0.24 mg, half a
# count. An AX6 set to 16 g counts the same way; an AX3 is never finer.
SCALE = 1 / 2048
_OPEN_ARRAYS = 1024
_THIS_PROCESS = ("_context", "_files", "_array")


class Store:
    """Random access to the recordings of a finished store. Pickles (Grain workers).

    Attributes:
      path: Folder or URL.
      rate_hz: Sampling rate of every recording.
      description: How the recordings were prepared, as given to `StoreWriter`.
      entries: All recordings, sorted by name.
      fingerprint: Short hash of names, persons and samples: equal means the same
        data, wherever and whenever they were prepared.
    """

    def __init__(
        self,
        *,
        path: str,
        rate_hz: float,
        description: Mapping[str, Any],
        entries: tuple[Entry, ...],
        fingerprint: str,
        concurrency: int,
        cache_bytes: int = 0,
    ):
        """Use `Store.open`."""
        self.path = path
        self.rate_hz = rate_hz
        self.description = description
        self.entries = entries
        self.fingerprint = fingerprint
        self._concurrency = concurrency
        self._cache_bytes = cache_bytes
        self._connect()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        concurrency: int | None = None,
        cache_bytes: int = 0,
    ) -> "Store":
        """Reads the index of the store at `path`.

        Args:
          path: Folder or key-value store URL.
          concurrency: Most CPU cores that decode at once, over all threads of this
            process; every core this process may use by default.
          cache_bytes: Memory for decoded chunks. None by default: random crops of a
            large store do not come back soon. Short crops of one that fits do.

        Raises:
          StoreError: The store is missing, of another format, unfinished or empty,
            or its index is damaged.
        """
        files = layout.Files(path)
        header = layout.read_header(files)
        if header is None:
            raise StoreError(
                f"{path}: no store here (store.json is missing); give the folder that"
                " StoreWriter wrote, or prepare recordings into it first"
            )
        index, checksum = files.read("index.jsonl"), files.read("index.sha256")
        if index is None or checksum is None:
            raise StoreError(
                f"{path}: the store has no index: writing is unfinished; complete it"
                " and call StoreWriter(...).finish()"
            )
        digest = hashlib.sha256(index).hexdigest()
        if checksum.split()[:1] != [digest.encode()]:
            raise StoreError(
                f"{path}: index.jsonl does not match index.sha256: it is truncated or"
                " was altered; rebuild it with StoreWriter(...).finish()"
            )
        entries = tuple(
            layout.parse_entry(line, f"{path}: index.jsonl line {number}")
            for number, line in enumerate(index.splitlines(), 1)
        )
        if not entries:
            raise StoreError(f"{path}: the store holds no recordings; prepare some")
        return cls(
            path=os.fspath(path),
            rate_hz=header["rate_hz"],
            description=header["description"],
            entries=entries,
            fingerprint=layout.fingerprint(header["rate_hz"], entries),
            concurrency=concurrency or layout.usable_cores(),
            cache_bytes=cache_bytes,
        )

    def read(
        self, entry: Entry, segment_index: int, start: int, count: int
    ) -> np.ndarray:
        """Reads samples `start` to `start + count` of one segment, int16 `[count, 3]`.

        Raises:
          ValueError: The segment does not hold these samples.
          StoreError: The stored data is missing or damaged.
        """
        return self.read_batch([(entry, segment_index, start)], count)[0]

    def read_batch(
        self, crops: Sequence[tuple[Entry, int, int]], count: int
    ) -> np.ndarray:
        """Reads many stretches of one length at once.

        All chunks are decoded concurrently and straight into the result, which for
        batches of days takes half the time of `read` and `np.stack`.

        Args:
          crops: (entry, segment index, first sample) of each.
          count: Samples of each.

        Returns:
          Int16 `[b, count, 3]`.

        Raises:
          ValueError: A segment does not hold these samples.
          StoreError: The stored data is missing or damaged.
        """
        counts = np.empty((len(crops), count, 3), np.int16)
        rows = ts.array(counts, context=self._context)
        pending = []
        for row, (entry, segment_index, start) in enumerate(crops):
            segment = entry.segments[segment_index]
            if start < 0 or count < 0 or start + count > segment.samples:
                raise ValueError(
                    f"recording {entry.name!r}, segment {segment_index}: samples"
                    f" {start}:{start + count} are outside its {segment.samples}"
                )
            array = self._array(segment.path, segment.samples)
            crop = array[start : start + count].translate_to[0]
            pending.append(rows[row].write(crop))
        for future, (entry, segment_index, start) in zip(pending, crops, strict=True):
            try:
                future.result()
            except Exception as error:  # TensorStore raises no type of its own.
                path = entry.segments[segment_index].path
                raise StoreError(
                    f"{self.path}: cannot read samples {start}:{start + count} of"
                    f" recording {entry.name!r}, segment {segment_index} ({path}):"
                    f" {error}. If the file is missing or damaged, delete"
                    f" recordings/{entry.name}/recording.json and prepare the"
                    " recording again."
                ) from error
        return counts

    def __getstate__(self) -> dict[str, Any]:
        """All but what is tied to this process."""
        return {k: v for k, v in vars(self).items() if k not in _THIS_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Connects anew."""
        vars(self).update(state)
        self._connect()

    def _connect(self) -> None:
        self._context = layout.make_context(self._concurrency, self._cache_bytes)
        self._files = layout.Files(self.path)
        # Open arrays are worth keeping (0.1 ms each), 100,000 recordings of them not.
        self._array = functools.lru_cache(_OPEN_ARRAYS)(self._open_array)

    def _open_array(self, path: str, samples: int) -> ts.TensorStore:
        spec = layout.array_spec(self._files, path, samples, self.rate_hz)
        # A chunk that is not there must be an error, never a day of zeros. A finished
        # store does not change: what is cached is not asked for again.
        spec |= {"fill_missing_data_reads": False, "recheck_cached_data": "open"}
        return ts.open(
            spec, open=True, assume_metadata=True, context=self._context
        ).result()


class StoreWriter:
    """Fills a store with prepared recordings, from one process or many at once.

    A recording counts as written once `has` is true; one that was cut off halfway is
    written anew. Writing makes the store unfinished until `finish` is called.
    Two processes may even write the same recording at once, as a Beam runner lets
    them after a retry: what either has completed stays complete.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        rate_hz: float,
        description: Mapping[str, Any],
        concurrency: int | None = None,
    ):
        """Starts a store or continues the one at `path`.

        Args:
          path: Folder or key-value store URL.
          rate_hz: Sampling rate of every recording.
          description: How recordings are prepared, JSON-able: one store, one way.
          concurrency: Most CPU cores that encode at once; every core this process
            may use by default.

        Raises:
          StoreError: `path` holds something else, or a store prepared otherwise.
        """
        self.path = os.fspath(path)
        self.rate_hz = float(rate_hz)
        self._files = layout.Files(path)
        self._concurrency = concurrency or layout.usable_cores()
        self._context = layout.make_context(self._concurrency)
        self._unfinished = False
        wanted = {
            "format": layout.FORMAT,
            "version": layout.VERSION,
            "rate_hz": self.rate_hz,
            "units": "g",
            "description": json.loads(layout.to_json(description)),
        }
        self._description = wanted["description"]
        found = layout.read_header(self._files)
        if found is None:
            self._files.write("store.json", layout.to_json(wanted, indent=2))
        elif found != wanted:
            raise StoreError(
                f"{path}: this store was prepared differently:"
                f" {layout.differences(found, wanted)}. Prepare with the store's"
                " settings, or write to a new path."
            )

    def has(self, name: str) -> bool:
        """Whether recording `name` is complete."""
        key = f"recordings/{layout.checked_name(name)}/recording.json"
        return self._files.read(key) is not None

    def write(self, prepared: PreparedRecording) -> Entry:
        """Stores a recording, replacing one of the same name.

        Raises:
          StoreError: Its rate is not the store's, its name cannot name a file, or a
            segment is empty, misshapen or not finite.
        """
        folder = f"recordings/{layout.checked_name(prepared.name)}"
        if prepared.rate_hz != self.rate_hz:
            raise StoreError(
                f"{self.path}: recording {prepared.name!r} is at {prepared.rate_hz} Hz,"
                f" the store at {self.rate_hz} Hz; resample it or use another store"
            )
        if not self._unfinished:
            self._files.delete("index.sha256")
            self._files.delete("index.jsonl")
            self._unfinished = True
        self._files.delete(f"{folder}/recording.json")
        self._delete_others(folder, len(prepared.segments))
        segments, clipped = [], 0
        for number, segment in enumerate(prepared.segments):
            where = f"{self.path}: recording {prepared.name!r}, segment {number}"
            acceleration = segment.acceleration
            if acceleration.ndim != 2 or acceleration.shape[1] != 3:
                raise StoreError(f"{where}: shape {acceleration.shape}, not [s, 3]")
            if not len(acceleration) or not _finite(acceleration):
                raise StoreError(f"{where}: no samples, or some are not finite")
            path = f"{folder}/{number}"
            digest, beyond = self._write_array(path, acceleration)
            clipped += beyond
            segments.append(
                SegmentEntry(
                    start=float(segment.start),
                    samples=len(acceleration),
                    scale=SCALE,
                    path=path,
                    digest=digest,
                )
            )
        entry = Entry(
            name=prepared.name,
            person=prepared.person,
            source=prepared.source,
            device=prepared.device,
            device_id=prepared.device_id,
            rate_hz=self.rate_hz,
            segments=tuple(segments),
            quality={**prepared.quality, "clipped_values": clipped},
        )
        row = layout.to_json(dataclasses.asdict(entry))
        self._files.write(f"{folder}/recording.json", row)
        return layout.parse_entry(row, prepared.name)

    def finish(self) -> Store:
        """Writes the index of all complete recordings and opens the store.

        Raises:
          StoreError: A recording.json is damaged, or there are no recordings.
        """
        keys = self._files.list("recordings/", suffix="/recording.json")
        if not keys:
            raise StoreError(f"{self.path}: no recordings were written")
        rows = []
        for key, row in zip(keys, self._files.read_many(keys), strict=True):
            entry = layout.parse_entry(row, f"{self.path}: {key}")
            if key != f"recordings/{entry.name}/recording.json":
                raise StoreError(
                    f"{self.path}: {key} describes recording {entry.name!r}; folders"
                    " of a store cannot be renamed or copied: delete this one"
                )
            rows.append((entry.name, row.strip() + b"\n", entry))
        rows.sort(key=lambda row: row[0])
        index = b"".join(line for _, line, _ in rows)
        self._files.write("index.jsonl", index)
        checksum = f"{hashlib.sha256(index).hexdigest()}  index.jsonl\n"
        self._files.write("index.sha256", checksum.encode())
        self._unfinished = False
        # Not read back: another process may be adding to the store already.
        entries = tuple(entry for _, _, entry in rows)
        return Store(
            path=self.path,
            rate_hz=self.rate_hz,
            description=self._description,
            entries=entries,
            fingerprint=layout.fingerprint(self.rate_hz, entries),
            concurrency=self._concurrency,
        )

    def _delete_others(self, folder: str, segments: int) -> None:
        """Deletes what another preparation left, but no array about to be written.

        Such an array can be in use by a process that writes the same recording.
        """
        own = tuple(f"{folder}/{number}/" for number in range(segments))
        for key in self._files.list(f"{folder}/", suffix=""):
            if not key.startswith(own):
                self._files.delete(key)

    def _write_array(self, path: str, acceleration: np.ndarray) -> tuple[str, int]:
        """Writes day by day, so that memory stays small; returns digest, clipped."""
        spec = layout.array_spec(self._files, path, len(acceleration), self.rate_hz)
        # An hour of zeros is written as well: what is absent was lost.
        spec |= {"store_data_equal_to_fill_value": True}
        try:
            array = ts.open(spec, open=True, create=True, context=self._context)
            array = array.result()
        except ValueError:  # There is one of another shape or code.
            array = ts.open(
                spec, create=True, delete_existing=True, context=self._context
            ).result()
        day = layout.chunk_samples(self.rate_hz) * layout.CHUNKS_PER_SHARD
        limits = np.iinfo(np.int16)
        hasher, clipped = hashlib.blake2b(digest_size=8), 0
        for start in range(0, len(acceleration), day):
            stop = min(start + day, len(acceleration))
            exact = acceleration[start:stop] * np.float32(1 / SCALE)
            np.rint(exact, out=exact)
            if exact.min() < limits.min or exact.max() > limits.max:
                clipped += int(np.sum((exact < limits.min) | (exact > limits.max)))
                np.clip(exact, limits.min, limits.max, out=exact)
            counts = exact.astype("<i2")
            hasher.update(counts.data)
            array[start:stop].write(counts).result()
        return hasher.hexdigest(), clipped


def _finite(values: np.ndarray) -> bool:
    # Needs no array of its own; NaN is both the least and the greatest.
    return bool(np.isfinite(values.min()) and np.isfinite(values.max()))
