"""One device file into a store: the same function on a core, a pool or Apache Beam.

`Process(settings)(job)` is all that a worker runs. It may run again, or twice at once,
for the same file: a recording that the store holds complete is left alone.
"""

import dataclasses
import functools
import json
import time
import traceback
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from etils import epath

from sigjax.data import formats, store_layout
from sigjax.data import recording as rec
from sigjax.data import store as stores
from sigjax.data.formats.source import Source
from sigjax.data.wearable import names, prepare

_HEAD_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What is the same for every file of a run.

    Attributes:
      store: Folder or URL of the store.
      config: How to prepare.
      options: How to read.
      person_regex: See `names.person_of`.
      concurrency: Most CPU cores that encode at once; None for all.
    """

    store: str
    config: prepare.PrepareConfig
    options: formats.ReadOptions = formats.DEFAULT
    person_regex: str = ""
    concurrency: int | None = None

    @property
    def description(self) -> dict[str, Any]:
        """What a store must agree on: all that the samples in it depend on."""
        return {**dataclasses.asdict(self.config), "read": self.options.to_json()}

    def writer(self) -> stores.StoreWriter:
        """Starts the store or continues it.

        Raises:
          StoreError: It was prepared with other settings.
        """
        return stores.StoreWriter(
            self.store,
            rate_hz=self.config.rate_hz,
            description=self.description,
            concurrency=self.concurrency,
        )


class Job(NamedTuple):
    """A file to prepare.

    Attributes:
      path: Absolute, or a URL.
      name: Of the recording, unless another file's has taken it.
      bytes: Size of the file.
      modified: Its time of change, seconds since 1970-01-01.
    """

    path: str
    name: str
    bytes: int
    modified: int


class Outcome(NamedTuple):
    """What became of a job.

    Attributes:
      job: Which.
      status: `"used"`, `"dropped"` (read, but no segment) or `"unreadable"`.
      reason: Why it is not used, or "".
      new: Whether it was prepared now; False if the store held it before.
    """

    job: Job
    status: str
    reason: str
    new: bool


class Process:
    """Reads and prepares one file and writes it into the store, all of it or nothing.

    Called with a job. A file that cannot be read leaves `failures/NAME.json` in the
    store, which goes after a run that could read it. Pickles; connects to the store
    when it is first called in a process.
    """

    def __init__(self, settings: Settings):
        """Touches nothing yet."""
        self.settings = settings

    def __reduce__(self):
        """All but the connection."""
        return Process, (self.settings,)

    @functools.cached_property
    def files(self) -> store_layout.Files:
        """The store's small files."""
        return store_layout.Files(self.settings.store)

    @functools.cached_property
    def _writer(self) -> stores.StoreWriter:
        return self.settings.writer()

    def __call__(self, job: Job) -> Outcome:
        """Does the job.

        Raises:
          StoreError: The store was prepared otherwise, or is damaged.
          Exception: The store cannot be written: that is not the file's fault.
        """
        began, found = time.perf_counter(), ""
        try:
            found = fingerprint(job.path)
            name, entry = place(self.files, job, found)
            if entry is not None:
                return Outcome(job, *status_of(entry), new=False)
            prepared = prepare_file(
                job.path,
                self.settings.config,
                name=name,
                options=self.settings.options,
                person_regex=self.settings.person_regex,
            )
        except stores.StoreError:
            raise
        except Exception as error:  # One odd file must not end a week's run.
            seconds = time.perf_counter() - began
            return self.fail(job, _reason(error, job.path), seconds, found)
        quality = {
            **prepared.quality,
            "fingerprint": found,
            "bytes": job.bytes,
            "modified": job.modified,
            "seconds": round(time.perf_counter() - began, 3),
        }
        entry = self._writer.write(dataclasses.replace(prepared, quality=quality))
        return Outcome(job, *status_of(entry), new=True)

    def fail(
        self, job: Job, reason: str, seconds: float = 0.0, found: str = ""
    ) -> Outcome:
        """Records that a file could not be read."""
        failure = Failure(
            name=job.name,
            source=job.path,
            status="unreadable",
            reason=reason,
            seconds=round(seconds, 3),
            bytes=job.bytes,
            fingerprint=found,
        )
        record_failure(self.files, failure)
        return Outcome(job, "unreadable", reason, new=True)


def prepare_file(
    path: epath.PathLike,
    config: prepare.PrepareConfig,
    *,
    name: str,
    options: formats.ReadOptions = formats.DEFAULT,
    person_regex: str = "",
) -> rec.PreparedRecording:
    """Reads and prepares one file.

    Raises:
      FormatError: The file cannot be read, or `person_regex` is not in its path.
    """
    recording = formats.read_recording(path, options)
    person = names.person_of(path, recording, person_regex)
    prepared = prepare.prepare_recording(recording, config, name=name, person=person)
    return dataclasses.replace(prepared, source=str(path))


def is_of(entry: stores.Entry, job: Job) -> bool:
    """Whether a recording was made from a job's file as that is now."""
    known = entry.quality.get("bytes"), entry.quality.get("modified")
    return entry.source == job.path and known == (job.bytes, job.modified)


def status_of(entry: stores.Entry) -> tuple[str, str]:
    """`("used", "")`, or `("dropped", reason)` of a recording without a segment."""
    if entry.segments:
        return "used", ""
    reason = str(entry.quality.get("status", "no segment"))
    return "dropped", reason.removeprefix("dropped: ")


def on_disk(path: epath.PathLike) -> epath.Path:
    """The file that a recording's path is in: `X.npy` of `X.npy/P001`."""
    return Source(path).path or epath.Path(path)


def fingerprint(path: epath.PathLike) -> str:
    """Tells a file from another of the same name: size and checksum of its head."""
    path = on_disk(path)
    with path.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
    return f"{path.stat().length}-{zlib.crc32(head):08x}"


def place(
    files: store_layout.Files, job: Job, found: str
) -> tuple[str, stores.Entry | None]:
    """Under which name a file goes into the store, and its entry if it is there.

    A name can be taken by another file when folders are prepared into one store one
    after another; this file then gets a name with its fingerprint. A file that has
    changed where it is replaces what it gave before.
    """
    for name in (job.name, names.with_hash(job.name, job.path), f"{job.name}-{found}"):
        row = files.read(f"recordings/{name}/recording.json")
        if row is None:
            return name, None
        entry = store_layout.parse_entry(row, name)
        if entry.quality.get("fingerprint") == found:
            return name, entry
        if entry.source == job.path:
            return name, None
    raise rec.FormatError(
        f"{job.path}: the store holds other files as {job.name!r}; rename this one"
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failure:
    """A file that gave no recording: the content of `failures/NAME.json`.

    Attributes:
      name: What its recording would be called.
      source: Its path.
      status: `"unreadable"` or `"unsupported"`.
      reason: Why.
      seconds: Spent on it.
      bytes: Size of the file.
      fingerprint: See `fingerprint`; "" if it could not be opened.
    """

    name: str
    source: str
    status: str
    reason: str
    seconds: float = 0.0
    bytes: int = 0
    fingerprint: str = ""


def record_failure(files: store_layout.Files, failure: Failure) -> None:
    """Writes a failure, replacing an earlier one of the same file."""
    key, other = _failure_keys(failure.name, failure.source)
    there = _read_failure(files, key)
    if there is not None and not _is_of(there, failure.source, failure.fingerprint):
        key = other
    name = key.removeprefix("failures/").removesuffix(".json")
    row = dataclasses.asdict(dataclasses.replace(failure, name=name))
    files.write(key, store_layout.to_json(row))


def failures(files: store_layout.Files) -> Iterator[Mapping[str, Any]]:
    """All failures that a store holds, in order of their names."""
    keys = files.list("failures/", suffix=".json")
    for key, row in zip(keys, files.read_many(keys), strict=True):
        if row:  # Deleted since it was listed: another run has read the file.
            yield _parse_failure(row, f"{files.path}: {key}")


def _failure_keys(name: str, path: str) -> tuple[str, str]:
    return f"failures/{name}.json", f"failures/{names.with_hash(name, path)}.json"


def _read_failure(files: store_layout.Files, key: str) -> Mapping[str, Any] | None:
    row = files.read(key)
    return None if row is None else _parse_failure(row, f"{files.path}: {key}")


def _parse_failure(row: bytes, where: str) -> Mapping[str, Any]:
    try:
        failure = json.loads(row)
        needed = {key: failure[key] for key in ("name", "source", "status", "reason")}
        return failure | needed
    except (ValueError, TypeError, KeyError) as error:
        raise stores.StoreError(
            f"{where} is damaged ({error!r}); delete it and prepare again"
        ) from error


def _is_of(failure: Mapping[str, Any], path: str, found: str) -> bool:
    return (
        failure["source"] == path
        or bool(found)
        and (failure.get("fingerprint") == found)
    )


def _reason(error: Exception, path: str) -> str:
    """A message for a file of which the reader knows; else what broke, and where."""
    if isinstance(error, rec.FormatError | OSError):
        return str(error).removeprefix(f"{path}: ")
    at = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{epath.Path(at.filename).name}:{at.lineno}"
    return f"{type(error).__name__} at {where}: {error}"
