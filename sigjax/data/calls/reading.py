"""Calls as float waves of one rate: how long each is, and what is done with odd ones.

What happens to odd calls, by `ReadingConfig`:

  * shorter than `min_samples`: repeated (`"pad"`), or as in the paper whatever is
    shorter than 5000 samples (`"tile5000"`), or an error that names the call;
  * ends behind its file: read as far as the file goes, and counted;
  * begins behind its file, unreadable, cut off, NaN: left out, with the reason;
  * silent, clipped: read, and counted; several channels: one, or their mean.
"""

import collections
import concurrent.futures
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from etils import epath

from sigjax.data import audio
from sigjax.data.calls.manifest import Call
from sigjax.data.clips import LeftOut, ManifestError
from sigjax.data.segments import fitted

Short = Literal["pad", "tile5000", "error"]
SHORT: tuple[Short, ...] = ("pad", "tile5000", "error")
Normalise = Literal["peak", "zscore", "none"]
NORMALISE: tuple[Normalise, ...] = ("peak", "zscore", "none")
# Samples under the first frame of the encoders' convolutions, and from frame to frame.
FIRST_FRAME, HOP = 400, 320
_PAPER_SAMPLES = 5000
# Of times that were rounded to hundredths of a second.
_ROUNDING_S = 0.01
# Calls with a larger share of samples at full scale than this clip in earnest.
_CLIPPED = 1e-4
_FULL_SCALE = np.float32(32767 / 32768)
_ZSCORE_EPS = 1e-7

Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadingConfig:
    """How calls become waves. Part of what features depend on.

    Attributes:
      normalise: Each call by itself: `"peak"` divides by the largest magnitude (as the
        paper's code does), `"zscore"` takes the mean off and divides by
        sqrt(variance + 1e-7) (as transformers' feature extractor does).
      rate_hz: All calls are resampled to it.
      channel: Of files with several: an index, or `"mean"`.
      short: What becomes of short calls; see above.
      min_frames: Frames that a call has at least under `"pad"`; of fewer, statistics
        over frames say little.
    """

    normalise: Normalise
    rate_hz: int = 16000
    channel: audio.Channel = 0
    short: Short = "pad"
    min_frames: int = 2

    def __post_init__(self):
        """Refuses what is no such thing."""
        if self.short not in SHORT or self.normalise not in NORMALISE:
            raise ValueError(
                f"short {self.short!r} or normalise {self.normalise!r} is none of"
                f" {', '.join(SHORT)} and {', '.join(NORMALISE)}"
            )
        if self.rate_hz < 1 or self.min_frames < 1:
            raise ValueError(
                f"rate_hz {self.rate_hz} and min_frames {self.min_frames} must be at"
                " least 1"
            )
        audio.checked_channel(self.channel)

    @property
    def min_samples(self) -> int:
        """Samples that a call has at least, as it is read."""
        if self.short == "tile5000":
            return _PAPER_SAMPLES
        return FIRST_FRAME + HOP * (self.min_frames - 1)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Survey:
    """What headers of files say of calls, before any sound is decoded.

    Attributes:
      seconds: Float64 `[n]`, length of each in its file; NaN for those left out.
      samples: Int64 `[n]`, length of each as it is read: resampled, repeated if it is
        short; 0 for those left out.
      left_out: Calls that cannot be read, by id.
      remarks: Ids by what is worth a remark.
    """

    seconds: np.ndarray
    samples: np.ndarray
    left_out: tuple[LeftOut, ...]
    remarks: Mapping[str, tuple[str, ...]]

    @property
    def usable(self) -> np.ndarray:
        """Int64, numbers of the calls that can be read, ascending."""
        return np.flatnonzero(self.samples)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Wave:
    """A call that was read.

    Attributes:
      wave: Float32 `[s]`, normalised; empty if it could not be read.
      remarks: What is worth a remark: silent, clipped.
      reason: Why it could not be read, or `""`.
    """

    wave: np.ndarray
    remarks: tuple[str, ...] = ()
    reason: str = ""


def survey(
    root: epath.PathLike,
    calls: Sequence[Call],
    config: ReadingConfig,
    *,
    threads: int = 4,
    progress: Progress = iter,
) -> Survey:
    """Reads the header of each file once.

    Args:
      root: What the paths are relative to.
      calls: Of a manifest.
      config: How they will be read.
      threads: Files at once.
      progress: Wraps the list of files, as `tqdm.tqdm` does.

    Raises:
      ManifestError: A call is short and `config.short` is `"error"`; names the calls.
    """
    root = epath.Path(root)
    paths = list(dict.fromkeys(call.path for call in calls))
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda path: _probed(root / path), paths)
        headers = dict(zip(progress(paths), found, strict=True))
    seconds, samples = np.full(len(calls), np.nan), np.zeros(len(calls), np.int64)
    left_out: list[LeftOut] = []
    remarks: dict[str, list[str]] = collections.defaultdict(list)
    for row, call in enumerate(calls):
        info = headers[call.path]
        reason = info if isinstance(info, str) else _why_not(call, info, config)
        if isinstance(info, str) or reason:
            left_out.append(LeftOut(call.id, reason))
            continue
        own = stretch_samples(call, info, config.rate_hz)
        samples[row] = max(own, config.min_samples)
        end_s = info.duration_s if call.end_s is None else call.end_s
        seconds[row] = min(end_s, info.duration_s) - call.start_s
        for what in _remarks(call, info, config):
            remarks[what].append(call.id)
        if own < config.min_samples:
            what = f"shorter than {config.min_samples} samples: repeated to them"
            remarks[what].append(call.id)
            if config.short == "error":
                raise ManifestError(
                    f"call {call.id!r} has {own} samples at {config.rate_hz} Hz, fewer"
                    f" than {config.min_samples}; leave it out, or choose what becomes"
                    " of short calls: pad or tile5000"
                )
    return Survey(
        seconds=seconds,
        samples=samples,
        left_out=tuple(left_out),
        remarks={what: tuple(ids) for what, ids in sorted(remarks.items())},
    )


def stretch_samples(call: Call, info: audio.AudioInfo, rate_hz: int) -> int:
    """Samples that `audio.read` gives of a call, by its file's header alone."""
    common = math.gcd(info.rate_hz, rate_hz)
    last = math.ceil(info.frames * (rate_hz // common) / (info.rate_hz // common))
    first = round(call.start_s * rate_hz)
    if call.end_s is not None:
        last = min(last, first + round((call.end_s - call.start_s) * rate_hz))
    return max(0, last - first)


def read_call(
    root: epath.PathLike, call: Call, samples: int, config: ReadingConfig
) -> Wave:
    """Reads a call; what cannot be read is returned with its reason.

    Args:
      root: What its path is relative to.
      call: Which.
      samples: How many there will be, by `survey`.
      config: How.
    """
    path = epath.Path(root) / call.path
    duration_s = None if call.end_s is None else call.end_s - call.start_s
    try:
        wave, _ = audio.read(
            path,
            start_s=call.start_s,
            duration_s=duration_s,
            rate_hz=config.rate_hz,
            channel=config.channel,
        )
    except (audio.AudioError, OSError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        return Wave(wave=np.zeros(0, np.float32), reason=reason)
    if not len(wave):
        return Wave(wave=wave, reason="is shorter than a sample")
    remarks = []
    low, high = float(wave.min()), float(wave.max())
    if low == high:
        remarks.append("silent")
    elif max(-low, high) >= _FULL_SCALE:
        clipped = np.count_nonzero(np.abs(wave) >= _FULL_SCALE)
        # One sample at full scale is what normalising the file makes.
        if clipped > max(1, _CLIPPED * len(wave)):
            remarks.append("clipped")
    wave = normalised(wave, config.normalise)
    if samples == config.min_samples:
        wave = fitted(wave, 0, samples, "tile")
    # The last sample of a file, which a resampler may not give.
    wave = np.pad(wave, (0, max(0, samples - len(wave))), mode="edge")
    return Wave(wave=wave[:samples], remarks=tuple(remarks))


def normalised(wave: np.ndarray, how: Normalise) -> np.ndarray:
    """A call of a usual level, float32 `[s]`; silence stays silence.

    Args:
      wave: Float32 `[s]`, not empty.
      how: See `ReadingConfig`.
    """
    if how == "peak":
        peak = np.abs(wave).max()
        return wave / peak if peak > 0 else wave
    if how == "zscore":
        exact = wave.astype(np.float64)
        exact -= exact.mean()
        exact /= np.sqrt(np.mean(exact**2) + _ZSCORE_EPS)
        return exact.astype(np.float32)
    return wave


def _probed(path: epath.Path) -> audio.AudioInfo | str:
    """A file's header, or why it cannot be read."""
    try:
        return audio.probe(path)
    except (audio.AudioError, OSError) as error:
        return str(error).removeprefix(f"{path}: ")


def _why_not(call: Call, info: audio.AudioInfo, config: ReadingConfig) -> str:
    """Why a call of a file that can be read is not used, or `""`."""
    if config.channel != "mean" and config.channel >= info.channels:
        return f"has no channel {config.channel}: it has {info.channels}"
    if call.start_s >= info.duration_s:
        return "begins behind the end of its file"
    if not stretch_samples(call, info, config.rate_hz):
        return "is shorter than a sample"
    return ""


def _remarks(call: Call, info: audio.AudioInfo, config: ReadingConfig) -> Iterable[str]:
    if call.end_s is not None and call.end_s > info.duration_s + _ROUNDING_S:
        yield "end behind the end of their file: read as far as it goes"
    if info.rate_hz != config.rate_hz:
        yield f"resampled from {info.rate_hz:,} Hz"
    if info.channels > 1:
        mean = config.channel == "mean"
        taken = "their mean" if mean else f"channel {config.channel}"
        yield f"of {info.channels} channels: {taken}"
