"""The pyramid of DATAR: sizes, ablations, any spectrogram."""

import dataclasses
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

from sigjax.models.dat import Dat, DatConfig, dat_size

TINY = DatConfig(
    widths=(4, 8),
    blocks=("S", "D"),
    heads=(1, 2),
    groups=(1, 2),
    strides=(1, 1),
    taps=(3, 3),
    window=2,
    shift=1,
    drop_path=0.0,
    dtype="float32",
)

# The form of DAT++: with its convolutions, neighbourhoods and strides.
PLUS = DatConfig(
    variant="pp",
    convention="pp",
    widths=(4, 8),
    blocks=("N", "D"),
    heads=(1, 2),
    groups=(1, 2),
    strides=(1, 1),
    taps=(3, 3),
    neighbourhood=3,
    drop_path=0.0,
    dtype="float32",
)


def shapes_of(config, frames=224, bands=224):
    spec = jax.ShapeDtypeStruct((1, frames, bands), "f4")
    return jax.eval_shape(Dat(config).init, jax.random.key(0), spec)["params"]


def drawn(config, frames, bands):
    """Parameters without a program that draws them."""
    rng = np.random.default_rng(0)
    shapes = shapes_of(config, frames, bands)
    return jax.tree.map(
        lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), shapes
    )


@pytest.mark.parametrize(("size", "millions"), [("tiny", 28.3), ("base", 87.9)])
def test_sizes_of_v1_are_the_published_ones(size, millions):
    config = dat_size("v1", size)
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes_of(config)))
    # Two more colours in the stem, and the head of ImageNet.
    count += 2 * 16 * config.widths[0] + 1000 * (config.width + 1)
    assert round(count / 1e6, 1) == millions


def test_the_other_sizes_differ_in_depth_and_width_alone():
    tiny, small = dat_size("v1", "tiny"), dat_size("v1", "small")
    assert [len(b) for b in small.blocks] == [2, 2, 18, 2]
    changed = {"blocks", "drop_path"}
    for field in dataclasses.fields(tiny):
        same = getattr(tiny, field.name) == getattr(small, field.name)
        assert same != (field.name in changed), field.name
    rates = [rate for stage in small.drop_rates for rate in stage]
    np.testing.assert_allclose(rates, np.linspace(0, 0.3, 24))
    plus = dat_size("pp", "base", convention="text")
    assert (plus.groups, plus.convention) == ((2, 4, 8, 16), "text")


def test_any_spectrogram_is_taken():
    params = drawn(TINY, 24, 16)
    run = jax.jit(Dat(TINY).apply)
    x = jax.random.normal(jax.random.key(1), (1, 9, 13))
    y = run({"params": params}, x)
    assert np.isfinite(y).all()
    # The last frame is in no whole patch: it still counts.
    assert np.abs(run({"params": params}, x.at[:, 8].set(0)) - y).max() > 1e-4


@pytest.mark.survival
@pytest.mark.parametrize("config", [TINY, PLUS], ids=["v1", "pp"])
def test_clips_are_themselves_in_any_batch_and_near_in_bfloat16(config):
    params = {"params": drawn(config, 24, 16)}
    x = jax.random.normal(jax.random.key(1), (3, 24, 16))
    run = jax.jit(Dat(config).apply)
    whole = np.asarray(run(params, x))
    alone = np.asarray(run(params, x[1:2]))
    np.testing.assert_allclose(alone, whole[1:2], atol=1e-5 * np.abs(whole).max())
    half = dataclasses.replace(config, dtype="bfloat16")
    near = np.asarray(jax.jit(Dat(half).apply)(params, x), np.float32)
    error = np.linalg.norm(near - whole) / np.linalg.norm(whole)
    assert 0 < error < 0.05


@pytest.mark.survival
def test_four_devices_compute_what_one_does():
    four = "--xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-m", "tests.models.dat_devices"],
        cwd=pathlib.Path(__file__).parents[2],
        env=os.environ | {"XLA_FLAGS": f"{os.environ['XLA_FLAGS']} {four}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_frequency_is_down_and_time_across():
    params = shapes_of(TINY, 24, 16)
    table = params["stage2_block1"]["attention"]["table"]
    assert table.shape == (2, 3, 5)  # of 2 x 3 cells: bands, frames
    _, sown = jax.eval_shape(
        lambda p, x: Dat(TINY).apply({"params": p}, x, mutable=["intermediates"]),
        params,
        jax.ShapeDtypeStruct((1, 24, 16), "f4"),
    )
    sown = sown["intermediates"]
    assert sown["map"][0].shape == (1, 2, 3, 8)
    assert sown["stage2_block1"]["attention"]["points"][0].shape == (1, 2, 2, 3, 2)


def test_without_deformable_only_the_offset_network_is_missing():
    whole = shapes_of(TINY, 64, 64)
    plain = shapes_of(dataclasses.replace(TINY, deformable=False), 64, 64)
    flat = jax.tree_util.tree_leaves_with_path(whole)
    kept = [(path, leaf) for path, leaf in flat if "offsets" not in str(path)]
    assert 0 < len(kept) < len(flat)
    assert kept == jax.tree_util.tree_leaves_with_path(plain)


def test_noise_is_drawn_in_training_alone_and_by_its_key():
    one_stage = dict(widths=(4,), blocks=("L",), heads=(1,), groups=(1,), taps=(3,))
    config = dataclasses.replace(
        TINY, **one_stage, strides=(1,), input_noise="gaussian", noise_scale=0.5
    )
    params, x = drawn(config, 8, 8), jax.random.normal(jax.random.key(1), (1, 8, 8))
    run = jax.jit(
        lambda key, train: Dat(config).apply(
            {"params": params}, x, train, rngs={"noise": key}
        ),
        static_argnums=1,
    )
    one, two = run(jax.random.key(0), True), run(jax.random.key(1), True)
    assert np.abs(one - two).max() > 1e-3
    quiet = run(jax.random.key(0), False)
    np.testing.assert_array_equal(quiet, run(jax.random.key(1), False))
    assert np.abs(one - quiet).max() > 1e-3


def test_the_adaptor_stands_before_the_stem():
    config = dataclasses.replace(TINY, adaptor_strength=0.005, adaptor_taps=5)
    more = shapes_of(config, 24, 16)["adaptor"]["conv"]
    assert more["kernel"].shape == (5, 5, 1, 1)
    assert "adaptor" not in shapes_of(TINY, 24, 16)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="one entry per stage"):
        DatConfig(widths=(4, 8))
    with pytest.raises(ValueError, match="strings of L, S, N and D"):
        dataclasses.replace(TINY, blocks=("X", "D"))
    with pytest.raises(ValueError, match="3 heads do not divide a width of 4"):
        dataclasses.replace(TINY, heads=(3, 2))
    with pytest.raises(ValueError, match="2 groups do not divide 1 heads"):
        dataclasses.replace(TINY, heads=(1, 1))
