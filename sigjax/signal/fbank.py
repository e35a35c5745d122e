"""Kaldi's log-mel filter banks on the device: the input of AST and DATAR.

The definition is that of Kaldi's `compute-fbank-feats` and of
`torchaudio.compliance.kaldi.fbank`, which AST (Gong et al. 2021, arXiv 2104.01778)
calls on waves in units of full scale, without dither and energy. Of every frame:

  1. its samples begin at frame * shift, and frames that would end beyond the last
     sample are left out (snip edges); lengths in samples are rounded down;
  2. its mean is removed;
  3. pre-emphasis: x[n] - 0.97 x[n - 1];
  4. a symmetric Hann window, or Kaldi's own, that to the power 0.85;
  5. zeros up to the next power of two, FFT, squared magnitude;
  6. triangles whose corners are even, and whose sides are straight, in mel, where
     mel = 1127 ln(1 + f / 700);
  7. ln(max(band, 1.19e-7)): silence is -15.94.

With 128 bands at 16 kHz the FFT of 512 is short: one band lies between two of its bins
and is -15.94 always.

The first sample's pre-emphasis is a convention (Kaldi takes x[0] twice) that nobody
sees: both windows are 0 there. So the frame without it is transformed, which has the
same magnitudes.

What comes after is AST's, too: padding is 0.0 and is put behind the logarithm
(`fit_frames`), then (x - mean) / (2 std) (`normalise`). With AudioSet's statistics
padding becomes +0.467, silence -1.28.

Arithmetic. On CPU all before the squared magnitude is float64: values are those of the
definition to 1e-5, whatever is loud beside them. Elsewhere it is float32: a bin errs by
up to log2(n_fft) roundings of the norm of its frame, with its mean. So a band is good
to 1e-4 only where it is not far below the frame's level; where a GPU has float64,
`precision="float64"` is exact there, too.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.signal import framing
from sigjax.signal.mel import weigh
from sigjax.typing import Array, Float, Int

# Kaldi's and torchaudio's least value of a band, float32's epsilon.
FLOOR = float(np.finfo(np.float32).eps)


@dataclasses.dataclass(frozen=True, kw_only=True)
class FbankConfig:
    """How a filter bank is computed; the defaults are AST's.

    Attributes:
      rate_hz: Sampling rate that frames and bands are laid out for.
      wave_rate_hz: Rate of the samples that are given, where it is another one on
        purpose (see `PRESETS`); None for `rate_hz`.
      frame_ms: Length of a frame.
      shift_ms: From one frame to the next.
      n_mels: Number of bands.
      f_min_hz: Where the first band begins.
      f_max_hz: Where the last band ends; None for half the rate.
      preemphasis: Coefficient; 0 for none.
      remove_mean: Remove the clip's mean first, as AST does. It changes nothing where
        the frames' means are removed, and is left out there.
      remove_frame_mean: Remove each frame's mean.
      window: `"hann"` as AST, or `"povey"`, Kaldi's default.
      precision: Of all that comes before the squared magnitude; `"auto"` is float64
        on CPU and float32 elsewhere.

    Raises:
      ValueError: A value is out of its range.
    """

    rate_hz: float | int = 16000.0
    wave_rate_hz: float | int | None = None
    frame_ms: float | int = 25.0
    shift_ms: float | int = 10.0
    n_mels: int = 128
    f_min_hz: float | int = 20.0
    f_max_hz: float | int | None = None
    preemphasis: float | int = 0.97
    remove_mean: bool = True
    remove_frame_mean: bool = True
    window: Literal["hann", "povey"] = "hann"
    precision: Literal["auto", "float32", "float64"] = "auto"

    def __post_init__(self):
        """Refuses values out of range."""
        choices = {
            "window": ("hann", "povey"),
            "precision": ("auto", "float32", "float64"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise ValueError(f"{name} must be one of {known}, not {value!r}")
        if self.rate_hz <= 0 or self.n_mels < 1 or not 0 <= self.preemphasis <= 1:
            raise ValueError(f"rate_hz, n_mels or preemphasis out of range: {self}")
        if self.frame_samples < 3 or self.shift_samples < 1:
            raise ValueError(
                f"frames of {self.frame_ms:g} ms every {self.shift_ms:g} ms have"
                f" {self.frame_samples} samples every {self.shift_samples} at"
                f" {self.rate_hz:g} Hz: too few"
            )
        if not 0 <= self.f_min_hz < self.last_hz <= self.rate_hz / 2:
            raise ValueError(
                f"bands from {self.f_min_hz:g} to {self.last_hz:g} Hz: they must rise"
                f" from 0 or more to at most half the rate, {self.rate_hz / 2:g} Hz"
            )

    @property
    def frame_samples(self) -> int:
        """Length of a frame."""
        return int(self.rate_hz * self.frame_ms * 0.001)

    @property
    def shift_samples(self) -> int:
        """From one frame to the next."""
        return int(self.rate_hz * self.shift_ms * 0.001)

    @property
    def n_fft(self) -> int:
        """Length of the FFT: the next power of two."""
        return 1 << (self.frame_samples - 1).bit_length()

    @property
    def last_hz(self) -> float | int:
        """Where the last band ends."""
        return self.rate_hz / 2 if self.f_max_hz is None else self.f_max_hz

    @property
    def expected_hz(self) -> float | int:
        """Rate of the samples that are given."""
        return self.rate_hz if self.wave_rate_hz is None else self.wave_rate_hz


class Statistics(NamedTuple):
    """Mean and standard deviation of a data set's filter banks, nepers of power."""

    mean: float
    std: float


# "datar43k" is what "a sampling frequency of 43,000 to cover 10 seconds" of "DATAR:
# Deformable Audio Transformer for Audio Event Recognition" (Zhu) comes to: 10 s at
# 44.1 kHz, declared as 43 kHz, have exactly 1024 frames. Frames are 24.4 ms every
# 9.75 ms and bands lie 2.56 % higher than they are named.
PRESETS: Mapping[str, FbankConfig] = {
    "ast": FbankConfig(),
    "datar43k": FbankConfig(rate_hz=43000.0, wave_rate_hz=44100.0),
}

# AST's, of its training sets.
STATISTICS: Mapping[str, Statistics] = {
    "audioset": Statistics(-4.2677393, 4.5689974),
    "esc50": Statistics(-6.6268077, 5.358466),
    "speechcommands": Statistics(-6.845978, 5.5654526),
}


def check_rate(rate_hz: float | int, config: FbankConfig) -> None:
    """Refuses samples at another rate than the configuration is for.

    Raises:
      ValueError: Naming both rates.
    """
    if rate_hz != config.expected_hz:
        raise ValueError(
            f"this fbank takes samples at {config.expected_hz:g} Hz, not {rate_hz:g}:"
            " resample them, or set rate_hz (and train at that rate)"
        )


def frame_count(samples: int, config: FbankConfig) -> int:
    """Frames of a clip: `1 + (samples - frame) // shift`.

    Raises:
      ValueError: The clip is shorter than a frame.
    """
    frame = config.frame_samples
    if samples < frame:
        raise ValueError(
            f"a clip of {samples} samples is shorter than a frame of {frame}"
            f" ({config.frame_ms:g} ms at {config.rate_hz:g} Hz): pad it with zeros, or"
            " leave it out"
        )
    return 1 + (samples - frame) // config.shift_samples


def valid_frames(
    samples: Int[Array, "*a"] | np.ndarray, config: FbankConfig
) -> Int[Array, "*a"]:
    """Frames that lie wholly within the first `samples`; 0 where there are none.

    Args:
      samples: Int, of any shape: how many samples of each clip are real.
      config: How frames are cut.

    Returns:
      Int32 of the same shape.
    """
    frames = 1 + (jnp.asarray(samples) - config.frame_samples) // config.shift_samples
    return jnp.maximum(frames, 0).astype(jnp.int32)


@functools.lru_cache(maxsize=64)
def mel_filters(config: FbankConfig) -> np.ndarray:
    """Float32 `[n_fft // 2 + 1, n_mels]`, read-only: weights of the bands on the bins.

    The bin at half the rate counts for nothing, as in Kaldi.
    """
    bins = np.arange(config.n_fft // 2) * (config.rate_hz / config.n_fft)
    mel, low, high = (
        1127 * np.log1p(np.asarray(hz) / 700)
        for hz in (bins, config.f_min_hz, config.last_hz)
    )
    step = (high - low) / (config.n_mels + 1)
    place = (mel[:, None] - low) / step - np.arange(config.n_mels)  # peaks are at 1
    weights = np.zeros((config.n_fft // 2 + 1, config.n_mels), np.float32)
    weights[:-1] = np.maximum(0, np.minimum(place, 2 - place))
    weights.flags.writeable = False
    return weights


def _window(config: FbankConfig) -> np.ndarray:
    """Float64, without the first sample, which is 0."""
    size = config.frame_samples
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1, size) / (size - 1))
    hann[-1] = 0.0  # A rounding below 0 has no power 0.85.
    return hann**0.85 if config.window == "povey" else hann


def _condition(frames: Array, config: FbankConfig) -> Array:
    """Mean removal and pre-emphasis: `[..., n]` to `[..., n - 1]`, without the first.

    (x[n] - mean) - c (x[n - 1] - mean), with the two means taken together.
    """
    c = config.preemphasis
    out = frames[..., 1:] - c * frames[..., :-1] if c else frames[..., 1:]
    if not config.remove_frame_mean:
        return out
    size = frames.shape[-1]
    # A product: XLA sums along rows one value at a time on CPU.
    share = jnp.full((size, 1), (1 - c) / size, frames.dtype)
    return out - jnp.matmul(frames, share, precision=jax.lax.Precision.HIGHEST)


def fbank(
    x: Float[Array, "*a s"], config: FbankConfig, *, rate_hz: float | int | None = None
) -> Float[Array, "*a t f"]:
    """Log-mel filter bank of clips; a pure function, to be jitted.

    Args:
      x: Floating `[..., s]`, one clip a row, in units of full scale (int16 / 32768);
        bfloat16 and float16 are computed in float32. A NaN sample makes its frames NaN.
      config: How. A jitted caller compiles once for each.
      rate_hz: Of the samples; checked if it is given.

    Returns:
      Float32 `[..., frame_count(s), n_mels]`, natural logarithms. Gradients are finite
      everywhere, and zero at the floor.

    Raises:
      TypeError: `x` holds integers.
      ValueError: Clips are shorter than a frame, or have another rate.
    """
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"fbank takes samples in units of full scale, not {x.dtype}: divide int16"
            " by 32768"
        )
    if rate_hz is not None:
        check_rate(rate_hz, config)
    frame_count(x.shape[-1], config)
    x = x.astype(jnp.float32)
    if config.remove_mean and not config.remove_frame_mean:
        x = x - x.mean(axis=-1, keepdims=True)
    length, hop = config.frame_samples, config.shift_samples
    window, weights = _window(config), mel_filters(config)
    precision = config.precision
    if precision == "auto":
        precision = "float64" if jax.default_backend() == "cpu" else "float32"

    def bands(x: Array) -> Array:
        power = framing.spectral_power(
            framing.cut_frames(x, length=length, hop=hop),
            window,
            n_fft=config.n_fft,
            before=functools.partial(_condition, config=config),
            precision=precision,
        )
        return jnp.log(jnp.maximum(weigh(power, weights), FLOOR))

    return framing.map_stretches(bands, x, length=length, hop=hop)


def fit_frames(
    x: Float[Array, "*a t f"],
    frames: int,
    valid: Int[Array, "*a"] | None = None,
) -> Float[Array, "*a n f"]:
    """Cuts spectrograms to a number of frames, or pads them with 0.0 at the end.

    As AST does, behind the logarithm and before `normalise`.

    Args:
      x: `[..., t, f]`.
      frames: How many to have.
      valid: Int `[...]`, how many frames of each are real (`valid_frames`): later ones
        become padding. All without it.

    Returns:
      `[..., frames, f]`.

    Raises:
      ValueError: `frames` is not positive.
    """
    if frames < 1:
        raise ValueError(f"a spectrogram needs a positive number of frames: {frames}")
    if valid is not None:
        real = jnp.arange(x.shape[-2]) < valid[..., None]
        x = jnp.where(real[..., None], x, 0)
    missing = frames - x.shape[-2]
    if missing <= 0:
        return x[..., :frames, :]
    return jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(0, missing), (0, 0)])


def normalise(
    x: Float[Array, "*a t f"], mean: float | Array, std: float | Array
) -> Float[Array, "*a t f"]:
    """`(x - mean) / (2 std)`: AST's, with half the usual spread."""
    return (x - mean) / (2 * std)
