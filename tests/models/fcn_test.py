"""FCN: bilinear enlargement, and sums of score maps of several strides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.models.fcn import Fcn, FcnConfig, _kernel, bilinear, enlarged

SMALL = dict(
    classes=2, widths=(2, 3, 4, 4, 4), convolutions=(1,) * 5, wide=5, wide_taps=3
)


def test_the_kernels_shifted_copies_sum_to_one():
    for factor in (2, 8, 16, 32):
        one = bilinear(factor)
        np.testing.assert_allclose(one[:factor] + one[factor:], 1.0, rtol=1e-6)
        np.testing.assert_array_equal(one, one[::-1])
    np.testing.assert_allclose(bilinear(2), [0.25, 0.75, 0.75, 0.25])


@pytest.mark.parametrize("factor", [2, 8])
def test_enlarging_is_linear_interpolation_over_the_places_of_the_input(factor):
    x = np.random.default_rng(0).normal(size=(1, 4, 3, 2)).astype(np.float32)
    size = (4 * factor, 3 * factor - 1)
    found = enlarged(jnp.asarray(x), _kernel(factor, 2), factor, size)
    wanted = x[0]
    for axis, new in enumerate(size):
        place = (np.arange(new) + 0.5) / factor - 0.5  # value n stands over its middle
        old = np.arange(x.shape[1 + axis])
        wanted = np.apply_along_axis(
            lambda column, place=place, old=old: np.interp(place, old, column),
            axis,
            wanted,
        )
    np.testing.assert_allclose(found[0], wanted, rtol=1e-4, atol=1e-5)


def test_all_scores_begin_at_zero_and_any_size_is_kept():
    for stride in (32, 16, 8):
        model = Fcn(FcnConfig(stride=stride, **SMALL))
        for size in ((70, 33), (1, 1)):
            x = jax.ShapeDtypeStruct((1, *size, 1), jnp.float32)
            found, made = jax.eval_shape(model.init_with_output, jax.random.key(0), x)
            assert found.shape == (1, *size, 2)
        names = {f"scores{n}" for n in (4, 3)} & set(made["params"])
        assert len(names) == {32: 0, 16: 1, 8: 2}[stride]


def test_finer_scores_are_added():
    """The output is the sum of what each score map gives alone (eq. of Sect. 4.2)."""
    model = Fcn(FcnConfig(stride=8, **SMALL))
    x = jax.random.normal(jax.random.key(0), (1, 40, 33, 1))
    rng = np.random.default_rng(1)
    variables = jax.tree.map(
        lambda v: rng.normal(size=v.shape).astype(np.float32),
        jax.eval_shape(model.init, jax.random.key(1), x),
    )
    for step in (4, 3):
        variables["params"][f"double{step}"] = _kernel(2, 2)
    for name in ("scores", "scores4", "scores3"):
        own = variables["params"][name]
        variables["params"][name] = jax.tree.map(np.zeros_like, own)
    apply = jax.jit(model.apply)
    np.testing.assert_array_equal(apply(variables, x), 0.0)
    layers = ("scores", "scores4", "scores3")
    filled = {
        name: jax.tree.map(
            lambda leaf: rng.normal(size=leaf.shape).astype(np.float32),
            variables["params"][name],
        )
        for name in layers
    }

    def output(*names):
        params = variables["params"] | {name: filled[name] for name in names}
        return apply({"params": params}, x)

    parts = [output(name) for name in layers]
    assert min(float(jnp.abs(part).max()) for part in parts) > 0.01
    whole = output(*layers)
    within = 1e-4 * float(jnp.abs(whole).max())
    np.testing.assert_allclose(whole, sum(parts), rtol=0, atol=within)


def test_sizes_without_meaning_are_refused():
    for wrong in ({"wide_taps": 2}, {"wide": 0}, {"dropout": 1.0}):
        with pytest.raises(ValueError):
            FcnConfig(**(SMALL | wrong))
