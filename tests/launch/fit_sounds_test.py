"""launch.fit_sounds: files in, a bundle out, and what it says of them."""

import dataclasses

import numpy as np
import pytest
import soundfile

import sigjax
from launch.fit_sounds import fit_sounds
from launch.sounds.windows import read_windows
from sigjax import bundles
from sigjax.data.audio import AudioError
from sigjax.inference.base import BundleError
from sigjax.inference.sounds.detector import SoundDetector
from tests.inference import tiny_sounds
from tests.inference.tiny_sounds import CLIP_S, RATE_HZ, hum

DAY = 86400 / CLIP_S


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Of a network that says it was trained on simulated machines."""
    path = tmp_path_factory.mktemp("bundle")
    made = tiny_sounds.detector()
    (known,) = made.sections.values()
    known = dataclasses.replace(known, facts={"fitted": "on training clips"})
    SoundDetector(made.network, [known], made.models, {"simulated": True}).save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    """Two hums, one at twice the rate and in stereo, and all that can be wrong."""
    root = tmp_path / "sounds"
    (root / "fault").mkdir(parents=True)
    soundfile.write(root / "a.wav", hum(6 * CLIP_S + 0.1, hz=700.0), RATE_HZ)
    twice = hum(4 * CLIP_S, hz=700.0, rate_hz=2 * RATE_HZ)
    stereo = np.stack([np.clip(twice * 8, -1, 1), twice], axis=1)
    soundfile.write(root / "b.flac", stereo, 2 * RATE_HZ)
    soundfile.write(root / "c.wav", np.zeros(RATE_HZ), RATE_HZ)
    soundfile.write(root / "fault" / "d.wav", hum(1.0), RATE_HZ)
    (root / "e.wav").write_bytes(b"")
    whole = (root / "a.wav").read_bytes()
    (root / "f.wav").write_bytes(whole[: len(whole) // 2])
    bad = hum(3 * CLIP_S)
    bad[round(1.2 * CLIP_S * RATE_HZ)] = np.nan
    soundfile.write(root / "g.wav", bad, RATE_HZ, subtype="FLOAT")
    return root


def test_a_folder_becomes_a_detector_and_a_report(bundle, folder, tmp_path):
    said = "\n".join(
        fit_sounds(
            folder,
            tmp_path / "out",
            machine="saw",
            bundle=bundle,
            false_alarms_per_day=DAY / 8,
            hop_s=CLIP_S,
        )
    )
    detector = sigjax.load(tmp_path / "out")
    assert detector.machines == (("saw", "00"),)  # the simulated ones are gone
    # Six, four, and two of g.wav; b's first channel clips.
    assert detector.clips_seen["saw", "00"] == 12
    assert f"used: 12 windows of {CLIP_S:g} s, 0.1 minutes of 4 files" in said
    assert "remembered: log-mel statistics of each, by knn" in said
    assert "clipped: 4 of these windows" in said and "less gain" in said
    assert "1.0 s silent" in said
    assert "resampled: from 16000 Hz to 8000 Hz" in said
    assert "channels: up to 2, of which channel 0" in said
    assert "fault/d.wav: its folder says that it is an anomaly" in said
    assert "e.wav: is empty" in said and "f.wav: is cut off" in said
    assert "g.wav at 0.5 s: 1 samples are no numbers" in said
    assert "threshold" in said and "1 a day: 1,440 minutes" in said
    assert "most like the SIMULATED machine pump/00" in said
    wave = hum(CLIP_S, seed=5, hz=700.0)
    limit = detector.thresholds["saw", "00"]
    assert detector.score(wave).threshold[0] == limit.value
    assert limit.false_alarm_rate <= 1 / 8 and limit.remark == ""


def test_a_second_machine_joins_the_first(bundle, tmp_path):
    for number, name in enumerate(("saw", "mill")):
        file = tmp_path / f"{name}.wav"
        soundfile.write(file, hum(5 * CLIP_S, hz=500.0 + 400 * number), RATE_HZ)
    fit_sounds(tmp_path / "saw.wav", tmp_path / "one", machine="saw", bundle=bundle)
    lines = fit_sounds(
        tmp_path / "mill.wav",
        tmp_path / "two",
        machine="mill",
        bundle=tmp_path / "one",
        channel="mean",
    )
    assert any("these 5 promise" in line for line in lines)
    assert sigjax.load(tmp_path / "two").machines == (("mill", "00"), ("saw", "00"))
    lines = fit_sounds(
        tmp_path / "mill.wav",
        tmp_path / "two",
        machine="mill",
        bundle=tmp_path / "two",
        keep_simulated=True,
    )
    assert "known before and is replaced" in lines[-1]
    kept = fit_sounds(
        tmp_path / "saw.wav",
        tmp_path / "all",
        machine="saw",
        bundle=bundle,
        keep_simulated=True,
    )
    assert kept and len(sigjax.load(tmp_path / "all").machines) == 2


def test_no_usable_sound_is_an_error_that_lists_why(bundle, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.wav").write_bytes(b"")
    with pytest.raises(BundleError, match="no sound to fit on\n.*a.wav: is empty"):
        fit_sounds(tmp_path / "in", tmp_path / "out", machine="saw", bundle=bundle)
    assert not (tmp_path / "out").exists()
    with pytest.raises((FileNotFoundError, AudioError), match="nothing.wav"):
        fit_sounds(
            tmp_path / "nothing.wav", tmp_path / "out", machine="saw", bundle=bundle
        )


def test_a_limit_spreads_windows_over_all_sound(tmp_path):
    ramp = np.repeat(np.arange(10) / 10, 800).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", ramp, RATE_HZ, subtype="FLOAT")
    found = read_windows(
        tmp_path / "a.wav", machine="m", window_s=0.1, rate_hz=RATE_HZ, minutes=0.3 / 60
    )
    (wave,) = found.waves
    assert wave[::800].tolist() == pytest.approx([0, 0.4, 0.9])
    assert found.unused_s == pytest.approx(0.7)
    every = read_windows(tmp_path / "a.wav", machine="m", window_s=0.3, rate_hz=RATE_HZ)
    assert [len(wave) for wave in every.waves] == [3 * 2400]


def test_a_name_that_no_bundle_has_is_named():
    with pytest.raises(ValueError, match="no bundle 'nothing' comes with sigjax"):
        bundles.path("nothing")
