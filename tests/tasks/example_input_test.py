import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.signal.mel import MelConfig, log_mel
from sigjax.tasks.example_input import ExampleInputConfig, example_input

MEL = MelConfig(rate_hz=1000, n_fft=64, hop=32, n_mels=8)


def test_values_are_scaled_and_take_the_models_shape():
    raw = np.arange(2 * 16, dtype=np.uint8).reshape(2, 4, 4) * 8
    config = ExampleInputConfig(scale=1 / 255, offset=-0.5)
    for shape in ((4, 4, 1), (16,)):
        found = example_input(jnp.asarray(raw), config, shape)
        assert found.shape == (2, *shape) and found.dtype == jnp.float32
        expected = (raw / 255 - 0.5).reshape(2, *shape)
        np.testing.assert_allclose(found, expected, atol=1e-6)
    flat = jnp.asarray(raw.reshape(2, 16))
    np.testing.assert_array_equal(
        example_input(flat, config, (4, 4, 1)).ravel(), found.ravel()
    )


def test_a_log_mel_lies_between_0_and_1_below_the_clips_peak():
    rng = np.random.default_rng(0)
    loud = rng.normal(0, 3000, (3, 320)) * np.array([[1.0], [0.01], [1.0]])
    loud[2, 160:] = 0
    wave = jnp.asarray(loud, jnp.int16)
    config = ExampleInputConfig(kind="log_mel", mel=MEL, top_db=60.0)
    found = np.asarray(example_input(wave, config, (11, 8, 1)))
    db = np.asarray(log_mel(wave.astype(jnp.float32) / 32768, MEL))
    peak = db.max(axis=(1, 2), keepdims=True)
    expected = np.clip(1 - (peak - db) / 60, 0, 1)
    np.testing.assert_allclose(found[..., 0], expected, atol=1e-5)
    assert (found.max(axis=(1, 2, 3)) == 1).all() and found[2].min() == 0
    assert 0 < found[0].min() < 0.9
    flat = example_input(wave, config, (88,))
    np.testing.assert_array_equal(flat, found.reshape(3, 88))
    np.testing.assert_array_equal(
        example_input(jnp.zeros((1, 320), jnp.int16), config, (11, 8, 1)), 1.0
    )


def test_axes_are_not_exchanged():
    values, mel = ExampleInputConfig(), ExampleInputConfig(kind="log_mel", mel=MEL)
    with pytest.raises(ValueError, match=r"\(4, 3\), 12 values.*takes \(3, 4\)"):
        example_input(jnp.zeros((2, 4, 3)), values, (3, 4))
    with pytest.raises(ValueError, match=r"log-mel of 320 samples has shape \(11, 8"):
        example_input(jnp.zeros((2, 320), jnp.int16), mel, (8, 11, 1))
    with pytest.raises(ValueError, match="12 values"):
        example_input(jnp.zeros((2, 12)), values, (13,))
    with pytest.raises(ValueError, match=r"takes waves \[b, s\]"):
        example_input(jnp.zeros((2, 320, 1)), mel, (11, 8, 1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "log_mel"}, "needs it"),
        ({"mel": MEL}, "belongs to"),
        ({"kind": "log_mel", "mel": MEL, "scale": 2.0}, "kind='values' alone"),
        ({"scale": 0.0}, "must not be 0"),
        ({"top_db": 0.0}, "must be positive"),
    ],
)
def test_settings_that_do_not_belong_together_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        ExampleInputConfig(**wrong)
