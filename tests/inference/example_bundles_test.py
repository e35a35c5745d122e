"""Generators and classifiers of examples out of bundles: values, units, refusals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sigjax
from sigjax import export
from sigjax.inference.base import BundleError, SignalConfig
from sigjax.inference.code_classifier import CodeClassifierModel
from sigjax.inference.generator import GeneratorModel
from sigjax.models.code_classifier import CodeClassifierConfig
from sigjax.models.gan import GanConfig, PriorConfig, draw_prior
from sigjax.nn.stack import Layer
from sigjax.signal.mel import MelConfig
from sigjax.tasks.adversarial import AdversarialConfig, Generation
from sigjax.tasks.code_classification import CodeClassificationConfig
from sigjax.tasks.example_input import ExampleInputConfig
from tests.inference import tiny

SIGNAL = SignalConfig(rate_hz=0.0, channels=1, units="", window_s=0.0, patch_s=0.0)
SCALED = ExampleInputConfig(scale=0.5, offset=-1.0)
DENSE = (Layer(kind="dense", width=4),)
GAN = GanConfig(
    latent=3,
    output_shape=(2, 2, 1),
    generator=(*DENSE, Layer(kind="reshape", shape=(2, 2, 1))),
    critic=(Layer(kind="flatten"), Layer(kind="dense", width=1)),
    prior=PriorConfig(kind="uniform"),
)


def gan_of(path, task):
    """A bundle of random weights, its task and variables."""
    own = Generation(GAN, task)
    variables = tiny.random_variables(own.model, jnp.zeros((1, 3)))
    export.save(
        path,
        model="generator",
        params=variables["params"],
        model_config=GAN,
        signal=SIGNAL,
        preprocessing={},
        source_run={},
        extra={
            "task_kind": "generation",
            "task": dataclasses.asdict(task),
            "examples": {"source": "arrays", "shape": [2, 2, 1]},
        },
    )
    return sigjax.load(path), own, variables


@pytest.fixture(scope="module")
def gan(tmp_path_factory):
    task = AdversarialConfig(input=SCALED)
    return gan_of(tmp_path_factory.mktemp("gan"), task)


def test_a_generator_makes_and_judges_what_its_task_does(gan):
    model, task, variables = gan
    assert isinstance(model, GeneratorModel)
    assert "generate: [batch, 3] -> [batch, 2, 2, 1]" in repr(model)
    z = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    made = jax.jit(task.generate)(variables, z)
    np.testing.assert_array_equal(model.generate(z), made)
    raw = model.as_raw(made)
    np.testing.assert_allclose(raw, 2 * (made + 1), rtol=1e-6)
    x = np.arange(20, dtype=np.uint8).reshape(5, 2, 2, 1)
    logits = jax.jit(task.score)(variables, x)
    np.testing.assert_array_equal(model.score(x), logits)
    # The critic's dense layer on what the generator gives, by hand.
    layer = jax.tree.map(np.asarray, variables["params"]["critic"]["layer1"])
    flat = np.asarray(made).reshape(5, 4) @ layer["kernel"] + layer["bias"]
    np.testing.assert_allclose(model.score(raw), flat[:, 0], rtol=1e-4, atol=1e-5)


def test_samples_are_of_the_prior_and_the_seed_or_key_decides_them(gan):
    model, _, _ = gan
    found = model.sample(6, seed=3)
    keys = jax.random.split(jax.random.key(3), 6)
    drawn = draw_prior(GAN.prior, keys, 3)
    assert np.abs(drawn).max() <= 1
    np.testing.assert_array_equal(found, model.generate(drawn))
    np.testing.assert_array_equal(found, model.sample(6, seed=jax.random.key(3)))
    assert not np.array_equal(found, model.sample(6, seed=4))


def test_what_a_generator_does_not_take_is_refused(gan):
    model, _, _ = gan
    with pytest.raises(BundleError, match=r"latent vectors \[batch, 3\], got \(2, 4\)"):
        model.generate(np.zeros((2, 4)))
    with pytest.raises(BundleError, match=r"expected \[batch, 2, 2, 1\], got \(2, 4\)"):
        model.score(np.zeros((2, 4)))
    with pytest.raises(BundleError, match="count must be 1 at least, got 0"):
        model.sample(0)
    info = {**model.info, "extra": {"task_kind": "reconstruction"}}
    with pytest.raises(BundleError, match="'reconstruction' is none of generation"):
        GeneratorModel({}, info)


def test_log_mels_say_how_they_become_sound(tmp_path):
    mel = MelConfig(rate_hz=8000, n_fft=64, hop=32, n_mels=2)
    task = AdversarialConfig(input=ExampleInputConfig(kind="log_mel", mel=mel))
    model, _, _ = gan_of(tmp_path, task)
    with pytest.raises(BundleError, match=r"inversion\.to_sound"):
        model.as_raw(np.zeros((1, 2, 2, 1)))
    assert model.task.config.input.mel == mel


CLASSIFIER = CodeClassifierConfig(
    input_shape=(4,), encoder=(Layer(kind="dense", width=2, norm="batch"),), classes=3
)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A bundle of random weights, with running statistics, and its task."""
    path = tmp_path_factory.mktemp("classifier")
    task = CodeClassificationConfig(input=SCALED)
    own = CodeClassifierModel.kinds["code_classification"][0](CLASSIFIER, task)
    variables = tiny.random_variables(own.model, jnp.zeros((1, 4)))
    given = dict(
        model="code_classifier",
        params=variables["params"],
        state={k: v for k, v in variables.items() if k != "params"},
        model_config=CLASSIFIER,
        signal=SIGNAL,
        preprocessing={},
        source_run={},
        extra={
            "task_kind": "code_classification",
            "task": dataclasses.asdict(task),
            "examples": {"source": "arrays", "shape": [2, 2]},
        },
    )
    export.save(path, **given, labels=("low", "mid", "high"))
    with pytest.raises(BundleError, match="needs its labels"):
        export.save(path / "none", **given)
    return sigjax.load(path), own, variables


def test_a_classifier_gives_what_its_task_does(classifier):
    model, task, variables = classifier
    assert isinstance(model, CodeClassifierModel) and "batch_stats" in variables
    x = np.random.default_rng(0).integers(0, 9, (7, 2, 2)).astype(np.uint8)
    for name in ("logits", "probabilities", "codes"):
        own = jax.jit(getattr(task, name))(variables, x)
        np.testing.assert_array_equal(getattr(model, name)(x), own)
    found = model.classify(x)
    np.testing.assert_array_equal(found.probability, model.probabilities(x))
    names = [("low", "mid", "high")[n] for n in np.argmax(model.logits(x), axis=1)]
    assert found.label.tolist() == names and len(set(names)) > 1


def test_what_a_classifier_does_not_take_is_refused(classifier):
    model, _, _ = classifier
    with pytest.raises(BundleError, match=r"expected \[batch, 2, 2\], got \(3, 4\)"):
        model.classify(np.zeros((3, 4)))
    with pytest.raises(BundleError, match="whole examples, no windows"):
        model.windows_of(np.zeros((5, 2)))
    info = {**model.info, "labels": ["low", "high"]}
    with pytest.raises(BundleError, match="2 labels for 3 classes"):
        CodeClassifierModel(model.params, info)
