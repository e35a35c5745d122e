"""Recordings through a segmenter of sound, into a folder.

FOLDER/NAME.csv       a row per event: onset, offset, class, score (or NAME.parquet)
FOLDER/NAME.png       spectrogram, and what is heard when
FOLDER/NAME.json      where it comes from, and its events
FOLDER/summary.csv    a row per recording
FOLDER/report.json    what became of every file
"""

import collections
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from etils import epath

from launch import results as res
from launch.audio_events.settings import Settings
from launch.recordings import heard as shown
from launch.recordings import prediction, reading
from sigjax import export
from sigjax.data import audio
from sigjax.data.wearable import jobs
from sigjax.evals import event_timeline_figures as figures
from sigjax.evals import sound_strip
from sigjax.inference.base import BundleError
from sigjax.inference.segmentation import FoundEvent, FrameMeans, SegmenterModel
from sigjax.inference.sounds.rolling import Window

_MOST_COLUMNS = 2000  # of the picture's map of probabilities
_COLUMNS = ("recording", "start", "duration_s", "events", "classes", "event_s")


def open_model(bundle: epath.PathLike) -> SegmenterModel:
    """Loads a segmenter.

    Raises:
      BundleError: There is no bundle, or it is of another kind.
    """
    model: Any = export.load(bundle)
    if not isinstance(model, SegmenterModel):
        raise BundleError(f"{bundle} is no segmenter of sound: {model}")
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
    """Finds the events of all audio files that `inputs` name.

    Args:
      inputs: Files and folders.
      bundle: Of a segmenter.
      output: Folder; see the top of this file.
      asked: What results depend on.
      batch_size: Windows at a time; by default what suits the device.
      overwrite: Predict again what is there already.

    Returns:
      What report.json holds; under `records` also what is known of each recording.

    Raises:
      BundleError: The bundle is none of a segmenter.
      FileNotFoundError: An input does not exist.
      ValueError: A start time is given for several recordings, or a hop leaves gaps.
      WorkdirError: The results cannot be written.
    """
    model = open_model(bundle)
    results = res.Results(output, asked.key(bundle), fields=("events", "frame_s"))
    asked = completed(asked, model)
    return prediction.predict_each(
        inputs,
        reading.find(inputs, str(output), asked.start_time),
        results,
        lambda job: predict(model, job, asked, batch_size),
        columns=_COLUMNS,
        row_of=_summary,
        about=prediction.bundle_of(bundle),
        overwrite=overwrite,
    )


def completed(asked: Settings, model: SegmenterModel) -> Settings:
    """With a hop of half a window and the bundle's threshold, where none is asked."""
    hop_s = asked.hop_s or model.window_s / 2
    if hop_s > model.window_s:
        raise ValueError(
            f"--hop_s={hop_s:g} leaves gaps between windows of {model.window_s:g} s"
        )
    # Windows begin with a frame: means are of frames that stand over each other.
    hop_s = max(1, round(hop_s / model.frame_s)) * model.frame_s
    threshold = asked.event_threshold or model.config.rule.threshold
    return dataclasses.replace(asked, hop_s=hop_s, event_threshold=threshold)


def listen(
    model: SegmenterModel,
    path: str,
    asked: Settings,
    listener: reading.Listener,
    batch_size: int | None = None,
) -> tuple[np.ndarray, float, dict[str, int]]:
    """Scores a file, of which no more than some windows are in memory.

    The last window reaches back: its frames stand up to half a frame beside the others.

    Returns:
      Scores of frames, float32 `[t, v]`, NaN in windows without sound; the length in
      seconds; and what is wrong with windows: how many, by what.

    Raises:
      AudioError: The file is damaged, empty, or has no such channel.
    """
    means, samples = FrameMeans(len(model.classes)), 0
    remarks: collections.Counter[str] = collections.Counter()

    def fit(window: Window) -> bool:
        why = reading.unfit(window)
        remarks.update([why] * bool(why))
        return not why

    def counted() -> Iterator[reading.Stretch]:
        nonlocal samples
        for wave, windows in stretches:
            samples += len(wave)
            yield wave, windows

    stretches = reading.windows_of(
        path,
        rate_hz=model.rate_hz,
        channel=asked.channel,
        window_s=model.window_s,
        hop_s=asked.hop_s,
        rest=0.0,  # As clips are cut in training and evaluation.
    )
    for windows in reading.batches(counted(), listener, fit=fit):
        scores = model.judge([window.wave for window in windows], batch_size)
        for window, score in zip(windows, scores, strict=True):
            means.add(round(window.start_s / model.frame_s), score)
    if not samples:
        raise audio.AudioError(f"{path}: there are no samples")
    frames = 1 + samples // model.config.task.mel.hop
    return means.mean(frames), samples / model.rate_hz, dict(remarks)


def predict(
    model: SegmenterModel,
    job: jobs.Job,
    asked: Settings,
    batch_size: int | None = None,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Finds the events of one recording.

    Returns:
      What NAME.json holds, and the other files' content by name.

    Raises:
      AudioError: See `listen`.
    """
    began = time.perf_counter()
    strip = sound_strip.Strip(model.rate_hz)
    score, duration_s, remarks = listen(model, job.path, asked, strip, batch_size)
    events = model.events(score, duration_s, asked.event_threshold)
    trained = (model.info.get("extra") or {}).get("dataset", {})
    simulated = bool(trained.get("simulated"))
    record = {
        **prediction.source_of(job, audio.probe(job.path), asked.channel),
        "duration_s": round(duration_s, 3),
        "start": asked.start_time,
        "frame_s": model.frame_s,
        "hop_s": asked.hop_s,
        "event_threshold": asked.event_threshold,
        "events": [dataclasses.asdict(event) for event in events],
        "remarks": remarks,
        "notes": ["model trained on simulated sound"] * simulated,
        "seconds": {"score": round(time.perf_counter() - began, 3)},
    }
    files = {
        f"{job.name}.{asked.format}": res.encoded(
            events_table(events, asked), asked.format
        ),
        f"{job.name}.png": picture(record, score, strip, model, asked),
    }
    return record, files


def events_table(events: Sequence[FoundEvent], asked: Settings) -> pa.Table:
    """A row per event, by onset."""
    rows = [
        {
            "onset_s": event.start_s,
            "offset_s": event.end_s,
            "class": event.label,
            "score": event.score,
        }
        for event in events
    ]
    columns = ("onset_s", "offset_s", "class", "score")
    return shown.table(rows, columns, asked.start_time)


def picture(
    record: Mapping[str, Any],
    score: np.ndarray,
    strip: sound_strip.Strip,
    model: SegmenterModel,
    asked: Settings,
) -> bytes:
    """The recording's spectrogram, and its most probable classes over time."""
    highest = np.nan_to_num(score).max(axis=0)
    chosen = np.argsort(-highest, kind="stable")[: asked.top]
    wide = -(-len(score) // _MOST_COLUMNS)
    count = -(-len(score) // wide)
    padded = np.full((count * wide, len(chosen)), -1.0)
    padded[: len(score)] = np.nan_to_num(score[:, chosen], nan=-1.0)
    drawn = padded.reshape(count, wide, -1).max(axis=1)  # a short event is not lost
    left = (np.arange(count) * wide - 0.5) * model.frame_s
    edges = np.append(left, left[-1] + wide * model.frame_s)
    edges = np.clip(edges, 0, record["duration_s"])
    heard = figures.Heard(
        [model.classes[i] for i in chosen],
        np.where(drawn < 0, np.nan, drawn),
        edges[:-1],
        edges[1:],
    )
    return shown.picture(record, heard, strip, verdict(record))


def verdict(record: Mapping[str, Any]) -> str:
    """What is heard, in a sentence."""
    events = record["events"]
    if not events:
        return f"No event reaches {record['event_threshold']:g}"
    return shown.named(events, "score")


def _summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """A row of summary.csv."""
    events = record["events"]
    return {
        "recording": record["name"],
        "start": record["start"],
        "duration_s": record["duration_s"],
        "events": len(events),
        "classes": "; ".join(sorted({e["label"] for e in events})),
        "event_s": round(sum(e["end_s"] - e["start_s"] for e in events), 3),
    }


def table(report: dict[str, Any]) -> str:
    """The report as text: counts, what happened, and why files were not used."""
    return prediction.table(report, _lines)


def _lines(record: Mapping[str, Any]) -> list[str]:
    """What is to be said of a recording."""
    told = [f"{record['name']}: {verdict(record)}"]
    return told + prediction.remarked(record)
