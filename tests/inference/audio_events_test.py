"""Bundles of other people's networks, and events of two heads in a recording."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from launch.audio_events import heard as tables
from launch.audio_events import recording
from launch.audio_events.settings import Settings
from sigjax.export import SignalConfig
from sigjax.inference.audio_events import AudioEventsModel, ClipEvents
from sigjax.inference.base import BundleError
from sigjax.models.ast import AstConfig
from sigjax.models.audio_classifier import AudioClassifier, AudioClassifierConfig

BACKBONE = AstConfig(
    frames=24, bands=16, patch=8, stride_t=8, stride_f=8, width=8, depth=1, heads=2,
    mlp=8,
)  # fmt: skip


@functools.cache
def parameters(head):
    heads = (("target", 3),) if head else ()
    module = AudioClassifier(AudioClassifierConfig(heads=heads, ast=BACKBONE))
    x = jnp.zeros((1, 24, 16))
    method = None if head else AudioClassifier.features
    init = functools.partial(module.init, method=method)
    return jax.jit(init)(jax.random.key(0), x)["params"]


def converted(head=True, **extra):
    """Params and `bundle.json` as launch.convert writes them."""
    fbank = {"rate_hz": 4000.0, "n_mels": 16, "shift_ms": 10.0}
    signal = SignalConfig(
        rate_hz=4000.0, channels=1, units="full scale", window_s=0.24, patch_s=0.01
    )
    return parameters(head), {
        "model": "ast",
        "model_config": dataclasses.asdict(BACKBONE),
        "signal": dataclasses.asdict(signal),
        "preprocessing": {"fbank": fbank, "frames": 24, "mean": -4.0, "std": 4.0},
        "labels": ["dog", "rain", "siren"] if head else None,
        "extra": {"head_eps": 1e-6, "target": "multi", **extra},
        "source_run": {},
    }


def test_a_converted_network_hears_what_its_parts_compute():
    params, info = converted()
    model = AudioEventsModel(params, info)
    assert model.multi_label and model.classes == {"target": ("dog", "rain", "siren")}
    assert model.rate_hz == 4000 and model.samples == 960
    wave = np.random.default_rng(0).normal(0, 0.1, (2, 960)).astype(np.float32)
    logits = np.asarray(model.logits(wave)["target"])
    features = np.asarray(model.features(wave))
    head = params["head"]
    normal = (features - features.mean(1, keepdims=True)) / np.sqrt(
        features.var(1, keepdims=True) + 1e-6
    )
    normal = normal * head["norm"]["scale"] + head["norm"]["bias"]
    expected = normal @ head["logits"]["kernel"] + head["logits"]["bias"]
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    found = model.probabilities(wave)["target"]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-expected)), atol=1e-4)
    single = AudioEventsModel(*converted(target="single"))
    assert not single.multi_label and tuple(single.classes) == ("label",)


def test_a_backbone_alone_gives_features_and_says_what_is_missing():
    model = AudioEventsModel(*converted(head=False))
    wave = np.ones((1, 960), np.float32)
    assert model.features(wave).shape == (1, 8)
    assert "features alone" in repr(model)
    with pytest.raises(BundleError, match="without a head: train one with launch.fine"):
        model.predict(wave[0])


def test_classes_and_heads_that_do_not_fit_are_refused():
    params, info = converted()
    with pytest.raises(BundleError, match="names classes of .*2.* heads .*3"):
        AudioEventsModel(params, {**info, "labels": ["dog", "rain"]})


class TwoHeads:
    classes = {"verb": ("cut", "wash"), "noun": ("pan", "knife", "cup")}
    multi_label = False


HEARD = tables.Heard(
    start_s=np.array([0.0, 1.0, 2.0, 3.0]),
    end_s=np.array([2.0, 3.0, 4.0, 5.0]),
    probability={
        "verb": np.array([[0.9, 0.1], [0.8, 0.2], [np.nan, np.nan], [0.4, 0.6]]),
        "noun": np.array(
            [[0.6, 0.3, 0.1], [0.4, 0.3, 0.3], [np.nan] * 3, [0.0, 0.0, 1.0]]
        ),
    },
    remark=["", "", "no sound", ""],
)
ASKED = Settings(hop_s=1.0, event_threshold=0.5)


def test_events_of_each_head_end_where_another_is_likelier():
    events = recording.events_of(HEARD, TwoHeads(), ASKED)
    found = [(e.head, e.label, e.start_s, e.end_s, e.peak) for e in events]
    # A window stands for a hop in its middle; the first reaches to the beginning.
    assert found == [
        ("noun", "pan", 0.0, 1.5, 0.6),
        ("verb", "cut", 0.0, 2.5, 0.9),
        ("noun", "cup", 3.5, 5.0, 1.0),
        ("verb", "wash", 3.5, 5.0, 0.6),
    ]
    several = TwoHeads()
    several.multi_label = True
    asked = dataclasses.replace(ASKED, event_threshold=0.3)
    labels = {e.label for e in recording.events_of(HEARD, several, asked)}
    assert labels == {"cut", "wash", "pan", "knife", "cup"}


def test_tables_of_two_heads():
    asked = dataclasses.replace(ASKED, start_time="2026-03-01T06:00:00")
    rows = tables.windows_table(HEARD, TwoHeads(), asked).to_pylist()
    assert rows[0]["verb"] == "cut" and rows[0]["noun_probability"] == 0.6
    assert rows[2]["verb"] is None and rows[2]["noun_p_cup"] is None
    assert rows[1]["time"] == "2026-03-01T06:00:01.000"
    events = recording.events_of(HEARD, TwoHeads(), ASKED)
    told = tables.events_table(events, asked).to_pylist()
    assert told[2]["time"] == "2026-03-01T06:00:03.500" and told[2]["label"] == "cup"
    assert tables.events_table([], asked).num_rows == 0


def test_means_leave_out_windows_that_are_not_scored():
    np.testing.assert_allclose(HEARD.mean("verb"), [0.7, 0.3])
    clip = ClipEvents(
        classes=TwoHeads.classes,
        windows={"verb": np.array([[0.2, 0.8]]), "noun": np.array([[0.1, 0.7, 0.2]])},
        start_s=np.zeros(1),
        end_s=np.ones(1),
    )
    assert clip.top(1) == [("wash", 0.8)]
    assert (
        str(clip) == "verb: wash 0.80, cut 0.20\nnoun: knife 0.70, cup 0.20, pan 0.10"
    )
