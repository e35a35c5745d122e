"""How recordings are prepared: every constant, and two sets of them.

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
On the same samples the gains agree to 1e-4 and non-wear and resampling sample for
sample (`tests/data/actipy_parity_test.py`), but for these differences, which stay
because actipy is less exact there:

- it filters by the nominal rate (ours: the measured one, up to 2.5 % lower), in chunks
  of a million samples that overlap by 100, and across gaps;
- it knows times to a millisecond and ignores the fractions in CWA timestamps: a sample
  can be 11 ms off, and the nearest sample then the next;
- its grid begins at the first sample (ours: at whole seconds), advances by a period
  rounded to a nanosecond (6 ms in a week), and may end past the last sample;
- it repeats up to 1 s of sample at either edge of a gap (ours: gaps of up to 2 s are
  bridged, longer ones left out), and flags one sample of the last non-wear window;
- it takes (150 raw - 20500) / 1000 for degrees C (ours: the specification's), constant
  over a block (ours: interpolated), which is worth 0.5 mg;
- it marks non-wear (ours: leaves it out).
"""

import dataclasses

from sigjax.data.wearable import calibration as cal


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
