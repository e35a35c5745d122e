"""Waves as a user gives them: checked, remarked on, and cut into segments."""

from collections.abc import Sequence

import numpy as np

from sigjax.data.audio import AudioError

Waves = np.ndarray | Sequence[np.ndarray]

# A recording that does not clip has one or two such samples.
_CLIPPED = 1e-4
_AT_LIMIT = 1 - 2**-15
# Far beyond what a float file exceeds full scale by.
_COUNTS = 256
_MOST_CHANNELS = 8


def checked(
    waves: Waves, *, rate_hz: float, samples: int
) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """Waves one by one, and a remark on each.

    Args:
      waves: Float `[n s]` in units of full scale, or int16 counts; or a sequence of
        `[s]` of any lengths; or one `[s]`.
      rate_hz: Their sampling rate, for messages.
      samples: What the network sees at once.

    Returns:
      The waves `[s]` as given, and on each of them a remark: silent, clipped, short;
      or `""`.

    Raises:
      AudioError: Naming the wave: it is empty, has several channels, samples that are
        no numbers, or ones that are no share of full scale.
    """
    single = isinstance(waves, np.ndarray) and waves.ndim == 1
    if isinstance(waves, np.ndarray) and waves.ndim == 2:
        if waves.shape[1] <= _MOST_CHANNELS < waves.shape[0]:
            raise AudioError(
                f"waves of shape {list(waves.shape)} look like samples x channels: give"
                " one channel, or waves as rows"
            )
    rows = [np.asarray(wave) for wave in ([waves] if single else waves)]
    if not rows:
        raise AudioError("no waves were given")
    for number, wave in enumerate(rows):
        _check(f"wave {number}", wave, rate_hz)
    return rows, tuple(_remark(wave, rate_hz, samples) for wave in rows)


def as_floats(wave: np.ndarray) -> np.ndarray:
    """Float32 in units of full scale; int16 counts are divided, exactly."""
    if wave.dtype == np.int16:
        return wave.astype(np.float32) / np.float32(32768)
    return wave.astype(np.float32)


def segment(wave: np.ndarray, start: int, samples: int) -> np.ndarray:
    """Samples `start` and on, as many as `samples`; a shorter wave is repeated.

    As `sigjax.data.segments.fitted` does.
    """
    if len(wave) - start >= samples:
        return wave[start : start + samples]
    return np.resize(wave[start:], samples)


def segment_starts(length: int, samples: int) -> np.ndarray:
    """First samples of the segments that cover a wave; the last one reaches back.

    As `sigjax.data.segments.Segments` cuts clips of a set.

    Args:
      length: Of the wave.
      samples: Of a segment.

    Returns:
      Int64 `[ceil(length / samples)]`, and one at least.
    """
    count = max(1, -(-length // samples))
    return np.minimum(np.arange(count) * samples, max(0, length - samples))


def _check(name: str, wave: np.ndarray, rate_hz: float) -> None:
    if wave.ndim != 1:
        raise AudioError(
            f"{name}: shape {list(wave.shape)}, must be [samples]: choose a channel"
        )
    if not len(wave):
        raise AudioError(f"{name}: holds no samples")
    if wave.dtype != np.int16 and wave.dtype.kind != "f":
        raise AudioError(
            f"{name}: {wave.dtype}: give float32 in units of full scale, or int16"
        )
    bad = np.flatnonzero(~np.isfinite(wave))
    if len(bad):
        raise AudioError(
            f"{name}: {len(bad)} samples are no numbers (NaN or infinite), the first at"
            f" {bad[0] / rate_hz:.3f} s"
        )
    peak = _peak(wave)
    if peak > _COUNTS:
        raise AudioError(
            f"{name}: samples of up to {peak:g} times full scale: divide counts by"
            " 32768"
        )


def _remark(wave: np.ndarray, rate_hz: float, samples: int) -> str:
    said = []
    if wave.min() == wave.max():
        said.append("silent: all its samples are alike")
    elif _peak(wave) >= _AT_LIMIT:
        share = float((np.abs(as_floats(wave)) >= _AT_LIMIT).mean())
        if share > _CLIPPED:
            said.append(f"clipped: {share:.2%} of its samples are at full scale")
    if len(wave) < samples:
        length_s, segment_s = len(wave) / rate_hz, samples / rate_hz
        said.append(f"short: {length_s:.2f} s, repeated to {segment_s:g} s")
    return "; ".join(said)


def _peak(wave: np.ndarray) -> float:
    """Largest sample in units of full scale."""
    largest = max(-float(wave.min()), float(wave.max()))
    return largest / 32768 if wave.dtype == np.int16 else largest
