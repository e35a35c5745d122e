"""Recordings of wrist-worn devices through a classifier, into a folder of results.

FOLDER/NAME.csv       a row per label window (or NAME.parquet)
FOLDER/NAME.png       the same as a picture, day by day
FOLDER/NAME.json      where it comes from, how it was prepared, hours by day
FOLDER/summary.csv    a row per recording and day
FOLDER/report.json    what became of every file
"""

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

import sigjax
from launch import results as res
from sigjax import export
from sigjax.data import formats
from sigjax.data import recording as rec
from sigjax.data.wearable import jobs, plan
from sigjax.evals import timeline, timeline_figures
from sigjax.inference.base import BundleError, read_options
from sigjax.inference.classifier import ClassifierModel

_DIGITS = 4  # Of probabilities in CSV files.
_MOST_SHOWN = 20
_HOURS = ("span_h", "wear_h", "non_wear_h", "no_data_h", "too_short_h")


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
            "bundle": res.fingerprint(bundle),
            "format": self.format,
            "overlap": self.overlap,
            "read": self.options.to_json(),
            "person_regex": self.person_regex,
            "changes": dict(self.changes),
            "sigjax_version": sigjax.__version__,
        }


def open_bundle(path: epath.PathLike) -> ClassifierModel:
    """Loads a classifier.

    Raises:
      BundleError: There is no bundle, or it has no classes.
    """
    info = export.read_info(path)
    if info["model"] != "window_classifier":
        raise BundleError(
            f"{path} holds an encoder without classes (model {info['model']!r}): train"
            " a head with `python -m launch.finetune --config=configs/har_wrist.py"
            f" --config.encoder.weights={path} --config.data.dataset=SET --workdir=RUN`"
            " and give --bundle=RUN/bundle"
        )
    model = export.load(path)
    assert isinstance(model, ClassifierModel)
    return model


def find(
    inputs: Sequence[str], output: str, options: formats.ReadOptions
) -> tuple[list[str], list[tuple[str, str]], list[tuple[str, str]]]:
    """The device files that inputs name.

    Returns:
      Their paths; path and reason of named files that are none; and of files in
      folders that look like raw data but cannot be read.

    Raises:
      FileNotFoundError: An input does not exist.
    """
    # Results may lie among the files that they are made from.
    results = plan.absolute(output).rstrip("/") + "/"
    found, refused, unsupported = [], [], []
    for where in inputs:
        paths, skipped = formats.find_recordings(where, options)
        found += [plan.absolute(path) for path in paths]
        skipped = [(plan.absolute(path), why) for path, why in skipped]
        if epath.Path(where).is_dir():
            unsupported += skipped
        elif not paths:
            try:
                formats.read_recording(where, options)
            except (rec.FormatError, OSError) as error:
                refused.append((plan.absolute(where), res.reason(error, where)))
    kept = [path for path in dict.fromkeys(found) if not path.startswith(results)]
    unsupported = [s for s in unsupported if not s[0].startswith(results)]
    return kept, refused, unsupported


def predict_files(
    inputs: Sequence[str],
    bundle: epath.PathLike,
    output: epath.PathLike,
    settings: Settings = Settings(),  # noqa: B008
    *,
    batch_size: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Predicts all device files that `inputs` name, with results in `output`.

    Args:
      inputs: Files and folders.
      bundle: Of launch.finetune.
      output: Folder; see the top of this file.
      settings: What results depend on. What `options` leave open is read as the
        bundle's training data were.
      batch_size: Windows at a time; chosen by device if None.
      overwrite: Predict again what is there already.

    Returns:
      What report.json holds; under `records` also what is known of each recording.

    Raises:
      BundleError: The bundle is none, or none of a classifier.
      FileNotFoundError: An input does not exist.
      WorkdirError: The results cannot be written.
    """
    model = open_bundle(bundle)
    settings = _completed(settings, model)
    paths, refused, unsupported = find(inputs, str(output), settings.options)
    results = res.Results(output, settings.key(bundle), fields=("days",))

    def finish(
        account: dict[str, Any], records: list[dict[str, Any]]
    ) -> dict[str, Any]:
        report = {
            "bundle": plan.absolute(bundle),
            **account,
            "unsupported": unsupported,
            "not_calibrated": [
                (record["source"], record["calibration"]["reason"])
                for record in records
                if not record["calibration"]["ok"]
            ],
        }
        if records or account["failed"]:
            columns = ["recording", "person", "device", "device_id", "calibrated"]
            columns += ["day", *_HOURS, *(f"hours_{label}" for label in model.labels)]
            results.write_summary(columns, _days(results.records), report)
        return {**report, "records": records}

    return res.process(
        results.named(inputs, paths),
        results,
        lambda job: predict(model, job, settings, batch_size),
        finish,
        refused=refused,
        overwrite=overwrite,
    )


def _completed(settings: Settings, model: ClassifierModel) -> Settings:
    if "read" not in model.info["preprocessing"]:
        return settings
    given, trained = settings.options, read_options(model.info)
    options = formats.ReadOptions(
        tz=given.tz or trained.tz, csv=given.csv or trained.csv
    )
    return dataclasses.replace(settings, options=options)


def table(report: dict[str, Any]) -> str:
    """The report as text: counts, hours, and why files were not used."""
    lines = res.counts(
        report, "device files", not_calibrated=len(report["not_calibrated"])
    )
    lines += res.reasons(report, "failed", "unsupported", "not_calibrated")
    for record in report["records"][:_MOST_SHOWN]:
        hours, shown = record["hours"], timeline_figures.duration
        parts = [
            f"{label} {shown(hours[f'hours_{label}'])}" for label in record["labels"]
        ]
        parts.append(f"not worn {shown(hours['non_wear_h'])}")
        parts.append(f"no data {shown(hours['no_data_h'])}")
        lines.append(f"{record['name']}: {', '.join(parts)}")
        if record["repeated_s"]:
            lines.append(
                f"  its clock was set back: {record['repeated_s']:,.0f} s occur twice"
            )
    return "\n".join([*lines, *res.others(report)])


def _days(records: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Rows of summary.csv."""
    for record in records:
        about = {
            "recording": record["name"],
            "person": record["person"],
            "device": record["device"],
            "device_id": record["device_id"],
            "calibrated": "yes" if record["calibration"]["ok"] else "no",
        }
        for day in record["days"]:
            numbers = {k: round(v, 4) for k, v in day.items() if k != "day"}
            yield {**about, "day": day["day"], **numbers}


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
    rows = timeline.table(found, digits=_DIGITS if kind == "csv" else None)
    return res.encoded(rows, kind)
