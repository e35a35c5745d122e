"""Many device files into one store.

Each file stands alone: one that cannot be read is reported and the rest is used, and
one that the store already holds is not read again, so a run that was cut off
continues where it was. Every file ends as exactly one of `used`, `dropped` (read, but
nothing in it was fit), `unreadable` and `unsupported`; what became of it stands in the
store and outlives the run.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from etils import epath

from sigjax.data import formats, store_layout
from sigjax.data import store as stores
from sigjax.data.wearable import jobs, lock, names, plan, pool, prepare

Runner = Callable[[jobs.Process, Sequence[jobs.Job]], Iterable[Any]]


class NothingPreparedError(ValueError):
    """No file gave any usable segment; the message says what became of them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What became of every file of a run, and what the store now holds.

    `found = used + dropped + unreadable` and `files = found + unsupported`.

    Attributes:
      found: Device files given.
      used: Those of them that have segments in the store.
      dropped: `(path, reason)` of those that were read and left no segment.
      unreadable: `(path, reason)` of those that could not be read.
      unsupported: `(path, reason)` of files, beside `found`, that look like raw data
        and are in no supported format.
      prepared: How many of `used` this run wrote.
      already_there: How many of `used` and `dropped` the store held before.
      segments: In the whole store.
      persons: In the whole store, among recordings with segments.
      hours: Of the whole store; see `prepare.prepare_recording`.
    """

    found: int
    used: int
    dropped: tuple[tuple[str, str], ...]
    unreadable: tuple[tuple[str, str], ...]
    unsupported: tuple[tuple[str, str], ...]
    prepared: int
    already_there: int
    segments: int
    persons: int
    hours: dict[str, float]

    @property
    def files(self) -> int:
        """All files given."""
        return self.found + len(self.unsupported)


def serial(process: jobs.Process, todo: Sequence[jobs.Job]) -> Iterable[jobs.Outcome]:
    """Runs jobs one after another in this process."""
    return map(process, todo)


def on_cores(workers: int) -> Runner:
    """Runs jobs in `workers` processes; see `pool.run`.

    A file whose worker dies twice is reported as unreadable, with the reason.
    """

    def run(process: jobs.Process, todo: Sequence[jobs.Job]) -> Iterable[jobs.Outcome]:
        for result in pool.run(process, todo, workers=workers):
            if isinstance(result, pool.Died):
                yield process.fail(result.job, f"reading it failed: {result.reason}")
            else:
                yield result

    return run if workers > 1 else serial


def prepare_files(
    paths: Iterable[epath.PathLike],
    store: epath.PathLike,
    config: prepare.PrepareConfig,
    *,
    options: formats.ReadOptions = formats.DEFAULT,
    root: epath.PathLike | None = None,
    person_regex: str = "",
    skipped: Sequence[tuple[epath.PathLike, str]] = (),
    runner: Runner = serial,
) -> Report:
    """Prepares device files into a store and finishes it: `make_plan`, then `execute`.

    Args:
      paths: Device files, as `formats.find_recordings` finds them.
      store: Folder or URL of a store, new or begun with the same config.
      config: How to prepare.
      options: How to read.
      root: See `plan.make_plan`.
      person_regex: See `names.person_of`.
      skipped: What was found but is no device file.
      runner: What runs the jobs: `serial`, `on_cores(n)`, or `beam.runner(options)`.

    Returns:
      The report, also written to `store/report.json`.

    Raises:
      NothingPreparedError: The store holds no segment at the end.
      StoreError: `store` was prepared with another config, is being written by
        another process, or cannot be written.
    """
    settings = jobs.Settings(
        store=str(store),
        config=config,
        options=options,
        person_regex=person_regex,
        concurrency=None if runner is serial else 1,
    )
    todo = plan.make_plan(paths, settings, root=root, skipped=skipped)
    return execute(todo, runner)


def execute(
    todo: plan.Plan,
    runner: Runner = serial,
    progress: Callable[[jobs.Outcome], Any] = lambda _: None,
) -> Report:
    """Does what was planned, and writes the store's index and `report.json`.

    Args:
      todo: As `plan.make_plan` made it.
      runner: What runs the jobs.
      progress: Called with each outcome.

    Raises:
      NothingPreparedError: The store holds no segment at the end.
      StoreError: The store is being written by another process, or cannot be
        written, or a runner left files undone.
    """
    with lock.only_writer(todo.settings.store):
        writer = todo.settings.writer()
        process = jobs.Process(todo.settings)
        outcomes = runner(process, todo.jobs) if todo.jobs else ()
        try:
            for outcome in outcomes:
                progress(outcome)
        finally:  # Whatever stops this stops the workers, before others may write.
            getattr(outcomes, "close", lambda: None)()
        _record_unsupported(process.files, todo)
        entries = _entries(writer, process.files, todo)
        report = _report(todo, entries, process.files)
        text = store_layout.to_json(dataclasses.asdict(report), 2)
        process.files.write("report.json", text)
    if not report.segments:
        raise NothingPreparedError(_nothing(report, todo.settings.store))
    return report


def _entries(
    writer: stores.StoreWriter, files: store_layout.Files, todo: plan.Plan
) -> Sequence[stores.Entry]:
    """All that the store holds, with a new index made if anything was written."""
    if todo.index is not None and files.read("index.sha256") == todo.index:
        return todo.entries
    known = files.list("recordings/", suffix="/recording.json")
    return writer.finish().entries if known else ()


def _report(
    todo: plan.Plan, entries: Sequence[stores.Entry], files: store_layout.Files
) -> Report:
    """Looks up in the store what became of each file, whoever ran it."""
    by_source = {entry.source: entry for entry in entries}
    failed = _settle_failures(files, todo, entries)
    ends: dict[str, list[tuple[str, str]]] = collections.defaultdict(list)
    undone = []
    for job in todo.jobs:
        entry = by_source.get(job.path)
        if entry is not None and jobs.is_of(entry, job):
            status, reason = jobs.status_of(entry)
        elif job.path in failed:
            status, reason = "unreadable", failed[job.path]
        else:
            undone.append(job.path)
            continue
        ends[status].append((job.path, reason))
    if undone:
        raise stores.StoreError(
            f"{files.path}: {len(undone)} files were not done, such as {undone[0]};"
            " run again to continue"
        )
    prepared = len(ends["used"])
    for path, entry in todo.there.items():
        status, reason = jobs.status_of(entry)
        ends[status].append((path, reason))
    usable = [entry for entry in entries if entry.segments]
    hours: collections.Counter[str] = collections.Counter()
    for entry in entries:
        hours.update(entry.quality["hours"])
    return Report(
        found=len(todo.jobs) + len(todo.there),
        used=len(ends["used"]),
        dropped=tuple(sorted(ends["dropped"])),
        unreadable=tuple(sorted(ends["unreadable"])),
        unsupported=todo.unsupported,
        prepared=prepared,
        already_there=len(todo.there),
        segments=sum(len(entry.segments) for entry in usable),
        persons=len({entry.person for entry in usable}),
        hours=dict(hours),
    )


def _nothing(report: Report, store: str) -> str:
    """Why a store has no segments: counts, and the first few reasons of each kind."""
    lines = [
        f"nothing usable for {store}: {report.found} device files found, "
        f"{len(report.unreadable)} unreadable, {len(report.dropped)} dropped, "
        f"{len(report.unsupported)} of other types (all in report.json)"
    ]
    everything = [*report.unreadable, *report.dropped, *report.unsupported]
    lines += [f"  {where}: {reason}" for where, reason in everything[:10]]
    return "\n".join(lines)


def _record_unsupported(files: store_layout.Files, todo: plan.Plan) -> None:
    """Notes files that no reader knows, so that the store's report counts them."""
    if not todo.unsupported:
        return
    known = {failure["source"]: failure["reason"] for failure in jobs.failures(files)}
    paths = [path for path, _ in todo.unsupported]
    called = names.unique_names(paths, todo.root)
    for (path, reason), name in zip(todo.unsupported, called, strict=True):
        if known.get(path) != reason:
            ((_, size, _),) = plan.stat([path])
            failure = jobs.Failure(
                name=name,
                source=path,
                status="unsupported",
                reason=reason,
                bytes=size,
            )
            jobs.record_failure(files, failure)


def _settle_failures(
    files: store_layout.Files, todo: plan.Plan, entries: Sequence[stores.Entry]
) -> dict[str, str]:
    """Deletes failures of files that gave a recording since; returns the others.

    Returns:
      Reasons by path.
    """
    done = {(entry.source, entry.quality.get("bytes")) for entry in entries}
    known = {(entry.name, entry.quality.get("fingerprint")) for entry in entries}
    now = {job.path: "unreadable" for job in todo.jobs}
    now |= {path: "unsupported" for path, _ in todo.unsupported}
    reasons = {}
    for failure in jobs.failures(files):
        source, status = failure["source"], failure.get("status")
        prepared = (source, failure.get("bytes")) in done
        moved = (failure["name"], failure.get("fingerprint")) in known
        if prepared or moved:
            files.delete(f"failures/{failure['name']}.json")
        elif now.get(source, status) != status:  # It failed otherwise before.
            files.delete(f"failures/{failure['name']}.json")
        else:
            reasons[source] = str(failure["reason"])
    return reasons
