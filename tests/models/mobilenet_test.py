import jax
import jax.numpy as jnp
import pytest

from sigjax.models.mobilenet import MobileNetV2, MobileNetV2Config


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def shapes(**changes):
    config = MobileNetV2Config(**{"classes": 3, **changes})
    x = jax.ShapeDtypeStruct((2, config.frames, config.mels), "f4")
    model = MobileNetV2(config)
    return model, x, jax.eval_shape(model.init, jax.random.key(0), x)


@pytest.mark.parametrize(
    # As the documentation of keras.applications lists them without their head.
    ("alpha", "total"),
    [(0.35, 410_208), (0.5, 706_224), (1.0, 2_257_984)],
)
def test_parameters_and_running_values_are_those_of_keras(alpha, total):
    _, _, variables = shapes(alpha=alpha)
    assert count(variables["params"].pop("head")) == 1281 * 3
    assert count(variables) == total


def test_the_baseline_takes_64_by_128_patches():
    model, x, variables = shapes()
    assert x.shape == (2, 64, 128)
    out = jax.eval_shape(model.apply, variables, x)
    assert (out.embedding.shape, out.logits.shape) == ((2, 1280), (2, 3))
    # One channel copied to three.
    assert variables["params"]["stem"]["kernel"].shape == (3, 3, 3, 16)
    with pytest.raises(ValueError, match="patches of 64 frames and 128 bands"):
        model.apply(variables, jnp.zeros((1, 128, 64)))


@pytest.mark.parametrize("changes", [{"alpha": 0.0}, {"frames": 16}, {"classes": -1}])
def test_values_without_meaning_are_refused(changes):
    with pytest.raises(ValueError):
        MobileNetV2Config(**{"classes": 3, **changes})
