"""Audio files: what is in them, and stretches of them as one channel of floats.

Decoding is libsndfile's (WAV, FLAC, OGG and others), resampling is SoX's: both let go
of the interpreter's lock, so threads read in parallel. What those two forgive and a
study must not is checked here: files that were cut off, samples that are no numbers.
"""

import dataclasses
import math
import os
import struct
from typing import BinaryIO, Literal

import numpy as np
import soundfile
import soxr
from etils import epath

# A channel of a file with several: its index, or the mean of all.
Channel = int | Literal["mean"]
SUFFIXES = (".wav", ".flac", ".ogg")
# What a resampler needs of the samples around a stretch, for it to come out as a
# stretch of the whole file resampled: SoX's high quality filter is shorter.
_MARGIN_S = 0.05


class AudioError(ValueError):
    """An audio file cannot be used; the message names the file and says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioInfo:
    """What a file's header says.

    Attributes:
      rate_hz: Sampling rate.
      channels: How many.
      frames: Samples of each channel.
    """

    rate_hz: int
    channels: int
    frames: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate_hz


def is_audio(path: epath.PathLike) -> bool:
    """Whether a file's name ends as that of a WAV, FLAC or OGG file."""
    return os.fspath(path).lower().endswith(SUFFIXES)


def checked_channel(channel: Channel | str) -> Channel:
    """A channel as given on a command line: `"mean"` or an index.

    Raises:
      ValueError: It is neither.
    """
    if channel == "mean":
        return "mean"
    try:
        index = int(channel)
    except ValueError:
        index = -1
    if index < 0:
        raise ValueError(f"channel {channel!r} is neither an index from 0 nor 'mean'")
    return index


def probe(path: epath.PathLike) -> AudioInfo:
    """Reads a file's header.

    Raises:
      AudioError: It is empty, cut off, or no audio.
      FileNotFoundError: It is not there.
    """
    with _opened(path) as sound:
        return _info(sound)


def read(
    path: epath.PathLike,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    rate_hz: int | None = None,
    channel: Channel = 0,
) -> tuple[np.ndarray, int]:
    """Reads one channel of a stretch of a file; no more than the stretch is decoded.

    A stretch of a file that is resampled is, but for rounding, that stretch of the
    whole file resampled.

    Args:
      path: WAV, FLAC, OGG or what else libsndfile reads.
      start_s: Where the stretch begins.
      duration_s: Its length; None for the rest. What lies behind the end of the file
        is left out: the result is then shorter.
      rate_hz: Resample to this rate; None to keep the file's.
      channel: Which channel, or `"mean"`.

    Returns:
      Float32 `[s]`, full scale 1 (float files may exceed it), and the rate.

    Raises:
      AudioError: The file is empty, cut off or no audio, has no such channel, holds
        samples that are no numbers, or ends before `start_s`.
      FileNotFoundError: It is not there.
      ValueError: `start_s`, `duration_s` or `rate_hz` is negative or zero.
    """
    if start_s < 0 or (duration_s is not None and duration_s <= 0):
        raise ValueError(f"start_s={start_s} or duration_s={duration_s} is no stretch")
    with _opened(path) as sound:
        info = _info(sound)
        if channel != "mean" and not 0 <= channel < info.channels:
            raise AudioError(
                f"{path}: has no channel {channel}: it has {info.channels}, counted"
                " from 0; choose one of them or 'mean'"
            )
        out_hz = rate_hz or info.rate_hz
        if out_hz < 1:
            raise ValueError(f"rate_hz must be at least 1, got {rate_hz}")
        common = math.gcd(info.rate_hz, out_hz)
        step_in, step_out = info.rate_hz // common, out_hz // common
        first = round(start_s * out_hz)
        last = math.ceil(info.frames * step_out / step_in)
        if first >= last:
            raise AudioError(
                f"{path}: ends at {info.duration_s:.3f} s, before {start_s:g} s"
            )
        if duration_s is not None:
            last = min(last, first + round(duration_s * out_hz))
        # Resampled stretches begin where an input and an output sample coincide.
        margin = round(_MARGIN_S * out_hz) if out_hz != info.rate_hz else 0
        block = max(0, first - margin) // step_out
        end = min(info.frames, math.ceil((last + margin) / step_out) * step_in)
        wave = _decoded(path, sound, block * step_in, end, channel)
    if out_hz != info.rate_hz:
        wave = soxr.resample(wave, info.rate_hz, out_hz, quality="HQ")
    return wave[first - block * step_out : last - block * step_out], out_hz


def to_int16(wave: np.ndarray) -> tuple[np.ndarray, int]:
    """Rounds to 16 bits; 16-bit files come back as they were.

    Args:
      wave: Float `[s]`, full scale 1.

    Returns:
      Int16 `[s]`, and how many samples are at either end of the range, or would be
      beyond it: of a recording that clips, many; of one that does not, one or none.
    """
    limits = np.iinfo(np.int16)
    exact = np.rint(wave * np.float32(32768))
    at_limit = int(np.count_nonzero((exact <= limits.min) | (exact >= limits.max)))
    return np.clip(exact, limits.min, limits.max).astype(np.int16), at_limit


def _decoded(
    path: epath.PathLike,
    sound: soundfile.SoundFile,
    first: int,
    end: int,
    channel: Channel,
) -> np.ndarray:
    """One channel of frames `first` to `end`, float32 `[s]`."""
    # Most files by far. libsndfile takes longer to make floats of them, bit for bit
    # the same.
    integers = sound.subtype == "PCM_16"
    begin = first if sound.format != "OGG" else min(first, _sure_frame(sound.name))
    try:
        sound.seek(begin)
        frames = sound.read(
            end - begin, dtype="int16" if integers else "float32", always_2d=True
        )
    except soundfile.SoundFileError as error:
        raise AudioError(f"{path}: is damaged: {error}") from error
    if len(frames) < end - begin:
        raise AudioError(
            f"{path}: is cut off or damaged: {begin + len(frames)} of"
            f" {sound.frames} samples can be read"
        )
    frames = frames[first - begin :]
    if channel != "mean":
        frames = frames[:, channel : channel + 1]
    if integers:
        frames = frames.astype(np.float32) * np.float32(1 / 32768)
    wave = frames.mean(axis=1) if channel == "mean" else frames[:, 0]
    bad = np.flatnonzero(~np.isfinite(wave))
    if len(bad):
        raise AudioError(
            f"{path}: {len(bad)} samples are no numbers (NaN or infinite), the first at"
            f" {(first + bad[0]) / sound.samplerate:.3f} s"
        )
    return np.ascontiguousarray(wave)


def _info(sound: soundfile.SoundFile) -> AudioInfo:
    return AudioInfo(
        rate_hz=sound.samplerate, channels=sound.channels, frames=sound.frames
    )


def _opened(path: epath.PathLike) -> soundfile.SoundFile:
    name = os.fspath(epath.Path(path).expanduser())
    if not os.path.isfile(name):
        raise FileNotFoundError(f"{path}: no such file")
    size = os.path.getsize(name)
    if not size:
        raise AudioError(f"{path}: is empty (0 bytes)")
    _check_whole(name, size)
    try:
        sound = soundfile.SoundFile(name)
    except (soundfile.SoundFileError, TypeError) as error:
        # soundfile takes a name that ends in .raw for headerless and wants its format.
        reason = str(error).split(": ", 1)[-1].rstrip(".")
        raise AudioError(f"{path}: is no audio that can be read: {reason}") from error
    if not sound.frames:
        sound.close()
        raise AudioError(f"{path}: holds no samples")
    return sound


def _check_whole(name: str, size: int) -> None:
    """Refuses files that were cut off, which libsndfile reads as shorter ones."""
    with open(name, "rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF" and head[8:] == b"WAVE":
            missing = _missing_of_wave(file, size)
        elif head[:4] == b"OggS":
            missing = _missing_of_ogg(_tail(file, size))
        else:
            return  # Of FLAC, reading tells.
    if missing:
        raise AudioError(
            f"{name}: is cut off: at least {missing:,} bytes are missing at its end;"
            " copy or download it again"
        )


def _missing_of_wave(file: BinaryIO, size: int) -> int:
    """Bytes by which the sample chunk of a WAV file is longer than the file."""
    at = 12
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name == b"data":
            # A recorder that was not able to go back writes no length, or the largest.
            streamed = length in (0, 0xFFFFFFFF, 0x7FFFFFFF)
            return 0 if streamed else max(0, at + 8 + length - size)
        at += 8 + length + length % 2
    return 0  # No samples at all: libsndfile says so.


def _tail(file: BinaryIO, size: int) -> bytes:
    """The end of an OGG file: two pages, of at most 65,307 bytes, at least."""
    file.seek(max(0, size - 2**17))
    return file.read()


def _sure_frame(name: str) -> int:
    """The last frame of an OGG file to which libsndfile (1.2.2) seeks rightly.

    It is the first of the last page: beyond it, other samples come back.
    """
    with open(name, "rb") as file:
        tail = _tail(file, os.path.getsize(name))
    last = tail.rfind(b"OggS")
    before = tail.rfind(b"OggS", 0, max(0, last))
    if before < 0:
        return 0
    return max(0, struct.unpack_from("<q", tail, before + 6)[0])


def _missing_of_ogg(tail: bytes) -> int:
    """Bytes that the last page of an OGG file lacks; `tail` is its end."""
    at = tail.rfind(b"OggS")
    if at < 0:
        return 0
    if len(tail) < at + 27:
        return at + 27 - len(tail)
    segments = tail[at + 26]
    table = tail[at + 27 : at + 27 + segments]
    return max(0, at + 27 + segments + sum(table) - len(tail))
