"""Segmenters that start from trained backbones: what arrives, and what is refused."""

import dataclasses
import types
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath
from flax import traverse_util

from configs import segmentation
from launch.finetune import finetune
from launch.segmentation import finetuning, weights
from launch.systems import build_system
from sigjax import export
from sigjax.config import ConfigError
from sigjax.inference.event_config import EventModelConfig
from sigjax.inference.segmentation import SegmenterConfig
from sigjax.models.ast import AstConfig
from sigjax.models.audio_classifier import AudioClassifier, AudioClassifierConfig
from sigjax.models.autoencoder import Autoencoder, AutoencoderConfig
from sigjax.models.dat import DatConfig
from sigjax.models.encoder_decoder import EncoderDecoder
from sigjax.nn.stack import Layer
from sigjax.signal.fbank import FbankConfig
from sigjax.tasks.audio_events import AudioEventsConfig
from sigjax.tasks.reconstruction_config import ReconstructionConfig
from sigjax.train.optim import make_optimizer
from sigjax.train.step import make_init
from tests.inference import tiny
from tests.inference.tiny_sounds import classifier

# Smaller than the task's 25 frames of 16 bands: positions are resized.
AST = AstConfig(
    frames=24, bands=24, patch=8, stride_t=8, stride_f=8, width=8, depth=1, heads=2,
    mlp=8, dtype="float32",
)  # fmt: skip
DAT = DatConfig(
    widths=(4, 8), blocks=("L", "D"), heads=(1, 2), groups=(1, 1), strides=(1, 1),
    taps=(5, 3), drop_path=0.0, adaptor_strength=0.005, dtype="float32",
)  # fmt: skip
CONV = Layer(kind="conv", width=3, taps=3, stride=2, padding=1, norm="batch")
STACK = (CONV, dataclasses.replace(CONV, width=4, activation="relu"))
OWN = {  # What a config says; theirs is taken.
    "ast": dict(patch=8, stride_t=8, stride_f=8, width=4, depth=2, heads=1, mlp=4),
    "dat": dict(
        widths=(4, 8),
        blocks=("L", "D"),
        heads=(1, 2),
        groups=(1, 1),
        strides=(1, 1),
        taps=(5, 3),
    ),  # fmt: skip
    "sections": dict(classes=0, stem=2, channels=4, expansion=(1,), blocks=(1,)),
    "stack": (dict(kind="conv", width=2, taps=3),),
}


def system_of(kind, path="", **changes) -> Any:
    config = segmentation.get_config(f"{kind}+smoke")
    config.mesh.data = 1
    config.model.encoder_decoder[kind] = OWN[kind]
    config.encoder.weights = str(path)
    config.update_from_flattened_dict(changes)
    return build_system(config)


def save(path, kind, params, model_config, state=None, extra=None):
    signal = export.SignalConfig(
        rate_hz=16000.0, channels=1, units="full scale", window_s=0.48, patch_s=0.02
    )
    export.save(
        path,
        model=kind,
        params=params,
        state=state,
        model_config=model_config,
        signal=signal,
        preprocessing={},
        source_run={"step": 7},
        labels=("one", "two"),
        extra=extra,
    )
    return path


def audio(path, **backbone):
    model = AudioClassifierConfig(heads=(("label", 2),), **backbone)
    x = jnp.zeros((1, 24, 24))
    params = tiny.random_variables(AudioClassifier(model), x)["params"]
    task = AudioEventsConfig(
        target="single", fbank=FbankConfig(rate_hz=16000.0, n_mels=24), frames=24,
        window_s=0.25, mean=-4.0, std=4.0, mixup=0.0, time_mask=0, band_mask=0,
    )  # fmt: skip
    classes = (("label", ("one", "two")),)
    config = EventModelConfig(task=task, model=model, classes=classes)
    return save(path, "audio_events", params, config), {"params": params["backbone"]}


def encoder_of(path, layers=STACK, base="none", **changes):
    """Bundle of an autoencoder of the smoke config's log-mels, and its encoder."""
    task = system_of("stack").task.input
    model = AutoencoderConfig(
        input_shape=(16, 16, 1),
        base=base,
        encoder=(*layers, Layer(kind="flatten"), Layer(kind="dense", width=2)),
        decoder=(
            Layer(kind="dense", width=256),
            Layer(kind="reshape", shape=(16, 16, 1)),
        ),
    )
    variables = tiny.random_variables(Autoencoder(model), jnp.zeros((1, 16, 16, 1)))
    extra = {
        "task_kind": "reconstruction",
        "task": dataclasses.asdict(
            ReconstructionConfig(input=dataclasses.replace(task, **changes))
        ),
        "examples": {"source": "clips", "shape": [4800]},
    }
    params = variables.pop("params")
    save(path, "autoencoder", params, model, variables, extra)
    named = {"params": params, **variables}
    kept = [f"layer{number}" for number in range(len(layers))]
    return path, {
        name: {layer: tree["encoder"][layer] for layer in kept}
        for name, tree in named.items()
        if "encoder" in tree
    }


def segmenter(path):
    """Bundle of a segmenter with a stack, and all of its variables."""
    system = system_of("stack")
    own = dataclasses.replace(system.model.encoder_decoder, classes=2, stack=STACK)
    variables = tiny.random_variables(EncoderDecoder(own), jnp.zeros((1, 25, 16, 1)))
    params = variables.pop("params")
    config = SegmenterConfig(
        task=system.task, encoder_decoder=own, classes=("one", "two"),
        rule=system.evaluation.rule,
    )  # fmt: skip
    save(path, "segmenter", params, config, variables)
    return path, {"params": params, **variables}


def flat(tree):
    return {"/".join(k): v for k, v in traverse_util.flatten_dict(dict(tree)).items()}


def same(one, other, but=""):
    """Equal names and numbers, but for tables of positions."""
    one, other = flat(one), flat(other)
    assert one.keys() == other.keys() and one
    for name, value in one.items():
        if name.split("/")[-1] == but:
            continue
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def given_of(system, tmp_path):
    found = weights.pretrained(system, epath.Path(tmp_path))
    assert all(set(tree) == {"encoder"} for tree in found.given.values())
    return found, {name: tree["encoder"] for name, tree in found.given.items()}


def test_an_encoder_starts_from_exactly_those_numbers_and_the_decoder_does_not(
    tmp_path, monkeypatch
):
    path, theirs = segmenter(tmp_path / "bundle")
    system = system_of("stack", path)
    data: Any = types.SimpleNamespace(classes=("a", "b", "c"), remarks=[])
    start = finetuning.start(system, data, epath.Path(tmp_path), lambda: None)
    config = start.task.model_config
    assert config.stack == STACK and config.classes == 3  # the data's, not two
    optim = make_optimizer(system.optim, steps_per_epoch=1, total_steps=1)
    # As random as the task's own, without compiling it.
    drawn = tiny.random_variables(EncoderDecoder(config), jnp.zeros((1, 25, 16, 1)))
    drawn = jax.tree.map(lambda value: value + 1, drawn)
    monkeypatch.setattr(start.task, "init", lambda key, batch: drawn)
    made = make_init(start.task, optim)(jax.random.key(0), {}, start.given).variables
    for name in ("params", "batch_stats"):
        same(made[name]["encoder"], theirs[name]["encoder"])
        rest = {k: v for k, v in made[name].items() if k != "encoder"}
        assert "decode0" in rest
        same(rest, {k: drawn[name][k] for k in rest})
    kernel = made["params"]["decode1"]["conv1"]["kernel"]
    assert not np.allclose(kernel, theirs["params"]["decode1"]["conv1"]["kernel"])


def test_encoders_come_out_of_every_kind_of_bundle(tmp_path):
    path, theirs = audio(tmp_path / "ast", ast=AST)
    found, given = given_of(system_of("ast", path), tmp_path)
    same(given["params"], theirs["params"], but="positions")
    assert theirs["params"]["positions"].shape == (3, 3, 8)
    assert given["params"]["positions"].shape == (2, 3, 8)  # of 16 bands, 25 frames
    ours = found.model.encoder_decoder
    assert ours.ast.width == 8 and ours.width == 24  # theirs, and the decoder's own
    assert "resized" in found.notes[1] and "24 bands" in found.notes[0]
    assert found.source == {"bundle": str(path), "step": 7}

    path, theirs = audio(tmp_path / "dat", dat=DAT)
    found, given = given_of(system_of("dat", path), tmp_path)
    trained = {k: v for k, v in theirs["params"].items() if k != "adaptor"}
    assert len(trained) == len(theirs["params"]) - 1
    same(given["params"], trained, but="table")
    assert found.notes[1] == "left out of the weights: adaptor"

    path, theirs = encoder_of(tmp_path / "autoencoder")
    found, given = given_of(system_of("stack", path), tmp_path)
    same(given, theirs)
    assert found.model.encoder_decoder.stack == STACK and not found.notes
    path, theirs = encoder_of(tmp_path / "deviations", base="mean")
    found, given = given_of(system_of("stack", path), tmp_path)
    same(given, theirs)
    assert "saw log-mels less their mean example" in found.notes[0]


def test_a_detectors_stages_come_without_what_is_of_its_clips_size(
    tmp_path, monkeypatch
):
    network = classifier()
    detector = object.__new__(export.SoundDetector)
    detector.network, detector.info = network, {"source_run": {}}
    monkeypatch.setattr(weights, "bundle_in", lambda path: epath.Path(path))
    monkeypatch.setattr(export, "read_info", lambda path: {"model": "sound_detector"})
    monkeypatch.setattr(export, "load", lambda path: detector)
    found, given = given_of(system_of("sections", "some"), tmp_path)
    assert set(given) == {"params", "batch_stats"}
    theirs = network.variables["params"]["model"]
    kept = {k: v for k, v in theirs.items() if k.startswith(("stem", "stage"))}
    assert "global" in theirs and "stage1_block1" in kept
    same(given["params"], kept)
    assert found.model.encoder_decoder.sections.channels == 8


def test_what_does_not_fit_is_listed(tmp_path):
    system = system_of("stack", encoder_of(tmp_path / "good")[0])
    wanted = flat(weights._shapes(system_of("stack"))["params"])
    shapes = {k: np.zeros(v.shape, np.float32) for k, v in wanted.items()}
    shapes["layer0/kernel"] = np.zeros((3, 3, 1, 5), np.float32)
    shapes["layer7/kernel"] = shapes.pop("layer0/bias")
    given = {"params": traverse_util.unflatten_dict(shapes, sep="/")}
    with pytest.raises(ConfigError) as error:
        weights._check_names(given, weights._shapes(system_of("stack")), "here")
    assert str(error.value) == (
        "here does not fit the encoder; missing: params/layer0/bias; of no use:"
        " params/layer7/kernel; of another shape: params/layer0/kernel (3, 3, 1, 5),"
        " not (3, 3, 1, 2)"
    )

    def refused(system, match):
        with pytest.raises(ConfigError, match=match):
            finetuning.check(system)
            weights.pretrained(system, epath.Path(tmp_path))

    # A bundle that lost an array, through the whole of it.
    (tmp_path / "lost").mkdir()
    path, _ = segmenter(tmp_path / "lost" / "bundle")
    model: Any = export.load(path)
    params = jax.tree.map(np.asarray, model.params)
    del params["encoder"]["layer1"]["bias"]
    save(path, "segmenter", params, model.config, jax.device_get(model.state))
    refused(system_of("stack", tmp_path / "lost"), "missing: params/layer1/bias$")

    path, _ = audio(tmp_path / "ast", ast=AST)
    refused(system_of("dat", path), "the kind 'ast', model.encoder_decoder has 'dat'")
    config = segmentation.get_config("smoke")
    config.encoder.weights = str(path)
    refused(build_system(config), "needs a network with a backbone.*got 'unet'")
    path, _ = encoder_of(tmp_path / "other", top_db=60.0)
    refused(system_of("stack", path), "make task.mel and task.top_db equal")
    path, _ = encoder_of(tmp_path / "dense", layers=())
    refused(system_of("stack", path), "begins with flatten; a segmenter takes")
    tiny.write_bundle(tmp_path / "wrist")
    refused(system_of("stack", tmp_path / "wrist"), "no backbone of spectrograms")
    refused(system_of("stack", tmp_path / "nothing"), "neither bundle.json nor")
    assert weights.pretrained(system, epath.Path(tmp_path)).given


def test_runs_without_weights_start_from_nothing(tmp_path):
    system = system_of("stack")
    found = weights.pretrained(system, epath.Path(tmp_path))
    assert found.model is system.model and not found.given


@pytest.mark.survival
def test_a_run_keeps_an_encoder_that_shall_not_learn(tmp_path):
    """Trained, exported and told, through the command's function."""
    path, theirs = audio(tmp_path / "ast", ast=AST)
    config = segmentation.get_config("ast+smoke")
    config.mesh.data = 1
    config.encoder.weights = str(path)
    config.optim.multipliers = (("^encoder/", 0.0),)
    result = finetune(config, tmp_path / "run")
    assert result["encoder"]["weights"] == str(path)
    made = finetuning.open_bundle(epath.Path(tmp_path / "run"))
    same(made.params["encoder"], theirs["params"], but="positions")
    assert f"encoder {path}" in finetuning.summary(result, epath.Path(tmp_path))
