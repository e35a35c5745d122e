"""Short-time Fourier magnitudes inside a short patch, jit-compiled.

Convention, that of `torch.stft(center=True)` and librosa: frame `m` is centred on
sample `m * hop`, the window is a periodic Hann, and values are not normalised. The hop
is half the FFT length, so a frame is two consecutive half-blocks and the transform is
one matrix product with a fixed basis: no FFT and no overlapping copies. That is the
accelerators' way. A CPU has fast FFTs and slow memory: there the FFT is taken, a cache
full of rows at a time (`map_rows`).
"""

import functools
import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.typing import Array, Float

Pad = Literal["zero", "reflect"]
Method = Literal["auto", "half_block", "rfft"]

# Above this length the O(n_fft^2) product loses to the FFT.
_LARGEST_HALF_BLOCK = 256
# Values per block of rows on CPU: input, frames and spectrum then fit the L2 cache.
_BLOCK_VALUES = 2**17


def frame_count(samples: int, n_fft: int) -> int:
    """Frames of a centred transform with a hop of half the FFT length."""
    return 1 + samples // (n_fft // 2)


@functools.lru_cache(maxsize=16)
def _windowed_basis(n_fft: int) -> np.ndarray:
    """Float32 `[n_fft, 2 * (n_fft // 2 + 1)]`: Hann window times cos, then -sin."""
    time = np.arange(n_fft)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * time / n_fft)
    angle = 2 * np.pi * np.outer(time, np.arange(n_fft // 2 + 1)) / n_fft
    basis = np.concatenate([np.cos(angle), -np.sin(angle)], axis=1)
    return (hann[:, None] * basis).astype(np.float32)


def _safe_magnitude(real: Array, imag: Array) -> Array:
    # sqrt has an infinite slope at 0 and abs/hypot differ between versions of JAX: a
    # silent patch or a zero-initialised head would turn every gradient into NaN.
    power = real * real + imag * imag
    positive = power > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, power, 1.0)), 0.0)


def _pad(x: Array, n_fft: int, pad: Pad) -> tuple[Array, int]:
    """`x` padded so that it holds a whole number of half-blocks, and that of frames."""
    hop = n_fft // 2
    samples = x.shape[-1]
    frames = frame_count(samples, n_fft)
    right = frames * hop - samples
    mode = "constant" if pad == "zero" else "reflect"
    if pad == "reflect" and samples <= hop:
        raise ValueError(f"reflecting {hop} samples needs more than {samples} samples")
    widths = [(0, 0)] * (x.ndim - 1) + [(hop, max(right, 0))]
    return jnp.pad(x, widths, mode=mode), frames


def stft_magnitude(
    x: Float[Array, "*a s"],
    *,
    n_fft: int,
    pad: Pad = "zero",
    method: Method = "auto",
) -> Float[Array, "*a t f"]:
    """Magnitude of the centred short-time Fourier transform.

    Args:
      x: Float32 `[..., s]`.
      n_fft: Window and FFT length in samples, even. The hop is `n_fft / 2`.
      pad: What lies beyond the ends: zeros (the paper's), or the mirrored signal.
      method: `"half_block"` (a matrix product) and `"rfft"` agree to rounding; `"auto"`
        takes the FFT on CPU and, elsewhere, the product up to n_fft = 256.

    Returns:
      Float32 `[..., 1 + s // (n_fft / 2), n_fft / 2 + 1]`. The gradient is finite
      everywhere, and zero where the magnitude is zero.

    Raises:
      ValueError: For an odd or non-positive `n_fft`, or a mirrored pad wider than `x`.
    """
    if n_fft < 2 or n_fft % 2:
        raise ValueError(f"n_fft must be an even number of samples, got {n_fft}")
    padded, frames = _pad(x.astype(jnp.float32), n_fft, pad)
    hop, bins = n_fft // 2, n_fft // 2 + 1
    blocks = padded.reshape(*padded.shape[:-1], frames + 1, hop)
    first, second = blocks[..., :-1, :], blocks[..., 1:, :]
    if method == "auto":
        product = jax.default_backend() != "cpu" and n_fft <= _LARGEST_HALF_BLOCK
        method = "half_block" if product else "rfft"
    if method == "rfft":
        hann = _windowed_basis(n_fft)[:, 0]
        framed = [first * hann[:hop], second * hann[hop:]]
        spectrum = jnp.fft.rfft(jnp.concatenate(framed, axis=-1))
        return _safe_magnitude(spectrum.real, spectrum.imag)
    framed = jnp.concatenate([first, second], axis=-1)
    # TF32 on GPU would cost three digits of a loss whose floor is 1e-2.
    product = jnp.matmul(
        framed, _windowed_basis(n_fft), precision=jax.lax.Precision.HIGHEST
    )
    return _safe_magnitude(product[..., :bins], product[..., bins:])


def map_rows(
    function: Callable[[Array], Array], x: Float[Array, "*a s"]
) -> Float[Array, "..."]:
    """`function(x)`, for a function that acts on every row `[..., s]` alone.

    On CPU it is applied to blocks of rows that fit the cache, and run again in the
    backward pass: intermediate frames are several times the size of `x`, and fresh
    memory costs more than the FFT does. Elsewhere, and for a single block, this is the
    plain call.

    Args:
      function: `[r, s]` to `[r, ...]`, whole rows in, whole rows out.
      x: `[..., s]`.

    Returns:
      `[..., ...]`: leading axes of `x`, then what `function` makes of a row.
    """
    rows, samples = math.prod(x.shape[:-1]), x.shape[-1]
    most = max(1, _BLOCK_VALUES // samples)
    if jax.default_backend() != "cpu" or rows <= most:
        return function(x)
    # A remainder would cost a copy of all other rows.
    block = next((n for n in range(most, most // 4, -1) if rows % n == 0), most)
    out = jax.lax.map(
        jax.checkpoint(function, prevent_cse=False),
        x.reshape(rows, samples),
        batch_size=block,
    )
    return out.reshape(*x.shape[:-1], *out.shape[1:])
