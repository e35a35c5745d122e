"""A classifier's encoder is an autoencoder's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.losses.classification import weighted_cross_entropy
from sigjax.models.autoencoder import Autoencoder, AutoencoderConfig
from sigjax.models.code_classifier import CodeClassifier, CodeClassifierConfig
from sigjax.models.mae import Mae, MaeConfig
from sigjax.nn.stack import Layer
from sigjax.signal.patches import patchify
from sigjax.tasks.code_classification import (
    CodeClassification,
    CodeClassificationConfig,
)

KEY = jax.random.key(0)
LAYERS = (
    Layer(kind="conv", width=3, taps=3, norm="batch", activation="relu"),
    Layer(kind="flatten"),
    Layer(kind="dense", width=4, dropout=0.5),
)
X = jax.random.normal(jax.random.key(1), (6, 5, 2))


def _model(code="plain"):
    return CodeClassifierConfig(
        input_shape=(5, 2), encoder=LAYERS, classes=3, code=code
    )


def _task(frozen=False):
    weight = np.array([1.0, 2.0, 0.5])
    config = CodeClassificationConfig()
    return CodeClassification(_model(), config, weight, frozen=frozen)


@pytest.mark.parametrize("code", ["plain", "gaussian"])
def test_its_code_is_the_autoencoders_with_the_same_encoder(code):
    decoder = (
        Layer(kind="dense", width=10),
        Layer(kind="reshape", shape=(5, 2)),
    )
    own = AutoencoderConfig(
        input_shape=(5, 2), encoder=LAYERS, decoder=decoder, code=code
    )
    theirs = jax.jit(Autoencoder(own).init)(KEY, X)
    model = CodeClassifier(_model(code))
    variables = jax.jit(model.init)(KEY, X)
    for name, collection in variables.items():
        given = theirs[name]["encoder"]
        assert jax.tree.structure(collection["encoder"]) == jax.tree.structure(given)
        variables[name]["encoder"] = given
    code, found, logits = jax.jit(
        lambda theirs, ours: (
            Autoencoder(own).apply(theirs, X, method="encode"),
            model.apply(ours, X, method="encode"),
            model.apply(ours, X),
        )
    )(theirs, variables)
    np.testing.assert_array_equal(found, code)
    head = variables["params"]["head"]
    expected = code @ np.asarray(head["kernel"]) + head["bias"]
    np.testing.assert_allclose(logits, expected, atol=1e-6)


MAE = MaeConfig(patch_size=4, width=8, depth=1, num_heads=2, mlp_dim=8)


def test_its_code_is_the_mean_of_a_masked_autoencoders_tokens():
    x = jax.random.normal(jax.random.key(2), (3, 6, 2))
    model = CodeClassifierConfig(input_shape=(6, 2), mae=MAE, classes=3)
    assert model.code_shape == (8,)
    theirs = jax.jit(Mae(MAE).init)(KEY, patchify(x, 2))["params"]
    variables = jax.jit(CodeClassifier(model).init)(KEY, x)
    given = {name: v for name, v in theirs.items() if name != "head"}
    own = variables["params"]["encoder"]
    assert jax.tree.structure(own) == jax.tree.structure(given)
    variables["params"]["encoder"] = given
    found, tokens = jax.jit(
        lambda variables, theirs: (
            CodeClassifier(model).apply(variables, x, method="encode"),
            Mae(MAE).apply({"params": theirs}, patchify(x, 2), method="encode"),
        )
    )(variables, theirs)
    np.testing.assert_allclose(found, np.mean(tokens, axis=1), atol=1e-6)
    assert np.std(tokens, axis=1).max() > 0.01  # tokens differ


@pytest.mark.parametrize("frozen", [False, True])
def test_a_frozen_encoder_gets_no_gradient_and_keeps_its_statistics(frozen):
    task = _task(frozen)
    batch = {"x": X, "label": jnp.array([0, 1, 2, 0, 1, -1])}
    variables = dict(jax.jit(task.init)(KEY, batch))
    params = variables.pop("params")

    def mean(params):
        out = task.loss({"params": params, **variables}, batch, KEY)
        return out.loss.mean(), (out.loss, out.model_state)

    gradient, (loss, state) = jax.jit(jax.grad(mean, has_aux=True))(params)
    pulled = {k for k, v in gradient.items() if any(map(jnp.any, jax.tree.leaves(v)))}
    assert pulled == ({"head"} if frozen else {"head", "encoder"})
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(variables), strict=True)
    assert any((a != b).any() for a, b in pairs) != frozen
    assert loss[5] == 0  # no label
    if frozen:  # no dropout either: what it is trained on is what it is used on
        logits = jax.jit(task.logits)({"params": params, **variables}, X)
        expected = weighted_cross_entropy(logits, batch["label"], task.weight)
        np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_evaluation_sums_to_figures_of_all_labels():
    task = _task()
    batch = {"x": X, "label": jnp.array([0, 1, 1, 1, 2, -1])}
    variables = jax.jit(task.init)(KEY, batch)
    found = jax.jit(task.evaluate)(variables, batch, KEY)
    figures = task.summarise({k: np.asarray(v).mean(axis=0) for k, v in found.items()})
    made = np.asarray(jax.jit(task.probabilities)(variables, X))
    hit = made.argmax(-1) == np.asarray(batch["label"])
    recalls = [hit[:1].mean(), hit[1:4].mean(), hit[4:5].mean()]
    assert figures["accuracy"] == pytest.approx(hit[:5].mean())
    assert figures["uar"] == figures["balanced_accuracy"]
    assert figures["uar"] == pytest.approx(np.mean(recalls))


def test_sizes_that_do_not_meet_are_refused():
    with pytest.raises(ValueError, match="classes must be 2 at least, got 1"):
        CodeClassifierConfig(input_shape=(5, 2), encoder=LAYERS, classes=1)
    with pytest.raises(ValueError, match="needs one encoder"):
        CodeClassifierConfig(input_shape=(5, 2), classes=2)
    with pytest.raises(ValueError, match="needs one encoder"):
        CodeClassifierConfig(input_shape=(6, 2), encoder=LAYERS, mae=MAE)
    with pytest.raises(ValueError, match=r"4 values do not divide \(5, 2\)"):
        CodeClassifierConfig(input_shape=(5, 2), mae=MAE)
    with pytest.raises(ValueError, match="no gaussian code"):
        CodeClassifierConfig(input_shape=(6, 2), mae=MAE, code="gaussian")
    with pytest.raises(ValueError, match="vector of even length"):
        CodeClassifierConfig(
            input_shape=(5, 2), encoder=LAYERS[:1], classes=2, code="gaussian"
        )
    with pytest.raises(ValueError, match="3 weights of classes for 2 classes"):
        model = CodeClassifierConfig(input_shape=(5, 2), encoder=LAYERS, classes=2)
        CodeClassification(model, CodeClassificationConfig(), np.ones(3))
    with pytest.raises(ValueError, match=r"shape \(5, 2\), got \(2, 5\)"):
        jax.eval_shape(CodeClassifier(_model()).init, KEY, X.swapaxes(1, 2))
