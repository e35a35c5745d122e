"""Recordings of machines through a detector of anomalous sounds, into a folder.

FOLDER/NAME.csv       a row per window (or NAME.parquet)
FOLDER/NAME.png       scores over the spectrogram, and the most anomalous window
FOLDER/NAME.json      where it comes from, alarms, drift, what is wrong with the sound
FOLDER/summary.csv    a row per recording
FOLDER/report.json    what became of every file
"""

import collections
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from launch import results as res
from launch.sounds import settings as sound_settings
from launch.sounds.recording import predict, windows_of
from launch.sounds.settings import Settings
from sigjax.data import audio
from sigjax.data.wearable import plan
from sigjax.evals.sound_timeline_figures import clock, span
from sigjax.inference.sounds.detector import SoundDetector
from sigjax.inference.sounds.rolling import Window

_MOST_SHOWN, _MOST_HEARD = 20, 10
_COLUMNS = (
    "recording", "machine", "section", "start", "duration_s", "windows", "scored",
    "not_scored", "anomalous", "alarms", "first_alarm_s", "alarm_s", "highest_score",
    "threshold", "highest_at_s", "low_hz", "high_hz", "median_score", "drift",
    "nearest", "open_set", "remarks",
)  # fmt: skip
_OTHER_AUDIO = (".mp3", ".m4a", ".aac", ".wma", ".opus", ".aif", ".aiff", ".w64")


def find(inputs: Sequence[str], output: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The audio files that inputs name; path and reason of those of other kinds.

    Raises:
      FileNotFoundError: An input does not exist.
    """
    results = plan.absolute(output).rstrip("/") + "/"
    found, others = [], []
    for where in inputs:
        path = epath.Path(where).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"{where}: no such file or folder")
        if not path.is_dir():
            found.append(plan.absolute(where))
            continue
        for at, below, names in os.walk(path, followlinks=True):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in sorted(name for name in names if not name.startswith(".")):
                own = plan.absolute(os.path.join(at, name))
                if audio.is_audio(name):
                    found.append(own)
                elif name.lower().endswith(_OTHER_AUDIO):
                    others.append((own, "is not WAV, FLAC or OGG: convert it"))
    return [p for p in dict.fromkeys(found) if not p.startswith(results)], others


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
    paths, unsupported = find(inputs, str(output))
    if asked.start_time and len(paths) > 1:
        raise ValueError(
            f"--start_time={asked.start_time} is of one recording, there are"
            f" {len(paths)}: name one file"
        )
    why = sound_settings.is_unknown(detector, asked)
    if why:
        heard = _heard(paths, detector, asked)
        raise sound_settings.unknown(detector, why, asked, bundle, heard)
    detector = sound_settings.with_alarms(detector, asked)

    def finish(
        account: dict[str, Any], records: list[dict[str, Any]]
    ) -> dict[str, Any]:
        about = {"bundle": plan.absolute(bundle), "simulated": detector.simulated}
        report = {**about, **account, "unsupported": unsupported}
        if records or account["failed"]:
            results.write_summary(_COLUMNS, map(_summary, results.records), report)
        return {**report, "records": records}

    return res.process(
        results.named(inputs, paths),
        results,
        lambda job: predict(detector, job, asked, batch_size),
        finish,
        overwrite=overwrite,
    )


def _heard(
    paths: Sequence[str], detector: SoundDetector, asked: Settings
) -> list[tuple[str, Window]]:
    """The first window of the first recordings that have one."""
    found: list[tuple[str, Window]] = []
    for path in paths[:_MOST_HEARD]:
        try:
            stretches = windows_of(path, detector.rate_hz, asked)
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
    lines = res.counts(report, "recordings")
    lines += res.reasons(report, "failed", "unsupported")
    records = report["records"]
    if records:
        lines.append(f"alarms: {records[0]['promise']}")
        lines.append(f"drift: {records[0]['drift']['limits']}")
    doubts = collections.Counter(d for record in records for d in record["doubts"])
    lines += [f"{count:,} recordings: {doubt}" for doubt, count in doubts.items()]
    records = sorted(records, key=_urgency)
    for record in records[:_MOST_SHOWN]:
        lines += _lines(record)
    if len(records) > _MOST_SHOWN:
        lines.append(f"and {len(records) - _MOST_SHOWN:,} more, in summary.csv")
    if report["other_recordings"]:
        lines.append(
            f"{report['other_recordings']:,} recordings there are of another bundle or"
            " other settings, and not in summary.csv"
        )
    return "\n".join(lines)


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
    for remark, count in record["remarks"].items():
        lines.append(f"  {count:,} windows: {remark}")
    return lines


def _urgency(record: Mapping[str, Any]) -> tuple[int, float]:
    """Sorts recordings: alarms first, the highest above the threshold foremost."""
    highest = record["highest"]
    if highest is None:
        return 1, math.inf
    return -bool(record["alarms"]), highest["threshold"] - highest["score"]
