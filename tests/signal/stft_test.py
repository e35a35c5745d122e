import functools

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from sigjax.signal import stft
from sigjax.signal.stft import frame_count, map_rows, stft_magnitude

SIZES = [2, 16, 30, 32, 64, 128, 256]


def _signal(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("n_fft", "pad", "method"))
def _magnitude(x, **options):
    return stft_magnitude(x, **options)


@pytest.mark.parametrize("pad", ["zero", "reflect"])
@pytest.mark.parametrize("n_fft", SIZES)
@pytest.mark.parametrize("samples", [300, 299])
def test_frames_are_those_of_librosa(n_fft, samples, pad):
    x = _signal(2, samples)
    # librosa reflects only a short tail of the signal, so it is given padded frames.
    padded = np.pad(
        x.astype(np.float64),
        ((0, 0), (n_fft // 2, n_fft // 2)),
        mode={"zero": "constant", "reflect": "reflect"}[pad],
    )
    expected = np.abs(
        librosa.stft(
            padded, n_fft=n_fft, hop_length=n_fft // 2, window="hann", center=False
        )
    ).swapaxes(-1, -2)
    if pad == "zero":
        centred = librosa.stft(
            x, n_fft=n_fft, hop_length=n_fft // 2, center=True, pad_mode="constant"
        )
        np.testing.assert_allclose(
            np.abs(centred).swapaxes(-1, -2), expected, rtol=1e-4, atol=1e-4
        )
    for method in ("half_block", "rfft"):
        got = _magnitude(jnp.asarray(x), n_fft=n_fft, pad=pad, method=method)
        assert got.shape == (2, frame_count(samples, n_fft), n_fft // 2 + 1)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5 * expected.max())


@pytest.mark.parametrize("n_fft", SIZES)
@pytest.mark.parametrize("samples", [37, 300])
def test_product_and_fft_agree_in_values_and_gradients(n_fft, samples):
    x = jnp.asarray(_signal(3, samples))

    def total(x, method):
        return jnp.square(
            stft_magnitude(x, n_fft=n_fft, method=method).mean(axis=-2)
        ).sum()

    both = jax.jit(jax.value_and_grad(total), static_argnums=1)
    product, fft = both(x, "half_block"), both(x, "rfft")
    np.testing.assert_allclose(product[0], fft[0], rtol=1e-5)
    scale = float(jnp.abs(fft[1]).max())
    np.testing.assert_allclose(product[1], fft[1], rtol=1e-4, atol=1e-5 * scale)


def test_a_tone_in_the_middle_of_a_bin_has_the_windows_gain():
    n_fft, bin_, amplitude = 32, 5, 0.7
    time = np.arange(320)
    x = amplitude * np.cos(2 * np.pi * bin_ * time / n_fft)
    # A periodic Hann window sums to n_fft / 2 and spreads half of it to each side.
    middle = np.asarray(stft_magnitude(jnp.asarray(x, jnp.float32), n_fft=n_fft))[5]
    peak = amplitude * n_fft / 4
    expected = np.zeros(n_fft // 2 + 1)
    expected[bin_ - 1 : bin_ + 2] = peak / 2, peak, peak / 2
    np.testing.assert_allclose(middle, expected, atol=1e-5)


def test_parseval_holds_in_every_frame():
    x, n_fft = _signal(320), 64
    power = np.asarray(stft_magnitude(jnp.asarray(x), n_fft=n_fft)) ** 2
    both_sides = power[:, 0] + power[:, -1] + 2 * power[:, 1:-1].sum(axis=-1)
    padded = np.pad(x, n_fft // 2)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    energy = [
        np.sum((padded[m * 32 : m * 32 + n_fft] * hann) ** 2) for m in range(len(power))
    ]
    np.testing.assert_allclose(both_sides / n_fft, energy, rtol=1e-4)


@pytest.mark.parametrize("method", ["half_block", "rfft"])
def test_the_gradient_is_finite_at_silence(method):
    def total(x):
        return stft_magnitude(x, n_fft=32, method=method).sum()

    value, grad = jax.jit(jax.value_and_grad(total))(jnp.zeros((2, 300)))
    assert value == 0
    np.testing.assert_array_equal(grad, 0)


@pytest.mark.parametrize("rows", [1, 437, 900, 1009])
def test_mapping_rows_in_blocks_changes_nothing(rows, monkeypatch):
    x = jnp.asarray(_signal(rows, 300))

    def magnitude(x):
        return stft_magnitude(x, n_fft=32).mean(axis=-2)

    def total(x):
        out = map_rows(magnitude, x)
        return jnp.sum(out**2), out

    def run():
        return jax.jit(jax.value_and_grad(lambda x: total(x), has_aux=True))(x)

    (_, blocks), grad = run()
    monkeypatch.setattr(stft, "_BLOCK_VALUES", 2**40)
    (_, whole), expected = run()
    np.testing.assert_allclose(blocks, whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(grad, expected, rtol=1e-4, atol=1e-4)


def test_mapping_keeps_leading_axes():
    x = jnp.asarray(_signal(4, 180, 3, 300))
    out = map_rows(lambda x: stft_magnitude(x, n_fft=32).mean(axis=-2), x)
    assert out.shape == (4, 180, 3, 17)
    alone = stft_magnitude(x[3, 179, 2], n_fft=32).mean(axis=-2)
    np.testing.assert_allclose(out[3, 179, 2], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_fft", [0, 1, 15, -2])
def test_only_even_lengths_are_taken(n_fft):
    with pytest.raises(ValueError, match="even number of samples"):
        stft_magnitude(jnp.zeros(300), n_fft=n_fft)


def test_a_mirror_must_be_shorter_than_the_signal():
    with pytest.raises(ValueError, match="needs more than 16 samples"):
        stft_magnitude(jnp.zeros(16), n_fft=32, pad="reflect")
