"""A detector on raw samples: rows as they come, alarms, lag, and every kind of end."""

import csv
import functools
import io
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from launch.sounds import events as sound_events
from launch.sounds import settings as sound_settings
from launch.sounds import stream as sound_stream
from launch.sounds.prediction import predict_files
from launch.sounds.settings import Settings
from launch.sounds.stream import Stream, listen
from sigjax.data.audio import AudioError
from sigjax.inference.base import BundleError
from sigjax.inference.sounds.watch import Row
from tests.inference import tiny_sounds

RATE_HZ = tiny_sounds.RATE_HZ
ROOT = pathlib.Path(__file__).resolve().parents[2]
STREAM = Stream(rate_hz=RATE_HZ)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "one"
    tiny_sounds.detector().save(path)
    return path


@pytest.fixture(scope="module")
def pcm():
    """4.3 s of 16-bit samples."""
    wave = tiny_sounds.hum(4.3, seed=7, hz=300.0)
    return (wave * 32768).astype("<i2").tobytes()


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    """A detector compiles what it runs: one for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        once = functools.cache(sound_settings.open_detector)
        patch.setattr(sound_settings, "open_detector", once)
        yield


class Fed:
    """A stream of given bytes; an exception among them is raised."""

    def __init__(self, *parts):
        self.parts = list(parts)

    def __call__(self, count):
        if not self.parts:
            return b""
        part = self.parts.pop(0)
        self.parts[:0] = [part[count:]] if len(part) > count else []
        return part[:count]


def heard(bundle, *parts, stream=STREAM, out=None, **asked):
    """Status, rows and lines of a stream."""
    out, said = out or io.StringIO(), []
    status = listen(
        bundle, Settings(**asked), stream, read=Fed(*parts), out=out, say=said.append
    )
    rows = list(csv.DictReader(io.StringIO(out.getvalue())))
    return status, rows, said


def test_rows_of_a_stream_are_those_of_the_file(bundle, pcm, tmp_path):
    status, rows, said = heard(bundle, pcm[:777], pcm[777:], hop_s=0.25)
    assert status == 0
    wave = np.frombuffer(pcm, "<i2").astype(np.float64) / 32768
    soundfile.write(tmp_path / "a.wav", wave, RATE_HZ)
    asked = Settings(hop_s=0.25, map=False)
    predict_files([str(tmp_path / "a.wav")], bundle, tmp_path / "out", asked)
    with (tmp_path / "out" / "a.csv").open() as file:
        expected = list(csv.DictReader(file))
    assert len(rows) == 17 and list(rows[0]) == list(expected[0])
    for name in rows[0]:
        column = [row[name] for row in rows], [row[name] for row in expected]
        if name in ("start_s", "end_s", "score", "threshold"):
            found, known = (np.array(values, float) for values in column)
            np.testing.assert_allclose(found, known, rtol=1e-5, atol=1e-6)
        else:
            assert column[0] == column[1]
    assert said[0].startswith("listening to pump 00: 0.5 s every 0.25 s")
    assert said[1].startswith("alarms: conformal threshold")
    assert "moves it for windows every 0.25 s" in said[1]
    assert said[2].startswith("drift: not watched")
    assert said[-1].startswith("heard 4.3 s: 17 windows, 17 scored, 0 not scored")
    assert "times real time" in said[-1]


def test_stereo_of_another_rate_and_a_stream_that_ends_within_a_sample(bundle):
    wave = tiny_sounds.hum(1.0, hz=300.0, rate_hz=16_000)
    frames = np.stack([np.full_like(wave, np.nan), wave], axis=1).astype("<f4")
    stream = Stream(rate_hz=16_000, encoding="f32le", channels=2)
    data = frames.tobytes() + b"abc"
    status, rows, said = heard(bundle, data, stream=stream, channel=1)
    assert status == 0 and [row["end_s"] for row in rows] == ["0.5", "1.0"]
    assert {row["decision"] for row in rows} <= {"0", "1"}
    assert any("3 bytes are left out; are --encoding" in line for line in said)
    status, rows, said = heard(bundle, data, stream=stream, channel=0)
    assert {row["score"] for row in rows} == {""}
    assert any("damaged: 100 % of the samples" in line for line in said)


def test_a_rate_below_the_detectors_is_said(bundle, pcm):
    _, _, said = heard(bundle, pcm, stream=Stream(rate_hz=RATE_HZ // 2))
    assert said[0].startswith("the stream has nothing above 2,000 Hz")


def test_nothing_at_all_is_an_error(bundle):
    status, rows, said = heard(bundle)
    assert status == 1 and not rows
    assert said[-1] == "error: nothing came on standard input"


def test_a_file_instead_of_samples_is_an_error(bundle):
    with pytest.raises(AudioError, match="is a FLAC file, not raw samples"):
        heard(bundle, b"fLaC" + bytes(100))


def test_a_machine_that_nobody_knows_is_told_what_it_sounds_like(bundle, pcm):
    with pytest.raises(
        BundleError, match="'mill' is none of them\n  standard input: n"
    ):
        heard(bundle, bytes(8000), pcm, machine="mill")


def test_who_reads_no_more_ends_it_cleanly(bundle, pcm):
    class Closed(io.StringIO):
        lines = 0

        def flush(self):
            self.lines += 1
            if self.lines > 3:
                raise BrokenPipeError

    status, _, said = heard(bundle, pcm, out=Closed())
    assert status == 0 and "nobody reads the rows any more" in said
    assert said[-1].startswith("heard ")


def test_the_user_may_stop_it(bundle, pcm):
    class Impatient(io.StringIO):
        def write(self, text):
            if text.startswith("1.0,"):
                raise KeyboardInterrupt
            return super().write(text)

    status, rows, said = heard(bundle, pcm, out=Impatient())
    assert status == 130 and len(rows) == 2
    assert said[-1].startswith("heard ") and "3 scored" in said[-1]


def test_a_clock_time_begins_with_the_sound(bundle, pcm):
    _, rows, _ = heard(bundle, pcm, start_time="2026-03-01T23:59:59")
    assert rows[2]["time"] == "2026-03-02T00:00:00.000"
    _, rows, _ = heard(bundle, pcm, start_time="now")
    assert rows[0]["time"][:2] == "20"


class Live:
    """A live source that is always so many seconds ahead of what is scored."""

    live, byte_rate, elapsed_s = True, 2 * RATE_HZ, 0.0

    def __init__(self, seconds_ahead):
        self.ahead = iter(seconds_ahead)
        self.end_s = 0.0

    @property
    def received(self):
        return round((self.end_s + next(self.ahead)) * self.byte_rate)


def _listener(bundle, ahead):
    """A listener that finds itself behind by these seconds, and what it says."""
    detector, said = sound_settings.open_detector(bundle), []
    stream = Stream(rate_hz=RATE_HZ, max_lag_s=5.0)
    reader = Live(ahead)
    asked = Settings(hop_s=0.5, start_time="now").completed(detector)
    source = sound_stream._Source(reader, stream, asked, detector, said.append)
    listener = sound_stream._Listener(detector, source, io.StringIO(), said.append)
    listener._begin()
    return listener, reader, said


def test_a_slow_machine_skips_windows_of_a_live_source_and_counts_them(bundle):
    ahead = [4.9, 5.1, 3.0, 1.2, 0.9, 4.9]
    listener, reader, said = _listener(bundle, ahead)
    for number in range(len(ahead)):
        reader.end_s = 0.5 + 0.5 * number
        wave = tiny_sounds.hum(0.5, seed=number, hz=300.0)
        listener._take(sound_stream.Window(0.5 * number, reader.end_s, wave, 0.0, 0.0))
    rows = list(csv.DictReader(io.StringIO(listener._out.getvalue())))
    assert [row["score"] == "" for row in rows] == [0, 1, 1, 1, 0, 0]
    assert rows[1]["remark"] == "skipped: behind by 5.1 s"
    assert listener._tally.skipped == 3 and listener._tally.scored == 3
    told = [line for line in said if "behind" in line or "caught" in line]
    assert told == [
        "behind by 5.1 s: windows are skipped to catch up",
        "caught up: 3 windows skipped so far",
    ]


def test_a_file_that_is_piped_in_is_never_skipped(bundle):
    listener, reader, _ = _listener(bundle, [60.0])
    reader.live, reader.end_s = False, 0.5
    wave = tiny_sounds.hum(0.5, hz=300.0)
    listener._take(sound_stream.Window(0.0, 0.5, wave, 0.0, 0.0))
    assert listener._tally.scored == 1


class Slow:
    """A reader to which nothing comes a few times, and then so many bytes a second."""

    live, byte_rate = True, 2 * RATE_HZ

    def __init__(self, times, came):
        self.parts = [None] * times + [bytes(count) for count in came] + [b""]
        self.elapsed_s = self.waited_s = 0.0
        self.received = 0

    def take(self, timeout_s):
        data = self.parts.pop(0)
        self.received += len(data or b"")
        self.elapsed_s += 1.0
        self.waited_s += 0.9
        return data


def _said_of(bundle, reader):
    detector, said = sound_settings.open_detector(bundle), []
    asked = sound_settings.Settings().completed(detector)
    source = sound_stream._Source(reader, STREAM, asked, detector, said.append)
    list(source.windows())
    return said


def test_a_stream_that_stalls_is_said_less_and_less_often(bundle):
    said = _said_of(bundle, Slow(9, [4000]))
    waits = [line.split(" s:")[0] for line in said if "is the recorder" in line]
    assert waits == [
        f"nothing has come on standard input for {seconds}"
        for seconds in (5, 10, 20, 40)
    ]
    assert said[-1] == "sound again, after 45 s without"


def test_a_stream_of_another_rate_is_said_once_but_not_what_waited_before(bundle):
    # 16,000 bytes a second are expected.
    assert _said_of(bundle, Slow(0, [60_000] * 3 + [16_000] * 27)) == []
    (said,) = _said_of(bundle, Slow(0, [16_000] * 5 + [12_000] * 30))
    assert said.startswith("6,000 samples come a second, not 8,000: are --rate_hz")


def _row(score, **about):
    values = {"start_s": 0.0, "end_s": 1.0, "threshold": 5.0, "decision": 0,
              "alarm": False, "drift": "", "nearest": "", "open_set": False,
              "remark": ""}  # fmt: skip
    return Row(**{**values, "score": score, **about})


def test_what_changes_is_said_once():
    said = []
    events = sound_events.Events(said.append)
    events.add(_row(1.0, remark="clipped: 2 %"))
    events.add(_row(1.0, remark="clipped: 3 %"))
    events.add(_row(9.0, alarm=True, end_s=60.0))
    events.add(_row(9.5, alarm=True, end_s=61.0))
    events.add(_row(1.0, end_s=65.0, drift="high"))
    events.add(_row(np.nan, decision=-1, drift="high", remark="silent: all"))
    events.add(_row(np.nan, decision=-1, drift="high", remark="silent: all"))
    events.add(_row(np.nan, decision=-1, drift="high", remark="skipped: late"))
    events.add(_row(1.0))
    assert said == [
        "1 s clipped: 2 %",
        "1:00 ALARM: score 9 above 5",
        "1:05 alarm ends after 5 s; highest 9.5",
        "1:05 drift: the running median of scores is above its limits",
        "1 s silent: all",
        "1 s drift: the running median of scores is within its limits again",
        "1 s scored again",
    ]
    assert events.alarms == 1
    for _ in range(25):
        events.add(_row(1.0, open_set=True, nearest="fan/00"))
    assert sum("launch.fit_sounds" in line for line in said) == 1


def test_too_slow_a_machine_is_told_a_longer_hop():
    tally = sound_events.Tally()
    tally.add(_row(1.0), 2.5, 7.0)
    text = tally.text(10.0, 1.0, 0, True)
    assert "0.4 times real time; at most 7.0 s behind" in text
    assert "take --hop_s=3 or more" in text


def test_the_command(bundle, pcm):
    command = [sys.executable, "-m", "launch.predict", "-", f"--bundle={bundle}"]
    command += [f"--rate_hz={RATE_HZ}", "--nonearest"]
    done = subprocess.run(
        command, cwd=ROOT, input=pcm, capture_output=True, env=os.environ
    )
    errors = done.stderr.decode()
    assert done.returncode == 0, errors
    rows = done.stdout.decode().splitlines()
    assert rows[0] == "start_s,end_s,score,threshold,decision,alarm,drift,remark"
    assert len(rows) == 1 + 9
    assert errors.splitlines()[0].startswith("listening to pump 00")
