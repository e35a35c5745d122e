"""Audio files: stretches are what the whole file holds, and bad files are named."""

import numpy as np
import pytest
import soundfile

from sigjax.data import audio

NOISE = np.random.default_rng(0).normal(size=44100 * 3) * 0.1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three seconds of noise at 44.1 kHz in three formats."""
    folder = tmp_path_factory.mktemp("audio")
    for name in ("a.wav", "a.flac", "a.ogg"):
        soundfile.write(folder / name, NOISE, 44100)
    return folder


def test_probe_says_what_the_header_says(tmp_path):
    soundfile.write(tmp_path / "b.wav", np.zeros((800, 2)), 8000)
    info = audio.probe(tmp_path / "b.wav")
    assert info == audio.AudioInfo(rate_hz=8000, channels=2, frames=800)
    assert info.duration_s == 0.1


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
@pytest.mark.parametrize("rate_hz", [None, 16000, 48000, 11025])
# The last ends in the last page of the OGG file, where libsndfile seeks wrongly.
@pytest.mark.parametrize("start_s", [0.0, 0.7, 1.2345, 2.95])
def test_a_stretch_is_that_of_the_whole_file(folder, name, rate_hz, start_s):
    whole, rate = audio.read(folder / name, rate_hz=rate_hz)
    part, same = audio.read(
        folder / name, rate_hz=rate_hz, start_s=start_s, duration_s=0.5
    )
    assert rate == same == (rate_hz or 44100)
    first = round(start_s * rate)
    expected = whole[first : first + round(0.5 * rate)]
    assert part.dtype == np.float32 and len(part) == len(expected)
    # The resampler's filter rings on far below what 16 bits resolve.
    np.testing.assert_allclose(part, expected, atol=1e-6)


def test_only_the_stretch_is_decoded(folder, monkeypatch):
    decoded = []
    plain = soundfile.SoundFile.read

    def counted(self, frames=-1, **given):
        decoded.append(frames)
        return plain(self, frames, **given)

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    audio.read(folder / "a.wav", start_s=1.0, duration_s=0.01, rate_hz=16000)
    assert sum(decoded) < 0.2 * 44100


def test_resampling_keeps_a_tone(tmp_path):
    time = np.arange(44100) / 44100
    soundfile.write(tmp_path / "t.wav", 0.5 * np.sin(2 * np.pi * 440 * time), 44100)
    wave, rate = audio.read(tmp_path / "t.wav", rate_hz=16000)
    assert rate == 16000 and len(wave) == 16000
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    np.testing.assert_allclose(wave[500:-500], expected[500:-500], atol=2e-4)


def test_channels_by_index_and_their_mean(tmp_path):
    both = np.stack([np.full(100, 0.5), np.full(100, -0.25)], axis=1)
    soundfile.write(tmp_path / "s.wav", both, 16000)
    for channel, value in ((0, 0.5), (1, -0.25), ("mean", 0.125)):
        wave, _ = audio.read(tmp_path / "s.wav", channel=channel)
        np.testing.assert_array_equal(wave, np.float32(value))
    with pytest.raises(audio.AudioError, match=r"s.wav: has no channel 2: it has 2"):
        audio.read(tmp_path / "s.wav", channel=2)


def test_16_bits_come_back_as_they_were(tmp_path):
    counts = np.arange(-32768, 32768).astype(np.int16)
    soundfile.write(tmp_path / "c.wav", counts, 16000)
    again, at_limit = audio.to_int16(audio.read(tmp_path / "c.wav")[0])
    np.testing.assert_array_equal(again, counts)
    assert at_limit == 2


def test_what_is_beyond_full_scale_is_clipped_and_counted():
    wave = np.array([0.0, 2.0, -2.0, 0.9999, 32767 / 32768, -1.0], np.float32)
    counts, at_limit = audio.to_int16(wave)
    assert counts.tolist() == [0, 32767, -32768, 32765, 32767, -32768]
    assert at_limit == 4


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_an_error(tmp_path, value):
    wave = np.zeros(16000)
    wave[[4000, 8000]] = value
    soundfile.write(tmp_path / "n.wav", wave, 16000, subtype="FLOAT")
    with pytest.raises(audio.AudioError, match=r"n.wav: 2 samples.*first at 0.250 s"):
        audio.read(tmp_path / "n.wav")
    audio.read(tmp_path / "n.wav", start_s=0.6)  # Those there are numbers.


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg"])
@pytest.mark.parametrize("share", [0.3, 0.9999])
def test_files_that_were_cut_off_are_an_error(folder, tmp_path, name, share):
    data = (folder / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])
    with pytest.raises(audio.AudioError, match=rf"{name}: is (cut off|damaged)"):
        audio.read(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"time,x\n0,1\n" * 99, "is no audio that can be read"),
        (b"RIFF\0\0\0\0WAVE", "is no audio that can be read|holds no samples"),
        (b"OggS" + bytes(99), "is no audio that can be read"),
    ],
)
def test_foreign_files_are_an_error(tmp_path, content, reason):
    (tmp_path / "f.wav").write_bytes(content)
    for function in (audio.probe, audio.read):
        with pytest.raises(audio.AudioError, match=rf"f.wav: ({reason})"):
            function(tmp_path / "f.wav")


def test_a_wave_file_of_a_stream_has_no_length_and_is_read(folder, tmp_path):
    data = bytearray((folder / "a.wav").read_bytes())
    at = data.index(b"data")
    data[at + 4 : at + 8] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(data)
    wave, _ = audio.read(tmp_path / "a.wav")
    np.testing.assert_array_equal(wave, audio.read(folder / "a.wav")[0])


def test_missing_files_and_stretches_are_errors(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no.wav"):
        audio.read(tmp_path / "no.wav")
    with pytest.raises(audio.AudioError, match=r"ends at 3.000 s, before 3.5 s"):
        audio.read(folder / "a.wav", start_s=3.5)
    with pytest.raises(ValueError, match="no stretch"):
        audio.read(folder / "a.wav", start_s=-1.0)
    with pytest.raises(ValueError, match="rate_hz"):
        audio.read(folder / "a.wav", rate_hz=-5)
    with pytest.raises(ValueError, match="neither an index"):
        audio.checked_channel("left")


def test_real_motors_are_of_two_rates_and_one_level(real_data):
    root = real_data / "bldc_motor_audio" / "dataset"
    rates = {p: audio.probe(p).rate_hz for p in sorted(root.rglob("*.wav"))}
    assert len(rates) == 43 and sorted(set(rates.values())) == [16000, 44100]
    (odd,) = [path for path, rate in rates.items() if rate == 44100]
    wave, rate = audio.read(odd, rate_hz=16000, channel="mean")
    assert rate == 16000 and 10 < len(wave) / rate < 10.6
    for path, clips in (
        ("Propeller/M1/1750.wav", True),
        ("Healthy/M1/1750.wav", False),
    ):
        _, at_limit = audio.to_int16(audio.read(root / path)[0])
        assert (at_limit > 10) == clips


def test_real_ogg_files_can_be_read_from_anywhere(real_data):
    path = sorted((real_data / "esc10" / "001 - Dog bark").glob("*.ogg"))[3]
    whole, rate = audio.read(path)
    for start_s in np.arange(0, len(whole) / rate - 0.1, 0.6):
        part, _ = audio.read(path, start_s=start_s)
        np.testing.assert_array_equal(part, whole[round(start_s * rate) :])


@pytest.mark.parametrize("channel", [0, 1, "mean"])
def test_16_bits_are_the_floats_that_libsndfile_makes_of_them(tmp_path, channel):
    rng = np.random.default_rng(0)
    counts = rng.integers(-32768, 32768, (999, 2)).astype(np.int16)
    counts[:2] = [[-32768, 32767], [0, -1]]
    soundfile.write(tmp_path / "a.wav", counts, 16000, subtype="PCM_16")
    floats, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    expected = floats.mean(axis=1) if channel == "mean" else floats[:, channel]
    found, _ = audio.read(tmp_path / "a.wav", channel=channel)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
