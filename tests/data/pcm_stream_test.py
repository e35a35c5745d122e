"""Raw samples and long files as one channel at another rate."""

import numpy as np
import pytest
import soundfile
import soxr

from sigjax.data import pcm_stream
from sigjax.data.audio import AudioError
from sigjax.data.pcm_stream import CLIPPED, DAMAGED, Channel, Decoder

RNG = np.random.default_rng(0)
# By encoding: bytes of the samples -1, -1/2, 0, 1/4 of full scale.
KNOWN = {
    "s16le": b"\x00\x80\x00\xc0\x00\x00\x00\x20",
    "s24le": b"\x00\x00\x80\x00\x00\xc0\x00\x00\x00\x00\x00\x20",
    "s32le": b"\0\0\0\x80\0\0\0\xc0\0\0\0\0\0\0\0\x20",
    "f32le": np.array([-1, -0.5, 0, 0.25], "<f4").tobytes(),
}


@pytest.mark.parametrize("encoding", pcm_stream.ENCODINGS)
def test_samples_come_out_of_bytes_cut_anywhere(encoding):
    data = KNOWN[encoding] * 3
    decoder, parts = Decoder(encoding, 2), []
    for first in range(0, len(data), 5):
        parts.append(decoder.feed(data[first : first + 5]))
    found = np.concatenate(parts)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[-1, -0.5], [0, 0.25]] * 3)
    assert decoder.rest == 0
    decoder.feed(b"\1")
    assert decoder.rest == 1


def test_a_stream_that_is_a_file_is_refused_also_where_its_header_comes_in_parts():
    decoder = Decoder("s16le", 1)
    assert not len(decoder.feed(b"RI"))
    with pytest.raises(AudioError, match="WAV file, not raw samples.*arecord -t raw"):
        decoder.feed(b"FF....WAVE")
    with pytest.raises(ValueError, match="'mp3' is not known: s16le"):
        Decoder("mp3", 1)
    with pytest.raises(ValueError, match="1 channel or more"):
        Decoder("s16le", 0)


@pytest.mark.parametrize("source_hz", [44_100, 16_000, 8_000])
def test_blocks_resampled_are_the_whole_sound_resampled(source_hz):
    wave = RNG.normal(0, 0.1, 2 * source_hz + 17).astype(np.float32)
    channel, parts, at = Channel(source_hz=source_hz, rate_hz=16_000), [], 0
    while at < len(wave):
        size = int(RNG.integers(1, 9000))
        parts.append(channel.feed(wave[at : at + size, None]).wave)
        at += size
    parts.append(channel.close().wave)
    expected = wave
    if source_hz != 16_000:
        expected = soxr.resample(wave, source_hz, 16_000, quality="HQ")
    np.testing.assert_array_equal(np.concatenate(parts), expected)


def test_damage_is_marked_and_does_not_spread():
    frames = np.full((4000, 2), 0.1, np.float32)
    frames[100, 0], frames[200, 0], frames[300, 0] = np.nan, 1e9, -1.0
    block = Channel(source_hz=8000, rate_hz=8000).feed(frames)
    assert np.flatnonzero(block.marks & DAMAGED).tolist() == [100, 200]
    assert np.flatnonzero(block.marks & CLIPPED).tolist() == [300]
    assert block.wave[100] == block.wave[200] == 0
    halved = Channel(source_hz=8000, rate_hz=4000)
    wave = np.concatenate([halved.feed(frames).wave, halved.close().wave])
    assert np.isfinite(wave).all() and len(wave) == 2000


def test_channels_are_chosen_or_averaged():
    frames = np.array([[0.1, 0.3], [0.2, 0.6]], np.float32)
    rates = {"source_hz": 8000, "rate_hz": 8000}
    np.testing.assert_array_equal(
        Channel(**rates, channel=1).feed(frames).wave, frames[:, 1]
    )
    np.testing.assert_allclose(
        Channel(**rates, channel="mean").feed(frames).wave, [0.2, 0.4], rtol=1e-6
    )
    with pytest.raises(AudioError, match="no channel 2: there are 2"):
        Channel(**rates, channel=2).feed(frames)


def test_one_damaged_channel_spoils_the_mean_alone():
    frames = np.array([[0.1, np.nan]], np.float32)
    rates = {"source_hz": 8000, "rate_hz": 8000}
    assert Channel(**rates, channel="mean").feed(frames).marks.tolist() == [DAMAGED]
    assert Channel(**rates, channel=0).feed(frames).marks.tolist() == [0]


def test_a_file_comes_block_by_block(tmp_path):
    wave = RNG.uniform(-0.5, 0.5, (2500, 2)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", wave, 1000, subtype="FLOAT")
    blocks = list(pcm_stream.file_blocks(tmp_path / "a.wav", block_s=1.0))
    assert [len(block) for block in blocks] == [1000, 1000, 500]
    np.testing.assert_array_equal(np.concatenate(blocks), wave)


def test_a_flac_file_that_is_cut_off_is_said(tmp_path):
    wave = RNG.uniform(-0.5, 0.5, 40_000)
    soundfile.write(tmp_path / "a.flac", wave, 8000)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AudioError, match="cut off|damaged"):
        list(pcm_stream.file_blocks(tmp_path / "a.flac", block_s=1.0))
