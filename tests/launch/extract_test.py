"""From a manifest to features: exact, in any batches, whoever goes on."""

import dataclasses
import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import soundfile
from absl import flags
from etils import epath

import sigjax
from launch import claims, extract
from launch.calls.encoder import Encoder
from launch.calls.extraction import Extraction, Settings
from sigjax import export
from sigjax.data.calls.buckets import BucketConfig
from sigjax.data.calls.manifest import Call, CallManifest
from sigjax.data.calls.reading import ReadingConfig, read_call
from sigjax.data.clips import ManifestError
from sigjax.evals.layer_features import ClipFeatures, FeaturesError
from sigjax.inference.base import BundleError
from sigjax.models.speech_encoder import SpeechEncoder, SpeechEncoderConfig

CONFIG = SpeechEncoderConfig(
    conv_dim=(8,) * 7, width=16, depth=2, heads=2, mlp=32, pos_taps=8, pos_groups=4
)
# Three shapes; calls above 9000 samples in chunks.
BUCKETS = BucketConfig(budget=12000, ratio=4, longest=9000, chunk=6000)
LENGTHS = {"a": 2000, "b": 1500, "c": 2880, "d": 5000, "e": 20000, "f": 150, "g": 5900}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Of a tiny encoder with random weights."""
    path = tmp_path_factory.mktemp("encoder") / "bundle"
    init = jax.jit(SpeechEncoder(CONFIG).init)
    export.save(
        path,
        model="speech",
        params=init(jax.random.key(0), jnp.zeros((1, 720)))["params"],
        model_config=CONFIG,
        signal=export.SignalConfig(
            rate_hz=16000,
            channels=1,
            units="full scale",
            window_s=0.025,
            patch_s=0.02,
            normalisation="zscore",
        ),
        preprocessing={"normalise": "zscore", "rate_hz": 16000},
        source_run={},
    )
    return path


@pytest.fixture(scope="module")
def encoder(bundle):
    return Encoder(bundle)


def _write(path, samples, rate_hz=16000, seed=0, level=0.2):
    wave = np.random.default_rng(seed).normal(0, level, samples)
    soundfile.write(path, wave.clip(-0.9, 0.9), rate_hz)


@pytest.fixture
def calls(tmp_path):
    """Files of noise of any length."""
    for seed, (name, samples) in enumerate(LENGTHS.items()):
        _write(tmp_path / f"{name}.wav", samples, seed=seed)
    found = [Call(id=n, path=f"{n}.wav", label="xy"[n > "c"]) for n in LENGTHS]
    return CallManifest(root=tmp_path, calls=tuple(found), classes=("x", "y"))


def _settings(**changes):
    settings = Settings(
        reading=ReadingConfig(normalise="zscore"), buckets=BUCKETS, part_s=0.0
    )
    return dataclasses.replace(settings, **changes)


def _run(encoder, manifest, folder, settings=None, **options):
    """An extraction, and what `features.json` then holds."""
    work = Extraction(encoder, manifest, folder, settings or _settings(), **options)
    work.begin()
    work.done = [work.compute(i) for i in range(options.get("processes", 1))]
    return work, work.publish({})


def test_features_are_those_of_each_call_alone(encoder, calls, tmp_path):
    settings = _settings(ddof=1)
    work, _ = _run(encoder, calls, tmp_path / "out", settings)
    assert work.done[0].shapes == 3 and work.done[0].clips == 7
    found = ClipFeatures.open(tmp_path / "out")
    assert found.features.shape == (7, 3, 32) and found.layers == ("0", "1", "2")
    assert found.ids.tolist() == list("abcdefg")
    assert found.label.tolist() == [0, 0, 0, 1, 1, 1, 1]
    # One that stood among longer ones, one in chunks, one shorter than a frame.
    chosen = [1, 4, 5]
    waves = [
        read_call(calls.root, call, max(720, LENGTHS[call.id]), settings.reading).wave
        for call in (calls.calls[i] for i in chosen)
    ]
    # Other batches: each call is one.
    alone = dataclasses.replace(BUCKETS, budget=1)
    expected = encoder.model.embed(waves, normalise="none", ddof=1, buckets=alone)
    np.testing.assert_allclose(found.features[chosen], expected, atol=1e-5)
    assert np.ptp(found.features, axis=0).min() > 1e-3


@pytest.mark.survival
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(encoder, calls, tmp_path):
    whole, _ = _run(encoder, calls, tmp_path / "whole")
    plans, _ = whole.plans(0)
    assert plans == []

    class Stopped(Exception):
        pass

    done = []

    def stop(clips, seconds):
        done.append(clips)
        if len(done) == 3:
            raise Stopped

    work = Extraction(encoder, calls, tmp_path / "out", _settings())
    work.begin()
    assert len(work.plans(0)[0]) > 3
    with pytest.raises(Stopped):
        work.compute(0, stop)
    # Between them were chunks of a long call, of which one is still to come.
    assert done == [1, 1, 2]
    with pytest.raises(FeaturesError, match="has not ended"):
        ClipFeatures.open(tmp_path / "out")
    again, _ = _run(encoder, calls, tmp_path / "out")
    assert 0 < again.done[0].clips == 7 - done[-1] < 7
    np.testing.assert_array_equal(
        ClipFeatures.open(tmp_path / "out").features,
        ClipFeatures.open(tmp_path / "whole").features,
    )


def test_a_changed_manifest_computes_what_is_new(encoder, calls, tmp_path):
    out = tmp_path / "out"
    _run(encoder, calls, out)
    before = ClipFeatures.open(out)
    _write(tmp_path / "a.wav", 2000, seed=50)
    os.utime(tmp_path / "a.wav", ns=(0, 0))
    a, b, *rest = calls.calls
    changed = (
        Call(id="new", path="d.wav", end_s=0.125),
        dataclasses.replace(b, label="y", group="her"),
        Call(id="twin", path="d.wav", end_s=0.125),
        *rest[1:],
        a,
    )
    work, _ = _run(encoder, dataclasses.replace(calls, calls=changed), out)
    assert work.waiting == 2 and work.done[0].clips == 2
    found = ClipFeatures.open(out)
    assert found.ids.tolist() == ["new", "b", "twin", *"defg", "a"]
    assert found.labels.tolist()[1] == "y" and found.groups.tolist()[1] == "her"
    np.testing.assert_array_equal(found.features[3:7], before.features[3:])
    np.testing.assert_array_equal(found.features[1], before.features[1])
    np.testing.assert_array_equal(found.features[0], found.features[2])
    assert np.abs(found.features[7] - before.features[0]).max() > 1e-3
    work, _ = _run(encoder, dataclasses.replace(calls, calls=changed), out)
    assert work.waiting == 0 and work.done[0].shapes == 0


@pytest.mark.survival
def test_two_processes_share_the_calls(encoder, calls, tmp_path):
    _run(encoder, calls, tmp_path / "one")
    work, _ = _run(encoder, calls, tmp_path / "two", processes=2)
    own = [done.clips for done in work.done]
    assert sum(own) == 7 and min(own) >= 3
    np.testing.assert_allclose(
        ClipFeatures.open(tmp_path / "two").features,
        ClipFeatures.open(tmp_path / "one").features,
        atol=1e-5,
    )


def _odd_files(root):
    """Silent, clipped, stereo at 8 kHz, not a number, no sound, cut off."""
    wave = np.random.default_rng(0).normal(0, 0.1, 2000)
    soundfile.write(root / "silent.wav", 0 * wave, 16000)
    soundfile.write(root / "clipped.wav", (50 * wave).clip(-1, 1), 16000)
    soundfile.write(root / "stereo.wav", np.stack([wave[:800], wave[:800]], 1), 8000)
    wave[7] = np.nan
    soundfile.write(root / "nan.wav", wave, 16000, subtype="FLOAT")
    (root / "text.wav").write_text("no sound")


def test_odd_calls_are_counted_and_named(encoder, tmp_path):
    _odd_files(tmp_path)
    names = ("silent", "clipped", "stereo", "nan", "text", "missing")
    rows = [Call(id=name, path=f"{name}.wav") for name in names]
    rows.append(Call(id="late", path="silent.wav", start_s=9.0))
    rows.append(Call(id="past", path="clipped.wav", end_s=0.5))
    manifest = CallManifest(root=tmp_path, calls=tuple(rows), classes=())
    _, told = _run(encoder, manifest, tmp_path / "out")
    found = ClipFeatures.open(tmp_path / "out")
    assert found.ids.tolist() == ["silent", "clipped", "stereo", "past"]
    assert np.isfinite(found.features).all() and found.label.tolist() == [-1] * 4
    left_out = {item["id"]: item["reason"] for item in told["left_out"]}
    assert sorted(left_out) == ["late", "missing", "nan", "text"]
    assert left_out["late"] == "begins behind the end of its file"
    named = {what: one["ids"] for what, one in told["remarks"].items()}
    assert named["silent"] == ["silent"] and named["clipped"] == ["clipped", "past"]
    assert named["of 2 channels: channel 0"] == ["stereo"]
    assert any(what.startswith("end behind") for what in named)
    # What is known keeps its remarks; what could not be read is tried again.
    work, again = _run(encoder, manifest, tmp_path / "out")
    assert work.waiting == 1 and again["remarks"] == told["remarks"]
    assert sorted(map(str, again["left_out"])) == sorted(map(str, told["left_out"]))


def test_nothing_to_read_is_an_error(encoder, tmp_path):
    _odd_files(tmp_path)
    for name in ("missing", "nan"):
        rows = (Call(id="one", path=f"{name}.wav"),)
        manifest = CallManifest(root=tmp_path, calls=rows, classes=())
        with pytest.raises(ManifestError, match="none of 1 calls can be read; one:"):
            _run(encoder, manifest, tmp_path / "out")


def test_a_call_that_changes_while_it_is_read_is_left_out(
    encoder, calls, tmp_path, monkeypatch
):
    # One call is never complete; another is no number.
    monkeypatch.setattr(
        "launch.calls.part_writer.ChunkMerger.add",
        lambda self, row, chunk, chunks, moments: iter(
            (int(r), np.full((3, 32), np.nan if r == 1 else 0, np.float32))
            for r in row
            if r not in (-1, 4)
        ),
    )
    _, told = _run(encoder, calls, tmp_path / "out")
    assert {item["id"]: item["reason"] for item in told["left_out"]} == {
        "b": "its features are not finite",
        "e": "could not be read to its end",
    }


def _flags(**given):
    values = flags.FlagValues()
    extract.define_flags(values)
    values(["extract", *(f"--{key}={value}" for key, value in given.items())])
    return values


def test_the_command(bundle, calls, tmp_path):
    some = dataclasses.replace(calls, calls=(calls.calls[0], calls.calls[5]))
    some.write(tmp_path / "calls.csv")
    given = {
        "bundle": bundle,
        "manifest": tmp_path / "calls.csv",
        "output": tmp_path / "out",
    }
    told = extract.extract(_flags(**given, proj=True, ddof=1))
    text = list(extract.lines(told))
    assert text[0].startswith("       2 calls, 0.0 minutes; 2 computed now")
    assert text[1] == "       1 shorter than 720 samples: repeated to them; f"
    assert "x real time" in text[2] and "compiling 2 shapes" in text[2]
    found = ClipFeatures.open(tmp_path / "out")
    assert found.layers == ("proj", "0", "1", "2") and found.features.shape[1] == 4
    settings = json.loads((tmp_path / "out/features.json").read_text())["settings"]
    assert settings["ddof"] == 1 and settings["reading"]["normalise"] == "zscore"
    again = extract.extract(_flags(**given, proj=True, ddof=1))
    assert len(list(extract.lines(again))) == 2 and again["run"]["computed"] == 0
    with pytest.raises(FeaturesError, match="reading.normalise 'zscore', now 'peak'"):
        extract.extract(_flags(**given, proj=True, ddof=1, normalise="peak"))
    with pytest.raises(ManifestError, match="--channel"):
        extract.extract(_flags(**given, channel="left"))
    with pytest.raises(BundleError, match="--devices=99"):
        extract.extract(_flags(**given, devices=99))
    with pytest.raises(ManifestError, match="'f' has 150 samples"):
        extract.extract(_flags(**given, short="error"))
    with claims.claim(epath.Path(tmp_path / "out"), ".writing"):
        with pytest.raises(FeaturesError, match="another .* writes to"):
            extract.extract(_flags(**given, proj=True, ddof=1))


def test_encoders_are_told_apart_by_their_values(bundle, encoder, monkeypatch):
    assert Encoder(bundle).fingerprint == encoder.fingerprint
    assert Encoder(bundle, norm_stats="hf").fingerprint != encoder.fingerprint
    other = sigjax.load(bundle)
    other.params["proj"]["dense"]["bias"] = other.params["proj"]["dense"]["bias"] + 1e-6
    monkeypatch.setattr(sigjax, "load", lambda path: other)
    assert Encoder(bundle).fingerprint != encoder.fingerprint
    monkeypatch.setattr(sigjax, "load", lambda path: object())
    with pytest.raises(BundleError, match="are of speech encoders"):
        Encoder(bundle)
