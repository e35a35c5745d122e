"""From a raw recording to stretches of wear that a model can read.

The paper (Lorenzen et al. 2025, "Preprocessing") low-passes at 15 Hz, resamples to
30 Hz, calibrates without temperature (van Hees et al. 2014), drops stationary periods
of more than 90 minutes (10 s moving standard deviation below 13 mg) and keeps
contiguous wear of at least 24 h (UK Biobank) or 1 h (Capture-24). It leaves open, and
`PRESETS["paper"]` chooses:

- the filter: Butterworth, applied forward and backward (no phase), each gap-free
  segment on its own. Order 8, because nothing else stands between the device's
  100 Hz and aliases at 30 Hz.
- the resampling: linear, at the times that the device's clock gives each sample.
- the stationary axes: all three; the moving window advances by 1 s.
- gaps: one lost block of an AX3 at 100 Hz is 1.2 s. Cutting there would throw away
  most of a day for a second of it, so gaps of up to 2 s are bridged by a straight
  line, and counted. Longer ones end the stretch.

`PRESETS["actipy"]` follows the reader actipy (3.8) in order and in numbers:
calibration and non-wear see 10 s tumbling windows of the filtered signal at the
device's own rate, with temperature, and resampling to the nearest sample comes last.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from sigjax.data import recording as rec
from sigjax.data.wearable import calibration as cal
from sigjax.data.wearable import nonwear, resample, stationary


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrepareConfig:
    """How a recording is prepared.

    Attributes:
      lowpass_hz: Cut-off (-6 dB), or None for no filter.
      lowpass_order: Order of the Butterworth filter, before its second pass.
      rate_hz: Of the prepared recording.
      interpolation: `"linear"`, `"nearest"` or `"cubic"`; see `resample.interpolate`.
      max_gap_s: Gaps up to this are bridged, longer ones end a segment.
      statistics_of: What calibration and non-wear look at: the `"resampled"` signal,
        or the `"filtered"` one at the device's own rate.
      window_s: Length of the windows whose standard deviation is taken.
      hop_s: Their advance: `window_s` for tumbling windows, less for moving ones.
        Calibration uses windows that do not overlap in either case.
      stationary_sd_g: Below this on all axes a window is stationary.
      calibration: `"van_hees"`, `"actipy"` or `"none"`.
      calibration_temperature: Fit a temperature coefficient where the device has a
        thermometer.
      calibration_min_points: Stationary windows needed.
      calibration_skip_constant: Leave out windows without any noise; see
        `calibration.calibrate`.
      on_calibration_failure: `"drop"` the recording, or `"keep"` it unchanged.
      nonwear_min: Stationary periods longer than this are non-wear; None keeps all.
      nonwear_counts_last_window: See `nonwear.nonwear_spans`.
      min_wear_h: Shorter stretches of wear are left out.
    """

    lowpass_hz: float | None
    lowpass_order: int
    rate_hz: float
    interpolation: str
    max_gap_s: float
    statistics_of: str
    window_s: float
    hop_s: float
    stationary_sd_g: float
    calibration: str
    calibration_temperature: bool
    calibration_min_points: int
    calibration_skip_constant: bool
    on_calibration_failure: str
    nonwear_min: float | None
    nonwear_counts_last_window: bool
    min_wear_h: float

    def __post_init__(self):
        """Refuses words that no step knows, before hours of work."""
        words = {
            "interpolation": ("linear", "nearest", "cubic"),
            "statistics_of": ("resampled", "filtered"),
            "calibration": cal.METHODS,
            "on_calibration_failure": ("drop", "keep"),
        }
        for name, known in words.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r}: one of {known}")
        for name in ("rate_hz", "window_s", "hop_s", "stationary_sd_g"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)} must be positive")
        if self.max_gap_s < 0 or self.min_wear_h < 0:
            raise ValueError("max_gap_s and min_wear_h must not be negative")


PRESETS = {
    "paper": PrepareConfig(
        lowpass_hz=15.0,
        lowpass_order=8,
        rate_hz=30.0,
        interpolation="linear",
        max_gap_s=2.0,
        statistics_of="resampled",
        window_s=10.0,
        hop_s=1.0,
        stationary_sd_g=0.013,
        calibration="van_hees",
        calibration_temperature=False,
        calibration_min_points=10,
        calibration_skip_constant=False,
        on_calibration_failure="drop",
        nonwear_min=90.0,
        nonwear_counts_last_window=True,
        min_wear_h=24.0,
    ),
    "actipy": PrepareConfig(
        lowpass_hz=20.0,
        lowpass_order=8,
        rate_hz=30.0,
        interpolation="nearest",
        # actipy repeats up to 1 s of sample at either edge of a gap.
        max_gap_s=2.0,
        statistics_of="filtered",
        window_s=10.0,
        hop_s=10.0,
        stationary_sd_g=0.015,
        calibration="actipy",
        calibration_temperature=True,
        calibration_min_points=50,
        calibration_skip_constant=False,
        on_calibration_failure="keep",
        nonwear_min=90.0,
        nonwear_counts_last_window=False,
        min_wear_h=0.0,
    ),
}


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
) -> tuple[cal.Calibration, np.ndarray]:
    """Calibrates all stretches in place; returns how, and the windows' new sd."""
    apart = windows.index % windows.blocks == 0
    time = celsius = None
    if config.calibration_temperature:
        time, celsius = _thermometer(segments)
    at_windows = None
    if time is not None and celsius is not None and len(time):
        at_windows = np.interp(windows.centre[apart], time, celsius)
    found = cal.calibrate(
        windows.mean[apart],
        windows.sd[apart],
        windows.centre[apart],
        at_windows,
        method=config.calibration,
        stationary_sd_g=config.stationary_sd_g,
        min_points=config.calibration_min_points,
        skip_constant=config.calibration_skip_constant,
    )
    if found.ok and config.calibration != "none":
        for stretch in stretches:
            _apply(found, stretch, config.rate_hz, time, celsius)
    return found, windows.sd * np.abs(found.gain)


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
) -> tuple[list[rec.WearSegment], dict[str, float]]:
    """Cuts out non-wear and what is left too short; returns hours of each."""
    hour = 3600 * config.rate_hz
    segments, total, worn, short = [], 0, 0, 0
    for number, stretch in enumerate(stretches):
        first, stop = stretch.run.first, stretch.run.stop
        total += stop - first
        for begin, end in nonwear.worn(first, stop, number, spans, config.rate_hz):
            if end - begin < config.min_wear_h * hour:
                short += end - begin
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
    return sorted(segments, key=lambda s: s.start), hours


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
      `recorded` that no sample covers. The reader's counts stand under `reader`.
    """
    good = [
        s for s in recording.segments if resample.usable(s, recording.nominal_rate_hz)
    ]
    runs, gaps = resample.plan_runs(
        good, rate_hz=config.rate_hz, max_gap_s=config.max_gap_s
    )
    found, spans = None, []
    stretches: list[_Stretch] = []
    if runs:
        stretches, blocks = _render(good, runs, config)
        windows = stationary.windows(blocks, config.window_s)
        found, sd = _calibrate(good, stretches, windows, config)
        if config.nonwear_min is not None:
            spans = nonwear.nonwear_spans(
                blocks,
                windows,
                sd,
                [(r.first / config.rate_hz, r.stop / config.rate_hz) for r in runs],
                stationary_sd_g=config.stationary_sd_g,
                nonwear_min=config.nonwear_min,
                count_last_window=config.nonwear_counts_last_window,
            )
    segments, hours = _wear(stretches, spans, config)
    status = _status(segments, found, config)
    if status != "used":
        hours["dropped"], hours["used"], segments = hours["used"], 0.0, []
    hours["bridged"] = sum(r.bridged for r in runs) / (3600 * config.rate_hz)
    unfiltered = [s for s in good if s.rate_hz <= 2 * (config.lowpass_hz or 0)]
    quality = {
        "status": status,
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
        **gaps,
        "hours": hours,
        "calibration": _calibration_report(found, config),
        "nonwear": [[span.start, span.end] for span in spans],
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
