"""Reading calls: odd ones have a stated fate, and lengths are known beforehand."""

import numpy as np
import pytest
import soundfile

from sigjax.data import audio
from sigjax.data.calls import layouts
from sigjax.data.calls.batches import CallBatches
from sigjax.data.calls.buckets import BucketConfig, plan
from sigjax.data.calls.manifest import Call
from sigjax.data.calls.reading import (
    ReadingConfig,
    Short,
    normalised,
    read_call,
    stretch_samples,
    survey,
)
from sigjax.data.clips import ManifestError

PEAK = ReadingConfig(normalise="peak")
PLAIN = ReadingConfig(normalise="none")
RNG = np.random.default_rng(0)


def _write(path, wave, rate_hz=16000, subtype="PCM_16"):
    soundfile.write(path, wave, rate_hz, subtype=subtype)


def _call(path, start_s=0.0, end_s=None, name=None):
    return Call(id=name or path, path=path, start_s=start_s, end_s=end_s)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 44100, 48000, 96000, 192000])
def test_lengths_are_known_from_headers_alone(tmp_path, rate_hz):
    _write(tmp_path / "a.wav", RNG.uniform(-0.5, 0.5, 1 + rate_hz // 2), rate_hz)
    info = audio.probe(tmp_path / "a.wav")
    calls = [
        _call("a.wav"),
        _call("a.wav", 0.1),
        _call("a.wav", 0.12345, 0.3),
        _call("a.wav", 0.3, 9.0),
        _call("a.wav", 0.4, 0.4001),
    ]
    found = survey(tmp_path, calls, PLAIN)
    for call, samples in zip(calls, found.samples, strict=True):
        duration_s = None if call.end_s is None else call.end_s - call.start_s
        wave, _ = audio.read(
            tmp_path / "a.wav",
            start_s=call.start_s,
            duration_s=duration_s,
            rate_hz=16000,
        )
        # The resampler may give one sample less at the end of a file.
        assert 0 <= stretch_samples(call, info, 16000) - len(wave) <= 1
        read = read_call(tmp_path, call, int(samples), PLAIN)
        assert len(read.wave) == samples and not read.reason
        same = min(len(wave), samples)
        np.testing.assert_array_equal(read.wave[:same], wave[:same])
    assert found.samples[-1] == 720  # two frames
    np.testing.assert_allclose(found.seconds[2:4], [0.17655, 0.2], atol=2e-4)


@pytest.mark.parametrize("samples", [1, 2, 399, 400, 719, 720, 4999, 5000])
def test_short_calls_are_repeated(tmp_path, samples):
    wave = RNG.uniform(-0.5, 0.5, samples).astype(np.float32)
    _write(tmp_path / "a.wav", wave, subtype="FLOAT")
    calls = [_call("a.wav")]
    least_of: dict[Short, int] = {"pad": 720, "tile5000": 5000}
    for short, least in least_of.items():
        config = ReadingConfig(normalise="none", short=short)
        found = survey(tmp_path, calls, config)
        assert found.samples[0] == max(samples, least)
        read = read_call(tmp_path, calls[0], int(found.samples[0]), config).wave
        np.testing.assert_array_equal(read, np.resize(wave, max(samples, least)))
        assert bool(found.remarks) == (samples < least)
    strict = ReadingConfig(normalise="none", short="error")
    if samples < 720:
        with pytest.raises(ManifestError, match=rf"'a.wav' has {samples} samples at"):
            survey(tmp_path, calls, strict)
    else:
        assert survey(tmp_path, calls, strict).samples[0] == samples


def test_frames_that_a_call_has_at_least():
    assert ReadingConfig(normalise="none", min_frames=1).min_samples == 400
    assert ReadingConfig(normalise="none", min_frames=5).min_samples == 1680


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """One file of each kind of trouble."""
    root = tmp_path_factory.mktemp("odd")
    noise = RNG.uniform(-0.5, 0.5, 1600)
    _write(root / "good.wav", noise)
    _write(root / "silent.wav", np.zeros(1600))
    _write(root / "clipped.wav", np.clip(8 * noise, -1, 1))
    _write(root / "stereo.wav", np.stack([noise, 0 * noise], axis=1))
    _write(root / "nan.wav", np.where(noise > 0.49, np.nan, noise), subtype="FLOAT")
    (root / "text.wav").write_text("no sound")
    (root / "empty.wav").touch()
    whole = (root / "good.wav").read_bytes()
    (root / "cut.wav").write_bytes(whole[: len(whole) // 2])
    return root


def test_what_headers_tell(odd):
    names = ["good", "stereo", "text", "empty", "cut", "absent"]
    calls = [_call(f"{name}.wav") for name in names]
    calls.append(_call("good.wav", 0.05, 0.5, name="beyond"))
    calls.append(_call("good.wav", 0.1, 0.5, name="behind"))
    calls.append(_call("good.wav", 0.01, 0.01001, name="nothing"))
    found = survey(odd, calls, PLAIN)
    assert found.usable.tolist() == [0, 1, 6]
    reasons = dict(found.left_out)
    assert reasons["text.wav"].startswith("is no audio that can be read")
    assert reasons["empty.wav"] == "is empty (0 bytes)"
    assert "is cut off" in reasons["cut.wav"]
    assert reasons["absent.wav"] == "no such file"
    assert reasons["behind"] == "begins behind the end of its file"
    assert reasons["nothing"] == "is shorter than a sample"
    assert found.remarks == {
        "end behind the end of their file: read as far as it goes": ("beyond",),
        "of 2 channels: channel 0": ("stereo.wav",),
    }
    assert found.samples[6] == 800 and np.isnan(found.seconds[2])
    other = ReadingConfig(normalise="none", channel=1)
    bad = dict(survey(odd, calls[:2], other).left_out)
    assert bad == {"good.wav": "has no channel 1: it has 1"}


def test_what_sound_tells(odd):
    def read(name, config=PEAK):
        return read_call(odd, _call(f"{name}.wav"), 1600, config)

    assert read("good").remarks == () and np.abs(read("good").wave).max() == 1
    silent = read("silent")
    assert silent.remarks == ("silent",) and not silent.wave.any()
    zscored = read("silent", ReadingConfig(normalise="zscore"))
    assert not zscored.wave.any()
    assert read("clipped").remarks == ("clipped",)
    bad = read("nan")
    assert "are no numbers (NaN or infinite)" in bad.reason and not len(bad.wave)
    left, both = (
        read("stereo", ReadingConfig(normalise="none", channel=channel)).wave
        for channel in (0, "mean")
    )
    np.testing.assert_array_equal(both, left / 2)


def test_normalisation():
    wave = (0.01 * RNG.normal(size=4000) + 0.2).astype(np.float32)
    assert normalised(wave, "none") is wave
    peak = normalised(wave, "peak")
    np.testing.assert_allclose(peak, wave / np.abs(wave).max(), rtol=1e-6)
    found = normalised(wave, "zscore")
    exact = wave.astype(np.float64)
    expected = (exact - exact.mean()) / np.sqrt(exact.var() + 1e-7)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == peak.dtype == np.float32


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"short": "drop"}, "short 'drop'"),
        ({"normalise": "rms"}, "normalise 'rms'"),
        ({"min_frames": 0}, "min_frames 0 must be at least 1"),
        ({"channel": "left"}, "neither an index"),
    ],
)
def test_configs_that_are_none_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        ReadingConfig(**{"normalise": "none", **given})


SMALL = BucketConfig(budget=6000, first=720, longest=4000, chunk=2000)


def test_batches_hold_the_calls(odd, tmp_path):
    long = RNG.uniform(-0.5, 0.5, 9300).astype(np.float32)
    long[::100] = 1
    _write(tmp_path / "long.wav", long, subtype="FLOAT")
    for name in ("good", "silent", "nan"):
        (tmp_path / f"{name}.wav").write_bytes((odd / f"{name}.wav").read_bytes())
    calls = [_call(f"{name}.wav") for name in ("good", "long", "silent", "nan")]
    calls += [_call("good.wav", 0.0, 0.02, name="short")]
    found = survey(tmp_path, calls, PEAK)
    plans = plan(found.samples, SMALL)
    parts, left_out, remarks = {}, [], []
    batches = CallBatches(tmp_path, calls, found, PEAK, plans)
    assert len(batches) == len(plans)
    for batch in batches:
        left_out += batch.left_out
        remarks += batch.remarks
        for at, row in enumerate(batch.row.tolist()):
            samples = batch.samples[at]
            assert not batch.wave[at, samples:].any()
            if row < 0:
                assert samples == batch.wave.shape[1] and not batch.wave[at].any()
            else:
                parts[row, int(batch.chunk[at])] = batch.wave[at, :samples]
    assert [name for name, _ in left_out] == ["nan.wav"]
    # Once for a call, in however many chunks.
    assert sorted(remarks) == [("long.wav", "clipped"), ("silent.wav", "silent")]
    assert sorted(parts) == [(0, 0), *((1, n) for n in range(5)), (2, 0), (4, 0)]
    # A chunk is normalised as its call is.
    joined = np.concatenate([parts[1, n] for n in range(5)])
    np.testing.assert_array_equal(joined, long / np.abs(long).max())
    assert len(parts[4, 0]) == 720
    np.testing.assert_array_equal(parts[4, 0][:320], parts[4, 0][320:640])


def test_a_run_goes_on_where_it_was(odd):
    calls = [_call("good.wav", n / 1000, name=str(n)) for n in range(0, 40, 3)]
    found = survey(odd, calls, PEAK)
    plans = plan(found.samples, SMALL)
    whole = list(CallBatches(odd, calls, found, PEAK, plans))
    rest = list(CallBatches(odd, calls, found, PEAK, plans[3:], threads=1))
    assert len(whole) > 4
    for one, other in zip(whole[3:], rest, strict=True):
        np.testing.assert_array_equal(one.wave, other.wave)
        np.testing.assert_array_equal(one.row, other.row)


def test_a_long_call_is_decoded_once_for_its_chunks(tmp_path, monkeypatch):
    _write(tmp_path / "long.wav", RNG.uniform(-0.5, 0.5, 16000))
    calls = [_call("long.wav")]
    found = survey(tmp_path, calls, PEAK)
    read = []
    plain = audio.read

    def counted(path, **given):
        read.append(path)
        return plain(path, **given)

    monkeypatch.setattr(audio, "read", counted)
    plans = plan(found.samples, SMALL)
    assert len(list(CallBatches(tmp_path, calls, found, PEAK, plans))) >= 3
    assert len(read) == 1


def test_real_digits_are_read(real_data):
    manifest, _ = layouts.scan(real_data / "fsdd")
    calls = manifest.calls[::300]
    found = survey(manifest.root, calls, PEAK)
    (resampled,) = found.remarks
    assert resampled == "resampled from 8,000 Hz" and not found.left_out
    plans = plan(found.samples, BucketConfig())
    for batch in CallBatches(manifest.root, calls, found, PEAK, plans):
        assert not batch.left_out and not batch.remarks
        real = batch.row >= 0
        np.testing.assert_allclose(np.abs(batch.wave[real]).max(axis=1), 1)
        assert (batch.samples[real] == found.samples[batch.row[real]]).all()
