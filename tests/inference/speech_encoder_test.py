"""Bundles of speech encoders: from a snapshot's folder to features of clips."""

import json

import numpy as np
import pytest

import sigjax
from launch import convert
from sigjax.convert.pickles import WeightsError
from sigjax.data.audio import AudioError
from sigjax.data.calls.buckets import BucketConfig
from sigjax.inference.base import BundleError
from sigjax.inference.speech_encoder import ChunkMerger, SpeechEncoderModel
from sigjax.models.speech_encoder import Moments
from tests.convert.speech_files import SETTINGS, safetensors, state_of

# One width for all clips of the tests, so that little is compiled; 3000 and more are
# read in chunks of 1500.
BUCKETS = BucketConfig(
    first=1500, longest=3000, chunk=1500, least=400, ratio=2, budget=4500
)
VOCABULARY = {"<pad>": 0, "a": 1, "|": 2}


def snapshot(path):
    path.mkdir()
    files = {
        "config.json": SETTINGS,
        "preprocessor_config.json": {"sampling_rate": 16000, "do_normalize": True},
        "vocab.json": VOCABULARY,
    }
    for name, value in files.items():
        (path / name).write_text(json.dumps(value))
    state = state_of(ctc=3) | {"classifier.bias": np.zeros(2, "f4")}
    (path / "model.safetensors").write_bytes(safetensors(state))
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("speech")
    found = convert.convert(snapshot(path / "hub"), "speech", path / "bundle")
    assert convert.report(found).endswith("ignored 1 arrays of heads: classifier.bias")
    return path / "bundle"


@pytest.fixture(scope="module")
def model(bundle):
    return sigjax.load(bundle)


def clips(*lengths):
    rng = np.random.default_rng(0)
    return [(0.1 * rng.normal(size=n)).astype("f4") for n in lengths]


def moments_of(frames):
    """Features of frames `[l, t, d]` by the book, in double precision."""
    frames = np.asarray(frames, np.float64)
    return np.concatenate([frames.mean(axis=1), frames.std(axis=1)], axis=-1)


def test_a_snapshot_becomes_a_bundle_that_says_what_it_is(bundle, model):
    assert isinstance(model, SpeechEncoderModel)
    assert model.labels == ("<pad>", "a", "|")
    assert (model.rate_hz, model.normalise) == (16000, "zscore")
    assert "hubert, 2 blocks, CTC head of 3 tokens; embed: clips at 16,000" in repr(
        model
    )
    info = json.loads((bundle / "bundle.json").read_text())
    assert info["source_run"]["ignored"] == ["classifier.bias"]
    assert info["source_run"]["file"] == "model.safetensors"
    assert info["extra"] == {"layout": "transformers"}
    assert info["signal"]["normalisation"] == "zscore"


def test_the_command_takes_no_frames(bundle, tmp_path):
    with pytest.raises(WeightsError, match="hub: frames and bands are of spectrograms"):
        convert.convert(bundle.parent / "hub", "speech", tmp_path, frames=5)


def test_features_of_a_clip_depend_on_it_alone(model):
    waves = clips(1500, 900, 1201, 730)
    together = model.embed(waves, buckets=BUCKETS)
    assert together.shape == (4, 3, 16)
    # Frames differ by a hundred times what features may.
    assert together[:, :, 8:].max(axis=-1).min() > 1e-3
    assert np.abs(together[0] - together[1]).max() > 0.01
    for number, wave in enumerate(waves):
        alone = model.embed(wave, buckets=BUCKETS)
        np.testing.assert_allclose(alone[0], together[number], atol=1e-5)


def test_features_are_moments_of_frames(model):
    wave = clips(1200)[0]
    frames = model.layers(wave)
    # Three convolutions of (10, 3, 2) taps, strides 5, 2, 2.
    assert frames.layers.shape == (3, 59, 8)
    assert (frames.cnn.shape, frames.proj.shape) == ((59, 6), (59, 8))
    assert frames.logits is not None and frames.logits.shape == (59, 3)
    np.testing.assert_array_equal(frames.last, frames.layers[-1])
    found = model.embed(wave, buckets=BUCKETS, proj=True)[0]
    expected = moments_of([frames.proj, *frames.layers])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    sample = model.embed(wave, buckets=BUCKETS, ddof=1)[0]
    np.testing.assert_allclose(
        sample[:, 8:], expected[1:, 8:] * np.sqrt(59 / 58), atol=1e-5
    )


def test_chunks_of_long_clips_are_put_together(model):
    # Two chunks of 1500, and a tail too short for its own.
    (long,) = clips(3000 + 399)
    found = model.embed(long, normalise="none", buckets=BUCKETS)[0]
    parts = [long[:1500], long[1500:]]
    frames = [model.layers(part, normalise="none").layers for part in parts]
    assert [f.shape[1] for f in frames] == [74, 94]
    expected = moments_of(np.concatenate(frames, axis=1))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # Statistics of the whole clip, not of its chunks.
    louder = long * np.where(np.arange(len(long)) < 1500, 1, 5).astype("f4")
    scaled = (louder - louder.mean()) / np.sqrt(louder.var() + 1e-7)
    np.testing.assert_allclose(
        model.embed(louder, buckets=BUCKETS),
        model.embed(scaled, normalise="none", buckets=BUCKETS),
        atol=1e-5,
    )


def test_chunks_may_come_in_any_order():
    rng = np.random.default_rng(0)
    frames = rng.normal(3, 1, size=(3, 5, 2, 4))  # part, t, l, d
    m2 = frames.var(axis=1) * 5
    moments = Moments(np.full(3, 5.0, "f4"), frames.mean(axis=1), m2)
    merger, order = ChunkMerger(), np.array([2, 0, 1])
    one = Moments(*(x[order[:2]].astype("f4") for x in moments))
    two = Moments(*(x[order[[2, 2]]].astype("f4") for x in moments))
    assert not list(merger.add(np.array([7, 7]), order[:2], np.array([3, 3]), one))
    row, chunk, chunks = np.array([7, -1]), np.array([1, 0]), np.array([3, 0])
    ((number, found),) = merger.add(row, chunk, chunks, two)
    whole = frames.reshape(15, 2, 4)
    expected = np.concatenate([whole.mean(axis=0), whole.std(axis=0)], axis=-1)
    assert number == 7
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_levels_rates_and_counts(model):
    (wave,) = clips(1400)

    def embed(wave, **options):
        return model.embed(wave, buckets=BUCKETS, **options)

    expected = embed(wave, normalise="peak")
    for louder in (2 * wave, -0.01 * wave * -1):
        got = embed(louder, normalise="peak")
        np.testing.assert_allclose(got, expected, atol=1e-5)
    # The group norm of the first layer sees levels only where its epsilon does.
    assert np.abs(embed(1e-3 * wave, normalise="none") - expected).max() > 1e-2
    counts = np.round(wave * 32768).astype(np.int16)
    np.testing.assert_array_equal(
        embed(counts), embed(counts.astype("f4") / np.float32(32768))
    )
    import soxr

    slow = soxr.resample(wave, 16000, 8000, quality="HQ")
    back = soxr.resample(slow, 8000, 16000, quality="HQ")
    np.testing.assert_array_equal(embed(slow, rate_hz=8000), embed(back))
    assert np.isfinite(embed(np.zeros(1400, "f4"))).all()


def test_short_clips_are_repeated_or_refused(model):
    short = clips(100)[0]
    repeated = np.resize((short - short.mean()) / np.sqrt(short.var() + 1e-7), 720)
    np.testing.assert_allclose(
        model.embed(short, buckets=BUCKETS),
        model.embed(repeated, normalise="none", buckets=BUCKETS),
        atol=1e-5,
    )
    with pytest.raises(BundleError, match="wave 1 has 100 samples at 16,000 Hz, fewer"):
        model.embed([np.ones(800), short], short="error", buckets=BUCKETS)


@pytest.mark.parametrize(
    ("waves", "message"),
    [
        ([np.ones(800), np.full(800, np.nan)], "wave 1: 800 samples are no numbers"),
        ([np.ones((2, 800))], "choose a channel"),
        ([], "no waves were given"),
        ([np.zeros(0)], "wave 0: holds no samples"),
    ],
)
def test_what_is_no_clip_is_named(model, waves, message):
    with pytest.raises(AudioError, match=message):
        model.embed(waves)


def test_batches_of_other_shapes_are_refused(model):
    with pytest.raises(BundleError, match=r"shapes \(800,\) and \(1,\)"):
        model.apply(np.zeros(800), np.array([800]))


def test_a_bundle_whose_parts_do_not_fit_is_refused(model):
    with pytest.raises(BundleError, match="names 1 tokens but its head has 3"):
        SpeechEncoderModel(model.params, {**model.info, "labels": ["a"]})
