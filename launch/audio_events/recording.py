"""One recording through a recogniser of audio events: clip or hours, in windows."""

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from launch import results as res
from launch.audio_events.heard import Event, Heard, events_table, windows_table
from launch.audio_events.settings import Settings
from launch.recordings import heard as shown
from launch.recordings.prediction import doubts_of, notes_of, source_of
from launch.recordings.reading import batches, unfit, windows_of
from sigjax.data import audio
from sigjax.data.wearable import jobs
from sigjax.evals import event_timeline_figures as figures
from sigjax.evals import sound_strip
from sigjax.evals.sound_timeline_figures import cells
from sigjax.inference.audio_events import AudioEventsModel
from sigjax.inference.sounds.rolling import Window


def listen(
    model: AudioEventsModel,
    path: str,
    asked: Settings,
    strip: sound_strip.Strip,
    batch_size: int | None = None,
) -> Heard:
    """Scores a file, of which no more than some windows are in memory.

    Args:
      model: The recogniser.
      path: WAV, FLAC or OGG.
      asked: With a hop; see `Settings.completed`.
      strip: Is fed with its wave.
      batch_size: Windows at a time; by default what suits the device.

    Raises:
      AudioError: The file is damaged, has no such channel, or is shorter than a frame.
    """
    least = model.config.task.fbank.frame_samples
    times: list[tuple[float, float]] = []
    remarks: list[str] = []
    found: dict[str, list[np.ndarray]] = {head: [] for head in model.classes}
    stretches = windows_of(
        path,
        rate_hz=model.rate_hz,
        channel=asked.channel,
        window_s=model.window_s,
        hop_s=asked.hop_s,
        rest=0.0,  # As clips are cut in training and evaluation.
    )
    for windows in batches(stretches, strip):
        # One window alone can be short: all of a short sound.
        if len(windows[-1].wave) < least:
            raise audio.AudioError(
                f"{path}: {len(windows[-1].wave)} samples at {model.rate_hz} Hz are"
                f" less than a frame of {least}"
            )
        whole = [window for window in windows if not unfit(window)]
        scores = model.judge([window.wave for window in whole], batch_size)
        place = 0
        for window in windows:
            why = unfit(window)
            times.append((window.start_s, window.end_s))
            remarks.append(why or _remark(window))
            for head, names in model.classes.items():
                blank = np.full(len(names), np.nan, np.float32)
                found[head].append(blank if why else scores[head][place])
            place += not why
    start_s, end_s = np.array(times, np.float64).reshape(-1, 2).T
    return Heard(
        start_s=start_s,
        end_s=end_s,
        probability={head: np.stack(parts) for head, parts in found.items()},
        remark=remarks,
    )


def _remark(window: Window) -> str:
    if window.damaged:
        return f"{window.damaged:.1%} of its samples are no numbers"
    return f"{window.clipped:.1%} clipped" if window.clipped > 0.001 else ""


def events_of(heard: Heard, model: AudioEventsModel, asked: Settings) -> list[Event]:
    """Stretches in which a class is heard, in the order of their beginnings.

    A class is heard in a window if its probability reaches the threshold and, where
    windows have one class, it is the likeliest. Windows that follow each other are one
    event; each stands for a hop in its middle.
    """
    left, right = cells(heard.start_s, heard.end_s, asked.hop_s)
    found = []
    for head, value in heard.probability.items():
        on = np.nan_to_num(value) >= asked.event_threshold
        if not model.multi_label:
            best = np.nan_to_num(value, nan=-1.0).argmax(axis=1)
            on &= np.arange(value.shape[1]) == best[:, None]
        for number in np.flatnonzero(on.any(axis=0)):
            edges = np.flatnonzero(np.diff(np.r_[0, on[:, number], 0]))
            for first, stop in zip(edges[::2], edges[1::2], strict=True):
                some = value[first:stop, number]
                found.append(
                    Event(
                        head=head,
                        label=model.classes[head][number],
                        start_s=round(float(left[first]), 4),
                        end_s=round(float(right[stop - 1]), 4),
                        peak=_number(some.max()),
                        mean=_number(some.mean()),
                    )
                )
    return sorted(found, key=lambda e: (e.start_s, e.end_s, e.label))


def predict(
    model: AudioEventsModel,
    job: jobs.Job,
    asked: Settings,
    batch_size: int | None = None,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Scores one recording.

    Returns:
      What NAME.json holds, and the other files' content by name.

    Raises:
      AudioError: See `listen`.
    """
    began = time.perf_counter()
    strip = sound_strip.Strip(model.rate_hz)
    heard = listen(model, job.path, asked, strip, batch_size)
    events = events_of(heard, model, asked)
    scored = time.perf_counter()
    record = _record(model, job, asked, heard, events)
    files = {
        f"{job.name}.{asked.format}": res.encoded(
            windows_table(heard, model, asked), asked.format
        ),
        f"{job.name}_events.{asked.format}": res.encoded(
            events_table(events, asked), asked.format
        ),
        f"{job.name}.png": picture(record, heard, strip, model, asked),
    }
    record["seconds"] = {
        "score": round(scored - began, 3),
        "write": round(time.perf_counter() - scored, 3),
    }
    return record, files


def _record(
    model: AudioEventsModel,
    job: jobs.Job,
    asked: Settings,
    heard: Heard,
    events: Sequence[Event],
) -> dict[str, Any]:
    remarks: dict[str, int] = {}
    for remark in filter(None, heard.remark):
        kind = remark.split("% ")[-1]  # Shares differ from window to window.
        remarks[kind] = remarks.get(kind, 0) + 1
    first = next(iter(heard.probability.values()))
    scored = np.asarray(np.isfinite(first).all(axis=1))
    trained = (model.info.get("extra") or {}).get("dataset", {})
    simulated = bool(trained.get("simulated"))
    source = source_of(job, audio.probe(job.path), asked.channel)
    doubts = doubts_of(source, model.rate_hz, "model")
    if asked.hop_s > model.window_s:
        doubts.append(
            f"windows of {model.window_s:g} s every {asked.hop_s:g} s: between them"
            " nothing is heard"
        )
    return {
        **source,
        "start": asked.start_time,
        "window_s": model.window_s,
        "hop_s": asked.hop_s,
        "windows": len(scored),
        "scored": int(scored.sum()),
        "event_threshold": asked.event_threshold,
        "top": {
            head: ranked(heard.mean(head), names, asked.top)
            for head, names in model.classes.items()
        },
        "events": [dataclasses.asdict(event) for event in events],
        "remarks": remarks,
        "doubts": doubts,
        "notes": notes_of(job, model_trained_on_simulated_sound=simulated),
    }


def ranked(mean: np.ndarray, names: Sequence[str], count: int) -> list[dict[str, Any]]:
    """The likeliest classes, highest first; none where nothing was scored."""
    if not np.isfinite(mean).all():
        return []
    order = np.argsort(-mean, kind="stable")[:count]
    return [{"label": names[i], "probability": _number(float(mean[i]))} for i in order]


def picture(
    record: Mapping[str, Any],
    heard: Heard,
    strip: sound_strip.Strip,
    model: AudioEventsModel,
    asked: Settings,
) -> bytes:
    """The recording's spectrogram, and its most probable classes over time."""
    left, right = cells(heard.start_s, heard.end_s, asked.hop_s)
    names, columns = [], []
    for head, every in model.classes.items():
        value = heard.probability[head]
        # Those that are highest anywhere: a short event is little of a long mean.
        highest = np.nan_to_num(value).max(axis=0)
        if len(value) == 1 or not highest.any():
            highest = np.nan_to_num(heard.mean(head))
        chosen = np.argsort(-highest, kind="stable")[: asked.top]
        names += [every[i] for i in chosen]
        columns.append(value[:, chosen])
    drawn = figures.Heard(names, np.concatenate(columns, axis=1), left, right)
    return shown.picture(record, drawn, strip, verdict(record))


def verdict(record: Mapping[str, Any]) -> str:
    """What is heard, in a sentence."""
    if not record["scored"]:
        return "Nothing could be heard: no window holds sound"
    if record["windows"] == 1:
        tops = (rows[0] for rows in record["top"].values())
        return ", ".join(f"{t['label']} ({t['probability']:.2f})" for t in tops)
    events = record["events"]
    if not events:
        return f"No class reaches {record['event_threshold']:g} in any window"
    return shown.named(events, "peak")


def _number(value: float) -> float:
    """To four digits, or NaN's place holder."""
    return float(f"{value:.4g}") if math.isfinite(value) else 0.0
