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
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from etils import epath

from launch import results as res
from launch.audio_events.recording import windows_of
from launch.audio_events.settings import Settings
from launch.sounds import settings as sounds
from launch.sounds.prediction import find
from sigjax import export
from sigjax.data import audio
from sigjax.data.wearable import jobs, plan
from sigjax.evals import event_timeline_figures as figures
from sigjax.evals import sound_strip
from sigjax.evals.sound_timeline_figures import span
from sigjax.inference.base import BundleError
from sigjax.inference.segmentation import FoundEvent, FrameMeans, SegmenterModel

_MOST_SHOWN, _MOST_NAMED, _MOST_WAITING = 20, 3, 32
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
    paths, unsupported = find(inputs, str(output))
    if asked.start_time and len(paths) > 1:
        raise ValueError(
            f"--start_time={asked.start_time} is of one recording, there are"
            f" {len(paths)}: name one file"
        )

    def finish(
        account: dict[str, Any], records: list[dict[str, Any]]
    ) -> dict[str, Any]:
        about = {"bundle": plan.absolute(bundle), **account}
        report = {**about, "unsupported": unsupported}
        if records or account["failed"]:
            results.write_summary(_COLUMNS, map(_summary, results.records), report)
        return {**report, "records": records}

    return res.process(
        results.named(inputs, paths),
        results,
        lambda job: predict(model, job, asked, batch_size),
        finish,
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
    strip: Any,
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
    means, waiting, samples = FrameMeans(len(model.classes)), [], 0
    remarks: collections.Counter[str] = collections.Counter()

    def judge() -> None:
        scores = model.judge([window.wave for window in waiting], batch_size)
        for window, score in zip(waiting, scores, strict=True):
            means.add(round(window.start_s / model.frame_s), score)
        waiting.clear()

    for wave, windows in windows_of(path, model, asked):  # type: ignore[arg-type]
        strip.feed(wave)
        samples += len(wave)
        for window in windows:
            if window.damaged > 0.5:
                remarks["more than half of its samples are no numbers"] += 1
            elif window.constant:
                remarks["no sound: every sample is the same"] += 1
            else:
                waiting.append(window)
        if len(waiting) >= _MOST_WAITING:
            judge()
    if not samples:
        raise audio.AudioError(f"{path}: there are no samples")
    judge()
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
    info = audio.probe(job.path)
    trained = (model.info.get("extra") or {}).get("dataset", {})
    record = {
        "name": job.name,
        "source": job.path,
        "bytes": job.bytes,
        "modified": job.modified,
        "rate_hz": info.rate_hz,
        "channels": info.channels,
        "channel": asked.channel,
        "duration_s": round(duration_s, 3),
        "start": asked.start_time,
        "frame_s": model.frame_s,
        "hop_s": asked.hop_s,
        "event_threshold": asked.event_threshold,
        "events": [dataclasses.asdict(event) for event in events],
        "remarks": remarks,
        "notes": ["model trained on simulated sound"]
        if trained.get("simulated")
        else [],
        "seconds": {"score": round(time.perf_counter() - began, 3)},
    }
    files = {
        f"{job.name}.{asked.format}": res.encoded(
            events_table(events, asked), asked.format
        ),
        f"{job.name}.png": picture(record, score, events, strip, model, asked),
    }
    return record, files


def events_table(events: Sequence[FoundEvent], asked: Settings) -> pa.Table:
    """A row per event, by onset."""
    times = ["time"] if asked.start_time else []
    rows = []
    for event in events:
        row: dict[str, Any] = {
            "onset_s": event.start_s,
            "offset_s": event.end_s,
            "class": event.label,
            "score": event.score,
        }
        if times:
            start = sounds.started(asked.start_time)
            row["time"] = sounds.at(start, event.start_s)
        rows.append(row)
    names = ["onset_s", "offset_s", *times, "class", "score"]
    text = ("time", "class")
    schema = pa.schema([(n, pa.string() if n in text else pa.float64()) for n in names])
    return pa.Table.from_pylist([{n: row[n] for n in names} for row in rows], schema)


def picture(
    record: Mapping[str, Any],
    score: np.ndarray,
    events: Sequence[FoundEvent],
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
    shown = padded.reshape(count, wide, -1).max(axis=1)  # a short event is not lost
    left = (np.arange(count) * wide - 0.5) * model.frame_s
    edges = np.append(left, left[-1] + wide * model.frame_s)
    edges = np.clip(edges, 0, record["duration_s"])
    start = sounds.started(asked.start_time) if asked.start_time else None
    return figures.recording(
        figures.Heard(
            [model.classes[i] for i in chosen],
            np.where(shown < 0, np.nan, shown),
            edges[:-1],
            edges[1:],
        ),
        [figures.Shown(e.label, e.start_s, e.end_s) for e in events],
        strip.close(),
        title=record["name"],
        verdict=verdict(record),
        note=", ".join(record["notes"]),
        start=start,
    )


def verdict(record: Mapping[str, Any]) -> str:
    """What is heard, in a sentence."""
    events = record["events"]
    if not events:
        return f"No event reaches {record['event_threshold']:g}"
    some = sorted(events, key=lambda e: -e["score"])[:_MOST_NAMED]
    some.sort(key=lambda e: e["start_s"])
    text = ", ".join(f"{e['label']} {span(e['start_s'], e['end_s'])}" for e in some)
    more = len(events) - len(some)
    return text + (f" and {more} more" if more else "")


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
    told = res.counts(report, "recordings")
    told += res.reasons(report, "failed", "unsupported")
    records = report["records"]
    for record in records[:_MOST_SHOWN]:
        told.append(f"{record['name']}: {verdict(record)}")
        for remark, count in record["remarks"].items():
            told.append(f"  {count:,} windows: {remark}")
    if len(records) > _MOST_SHOWN:
        told.append(f"and {len(records) - _MOST_SHOWN:,} more, in summary.csv")
    if report["other_recordings"]:
        told.append(
            f"{report['other_recordings']:,} recordings there are of another bundle or"
            " other settings, and not in summary.csv"
        )
    return "\n".join(told)
