import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.models.mae import Mae, MaeConfig
from sigjax.nn.attention import valid_tokens
from sigjax.signal.masking import index_to_mask

PAPER = MaeConfig(patch_size=900, width=256, depth=12, num_heads=4, mlp_dim=680)
TINY = MaeConfig(patch_size=12, width=16, depth=2, num_heads=2, mlp_dim=24)
INDEX = jnp.array([[1, 4, 5]])
MASK = index_to_mask(INDEX, 8)


@pytest.fixture(scope="module")
def tiny():
    patches = jax.random.normal(jax.random.key(0), (1, 8, 12))
    variables = jax.jit(Mae(TINY).init)(jax.random.key(1), patches)
    return variables, patches


def test_the_papers_model_has_9_88_million_parameters():
    shapes = jax.eval_shape(
        Mae(PAPER).init, jax.random.key(0), jax.ShapeDtypeStruct((1, 300, 900), "f4")
    )
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    # By hand: embedding and head with biases, mask token, final norm, and per block
    # qkv, out, gate, up, down and two norms.
    block = 4 * 256**2 + 3 * 256 * 680 + 2 * 256
    assert count == 900 * 256 + 256 + 256 * 900 + 900 + 256 + 256 + 12 * block
    assert count == 9_881_220


def test_a_masked_patch_cannot_reach_any_reconstruction(tiny):
    variables, patches = tiny

    def total(patches):
        return (Mae(TINY).apply(variables, patches, MASK).reconstruction ** 2).sum()

    grad = np.asarray(jax.jit(jax.grad(total))(patches))[0]
    hidden = np.asarray(MASK[0])
    assert (grad[hidden] == 0).all()
    assert (np.abs(grad[~hidden]).max(axis=-1) > 0).all()


def test_visible_patches_and_their_order_reach_every_masked_token(tiny):
    variables, patches = tiny
    out = Mae(TINY).apply(variables, patches, MASK, INDEX).reconstruction
    swapped = patches[:, jnp.array([2, 1, 0, 3, 4, 5, 6, 7])]  # 0 and 2 are visible
    other = Mae(TINY).apply(variables, swapped, MASK, INDEX).reconstruction
    assert (np.abs(out - other).max(axis=-1) > 1e-5).all()


def test_masked_patches_share_the_mask_token(tiny):
    variables, patches = tiny
    changed = jnp.where(MASK[..., None], 100.0, patches)
    apply = Mae(TINY).apply
    np.testing.assert_array_equal(
        apply(variables, patches, MASK).tokens, apply(variables, changed, MASK).tokens
    )
    # Rotary positions still tell masked tokens apart.
    tokens = np.asarray(apply(variables, patches, MASK).tokens)[0]
    assert np.abs(tokens[1] - tokens[4]).max() > 1e-4


def test_reconstructing_some_tokens_equals_choosing_among_all(tiny):
    variables, patches = tiny
    every = Mae(TINY).apply(variables, patches, MASK).reconstruction
    some = Mae(TINY).apply(variables, patches, MASK, INDEX).reconstruction
    np.testing.assert_allclose(some, every[:, INDEX[0]], rtol=1e-5, atol=1e-6)


def test_remat_changes_memory_not_values(tiny):
    variables, patches = tiny

    def loss(variables, config):
        out = Mae(config).apply(variables, patches, MASK)
        return (out.reconstruction**2).mean()

    grad = jax.jit(jax.grad(loss), static_argnums=1)
    plain = grad(variables, TINY)
    remat = grad(variables, dataclasses.replace(TINY, remat=True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), plain, remat)


def test_bfloat16_compute_keeps_float32_parameters_and_output(tiny):
    _, patches = tiny
    config = dataclasses.replace(TINY, dtype="bfloat16")
    variables = jax.jit(Mae(config).init)(jax.random.key(1), patches)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(variables)} == {"float32"}
    out = jax.jit(Mae(config).apply)(variables, patches, MASK)
    assert out.tokens.dtype == jnp.bfloat16
    assert out.reconstruction.dtype == jnp.float32
    exact = Mae(TINY).apply(variables, patches, MASK)
    scale = float(jnp.abs(exact.reconstruction).max())
    np.testing.assert_allclose(
        out.reconstruction, exact.reconstruction, atol=0.05 * scale
    )


LENGTH = jnp.array([5, 8, 0])


def _graded(config):
    """Loss and tokens of windows, and gradients to parameters and to the windows."""

    def loss(variables, windows, mask, wanted, length):
        tokens = Mae(config).apply(variables, windows, mask, length, method="encode")
        error = ((tokens - wanted) ** 2).sum(-1)
        if length is not None:
            error = jnp.where(valid_tokens(8, length), error, 0)
        return error.sum(), tokens

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))


@pytest.fixture(scope="module")
def cut(tiny):
    """Three windows, and what each gives by itself without its padding."""
    keys = jax.random.split(jax.random.key(2), 3)
    windows = jax.random.normal(keys[0], (3, 8, 12))
    mask = jax.random.bernoulli(keys[1], 0.3, (3, 8))
    wanted = jax.random.normal(keys[2], (3, 8, 16))
    inputs, graded = (windows, mask, wanted), _graded(TINY)
    alone = [
        graded(tiny[0], *(x[b : b + 1, :n] for x in inputs), None)
        for b, n in enumerate(LENGTH.tolist()[:2])
    ]
    return inputs, alone


@pytest.mark.parametrize("remat", [False, True])
def test_padding_changes_neither_tokens_nor_gradients(tiny, cut, remat):
    (windows, mask, wanted), alone = cut
    graded = _graded(dataclasses.replace(TINY, remat=remat))
    close = functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=2e-5)
    for garbage in (0.0, 1e3):
        padded = jnp.where(valid_tokens(8, LENGTH)[..., None], windows, garbage)
        (total, tokens), (to_params, to_windows) = graded(
            tiny[0], padded, mask, wanted, LENGTH
        )
        assert np.isfinite(tokens).all()  # also those of the empty window
        for b, ((_, own), (_, to_own)) in enumerate(alone):
            n = own.shape[1]
            np.testing.assert_allclose(tokens[b, :n], own[0], rtol=1e-5, atol=1e-5)
            close(to_windows[b, :n], to_own[0])
            assert (np.asarray(to_windows[b, n:]) == 0).all()
        assert (np.asarray(to_windows[2]) == 0).all()
        close(total, sum(value for (value, _), _ in alone))
        jax.tree.map(
            lambda got, *x: close(got, sum(x)), to_params, *(g[0] for _, g in alone)
        )


def test_what_padding_holds_reaches_no_reconstruction_of_a_valid_patch(tiny):
    variables, patches = tiny
    apply = jax.jit(Mae(TINY).apply)
    index, length = jnp.array([[0, 2]]), jnp.array([3])
    broken = patches.at[:, 3:].set(jnp.nan)
    got, expected, full = (
        apply(variables, x, MASK, index, n).reconstruction
        for x, n in [(broken, length), (patches, length), (patches, jnp.array([8]))]
    )
    np.testing.assert_array_equal(got, expected)
    assert np.abs(full - got).max() > 1e-4


def test_without_a_length_nothing_is_masked(tiny):
    variables, patches = tiny
    program = str(jax.make_jaxpr(Mae(TINY).apply)(variables, patches))
    assert "select_n" not in program and "select_and" not in program


@pytest.mark.parametrize("heads", [3, 16])
def test_heads_must_divide_the_width_in_pairs(heads):
    with pytest.raises(ValueError, match="even head width"):
        MaeConfig(patch_size=12, width=16, depth=1, num_heads=heads, mlp_dim=8)
