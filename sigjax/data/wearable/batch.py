"""Many device files into one store.

Each file stands alone: one that cannot be read is reported and the rest is used, and
one that the store already holds is not read again, so a run that was cut off
continues where it was.
"""

import collections
import dataclasses
import itertools
import re
import traceback
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from etils import epath

from sigjax.data import formats, store_layout
from sigjax.data import recording as rec
from sigjax.data import store as stores
from sigjax.data.wearable import prepare

_HEAD_BYTES = 1 << 16


class NothingPreparedError(ValueError):
    """No file gave any usable segment; the message says what became of them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What became of every file.

    Attributes:
      found: Device files given.
      prepared: Those that this run wrote to the store and that have segments.
      already_there: Those that the store held before.
      dropped: `(name, reason)`, over the whole store, of recordings that were read
        and left no segment.
      unreadable: `(path, reason)`.
      skipped: `(path, reason)` of files that are no supported device files.
      segments: In the whole store.
      persons: In the whole store, among recordings with segments.
      hours: Of the whole store; see `prepare.prepare_recording`.
    """

    found: int
    prepared: int
    already_there: int
    dropped: tuple[tuple[str, str], ...]
    unreadable: tuple[tuple[str, str], ...]
    skipped: tuple[tuple[str, str], ...]
    segments: int
    persons: int
    hours: dict[str, float]


def person_of(path: epath.PathLike, recording: rec.Recording, pattern: str) -> str:
    """Whose wrist a recording is from.

    Args:
      path: Of its file.
      recording: As read.
      pattern: Regular expression with a group named `person`, searched in the path.
        Without one: the subject code in the file's header; for an Empatica E4, whose
        files are all named alike, its folder; else the file's name.

    Raises:
      FormatError: The pattern is not in the path. To guess instead could put one
        person on both sides of a split.
    """
    path = epath.Path(path)
    if pattern:
        match = re.search(pattern, str(path))
        if match is None or not match["person"]:
            raise rec.FormatError(f"{path}: no match for person_regex {pattern!r}")
        return match["person"]
    subject = str(recording.metadata.get("subject_code", "")).strip()
    if subject:
        return subject
    if recording.device == "E4" and path.parent.name:
        return path.parent.name
    return _stem(path.name)


def prepare_file(
    path: epath.PathLike,
    config: prepare.PrepareConfig,
    *,
    name: str,
    person_regex: str = "",
) -> rec.PreparedRecording:
    """Reads and prepares one file. Picklable, and needs nothing but its arguments.

    Raises:
      FormatError: The file cannot be read, or `person_regex` is not in its path.
    """
    recording = formats.read_recording(path)
    person = person_of(path, recording, person_regex)
    prepared = prepare.prepare_recording(recording, config, name=name, person=person)
    quality = {**prepared.quality, "fingerprint": _fingerprint(path)}
    return dataclasses.replace(prepared, quality=quality)


def prepare_files(
    paths: Iterable[epath.PathLike],
    store: epath.PathLike,
    config: prepare.PrepareConfig,
    *,
    root: epath.PathLike | None = None,
    person_regex: str = "",
    skipped: Sequence[tuple[epath.PathLike, str]] = (),
    progress: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> Report:
    """Prepares device files into a store and finishes it.

    Args:
      paths: Device files, as `formats.find_recordings` finds them.
      store: Folder or URL of a store, new or begun with the same config.
      config: How to prepare.
      root: Folder that recordings are named from: `root/S01/ACC.csv` becomes
        `S01_ACC`. The deepest folder that holds all paths by default.
      person_regex: See `person_of`.
      skipped: What was found but is no device file, for the report.
      progress: Wraps the sequence of jobs, as `tqdm.tqdm` does.

    Returns:
      The report, also written to `store/report.json`.

    Raises:
      NothingPreparedError: The store holds no segment at the end.
      StoreError: `store` was prepared with another config, or cannot be written.
    """
    if person_regex and "person" not in re.compile(person_regex).groupindex:
        raise ValueError(
            f"person_regex={person_regex!r} has no group named person; "
            r"for example '(?P<person>S\d+)/ACC.csv'"
        )
    paths = [epath.Path(path) for path in paths]
    writer = stores.StoreWriter(
        store, rate_hz=config.rate_hz, description=dataclasses.asdict(config)
    )
    files = store_layout.Files(store)
    written, already = [], 0
    unreadable: list[tuple[str, str]] = []
    names = unique_names(paths, root)
    for path, name in progress(list(zip(paths, names, strict=True))):
        try:
            name, there = _place(files, name, path)
            if there:
                already += 1
                continue
            prepared = prepare_file(path, config, name=name, person_regex=person_regex)
        except (rec.FormatError, OSError) as error:
            unreadable.append((str(path), str(error).removeprefix(f"{path}: ")))
            continue
        except Exception as error:  # One odd file must not end a week's run.
            at = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{epath.Path(at.filename).name}:{at.lineno}"
            unreadable.append(
                (str(path), f"{type(error).__name__} at {where}: {error}")
            )
            continue
        writer.write(prepared)
        written.append(name)
    return _finish(writer, files, paths, written, already, unreadable, skipped)


def _finish(
    writer: stores.StoreWriter,
    files: store_layout.Files,
    paths: Sequence[epath.Path],
    written: Sequence[str],
    already: int,
    unreadable: Sequence[tuple[str, str]],
    skipped: Sequence[tuple[epath.PathLike, str]],
) -> Report:
    entries = writer.finish().entries if written or already else ()
    usable = [entry for entry in entries if entry.segments]
    hours: collections.Counter[str] = collections.Counter()
    for entry in entries:
        hours.update(entry.quality["hours"])
    report = Report(
        found=len(paths),
        prepared=len({entry.name for entry in usable} & set(written)),
        already_there=already,
        dropped=tuple(
            (e.name, e.quality["status"].removeprefix("dropped: "))
            for e in entries
            if not e.segments
        ),
        unreadable=tuple(unreadable),
        skipped=tuple((str(path), reason) for path, reason in skipped),
        segments=sum(len(entry.segments) for entry in usable),
        persons=len({entry.person for entry in usable}),
        hours=dict(hours),
    )
    files.write("report.json", store_layout.to_json(dataclasses.asdict(report), 2))
    if not usable:
        raise NothingPreparedError(_nothing(report, writer.path))
    return report


def _nothing(report: Report, store: str) -> str:
    """Why a store has no segments: counts, and the first few reasons of each kind."""
    lines = [
        f"nothing usable for {store}: {report.found} device files found, "
        f"{len(report.unreadable)} unreadable, {len(report.dropped)} dropped, "
        f"{len(report.skipped)} of other types (all in report.json)"
    ]
    everything = [*report.unreadable, *report.dropped, *report.skipped]
    lines += [f"  {where}: {reason}" for where, reason in everything[:10]]
    return "\n".join(lines)


def unique_names(
    paths: Sequence[epath.Path], root: epath.PathLike | None = None
) -> list[str]:
    """Names recordings by their paths below `root`, joined by underscores.

    Where two would be named alike (`a.cwa` beside `a.bin`) all but the first carry a
    short hash of their path as well.
    """
    base = epath.Path(root) if root is not None else _common_folder(paths)
    taken: set[str] = set()
    names = []
    for path in paths:
        try:
            parts = path.relative_to(base).parts
        except ValueError:
            parts = (path.name,)
        text = "_".join([*parts[:-1], _stem(parts[-1])])
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip(".") or "recording"
        if name.lower() in taken:
            name = f"{name}-{zlib.crc32('/'.join(parts).encode()):08x}"
        taken.add(name.lower())
        names.append(name)
    return names


def _common_folder(paths: Sequence[epath.Path]) -> epath.Path:
    if not paths:
        return epath.Path()
    columns = zip(*(path.parent.parts for path in paths), strict=False)
    same = itertools.takewhile(lambda column: len(set(column)) == 1, columns)
    return epath.Path(*(column[0] for column in same))


def _stem(name: str) -> str:
    """A file name without its ending, the one before `.gz` included."""
    for ending in (".gz", ".zip"):
        name = name.removesuffix(ending)
    return epath.Path(name).stem


def _fingerprint(path: epath.PathLike) -> str:
    """Tells a file from another of the same name: size and checksum of its head."""
    path = epath.Path(path)
    with path.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
    return f"{path.stat().length}-{zlib.crc32(head):08x}"


def _place(files: store_layout.Files, name: str, path: epath.Path) -> tuple[str, bool]:
    """Under which name a file goes into the store, and whether it is there already.

    A name can be taken by another file when folders are prepared into one store one
    after another; this file then gets a name with its fingerprint.
    """
    own = _fingerprint(path)
    for candidate in (name, f"{name}-{own}"):
        row = files.read(f"recordings/{candidate}/recording.json")
        if row is None:
            return candidate, False
        entry = store_layout.parse_entry(row, candidate)
        if entry.quality.get("fingerprint") == own:
            return candidate, True
    raise rec.FormatError(f"{path}: the store holds another file as {name!r}")
