import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn.stack import ACTIVATIONS, Layer, Stack, pooled_shapes, stack_shapes

LAYERS = (
    Layer(kind="conv", width=4, taps=3, stride=2, padding=1, dilation=2),
    Layer(kind="max_pool", taps=2, stride=1, activation="tanh", norm="layer"),
    Layer(kind="max_unpool"),
    Layer(
        kind="transposed_conv",
        width=3,
        taps=3,
        stride=2,
        output_padding=1,
        norm="batch",
    ),
    Layer(kind="upsample", stride=2, activation="leaky_relu", slope=0.2),
    Layer(kind="flatten"),
    Layer(kind="dense", width=6, activation="softplus", dropout=0.5),
    Layer(kind="reshape", shape=(3, 2)),
)


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("shape", [(9, 2), (9, 7, 2)])
def test_sizes_are_those_of_the_formula_in_one_and_two_dimensions(shape):
    x = jax.ShapeDtypeStruct((2, *shape), "f4")
    out, _ = jax.eval_shape(Stack(LAYERS).init_with_output, jax.random.key(0), x)
    found = tuple(each.shape[1:] for each in out.hidden)
    assert found == stack_shapes(LAYERS, shape)
    assert out.pooled == ()
    kept = jax.eval_shape(Stack(LAYERS[:2]).init_with_output, jax.random.key(0), x)
    (pooled,) = kept[0].pooled
    assert pooled_shapes(LAYERS[:2], shape) == ((found[0], found[1]),)
    assert (*pooled.shape, 4) == found[0]


def test_a_truncated_stack_applies_with_the_whole_ones_parameters():
    layers = (
        Layer(kind="dense", width=4, activation="tanh", norm="layer"),
        Layer(kind="dense", width=3, activation="sigmoid", norm="batch"),
        Layer(kind="dense", width=2),
    )
    x = draw(5, 6)
    whole, variables = jax.jit(Stack(layers).init_with_output)(jax.random.key(0), x)
    names = {"layer0", "layer1", "layer2"}
    assert set(variables["params"]) == names
    first = jax.jit(Stack(layers[:2]).apply)(variables, x)
    np.testing.assert_array_equal(first.x, whole.hidden[1])
    assert len(first.hidden) == 2


def test_upsampling_repeats_and_activations_come_after_the_norm():
    x = draw(2, 2, 1)
    up = Stack((Layer(kind="upsample", stride=3, activation="relu"),))
    want = np.maximum(np.repeat(x, 3, axis=1), 0)
    np.testing.assert_array_equal(jax.jit(up.apply)({}, x).x, want)
    x = 5 + draw(64, 3)  # above zero but for the norm
    for norm, axis in (("batch", 0), ("layer", 1)):
        stack = Stack((Layer(kind="flatten", norm=norm, activation="relu"),))
        variables = jax.jit(stack.init)(jax.random.key(0), x)
        run = jax.jit(lambda v, x, s=stack: s.apply(v, x, True, mutable=True))
        out, changed = run(variables, x)
        centred = x - x.mean(axis, keepdims=True)
        z = centred / np.sqrt(np.square(centred).mean(axis, keepdims=True) + 1e-5)
        np.testing.assert_allclose(out.x, np.maximum(z, 0), atol=1e-4)
        if norm == "batch":
            mean = changed["batch_stats"]["layer0"]["norm"]["mean"]
            np.testing.assert_allclose(mean, 0.1 * x.mean(0), rtol=1e-5)


def test_dropout_is_drawn_in_training_alone():
    stack = Stack((Layer(kind="flatten", dropout=0.25),))
    x = jnp.ones((1, 4000))
    np.testing.assert_array_equal(stack.apply({}, x).x, x)
    key = {"dropout": jax.random.key(0)}
    out = np.asarray(jax.jit(lambda x: stack.apply({}, x, True, rngs=key).x)(x))
    assert set(np.unique(out)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(float((out == 0).mean()) - 0.25) < 0.03


def test_every_activation_has_its_values():
    x = np.linspace(-2, 2, 5)
    want = {
        "identity": x,
        "relu": np.maximum(x, 0),
        "leaky_relu": np.where(x < 0, 0.01 * x, x),
        "elu": np.where(x < 0, np.expm1(x), x),
        "gelu": [-0.04550026, -0.15865525, 0, 0.8413447, 1.9544997],
        "silu": x / (1 + np.exp(-x)),
        "tanh": np.tanh(x),
        "sigmoid": 1 / (1 + np.exp(-x)),
        "softplus": np.log1p(np.exp(x)),
    }
    assert set(want) == set(ACTIVATIONS)
    layer = Layer(kind="flatten", activation="leaky_relu", slope=0.2)
    leaky = Stack((layer,)).apply({}, jnp.asarray(x[None], jnp.float32)).x[0]
    np.testing.assert_allclose(leaky, np.where(x < 0, 0.2 * x, x), atol=1e-6)
    run = jax.jit(lambda x: {name: f(x) for name, f in ACTIVATIONS.items()})
    for name, found in run(x.astype(np.float32)).items():
        np.testing.assert_allclose(found, want[name], atol=1e-6, err_msg=name)


def test_kernels_start_as_pytorchs():
    layers = (
        Layer(kind="transposed_conv", width=8, taps=(3, 5)),
        Layer(kind="conv", width=16, taps=3),
        Layer(kind="flatten"),
        Layer(kind="dense", width=20),
    )
    x = jax.ShapeDtypeStruct((1, 4, 4, 6), "f4")
    init = jax.jit(lambda key: Stack(layers).init(key, jnp.zeros(x.shape))["params"])
    params = jax.tree.map(np.asarray, init(jax.random.key(0)))
    values = 4 * 6 * 16  # of the map before the dense layer
    for name, fan in (("layer0", 15 * 8), ("layer1", 9 * 8), ("layer3", values)):
        for value in params[name].values():
            assert np.abs(value).max() <= fan**-0.5
        assert np.abs(params[name]["kernel"]).max() > 0.9 * fan**-0.5
    assert params["layer0"]["kernel"].shape == (3, 5, 8, 6)  # out before in


def test_what_does_not_fit_names_number_kind_and_shapes():
    conv = Layer(kind="conv", width=4, taps=3, stride=2)
    with pytest.raises(ValueError, match=r"layer 1 \(conv\).*\(1, 1, 4\).*make \(0, 0"):
        stack_shapes((conv, conv), (4, 4, 2))
    with pytest.raises(ValueError, match=r"layer 0 \(max_pool\).*\(8,\).*samples"):
        stack_shapes((Layer(kind="max_pool", taps=2),), (8,))
    reshape = Layer(kind="reshape", shape=(3, 3))
    with pytest.raises(ValueError, match=r"layer 0 \(reshape\).*9 values, not 8"):
        Stack((reshape,)).apply({}, jnp.zeros((1, 8)))
    unpool = Layer(kind="max_unpool")
    with pytest.raises(ValueError, match=r"layer 1 \(max_unpool\).*pooled map"):
        stack_shapes((conv, unpool), (9, 2))
    pool = Layer(kind="max_pool", taps=2, stride=2)
    with pytest.raises(ValueError, match=r"\(max_unpool\).*made \(4, 2\) of \(8, 2\)"):
        stack_shapes((pool, conv, unpool), (8, 2))
    with pytest.raises(ValueError, match=r"\(conv\).*one number per axis"):
        stack_shapes((dataclasses.replace(conv, taps=(3, 3)),), (9, 2))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"kind": "dense"}, "needs width of at least 1"),
        ({"kind": "conv", "width": 2}, "needs taps"),
        ({"kind": "conv", "width": 2, "taps": (3, 0)}, "needs taps"),
        ({"kind": "dense", "width": 2, "taps": 3}, "dense layer has no taps"),
        ({"kind": "max_pool", "taps": 2, "dilation": 2}, "has no dilation"),
        ({"kind": "flatten", "bias": False}, "has no bias"),
        ({"kind": "reshape"}, "needs shape"),
        ({"kind": "flatten", "dropout": 1.0}, r"in \[0, 1\)"),
        ({"kind": "flatten", "slope": 0.2}, "leaky_relu"),
    ],
)
def test_layers_without_meaning_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Layer(**values)
