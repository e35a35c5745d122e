"""Laws of AST; the network itself is compared in tests/parity/ast_torch_test.py."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.models.ast import Ast, AstConfig, _Block, ast_size, resize_positions

TINY = AstConfig(
    frames=46, bands=36, width=16, depth=2, heads=2, mlp=24, dtype="float32"
)
X = jnp.asarray(np.random.default_rng(0).normal(size=(3, 46, 36)).astype("f4"))


def _apply(config, variables, x, *args, **kwargs):
    apply = jax.jit(Ast(config).apply, static_argnames=("train", "method"))
    return apply(variables, x, *args, **kwargs)


@pytest.fixture(scope="module")
def variables():
    made = jax.jit(Ast(TINY).init)(jax.random.key(0), X[:1])
    keys = iter(jax.random.split(jax.random.key(1), 100))
    # Drawn anew, so that norms and biases count and attention is not flat.
    return jax.tree.map(
        lambda p: p + 0.3 * jax.random.normal(next(keys), p.shape), made
    )


def test_features_are_the_mean_of_the_first_two_tokens(variables):
    tokens = _apply(TINY, variables, X, method="encode")
    assert tokens.shape == (3, 2 + 3 * 4, 16)
    found = _apply(TINY, variables, X)
    np.testing.assert_allclose(found, (tokens[:, 0] + tokens[:, 1]) / 2, atol=1e-6)


def test_a_patch_is_one_token_s_business():
    """Without blocks' mixing: what a token holds before them, through the patches."""
    config = dataclasses.replace(TINY, stride_t=15, stride_f=10)
    assert config.grid == (3, 3)
    made = jax.jit(Ast(config).init)(jax.random.key(0), X[:1])
    # Nothing is added by blocks whose outputs are zero.
    params = made["params"]
    for name in ("mlp_down",):
        params["blocks"][name] = jax.tree.map(jnp.zeros_like, params["blocks"][name])
    out = params["blocks"]["attention"]["out"]
    params["blocks"]["attention"]["out"] = jax.tree.map(jnp.zeros_like, out)

    def tokens(x):
        return _apply(config, {"params": params}, x, method="encode")[0, 2:]

    # Frame 20, band 30: of patch 1 in time (15-30) and 2 in frequency (20-35) alone.
    changed = tokens(X[:1].at[0, 20, 30].add(1.0)) != tokens(X[:1])
    assert np.flatnonzero(np.asarray(changed).any(axis=1)).tolist() == [2 * 3 + 1]


def test_every_clip_is_itself_in_any_batch(variables):
    whole = _apply(TINY, variables, X)
    np.testing.assert_allclose(
        whole[1:2], _apply(TINY, variables, X[1:2]), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("changes", [{"remat": True}, {"unroll": 2}])
def test_memory_and_loops_change_nothing(variables, changes):
    def loss(config):
        def of(v):
            return jnp.square(Ast(config).apply(v, X)).sum()

        return jax.jit(jax.value_and_grad(of))(variables)

    one, two = loss(TINY), loss(dataclasses.replace(TINY, **changes))
    leaves = zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True)
    for a, b in leaves:
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_gradients_are_finite_and_reach_every_parameter(variables):
    quiet = jnp.zeros_like(X[:1])
    for x in (X[:1], quiet):

        def loss(v, x=x):
            return Ast(TINY).apply(v, x)[:, :3].sum()

        slopes = jax.jit(jax.grad(loss))(variables)
        for path, slope in jax.tree_util.tree_leaves_with_path(slopes):
            assert np.isfinite(slope).all(), path
            if x is not quiet:
                assert np.abs(slope).max() > 0, path


def test_training_drops_units_and_whole_halves_of_blocks(variables):
    x = jnp.repeat(X[:1], 64, axis=0)
    keys = {"dropout": jax.random.key(0), "drop_path": jax.random.key(1)}
    still = _apply(TINY, variables, x, train=True)
    np.testing.assert_allclose(still, _apply(TINY, variables, x), atol=1e-6)
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
    h = jax.random.normal(jax.random.key(0), (2000, 1, 16))
    rate = jnp.float32(0.4)
    made = block.init(
        {"params": jax.random.key(1), "drop_path": jax.random.key(2)}, h, rate
    )
    made = jax.tree.map(jnp.zeros_like, made)
    made["params"]["mlp_down"]["bias"] = jnp.ones(16)  # adds 1 wherever it is kept
    out, _ = block.apply(made, h, rate, rngs={"drop_path": jax.random.key(3)})
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
