"""The losses against a float64 computation that shares no code with them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.losses import spectral
from sigjax.losses.spectral import SpectralLossConfig


def _spectrum(x, n_fft, pad="constant", detrend=False):
    """Float64 magnitudes `[rows, t, f]`: explicit padding, framing, np.fft.rfft."""
    x = np.asarray(x, np.float64)
    if detrend:
        x = x - x.mean(axis=-1, keepdims=True)
    hop = n_fft // 2
    padded = np.pad(x, ((0, 0), (hop, hop)), mode=pad)
    starts = range(0, padded.shape[-1] - n_fft + 1, hop)
    frames = np.stack([padded[:, s : s + n_fft] for s in starts], axis=1)
    time = np.arange(n_fft)
    return np.abs(np.fft.rfft(frames * np.sin(np.pi * time / n_fft) ** 2))


def _lmm(x, y, eps=1e-2, **kwargs):
    logs = [
        np.log(np.maximum(_spectrum(s, **kwargs).mean(axis=1), eps)) for s in (x, y)
    ]
    return ((logs[0] - logs[1]) ** 2).mean(axis=-1)


def _lmv(x, y, eps=1e-2, **kwargs):
    logs = [np.log(np.maximum(_spectrum(s, **kwargs).var(axis=1), eps)) for s in (x, y)]
    return ((logs[0] - logs[1]) ** 2).mean(axis=-1)


def _mse(x, y, **_):
    return ((x - y) ** 2).mean(axis=-1)


REFERENCE = {"lmm": _lmm, "lmv": _lmv, "mse": _mse}


def _pair(rows=3, samples=300):
    rng = np.random.default_rng(1)
    gravity = rng.normal(size=(rows, 1))
    return [gravity + rng.normal(scale=s, size=(rows, samples)) for s in (0.3, 0.1)]


def _float32(*arrays):
    return [jnp.asarray(a, jnp.float32) for a in arrays]


@functools.partial(jax.jit, static_argnums=2)
def _components(target, prediction, config):
    return spectral.components(target, prediction, config, every=True)


@pytest.mark.parametrize("method", ["auto", "half_block", "rfft"])
@pytest.mark.parametrize("n_fft", [16, 30, 32, 64, 128])
def test_values_equal_a_float64_computation(n_fft, method):
    x, y = _pair()
    config = SpectralLossConfig(n_fft=n_fft, method=method)
    got = _components(*_float32(x, y), config)
    for name, reference in REFERENCE.items():
        np.testing.assert_allclose(got[name], reference(x, y, n_fft=n_fft), rtol=2e-5)


@pytest.mark.parametrize(
    "changes", [{"pad": "reflect"}, {"detrend": True}, {"eps": 1.0}, {"eps": 10.0}]
)
@pytest.mark.parametrize("name", ["lmm", "lmv"])
def test_options_equal_a_float64_computation(name, changes):
    x, y = _pair()
    config = SpectralLossConfig(**changes)
    got = getattr(spectral, name)(*_float32(x, y), config)
    expected = REFERENCE[name](x, y, n_fft=32, **changes)
    np.testing.assert_allclose(got, expected, rtol=2e-5)


@pytest.mark.parametrize("method", ["half_block", "rfft"])
@pytest.mark.parametrize("n_fft", [16, 32])
@pytest.mark.parametrize("name", ["lmm", "lmv", "mse"])
def test_gradients_equal_float64_differences(name, n_fft, method):
    x, y = _pair(rows=1, samples=40)
    config = SpectralLossConfig(n_fft=n_fft, method=method)

    def loss(prediction):
        return _components(jnp.asarray(x, jnp.float32), prediction, config)[name].sum()

    grad = jax.grad(loss)(jnp.asarray(y, jnp.float32))[0]
    step = 1e-6
    expected = []
    for i in range(y.shape[-1]):
        shift = np.zeros_like(y)
        shift[0, i] = step
        up, down = (
            REFERENCE[name](x, y + s * shift, n_fft=n_fft).sum() for s in (1, -1)
        )
        expected.append((up - down) / (2 * step))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(grad, expected, rtol=1e-3, atol=1e-4 * scale)


def test_golden_values_of_a_formula_defined_signal():
    """A tone on gravity against a tone of half its height; numbers pinned once."""
    time = np.arange(300) / 30.0
    x = 0.2 + 0.5 * np.sin(2 * np.pi * 2.0 * time)
    y = 0.2 + 0.25 * np.sin(2 * np.pi * 2.0 * time + 0.3)
    losses = spectral.components(
        *_float32(x[None], y[None]), SpectralLossConfig(), every=True
    )
    got = {name: float(value[0]) for name, value in losses.items()}
    assert got == pytest.approx(GOLDEN, rel=1e-4)


GOLDEN = {"lmm": 0.0859791, "lmv": 0.430136, "mse": 0.0368329}


def test_eps_is_a_floor_and_not_a_ceiling():
    """The paper prints `min`, which would make the loss zero wherever it matters."""
    loud, louder = _float32(*_pair())
    config = SpectralLossConfig(detrend=True)
    assert (spectral.lmm(loud, louder, config) > 0.1).all()
    quiet = loud * 1e-6
    floor = spectral.log_mean_magnitude(quiet, config)
    np.testing.assert_allclose(floor, np.log(1e-2), rtol=1e-6)
    assert (spectral.lmm(quiet, quiet * 0.1, config) == 0).all()


@pytest.mark.parametrize("kind", ["zero", "constant", "equal"])
@pytest.mark.parametrize("name", ["lmm", "lmv", "mse"])
@pytest.mark.parametrize("detrend", [False, True])
def test_gradients_are_finite_at_degenerate_predictions(kind, name, detrend):
    target = jnp.asarray(_pair()[0], jnp.float32)
    prediction = {
        "zero": jnp.zeros_like(target),
        "constant": jnp.ones_like(target),
        "equal": target,
    }[kind]
    config = SpectralLossConfig(detrend=detrend)

    def loss(target, prediction):
        return _components(target, prediction, config)[name].mean()

    for first in (target, jnp.zeros_like(target)):
        value, grad = jax.jit(jax.value_and_grad(loss, argnums=1))(first, prediction)
        assert np.isfinite(value)
        assert np.isfinite(grad).all()


def test_the_weighted_sum_takes_only_what_has_a_weight():
    x, y = _pair()
    config = SpectralLossConfig(lmm=0.5, lmv=0.0, mse=10.0)
    losses = spectral.components(*_float32(x, y), config)
    assert set(losses) == {"lmm", "mse"}
    expected = 0.5 * _lmm(x, y, n_fft=32) + 10 * _mse(x, y)
    total = spectral.weighted_sum(losses, config)
    np.testing.assert_allclose(total, expected, rtol=2e-5)
    every = spectral.components(*_float32(x, y), config, every=True)
    np.testing.assert_allclose(spectral.weighted_sum(every, config), expected, 2e-5)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"lmm": 0.0}, "not all 0"),
        ({"mse": -1.0}, ">= 0"),
        ({"n_fft": 31}, "even"),
        ({"n_fft": 0}, "even"),
        ({"eps": 0.0}, "positive"),
    ],
)
def test_meaningless_configs_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SpectralLossConfig(**changes)
