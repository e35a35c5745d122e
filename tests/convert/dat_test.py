"""Public DAT and DAT++ networks through the converter: outputs, gradients, tables."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.convert import dat
from sigjax.convert.pickles import WeightsError
from sigjax.models.dat import Dat, DatConfig, dat_size
from tests.golden.drawn import drawn
from tests.nn.dat_golden import contents, near, slopes_of, state_of


def state(variant):
    return state_of(f"{variant} network")


def network(variant, side, monkeypatch):
    """Config, parameters and input of a case, in float64."""
    # The converter gives float32.
    monkeypatch.setattr(dat, "checked", lambda name, value, shape: value)
    weights = dat.convert_dat(state(variant), frames=side, bands=side)
    config = dataclasses.replace(weights.config, dtype="float64")
    x = drawn(f"{variant} network", (1, 1, side, side), "input")
    return config, weights.params, x[:, 0].swapaxes(1, 2)


def test_features_are_those_of_the_public_network_of_plus_plus(monkeypatch):
    config, params, x = network("pp", 64, monkeypatch)
    with jax.enable_x64():
        y = jax.jit(Dat(config).apply)({"params": params}, x)
    expected = contents()["pp network/y"]
    near(y[0], expected, np.abs(expected).max(), 1e-9, "features")


@pytest.mark.survival
def test_features_and_all_gradients_are_those_of_the_public_network(monkeypatch):
    config, params, x = network("v1", 32, monkeypatch)
    case, given = "v1 network", state("v1")
    expected = contents()[f"{case}/y"]
    with jax.enable_x64():
        cotangent = drawn("y", (1, *expected.shape), "cotangent")

        def loss(params, x):
            y = Dat(config).apply({"params": params}, x)
            return (y * cotangent).sum(), y

        run = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
        (_, y), (gradients, slope) = run(jax.tree.map(jnp.asarray, params), x)
    near(y[0], expected, np.abs(expected).max(), 1e-9, "features")
    direction = drawn("x", (1, 1, 32, 32), "direction")[:, 0].swapaxes(1, 2)
    wanted = float(contents()[f"{case}/slope_x"])
    near((np.asarray(slope) * direction).sum(), wanted, abs(wanted), 1e-8, "input")
    slopes = slopes_of(case)
    scale = max(map(abs, slopes.values()))
    for name, target in dat.targets(config).items():
        found = gradients
        for part in target.path:
            found = found[part]
        # Of a stem, the sum over colours: each sees the same picture.
        along = drawn(name, given[name].shape, "direction")
        found = (np.asarray(found) * target.turn(along)).sum()
        limit = 1e-6 if name.endswith("conv_offset.0.weight") else 1e-9
        near(found, slopes[name], scale, limit, name)


def test_the_config_and_the_parameters_are_those_of_a_new_network():
    for variant in ("v1", "pp"):
        weights = dat.convert_dat(state(variant), frames=40, bands=32)
        found = weights.config
        assert (found.variant, found.convention) == (variant, variant)
        spec = jax.ShapeDtypeStruct((1, 40, 32), "f4")
        new = jax.eval_shape(Dat(found).init, jax.random.key(0), spec)["params"]
        assert jax.tree.structure(weights.params) == jax.tree.structure(new)
        for one, two in zip(
            jax.tree.leaves(weights.params), jax.tree.leaves(new), strict=True
        ):
            assert (one.shape, one.dtype) == (two.shape, two.dtype)
        assert "cls_head.weight" in weights.ignored
        assert weights.notes[0] == "stem summed over 3 colours"
        resized = {"v1": "stage 3: 3 x 3 -> 3 x 5", "pp": "stage 2: 15 x 15 -> 7 x 9"}
        assert f"position tables of {resized[variant]}, bicubic" in weights.notes
        assert weights.preprocessing["frames"] == 40
    assert weights.config.blocks == ("N", "D", "N", "D")


def test_public_sizes_are_known_by_their_arrays():
    for config in (dat_size("v1", "small"), dat_size("pp", "tiny")):
        shapes = {
            name: (target.shape or (config.heads[int(name[7])], 27, 27))
            for name, target in dat.targets(config).items()
        }
        arrays = {
            name: np.broadcast_to(np.float32(0), [n or 3 for n in shape])
            for name, shape in shapes.items()
        }
        found = dat.config_of(arrays)
        # Without masks, shifted windows are known by their places.
        assert found == config


def test_missing_and_unknown_arrays_are_listed():
    given = state("v1")
    lost = "stages.2.mlps.0.chunk.linear1.bias"
    broken = {name: value for name, value in given.items() if name != lost}
    broken["stages.9.extra"] = np.zeros(3)
    with pytest.raises(WeightsError, match=f"lacks {lost}; .* stages.9.extra"):
        dat.convert_dat(broken)
    wrong = {**given, "cls_norm.norm.bias": np.zeros(3)}
    with pytest.raises(WeightsError, match=r"cls_norm.norm.bias has shape \(3,\)"):
        dat.convert_dat(wrong)
    with pytest.raises(WeightsError, match="this is no DAT: it lacks patch_proj"):
        dat.convert_dat({"conv.weight": np.zeros(3)})


def test_a_network_of_spectrograms_keeps_its_size():
    given = state("v1")
    given["patch_proj.0.weight"] = given["patch_proj.0.weight"][:, :1]
    weights = dat.convert_dat(given)
    assert weights.notes == ()
    assert (weights.preprocessing["frames"], weights.config) == (
        32,
        dat.convert_dat(given, frames=64, bands=64).config,
    )
    assert isinstance(weights.config, DatConfig)
