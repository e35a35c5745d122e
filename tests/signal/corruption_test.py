import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.signal.corruption import (
    CorruptionConfig,
    corrupt,
    example_keys,
    power,
    snr_db,
    snr_gain_db,
)

KEY = jax.random.key(0)
KINDS = {
    "gaussian": CorruptionConfig(kind="gaussian", sd=0.3),
    "values": CorruptionConfig(kind="masking", share=0.3),
    "frames": CorruptionConfig(kind="masking", share=0.3, unit="frames"),
    "white": CorruptionConfig(kind="snr", snr_db=(-5.0, 15.0)),
    "pink": CorruptionConfig(kind="snr", snr_db=6.0, noise="pink"),
}


@functools.partial(jax.jit, static_argnames="config")
def _corrupted(x, config, key=KEY):
    return corrupt(x, config, example_keys(x, key))


def _signals(rows=6, frames=40, channels=2):
    rng = np.random.default_rng(0)
    scale = 10.0 ** rng.uniform(-3, 3, (rows, 1, 1))
    x = rng.normal(0.5, 1, (rows, frames, channels)) * scale
    return jnp.asarray(x, jnp.float32)


@pytest.mark.parametrize("name", KINDS)
def test_what_happens_to_an_example_depends_on_it_and_the_key_alone(name):
    x = _signals()
    found = _corrupted(x, KINDS[name])
    order = np.array([3, 0, 5, 1, 4, 2])
    np.testing.assert_array_equal(_corrupted(x[order], KINDS[name]), found[order])
    assert (np.asarray(found != x).any(axis=(1, 2))).all()
    other = _corrupted(x, KINDS[name], jax.random.key(1))
    assert np.asarray(found != other).any(axis=(1, 2)).mean() > 0.8  # runs can agree


def test_keys_differ_where_examples_do_however_little():
    x = np.zeros((66, 4, 4), np.float32)
    for i in range(16):
        x[i].flat[i] = 1.0  # one value at another place
        x[16 + i].flat[i] = -1.0
        x[32 + i].flat[i] = 2.0
        x[48 + i].flat[i] = np.nextafter(np.float32(1), np.float32(2))
    x[64] = 1.0
    keys = np.asarray(jax.random.key_data(example_keys(jnp.asarray(x), KEY)))
    assert len(np.unique(keys, axis=0)) == 66
    same = np.asarray(jax.random.key_data(example_keys(jnp.asarray(x[::-1]), KEY)))
    np.testing.assert_array_equal(same[::-1], keys)


def test_gaussian_noise_has_its_standard_deviation():
    x = jnp.broadcast_to(_signals(1), (500, 40, 2)) + jnp.arange(500)[:, None, None]
    noise = np.asarray(_corrupted(x, KINDS["gaussian"]) - x)
    assert noise.std() == pytest.approx(0.3, rel=0.02)
    assert abs(noise.mean()) < 4 * 0.3 / np.sqrt(noise.size)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 0.4


def test_masking_hides_exactly_its_share_of_values_or_one_run_of_frames():
    x = jnp.asarray(np.random.default_rng(0).normal(5, 1, (300, 10, 3)), jnp.float32)
    values = CorruptionConfig(kind="masking", share=0.3, fill=-1.0)
    found = np.asarray(_corrupted(x, values))
    hidden = found == -1
    assert (hidden.sum(axis=(1, 2)) == 9).all()
    np.testing.assert_array_equal(found[~hidden], np.asarray(x)[~hidden])
    np.testing.assert_allclose(hidden.mean(axis=0), 0.3, atol=0.12)
    found = np.asarray(_corrupted(x, KINDS["frames"]))
    hidden = found == 0
    assert (hidden.all(axis=2) == hidden.any(axis=2)).all()
    first = hidden[:, :, 0].argmax(axis=1)
    assert set(first) == set(range(8))
    for row, begin in zip(hidden[:, :, 0], first, strict=True):
        np.testing.assert_array_equal(np.flatnonzero(row), begin + np.arange(3))
    np.testing.assert_array_equal(found[~hidden], np.asarray(x)[~hidden])


@pytest.mark.parametrize("noise", ["white", "pink", "batch"])
@pytest.mark.parametrize("centred", [False, True])
def test_every_example_has_exactly_the_ratio_that_was_set(noise, centred):
    x = _signals()
    for ratio_db in (-7.0, 20.0):
        config = CorruptionConfig(
            kind="snr", snr_db=ratio_db, noise=noise, centred=centred
        )
        found = np.asarray(_corrupted(x, config), "f8")
        clean = np.asarray(x, "f8")
        error = found - clean
        signal = clean - clean.mean(axis=1, keepdims=True) if centred else clean
        ratio = (signal**2).mean(axis=(1, 2)) / (error**2).mean(axis=(1, 2))
        np.testing.assert_allclose(10 * np.log10(ratio), ratio_db, atol=2e-3)
        np.testing.assert_allclose(
            snr_db(x, jnp.asarray(found, jnp.float32), centred), ratio_db, atol=2e-3
        )
        if centred:
            assert np.abs(error.mean(axis=1)).max(axis=1) == pytest.approx(
                0, abs=1e-5 * np.abs(error).max()
            )


def test_a_range_of_ratios_is_drawn_from_uniformly():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(800, 16)), jnp.float32)
    found = np.asarray(snr_db(x, _corrupted(x, KINDS["white"])))
    assert -5.001 < found.min() < -4 and 14 < found.max() < 15.001
    assert found.mean() == pytest.approx(5, abs=4 * 20 / np.sqrt(12 * 800))


def test_pink_noise_falls_by_3_db_an_octave_and_white_does_not():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(200, 256, 1)), jnp.float32)
    for noise, slope_db in (("pink", -3.01), ("white", 0.0)):
        config = CorruptionConfig(kind="snr", snr_db=0.0, noise=noise)
        added = np.asarray(_corrupted(x, config) - x)[:, :, 0]
        spectrum = (np.abs(np.fft.rfft(added)) ** 2).mean(axis=0)
        octaves = [spectrum[2**i : 2 ** (i + 1)].mean() for i in range(1, 7)]
        steps = np.diff(10 * np.log10(octaves))
        assert steps.mean() == pytest.approx(slope_db, abs=0.25)


def test_batch_noise_is_another_example_and_a_silent_one_is_none():
    x = _signals(3)
    config = CorruptionConfig(kind="snr", snr_db=0.0, noise="batch")
    rows = np.asarray(x).reshape(3, -1)
    for seed in range(8):
        added = np.asarray(_corrupted(x, config, jax.random.key(seed)) - x)
        both = np.concatenate([added.reshape(3, -1), rows])
        likeness = np.abs(np.corrcoef(both)[:3, 3:])
        assert (likeness.max(axis=1) > 0.999).all()
        assert (likeness.argmax(axis=1) != np.arange(3)).all()
    x = x[:2].at[1].set(0.0)
    found = _corrupted(x, config)
    assert snr_db(x, found)[0] == pytest.approx(0, abs=1e-3)  # white in its place
    np.testing.assert_array_equal(found[1], 0.0)
    with pytest.raises(ValueError, match="needs a second example"):
        corrupt(x[:1], config, KEY)


def test_the_gain_is_the_difference_of_two_ratios():
    x = _signals(3)
    worse, better = x + 0.1 * jnp.ones_like(x), x + 0.01 * jnp.ones_like(x)
    expected = snr_db(x, better) - snr_db(x, worse)
    gain = snr_gain_db(x, worse, better)
    np.testing.assert_allclose(gain, expected, atol=0.3)  # x of 1000 swallows 0.01
    assert gain.min() > 19
    np.testing.assert_array_equal(snr_gain_db(x, x, worse), 0.0)
    np.testing.assert_allclose(snr_gain_db(x, worse, x), 120.0, rtol=1e-5)


def test_power_is_about_zero_or_about_each_channels_mean():
    x = _signals()
    clean = np.asarray(x, "f8")
    np.testing.assert_allclose(power(x), (clean**2).mean(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(
        power(x, True), clean.var(axis=1).mean(axis=1), rtol=1e-4
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "gaussian"}, "sd > 0"),
        ({"kind": "masking", "share": 1.0}, "a share in"),
        ({"kind": "snr", "snr_db": (3.0, 1.0)}, "from low to high"),
    ],
)
def test_corruptions_without_meaning_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        CorruptionConfig(**wrong)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (CorruptionConfig(kind="masking", share=0.1), "masks 0 of 2 values"),
        (CorruptionConfig(kind="snr", noise="pink"), "2 frames or more"),
        (CorruptionConfig(kind="snr", centred=True), "2 frames or more"),
    ],
)
def test_examples_too_short_for_it_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        corrupt(jnp.ones((3, 1, 2)), config, KEY)
