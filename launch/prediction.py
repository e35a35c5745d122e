"""One recording after another through a classifier, into a folder of results.

FOLDER/NAME.csv       a row per label window (or NAME.parquet)
FOLDER/NAME.png       the same as a picture, day by day
FOLDER/NAME.json      where it comes from, how it was prepared, hours by day
FOLDER/summary.csv    a row per recording and day
FOLDER/report.json    what became of every file
"""

import csv
import dataclasses
import io
import json
import time
import traceback
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from etils import epath

import sigjax
from sigjax.data import formats
from sigjax.data import recording as rec
from sigjax.data.wearable import jobs, names
from sigjax.evals import timeline, timeline_figures
from sigjax.inference.classifier import ClassifierModel
from sigjax.train.writer import replace_file

# What a recording must not be called.
_TAKEN = ("summary", "report")
_DIGITS = 4  # Of probabilities in CSV files.


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What results depend on, beside file and model.

    Attributes:
      format: `"csv"` or `"parquet"`.
      overlap: See `ClassifierModel.classify_all`.
      options: How to read files.
      person_regex: See `names.person_of`.
      changes: Fields of `PrepareConfig` that differ from the training data's.
    """

    format: str = "csv"
    overlap: float = 0.0
    options: formats.ReadOptions = formats.DEFAULT
    person_regex: str = ""
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def key(self, bundle: epath.PathLike) -> dict[str, Any]:
        """What tells whether results are those of these settings and a bundle."""
        return {
            "bundle": fingerprint(bundle),
            "format": self.format,
            "overlap": self.overlap,
            "read": self.options.to_json(),
            "person_regex": self.person_regex,
            "changes": dict(self.changes),
            "sigjax_version": sigjax.__version__,
        }


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

    def __init__(self, folder: epath.PathLike, key: Mapping[str, Any]):
        """Reads what is there and writes nothing."""
        self.folder = epath.Path(folder)
        self.key = dict(key)
        self._records = {r["name"]: r for r in self._read()}

    def _read(self) -> Iterator[dict[str, Any]]:
        files = self.folder.glob("*.json") if self.folder.exists() else ()
        for path in sorted(files):
            try:
                record = json.loads(path.read_text())
            except ValueError:  # Ours are whole: it is somebody else's.
                continue
            ours = isinstance(record, dict) and record.get("name") == path.stem
            if ours and {"source", "key", "days"} <= record.keys():
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

    def named(self, job: jobs.Job) -> jobs.Job:
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

    def write(self, record: Mapping[str, Any], files: Mapping[str, bytes]) -> None:
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

    def write_summary(self, labels: Sequence[str], report: Mapping[str, Any]) -> None:
        """Writes summary.csv, of all records, and report.json."""
        self.folder.mkdir(parents=True, exist_ok=True)
        text = io.StringIO()
        hours = ("span_h", "wear_h", "non_wear_h", "no_data_h", "too_short_h")
        columns = ["recording", "person", "device", "device_id", "calibrated", "day"]
        columns += [*hours, *(f"hours_{label}" for label in labels)]
        writer = csv.DictWriter(text, columns, lineterminator="\n")
        writer.writeheader()
        for record in self.records:
            about = {
                "recording": record["name"],
                "person": record["person"],
                "device": record["device"],
                "device_id": record["device_id"],
                "calibrated": "yes" if record["calibration"]["ok"] else "no",
            }
            for day in record["days"]:
                numbers = {k: round(v, 4) for k, v in day.items() if k != "day"}
                writer.writerow({**about, "day": day["day"], **numbers})
        replace_file(self.folder / "summary.csv", text.getvalue().encode())
        replace_file(self.folder / "report.json", _json(report))


def predict(
    model: ClassifierModel,
    job: jobs.Job,
    settings: Settings,
    batch_size: int | None = None,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Prepares and classifies one recording.

    Returns:
      What NAME.json holds, and the other files' content by name.

    Raises:
      FormatError: The file cannot be read, or holds nothing that can be classified.
    """
    began = time.perf_counter()
    prepared = model.prepare(
        job.path,
        settings.options,
        name=job.name,
        person_regex=settings.person_regex,
        **settings.changes,
    )
    _check(prepared)
    ready = time.perf_counter()
    found = timeline.timeline(
        prepared,
        model.classify_all(
            [segment.acceleration for segment in prepared.segments],
            overlap=settings.overlap,
            batch_size=batch_size,
        ),
        model.labels,
        model.label_s,
    )
    classified = time.perf_counter()
    picture = timeline_figures.day_by_day(
        found,
        title=f"{job.name} ({prepared.device} {prepared.device_id}".rstrip() + ")",
        note=_note(model, job, prepared.quality),
        movement=timeline.minute_movement(prepared, timeline.days(found)),
    )
    files = {
        f"{job.name}.{settings.format}": _encoded(found, settings.format),
        f"{job.name}.png": picture,
    }
    record = _record(job, prepared, found)
    record["seconds"] = {
        "prepare": round(ready - began, 3),
        "model": round(classified - ready, 3),
        "write": round(time.perf_counter() - classified, 3),
    }
    return record, files


def _check(prepared: rec.PreparedRecording) -> None:
    """Refuses what was dropped, unless only because it was never worn."""
    quality = prepared.quality
    if not prepared.segments and (
        not quality.get("nonwear") or quality["hours"].get("dropped")
    ):
        raise rec.FormatError(str(quality["status"]).removeprefix("dropped: "))


def _note(model: ClassifierModel, job: jobs.Job, quality: Mapping[str, Any]) -> str:
    notes = []
    if (epath.Path(job.path).parent / "SIMULATED.txt").exists():
        notes.append("simulated recording")
    data = model.info.get("extra", {}).get("dataset") or {}
    if data.get("simulated"):
        notes.append("classifier of simulated data")
    if not quality["calibration"]["ok"]:
        notes.append("not calibrated")
    return ", ".join(notes)


def _record(
    job: jobs.Job, prepared: rec.PreparedRecording, found: timeline.Timeline
) -> dict[str, Any]:
    quality, days = prepared.quality, timeline.daily(found)
    kept = ("start", "end", "clock", "utc_offset_s", "calibration", "reader")
    return {
        "name": job.name,
        "source": job.path,
        "bytes": job.bytes,
        "modified": job.modified,
        "person": prepared.person,
        "device": prepared.device,
        "device_id": prepared.device_id,
        **{key: quality.get(key) for key in kept},
        "unusable_segments": quality["unusable_segments"],
        "labels": list(found.labels),
        "label_s": found.label_s,
        "rows": len(found.start),
        "repeated_s": round(max(found.repeated_s, 0.0), 3),
        "hours": timeline.total(days),
        "days": days,
    }


def _encoded(found: timeline.Timeline, kind: str) -> bytes:
    sink = pa.BufferOutputStream()
    if kind == "csv":
        pyarrow.csv.write_csv(timeline.table(found, digits=_DIGITS), sink)
    else:
        pyarrow.parquet.write_table(timeline.table(found), sink)
    return sink.getvalue().to_pybytes()


def reason(error: Exception, path: str) -> str:
    """A message for a file of which a reader knows; else what broke, and where."""
    if isinstance(error, rec.FormatError | OSError):
        return str(error).removeprefix(f"{path}: ")
    at = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{epath.Path(at.filename).name}:{at.lineno}"
    return f"{type(error).__name__} at {where}: {error}"


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()
