"""Clips and recordings through a recogniser of audio events, into a folder.

FOLDER/NAME.csv         a row per window (or NAME.parquet)
FOLDER/NAME_events.csv  a row per event: which class, from when to when
FOLDER/NAME.png         spectrogram, and what is heard when
FOLDER/NAME.json        where it comes from, the likeliest classes, the events
FOLDER/summary.csv      a row per recording
FOLDER/report.json      what became of every file
"""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from launch import results as res
from launch.audio_events.recording import predict, verdict
from launch.audio_events.settings import Settings
from launch.sounds.prediction import find
from sigjax import export
from sigjax.data.wearable import plan
from sigjax.inference.audio_events import AudioEventsModel
from sigjax.inference.base import BundleError

_MOST_SHOWN = 20


def open_model(bundle: epath.PathLike) -> AudioEventsModel:
    """Loads a recogniser.

    Raises:
      BundleError: There is no bundle, or it has no head.
    """
    model: Any = export.load(bundle)
    if not isinstance(model, AudioEventsModel):
        raise BundleError(f"{bundle} is no recogniser of audio events: {model}")
    if not model.classes:
        raise BundleError(
            f"{bundle} holds a backbone without a head: train one with"
            f" launch.finetune, --config.encoder.weights={bundle}"
        )
    return model


def predict_files(
    inputs: Sequence[str],
    bundle: epath.PathLike,
    output: epath.PathLike,
    asked: Settings = Settings(),  # noqa: B008
    *,
    batch_size: int | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Scores all audio files that `inputs` name, with results in `output`.

    Args:
      inputs: Files and folders.
      bundle: Of a recogniser.
      output: Folder; see the top of this file.
      asked: What results depend on.
      batch_size: Windows at a time; by default what suits the device.
      overwrite: Score again what is there already.

    Returns:
      What report.json holds; under `records` also what is known of each recording.

    Raises:
      BundleError: The bundle is none of a recogniser.
      FileNotFoundError: An input does not exist.
      ValueError: A start time is given for several recordings.
      WorkdirError: The results cannot be written.
    """
    model = open_model(bundle)
    results = res.Results(output, asked.key(bundle), fields=("windows", "top"))
    asked = asked.completed(model)
    paths, unsupported = find(inputs, str(output))
    if asked.start_time and len(paths) > 1:
        raise ValueError(
            f"--start_time={asked.start_time} is of one recording, there are"
            f" {len(paths)}: name one file"
        )
    heads, top = tuple(model.classes), asked.top

    def finish(
        account: dict[str, Any], records: list[dict[str, Any]]
    ) -> dict[str, Any]:
        report = {
            "bundle": plan.absolute(bundle),
            **account,
            "unsupported": unsupported,
        }
        if records or account["failed"]:
            rows = [_summary(r) for r in results.records]
            results.write_summary(_columns(heads, top), rows, report)
        return {**report, "records": records}

    return res.process(
        results.named(inputs, paths),
        results,
        lambda job: predict(model, job, asked, batch_size),
        finish,
        overwrite=overwrite,
    )


def _columns(heads: Sequence[str], top: int) -> list[str]:
    found = ["recording", "start", "duration_s", "windows", "scored"]
    for head in heads:
        for place in range(1, top + 1):
            found += _names(head, place, len(heads) > 1)
    return [*found, "events", "remarks"]


def _names(head: str, place: int, several: bool) -> tuple[str, str]:
    """Columns of a class and of its probability."""
    prefix = f"{head}_" if several else ""
    return f"{prefix}label_{place}", f"{prefix}probability_{place}"


def _summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """A row of summary.csv."""
    row = {
        "recording": record["name"],
        **{k: record[k] for k in ("start", "duration_s", "windows", "scored")},
        "events": len(record["events"]),
        "remarks": "; ".join(f"{k} ({n})" for k, n in record["remarks"].items()),
    }
    for head, ranked in record["top"].items():
        for place, found in enumerate(ranked, start=1):
            label, probability = _names(head, place, len(record["top"]) > 1)
            row |= {label: found["label"], probability: found["probability"]}
    return row


def table(report: dict[str, Any]) -> str:
    """The report as text: counts, what happened, and why files were not used."""
    lines = res.counts(report, "recordings")
    lines += res.reasons(report, "failed", "unsupported")
    records = report["records"]
    doubts = collections.Counter(d for record in records for d in record["doubts"])
    lines += [f"{count:,} recordings: {doubt}" for doubt, count in doubts.items()]
    for record in records[:_MOST_SHOWN]:
        lines.append(f"{record['name']}: {verdict(record)}")
        for head, ranked in record["top"].items():
            tops = ", ".join(f"{t['label']} {t['probability']:.2f}" for t in ranked)
            name = f"{head}: " if len(record["top"]) > 1 else "likeliest: "
            lines.append(f"  {name}{tops}")
        for remark, count in record["remarks"].items():
            lines.append(f"  {count:,} windows: {remark}")
    if len(records) > _MOST_SHOWN:
        lines.append(f"and {len(records) - _MOST_SHOWN:,} more, in summary.csv")
    if report["other_recordings"]:
        lines.append(
            f"{report['other_recordings']:,} recordings there are of another bundle or"
            " other settings, and not in summary.csv"
        )
    return "\n".join(lines)
