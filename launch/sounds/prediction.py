"""Recordings of machines through a detector of anomalous sounds, into a folder.

FOLDER/NAME.csv       a row per window (or NAME.parquet)
FOLDER/NAME.png       scores over the spectrogram, and the most anomalous window
FOLDER/NAME.json      where it comes from, alarms, drift, what is wrong with the sound
FOLDER/summary.csv    a row per recording
FOLDER/report.json    what became of every file
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from launch import results as res
from launch.recordings import prediction, reading
from launch.recordings.prediction import bundle_of, predict_each
from launch.sounds import settings as sound_settings
from launch.sounds.recording import predict, stretches_of
from launch.sounds.settings import Settings
from sigjax.data import audio
from sigjax.evals.sound_timeline_figures import clock, span
from sigjax.inference.sounds.detector import SoundDetector
from sigjax.inference.sounds.rolling import Window

_MOST_HEARD = 10
_COLUMNS = (
    "recording", "machine", "section", "start", "duration_s", "windows", "scored",
    "not_scored", "anomalous", "alarms", "first_alarm_s", "alarm_s", "highest_score",
    "threshold", "highest_at_s", "low_hz", "high_hz", "median_score", "drift",
    "nearest", "open_set", "remarks",
)  # fmt: skip


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
      bundle: Of a detector.
      output: Folder; see the top of this file.
      asked: What results depend on.
      batch_size: Windows at a time; 16 if None.
      overwrite: Score again what is there already.

    Returns:
      What report.json holds; under `records` also what is known of each recording.

    Raises:
      BundleError: The bundle is none, or does not know the machine.
      FileNotFoundError: An input does not exist.
      ValueError: A start time is given for several recordings.
      WorkdirError: The results cannot be written.
    """
    detector = sound_settings.open_detector(bundle)
    results = res.Results(output, asked.key(bundle), fields=("windows",))
    asked = asked.completed(detector)
    found = reading.find(inputs, str(output), asked.start_time)
    why = sound_settings.is_unknown(detector, asked)
    if why:
        heard = _heard(found.paths, detector, asked)
        raise sound_settings.unknown(detector, why, asked, bundle, heard)
    detector = sound_settings.with_alarms(detector, asked)

    return predict_each(
        inputs,
        found,
        results,
        lambda job: predict(detector, job, asked, batch_size),
        columns=_COLUMNS,
        row_of=_summary,
        about={**bundle_of(bundle), "simulated": detector.simulated},
        overwrite=overwrite,
    )


def _heard(
    paths: Sequence[str], detector: SoundDetector, asked: Settings
) -> list[tuple[str, Window]]:
    """The first window of the first recordings that have one."""
    found: list[tuple[str, Window]] = []
    for path in paths[:_MOST_HEARD]:
        try:
            stretches = stretches_of(path, detector, asked)
            windows = (window for _, windows in stretches for window in windows)
            whole = next(w for w in windows if not (w.damaged or w.constant))
        except (audio.AudioError, StopIteration):
            continue  # It says nothing of the machine.
        found.append((path, whole))
    return found


def _summary(record: Mapping[str, Any]) -> dict[str, Any]:
    """A row of summary.csv."""
    alarms, highest = record["alarms"], record["highest"] or {}
    band = record["band"] or {}
    return {
        "recording": record["name"],
        **{name: record[name] for name in _COLUMNS if name in record},
        "alarms": len(alarms),
        "first_alarm_s": alarms[0]["start_s"] if alarms else "",
        "alarm_s": round(sum(a["end_s"] - a["start_s"] for a in alarms), 3),
        "highest_score": highest.get("score", ""),
        "threshold": highest.get("threshold", ""),
        "highest_at_s": highest.get("start_s", ""),
        "low_hz": band.get("low_hz", ""),
        "high_hz": band.get("high_hz", ""),
        "drift": record["drift"]["last"],
        "nearest": next(iter(record["nearest"]), ""),
        "remarks": "; ".join(f"{k} ({n})" for k, n in record["remarks"].items()),
    }


def table(report: dict[str, Any]) -> str:
    """The report as text: counts, what happened, and why files were not used."""
    first = []
    for record in report["records"][:1]:
        first.append(f"alarms: {record['promise']}")
        first.append(f"drift: {record['drift']['limits']}")
    return prediction.table(report, _lines, first=first, order=_urgency)


def _lines(record: Mapping[str, Any]) -> list[str]:
    """What is to be said of a recording."""
    alarms, highest = record["alarms"], record["highest"]
    text = f"{record['name']}: {record['anomalous']:,} of {record['scored']:,} windows"
    text += " above the threshold"
    if alarms:
        each = [span(a["start_s"], a["end_s"]) for a in alarms[:3]]
        each += [f"{len(alarms) - 3} more"] if len(alarms) > 3 else []
        text += f"; ALARM {', '.join(each)}"
    lines = [text]
    if highest is not None:
        where = span(highest["start_s"], highest["end_s"])
        line = f"  highest: {highest['score']:.4g} at {where}"
        line += f" (threshold {highest['threshold']:.4g})"
        if record["band"]:
            low_hz, high_hz = record["band"]["low_hz"], record["band"]["high_hz"]
            line += f", mostly {low_hz:,.0f}-{high_hz:,.0f} Hz"
        lines.append(line)
    drift = record["drift"]
    if drift["windows"]:
        lines.append(
            f"  drift: running median out of its limits in {drift['windows']:,}"
            f" windows, first at {clock(drift['first_s'])}"
        )
    known = next(iter(record["nearest"]), "")
    own = f"{record['machine']}/{record['section'] or ''}"
    if record["open_set"]:
        line = (
            f"  {record['open_set']:,} windows sound like no known machine (open set)"
        )
        lines.append(f"{line}; nearest: {known}")
    elif known and not known.startswith(own):
        lines.append(f"  sounds like {known}")
    return lines + prediction.remarked(record)


def _urgency(record: Mapping[str, Any]) -> tuple[int, float]:
    """Sorts recordings: alarms first, the highest above the threshold foremost."""
    highest = record["highest"]
    if highest is None:
        return 1, math.inf
    return -bool(record["alarms"]), highest["threshold"] - highest["score"]
