"""Laws of AST; the network itself is compared in tests/parity/ast_torch_test.py."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.models.ast import Ast, AstConfig, _Block, ast_size, resize_positions

TINY = AstConfig(
    frames=46, bands=36, width=16, depth=2, heads=2, mlp=24, dtype="float32"
)
X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 46, 36)).astype("f4"))


@functools.partial(jax.jit, static_argnums=0, static_argnames=("train", "method"))
def _apply(config, variables, x, train=False, method=None, rngs=None):
    return Ast(config).apply(variables, x, train, method=method, rngs=rngs)


@pytest.fixture(scope="module")
def variables():
    made = jax.eval_shape(Ast(TINY).init, jax.random.key(0), X[:1])
    random = np.random.default_rng(1)

    # Norms and biases count, and attention is not flat.
    def drawn(path, leaf):
        start = 1.0 if path[-1].key == "scale" else 0.0
        value = start + 0.3 * random.normal(size=leaf.shape)
        return jnp.asarray(value.astype("f4"))

    return jax.tree_util.tree_map_with_path(drawn, made)


def test_features_are_the_mean_of_the_first_two_tokens(variables):
    tokens = _apply(TINY, variables, X, method="encode")
    assert tokens.shape == (3, 2 + 3 * 4, 16)
    found = _apply(TINY, variables, X)
    np.testing.assert_allclose(found, (tokens[:, 0] + tokens[:, 1]) / 2, atol=1e-6)


def test_a_patch_is_one_token_s_business(variables):
    # Nothing is added by blocks whose outputs are zero: tokens are their patches'.
    def silent(path, leaf):
        names = [key.key for key in path]
        return leaf * 0 if {"out", "mlp_down"} & set(names) else leaf

    still = jax.tree_util.tree_map_with_path(silent, variables)

    def tokens(x):
        return np.asarray(_apply(TINY, still, x, method="encode"))[0, 2:]

    # Frame 19, band 30: of the patches in time from 10, and in frequency from 20.
    changed = tokens(X[:1].at[0, 19, 30].add(1.0)) != tokens(X[:1])
    assert TINY.grid == (3, 4)
    assert np.flatnonzero(changed.any(axis=1)).tolist() == [4 * 2 + 1]


def test_every_clip_is_itself_in_any_batch_and_without_a_loop(variables):
    whole = _apply(TINY, variables, X)
    straight = _apply(dataclasses.replace(TINY, unroll=2), variables, X)
    np.testing.assert_allclose(straight, whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        whole[1:2], _apply(TINY, variables, X[1:2]), rtol=1e-5, atol=1e-6
    )


@functools.partial(jax.jit, static_argnums=0)
def _slopes(config, variables, x):
    return jax.grad(lambda v: Ast(config).apply(v, x)[:, :3].sum())(variables)


@pytest.mark.survival
def test_recomputing_changes_nothing(variables):
    other = dataclasses.replace(TINY, remat=True)
    one, two = (_slopes(c, variables, X[:1]) for c in (TINY, other))
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    for a, b in leaves:
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_gradients_are_finite_and_reach_every_parameter(variables):
    for x, least in ((X[:1], 0.0), (jnp.zeros_like(X[:1]), -1.0)):
        found = _slopes(TINY, variables, x)
        for path, slope in jax.tree_util.tree_leaves_with_path(found):
            assert np.isfinite(slope).all(), path
            assert np.abs(slope).max() > least, path


def test_training_drops_units_and_whole_halves_of_blocks(variables):
    x = jnp.repeat(X[:1], 64, axis=0)
    keys = {"dropout": jax.random.key(0), "drop_path": jax.random.key(1)}
    units = dataclasses.replace(TINY, dropout=0.5)
    found = _apply(units, variables, x, train=True, rngs=keys)
    assert len(np.unique(np.asarray(found[:, 0]))) == 64
    np.testing.assert_allclose(
        _apply(units, variables, x), _apply(TINY, variables, x), atol=1e-6
    )
    # The first block is never skipped, the second with its two halves: four outcomes.
    paths = dataclasses.replace(TINY, drop_path=0.5)
    found = np.asarray(_apply(paths, variables, x, train=True, rngs=keys))
    assert len(np.unique(found[:, 0].round(4))) == 4
    kept = (np.abs(found - found[0]).max(axis=1) < 1e-4).mean()
    assert 0.1 < kept < 0.45


def test_drop_path_keeps_the_mean():
    """What stays of a half counts as much more as others are missing."""
    block = _Block(dataclasses.replace(TINY, drop_path=0.4), jnp.dtype("f4"), True)
    h = jnp.asarray(np.random.default_rng(0).normal(size=(2000, 1, 16)).astype("f4"))
    rate = jnp.float32(0.4)
    keys = {"params": jax.random.key(1), "drop_path": jax.random.key(2)}
    made = jax.eval_shape(block.init, keys, h, rate)
    made = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), made)
    made["params"]["mlp_down"]["bias"][:] = 1  # is added wherever it is kept
    out, _ = jax.jit(block.apply)(made, h, rate, rngs=keys)
    added = np.asarray(out - h)[:, 0, 0]
    assert sorted({round(float(a), 3) for a in added}) == [0.0, 1.667]
    assert added.mean() == pytest.approx(1.0, abs=0.05)


def test_bfloat16_stays_near(variables):
    exact = _apply(TINY, variables, X)
    half = _apply(dataclasses.replace(TINY, dtype="bfloat16"), variables, X)
    assert half.dtype == jnp.float32
    error = np.linalg.norm(half - exact) / np.linalg.norm(exact)
    assert 0 < error < 0.03


@pytest.mark.parametrize("size", ["tiny", "small", "base"])
def test_sizes_have_the_parameters_of_deit(size):
    config = ast_size(size)
    x = jax.ShapeDtypeStruct((1, 1024, 128), "f4")
    made = jax.eval_shape(Ast(config).init, jax.random.key(0), x)
    count = sum(leaf.size for leaf in jax.tree.leaves(made))
    d, n, m = config.width, 12 * 101, config.mlp
    block = 4 * d * d + 2 * d * m + 9 * d + m
    assert count == 12 * block + 257 * d + (n + 4) * d + 2 * d
    assert config.width // config.heads == 64
    assert ast_size(size, frames=512).grid == (12, 50)
    if size == "base":
        assert count == 86_187_264  # ASTModel of transformers


def test_positions_of_another_size_fit(variables):
    config = dataclasses.replace(TINY, frames=86, bands=26)
    params = dict(variables["params"])
    params["positions"] = resize_positions(params["positions"], config.grid)
    x = jnp.ones((1, 86, 26))
    assert _apply(config, {"params": params}, x).shape == (1, 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": 15}, "hold no patch of 16 by 16"),
        ({"heads": 3}, "no multiple of heads 3"),
        ({"stride_t": 0}, "stride_t must be at least 1"),
        ({"drop_path": 1.0}, r"must be in \[0, 1\)"),
    ],
)
def test_sizes_without_meaning_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)


def test_other_sizes_are_refused(variables):
    with pytest.raises(ValueError, match="46 frames of 36 bands, got .46, 35."):
        Ast(TINY).apply(variables, X[..., :-1])
    with pytest.raises(ValueError, match="no AST 'huge': there are tiny, small, base"):
        getattr(ast_size, "__wrapped__", ast_size)("huge")
