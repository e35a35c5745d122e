"""What is done to a signal before an autoencoder has to undo it (Vincent et al. 2010).

"Stacked Denoising Autoencoders", JMLR 11, Sect. 5.3: Gaussian noise, and masking, where
a fixed number of values is set to a constant. The third kind sets a signal-to-noise
ratio: every example has exactly the one that it was given, whatever its level.

Noise of an example depends on its key alone. `example_keys` makes keys from what an
example holds, so that its place in the batch decides nothing. Noise that is taken from
the rest of the batch depends on the rest of the batch.
"""

import dataclasses
import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.typing import Array, Float, PRNGKey

Kind = Literal["none", "gaussian", "masking", "snr"]
Noise = Literal["white", "pink", "batch"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorruptionConfig:
    """How examples `[*spatial, c]`, or vectors `[d]`, are corrupted.

    Frames are positions of the first axis after the batch: time.

    Attributes:
      kind: `"gaussian"` adds noise of one standard deviation, `"masking"` sets values
        to `fill`, `"snr"` adds noise at a signal-to-noise ratio; `"none"`.
      sd: Of `"gaussian"`, in the units of the signal.
      share: Of `"masking"`: exactly `round(share * n)` of n values or frames.
      unit: Of `"masking"`: `"values"` anywhere, or `"frames"`, one run of them with all
        that they hold.
      fill: What masked values become.
      snr_db: Of `"snr"`: one ratio, or a range from which each example's is drawn
        uniformly, in dB.
      noise: Of `"snr"`: `"white"`; `"pink"`, whose power falls by 3 dB an octave along
        time; `"batch"`, another example of the batch.
      centred: Of `"snr"`: powers are about the means over time, each channel's own. A
        steady offset, such as gravity, is then no signal (nor noise: that of another
        example stays out).
    """

    kind: Kind = "none"
    sd: float | int = 0.0
    share: float | int = 0.0
    unit: Literal["values", "frames"] = "values"
    fill: float | int = 0.0
    snr_db: float | int | tuple[float | int, float | int] = 10.0
    noise: Noise = "white"
    centred: bool = False

    def __post_init__(self):
        """Refuses what would corrupt nothing, and values out of range."""
        if self.kind not in ("none", "gaussian", "masking", "snr"):
            raise ValueError(f"kind is no corruption: {self.kind!r}")
        if self.noise not in ("white", "pink", "batch"):
            raise ValueError(f"noise is no kind of noise: {self.noise!r}")
        if self.unit not in ("values", "frames"):
            raise ValueError(f"unit must be 'values' or 'frames', not {self.unit!r}")
        if self.kind == "gaussian" and not self.sd > 0:
            raise ValueError(f"gaussian noise needs sd > 0, got {self.sd}")
        if self.kind == "masking" and not 0 < self.share < 1:
            raise ValueError(f"masking needs a share in (0, 1), got {self.share}")
        low, high = self.snr_range
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ValueError(f"snr_db must be a ratio or rise from low to high: {self}")

    @property
    def snr_range(self) -> tuple[float | int, float | int]:
        """Lowest and highest ratio in dB."""
        if isinstance(self.snr_db, tuple):
            return self.snr_db
        return self.snr_db, self.snr_db


def example_keys(x: Float[Array, "b *a"], key: PRNGKey) -> PRNGKey:
    """A key for each example, made of `key` and of all bits that the example holds.

    Args:
      x: Float32 `[b, ...]`. Examples that are equal have equal keys.
      key: Another key, other keys.

    Returns:
      `[b]`: a permuted batch has permuted keys, and two devices need not agree on who
      has which row.
    """
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    bits = bits.reshape(len(x), -1)
    # A sum modulo 2^32 is the same in any order. Each place has its own odd factor, and
    # high bits are folded down before, or factors would carry them out.
    place = jnp.arange(bits.shape[1], dtype=jnp.uint32)
    factor = (2 * place + 1) * jnp.uint32(0x9E3779B1)
    mixed = (bits ^ (bits >> 16)) * factor
    seed = (mixed ^ (mixed >> 15)).sum(axis=1, dtype=jnp.uint32)
    return jax.vmap(lambda s: jax.random.fold_in(key, s))(seed)


def corrupt(
    x: Float[Array, "b *a"], config: CorruptionConfig, keys: PRNGKey
) -> Float[Array, "b *a"]:
    """Corrupts each example.

    Args:
      x: Floating `[b, *spatial, c]` or `[b, d]`.
      config: How.
      keys: `[b]`, one for each example (`example_keys`), or a single key, which is
        divided by place.

    Returns:
      `[b, ...]` of the dtype of `x`. With `"snr"`, an example without any power stays
      as it is: there is no ratio to it.

    Raises:
      ValueError: Masking would hide nothing or all; there is no other example.
    """
    if config.kind == "none":
        return x
    if keys.ndim == 0:
        keys = jax.random.split(keys, len(x))
    if config.kind == "gaussian":
        return x + config.sd * _white(keys, x)
    if config.kind == "masking":
        return jnp.where(_hidden(x, config, keys), jnp.asarray(config.fill, x.dtype), x)
    return _at_snr(x, config, keys)


def power(x: Float[Array, "b *a"], centred: bool = False) -> Float[Array, " b"]:
    """Mean square of each example, `[b]`; about the means over time if `centred`."""
    if centred:
        x = x - x.mean(axis=1, keepdims=True)
    return jnp.square(x).mean(axis=tuple(range(1, x.ndim)))


def _white(keys: PRNGKey, x: Array) -> Array:
    return jax.vmap(lambda k: jax.random.normal(k, x.shape[1:], x.dtype))(keys)


def _pink(keys: PRNGKey, x: Array) -> Array:
    """Noise of power 1 / f along the first axis of an example; its mean is 0."""
    frames = x.shape[1]
    if frames < 2:
        raise ValueError("pink noise needs 2 frames or more, got 1: take 'white'")
    gain = np.zeros(frames // 2 + 1, np.float32)
    gain[1:] = 1 / np.sqrt(np.arange(1, len(gain)))
    spectrum = jnp.fft.rfft(_white(keys, x), axis=1)
    shaped = spectrum * gain.reshape(-1, *[1] * (x.ndim - 2))
    return jnp.fft.irfft(shaped, n=frames, axis=1).astype(x.dtype)


def _others(keys: PRNGKey, x: Array) -> Array:
    """Another example of the batch for each."""
    if len(x) < 2:
        raise ValueError("noise='batch' needs a second example in the batch, got one")
    step = jax.vmap(lambda k: jax.random.randint(k, (), 1, len(x)))(keys)
    return x[(jnp.arange(len(x)) + step) % len(x)]


def _at_snr(x: Array, config: CorruptionConfig, keys: PRNGKey) -> Array:
    noise_keys, ratio_keys, other_keys = (
        jax.vmap(lambda k, i=i: jax.random.fold_in(k, i))(keys) for i in range(3)
    )
    low, high = config.snr_range
    draw = jax.vmap(lambda k: jax.random.uniform(k, (), x.dtype, low, high))
    ratio_db = draw(ratio_keys) if low < high else jnp.full(len(x), low, x.dtype)
    by_row = (-1, *[1] * (x.ndim - 1))
    if config.noise == "pink":
        noise = _pink(noise_keys, x)
    else:
        noise = _white(noise_keys, x)
    if config.noise == "batch":
        # A silent example is no noise; in its place there is the white one.
        other = _others(other_keys, x)
        heard = power(other, config.centred) > 0
        noise = jnp.where(heard.reshape(by_row), other, noise)
    if config.centred:
        if x.shape[1] < 2:
            raise ValueError("centred powers need 2 frames or more, got 1")
        noise = noise - noise.mean(axis=1, keepdims=True)
    wanted = power(x, config.centred) * 10 ** (-ratio_db / 10)
    gain = jnp.sqrt(wanted / power(noise))
    return x + gain.reshape(by_row) * noise


def _hidden(x: Array, config: CorruptionConfig, keys: PRNGKey) -> Array:
    """Bool `[b, *a]`, or `[b, t, 1, ...]`, true where `x` is masked."""
    frames = config.unit == "frames"
    places = x.shape[1] if frames else math.prod(x.shape[1:])
    count = round(config.share * places)
    if not 0 < count < places:
        raise ValueError(
            f"a share of {config.share} masks {count} of {places} {config.unit}: at"
            " least one must be masked and one be left"
        )
    if frames:
        draw = jax.vmap(lambda k: jax.random.randint(k, (1,), 0, places - count + 1))
        late = jnp.arange(places) - draw(keys)
        return ((late >= 0) & (late < count)).reshape(len(x), -1, *[1] * (x.ndim - 2))

    def some(key):
        order = jnp.argsort(jax.random.uniform(key, (places,)))
        return jnp.zeros(places, bool).at[order[:count]].set(True)

    return jax.vmap(some)(keys).reshape(x.shape)


def snr_db(
    x: Float[Array, "b *a"], estimate: Float[Array, "b *a"], centred: bool = False
) -> Float[Array, " b"]:
    """`10 log10(power(x) / power(estimate - x))` of each example, `[b]` in dB.

    Args:
      x: `[b, ...]`, the clean signal.
      estimate: `[b, ...]`, a corrupted or a denoised one.
      centred: Whether the signal's power is about the means over time.
    """
    return 10 * jnp.log10(power(x, centred) / power(estimate - x))


def snr_gain_db(
    x: Float[Array, "b *a"],
    corrupted: Float[Array, "b *a"],
    estimate: Float[Array, "b *a"],
) -> Float[Array, " b"]:
    """By how much an estimate is nearer to the clean signal than the corrupted one.

    Args:
      x: `[b, ...]`, clean.
      corrupted: `[b, ...]`.
      estimate: `[b, ...]`, what was made of the corrupted one.

    Returns:
      `[b]` in dB: the ratio of the two errors' powers, so `snr_db` after minus before.
      At most 120 dB; 0 where nothing was corrupted, where there is nothing to gain.
    """
    before, after = power(corrupted - x), power(estimate - x)
    gain = 10 * jnp.log10(before / jnp.maximum(after, 1e-12 * before))
    return jnp.where(before > 0, gain, 0.0)
