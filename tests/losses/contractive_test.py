import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.losses import contractive
from sigjax.losses.contractive import ContractiveConfig

ACTIVATIONS = {
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "identity": lambda x: x,
}


def _layer(d, k, activation="sigmoid", dtype="f8"):
    rng = np.random.default_rng(0)
    kernel = jnp.asarray(rng.normal(size=(d, k)), dtype)
    x = jnp.asarray(rng.normal(size=(4, d)), dtype)
    return (lambda x: ACTIVATIONS[activation](x @ kernel)), kernel, x


def _autodiff(encode, x):
    """Squared derivatives, summed, from the Jacobian of each example by itself."""
    jacobian = jax.vmap(jax.jacrev(lambda x: encode(x[None])[0]))(x)
    return jnp.square(jacobian).sum(axis=tuple(range(1, jacobian.ndim)))


def test_closed_form_and_exact_sum_are_autodiffs_in_float64():
    @jax.jit
    def three(kernel, x):
        found = []
        for name, activation in ACTIVATIONS.items():

            def encode(x, activation=activation):
                return activation(x @ kernel)

            closed = contractive.closed_form(encode(x), kernel, name)
            found.append((_autodiff(encode, x), closed, contractive.exact(encode, x)))
        return found

    with jax.enable_x64(True):
        for d, k in ((5, 3), (3, 5)):  # by VJPs, by JVPs
            for expected, closed, exact in three(*_layer(d, k)[1:]):
                assert expected.shape == (4,) and expected.dtype == jnp.float64
                np.testing.assert_allclose(closed, expected, rtol=1e-12)
                np.testing.assert_allclose(exact, expected, rtol=1e-12)


@pytest.mark.parametrize(("d", "k"), [(7, 2), (2, 7)])
def test_the_exact_sum_takes_as_few_directions_as_possible(d, k):
    encode, _, x = _layer(d, k, dtype="f4")
    jaxpr = str(jax.make_jaxpr(lambda x: contractive.exact(encode, x))(x))
    assert "f32[2,4," in jaxpr and "f32[7,4," not in jaxpr


def test_the_exact_sum_of_a_convolution_is_autodiffs():
    rng = np.random.default_rng(0)
    kernel = jnp.asarray(rng.normal(size=(3, 2, 3)).astype("f4"))
    x = jnp.asarray(rng.normal(size=(4, 8, 2)).astype("f4"))

    def encode(x):
        return jnp.tanh(
            jax.lax.conv_general_dilated(
                x, kernel, (2,), "VALID", dimension_numbers=("NWC", "WIO", "NWC")
            )
        )

    @jax.jit
    def both(x):
        return contractive.exact(encode, x), _autodiff(encode, x)

    np.testing.assert_allclose(*both(x), rtol=1e-5)


def test_the_estimate_is_unbiased_and_nearer_with_more_probes():
    encode, _, x = _layer(6, 5, dtype="f4")
    rows = jnp.broadcast_to(x[:1], (4000, 6))
    keys = jax.random.split(jax.random.key(0), 4000)

    @jax.jit
    def draws(rows):
        one, eight = (
            contractive.hutchinson(encode, rows, keys, probes) for probes in (1, 8)
        )
        return one, eight, _autodiff(encode, x[:1])

    one, eight, expected = (np.asarray(v, "f8") for v in draws(rows))
    for found in (one, eight):
        error = found.std() / np.sqrt(len(found))
        assert error / expected < 0.03
        assert np.abs(found.mean() - expected) < 4 * error
    # Eight independent probes have an eighth of the variance of one.
    assert one.var() / eight.var() == pytest.approx(8, rel=0.15)


def test_its_gradient_is_that_of_the_closed_form():
    _, kernel, x = _layer(5, 3, dtype="f4")

    def by_exact(kernel):
        return contractive.exact(lambda x: jax.nn.sigmoid(x @ kernel), x).sum()

    def by_formula(kernel):
        code = jax.nn.sigmoid(x @ kernel)
        return contractive.closed_form(code, kernel, "sigmoid").sum()

    exact, formula = jax.jit(
        lambda kernel: (jax.grad(by_exact)(kernel), jax.grad(by_formula)(kernel))
    )(kernel)
    assert np.abs(formula).max() > 0.1
    np.testing.assert_allclose(exact, formula, rtol=1e-4, atol=1e-5)


def test_the_rule_of_auto():
    auto = ContractiveConfig(weight=1.0)

    def chosen(config, closed, code, inputs):
        return contractive.chosen_method(
            config, closed=closed, code_values=code, input_values=inputs
        )

    assert chosen(auto, True, 1000, 1000) == "closed"
    assert chosen(auto, False, 64, 1000) == chosen(auto, False, 1000, 64) == "exact"
    assert chosen(auto, False, 65, 65) == "hutchinson"
    exact = ContractiveConfig(weight=1.0, method="exact")
    assert chosen(exact, True, 1000, 1000) == "exact"
    closed = ContractiveConfig(weight=1.0, method="closed")
    with pytest.raises(ValueError, match="needs an encoder of one dense layer"):
        chosen(closed, False, 3, 3)


@pytest.mark.parametrize("wrong", [{"weight": -1.0}, {"probes": 0}, {"most": -1}])
def test_values_without_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        ContractiveConfig(**{"weight": 1.0, **wrong})


def test_other_activations_have_no_closed_form():
    with pytest.raises(ValueError, match="no closed form for 'gelu'"):
        contractive.closed_form(jnp.zeros((2, 3)), jnp.zeros((4, 3)), "gelu")
