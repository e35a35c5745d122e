"""Sound as it comes: raw samples or a long file, to one channel at a model's rate.

`Decoder` makes samples of bytes, `file_blocks` reads a file block by block, and
`Channel` takes one channel of either, marks what is damaged and resamples it: nothing
holds more than a block, however long the sound is. Resampling is SoX's, as in `audio`,
and the blocks' results put together are those of the whole sound.
"""

import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import soundfile
import soxr
from etils import epath

from sigjax.data import audio

# Bytes of a sample. Little-endian, as sound cards and FFmpeg's s16le name it.
ENCODINGS = {"s16le": 2, "s24le": 3, "s32le": 4, "f32le": 4}
# Marks of samples.
DAMAGED, CLIPPED = 1, 2
# A 16-bit sample at either end of its range.
_FULL_SCALE = 32767 / 32768
# Larger ones were never in units of full scale: integers or noise read as floats.
_BEYOND = 1000.0
_HEADERS = {b"RIFF": "WAV", b"fLaC": "FLAC", b"OggS": "OGG"}


class Block(NamedTuple):
    """A stretch of sound; blocks follow each other without gaps.

    Attributes:
      wave: Float32 `[s]` at the rate asked for; made of zeros where it is damaged.
      marks: Uint8 `[r]` at the rate of the source: `DAMAGED` where a sample is no
        number or absurdly large, `CLIPPED` where it is at full scale.
    """

    wave: np.ndarray
    marks: np.ndarray


class Decoder:
    """Makes samples of the bytes of a stream, which may end within a sample."""

    def __init__(self, encoding: str, channels: int):
        """Begins at a sample of the first channel.

        Raises:
          ValueError: The encoding is not known, or there is no channel.
        """
        if encoding not in ENCODINGS:
            raise ValueError(
                f"encoding {encoding!r} is not known: {', '.join(ENCODINGS)}"
            )
        if channels < 1:
            raise ValueError(f"a stream has 1 channel or more, got {channels}")
        self._encoding, self._channels = encoding, channels
        self._rest = b""
        self._begun = False

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return ENCODINGS[self._encoding] * self._channels

    @property
    def rest(self) -> int:
        """Bytes of a sample whose others have not come."""
        return len(self._rest)

    def feed(self, data: bytes) -> np.ndarray:
        """Takes bytes; returns the samples that are whole, float32 `[s, c]`.

        Raises:
          AudioError: The stream begins as a file does, so it is not raw.
        """
        data = self._rest + data
        if not self._begun:
            if len(data) < 4:
                self._rest = data
                return np.empty((0, self._channels), np.float32)
            self._begun = True
            kind = _HEADERS.get(data[:4])
            if kind:
                raise audio.AudioError(
                    f"standard input is a {kind} file, not raw samples: give its name"
                    " instead of -, or let the recorder write raw samples (arecord -t"
                    " raw, ffmpeg -f s16le)"
                )
        whole = len(data) - len(data) % self.frame_bytes
        self._rest = data[whole:]
        return _samples(data[:whole], self._encoding).reshape(-1, self._channels)


def _samples(data: bytes, encoding: str) -> np.ndarray:
    if encoding == "f32le":
        return np.frombuffer(data, "<f4").astype(np.float32)
    if encoding == "s24le":
        # The three bytes become the upper ones of 32.
        wide = np.zeros((len(data) // 3, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        whole, bits = wide.reshape(-1).view("<i4"), 32
    else:
        bits = 8 * ENCODINGS[encoding]
        whole = np.frombuffer(data, f"<i{bits // 8}")
    return (whole.astype(np.float64) / 2 ** (bits - 1)).astype(np.float32)


def file_blocks(path: epath.PathLike, *, block_s: float) -> Iterator[np.ndarray]:
    """Reads a file from its beginning to its end, a block at a time.

    Args:
      path: WAV, FLAC, OGG or what else libsndfile reads.
      block_s: Length of a block.

    Yields:
      Float32 `[s, c]`, all channels, at the file's rate; full scale is 1.

    Raises:
      AudioError: The file is empty, cut off or no audio.
      FileNotFoundError: It is not there.
    """
    info = audio.probe(path)
    size = max(1, round(block_s * info.rate_hz))
    done = 0
    with soundfile.SoundFile(os.fspath(epath.Path(path).expanduser())) as sound:
        while done < info.frames:
            try:
                block = sound.read(size, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise audio.AudioError(f"{path}: is damaged: {error}") from error
            if not len(block):
                raise audio.AudioError(
                    f"{path}: is cut off or damaged: {done:,} of {info.frames:,}"
                    " samples can be read"
                )
            done += len(block)
            yield block


class Channel:
    """One channel of a sound, at another rate, with marks of what is wrong with it."""

    def __init__(self, *, source_hz: int, rate_hz: int, channel: audio.Channel = 0):
        """Nothing has been heard yet.

        Args:
          source_hz: Rate of the samples that come.
          rate_hz: Rate of the wave that is made of them.
          channel: Which channel, or `"mean"`.
        """
        if min(source_hz, rate_hz) < 1:
            raise ValueError(f"rates must be 1 Hz or more: {source_hz}, {rate_hz}")
        self._channel = channel
        self._resampler = None
        if source_hz != rate_hz:
            self._resampler = soxr.ResampleStream(
                source_hz, rate_hz, 1, dtype="float32", quality="HQ"
            )
        self._heard = False

    def feed(self, frames: np.ndarray) -> Block:
        """Takes float `[s, c]`.

        Raises:
          AudioError: There is no such channel.
        """
        count, own = frames.shape[1], frames
        if isinstance(self._channel, int):
            if not 0 <= self._channel < count:
                raise audio.AudioError(
                    f"there is no channel {self._channel}: there are {count}, counted"
                    " from 0; choose one of them or 'mean'"
                )
            own = frames[:, self._channel, None]
        level = np.abs(own)
        whole = level < _BEYOND  # False of NaN.
        marks = np.where(whole.all(axis=1), 0, DAMAGED).astype(np.uint8)
        marks[((level >= _FULL_SCALE) & whole).any(axis=1)] |= CLIPPED
        # One NaN in a resampler would spread over all that its filter covers.
        wave = np.where(whole, own, 0).mean(axis=1, dtype=np.float32)
        self._heard = self._heard or len(wave) > 0
        if self._resampler is not None:
            wave = self._resampler.resample_chunk(np.ascontiguousarray(wave))
        return Block(np.ascontiguousarray(wave, np.float32), marks)

    def close(self) -> Block:
        """What the resampler still holds."""
        wave = np.empty(0, np.float32)
        if self._resampler is not None and self._heard:
            wave = self._resampler.resample_chunk(wave, last=True)
        return Block(wave, np.empty(0, np.uint8))
