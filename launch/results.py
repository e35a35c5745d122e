"""A folder of results, a few files per recording, that a killed run continues.

FOLDER/NAME.*         of a recording, in any form
FOLDER/NAME.json      where it comes from; written last, so what has one is whole
FOLDER/summary.csv    a table over recordings
FOLDER/report.json    what became of every file
"""

import csv
import io
import json
import traceback
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from etils import epath

from launch import progress
from sigjax.data import audio
from sigjax.data import recording as rec
from sigjax.data.wearable import jobs, names, plan
from sigjax.train.writer import replace_file

# What a recording must not be called.
_TAKEN = ("summary", "report")
_MOST_SHOWN = 20

Record = Mapping[str, Any]
Made = tuple[Record, Mapping[str, bytes]]


def fingerprint(bundle: epath.PathLike) -> str:
    """Checksum of all that is in a bundle."""
    root, found = epath.Path(bundle), 0
    files = (folder / name for folder, _, names in root.walk() for name in names)
    for path in sorted(files, key=str):
        found = zlib.crc32(str(path.relative_to(root)).encode(), found)
        found = zlib.crc32(path.read_bytes(), found)
    return f"{found:08x}"


class Results:
    """The folder of results.

    Attributes:
      folder: Its path.
      key: Of the settings and bundle in use.
    """

    def __init__(
        self,
        folder: epath.PathLike,
        key: Mapping[str, Any],
        *,
        fields: Iterable[str] = (),
    ):
        """Reads what is there and writes nothing.

        Args:
          folder: Path or URL.
          key: What tells results of these settings and this bundle from others.
          fields: What NAME.json has, to be one of this command's.
        """
        self.folder = epath.Path(folder)
        self.key = dict(key)
        self._fields = {"source", "key", *fields}
        self._records = {r["name"]: r for r in self._read()}

    def _read(self) -> Iterator[dict[str, Any]]:
        files = self.folder.glob("*.json") if self.folder.exists() else ()
        for path in sorted(files):
            try:
                record = json.loads(path.read_text())
            except ValueError:  # Ours are whole: it is somebody else's.
                continue
            ours = isinstance(record, dict) and record.get("name") == path.stem
            if ours and self._fields <= record.keys():
                yield record

    @property
    def records(self) -> list[dict[str, Any]]:
        """Of recordings predicted with this bundle and these settings, by name."""
        found = [r for r in self._records.values() if r["key"] == self.key]
        return sorted(found, key=lambda record: record["name"])

    @property
    def others(self) -> int:
        """How many are there of other bundles or settings."""
        return len(self._records) - len(self.records)

    def named(self, inputs: Sequence[str], paths: Sequence[str]) -> list[jobs.Job]:
        """A job for each path; names say where below the one folder of inputs it is."""
        folder = len(inputs) == 1 and epath.Path(inputs[0]).is_dir()
        root = plan.absolute(inputs[0]) if folder else None
        called = names.unique_names(paths, root)
        return [
            self._named(jobs.Job(path, name, size, modified))
            for (path, size, modified), name in zip(
                plan.stat(paths), called, strict=True
            )
        ]

    def _named(self, job: jobs.Job) -> jobs.Job:
        """The job with the name of the file's results, or one that nothing has."""
        known = [r for r in self._records.values() if r["source"] == job.path]
        if known:
            return job._replace(name=known[0]["name"])
        name, taken = job.name, {known.lower() for known in self._records}
        if name.lower() in taken.union(_TAKEN):
            name = names.with_hash(name, job.path)
        return job._replace(name=name)

    def done(self, job: jobs.Job) -> dict[str, Any] | None:
        """What is known of a file that was predicted as it is now, or None."""
        record = self._records.get(job.name)
        if record is None or record["key"] != self.key:
            return None
        known = record["source"], record["bytes"], record["modified"]
        there = all((self.folder / name).exists() for name in record["files"])
        return (
            record if known == (job.path, job.bytes, job.modified) and there else None
        )

    def write(self, record: Record, files: Mapping[str, bytes]) -> None:
        """Writes a recording's results; its NAME.json last, so that it is whole."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = record["name"]
        before = self._records.pop(name, {"files": []})
        (self.folder / f"{name}.json").unlink(missing_ok=True)
        for former in {*before["files"]} - files.keys():
            (self.folder / former).unlink(missing_ok=True)
        for file, content in files.items():
            replace_file(self.folder / file, content)
        record = {**record, "key": self.key, "files": sorted(files)}
        replace_file(self.folder / f"{name}.json", _json(record))
        self._records[name] = record

    def write_summary(
        self, columns: Sequence[str], rows: Iterable[Record], report: Record
    ) -> None:
        """Writes summary.csv and report.json."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        replace_file(self.folder / "summary.csv", text.getvalue().encode())
        replace_file(self.folder / "report.json", _json(report))


def process(
    every: Sequence[jobs.Job],
    results: Results,
    predict: Callable[[jobs.Job], Made],
    finish: Callable[[dict[str, Any], list[dict[str, Any]]], dict[str, Any]],
    *,
    refused: Sequence[tuple[str, str]] = (),
    overwrite: bool = False,
) -> dict[str, Any]:
    """Predicts recording after recording; what one is to blame for ends it alone.

    Args:
      every: All that was asked for.
      results: Where they go; what is there already is left alone.
      predict: Gives what NAME.json holds and the other files' content by name.
      finish: Called with the account and the records of `every`, also when the run is
        interrupted; makes the report of them.
      refused: Path and reason of what was named and is no recording.
      overwrite: Predict again what is there already.

    Returns:
      What `finish` returned.

    Raises:
      WorkdirError: The results cannot be written.
    """
    there = [] if overwrite else [job for job in every if results.done(job)]
    todo = [job for job in every if job not in there]
    failed = list(refused)
    try:
        with progress.FilesBar(tuple(todo)) as bar:
            for outcome in _outcomes(todo, results, predict):
                bar(outcome)
                if outcome.status != "used":
                    failed.append((outcome.job.path, outcome.reason))
    finally:
        records = [r for r in map(results.done, every) if r is not None]
        found = len(every) + len(refused)
        account = {
            "found": found,
            "used": len(records),
            "used_before": len(there),
            "failed": failed,
            "not_done": found - len(records) - len(failed),
            "other_recordings": results.others,
            "settings": results.key,
        }
        report = finish(account, records)
    return report


def _outcomes(
    todo: Sequence[jobs.Job], results: Results, predict: Callable[[jobs.Job], Made]
) -> Iterator[jobs.Outcome]:
    for job in todo:
        try:
            record, files = predict(job)
        except Exception as error:  # One odd file must not end a week's run.
            yield jobs.Outcome(job, "unreadable", reason(error, job.path), new=True)
            continue
        results.write(record, files)  # A full disk is not the file's fault.
        yield jobs.Outcome(job, "used", "", new=True)


def counts(report: Record, kind: str, **more: int) -> list[str]:
    """The account as lines of text, and why files were not used.

    Args:
      report: With the keys of the account, and `unsupported`.
      kind: What files are called, such as `"device files"`.
      **more: Further counts; underscores are spaces.
    """
    numbers = {
        f"{kind} found": report["found"],
        "  predicted now": report["used"] - report["used_before"],
        "  predicted before": report["used_before"],
        "  failed": len(report["failed"]),
        "other files, not supported": len(report["unsupported"]),
        **{name.replace("_", " "): count for name, count in more.items()},
    }
    return [f"{label:<32}{count:>8,}" for label, count in numbers.items()]


def reasons(report: Record, *titles: str) -> list[str]:
    """A line for each path and reason under these keys of a report, up to 20 each."""
    lines = []
    for title in titles:
        for path, why in report[title][:_MOST_SHOWN]:
            lines.append(f"  {title.replace('_', ' ')}: {path}: {why}")
        if len(report[title]) > _MOST_SHOWN:
            lines.append(f"  and {len(report[title]) - _MOST_SHOWN:,} more")
    return lines


def others(report: Record) -> list[str]:
    """That there are results which are not those of this report."""
    if not report["other_recordings"]:
        return []
    return [
        f"{report['other_recordings']:,} recordings there are of another bundle or"
        " other settings, and not in summary.csv"
    ]


def encoded(table: pa.Table, kind: str) -> bytes:
    """A table as a file of kind `"csv"` or `"parquet"`."""
    sink = pa.BufferOutputStream()
    if kind == "csv":
        pyarrow.csv.write_csv(table, sink)
    else:
        pyarrow.parquet.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def reason(error: Exception, path: str) -> str:
    """A message for a file of which a reader knows; else what broke, and where."""
    if isinstance(error, rec.FormatError | audio.AudioError | OSError):
        return str(error).removeprefix(f"{path}: ")
    at = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{epath.Path(at.filename).name}:{at.lineno}"
    return f"{type(error).__name__} at {where}: {error}"


def _json(value: Record) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
