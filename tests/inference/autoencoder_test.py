"""Autoencoders out of bundles: units, shapes, windows, and what is refused."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sigjax
from sigjax import export
from sigjax.inference.autoencoder import AutoencoderModel, overlap_add
from sigjax.inference.base import BundleError, SignalConfig
from sigjax.models.autoencoder import AutoencoderConfig
from sigjax.models.gan import AdversarialAutoencoderConfig
from sigjax.nn.stack import Layer
from sigjax.signal.corruption import CorruptionConfig
from sigjax.signal.mel import MelConfig
from sigjax.tasks.adversarial import AdversarialAutoencodingConfig
from sigjax.tasks.example_input import ExampleInputConfig
from sigjax.tasks.reconstruction import Reconstruction
from sigjax.tasks.reconstruction_config import ReconstructionConfig


def linear(values, code=None, **changes):
    given = {
        "input_shape": (values,),
        "encoder": (Layer(kind="dense", width=code or values),),
        "decoder": (Layer(kind="dense", width=values),),
    }
    return AutoencoderConfig(**{**given, **changes})


def info_of(model, task, *, shape, rate_hz=0.0, units="", kind="reconstruction"):
    return {
        "model_config": dataclasses.asdict(model),
        "signal": dataclasses.asdict(
            SignalConfig(
                rate_hz=rate_hz, channels=1, units=units, window_s=0.0, patch_s=0.0
            )
        ),
        "labels": None,
        "extra": {
            "task_kind": kind,
            "task": dataclasses.asdict(task),
            "examples": {"source": "arrays", "shape": list(shape)},
        },
    }


def identity(values=8, *, task=None, shape=None, rate_hz=10.0):
    """An autoencoder that gives back what it is given."""
    eye = {"kernel": jnp.eye(values), "bias": jnp.zeros(values)}
    params = {"encoder": {"layer0": eye}, "decoder": {"layer0": eye}}
    task = task or ReconstructionConfig()
    info = info_of(linear(values), task, shape=shape or (values,), rate_hz=rate_hz)
    return AutoencoderModel(params, info)


SCALED = ReconstructionConfig(
    input=ExampleInputConfig(scale=0.5, offset=-1.0),
    noise=CorruptionConfig(kind="gaussian", sd=0.1),
)


def test_examples_go_in_raw_and_denoised_ones_come_out_raw():
    model = identity(6, task=SCALED, shape=(3, 2))
    x = np.random.default_rng(0).integers(0, 256, (5, 3, 2)).astype(np.uint8)
    taken = x.reshape(5, 6) * 0.5 - 1
    np.testing.assert_allclose(model.apply(x), taken, atol=1e-5)
    np.testing.assert_allclose(model.encode(x), taken, atol=1e-5)
    np.testing.assert_allclose(model.decode(taken), taken, atol=1e-5)
    np.testing.assert_allclose(model.as_taken(x), taken, atol=1e-5)
    np.testing.assert_allclose(model.denoise(x), x, atol=1e-4)
    np.testing.assert_allclose(model.score(x), np.zeros(5), atol=1e-9)
    assert model.denoises and not identity().denoises
    assert "[batch, 3, 2] at 10 Hz -> [batch, 6]" in repr(model)


@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.9])
def test_a_signal_of_any_length_is_put_together_without_seams(overlap):
    x = np.random.default_rng(0).normal(size=37).astype(np.float32)
    found = identity(8).denoise_signal(x, overlap=overlap, batch_size=3)
    np.testing.assert_allclose(found, x, atol=1e-5)


def test_windows_that_overlap_are_weighted_by_their_middles():
    parts = np.stack([np.zeros((4, 1)), np.ones((4, 1))])
    found = overlap_add(parts, np.array([0, 2]), 6)[:, 0]
    ramp = np.sin(np.pi * (np.arange(4) + 0.5) / 4) ** 2
    np.testing.assert_allclose(found[:2], 0)
    np.testing.assert_allclose(found[4:], 1)
    np.testing.assert_allclose(found[2:4], ramp[:2] / (ramp[:2] + ramp[2:]), rtol=1e-6)


def test_many_examples_are_done_in_batches_of_one_size():
    model = identity(4)
    x = np.arange(28, dtype=np.float32).reshape(7, 4)
    seen = []

    def encode(some):
        seen.append(len(some))
        return model.encode(some)

    np.testing.assert_allclose(model.in_batches(encode, x, batch_size=3), x)
    assert seen == [3, 3, 3]


def test_what_is_unlike_the_training_examples_scores_higher():
    model = linear(3, 1)
    kernel = jnp.array([[1.0], [0.0], [0.0]])
    bias = {"bias": jnp.zeros(1)}
    params = {
        "encoder": {"layer0": {"kernel": kernel, **bias}},
        "decoder": {"layer0": {"kernel": kernel.T, "bias": jnp.zeros(3)}},
    }
    info = info_of(model, ReconstructionConfig(), shape=(3,))
    found = AutoencoderModel(params, info).score(np.array([[5, 0, 0], [5, 0, 3.0]]))
    np.testing.assert_allclose(found, [0.0, 3.0], atol=1e-6)


def gaussian():
    config = dataclasses.replace(linear(4, 4), code="gaussian")
    task = ReconstructionConfig(likelihood="bernoulli")
    variables = Reconstruction(config, task).init(jax.random.key(0), {})
    return AutoencoderModel(variables["params"], info_of(config, task, shape=(4,)))


def test_samples_of_a_gaussian_code_are_probabilities_that_the_seed_decides():
    model = gaussian()
    found = np.asarray(model.sample(6, seed=1))
    assert found.shape == (6, 4) and (found > 0).all() and (found < 1).all()
    np.testing.assert_array_equal(found, model.sample(6, seed=1))
    assert not np.array_equal(found, model.sample(6, seed=2))
    z = jax.random.normal(jax.random.key(1), (6, 2))
    np.testing.assert_allclose(found, model.decode(z))


def test_an_adversarial_autoencoder_scores_by_its_reconstruction():
    dense = (Layer(kind="dense", width=2),)
    model = AdversarialAutoencoderConfig(
        input_shape=(2,),
        encoder=dense,
        decoder=dense,
        critic=(Layer(kind="dense", width=1),),
    )
    eye = {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}
    twice = {"kernel": 2 * jnp.eye(2), "bias": jnp.zeros(2)}
    critic = {"kernel": jnp.ones((2, 1)), "bias": jnp.zeros(1)}
    params = {
        "encoder": {"layer0": eye},
        "decoder": {"layer0": twice},
        "critic": {"layer0": critic},
    }
    task = AdversarialAutoencodingConfig()
    info = info_of(model, task, shape=(2,), kind="adversarial")
    found = AutoencoderModel(params, info)
    np.testing.assert_allclose(found.score(np.array([[1.0, 3.0]])), [5.0], rtol=1e-6)
    assert found.sample(3).shape == (3, 2)


def test_what_does_not_fit_is_refused():
    model = identity(8)
    with pytest.raises(BundleError, match=r"expected \[batch, 8\], got \(2, 7\)"):
        model.apply(np.zeros((2, 7)))
    with pytest.raises(BundleError, match=r"codes \[batch, 8\], got \(1, 3\)"):
        model.decode(np.zeros((1, 3)))
    with pytest.raises(BundleError, match="at least 8 samples, got"):
        model.denoise_signal(np.zeros(5))
    with pytest.raises(BundleError, match="a plain code has no distribution"):
        model.sample(2)
    with pytest.raises(BundleError, match="whole examples, no windows"):
        identity(8, rate_hz=0.0).denoise_signal(np.zeros(20))
    info = info_of(linear(8), ReconstructionConfig(), shape=(8,), kind="gan")
    with pytest.raises(BundleError, match="task_kind 'gan' is none of"):
        AutoencoderModel({}, info)


def test_a_log_mel_cannot_be_made_sound_again():
    mel = MelConfig(rate_hz=8000, n_fft=64, hop=32, n_mels=4)
    own = ReconstructionConfig(input=ExampleInputConfig(kind="log_mel", mel=mel))
    eye = {"kernel": jnp.eye(20), "bias": jnp.zeros(20)}
    params = {"encoder": {"layer0": eye}, "decoder": {"layer0": eye}}
    info = info_of(linear(20), own, shape=(128,), rate_hz=8000.0, units="full scale")
    model = AutoencoderModel(params, info)
    x = np.random.default_rng(0).integers(-3000, 3000, (2, 128)).astype(np.int16)
    assert model.apply(x).shape == (2, 20)
    with pytest.raises(BundleError, match="apply gives the denoised log-mel"):
        model.denoise(x)


def test_a_decoder_that_unpools_does_not_decode_codes():
    config = AutoencoderConfig(
        input_shape=(4, 1),
        encoder=(Layer(kind="conv", width=1, taps=1), Layer(kind="max_pool", taps=2)),
        tied=True,
    )
    task = ReconstructionConfig()
    variables = Reconstruction(config, task).init(jax.random.key(0), {})
    model = AutoencoderModel(variables["params"], info_of(config, task, shape=(4, 1)))
    assert model.apply(np.ones((1, 4, 1))).shape == (1, 4, 1)
    with pytest.raises(BundleError, match="codes alone do not say where"):
        model.decode(np.ones((1, *config.code_shape)))


def test_a_bundle_is_read_as_it_was_written(tmp_path):
    model = identity(5, task=SCALED)
    info = model.info
    export.save(
        tmp_path,
        model="autoencoder",
        params=model.params,
        model_config=model.config,
        signal=model.signal,
        preprocessing={},
        source_run={},
        labels=("a", "b"),
        extra=info["extra"],
    )
    found = sigjax.load(tmp_path)
    assert isinstance(found, AutoencoderModel) and found.labels == ("a", "b")
    x = np.random.default_rng(0).normal(size=(3, 5))
    np.testing.assert_array_equal(found.apply(x), model.apply(x))
    assert found.task.config == SCALED
