import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.config import build
from sigjax.models.section_classifier import SectionClassifier, SectionClassifierConfig

TINY = SectionClassifierConfig(
    classes=3,
    frames=9,
    mels=8,
    embedding=5,
    stem=4,
    expansion=(2,),
    channels=6,
    blocks=(1,),
    wide=8,
)


def shapes(config):
    x = jax.ShapeDtypeStruct((2, config.frames, config.mels), "f4")
    return jax.eval_shape(SectionClassifier(config).init, jax.random.key(0), x)


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def block_parameters(i, t, c, branch):
    """The module docstring's arithmetic."""
    h = t * i
    main = i * h + 9 * h + h * c + 2 * h + 2 * h + 2 * c + 2 * h
    linear = {
        "none": 0,
        "dwpw": 9 * i + 2 * i + i * c + 2 * c,
        "full": i * h + 9 * h + h * c + 2 * h + 2 * h + 2 * c,
    }
    return main + linear[branch]


@pytest.mark.parametrize(
    ("branch", "parameters", "millions"),
    [("none", 906_822, 0.91), ("dwpw", 1_006_214, 1.01), ("full", 1_554_374, 1.55)],
)
def test_six_sections_have_the_parameters_of_table_1(branch, parameters, millions):
    variables = shapes(SectionClassifierConfig(classes=6, linear_branch=branch))
    found = variables["params"]
    assert count(found) == parameters and round(parameters / 1e6, 2) == millions
    # By hand: convolutions, norms (scale and bias), slopes.
    stem = 9 * 64 + 3 * 64 + 9 * 64 * 64 + 3 * 64
    inputs = (64, 128, 128, 128, 128, 128)
    blocks = sum(
        block_parameters(i, t, 128, branch)
        for i, t in zip(inputs, (2, 2, 4, 4, 4, 4), strict=True)
    )
    wide = 128 * 512 + 3 * 512 + 20 * 8 * 512 + 2 * 512
    embedding = 512 * 128 + 2 * 128
    assert stem + blocks + wide + embedding + 129 * 6 == parameters
    # GDConv covers the map of 313 frames and 128 bands after four halvings.
    assert found["global"]["kernel"].shape == (20, 8, 1, 512)
    first = found["stage1_block1"]["main_expand"]["kernel"]
    assert first.shape == (64, 128)


def test_42_classes_differ_in_the_head_alone():
    six, all_of_them = (
        shapes(SectionClassifierConfig(classes=k))["params"] for k in (6, 42)
    )
    heads = [count(tree.pop("head")) for tree in (six, all_of_them)]
    assert heads == [129 * 6, 129 * 42]
    assert jax.tree.map(lambda x: x.shape, six) == jax.tree.map(
        lambda x: x.shape, all_of_them
    )


def test_a_depthwise_second_layer_has_one_kernel_per_channel():
    config = SectionClassifierConfig(classes=6, depthwise_stem=True)
    kernel = shapes(config)["params"]["stem2"]["kernel"]
    assert kernel.shape == (3, 3, 1, 64)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_outputs_and_parameters_are_float32_in_any_compute_dtype(dtype):
    config = dataclasses.replace(TINY, dtype=dtype)
    variables = shapes(config)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype("f4")}
    x = jax.ShapeDtypeStruct((2, 9, 8), "f4")
    out = jax.eval_shape(SectionClassifier(config).apply, variables, x)
    assert (out.embedding.shape, out.logits.shape) == ((2, 5), (2, 3))
    assert {out.embedding.dtype, out.logits.dtype} == {np.dtype("f4")}


def test_without_classes_there_is_no_head():
    config = dataclasses.replace(TINY, classes=0)
    variables = shapes(config)
    assert "head" not in variables["params"]
    x = jax.ShapeDtypeStruct((2, 9, 8), "f4")
    out = jax.eval_shape(SectionClassifier(config).apply, variables, x)
    assert out.logits.shape == (2, 0)


def test_clips_do_not_see_each_other_and_dropout_spares_the_embedding():
    model = SectionClassifier(dataclasses.replace(TINY, dropout=0.5))
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(4, 9, 8)), jnp.float32)
    variables = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(0.1, 1, leaf.shape), jnp.float32),
        shapes(TINY),
    )
    applied = jax.jit(model.apply)
    one, other = applied(variables, x), applied(variables, x.at[1].set(9.0))
    for before, after in zip(one, other, strict=True):
        np.testing.assert_array_equal(np.delete(before, 1, 0), np.delete(after, 1, 0))
        assert np.abs(before[1] - after[1]).max() > 1e-4

    @jax.jit
    def trained(key):
        out, _ = model.apply(
            variables, x, True, mutable=["batch_stats"], rngs={"dropout": key}
        )
        return out

    first, second = (trained(jax.random.key(k)) for k in (0, 1))
    np.testing.assert_array_equal(first.embedding, second.embedding)
    assert np.abs(first.logits - second.logits).max() > 1e-4


def test_other_sizes_are_errors_that_say_what_to_do():
    variables = shapes(TINY)
    for size in ((1, 10, 8), (1, 9, 7)):
        with pytest.raises(ValueError, match="takes 9 frames of 8 bands.*crop or tile"):
            SectionClassifier(TINY).apply(variables, jnp.zeros(size))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blocks": (1, 2)}, "one entry per stage"),
        ({"dropout": 1.0}, "dropout"),
        ({"stem": 0}, "stem"),
        ({"classes": -1}, "classes"),
    ],
)
def test_values_without_meaning_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)


def test_the_config_comes_back_from_json():
    fields = {
        k: list(v) if isinstance(v, tuple) else v
        for k, v in dataclasses.asdict(TINY).items()
    }
    assert build(SectionClassifierConfig, fields) == TINY


def test_parameter_names_are_distinct_by_branch():
    names = [
        set(
            shapes(dataclasses.replace(TINY, linear_branch=b))["params"][
                "stage1_block1"
            ]
        )
        for b in ("none", "dwpw", "full")
    ]
    assert names[0] < names[1] and names[0] < names[2]
    assert all(a != b for a, b in itertools.combinations(names, 2))
