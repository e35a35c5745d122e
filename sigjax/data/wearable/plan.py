"""What a run has to do: which files are new, which the store already holds."""

import concurrent.futures
import dataclasses
from collections.abc import Iterable, Sequence

from etils import epath

from sigjax.data import recording as rec
from sigjax.data import store as stores
from sigjax.data import store_layout
from sigjax.data.wearable import jobs, names


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run has to do.

    Attributes:
      settings: Of the run.
      jobs: Files to prepare, the largest first, so that none is left over at the end
        for one core.
      there: Entries by path of the files that the store already holds.
      unsupported: `(path, reason)` of files that no reader knows.
      root: That recordings are named from.
      entries: All that the store holds.
      index: Checksum of the store's index; None if it has none, as while a run goes on
        or after one that was cut off.
    """

    settings: jobs.Settings
    jobs: tuple[jobs.Job, ...]
    there: dict[str, stores.Entry]
    unsupported: tuple[tuple[str, str], ...]
    root: str | None
    entries: tuple[stores.Entry, ...]
    index: bytes | None

    @property
    def bytes(self) -> int:
        """Of the files to prepare."""
        return sum(job.bytes for job in self.jobs)


def make_plan(
    paths: Iterable[epath.PathLike],
    settings: jobs.Settings,
    *,
    root: epath.PathLike | None = None,
    skipped: Iterable[tuple[epath.PathLike, str]] = (),
) -> Plan:
    """Finds out what there is to do, and writes nothing.

    A file with the path, size and time of change of one that the store holds is not
    opened.

    Args:
      paths: Device files, as `formats.find_recordings` finds them.
      settings: Of the run.
      root: Folder that recordings are named from: `root/S01/ACC.csv` becomes
        `S01_ACC`. The deepest folder that holds all paths by default.
      skipped: What was found but is no device file.

    Raises:
      StoreError: The store was prepared otherwise, or names other persons.
      ValueError: `settings.person_regex` cannot name a person.
    """
    names.checked_regex(settings.person_regex)
    files = store_layout.Files(settings.store)
    _check_description(files, settings)
    entries, index = _stored(files)
    by_source = {entry.source: entry for entry in entries}
    by_name = {entry.name: entry for entry in entries}
    given = [absolute(path) for path in paths]
    todo, there = [], {}
    root = None if root is None else absolute(root)
    for (path, size, modified), name in zip(
        stat(given), names.unique_names(given, root), strict=True
    ):
        job = jobs.Job(path, name, size, modified)
        entry = _entry_of(job, by_source, by_name)
        if entry is None:
            todo.append(job)
        else:
            there[path] = entry
    _check_persons(there, settings)
    return Plan(
        settings=settings,
        jobs=tuple(sorted(todo, key=lambda job: (-job.bytes, job.path))),
        there=there,
        unsupported=tuple((absolute(path), reason) for path, reason in skipped),
        root=root,
        entries=tuple(entries),
        index=index,
    )


def absolute(path: epath.PathLike) -> str:
    """A path that means the same in every process and on every later day."""
    text = str(path)
    if "://" in text or text.startswith("/"):
        return text
    return str(epath.Path(text).expanduser().absolute())


def stat(paths: Sequence[str]) -> Iterable[tuple[str, int, int]]:
    """Paths with sizes and times of change; zeros where a file cannot be seen."""

    def one(path: str) -> tuple[str, int, int]:
        try:
            found = jobs.on_disk(path).stat()
        except OSError:
            return path, 0, 0
        return path, found.length, int(found.mtime)

    if not any("://" in path for path in paths):
        return map(one, paths)
    with concurrent.futures.ThreadPoolExecutor(32) as threads:  # Buckets answer late.
        return list(threads.map(one, paths))


def _stored(
    files: store_layout.Files,
) -> tuple[Sequence[stores.Entry], bytes | None]:
    """What a store holds, from its index or without one; its index's checksum."""
    index = files.read("index.sha256")
    try:
        return stores.Store.open(files.path).entries, index
    except stores.StoreError:  # New, or its writing was cut off.
        keys = files.list("recordings/", suffix="/recording.json")
        rows = zip(keys, files.read_many(keys), strict=True)
        entries = [
            store_layout.parse_entry(row, f"{files.path}: {key}")
            for key, row in rows
            if row  # Deleted since it was listed.
        ]
        return entries, None


def _entry_of(
    job: jobs.Job,
    by_source: dict[str, stores.Entry],
    by_name: dict[str, stores.Entry],
) -> stores.Entry | None:
    """A file's entry in the store, or None if it has to be prepared."""
    entry = by_source.get(job.path)
    if entry is not None:
        if jobs.is_of(entry, job):
            return entry
    if entry is None and job.name not in by_name:
        return None
    try:
        found = jobs.fingerprint(job.path)
    except OSError:
        return None
    hashed = names.with_hash(job.name, job.path)
    candidates = (job.name, hashed, f"{job.name}-{found}")
    for known in (entry, *(by_name.get(name) for name in candidates)):
        if known is not None and known.quality.get("fingerprint") == found:
            return known
    return None


def _check_description(files: store_layout.Files, settings: jobs.Settings) -> None:
    if store_layout.read_header(files) is not None:
        settings.writer()  # Compares, and changes nothing.


def _check_persons(there: dict[str, stores.Entry], settings: jobs.Settings) -> None:
    """Refuses to leave recordings under other persons than asked for."""
    for path, entry in there.items() if settings.person_regex else ():
        try:
            person = names.person_in(path, settings.person_regex)
        except rec.FormatError:
            person = ""
        if person != entry.person:
            raise stores.StoreError(
                f"{settings.store}: holds {path} as a recording of person"
                f" {entry.person!r}, and person_regex={settings.person_regex!r} says"
                f" {person or 'nobody'!r}: give the pattern that the store was begun"
                " with, or write to a new path"
            )
