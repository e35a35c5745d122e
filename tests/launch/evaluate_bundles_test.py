"""Bundles of every kind on given data: figures by hand or of the run, and refusals."""

import dataclasses
import json
import types

import jax
import numpy as np
import pytest
import soundfile
from etils import epath

from launch import evaluate
from launch.autoencoders import drawing, sets
from launch.evaluating import INSTEAD, ROOMS, Asked, EvaluationError, room_of
from launch.segmentation import bundle_evaluation as segments
from launch.segmentation import evaluation as segment_evaluation
from launch.segmentation.system import EvaluationConfig
from sigjax import export
from sigjax.config import ConfigError
from sigjax.data.audio_events.clips import EventClip, EventManifest, occurring
from sigjax.data.clips import ManifestError
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.examples.example_set import digest
from sigjax.data.examples.stream import ExampleError, load_examples
from sigjax.data.segmentation.mixture import MixtureConfig
from sigjax.data.segmentation.stream import MixtureData, MixtureDataConfig
from sigjax.evals import classification_figures, segmentation_figures
from sigjax.evals.autoencoders import linear
from sigjax.evals.predictions import read_predictions
from sigjax.inference.base import SignalConfig
from sigjax.inference.segmentation import EventRule, SegmenterConfig
from sigjax.metrics.detection import roc_auc
from sigjax.models.autoencoder import AutoencoderConfig
from sigjax.models.unet import UNetConfig
from sigjax.nn.stack import Layer
from sigjax.signal.mel import MelConfig
from sigjax.tasks.reconstruction_config import ReconstructionConfig
from sigjax.tasks.segmentation import Segmentation, SegmentationConfig
from tests.data.audio_events import tiny_events
from tests.inference import tiny
from tests.launch.example_bundles_test import write_classifier

RATE_HZ, HOP = 16000, 400


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures take most of the time: each kind is drawn by one test alone."""
    blank = b"\x89PNG"
    monkeypatch.setattr(classification_figures, "confusion", lambda *a, **k: None)
    monkeypatch.setattr(classification_figures, "per_person", lambda *a, **k: None)
    monkeypatch.setattr(segmentation_figures, "examples", lambda *a, **k: blank)
    monkeypatch.setattr(drawing, "draw_rows", lambda path, *a, **k: None)


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def edited(bundle, to, **extra):
    """A copy of a bundle that says more under `extra`."""
    info = json.loads((bundle / "bundle.json").read_text())
    return tiny.edited(bundle, to, extra={**info["extra"], **extra})


# Which bundles are evaluated.


def test_every_kind_of_bundle_is_evaluated_or_says_what_to_do_instead(monkeypatch):
    for name, kind in export.MODELS.items():
        monkeypatch.setattr(
            export, "read_info", lambda path, name=name: {"model": name}
        )
        if kind in ROOMS:
            assert callable(room_of("b").evaluate_bundle)
        else:
            with pytest.raises(EvaluationError, match="^b (is|holds) a.*: ") as told:
                room_of("b")
            assert str(told.value) == f"b {INSTEAD[kind]}"
    assert not set(ROOMS) & set(INSTEAD)
    assert "--workdir=RUN" in INSTEAD[export.GeneratorModel]


def test_what_means_nothing_for_a_bundle_is_refused():
    asked = Asked(min_purity=0.5, split="a,,b")
    assert asked.splits == ("a", "b")
    asked.refuse("scheme", "side", why="")
    with pytest.raises(EvaluationError, match="^--min_purity, --split: not here$"):
        asked.refuse("scheme", "min_purity", "split", why="not here")


# Classifiers of examples: classes by the sign of the sum of the first channel.


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    path = tmp_path_factory.mktemp("classifier") / "bundle"
    return write_classifier(path, "arrays", (4,), 1.0, {})


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """20 examples in an .npz, one of them without a label, and which are right."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 4)).astype(np.float32)
    label = (rng.random(20) < 0.5).astype(np.int32)  # 0 up, 1 down: not the model's
    label[7] = -1
    given = {
        "x": x,
        "label": label,
        "classes": ["up", "down"],
        "group": [f"g{n // 5}" for n in range(20)],
        "split": ["train"] * 5 + ["test"] * 15,
    }
    path = tmp_path_factory.mktemp("labelled") / "mine.npz"
    np.savez(path, **given)
    up = x.sum(axis=1) > 0
    return path, given, np.where(label >= 0, up == (label == 0), False)


def test_a_classifier_is_judged_by_names_of_classes(classifier, labelled, tmp_path):
    path, given, right = labelled
    told = evaluate.evaluate_bundle(classifier, path, tmp_path / "out")
    found = metrics(tmp_path / "out")
    assert found["labels"] == 19 and found["classes"] == ["down", "up"]
    assert found["accuracy"]["value"] == pytest.approx(right.sum() / 19)
    assert np.trace(found["confusion"]) == right.sum()
    assert found["confusion"][1] == [
        int(np.sum((given["label"] == 0) & ~right)),
        int(np.sum((given["label"] == 0) & right)),
    ]
    assert found["intervals_over"] == "groups" and found["people"] == 4
    assert f"accuracy          {right.sum() / 19:.3f} [" in told
    said = read_predictions(tmp_path / "out" / "predictions.parquet")
    assert said.classes == ("down", "up") and len(said) == 20


@pytest.mark.usefixtures("undrawn")
def test_a_split_is_evaluated_alone(classifier, labelled, tmp_path):
    path, _, right = labelled
    given = {"split": "test", "bootstrap": 7}
    evaluate.evaluate_bundle(classifier, path, tmp_path / "out", **given)
    found = metrics(tmp_path / "out")
    assert (found["labels"], found["bootstrap"]) == (14, 7)
    assert found["accuracy"]["value"] == pytest.approx(right[5:].sum() / 14)
    with pytest.raises(ExampleError, match="'tset'; there are 'test', 'train'"):
        evaluate.evaluate_bundle(classifier, path, tmp_path, split="tset")
    with pytest.raises(EvaluationError, match="--scheme: for labelled sets of wrist"):
        evaluate.evaluate_bundle(classifier, path, tmp_path, scheme="annotation")


def test_examples_that_cannot_be_judged_are_refused(classifier, tmp_path):
    x = np.zeros((3, 4), np.float32)
    for given, message in (
        ({"x": x}, "no example has a label, so nothing can be judged"),
        ({"x": x, "label": ["up", "left", "up"]}, "1 of its classes .*: left; the"),
        ({"x": x[:, :3], "label": ["up"] * 3}, r"examples of \(3,\), and .* \(4,\)"),
    ):
        np.savez(tmp_path / "x.npz", **given)
        with pytest.raises(ExampleError, match=message):
            evaluate.evaluate_bundle(classifier, tmp_path / "x.npz", tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        evaluate.evaluate_bundle(classifier, tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("undrawn")
def test_examples_that_were_trained_on_are_told_apart(classifier, labelled, tmp_path):
    path, _, _ = labelled
    groups = {"train": ["g0", "g1"], "validation": [], "test": ["g2"]}
    known = {"dataset": {"path": str(path)}, "groups": groups}
    bundle = edited(classifier, tmp_path / "b", **known)
    with pytest.raises(EvaluationError, match="2 of its groups: g0, g1 "):
        evaluate.evaluate_bundle(bundle, path, tmp_path / "out")
    allowed = {"allow_training_people": True}
    told = evaluate.evaluate_bundle(bundle, path, tmp_path / "out", **allowed)
    assert "EXAMPLES OF THIS SET WERE TRAINED ON" in told
    # Another set with people of the same names.
    other = tmp_path / "other.npz"
    other.write_bytes(path.read_bytes())
    told = evaluate.evaluate_bundle(bundle, other, tmp_path / "out")
    assert "groups of these names were trained on: g0, g1" in told
    # The run's own test side, which has the digest that the run noted.
    model = export.load(bundle)
    config = sets.data_of(model, str(path), 64)
    everything = load_examples(config)
    test = digest(everything.examples.rows(everything.split == "test"))
    known["dataset"]["test"] = test
    bundle = edited(classifier, tmp_path / "c", **known)
    told = evaluate.evaluate_bundle(bundle, path, tmp_path / "out", split="test")
    assert "the test examples of the model's own run" in told


# Autoencoders.


def write_autoencoder(path, source, values, code, *, trained_classes=(), **signal):
    """Keeps the first `code` of so many values and loses the rest."""
    eye = np.eye(values, dtype=np.float32)
    halves = {
        "encoder": {"kernel": eye[:, :code], "bias": np.zeros(code, np.float32)},
        "decoder": {"kernel": eye[:code], "bias": np.zeros(values, np.float32)},
    }
    given = dict(rate_hz=0.0, channels=1, units="", window_s=0.0, patch_s=0.0)
    export.save(
        path,
        model="autoencoder",
        params={half: {"layer0": layer} for half, layer in halves.items()},
        model_config=AutoencoderConfig(
            input_shape=(values,),
            encoder=(Layer(kind="dense", width=code),),
            decoder=(Layer(kind="dense", width=values),),
        ),
        signal=SignalConfig(**{**given, **signal}),
        preprocessing={"rate_hz": 8000, "channel": 0, "samples": values},
        source_run={"config": {"data": {"trained_classes": list(trained_classes)}}},
        extra={
            "task_kind": "reconstruction",
            "task": dataclasses.asdict(ReconstructionConfig()),
            "examples": {"source": source, "shape": [values]},
        },
    )
    return path


def test_an_autoencoder_is_set_beside_pca_of_the_rest(tmp_path, monkeypatch):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(60, 5)).astype(np.float32) * [1, 2, 1, 1, 3]
    label = np.where(np.abs(x[:, 4]) > 2, "odd", "usual")
    split = np.array(["train"] * 40 + ["test"] * 20)
    np.savez(tmp_path / "x.npz", x=x, label=label, split=split)
    bundle = write_autoencoder(
        tmp_path / "b", "arrays", 5, 2, trained_classes=("usual",)
    )
    given = bundle, tmp_path / "x.npz"
    told = evaluate.evaluate_bundle(*given, tmp_path / "out", split="test")
    found = metrics(tmp_path / "out")
    test = x[split == "test"].astype(np.float32)
    lost = np.square(test[:, 2:]).sum(axis=1) / 5
    assert found["clean_mse"] == pytest.approx(lost.mean(), rel=1e-5)
    pca = linear.fit_pca(x[split == "train"].astype(np.float32), 2)
    off = np.square(test - pca.reconstruct(test)).mean()
    assert found["pca_mse"] == pytest.approx(off, rel=1e-4)
    assert "PCA is fitted to the other 40 examples of the set" in told
    odd = (label[split == "test"] == "odd").astype(int)
    auc = roc_auc(odd, lost.astype(np.float32))
    assert found["auc_of_other_classes"] == pytest.approx(auc)
    assert (found["examples"], found["code_size"]) == (20, 2)
    assert (tmp_path / "out" / "reconstruction.png").exists()
    monkeypatch.setattr(drawing, "draw_rows", lambda path, *a, **k: None)
    told = evaluate.evaluate_bundle(*given, tmp_path / "all")
    own = linear.fit_pca(x.astype(np.float32), 2).reconstruct(x.astype(np.float32))
    found = metrics(tmp_path / "all")
    assert found["pca_mse"] == pytest.approx(np.square(x - own).mean(), rel=1e-4)
    assert "PCA is fitted to the examples that are evaluated, which favours it" in told


@pytest.mark.usefixtures("undrawn")
def test_an_autoencoder_takes_files_as_launch_predict_does(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    waves = np.random.default_rng(2).integers(-99, 99, (3, 96)).astype(np.int16)
    for number, wave in enumerate(waves):
        soundfile.write(folder / f"{number}.wav", wave, 8000, subtype="PCM_16")
    (folder / "broken.wav").write_bytes(b"no sound")
    known = {"rate_hz": 8000.0, "units": "full scale"}
    bundle = write_autoencoder(tmp_path / "b", "clips", 32, 4, **known)
    told = evaluate.evaluate_bundle(bundle, folder, tmp_path / "out")
    found = metrics(tmp_path / "out")
    windows = waves.reshape(9, 32).astype(np.float64)
    assert found["examples"] == 9
    expected = np.square(windows[:, 4:]).sum() / windows.size
    assert found["clean_mse"] == pytest.approx(expected, rel=1e-5)
    assert f"left out: {folder}/broken.wav" in told
    with pytest.raises(EvaluationError, match="--split: for sets"):
        evaluate.evaluate_bundle(bundle, folder, tmp_path, split="test")


# Segmenters.

CONFIG = SegmenterConfig(
    task=SegmentationConfig(
        target="mask",
        mel=MelConfig(rate_hz=RATE_HZ, n_fft=512, hop=HOP, n_mels=8),
        window_s=0.2,
    ),
    unet=UNetConfig(classes=2, widths=(2, 3)),
    classes=("a", "b"),
    rule=EventRule(threshold=0.5, least_bands=2, gap_s=0.0, least_s=0.0),
)
DRAWN = MixtureDataConfig(
    dataset="",
    mixture=MixtureConfig(window_s=0.2, events=(1, 2), event_s=(0.05, 0.1)),
    batch_size=4,
    held_out_mixtures=6,
    test_fold=1,
    seed=3,
)
HOW = EvaluationConfig(rule=CONFIG.rule, tolerances_s=(0.03,), examples=1)


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    """A set of 8 tones of two classes, in two folds; one is silent."""
    root, clips = epath.Path(tmp_path_factory.mktemp("events")), []
    time = np.arange(3200) / RATE_HZ
    (root / "in").mkdir()
    for number in range(8):
        wave = 8000 * np.sin(2 * np.pi * 400 * (number + 1) * time) * (number != 1)
        name = f"{number}.wav"
        soundfile.write(root / "in" / name, wave.astype(np.int16), RATE_HZ)
        clips.append(
            EventClip(path=name, labels=("ab"[number % 2],), fold=1 + number // 2 % 2)
        )
    manifest = EventManifest(
        root=root / "in",
        clips=tuple(clips),
        kind="single",
        classes=occurring(clips, "single"),
    )
    return tiny_events.built(manifest, root / "sets", name="tones")


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory, events):
    """Random weights, in a bundle that says how its run was judged."""
    task, rng = Segmentation(CONFIG.unet, CONFIG.task), np.random.default_rng(0)
    shapes = jax.eval_shape(task.init, jax.random.key(0), {})
    drawn = jax.tree.map(
        lambda v: np.abs(rng.normal(size=v.shape)).astype(np.float32), shapes
    )
    path = tmp_path_factory.mktemp("segmenter") / "bundle"
    run = types.SimpleNamespace(data=DRAWN, evaluation=HOW)
    export.save(
        path,
        model="segmenter",
        params=drawn["params"],
        state={"batch_stats": drawn["batch_stats"]},
        model_config=CONFIG,
        signal=SignalConfig(
            rate_hz=RATE_HZ, channels=1, units="", window_s=0.2, patch_s=0.025
        ),
        preprocessing={},
        source_run={},
        labels=CONFIG.classes,
        extra={
            "dataset": {"fingerprint": events.fingerprint},
            **segments.how_judged(run),
        },
    )
    return path


@pytest.fixture(scope="module")
def loaded_once(segmenter):
    """It compiles once for all tests."""
    model = export.load(segmenter)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segments, "open_model", lambda path: model)
        yield model


@pytest.mark.usefixtures("undrawn")
def test_a_segmenter_has_the_figures_of_its_run(
    segmenter, events, loaded_once, tmp_path
):
    data = MixtureData(events, DRAWN, sources=True)
    run = types.SimpleNamespace(evaluation=HOW)
    trained = {"chosen_step": 1, "rule": "", "dataset": {}, "model": {}}
    own = segment_evaluation.evaluate(
        loaded_once, run, data, "test", epath.Path(tmp_path / "run"), trained
    )
    told = evaluate.evaluate_bundle(
        segmenter, events.path, tmp_path / "out", split="fold1"
    )
    found = metrics(tmp_path / "out")
    about = found.pop("about")
    own.pop("about")
    assert found == own and found["mixtures"] == 6 and found["cells"]["said"] > 0
    assert about["clips"] == 3 and "1 clips are silent: left out" in told
    assert "mixtures of 3 clips of tones, fold1" in told


def test_clips_that_do_not_fit_a_segmenter_are_refused(
    segmenter, events, loaded_once, tmp_path, monkeypatch
):
    given = segmenter, events.path, tmp_path / "out"
    with pytest.raises(
        EvaluationError, match="trained on clips of .*--split=train, fold1, f"
    ):
        evaluate.evaluate_bundle(*given)
    with pytest.raises(ConfigError, match="no split fold3: it has train, fold1, fold2"):
        evaluate.evaluate_bundle(*given, split="fold1,fold3")
    with pytest.raises(EvaluationError, match="--scheme: for bundles of wrist"):
        evaluate.evaluate_bundle(*given, scheme="x")
    with pytest.raises(DatasetError, match="no finished set here"):
        evaluate.evaluate_bundle(segmenter, tmp_path, tmp_path / "out")
    for name, value, message in (
        ("rate_hz", 8000, "is of 8000 Hz, the model takes 16000 Hz"),
        ("classes", {"label": ("a", "c")}, "1 classes of .* are none .*: c; the model"),
        ("kind", "multi", "of the kind 'multi': mixtures need clips"),
    ):
        opened = type("Other", (), {**vars(events), name: value, "where": None})
        monkeypatch.setattr(segments.EventSet, "open", lambda path, own=opened: own)
        with pytest.raises((ConfigError, DatasetError), match=message):
            evaluate.evaluate_bundle(*given, split="fold1")
    assert not (tmp_path / "out").exists()


def test_an_older_bundle_says_that_its_mixtures_are_others(
    segmenter, events, loaded_once, tmp_path, monkeypatch
):
    info = {**loaded_once.info, "extra": {}}
    monkeypatch.setattr(loaded_once, "info", info)
    found, (remark,) = segments._how_drawn(loaded_once)
    assert found.mixture.event_s == (0.1, 0.2) and found.classes == "set"
    assert "does not say how its run's mixtures were drawn" in remark


def test_recordings_are_judged_by_the_times_of_their_events(
    segmenter, loaded_once, tmp_path, monkeypatch
):
    folder = tmp_path / "in"
    folder.mkdir()
    wave = np.random.default_rng(0).integers(-999, 999, 20 * HOP).astype(np.int16)
    for name in ("one.wav", "rest.wav"):
        soundfile.write(folder / name, wave, RATE_HZ, subtype="PCM_16")
    rows = ["path,start_s,end_s,label", "one.wav,0.1,0.2,a", "one.wav,0.3,0.4,b"]
    (folder / "events.csv").write_text("\n".join(rows) + "\n")
    score = np.zeros((21, 2), np.float32)
    score[4:8, 0] = 0.9  # frames of 25 ms whose middle is in the event
    score[9, 0] = np.nan
    score[14:16, 1] = 0.9  # begins two frames late: its onset is off, its offset is not

    def listen(model, path, asked, strip, batch_size):
        strip.feed((wave / 32768).astype(np.float32))
        return score, 0.5, {}

    heard = segments.listen
    monkeypatch.setattr(segments, "listen", listen)
    told = evaluate.evaluate_bundle(segmenter, folder, tmp_path / "out")
    found = metrics(tmp_path / "out")
    assert (found["frames"]["true"], found["frames"]["said"]) == (8, 6)
    assert found["frames"]["f1"] == pytest.approx(2 * 6 / 14, abs=1e-6)
    (boundaries,) = found["boundaries"]
    assert boundaries["onset_f1"] == pytest.approx(0.5)
    assert boundaries["offset_f1"] == pytest.approx(1.0)
    assert "1 recordings, 0 of them without an event" in told
    assert "cells" not in told and "such as rest.wav" in told
    assert (tmp_path / "out" / "examples.png").exists()
    # As launch.predict hears it, and by the table alone.
    monkeypatch.setattr(segments, "listen", heard)
    monkeypatch.setattr(segmentation_figures, "examples", lambda *a, **k: b"")
    evaluate.evaluate_bundle(segmenter, folder / "events.csv", tmp_path / "again")
    again = metrics(tmp_path / "again")
    assert again["frames"]["true"] == 8
    (folder / "events.csv").write_text("\n".join([*rows, "one.wav,0,1,c"]) + "\n")
    with pytest.raises(ManifestError, match="has events of c; the model knows a, b"):
        evaluate.evaluate_bundle(segmenter, folder, tmp_path / "out")
    with pytest.raises(EvaluationError, match="--split: for sets of clips"):
        evaluate.evaluate_bundle(segmenter, folder, tmp_path / "out", split="a")
