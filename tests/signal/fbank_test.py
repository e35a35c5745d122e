"""Filter banks against the definition, written out in NumPy with float64."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.signal import fbank as module
from sigjax.signal.fbank import (
    FLOOR,
    PRESETS,
    STATISTICS,
    FbankConfig,
    fbank,
    fit_frames,
    frame_count,
    mel_filters,
    normalise,
    valid_frames,
)

AST = PRESETS["ast"]
_fbank = jax.jit(fbank, static_argnums=1, static_argnames="rate_hz")


def by_the_book(x: np.ndarray, c: FbankConfig) -> np.ndarray:
    """Kaldi's definition, frame by frame and band by band."""
    size = math.floor(c.rate_hz * c.frame_ms / 1000 + 1e-9)
    shift = math.floor(c.rate_hz * c.shift_ms / 1000 + 1e-9)
    n_fft = 2 ** math.ceil(math.log2(size))
    high_hz = c.f_max_hz or c.rate_hz / 2
    low, high = (1127 * math.log(1 + hz / 700) for hz in (c.f_min_hz, high_hz))
    step = (high - low) / (c.n_mels + 1)
    turn = np.cos(2 * np.pi * np.arange(size) / (size - 1))
    window = np.maximum(0.5 - 0.5 * turn, 0)
    if c.window == "povey":
        window = window**0.85
    x = x.astype(np.float64)
    if c.remove_mean:
        x = x - x.mean()
    rows = []
    for start in range(0, len(x) - size + 1, shift):
        frame = x[start : start + size].copy()
        if c.remove_frame_mean:
            frame -= frame.mean()
        before = np.concatenate([frame[:1], frame[:-1]])
        frame = (frame - c.preemphasis * before) * window
        power = np.abs(np.fft.rfft(np.pad(frame, (0, n_fft - size)))) ** 2
        row = []
        for band in range(c.n_mels):
            left, centre, right = (low + (band + i) * step for i in range(3))
            total = 0.0
            for k in range(n_fft // 2):
                mel = 1127 * math.log(1 + k * c.rate_hz / n_fft / 700)
                if left < mel < right:
                    rising = (mel - left) / (centre - left)
                    total += min(rising, (right - mel) / (right - centre)) * power[k]
            row.append(math.log(max(total, 1.1920928955078125e-07)))
        rows.append(row)
    return np.array(rows)


def sounds(samples: int, rate_hz: float) -> np.ndarray:
    """Noise, a full-scale tone over a quiet one, and a step: `[3, s]`."""
    random = np.random.default_rng(0)
    time_s = np.arange(samples) / rate_hz
    tones = 0.9 * np.sin(2 * np.pi * 440 * time_s)
    tones += 3e-5 * np.sin(2 * np.pi * 5200 * time_s)
    step = 0.5 + 1e-4 * random.normal(size=samples)
    step[samples // 2 :] = 0.0
    return np.stack([0.1 * random.normal(size=samples), tones, step]).astype("f4")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_the_definition(name):
    config = PRESETS[name]
    x = sounds(4000, config.rate_hz)
    got = _fbank(x, config)
    assert got.dtype == jnp.float32
    for row, wave in zip(got, x, strict=True):
        np.testing.assert_allclose(row, by_the_book(wave, config), atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"window": "povey", "n_mels": 23, "f_max_hz": 7000.0},
        {"remove_frame_mean": False, "n_mels": 23},
        {"remove_frame_mean": False, "remove_mean": False, "preemphasis": 0.0},
        {"rate_hz": 11025.0, "frame_ms": 20.0, "shift_ms": 7.0, "n_mels": 40},
        {"shift_ms": 30.0},
    ],
)
def test_other_settings_are_the_definition(changes):
    config = FbankConfig(**changes)
    x = sounds(1500, config.rate_hz)[2]
    np.testing.assert_allclose(_fbank(x, config), by_the_book(x, config), atol=1e-5)


def test_float32_errs_by_no_more_than_its_rounding():
    # A sum of n float32 errs by up to log2(n) roundings of its terms' norm when it is
    # taken in pairs, as an FFT does: what a bin may err by, on any processor.
    config = dataclasses.replace(AST, precision="float32")
    x = sounds(4000, 16000)
    got, exact = (np.exp(np.asarray(_fbank(x, c), "f8")) for c in (config, AST))
    starts = np.arange(got.shape[1]) * AST.shift_samples
    frames = x[:, starts[:, None] + np.arange(AST.frame_samples)].astype("f8")
    norm = np.linalg.norm(frames, axis=-1, keepdims=True)
    a_bin = np.log2(AST.n_fft) * np.finfo("f4").eps / 2 * norm
    weight = np.asarray(mel_filters(AST), "f8").sum(axis=0)
    # By Cauchy and Schwarz: sum w (2 |X| d + d^2) of a band sum w |X|^2.
    bound = 2 * a_bin * np.sqrt(weight * exact) + a_bin**2 * weight
    # The sum of the band and its logarithm are float32, too.
    bound += 2e-6 * exact
    assert (np.abs(got - exact) <= bound).all()
    # And that is little where nothing else is much louder.
    assert np.median(bound[0] / exact[0]) < 1e-4


def test_silence_is_the_floor_and_has_no_gradient():
    quiet = jnp.zeros((2, 1000))
    got = _fbank(quiet, AST)
    np.testing.assert_allclose(got, math.log(FLOOR), rtol=1e-6)
    assert round(float(got[0, 0, 0]), 2) == -15.94
    gradient = jax.jit(jax.grad(lambda x: fbank(x, AST).sum()))(quiet)
    np.testing.assert_array_equal(gradient, 0)


def test_one_of_the_128_bands_is_empty_at_16_khz():
    empty = np.flatnonzero(mel_filters(AST).max(axis=0) == 0)
    assert len(empty) == 1
    got = np.asarray(_fbank(sounds(4000, 16000)[0], AST))
    np.testing.assert_allclose(got[:, empty], math.log(FLOOR), rtol=1e-6)
    assert np.delete(got, empty, axis=1).min() > -15


def test_gradients_are_those_of_finite_differences():
    x = sounds(1000, 16000)[0]
    along = np.random.default_rng(1).normal(size=x.shape).astype("f4")

    def total(x):
        return jnp.sin(fbank(x, AST)).sum()

    slope = float(jax.jit(jax.grad(total))(jnp.asarray(x)) @ along)
    book = [np.sin(by_the_book(x + e * along, AST)).sum() for e in (1e-4, -1e-4)]
    assert slope == pytest.approx((book[0] - book[1]) / 2e-4, rel=1e-2)


def test_rows_and_maps_change_nothing():
    x = sounds(2000, 16000)
    whole = _fbank(x, AST)
    single = _fbank(x[1], AST)
    mapped = jax.jit(jax.vmap(functools.partial(fbank, config=AST)))(x)
    np.testing.assert_allclose(whole[1], single, atol=1e-6)
    np.testing.assert_allclose(whole, mapped, atol=1e-6)


def test_a_clip_s_mean_does_not_matter_where_frames_lose_theirs():
    x = sounds(1000, 16000)[0]
    got = (_fbank(x + y, AST) for y in (0.0, 0.25))
    np.testing.assert_allclose(*got, atol=1e-4)


def test_ten_seconds_have_the_frames_of_the_papers():
    assert frame_count(160_000, AST) == 998
    assert frame_count(441_000, PRESETS["datar43k"]) == 1024
    assert frame_count(430_000, PRESETS["datar43k"]) == 998
    assert frame_count(400, AST) == 1


def test_valid_frames_hold_no_padding():
    samples = np.array([0, 399, 400, 559, 560, 1000], np.int32)
    got = valid_frames(samples, AST)
    np.testing.assert_array_equal(got, [0, 0, 1, 1, 2, 4])
    x = np.zeros((len(samples), 1000), "f4")
    for row, count in zip(x, samples, strict=True):
        row[:count] = 0.1
        row[:count:2] = -0.1
    filled = fit_frames(_fbank(x, AST), 6, got)
    assert filled.shape == (6, 6, 128)
    for row, frames, count in zip(filled, got, samples, strict=True):
        np.testing.assert_array_equal(row[frames:], 0)
        if frames:
            alone = _fbank(0.1 * (-1.0) ** (1 + np.arange(count)).astype("f4"), AST)
            np.testing.assert_allclose(row[:frames], alone, atol=1e-4)


def test_frames_are_cut_or_padded_with_zeros_and_then_normalised():
    x = jnp.full((2, 5, 3), -15.94)
    np.testing.assert_array_equal(fit_frames(x, 4), x[:, :4])
    filled = fit_frames(x, 7)
    assert filled.shape == (2, 7, 3)
    audioset = normalise(filled, *STATISTICS["audioset"])
    assert round(float(audioset[0, 6, 0]), 3) == 0.467
    assert round(float(audioset[0, 0, 0]), 2) == -1.28
    with pytest.raises(ValueError, match="positive number of frames"):
        fit_frames(x, 0)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"399 samples is shorter than a frame of 400"):
        fbank(jnp.zeros(399), AST)
    with pytest.raises(TypeError, match="divide int16 by 32768"):
        getattr(fbank, "__wrapped__", fbank)(jnp.zeros(1000, jnp.int16), AST)
    with pytest.raises(ValueError, match="at 16000 Hz, not 22050"):
        fbank(jnp.zeros(1000), AST, rate_hz=22050)
    with pytest.raises(ValueError, match="at 44100 Hz, not 43000"):
        fbank(jnp.zeros(2000), PRESETS["datar43k"], rate_hz=43000)
    fbank(jnp.zeros(2000), PRESETS["datar43k"], rate_hz=44100)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate_hz": 50.0}, "too few"),
        ({"shift_ms": 0.01}, "too few"),
        ({"f_max_hz": 8001.0}, "at most half the rate, 8000 Hz"),
        ({"f_min_hz": 9000.0}, "must rise"),
        ({"preemphasis": 1.5}, "out of range"),
    ],
)
def test_settings_without_meaning_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        FbankConfig(**changes)


def test_long_recordings_are_cut_into_stretches(monkeypatch):
    x = sounds(6000, 16000)
    expected = _fbank(x, AST)
    monkeypatch.setattr(module.framing, "_STRETCH_VALUES", 7 * 400)
    again = jax.jit(lambda x: fbank(x, AST))(x)
    np.testing.assert_allclose(again, expected, atol=1e-6)
