"""Short-time Fourier spectra with any window, FFT length and hop, jit-compiled.

Convention, that of `torch.stft` and librosa: with `center`, frame `m` is centred on
sample `m * hop`; windows are periodic and shorter ones are padded to the FFT length on
both sides; values are not normalised. Patches of a few hundred samples, where the hop
is half the FFT length, have a faster special case in `sigjax.signal.stft`.
"""

import functools
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.signal.stft import Pad, map_rows
from sigjax.typing import Array, Float

Window = Literal["hann", "hamming", "rectangular"]
Method = Literal["auto", "product", "rfft"]
Precision = Literal["float32", "float64"]
# Of frames `[..., t, n]`, each by itself.
Before = Callable[[Array], Array]

# Above this length the O(n_fft^2) product loses to the FFT, on accelerators too.
_LARGEST_PRODUCT = 256
# With more blocks than this in a frame, gathering samples compiles faster than joining
# blocks.
_MOST_BLOCKS = 32
# Samples of all frames of a stretch on CPU: 16 s at the usual sizes. Frames and
# spectrum fit the last cache; to cut shorter ones costs more than a nearer cache gains.
_STRETCH_VALUES = 2**19
# From this length on, rows are mapped one by one.
_ROW_VALUES = 2**16


def frame_count(samples: int, *, n_fft: int, hop: int, center: bool = True) -> int:
    """Frames of a signal.

    Raises:
      ValueError: There are no samples, fewer than `n_fft` without `center`, or `n_fft`
        or `hop` is not positive.
    """
    if n_fft < 1 or hop < 1:
        raise ValueError(f"n_fft and hop must be positive, got {n_fft} and {hop}")
    if samples < 1:
        raise ValueError("a signal without samples has no frames")
    padded = samples + 2 * (n_fft // 2) if center else samples
    if padded < n_fft:
        raise ValueError(
            f"{samples} samples are fewer than a frame of {n_fft}: pad them, or use"
            " center=True"
        )
    return 1 + (padded - n_fft) // hop


def window_values(window: Window | np.ndarray, n_fft: int) -> np.ndarray:
    """Float64 `[n_fft]`: a window by name, or own values padded to the FFT length.

    Args:
      window: `"hann"`, `"hamming"` (both periodic), `"rectangular"`, or values `[w]`
        with w <= n_fft, which are put in the middle of the frame.
      n_fft: FFT length in samples.

    Raises:
      ValueError: For an unknown name, or values that do not fit.
    """
    if isinstance(window, str):
        turn = np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
        shapes = {
            "hann": 0.5 - 0.5 * turn,
            "hamming": 0.54 - 0.46 * turn,
            "rectangular": np.ones(n_fft),
        }
        if window not in shapes:
            raise ValueError(f"unknown window {window!r}; known are {sorted(shapes)}")
        return shapes[window]
    values = np.asarray(window, np.float64)
    if values.ndim != 1 or not 0 < len(values) <= n_fft:
        raise ValueError(f"a window of shape {values.shape} does not fit n_fft {n_fft}")
    before = (n_fft - len(values)) // 2
    return np.pad(values, (before, n_fft - len(values) - before))


def pad_ends(x: Float[Array, "*a s"], n_fft: int, pad: Pad) -> Float[Array, "*a p"]:
    """`x` with `n_fft // 2` samples before and after: zeros, or the mirrored signal.

    A mirror wider than the signal runs to and fro, as in NumPy and librosa.

    Raises:
      ValueError: For an unknown `pad`, or a single sample to be mirrored.
    """
    half = n_fft // 2
    if pad not in ("zero", "reflect"):
        raise ValueError(f"unknown pad {pad!r}; known are 'reflect' and 'zero'")
    if pad == "reflect" and x.shape[-1] < 2:
        raise ValueError("one sample has no mirror image: use pad='zero'")
    if pad == "reflect" or jax.default_backend() != "cpu":
        widths = [(0, 0)] * (x.ndim - 1) + [(half, half)]
        return jnp.pad(x, widths, mode="reflect" if pad == "reflect" else "constant")
    silence = jnp.zeros((*x.shape[:-1], half), x.dtype)
    # Joined, these are three copies of whole runs; jnp.pad, or XLA where it fuses this
    # into its users, asks of every sample where it lies: five times slower.
    return jax.lax.optimization_barrier(jnp.concatenate([silence, x, silence], axis=-1))


def _fit(x: Array, samples: int) -> Array:
    # Zeros at the end, or nothing of it: never part of a frame that is kept.
    missing = samples - x.shape[-1]
    if missing <= 0:
        return x[..., :samples]
    return jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)])


def cut_frames(
    x: Float[Array, "*a s"], *, length: int, hop: int
) -> Float[Array, "*a t n"]:
    """Overlapping frames `[..., 1 + (s - length) // hop, length]`, without padding.

    Raises:
      ValueError: `x` is shorter than a frame.
    """
    frames = frame_count(x.shape[-1], n_fft=length, hop=hop, center=False)
    # A frame begins where a block of `hop` samples does, so it is some whole blocks and
    # a piece of one: slices, where indices would be a gather (and a scatter behind).
    blocks = -(-length // hop)
    if blocks > _MOST_BLOCKS:
        return x[..., hop * np.arange(frames)[:, None] + np.arange(length)]
    rows = frames + blocks - 1
    cut = _fit(x, rows * hop).reshape(*x.shape[:-1], rows, hop)
    parts = [cut[..., i : i + frames, :] for i in range(blocks)]
    if blocks * hop == length:
        joined = jnp.stack(parts, axis=-2)  # of whole rows: on CPU twice as fast
        return joined.reshape(*x.shape[:-1], frames, length)
    parts[-1] = parts[-1][..., : length - (blocks - 1) * hop]
    return jnp.concatenate(parts, axis=-1)


def _by_rows(function: Callable[[Array], Array], x: Array) -> Array:
    """`map_rows`; rows so long that it takes them singly lose their axis of one.

    With it XLA copies all of `x` first, and every row once more.
    """
    if jax.default_backend() != "cpu" or x.ndim == 1 or x.shape[-1] < _ROW_VALUES:
        return map_rows(function, x)
    rows = x.reshape(-1, x.shape[-1])
    out = jax.lax.map(jax.checkpoint(function, prevent_cse=False), rows)
    return out.reshape(*x.shape[:-1], *out.shape[1:])


def map_stretches(
    function: Callable[[Array], Array],
    x: Float[Array, "*a s"],
    *,
    length: int,
    hop: int,
    pad: Pad | None = None,
) -> Float[Array, "*a t f"]:
    """`function(x)`, for a function of frames that looks at every frame alone.

    On CPU it is applied to rows, or stretches of time, that fit the cache; frames and
    spectrum are several times the size of `x`. Elsewhere this is the plain call.

    Args:
      function: `[..., s]` to `[..., 1 + (s - length) // hop, f]`.
      x: `[..., s]`.
      length: Samples of a frame.
      hop: Samples from one frame to the next.
      pad: What `pad_ends` puts around `x` before; None for nothing.

    Returns:
      What `function(x)` gives, or `function(pad_ends(x, length, pad))`.
    """
    frames = frame_count(x.shape[-1], n_fft=length, hop=hop, center=pad is not None)
    most = max(1, _STRETCH_VALUES // length)

    def padded(x: Array) -> Array:
        return function(x if pad is None else pad_ends(x, length, pad))

    if jax.default_backend() != "cpu" or frames <= most:
        return _by_rows(padded, x)
    if pad is not None:
        x = pad_ends(x, length, pad)
    stretches = -(-frames // most)
    each = -(-frames // stretches)
    samples = (each - 1) * hop + length
    x = _fit(x, (stretches - 1) * each * hop + samples)
    out = _by_rows(function, cut_frames(x, length=samples, hop=each * hop))
    return out.reshape(*out.shape[:-3], stretches * each, out.shape[-1])[
        ..., :frames, :
    ]


@functools.lru_cache(maxsize=16)
def _basis(n_fft: int) -> np.ndarray:
    """Float64 `[n_fft, 2 * (n_fft // 2 + 1)]`: cos, then -sin."""
    # The phase is reduced in whole numbers: its cosine is then exact to the last digit.
    phase = np.outer(np.arange(n_fft), np.arange(n_fft // 2 + 1)) % n_fft
    angle = 2 * np.pi * phase / n_fft
    return np.concatenate([np.cos(angle), -np.sin(angle)], axis=1)


def _power(
    frames: Array, window: np.ndarray, n_fft: int, before: Before | None, product: bool
) -> Array:
    if before is not None:
        frames = before(frames)
    if product:
        basis = window[:, None] * _basis(n_fft)[: len(window)]
        # TF32 or bfloat16 would cost three digits: whole decibels in quiet bins.
        both = jnp.matmul(
            frames, basis.astype(np.float32), precision=jax.lax.Precision.HIGHEST
        )
        real, imag = jnp.split(both, 2, axis=-1)
    else:
        spectrum = jnp.fft.rfft(frames * window.astype(np.float32), n_fft)
        real, imag = spectrum.real, spectrum.imag
    return real * real + imag * imag


def _power_in_float64(
    frames: Array, window: np.ndarray, n_fft: int, before: Before | None
) -> Array:
    # The program's switch for float64 may be off: it is on for these operations alone.
    # Whatever JAX derives from them later would be narrowed (and transposes be
    # ill-typed), so how they are mapped and differentiated is given here.
    @jax.custom_batching.custom_vmap
    def wide(frames: Array) -> Array:
        with jax.enable_x64(True):
            product = jax.lax.convert_element_type(frames, jnp.float64)
            if before is not None:
                product = before(product)
            spectrum = jnp.fft.rfft(product * window, n_fft)
            power = spectrum.real * spectrum.real + spectrum.imag * spectrum.imag
            return jax.lax.convert_element_type(power, jnp.float32)

    @wide.def_vmap
    def _(axis_size, in_batched, frames):
        del axis_size  # Leading axes are rows to `wide` in any case.
        return wide(frames), in_batched[0]

    power = jax.custom_jvp(wide)

    @power.defjvp
    def _(primals, tangents):
        # Gradients need no more digits than the weights that they change.
        def narrow(frames):
            return _power(frames, window, n_fft, before, product=False)

        return power(*primals), jax.jvp(narrow, primals, tangents)[1]

    return power(frames)


def spectral_power(
    frames: Float[Array, "*a t n"],
    window: np.ndarray,
    *,
    n_fft: int | None = None,
    before: Before | None = None,
    method: Method = "auto",
    precision: Precision = "float32",
) -> Float[Array, "*a t f"]:
    """Squared magnitude of every frame's spectrum.

    Args:
      frames: Float32 `[..., t, n]`, not yet windowed.
      window: Float64 `[n]`, or as long as what `before` returns.
      n_fft: FFT length, the window's by default; zeros stand behind shorter frames.
      before: What is done to frames before the window, in the same precision.
      method: `"product"` (a matrix product) and `"rfft"` agree to rounding; `"auto"`
        takes the FFT on CPU and, elsewhere, the product up to n_fft = 256.
      precision: Of the arithmetic. In `"float32"` rounding is about 1e-16 of the
        frame's whole power: a band 70 dB below the loudest one is good to 1e-3 dB, one
        at -150 dB is noise. `"float64"` (by FFT; CPU and GPU) rounds the result alone.

    Returns:
      Float32 `[..., t, n_fft // 2 + 1]`.
    """
    n_fft = len(window) if n_fft is None else n_fft
    if precision == "float64":
        return _power_in_float64(frames, window, n_fft, before)
    if method == "auto":
        accelerator = jax.default_backend() != "cpu"
        method = "product" if accelerator and n_fft <= _LARGEST_PRODUCT else "rfft"
    return _power(frames, window, n_fft, before, product=method == "product")


def magnitude_of(power: Float[Array, "*a"]) -> Float[Array, "*a"]:
    """Square root whose gradient at 0 is 0: silence would turn all others into NaN."""
    positive = power > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, power, 1.0)), 0.0)


def stft_magnitude(
    x: Float[Array, "*a s"],
    *,
    n_fft: int,
    hop: int,
    window: Window | np.ndarray = "hann",
    center: bool = True,
    pad: Pad = "zero",
    method: Method = "auto",
) -> Float[Array, "*a t f"]:
    """Magnitude of the short-time Fourier transform.

    Args:
      x: Floating `[..., s]`; computed in float32.
      n_fft: FFT length in samples.
      hop: Samples from one frame to the next.
      window: By name, or values `[w]` with w <= n_fft; see `window_values`.
      center: Whether frame m is centred on sample m * hop, beyond the ends too, or
        begins there.
      pad: What lies beyond the ends where `center`: zeros, or the mirrored signal.
      method: See `spectral_power`.

    Returns:
      Float32 `[..., frame_count(s), n_fft // 2 + 1]`. The gradient is finite
      everywhere, and zero where the magnitude is zero.

    Raises:
      ValueError: See `frame_count`, `window_values` and `pad_ends`.
    """
    values = window_values(window, n_fft)
    frame_count(x.shape[-1], n_fft=n_fft, hop=hop, center=center)
    x = x.astype(jnp.float32)

    def magnitude(x: Array) -> Array:
        frames = cut_frames(x, length=n_fft, hop=hop)
        return magnitude_of(spectral_power(frames, values, method=method))

    return map_stretches(
        magnitude, x, length=n_fft, hop=hop, pad=pad if center else None
    )
