import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.models.harnet import HarNetConfig
from sigjax.models.heads import Head, HeadConfig
from sigjax.models.mae import Mae, MaeConfig
from sigjax.models.window_classifier import WindowClassifier, WindowClassifierConfig

PATCH, CHANNELS, CLASSES = 10, 3, 4
MAE = MaeConfig(patch_size=30, width=8, depth=2, num_heads=2, mlp_dim=16)
HARNET = HarNetConfig(
    samples=PATCH, widths=(4, 6), blocks=(1, 0), factors=(5, 2), orders=(1, 0)
)
HEADS = {
    "linear": HeadConfig(kind="linear", classes=CLASSES),
    "mlp": HeadConfig(kind="mlp", classes=CLASSES, hidden=5),
    "lstm": HeadConfig(kind="lstm", classes=CLASSES, hidden=5),
    "both ways": HeadConfig(kind="lstm", classes=CLASSES, hidden=5, bidirectional=True),
}


@functools.cache
def classifier(head, encoder="mae", pool=1):
    config = WindowClassifierConfig(
        patch_samples=PATCH,
        channels=CHANNELS,
        pool=pool,
        head=HEADS[head],
        mae=MAE if encoder == "mae" else None,
        harnet=HARNET if encoder == "harnet" else None,
    )
    model = WindowClassifier(config)
    x = jax.random.normal(jax.random.key(1), (2, 60, CHANNELS))
    return model, jax.jit(model.init)(jax.random.key(0), x), x


@pytest.mark.parametrize(
    ("head", "encoder"),
    [("linear", "mae"), ("both ways", "mae"), ("mlp", "harnet"), ("lstm", "harnet")],
)
def test_padding_changes_no_score_of_what_is_real(head, encoder):
    model, variables, x = classifier(head, encoder)
    apply = jax.jit(model.apply)
    alone = apply(variables, x[:, :40])
    rubbish = jnp.concatenate([x[:, :40], jnp.full((2, 20, CHANNELS), 7.0)], axis=1)
    padded = apply(variables, rubbish, jnp.array([4, 4]))
    assert padded.shape == (2, 6, CLASSES)
    np.testing.assert_allclose(padded[:, :4], alone, atol=1e-5)


def test_gradients_do_not_see_padding_either():
    model, variables, x = classifier("both ways")

    def loss(x):
        return model.apply(variables, x, jnp.array([4, 6]))[:, :4].sum()

    gradient = jax.jit(jax.grad(loss))(x)
    assert np.abs(gradient[0, :40]).max() > 0
    assert np.abs(gradient[0, 40:]).max() == 0
    assert np.abs(gradient[1, 40:]).max() > 0  # of the other window it is real


@pytest.mark.parametrize(
    ("head", "encoder", "expected"),
    [("mlp", "harnet", False), ("lstm", "harnet", True), ("linear", "mae", True)],
)
def test_which_scores_depend_on_other_patches(head, encoder, expected):
    model, variables, x = classifier(head, encoder)
    apply = jax.jit(model.apply)
    other = x.at[:, :PATCH].add(1.0)
    moved = np.abs(apply(variables, other) - apply(variables, x)).max(axis=(0, 2))
    assert moved[0] > 0
    assert (moved[-1] > 0) is np.bool_(expected)
    if head != "lstm":
        assert model.config.context is expected


@pytest.mark.survival
def test_an_lstm_reads_forwards_unless_told():
    tokens = jax.random.normal(jax.random.key(0), (1, 5, 3))
    for name, later in (("lstm", False), ("both ways", True)):
        head = Head(HEADS[name])
        variables = jax.jit(head.init)(jax.random.key(1), tokens)
        gradient = jax.jit(
            jax.grad(lambda t, h=head, v=variables: h.apply(v, t)[0, 0].sum())
        )(tokens)
        assert (np.abs(gradient[0, 1:]).max() > 0) is np.bool_(later)


def test_two_patches_of_a_label_are_averaged():
    model, variables, x = classifier("linear", pool=2)
    each, _, _ = classifier("linear", pool=1)
    whole, parts = (
        jax.jit(functools.partial(m.apply, method=WindowClassifier.encode))(
            variables, x
        )
        for m in (model, each)
    )
    np.testing.assert_allclose(
        whole, parts.reshape(2, 3, 2, -1).mean(axis=2), atol=1e-6
    )


def test_the_encoder_is_what_pretraining_trained():
    model, variables, x = classifier("linear")
    patches = jnp.zeros((1, 6, 30))
    trained = jax.eval_shape(Mae(MAE).init, jax.random.key(5), patches)["params"]
    own = variables["params"]["encoder"]
    assert set(own) == set(trained) - {"head"}
    assert jax.tree.map(jnp.shape, own) == jax.tree.map(
        jnp.shape, {k: trained[k] for k in own}
    )


def test_the_papers_classifier_has_as_many_parameters_as_counted_by_hand():
    model = WindowClassifier(
        WindowClassifierConfig(
            patch_samples=300,
            channels=3,
            pool=1,
            head=HeadConfig(kind="lstm", classes=6, hidden=512),
            mae=MaeConfig(
                patch_size=900, width=256, depth=12, num_heads=4, mlp_dim=680
            ),
        )
    )
    variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 300, 3)))
    sizes = {
        name: sum(leaf.size for leaf in jax.tree.leaves(tree))
        for name, tree in variables["params"].items()
    }
    # All of the pre-trained model but its reconstruction head.
    assert sizes["encoder"] == 9_881_220 - (256 * 900 + 900)
    first = 4 * (256 * 512 + 512 * 512 + 512)
    second = 4 * (512 * 512 + 512 * 512 + 512)
    assert sizes["head"] == first + second + 512 * 6 + 6


def test_standardised_tokens_have_mean_0_and_deviation_1_before_the_head():
    config = dataclasses.replace(HEADS["linear"], standardise=True)
    head, tokens = Head(config), 3 + 5 * jax.random.normal(jax.random.key(0), (9, 7, 2))
    variables = head.init(jax.random.key(1), tokens)
    statistics = {"mean": tokens.mean((0, 1)), "scale": tokens.std((0, 1))}
    out = head.apply({**variables, "statistics": statistics}, tokens)
    np.testing.assert_allclose(out.mean((0, 1)), 0.0, atol=1e-5)
    raw = head.apply(variables, (tokens - statistics["mean"]) / statistics["scale"])
    np.testing.assert_allclose(out, raw, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"harnet": HARNET}, "exactly one encoder"),
        ({"mae": None}, "exactly one encoder"),
        ({"patch_samples": 11}, "patches of 30 values.*are 33"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, message):
    config = classifier("linear")[0].config
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(config, **change)


def test_dropout_acts_in_training_alone():
    head = Head(dataclasses.replace(HEADS["mlp"], dropout=0.5))
    tokens = jnp.ones((1, 4, 3))
    variables = head.init(jax.random.key(0), tokens)
    still = head.apply(variables, tokens)
    np.testing.assert_array_equal(still, head.apply(variables, tokens))
    rngs = {"dropout": jax.random.key(2)}
    assert np.abs(head.apply(variables, tokens, None, True, rngs=rngs) - still).max()
