"""One recording of a machine through a detector of anomalous sounds."""

import collections
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from launch import results as res
from launch.recordings.clock import at, begun, started
from launch.recordings.prediction import doubts_of, notes_of, source_of
from launch.recordings.reading import Stretch, windows_of
from launch.sounds import settings as sound_settings
from launch.sounds.settings import Settings
from sigjax.data import audio
from sigjax.data.wearable import jobs
from sigjax.evals import sound_strip
from sigjax.evals import sound_timeline_figures as figures
from sigjax.inference.sounds.detector import SoundDetector
from sigjax.inference.sounds.rolling import Window
from sigjax.inference.sounds.watch import Row, Watch

_BATCH = 16


def stretches_of(
    path: str, detector: SoundDetector, asked: Settings
) -> Iterator[Stretch]:
    """Windows of a file as a detector takes them; see `launch.recordings.reading`."""
    return windows_of(
        path,
        rate_hz=detector.rate_hz,
        channel=asked.channel,
        window_s=asked.window_s,
        hop_s=asked.hop_s,
    )


class _Highest:
    """Keeps the window with the highest score above its threshold."""

    def __init__(self):
        self.row: Row | None = None
        self.wave = np.empty(0, np.float32)
        self._excess = -math.inf

    def update(self, windows: Sequence[Window], rows: Sequence[Row]) -> None:
        for window, row in zip(windows, rows, strict=True):
            excess = row.score - row.threshold
            if excess > self._excess:  # Not where there is no score.
                self.row, self.wave, self._excess = row, window.wave.copy(), excess


def predict(
    detector: SoundDetector,
    job: jobs.Job,
    asked: Settings,
    batch_size: int | None = None,
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Scores one recording, however long: no more than a few windows are in memory.

    Args:
      detector: Knows the machine.
      job: The file.
      asked: With window and hop in seconds; see `Settings.completed`.
      batch_size: Windows at a time; 16 if None.

    Returns:
      What NAME.json holds, and the other files' content by name.

    Raises:
      AudioError: The file is damaged, or has no such channel.
    """
    began, size = time.perf_counter(), batch_size or _BATCH
    watching = sound_settings.watch(detector, asked)
    strip, highest = sound_strip.Strip(detector.rate_hz), _Highest()
    waiting: list[Window] = []
    rows: list[Row] = []

    def judge(count: int) -> None:
        now, waiting[:] = waiting[:count], waiting[count:]
        said = watching.judge(now)
        highest.update(now, said)
        rows.extend(said)

    for wave, windows in stretches_of(job.path, detector, asked):
        strip.feed(wave)
        waiting += windows
        while len(waiting) >= size:
            judge(size)
    if waiting:
        judge(len(waiting))
    scored = time.perf_counter()
    record = _record(job, asked, watching, rows)
    record |= _warnings(detector, job, asked, record)
    worst = _worst(detector, watching, highest, asked)
    record["band"] = None if worst is None else _band(worst)
    table = pa.Table.from_pylist([values(r, asked) for r in rows], schema(asked))
    files = {
        f"{job.name}.{asked.format}": res.encoded(table, asked.format),
        f"{job.name}.png": _picture(record, rows, strip, worst, asked),
    }
    record["seconds"] = {
        "score": round(scored - began, 3),
        "write": round(time.perf_counter() - scored, 3),
    }
    return record, files


def _worst(
    detector: SoundDetector, watching: Watch, highest: _Highest, asked: Settings
) -> figures.Worst | None:
    row = highest.row
    if row is None or not asked.map:
        return None
    # A window of several clips is drawn from the beginning, as far as one reaches.
    wave = highest.wave[: round(detector.clip_s * detector.rate_hz)]
    found = detector.anomaly_map(
        wave, machine=watching.machine, section=watching.section
    )
    spectrogram = sound_strip.spectrogram(wave, detector.rate_hz)
    frames = max(1, int(np.searchsorted(found.time_s, spectrogram.duration_s)))
    return figures.Worst(
        start_s=row.start_s,
        end_s=row.end_s,
        above=row.score > row.threshold,
        spectrogram=spectrogram,
        value=found.value[:frames],  # A short wave is repeated.
        frequency_hz=found.frequency_hz,
    )


def _band(worst: figures.Worst) -> dict[str, float] | None:
    band = sound_strip.loudest_band(worst.value, worst.frequency_hz)
    return None if band is None else {k: round(v, 3) for k, v in band._asdict().items()}


def _record(
    job: jobs.Job, asked: Settings, watching: Watch, rows: Sequence[Row]
) -> dict[str, Any]:
    info = audio.probe(job.path)
    score = np.array([row.score for row in rows])
    scored = np.isfinite(score)
    kinds = (kind for row in rows for kind in row.kinds)
    near = collections.Counter(row.nearest for row in rows if row.nearest)
    open_set = np.array([row.open_set for row in rows], bool)
    drifts = [row.drift for row in rows if row.drift]
    own = (watching.machine, watching.section or "")
    threshold = watching.detector.thresholds.get(own)
    return {
        **source_of(job, info, asked.channel),
        "start": asked.start_time,
        "machine": watching.machine,
        "section": watching.section,
        "window_s": asked.window_s,
        "hop_s": asked.hop_s,
        "windows": len(rows),
        "scored": int(scored.sum()),
        "not_scored": int((~scored).sum()),
        "anomalous": sum(row.decision == 1 for row in rows),
        "rest_s": round(info.duration_s - rows[-1].end_s, 3) if rows else 0.0,
        "alarms": _alarms(rows, asked.hop_s),
        "highest": _highest_of(rows),
        "median_score": _number(np.median(score[scored])) if scored.any() else None,
        "threshold": None if threshold is None else threshold.as_dict(),
        "promise": sound_settings.promise(watching, asked),
        "drift": {
            "windows": len(drifts),
            "last": rows[-1].drift if rows else "",
            "first_s": next((row.end_s for row in rows if row.drift), None),
            "limits": watching.drift_note,
        },
        "nearest": dict(near.most_common()),
        "open_set": int(open_set.sum()),
        "remarks": dict(collections.Counter(kinds).most_common()),
    }


def _scored(rows: Sequence[Row], hop_s: float) -> figures.Scored:
    def column(name: str) -> np.ndarray:
        return np.array([getattr(row, name) for row in rows])

    return figures.Scored(
        start_s=column("start_s"),
        end_s=column("end_s"),
        score=column("score"),
        threshold=column("threshold"),
        alarm=column("alarm").astype(bool),
        hop_s=hop_s,
    )


def _alarms(rows: Sequence[Row], hop_s: float) -> list[dict[str, Any]]:
    found = []
    for first, stop, start_s, end_s in _scored(rows, hop_s).alarms():
        score = [row.score for row in rows[first:stop] if math.isfinite(row.score)]
        found.append(
            {
                "start_s": round(start_s, 4),
                "end_s": round(end_s, 4),
                "highest": _number(max(score)) if score else None,
            }
        )
    return found


def _highest_of(rows: Sequence[Row]) -> dict[str, float | None] | None:
    scored = [row for row in rows if math.isfinite(row.score)]
    if not scored:
        return None
    row = max(scored, key=lambda row: row.score - row.threshold)
    return {
        "score": _number(row.score),
        "threshold": _number(row.threshold),
        "start_s": row.start_s,
        "end_s": row.end_s,
    }


def _number(value: float) -> float:
    """To six digits, as tables have it."""
    return float(f"{value:.6g}")


def _warnings(
    detector: SoundDetector, job: jobs.Job, asked: Settings, record: Mapping[str, Any]
) -> dict[str, Any]:
    """What puts all of a recording's scores in doubt, and where it is from."""
    # Statistics of a spectrum are no network's.
    heard = any(model.space != "spectrum" for model in detector.models.values())
    learnt = detector.simulated and heard
    doubts = doubts_of(record, detector.rate_hz, "detector")
    if asked.hop_s > asked.window_s:
        doubts.append(sound_settings.unheard(asked))
    if not math.isclose(asked.window_s, detector.clip_s):
        doubts.append(
            f"thresholds are those of clips of {detector.clip_s:g} s, windows have"
            f" {asked.window_s:g} s"
        )
    notes = notes_of(job, network_trained_on_simulated_sound=learnt)
    return {"notes": notes, "doubts": doubts}


def schema(asked: Settings) -> pa.Schema:
    """Columns of the rows of windows."""
    clock = [("time", pa.string())] if asked.start_time else []
    near = [("nearest", pa.string()), ("open_set", pa.int8())] if asked.nearest else []
    return pa.schema(
        [
            ("start_s", pa.float64()),
            ("end_s", pa.float64()),
            *clock,
            ("score", pa.float64()),
            ("threshold", pa.float64()),
            ("decision", pa.int8()),
            ("alarm", pa.int8()),
            ("drift", pa.string()),
            *near,
            ("remark", pa.string()),
        ]
    )


def values(row: Row, asked: Settings) -> dict[str, Any]:
    """A row as a table has it; None for what is not known of a window."""
    scored = row.decision >= 0
    found: dict[str, Any] = {
        **row._asdict(),
        "start_s": round(row.start_s, 4),
        "end_s": round(row.end_s, 4),
        "score": _number(row.score) if scored else None,
        "threshold": _number(row.threshold) if scored else None,
        "decision": row.decision if scored else None,
        "alarm": int(row.alarm),
        "open_set": int(row.open_set) if row.nearest else None,
    }
    if asked.start_time:
        found["time"] = at(started(asked.start_time), row.start_s)
    return {name: found[name] for name in schema(asked).names}


def _picture(
    record: Mapping[str, Any],
    rows: Sequence[Row],
    strip: sound_strip.Strip,
    worst: figures.Worst | None,
    asked: Settings,
) -> bytes:
    section = f" / section {record['section']}" if record["section"] else ""
    return figures.recording(
        _scored(rows, asked.hop_s),
        strip.close(),
        worst,
        title=f"{record['name']}  ·  {record['machine']}{section}",
        note=", ".join(record["notes"]),
        start=begun(asked.start_time),
    )
