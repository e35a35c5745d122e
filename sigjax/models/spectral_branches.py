"""Embedding of a wave from its spectrum and from spectrograms of several resolutions.

Wilkinghoff 2023 (ICASSP, "Design choices for learning embeddings from auxiliary tasks
for domain generalization in anomalous sound detection") has two branches, a CNN on the
magnitude spectrogram and one on the magnitude spectrum of the whole clip. Fujimura et
al. 2025 (ICASSP, "Improvements of discriminative feature space training for anomalous
sound detection in unlabeled conditions") take a spectrogram branch for each of several
window lengths and add squeeze-and-excitation. The sizes here are those of the latter's
public system (ASDKit, 2025):

  spectrogram  magnitudes of n_fft 256, 1024, 4096, hop n_fft / 2, 200 to 8000 Hz, not
               log; norm per frequency
               conv 7x7 stride 2, 16; norm, ReLU, max-pool 3 stride 2
               2 residual blocks of 16; then of 32, 64 and 128 channels, two each, the
               first of them with stride 2
               maximum over time; channels x frequencies, norm; linear to 128
  spectrum     magnitudes of the whole clip; three convolutions of 128 channels (256
               taps stride 64, 64 stride 32, 16 stride 4), each with ReLU and
               squeeze-and-excitation; then five linear layers of 128, each with norm
               and ReLU, and a sixth without

A residual block is norm (its output is also the shortcut's input), ReLU, conv 3x3,
norm, ReLU, conv 3x3, squeeze-and-excitation; at stride 2 the shortcut is a max-pool 3
and a 1x1 convolution. Nothing has a bias, and no norm a scale or an offset. The
embeddings of the branches side by side are the clip's: 4 x 128.
"""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sigjax.models.section_classifier import SectionOutput, head
from sigjax.nn.conv import (
    HE_INIT,
    Method,
    SqueezeExcitation,
    convolution,
    pointwise,
    precision,
)
from sigjax.nn.norm import BatchNorm, batch_norm
from sigjax.nn.precision import ComputeDtype, compute_dtype
from sigjax.signal.stft import frame_count, stft_magnitude
from sigjax.typing import Array, Float

# Taps and stride of the convolutions on the spectrum.
_SPECTRUM = ((256, 64), (64, 32), (16, 4))
_SPECTRUM_LAYERS = 5
# Frames or bins that the spectrogram's convolutions need.
_LEAST = 36
_FLOAT32 = jnp.dtype("float32")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpectralBranchesConfig:
    """Architecture; the defaults are the public system's on clips of 10 s.

    Attributes:
      classes: Of the head. 0 for no head: the loss brings its own.
      rate_hz: Sampling rate.
      clip_s: Length of a clip.
      n_fft: Window length of each spectrogram branch, in samples; even.
      spectrum: Whether there is a branch on the spectrum.
      f_min_hz: Lowest frequency of the spectrograms.
      f_max_hz: Highest; None for half the rate.
      width: Of each branch's embedding; a multiple of 8.
      dtype: `"float32"` is full float32 on accelerators too, without TF32; `"auto"`
        computes convolutions in bfloat16 there.
    """

    classes: int
    rate_hz: int = 16_000
    clip_s: float = 10.0
    n_fft: tuple[int, ...] = (256, 1024, 4096)
    spectrum: bool = True
    f_min_hz: float = 200.0
    f_max_hz: float | None = None
    width: int = 128
    dtype: ComputeDtype = "float32"

    def __post_init__(self):
        """Refuses branches that are too small, or none."""
        if self.classes < 0 or self.width < 8 or self.width % 8:
            raise ValueError(f"classes < 0, or width no multiple of 8: {self}")
        if not (self.n_fft or self.spectrum):
            raise ValueError("without n_fft and spectrum there is no branch")
        for n_fft in self.n_fft:
            first, last = self.band(n_fft)
            size = frame_count(self.samples, n_fft), last - first
            if min(size) < _LEAST:
                raise ValueError(
                    f"n_fft={n_fft}: {size[0]} frames of {size[1]} bins, but both must"
                    f" be {_LEAST} at least: lengthen clip_s, widen the band from"
                    " f_min_hz to f_max_hz, or take another n_fft"
                )
        if self.spectrum and _spectrum_length(self.samples // 2 + 1) < 1:
            raise ValueError(
                f"a clip of {self.samples} samples is too short for the branch on the"
                " spectrum, which needs 70014: lengthen clip_s, or set spectrum=False"
            )

    @property
    def samples(self) -> int:
        """Samples of a clip."""
        return round(self.clip_s * self.rate_hz)

    @property
    def embedding(self) -> int:
        """Width of the embedding."""
        return self.width * (len(self.n_fft) + self.spectrum)

    def band(self, n_fft: int) -> tuple[int, int]:
        """First bin of a spectrogram that is used, and the one after the last."""
        hz = np.arange(n_fft // 2 + 1) * self.rate_hz / n_fft
        highest = self.rate_hz / 2 if self.f_max_hz is None else self.f_max_hz
        used = np.flatnonzero((hz >= self.f_min_hz) & (hz <= highest))
        return (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 0)


def _spectrum_length(length: int) -> int:
    for taps, stride in _SPECTRUM:
        length = (length - taps) // stride + 1
    return length


class SpectralBranches(nn.Module):
    """Wave to embedding and class scores; see the module docstring.

    Parameters are float32; running means and variances are in `batch_stats`.

    Attributes:
      config: The architecture.
    """

    config: SpectralBranchesConfig

    @nn.compact
    def __call__(self, x: Float[Array, "b s"], train: bool = False) -> SectionOutput:
        """Embeds clips, each by itself unless training.

        Args:
          x: Float32 `[b, s]`, full scale 1; `s` is `config.samples`.
          train: Normalise with the statistics of this batch and update the running
            ones (`mutable=["batch_stats"]`).

        Returns:
          Embedding `[b, config.embedding]`, the spectrum's part first, and logits
          `[b, classes]`.

        Raises:
          ValueError: For clips of another length.
        """
        c = self.config
        if x.shape[-1] != c.samples:
            raise ValueError(
                f"the model takes clips of {c.samples} samples, got {x.shape[-1]}: crop"
                " or tile them, or set model.clip_s"
            )
        dtype, parts = compute_dtype(c.dtype), []
        if c.spectrum:
            magnitude = jnp.abs(jnp.fft.rfft(x.astype(jnp.float32)))
            branch = _SpectrumBranch(c.width, dtype, name="spectrum")
            parts.append(branch(magnitude, train))
        for n_fft in c.n_fft:
            first, last = c.band(n_fft)
            # As torchaudio's `normalized`: of unit energy is the periodic Hann window.
            scale = 1 / np.sqrt(3 / 8 * n_fft)
            magnitude = stft_magnitude(x, n_fft=n_fft)[..., first:last] * scale
            branch = _SpectrogramBranch(c.width, dtype, name=f"stft{n_fft}")
            parts.append(branch(magnitude, train))
        embedding = jnp.concatenate(parts, axis=-1)
        return SectionOutput(embedding, head(embedding, c.classes, 0.0, train))


class _SpectrogramBranch(nn.Module):
    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, train):
        x = _norm(train, "norm", _FLOAT32, exact=True)(x)[..., None]
        x = x.astype(self.dtype)
        none = ((0, 0), (0, 0))
        x = convolution(self.width // 8, 7, "stem", self.dtype, stride=2, padding=none)(
            x
        )
        x = nn.relu(_norm(train, "stem_norm", self.dtype)(x))
        x = max_pool(x, 0)
        for i, share in enumerate((8, 4, 2, 1), 1):
            for j in (1, 2):
                stride = 2 if j == 1 and i > 1 else 1
                block = _Block(self.width // share, stride, name=f"stage{i}_block{j}")
                x = block(x, train)
        x = x.max(axis=1)
        # The public system flattens channel by channel: a permutation of our weights.
        x = x.reshape(len(x), -1)
        x = _norm(train, "flat_norm", self.dtype)(x)
        return pointwise(self.width, "embedding", self.dtype)(x).astype(jnp.float32)


class _Block(nn.Module):
    width: int
    stride: int

    @nn.compact
    def __call__(self, x, train):
        dtype = x.dtype
        x = _norm(train, "norm1", dtype)(x)
        h = nn.relu(x)
        h = convolution(self.width, 3, "conv1", dtype, stride=self.stride)(h)
        h = nn.relu(_norm(train, "norm2", dtype)(h))
        h = convolution(self.width, 3, "conv2", dtype)(h)
        h = SqueezeExcitation(dtype=dtype, name="gate")(h)
        if self.stride != 1:
            x = max_pool(x, 1)
            x = pointwise(self.width, "shortcut", dtype)(x)
        return x + h


class _SpectrumBranch(nn.Module):
    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, train):
        x = x[..., None].astype(self.dtype)
        for i, (taps, stride) in enumerate(_SPECTRUM, 1):
            shape = (taps, x.shape[-1], self.width)
            kernel = self.param(f"conv{i}", HE_INIT, shape)
            x = nn.relu(strided_convolution(x, kernel.astype(self.dtype), stride))
            x = SqueezeExcitation(dtype=self.dtype, name=f"gate{i}")(x)
        x = x.reshape(len(x), -1)
        for i in range(1, _SPECTRUM_LAYERS + 1):
            x = pointwise(self.width, f"dense{i}", self.dtype)(x)
            x = nn.relu(_norm(train, f"norm{i}", self.dtype)(x))
        return pointwise(self.width, "embedding", self.dtype)(x).astype(jnp.float32)


def _norm(train: bool, name: str, dtype: jnp.dtype, exact: bool = False) -> BatchNorm:
    return batch_norm(train, name, dtype, affine=False, exact=exact)


def strided_convolution(
    x: Float[Array, "b s c"], kernel: Float[Array, "n c d"], stride: int
) -> Float[Array, "b t d"]:
    """A 1-D convolution whose stride divides its taps, as one matrix product.

    Blocks of `stride` samples are a reshape; what a kernel meets are a few consecutive
    blocks. XLA's own is slow on CPU where taps are many, and its gradients more so.

    Args:
      x: `[b, s, c]`.
      kernel: `[taps, c, d]`.
      stride: Divides the taps.

    Returns:
      `[b, (s - taps) // stride + 1, d]`, without padding.
    """
    taps, channels, width = kernel.shape
    count, each = (x.shape[1] - taps) // stride + 1, taps // stride
    blocks = x[:, : (count + each - 1) * stride]
    blocks = blocks.reshape(len(x), count + each - 1, stride * channels)
    met = [blocks[:, i : i + count] for i in range(each)]
    return jnp.matmul(
        jnp.concatenate(met, axis=-1),
        kernel.reshape(taps * channels, width),
        precision=precision(x.dtype),
    )


def max_pool(
    x: Float[Array, "b h w c"], pad: int, method: Method = "auto"
) -> Float[Array, "b p q c"]:
    """The largest of every 3x3 positions, at stride 2.

    Args:
      x: `[b, h, w, c]`.
      pad: Positions around the map, which are never the largest.
      method: `"shift"` compares shifted maps and `"grouped"` is the backend's own.
        Where several are the largest, the gradient goes to the first in the latter and
        is shared in the former. `"auto"` is the former on CPU: the backend's gradient
        takes five times as long there.

    Returns:
      `[b, p, q, c]`.
    """
    around = ((0, 0), (pad, pad), (pad, pad), (0, 0))
    if method == "grouped" or (method == "auto" and jax.default_backend() != "cpu"):
        return jax.lax.reduce_window(
            x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), around
        )
    padded = jnp.pad(x, around, constant_values=-jnp.inf)
    height, width = (2 * ((size - 3) // 2) + 1 for size in padded.shape[1:3])
    parts = [
        padded[:, i : i + height : 2, j : j + width : 2]
        for i in range(3)
        for j in range(3)
    ]
    return functools.reduce(jnp.maximum, parts)
