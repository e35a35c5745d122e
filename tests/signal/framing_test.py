import functools

import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from sigjax.signal import framing
from sigjax.signal.framing import cut_frames, frame_count, stft_magnitude

_magnitude = jax.jit(
    stft_magnitude,
    static_argnames=("n_fft", "hop", "window", "center", "pad", "method"),
)


def _noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize(
    ("n_fft", "hop", "window", "center"),
    [
        (64, 32, "hann", True),
        (64, 64, "hamming", False),
        (100, 7, "hann", False),
        (101, 64, "rectangular", True),
        (128, 200, "hann", True),
        (128, 3, "hamming", True),
    ],
)
def test_magnitudes_are_those_of_librosa(n_fft, hop, center, window):
    x = _noise(2, 1000)
    name = {"rectangular": "boxcar"}.get(window, window)
    expected = np.abs(
        librosa.stft(
            x,
            n_fft=n_fft,
            hop_length=hop,
            window=name,
            center=center,
            pad_mode="constant",
        )
    ).swapaxes(-1, -2)
    got = _magnitude(jnp.asarray(x), n_fft=n_fft, hop=hop, window=window, center=center)
    frames = frame_count(1000, n_fft=n_fft, hop=hop, center=center)
    assert got.shape == expected.shape == (2, frames, n_fft // 2 + 1)
    np.testing.assert_allclose(got, expected, atol=1e-5 * expected.max())


def test_the_product_is_the_fft():
    x = jnp.asarray(_noise(700))
    product, fft = (
        _magnitude(x, n_fft=90, hop=40, method=method) for method in ("product", "rfft")
    )
    np.testing.assert_allclose(product, fft, atol=1e-5 * fft.max())


@pytest.mark.parametrize("samples", [2, 10, 31, 33, 400])
def test_a_mirror_is_that_of_numpy(samples):
    x = _noise(samples)
    got = framing.pad_ends(jnp.asarray(x), 65, "reflect")
    np.testing.assert_array_equal(got, np.pad(x, 32, mode="reflect"))


@pytest.mark.parametrize(
    ("length", "hop"), [(10, 3), (12, 4), (10, 10), (4, 9), (99, 2)]
)
@pytest.mark.parametrize("samples", [99, 100, 107])
def test_frames_are_cut_at_every_hop(length, hop, samples):
    x = _noise(2, samples)
    expected = np.lib.stride_tricks.sliding_window_view(x, length, axis=-1)[:, ::hop]
    got = cut_frames(jnp.asarray(x), length=length, hop=hop)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("frames", [1, 4, 5, 23])
def test_stretches_of_time_change_nothing(frames, monkeypatch):
    monkeypatch.setattr(framing, "_STRETCH_VALUES", 4 * 30)
    x = jnp.asarray(_noise(3, 30 + 11 * (frames - 1)))

    def loudness(x):
        return jnp.square(cut_frames(x, length=30, hop=11)).sum(-1, keepdims=True)

    got = framing.map_stretches(loudness, x, length=30, hop=11)
    assert got.shape == (3, frames, 1)
    np.testing.assert_allclose(got, loudness(x), rtol=1e-6)
    # Padding comes before: 2 x 15 samples are 2 frames and a piece.
    got = framing.map_stretches(loudness, x, length=30, hop=11, pad="zero")
    padded = jnp.pad(x, [(0, 0), (15, 15)])
    np.testing.assert_allclose(got, loudness(padded), rtol=1e-6)


def test_parseval_holds_in_every_frame():
    x, n_fft, hop = _noise(500), 60, 25
    power = np.asarray(_magnitude(jnp.asarray(x), n_fft=n_fft, hop=hop)) ** 2
    both_sides = power[:, 0] + power[:, -1] + 2 * power[:, 1:-1].sum(axis=-1)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(x, 30), n_fft)[::hop]
    energy = np.sum((frames * framing.window_values("hann", n_fft)) ** 2, axis=-1)
    np.testing.assert_allclose(both_sides / n_fft, energy, rtol=1e-4)


def test_a_short_window_lies_in_the_middle_of_the_frame():
    x = _noise(600)
    values = np.hanning(41)
    expected = np.abs(
        librosa.stft(
            x,
            n_fft=64,
            win_length=41,
            hop_length=16,
            window=values,
            pad_mode="constant",
        )
    ).T
    got = stft_magnitude(jnp.asarray(x), n_fft=64, hop=16, window=values)
    np.testing.assert_allclose(got, expected, atol=1e-5 * expected.max())


@pytest.mark.parametrize("method", ["product", "rfft"])
def test_the_gradient_is_finite_at_silence(method):
    def total(x):
        return stft_magnitude(x, n_fft=32, hop=10, method=method).sum()

    value, grad = jax.jit(jax.value_and_grad(total))(jnp.zeros((2, 100)))
    assert value == 0
    np.testing.assert_array_equal(grad, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (functools.partial(stft_magnitude, n_fft=0, hop=1), "must be positive"),
        (functools.partial(stft_magnitude, n_fft=8, hop=0), "must be positive"),
        (
            functools.partial(stft_magnitude, n_fft=64, hop=8, center=False),
            "50 samples are fewer than a frame of 64",
        ),
        (
            functools.partial(stft_magnitude, n_fft=8, hop=4, window=np.ones(9)),
            "does not fit n_fft 8",
        ),
    ],
)
def test_sizes_without_meaning_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros(50))


def test_unknown_names_are_refused():
    # Around the types, which are checked in the tests alone.
    window_values, pad_ends = (
        getattr(function, "__wrapped__", function)
        for function in (framing.window_values, framing.pad_ends)
    )
    with pytest.raises(ValueError, match="unknown window 'kaiser'"):
        window_values("kaiser", 8)
    with pytest.raises(ValueError, match="unknown pad 'edge'"):
        pad_ends(jnp.zeros(50), 8, "edge")
