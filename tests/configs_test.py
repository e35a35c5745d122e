"""Every config, variant and sweep point: shapes of init and step, at no cost."""

import importlib.util
import pathlib

import jax
import ml_collections
import pytest

from launch.systems import build_system, parts_of
from launch.wrist.har_probe import HarProbe
from sigjax.config import ConfigError
from sigjax.data.splits import person_split
from sigjax.train import sharding
from sigjax.train.optim import make_optimizer
from sigjax.train.step import make_evaluation_step, make_init, make_train_step

CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
FILES = sorted(path for path in CONFIGS.glob("*.py") if path.name != "__init__.py")
VARIANTS = {
    "mae_wrist": ("", "demo", "hour", "minute", "smoke"),
    "har_wrist": (
        *("", "lstm", "scratch", "harnet", "harnet_lstm"),
        *("demo", "seconds", "smoke"),
    ),
    "mae_seconds": ("", "smoke"),
    "mae_windows": ("", "both", "smoke"),
    "har_probe": ("", "smoke"),
    "asd_sections": (
        *("", "specific", "mobilenet", "branches", "shipped"),
        *("demo", "smoke"),
    ),
    "asd_autoencoder": (
        *("", "conv", "vae", "denoising", "conv+vae+denoising", "demo"),
        *("smoke", "conv+smoke", "vae+smoke", "denoising+smoke"),
    ),
    "audio_events": (
        *("", "kinetics_sounds", "vggsound", "epic_kitchens+ast", "audioset+ast"),
        *("esc50", "esc10", "scratch", "compact", "demo", "smoke"),
    ),
    "segmentation": (
        *("", "frames", "event", "no_skips", "fcn8", "fcn16+no_skips", "dat", "ast"),
        *("sections", "mobilenet", "stack", "compact", "demo", "smoke"),
    ),
    "speech_encoder": ("", "nano", "demo", "smoke"),
    "autoencoder": (
        *("", "conv", "vae", "deep", "overcomplete", "tied", "denoising", "l2"),
        *("digits+linear", "digits+conv+denoising", "digits+sparse", "conv+tied"),
        *("digits+contractive", "digits+vae", "fsdd", "fsdd+vae", "fsdd+denoising"),
        *("wrist", "wrist+vae", "waves", "digits+he", "fsdd+glorot"),
        *("conv+orthogonal", "demo", "smoke"),
        *("fsdd+initial", "wrist+initial+greedy", "digits+denoising+initial+greedy"),
    ),
    "code_classifier": ("", "fsdd", "wrist", "wrist+mae", "frozen", "smoke"),
    "gan": (
        *("", "adversarial", "spectral+hinge", "digits", "digits+adversarial"),
        *("mnist", "mnist+spectral", "fsdd", "fsdd+adversarial", "digits+dcgan"),
        *("digits+adversarial+dcgan", "smoke"),
    ),
}
# Blocks of a deformable transformer take seconds to trace: what all points of its
# config have in common is traced once, the rest of them is built.
TRACED = {
    "audio_events": ("", "epic_kitchens+ast", "audioset+ast"),
    "segmentation": ("smoke", "fcn8", "ast"),
    "speech_encoder": ("smoke",),
    # Of the many points that differ in values alone.
    "autoencoder": (
        *("", "conv", "deep", "conv+tied", "digits+conv+denoising", "digits+sparse"),
        *("digits+contractive", "digits+vae", "fsdd+vae", "wrist", "smoke"),
    ),
    "gan": ("", "adversarial", "spectral+hinge", "digits", "fsdd", "smoke"),
}


def module(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def points(path):
    return list(getattr(module(path), "sweep", list)())


POINTS = [
    pytest.param(path, "", index, id=f"{path.stem}-sweep{index}")
    for path in FILES
    for index in range(len(points(path)))
] + [
    pytest.param(path, variant, None, id=f"{path.stem}-{variant or 'default'}")
    for path in FILES
    for variant in VARIANTS[path.stem]
]


@pytest.mark.parametrize(("path", "variant", "index"), POINTS)
def test_config_builds_and_its_step_traces(path, variant, index):
    config = module(path).get_config(variant)
    config.lock()
    if index is not None:
        config.update_from_flattened_dict(points(path)[index])
    systems = [build_system(part) for part in parts_of(config).values()]
    traced = TRACED.get(path.stem, VARIANTS[path.stem])
    first = variant in traced and (index is None or path.stem not in TRACED)
    if first:
        assert_traces(systems[0])
    for system in systems[first:]:  # they differ in values, hardly in shapes
        system.make_task()
        make_optimizer(system.optim, steps_per_epoch=10, total_steps=100)


def assert_traces(system):
    if isinstance(system, HarProbe):
        return  # a regression: nothing is traced
    task = system.make_task()
    optimizer = make_optimizer(system.optim, steps_per_epoch=10, total_steps=100)
    batch = system.batch_spec()
    state = jax.eval_shape(make_init(task, optimizer), jax.random.key(0), batch)
    step = make_train_step(task, optimizer, accumulation=system.train.accumulation)
    after, metrics = jax.eval_shape(step, state, batch)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert all(value.shape == () for value in metrics.values())
    mesh = sharding.make_mesh(system.mesh, jax.devices()[:1])
    sharding.state_sharding(state, mesh, system.mesh.rules)
    weight = jax.ShapeDtypeStruct((system.data.batch_size,), "float32")
    sums = jax.eval_shape(
        make_evaluation_step(task), state, batch | {"weight": weight}, jax.random.key(0)
    )
    assert {"loss", "examples"} <= set(sums)


@pytest.mark.parametrize(
    ("name", "variant"), [("mae_wrist", ""), ("har_wrist", "scratch")]
)
def test_every_partition_rule_meets_a_parameter(name, variant):
    import re

    system = build_system(module(CONFIGS / f"{name}.py").get_config(variant))
    assert system.mesh.rules
    optimizer = make_optimizer(system.optim, steps_per_epoch=10, total_steps=100)
    state = jax.eval_shape(
        make_init(system.make_task(), optimizer),
        jax.random.key(0),
        system.batch_spec(),
    )
    names = [
        sharding._name(path)
        for path, _ in jax.tree_util.tree_leaves_with_path(state.params)
    ]
    for pattern, _ in system.mesh.rules:
        assert any(re.search(pattern, name) for name in names), pattern


def test_the_paper_sees_256_windows_of_300_tokens_a_step():
    system = build_system(module(CONFIGS / "mae_wrist.py").get_config())
    task = system.make_task()
    shape = jax.eval_shape(task.windows, system.batch_spec()).shape
    assert shape == (256, 300, 900)
    assert task.masked == 180


def test_an_unknown_variant_names_the_known_ones():
    with pytest.raises(ValueError, match="demo, hour, minute, smoke"):
        module(CONFIGS / "mae_wrist.py").get_config("dmeo")


def test_an_unknown_system_names_the_known_ones():
    with pytest.raises(ConfigError, match="one of wrist_mae, har_wrist.*'mae_wrist'"):
        build_system(ml_collections.ConfigDict({"system": "mae_wrist"}))


def test_the_sides_that_a_config_names_are_in_its_division():
    seen = 0
    for variant in VARIANTS["har_wrist"]:
        data = module(CONFIGS / "har_wrist.py").get_config(variant).data
        if data.split:
            dataset = "sp_sw_har" if variant == "seconds" else "capture24"
            sides = person_split(data.split, dataset=dataset)
            assert {data.train, data.test} <= set(sides), variant
            seen += 1
    assert seen == 6


def test_ablations_of_the_deformable_transformer_change_what_they_say():
    """Table 4 on the smallest network: which parameters there are."""
    path = CONFIGS / "audio_events.py"
    names = []
    for point in points(path):
        config = module(path).get_config("smoke")
        config.update_from_flattened_dict(point)
        task = build_system(config).make_task()
        made = jax.eval_shape(
            task.model.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 48, 32), "f4")
        )
        leaves = jax.tree_util.tree_leaves_with_path(made["params"])
        names.append({sharding._name(path) for path, _ in leaves})
    without, plain, gaussian, laplace, strong, weak = names
    assert plain == gaussian == laplace and strong == weak
    assert any("offsets" in name for name in plain - without) and without < plain
    assert all("adaptor" in name for name in weak - plain) and plain < weak


def test_variants_of_audio_events_are_joined_from_left_to_right():
    get = module(CONFIGS / "audio_events.py").get_config
    c = get("esc50+ast")
    assert (c.encoder.kind, c.task.frames, c.train.epochs) == ("ast", 512, 25.0)
    with pytest.raises(ValueError, match="audio_events.py:asl is unknown; .* audioset"):
        get("esc50+asl")
