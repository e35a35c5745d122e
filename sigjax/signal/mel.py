"""Log-mel spectrograms on the device, equal to librosa's.

A frame's Hann-windowed power spectrum is weighted by mel bands and put in decibels:
`20 / power * log10(max(bands, floor))`. A high-pass is folded into the weights.

Arithmetic. On CPU the FFT is taken in float64 and rounded once, so every value is
librosa's (which does the same) to 1e-4 dB, also 150 dB below a pure tone. Elsewhere it
is float32: bands within 70 dB of the loudest one of their frame agree to 1e-3 dB, and
what lies further below is rounding noise. The cost of a clip of 10 s at 16 kHz
(313 frames of 1024 samples, 128 bands): 8 MFLOP for the FFTs and 41 MFLOP for the mel
bands as one matrix product, of which 98 % are zeros. On CPU the bands are therefore
summed in a few groups, each over its own bins. Half of the time is the FFT's, for which
XLA takes one core: to use several, give JAX a CPU device for each and divide the batch.
"""

import dataclasses
import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.signal import filters as filter_gains
from sigjax.signal import framing
from sigjax.signal.filters import Norm, Scale
from sigjax.signal.stft import Pad
from sigjax.typing import Array, Float

HighPass = Literal["mel", "mask", "butterworth", "none"]

# Groups of bands on CPU. More groups skip more zeros, in narrower products.
_GROUPS = 4
_MASK_TOP_DB = 80.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class MelConfig:
    """How a log-mel spectrogram is computed.

    The defaults are those of the DCASE Task 2 baselines, and of "Self-supervised
    Anomalous Sound Detection for Machine Condition Monitoring", Sect. 3.2.

    Attributes:
      rate_hz: Sampling rate of the waveform.
      n_fft: Length of window and FFT in samples.
      hop: Samples from one frame to the next.
      n_mels: Number of bands.
      f_min_hz: Where the first band begins.
      f_max_hz: Where the last band ends; None for half the rate.
      norm: `"slaney"`: triangles of equal area; `"none"`: of height 1.
      scale: Mel scale, `"slaney"` or `"htk"`.
      power: 2 for the power spectrum, 1 for the magnitude.
      floor: Least value of a band before the logarithm: -156.5 dB by default, float64's
        epsilon as in the baselines.
      top_db: If given, values more than this below the clip's largest are raised to
        there. None means none, but 80 dB with `high_pass="mask"`, whose empty bands
        would otherwise be constants at the floor.
      pad: What lies beyond the ends of a clip: zeros (librosa from 0.10) or the
        mirrored signal (older ones, so the 2021 baseline).
      high_pass: `"mel"`: all bands lie above the cut-off (`f_min_hz` moves there);
        `"mask"`: bins below it are zero; `"butterworth"`: bins get the gain of that
        filter; `"none"`. The bands of the latter three stay where they are.
      cutoff_hz: Cut-off frequency of the high-pass; 0 passes everything.
      order: Of the Butterworth filter.
      precision: Of the FFT; `"auto"` is float64 on CPU and float32 elsewhere.

    Raises:
      ValueError: A value is out of its range.
    """

    rate_hz: float | int
    n_fft: int = 1024
    hop: int = 512
    n_mels: int = 128
    f_min_hz: float | int = 0.0
    f_max_hz: float | int | None = None
    norm: Norm = "slaney"
    scale: Scale = "slaney"
    power: float | int = 2.0
    floor: float = 2.0**-52
    top_db: float | int | None = None
    pad: Pad = "zero"
    high_pass: HighPass = "mel"
    cutoff_hz: float | int = 0.0
    order: int = 4
    precision: Literal["auto", "float32", "float64"] = "auto"

    def __post_init__(self):
        """Refuses values out of range."""
        choices = {
            "norm": ("slaney", "none"),
            "scale": ("slaney", "htk"),
            "power": (1, 2),
            "pad": ("zero", "reflect"),
            "high_pass": ("mel", "mask", "butterworth", "none"),
            "precision": ("auto", "float32", "float64"),
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}, not {self._of(name)}")
        for name in ("rate_hz", "hop", "n_mels", "order"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {self._of(name)}")
        if self.n_fft < 2:
            raise ValueError(f"n_fft must be 2 or more, not {self.n_fft}")
        if self.floor < float(np.finfo(np.float32).tiny):
            raise ValueError(f"floor must be a normal float32 > 0, not {self.floor}")
        if self.top_db is not None and not self.top_db > 0:
            raise ValueError(f"top_db must be positive or None, not {self.top_db}")
        if not 0 <= self.cutoff_hz < self.rate_hz / 2:
            raise ValueError(
                f"cutoff_hz must be from 0 to below half the rate, not {self.cutoff_hz}"
            )
        if self.high_pass == "none" and self.cutoff_hz:
            raise ValueError(
                f"a cut-off of {self.cutoff_hz:g} Hz without a high-pass: set cutoff_hz"
                " to 0, or choose a high_pass"
            )

    def _of(self, name: str) -> str:
        return repr(getattr(self, name))

    @property
    def first_hz(self) -> float | int:
        """Where the first band begins, with the high-pass considered."""
        if self.high_pass == "mel":
            return max(self.f_min_hz, self.cutoff_hz)
        return self.f_min_hz

    @property
    def depth_db(self) -> float | int | None:
        """`top_db`, with its default for the mask."""
        masked = self.high_pass == "mask" and self.cutoff_hz > 0
        return _MASK_TOP_DB if masked and self.top_db is None else self.top_db


def frame_count(samples: int, config: MelConfig) -> int:
    """Frames of a clip: `1 + samples // hop` for an even `n_fft`.

    Clips shorter than a window are taken too, down to one sample.

    Raises:
      ValueError: There are no samples.
    """
    return framing.frame_count(samples, n_fft=config.n_fft, hop=config.hop)


def mel_frequencies(config: MelConfig) -> np.ndarray:
    """Float64 `[f]`: where the bands peak, in Hz."""
    last_hz = config.rate_hz / 2 if config.f_max_hz is None else config.f_max_hz
    corners = filter_gains.mel_corners(
        config.n_mels, config.first_hz, last_hz, config.scale
    )
    return corners[1:-1]


@functools.lru_cache(maxsize=64)
def mel_filters(config: MelConfig) -> np.ndarray:
    """Weights of the bands on the bins of the spectrum, with the high-pass in them.

    Returns:
      Float32 `[n_fft // 2 + 1, n_mels]`, read-only. Without a high-pass these are
      `librosa.filters.mel(...).T`.

    Raises:
      ValueError: The bands do not fit below half the sampling rate.
    """
    weights = filter_gains.mel_weights(
        rate_hz=config.rate_hz,
        n_fft=config.n_fft,
        n_mels=config.n_mels,
        f_min_hz=config.first_hz,
        f_max_hz=config.f_max_hz,
        scale=config.scale,
        norm=config.norm,
    )
    frequency_hz = filter_gains.bin_frequencies(config.n_fft, config.rate_hz)
    if config.high_pass == "mask":
        weights *= filter_gains.mask_gain(frequency_hz, config.cutoff_hz)[:, None]
    if config.high_pass == "butterworth":
        gain = filter_gains.butterworth_gain(
            frequency_hz, config.cutoff_hz, config.rate_hz, config.order
        )
        weights *= gain[:, None] ** config.power
    weights = weights.astype(np.float32)
    weights.flags.writeable = False
    return weights


def weigh(spectrum: Array, weights: np.ndarray | Array) -> Array:
    """`spectrum [..., k]` times `weights [k, f]`, without most of the zeros on CPU."""
    if jax.default_backend() != "cpu" or not isinstance(weights, np.ndarray):
        # TF32 or bfloat16 would cost whole hundredths of a decibel.
        return jnp.matmul(spectrum, weights, precision=jax.lax.Precision.HIGHEST)
    parts = []
    for group in np.array_split(weights, min(_GROUPS, weights.shape[1]), axis=1):
        used = np.flatnonzero(group.any(axis=1))
        first, last = (used[0], used[-1] + 1) if len(used) else (0, 1)
        parts.append(spectrum[..., first:last] @ group[first:last])
    return jnp.concatenate(parts, axis=-1)


def log_mel(
    x: Float[Array, "*a s"],
    config: MelConfig,
    *,
    filters: Float[Array, "k f"] | np.ndarray | None = None,
) -> Float[Array, "*a t f"]:
    """Log-mel spectrogram.

    Args:
      x: Floating `[..., s]`, one clip a row, in units of full scale (int16 / 32768);
        bfloat16 and float16 are computed in float32. A NaN sample makes its frames NaN
        (with `top_db`, its clip).
      config: How. A jitted caller compiles once for each.
      filters: Other weights of the bands, `[n_fft // 2 + 1, f]`, for example
        `mel_filters` of another cut-off: passed through `jax.jit`, they can change from
        call to call (or, under `jax.vmap`, from clip to clip) without a compilation.
        They replace the high-pass of `config`, not its `top_db`.

    Returns:
      Float32 `[..., frame_count(s), n_mels]` in dB. Gradients are finite everywhere,
      and zero at the floor.

    Raises:
      TypeError: `x` holds integers.
      ValueError: `x` has no samples, or a single one to be mirrored.
    """
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"log_mel takes samples in units of full scale, not {x.dtype}: divide"
            " int16 by 32768"
        )
    frame_count(x.shape[-1], config)
    weights = mel_filters(config) if filters is None else filters
    window = framing.window_values("hann", config.n_fft)
    precision = config.precision
    if precision == "auto":
        precision = "float64" if jax.default_backend() == "cpu" else "float32"

    def bands(x: Array) -> Array:
        frames = framing.cut_frames(x, length=config.n_fft, hop=config.hop)
        spectrum = framing.spectral_power(frames, window, precision=precision)
        if config.power == 1:
            spectrum = framing.magnitude_of(spectrum)
        summed = jnp.maximum(weigh(spectrum, weights), config.floor)
        return (20 / config.power / np.log(10)) * jnp.log(summed)

    out = framing.map_stretches(
        bands,
        x.astype(jnp.float32),
        length=config.n_fft,
        hop=config.hop,
        pad=config.pad,
    )
    if config.depth_db is not None:
        largest = jnp.max(out, axis=(-2, -1), keepdims=True)
        out = jnp.maximum(out, largest - config.depth_db)
    return out
