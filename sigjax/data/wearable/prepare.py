"""From a raw recording to stretches of wear that a model can read.

Filter, resample, calibrate, find non-wear, cut: with the constants of
`sigjax.data.wearable.presets`, where it says what the presets choose and why.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sigjax.data import recording as rec
from sigjax.data.wearable import calibration as cal
from sigjax.data.wearable import nonwear, resample, stationary
from sigjax.data.wearable.presets import PRESETS, PrepareConfig

__all__ = ["PRESETS", "PrepareConfig", "prepare_recording"]

_MOST_TOO_SHORT = 1000


@dataclasses.dataclass(eq=False)
class _Stretch:
    """A run on the grid: its acceleration is calibrated in place."""

    run: resample.Run
    acceleration: np.ndarray


def _origin(segments: Sequence[rec.Segment], config: PrepareConfig) -> float:
    """Where windows begin: a whole second of the clock, or the first sample."""
    if config.statistics_of == "filtered":
        return segments[0].start
    return math.floor(segments[0].start / config.window_s) * config.window_s


def _render(
    segments: Sequence[rec.Segment], runs: Sequence[resample.Run], config: PrepareConfig
) -> tuple[list[_Stretch], stationary.Blocks]:
    sums = stationary.BlockSums(origin=_origin(segments, config), hop_s=config.hop_s)
    native = config.statistics_of == "filtered"
    stretches = []
    for number, run in enumerate(runs):
        sums.run = number
        acceleration = resample.render(
            run,
            rate_hz=config.rate_hz,
            method=config.interpolation,
            lowpass_hz=config.lowpass_hz,
            lowpass_order=config.lowpass_order,
            sink=sums.add_chunk if native else None,
        )
        if not native:
            sums.add_grid(acceleration, run.first, config.rate_hz)
        stretches.append(_Stretch(run=run, acceleration=acceleration))
    return stretches, sums.finish()


def _thermometer(segments: Sequence[rec.Segment]) -> tuple[np.ndarray, np.ndarray]:
    """All temperature readings of a recording: times in order, degrees C."""
    time = np.concatenate([s.time_at(s.temperature_index) for s in segments])
    celsius = np.concatenate([np.asarray(s.temperature_c, float) for s in segments])
    good = np.isfinite(celsius)
    order = np.argsort(time[good], kind="stable")
    return time[good][order], celsius[good][order]


def _calibrate(
    segments: Sequence[rec.Segment],
    stretches: Sequence[_Stretch],
    windows: stationary.Windows,
    config: PrepareConfig,
) -> cal.Calibration:
    """Calibrates all stretches, and the windows' sd, in place; returns how."""
    apart = windows.index % windows.blocks == 0
    centre = windows.centre[apart]
    time = celsius = None
    if config.calibration_temperature:
        time, celsius = _thermometer(segments)
    at_windows = None
    if time is not None and celsius is not None and len(time):
        at_windows = np.interp(centre, time, celsius)
    found = cal.calibrate(
        windows.mean[apart],
        windows.sd[apart],
        centre,
        at_windows,
        method=config.calibration,
        stationary_sd_g=config.stationary_sd_g,
        min_points=config.calibration_min_points,
        skip_constant=config.calibration_skip_constant,
    )
    if found.ok and config.calibration != "none":
        for stretch in stretches:
            _apply(found, stretch, config.rate_hz, time, celsius)
    np.multiply(windows.sd, np.abs(found.gain), out=windows.sd)
    return found


def _apply(
    found: cal.Calibration,
    stretch: _Stretch,
    rate_hz: float,
    time: np.ndarray | None,
    celsius: np.ndarray | None,
) -> None:
    size = 1 << 20
    for start in range(0, len(stretch.acceleration), size):
        part = stretch.acceleration[start : start + size]
        at_samples = None
        if time is not None and celsius is not None and len(time):
            grid = stretch.run.first + start + np.arange(len(part))
            at_samples = np.interp(grid / rate_hz, time, celsius)
        found.apply(part, at_samples, out=part)


def _wear(
    stretches: Sequence[_Stretch], spans: Sequence[nonwear.Span], config: PrepareConfig
) -> tuple[list[rec.WearSegment], list[list[float]], dict[str, float]]:
    """Cuts out non-wear and what is left too short.

    Returns:
      Wear, starts and ends of what was too short, and hours of each.
    """
    hour = 3600 * config.rate_hz
    segments, too_short, total, worn, short = [], [], 0, 0, 0
    for number, stretch in enumerate(stretches):
        first, stop = stretch.run.first, stretch.run.stop
        total += stop - first
        for begin, end in nonwear.worn(first, stop, number, spans, config.rate_hz):
            if end - begin < config.min_wear_h * hour:
                short += end - begin
                too_short.append([begin / config.rate_hz, end / config.rate_hz])
                continue
            worn += end - begin
            segments.append(
                rec.WearSegment(
                    start=begin / config.rate_hz,
                    acceleration=stretch.acceleration[begin - first : end - first],
                )
            )
    hours = {
        "recorded": total / hour,
        "used": worn / hour,
        "nonwear": (total - worn - short) / hour,
        "too_short": short / hour,
        "dropped": 0.0,
    }
    return sorted(segments, key=lambda s: s.start), too_short, hours


def _calibration_report(
    found: cal.Calibration | None, config: PrepareConfig
) -> dict[str, Any]:
    def milli(value: float) -> float | None:
        return round(1e3 * value, 4) if math.isfinite(value) else None

    if found is None:
        return {"method": config.calibration, "ok": False, "reason": "no samples"}
    return {
        "method": config.calibration,
        "ok": found.ok,
        "reason": found.reason,
        "points": found.n_points,
        "iterations": found.iterations,
        "error_before_mg": milli(found.error_before_g),
        "error_after_mg": milli(found.error_after_g),
        "gain": found.gain.tolist(),
        "offset_g": found.offset.tolist(),
        "temp_coeff_g_per_c": found.temp_coeff.tolist(),
    }


def _measured_rate_hz(segments: Sequence[rec.Segment]) -> float | None:
    """Samples per second over all segments, gaps not counted."""
    samples = sum(len(s.counts) for s in segments)
    seconds = sum(len(s.counts) / s.rate_hz for s in segments)
    return samples / seconds if seconds else None


def _status(
    segments: Sequence[rec.WearSegment],
    found: cal.Calibration | None,
    config: PrepareConfig,
) -> str:
    if found is None:
        return "dropped: no usable samples"
    if not found.ok and config.on_calibration_failure == "drop":
        return f"dropped: not calibrated ({found.reason})"
    if not segments:
        return f"dropped: no {config.min_wear_h:g} h of contiguous wear"
    # NaN is both the least and the greatest; this needs no second array of a week.
    extremes = [(s.acceleration.min(), s.acceleration.max()) for s in segments]
    if not np.isfinite(extremes).all():
        return "dropped: calibration gave values that are not finite"
    return "used"


def _calibrate_and_find_nonwear(
    segments: Sequence[rec.Segment], runs: Sequence[resample.Run], config: PrepareConfig
) -> tuple[list[_Stretch], cal.Calibration | None, list[nonwear.Span]]:
    """Calibrated stretches, one per run; how; and when the device was not worn."""
    if not runs:
        return [], None, []
    stretches, blocks = _render(segments, runs, config)
    windows = stationary.windows(blocks, config.window_s)
    found = _calibrate(segments, stretches, windows, config)
    if config.nonwear_min is None:
        return stretches, found, []
    spans = nonwear.nonwear_spans(
        blocks,
        windows,
        windows.sd,
        [(r.first / config.rate_hz, r.stop / config.rate_hz) for r in runs],
        stationary_sd_g=config.stationary_sd_g,
        nonwear_min=config.nonwear_min,
        count_last_window=config.nonwear_counts_last_window,
    )
    return stretches, found, spans


def _source_report(
    recording: rec.Recording, good: Sequence[rec.Segment], config: PrepareConfig
) -> dict[str, Any]:
    """What `quality` says of the recording as it was read."""
    unfiltered = [s for s in good if s.rate_hz <= 2 * (config.lowpass_hz or 0)]
    return {
        "reader": dict(recording.quality),
        "nominal_rate_hz": float(recording.nominal_rate_hz),
        "measured_rate_hz": _measured_rate_hz(good),
        "start": min((s.start for s in good), default=None),
        "end": max((s.end for s in good), default=None),
        "clock": recording.metadata.get("clock", "device-local"),
        "utc_offset_s": recording.utc_offset_s,
        "raw_segments": len(recording.segments),
        "unusable_segments": len(recording.segments) - len(good),
        "unfiltered_segments": len(unfiltered),
    }


def prepare_recording(
    recording: rec.Recording, config: PrepareConfig, *, name: str, person: str
) -> rec.PreparedRecording:
    """Filters, resamples, calibrates, and keeps what was worn.

    Args:
      recording: As read from a device file.
      config: One of `PRESETS`, or a variation of it.
      name: Of the prepared recording, unique in its store.
      person: Whose wrist.

    Returns:
      The prepared recording. One that is dropped has no segments, and `quality`
      says why: `status` is `"used"` or `"dropped: ..."`. In `quality["hours"]`,
      `recorded = used + nonwear + too_short + dropped`; `bridged` is the part of
      `recorded` that no sample covers. `nonwear` and `too_short` are starts and ends
      in seconds, of the latter the longest thousand. The reader's counts stand under
      `reader`.
    """
    good = [
        s for s in recording.segments if resample.usable(s, recording.nominal_rate_hz)
    ]
    runs, gaps = resample.plan_runs(
        good, rate_hz=config.rate_hz, max_gap_s=config.max_gap_s
    )
    stretches, found, spans = _calibrate_and_find_nonwear(good, runs, config)
    segments, too_short, hours = _wear(stretches, spans, config)
    status = _status(segments, found, config)
    if status != "used":
        hours["dropped"], hours["used"], segments = hours["used"], 0.0, []
    hours["bridged"] = sum(r.bridged for r in runs) / (3600 * config.rate_hz)
    quality = {
        "status": status,
        **_source_report(recording, good, config),
        **gaps,
        "hours": hours,
        "calibration": _calibration_report(found, config),
        "nonwear": [[span.start, span.end] for span in spans],
        # Of a recording in pieces the longest say enough.
        "too_short": sorted(too_short, key=lambda s: s[0] - s[1])[:_MOST_TOO_SHORT],
    }
    return rec.PreparedRecording(
        name=name,
        person=person,
        source=recording.source,
        device=recording.device,
        device_id=recording.device_id,
        rate_hz=config.rate_hz,
        segments=tuple(segments),
        quality=quality,
    )
