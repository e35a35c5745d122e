"""Clips and recordings through a recogniser of audio events, into a folder.

FOLDER/NAME.csv         a row per window (or NAME.parquet)
FOLDER/NAME_events.csv  a row per event: which class, from when to when
FOLDER/NAME.png         spectrogram, and what is heard when
FOLDER/NAME.json        where it comes from, the likeliest classes, the events
FOLDER/summary.csv      a row per recording
FOLDER/report.json      what became of every file
"""

from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from launch import results as res
from launch.audio_events.recording import predict, verdict
from launch.audio_events.settings import Settings
from launch.recordings import prediction, reading
from sigjax import export
from sigjax.inference.audio_events import AudioEventsModel
from sigjax.inference.base import BundleError


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

    return prediction.predict_each(
        inputs,
        reading.find(inputs, str(output), asked.start_time),
        results,
        lambda job: predict(model, job, asked, batch_size),
        columns=_columns(tuple(model.classes), asked.top),
        row_of=_summary,
        about=prediction.bundle_of(bundle),
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
    return prediction.table(report, _lines)


def _lines(record: Mapping[str, Any]) -> list[str]:
    """What is to be said of a recording."""
    told = [f"{record['name']}: {verdict(record)}"]
    for head, ranked in record["top"].items():
        tops = ", ".join(f"{t['label']} {t['probability']:.2f}" for t in ranked)
        name = f"{head}: " if len(record["top"]) > 1 else "likeliest: "
        told.append(f"  {name}{tops}")
    return told + prediction.remarked(record)
