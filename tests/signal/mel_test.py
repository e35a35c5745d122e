import dataclasses
import functools
import json
import pathlib
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile

from sigjax.signal import framing
from sigjax.signal.mel import (
    MelConfig,
    frame_count,
    log_mel,
    mel_filters,
    mel_frequencies,
)

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "mel_spectrograms.npz"
with np.load(GOLDEN) as stored:
    ARRAYS = dict(stored)
CASES = json.loads(str(ARRAYS["about"]))["cases"]
CONFIG = MelConfig(rate_hz=16000)
# A config that compiles fast, for laws that hold for all.
SMALL = MelConfig(rate_hz=16000, n_fft=256, hop=64, n_mels=20)

_log_mel = jax.jit(log_mel, static_argnames="config")


def _noise(*shape, scale=0.1):
    x = scale * np.random.default_rng(0).normal(size=shape)
    return jnp.asarray(x, jnp.float32)


def _unit(wave):
    return wave if wave.dtype == np.float32 else np.float32(wave) / np.float32(32768)


def _by_numpy(x, config):
    """The definition in float64, for power 2, zeros beyond the ends and no top_db."""
    n_fft, hop = config.n_fft, config.hop
    padded = np.pad(np.asarray(x, np.float64), n_fft // 2)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop]
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    return 10 * np.log10(np.maximum(power @ mel_filters(config), config.floor))


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_librosa(name):
    wave, options = CASES[name]
    config = MelConfig(rate_hz=16000, **options)
    x = _unit(ARRAYS[f"wave/{wave}"])
    with warnings.catch_warnings():
        # That some bands of a small FFT hold no bin is told, by librosa too.
        warnings.simplefilter("ignore", UserWarning)
        got = _log_mel(jnp.asarray(x), config=config)
    expected = ARRAYS[f"mel/{name}"]
    assert got.dtype == jnp.float32
    assert got.shape == expected.shape == (frame_count(len(x), config), config.n_mels)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3)


def test_real_sounds_are_those_of_the_definition(real_data):
    motors = sorted(real_data.glob("bldc_motor_audio/**/*.wav"))[::9]
    clips = sorted(real_data.glob("esc10/*/*.ogg"))[::57]
    assert len(motors) > 2 and len(clips) > 5
    for path in [*motors, *clips]:
        x, rate_hz = soundfile.read(path, frames=60_000, dtype="float32")
        x = x if x.ndim == 1 else x[:, 0]
        x = np.pad(x, (0, 60_000 - len(x)))
        config = MelConfig(rate_hz=rate_hz)
        got = _log_mel(jnp.asarray(x), config=config)
        # Vorbis leaves nothing above 20 kHz: some bands lie 160 dB below others.
        np.testing.assert_allclose(got, _by_numpy(x, config), rtol=0, atol=1e-3)


def test_float32_is_good_70_db_below_the_loudest_band_of_a_frame():
    tone = ARRAYS["wave/tone"]
    expected = _by_numpy(tone, CONFIG)
    config = dataclasses.replace(CONFIG, precision="float32")
    error = np.abs(_log_mel(jnp.asarray(tone), config=config) - expected)
    near = expected > expected.max(axis=1, keepdims=True) - 70
    assert error[near].max() < 1e-3
    # Why float64 is the default where it is cheap.
    assert error[~near].max() > 1


def test_frame_counts_of_all_lengths():
    x = jnp.ones(20_000, jnp.float32)
    for samples in (1, 2, 511, 512, 1023, 1024, 1025, 20_000):
        shape = jax.eval_shape(lambda x: log_mel(x, CONFIG), x[:samples]).shape
        assert shape == (frame_count(samples, CONFIG), 128) == (1 + samples // 512, 128)
    assert frame_count(160_000, CONFIG) == 313


def test_a_shift_by_a_hop_shifts_the_frames():
    x = _noise(4000)
    later = jnp.concatenate([_noise(SMALL.hop) * 2, x])
    near, far = (_log_mel(x, config=SMALL) for x in (x, later))
    # The first frames look beyond the beginning, which is no longer silent.
    np.testing.assert_allclose(far[3:], near[2:], atol=1e-4)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_gain_adds_decibels(power):
    config = dataclasses.replace(SMALL, power=power)
    quiet, loud = (_log_mel(_noise(3000, scale=s), config=config) for s in (0.01, 0.1))
    np.testing.assert_allclose(loud - quiet, 20, atol=1e-3)


@pytest.mark.parametrize(("power", "precision"), [(1.0, "float32"), (2.0, "float64")])
def test_the_gradient_is_finite_at_silence_and_right_elsewhere(power, precision):
    config = dataclasses.replace(SMALL, power=power, precision=precision)
    total = jax.jit(jax.grad(lambda x: log_mel(x, config).sum()))
    np.testing.assert_array_equal(total(jnp.zeros(1000)), 0)
    half = jnp.where(jnp.arange(1000) < 500, 0.0, _noise(1000))
    grad = total(half)
    assert np.isfinite(grad).all()
    # By Euler's theorem for a function that grows by 20 log10 of the gain.
    heard = (
        np.asarray(_log_mel(half, config=config))
        > 20 * np.log10(config.floor) / power + 1
    )
    gain_db = heard.sum() * 20 / np.log(10)
    np.testing.assert_allclose(np.vdot(grad, half), gain_db, rtol=1e-3)


def test_a_clip_is_the_same_alone_and_in_any_batch():
    config = dataclasses.replace(SMALL, top_db=20.0)
    x = _noise(2, 3, 140_000) * jnp.asarray([1.0, 0.1, 10.0])[:, None]
    function = jax.jit(functools.partial(log_mel, config=config))
    batch = function(x)
    assert batch.shape == (2, 3, frame_count(140_000, config), config.n_mels)
    np.testing.assert_allclose(function(x[1, 2]), batch[1, 2], atol=1e-4)
    mapped = jax.vmap(function, in_axes=1, out_axes=1)(x)
    np.testing.assert_allclose(mapped, batch, atol=1e-4)


@pytest.mark.parametrize(
    ("samples", "config"),
    [
        (700, SMALL),
        (220_000, MelConfig(rate_hz=8000, n_fft=500, hop=200, n_mels=30)),
    ],
)
def test_an_accelerator_gets_the_same_values_by_another_way(
    samples, config, monkeypatch
):
    x = _noise(2, samples)
    by_stretches = jax.jit(lambda x: log_mel(x, config))(x)
    np.testing.assert_allclose(by_stretches[1], _by_numpy(x[1], config), atol=1e-4)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    whole = jax.jit(lambda x: log_mel(x, config))(x)
    np.testing.assert_allclose(whole, by_stretches, atol=1e-3)


def test_cut_offs_change_without_compilation():
    traces = []

    @jax.jit
    def function(x, filters):
        traces.append(x.shape)
        return log_mel(x, SMALL, filters=filters)

    x = _noise(2000)
    moved = dataclasses.replace(SMALL, cutoff_hz=2000.0)
    expected = [_log_mel(x, config=c) for c in (SMALL, moved)]
    banks = [jnp.asarray(mel_filters(c)) for c in (SMALL, moved)]
    for bank, mel in zip(banks, expected, strict=True):
        np.testing.assert_allclose(function(x, bank), mel, atol=1e-4)
    assert len(traces) == 1
    # And from clip to clip: [b k f].
    each = jax.vmap(function)(jnp.stack([x, x]), jnp.stack(banks))
    np.testing.assert_allclose(each, expected, atol=1e-4)


def test_a_config_compiles_once_for_a_shape():
    traces = []

    def function(x, config):
        traces.append(x.shape)
        return log_mel(x, config)

    jitted = jax.jit(function, static_argnames="config")
    for scale in (1.0, 2.0):
        jitted(_noise(500, scale=scale), config=dataclasses.replace(SMALL))
    assert len(traces) == 1


def test_the_default_high_pass_moves_the_bands():
    config = dataclasses.replace(CONFIG, cutoff_hz=2000.0)
    frequency_hz = np.arange(513) * 16000 / 1024
    filters = mel_filters(config)
    assert filters[frequency_hz <= 2000].max() < 1e-12
    assert (filters.max(axis=0) > 1e-3).all()
    assert mel_frequencies(config).min() > 2000
    np.testing.assert_allclose(
        frequency_hz[filters.argmax(axis=0)], mel_frequencies(config), atol=16
    )
    # A higher f_min stands.
    config = dataclasses.replace(config, f_min_hz=3000.0)
    assert mel_frequencies(config).min() > 3000


@pytest.mark.parametrize(("cutoff_hz", "empty"), [(1000.0, 41), (2000.0, 70)])
def test_a_mask_empties_bands_and_the_clips_peak_sets_their_level(cutoff_hz, empty):
    config = dataclasses.replace(CONFIG, high_pass="mask", cutoff_hz=cutoff_hz)
    bands = ~mel_filters(config).any(axis=0)
    assert bands.sum() == empty
    x = jnp.stack([_noise(3000), _noise(3000, scale=0.001)])
    got = _log_mel(x, config=config)
    np.testing.assert_allclose(
        got[..., bands],
        np.broadcast_to(got.max((1, 2), keepdims=True) - 80, (2, 6, empty)),
        atol=1e-4,
    )


def test_a_butterworth_on_the_spectrum_is_the_filter_in_time():
    import scipy.signal

    config = dataclasses.replace(CONFIG, high_pass="butterworth", cutoff_hz=1000.0)
    x = np.asarray(_noise(80_000))
    sections = scipy.signal.butter(4, 1000, "high", fs=16000, output="sos")
    in_time = scipy.signal.sosfilt(sections, x).astype(np.float32)
    expected = np.asarray(_log_mel(jnp.asarray(in_time), config=CONFIG))
    got = np.asarray(_log_mel(jnp.asarray(x), config=config))
    passed = mel_frequencies(CONFIG) > 500
    # Frame by frame they differ by the filter's delay; on the mean they do not.
    np.testing.assert_allclose(
        (10 ** (got / 10)).mean(axis=0)[passed],
        (10 ** (expected / 10)).mean(axis=0)[passed],
        rtol=0.02,
    )


def test_half_precision_is_computed_in_float32():
    x = _noise(2000).astype(jnp.bfloat16)
    got = _log_mel(x, config=SMALL)
    assert got.dtype == jnp.float32
    same = _log_mel(x.astype(jnp.float32), config=SMALL)
    np.testing.assert_array_equal(got, same)


def test_a_nan_stays_in_its_frames():
    x = np.array(_noise(2000))
    x[1000] = np.nan
    got = _log_mel(jnp.asarray(x), config=SMALL)
    touched = np.abs(np.arange(len(got)) * 64 - 1000) < 128
    np.testing.assert_array_equal(np.isnan(got).all(axis=1), touched)
    assert np.isfinite(got[~touched]).all()


def test_counts_are_no_waveform():
    with pytest.raises(TypeError, match="divide int16 by 32768"):
        getattr(log_mel, "__wrapped__", log_mel)(jnp.zeros(2000, jnp.int16), SMALL)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"power": 3.0}, "power must be one of"),
        ({"hop": 0}, "hop must be positive"),
        ({"n_mels": 0}, "n_mels must be positive"),
        ({"rate_hz": 0}, "rate_hz must be positive"),
        ({"n_fft": 1}, "n_fft must be 2 or more"),
        ({"floor": 0.0}, "floor must be a normal float32"),
        ({"top_db": -80.0}, "top_db must be positive"),
        ({"cutoff_hz": 8000.0}, "below half the rate"),
        ({"cutoff_hz": -1.0}, "below half the rate"),
        ({"cutoff_hz": 500.0, "high_pass": "none"}, "without a high-pass"),
    ],
)
def test_values_without_meaning_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MelConfig(**({"rate_hz": 16000} | options))


@pytest.mark.parametrize("name", ["norm", "scale", "pad", "high_pass", "precision"])
def test_unknown_choices_are_refused(name):
    config = dataclasses.replace(SMALL)
    # Around the types, which are checked in the tests alone.
    object.__setattr__(config, name, "other")
    with pytest.raises(ValueError, match=f"{name} must be one of .* not 'other'"):
        config.__post_init__()


def test_bands_beyond_half_the_rate_are_refused():
    with pytest.raises(ValueError, match="at most half the rate, 4000 Hz"):
        mel_filters(MelConfig(rate_hz=8000, f_max_hz=8000.0))


def test_a_clip_without_samples_is_refused():
    with pytest.raises(ValueError, match="without samples"):
        log_mel(jnp.zeros((2, 0)), SMALL)
    mirrored = dataclasses.replace(SMALL, pad="reflect")
    with pytest.raises(ValueError, match="no mirror image"):
        log_mel(jnp.zeros((2, 1)), mirrored)


def test_filters_cannot_be_changed_in_the_cache():
    with pytest.raises(ValueError, match="read-only"):
        mel_filters(SMALL)[0, 0] = 1


def test_stretches_are_shorter_than_these_clips():
    # Otherwise the tests above would say nothing of cutting clips.
    assert framing._STRETCH_VALUES // SMALL.n_fft < frame_count(140_000, SMALL)
