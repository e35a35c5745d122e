"""Greedy layer-wise training: which layers learn, from what, and which do not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.models.autoencoder import AutoencoderConfig
from sigjax.nn.stack import Layer, Stack
from sigjax.signal.corruption import CorruptionConfig
from sigjax.tasks.layerwise import blocks, others, reconstruction_task
from sigjax.tasks.reconstruction import Reconstruction
from sigjax.tasks.reconstruction_config import ReconstructionConfig
from sigjax.train.optim import OptimConfig, make_optimizer

KEY = jax.random.key(0)


def _dense(width, activation="tanh", **more):
    return Layer(kind="dense", width=width, activation=activation, **more)


DEEP = AutoencoderConfig(
    input_shape=(6,),
    encoder=(_dense(5, norm="batch"), _dense(4, dropout=0.5), _dense(3)),
    decoder=(_dense(4), _dense(5, norm="batch"), _dense(6, "identity")),
)
TIED = AutoencoderConfig(
    input_shape=(6,),
    encoder=(_dense(5, "sigmoid"), _dense(4, "relu"), _dense(3)),
    tied=True,
)
_CONV = {"kind": "conv", "taps": 3, "padding": 1}
POOLED = AutoencoderConfig(
    input_shape=(8, 2),
    encoder=(
        Layer(width=3, **_CONV),
        Layer(kind="max_pool", taps=2, stride=2),
        Layer(width=4, **_CONV),
        Layer(kind="flatten"),
        _dense(5),
    ),
    decoder=(
        _dense(16),
        Layer(kind="reshape", shape=(4, 4)),
        Layer(width=3, **_CONV),
        Layer(kind="max_unpool"),
        Layer(width=2, **_CONV),
    ),
)


def _x(model, rows=8):
    return jax.random.normal(jax.random.key(5), (rows, *model.input_shape))


def _task(model, depth, **config):
    return reconstruction_task(model, ReconstructionConfig(depth=depth, **config))


def _layers(tree):
    return {
        f"{half}/{layer}": jax.tree.leaves(value)
        for half, layers in tree.items()
        for layer, value in layers.items()
    }


@pytest.mark.parametrize(
    ("model", "depth", "own"),
    [
        (DEEP, 2, {"encoder/layer1", "decoder/layer1"}),
        (TIED, 2, {"encoder/layer1", "decoder/layer1"}),
        (POOLED, 1, {"encoder/layer0", "decoder/layer4"}),
    ],
    ids=["deep", "tied", "pooled"],
)
def test_only_a_layer_and_its_mirror_image_get_gradients(model, depth, own):
    """All others' are exactly 0, and their running statistics stay."""
    task, batch = _task(model, depth), {"x": _x(model)}
    variables = dict(jax.jit(task.init)(KEY, batch))
    params = variables.pop("params")

    def mean(params):
        out = task.loss({"params": params, **variables}, batch, KEY)
        return out.loss.mean(), out.model_state

    gradient, state = jax.jit(jax.grad(mean, has_aux=True))(params)
    pulled = {n for n, leaves in _layers(gradient).items() if any(map(jnp.any, leaves))}
    assert pulled == own
    old, new = (_layers(x.get("batch_stats", {})) for x in (variables, state))
    assert old.keys() == new.keys()
    changed = {
        name
        for name in old
        if any((a != b).any() for a, b in zip(old[name], new[name], strict=True))
    }
    assert changed == own & set(old)


def test_weight_decay_does_not_move_layers_that_do_not_learn():
    optim = OptimConfig(
        name="adamw",
        learning_rate=0.1,
        weight_decay=0.5,
        warmup_epochs=0.0,
        multipliers=((others(DEEP, 2), 0.0),),
    )
    tx = make_optimizer(optim, steps_per_epoch=2, total_steps=2).tx
    params = jax.jit(_task(DEEP, 2).init)(KEY, {})["params"]

    @jax.jit
    def updated(params):
        still = jax.tree.map(jnp.zeros_like, params)
        return tx.update(still, tx.init(params), params)[0]

    updates = updated(params)
    moved = {n for n, leaves in _layers(updates).items() if any(map(jnp.any, leaves))}
    assert moved == {"encoder/layer1", "decoder/layer1"}


def test_a_layer_reconstructs_what_the_layers_below_make_of_clean_examples():
    noise = CorruptionConfig(kind="gaussian", sd=0.5)
    task, batch = _task(DEEP, 2, noise=noise), {"x": _x(DEEP)}
    variables = jax.jit(task.init)(KEY, batch)
    below = {k: v["encoder"] for k, v in variables.items()}
    h = Stack(DEEP.encoder[:1]).apply(below, batch["x"]).x
    np.testing.assert_array_equal(task.given(variables, batch), h)
    # By hand: the second layer, without its dropout, and its mirror image.
    params, stats = variables["params"], variables["batch_stats"]

    def dense(x, layer):
        return x @ layer["kernel"] + layer["bias"]

    code = jnp.tanh(dense(h, params["encoder"]["layer1"]))
    made = dense(code, params["decoder"]["layer1"])
    norm, own = params["decoder"]["layer1"]["norm"], stats["decoder"]["layer1"]["norm"]
    made = (made - own["mean"]) / jnp.sqrt(own["var"] + 1e-5)
    made = jnp.tanh(made * norm["scale"] + norm["bias"])
    expected = jnp.square(made - h).mean(axis=1)
    found = jax.jit(task.evaluate)(variables, batch, KEY)
    np.testing.assert_allclose(found["clean_reconstruction"], expected, rtol=1e-5)
    assert (found["reconstruction"] != found["clean_reconstruction"]).all()
    # What is read of all layers goes through those that have learnt.
    found = jax.jit(task.codes)(variables, batch["x"])
    np.testing.assert_allclose(found, code, rtol=1e-5)
    made = jax.eval_shape(task.reconstruct, variables, batch["x"])
    assert made.shape == batch["x"].shape


def test_noise_of_examples_is_what_a_layer_learns_from_and_no_more():
    """Deeper layers' own input is corrupted; through all layers nothing is undone.

    By `config.noise` a bundle says whether its model undoes noise of examples.
    """
    noise, none = CorruptionConfig(kind="gaussian", sd=0.5), CorruptionConfig()
    assert _task(DEEP, 1, noise=noise).config.noise == noise
    batch = {"x": _x(DEEP)}
    noisy, clean = (_task(DEEP, 2, noise=each) for each in (noise, none))
    assert noisy.config.noise == none
    variables = jax.jit(noisy.init)(KEY, batch)

    @jax.jit
    def read(variables):
        return [
            (
                t.evaluate(variables, batch, KEY),
                [f(variables, batch["x"]) for f in (t.reconstruct, t.score, t.codes)],
            )
            for t in (noisy, clean)
        ]

    (learnt, one), (quiet, other) = read(variables)
    assert (learnt["reconstruction"] != quiet["reconstruction"]).all()
    np.testing.assert_allclose(
        learnt["clean_reconstruction"], quiet["reconstruction"], rtol=1e-5
    )
    for a, b in zip(one, other, strict=True):  # reading draws nothing
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("model", [DEEP, TIED, POOLED], ids=["deep", "tied", "pooled"])
def test_the_last_layer_sees_the_whole_network(model):
    """Codes and reconstructions at full depth are those of the whole."""
    whole = Reconstruction(model, ReconstructionConfig())
    task = _task(model, len(blocks(model)))
    x = _x(model)
    variables = jax.jit(whole.init)(KEY, {})
    ours, its = (jax.eval_shape(t.init, KEY, {}) for t in (task, whole))
    assert ours == its

    @jax.jit
    def read(variables, x):
        names = ("codes", "reconstruct", "score")
        return [[getattr(t, n)(variables, x) for n in names] for t in (task, whole)]

    for one, other in zip(*read(variables, x), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_blocks_meet_and_cover_the_network():
    half = dict(_CONV, stride=2)
    up = Layer(kind="upsample", stride=2)
    upsampled = AutoencoderConfig(
        input_shape=(8, 2),
        encoder=tuple(Layer(width=width, **half) for width in (3, 4, 5)),
        decoder=tuple(x for w in (4, 3, 2) for x in (Layer(width=w, **_CONV), up)),
    )
    assert [b.decoder for b in blocks(upsampled)] == [(4, 6), (2, 4), (0, 2)]
    for model in (DEEP, TIED, POOLED, upsampled):
        found = blocks(model)
        assert len(found) == 3 and found[0].shape == model.input_shape
        assert found[0].encoder[0] == 0 and found[-1].decoder[0] == 0
        assert found[-1].encoder[1] == len(model.encoder)
        assert found[0].decoder[1] == len(model.decoder_layers)
        for lower, upper in zip(found, found[1:], strict=False):
            assert lower.encoder[1] == upper.encoder[0]
            assert upper.decoder[1] == lower.decoder[0]
    assert [b.shape for b in blocks(POOLED)] == [(8, 2), (4, 3), (16,)]


def test_networks_without_a_mirror_image_are_refused():
    def model(**changes):
        given = {"input_shape": (6,), "encoder": (_dense(5), _dense(4))}
        return AutoencoderConfig(**{**given, **changes})

    with pytest.raises(ValueError, match=r"encoder has 2 layers .* the decoder 1"):
        _task(model(decoder=(_dense(6),)), 1)
    with pytest.raises(ValueError, match=r"layer 2 .* is given \(5,\), .* \(\(3,\),\)"):
        _task(model(decoder=(_dense(3), _dense(6))), 1)
    with pytest.raises(ValueError, match="depth=3: there are layers 1 to 2"):
        _task(model(decoder=(_dense(5), _dense(6))), 3)
    gaussian = AutoencoderConfig(
        input_shape=(6,),
        encoder=(_dense(5), _dense(4)),
        decoder=(_dense(6, "identity"),),
        code="gaussian",
    )
    with pytest.raises(ValueError, match="a gaussian code cannot"):
        reconstruction_task(
            gaussian, ReconstructionConfig(depth=1, likelihood="gaussian")
        )
    normed = model(encoder=(_dense(5, norm="batch"), _dense(4)), tied=True)
    with pytest.raises(ValueError, match="tied layer cannot be trained alone"):
        _task(normed, 2)
    with pytest.raises(ValueError, match="make the task by"):
        Reconstruction(DEEP, ReconstructionConfig(depth=1))
