"""A detector of anomalous sounds on standard input: raw samples in, a row per hop out.

Rows of CSV go to standard output as they are known; all else, such as when an alarm
begins and ends, goes to standard error. What comes is read in the background, so that
a recorder is never kept waiting: while a model loads, or where a machine is slow. Of a
live source, one that is behind skips windows, and says so, rather than fall back ever
further; a file that is piped in waits instead, and nothing is skipped.
"""

import csv
import dataclasses
import datetime
import os
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, TextIO

import numpy as np
from absl import flags
from etils import epath

from launch.sounds import settings as sound_settings
from launch.sounds.events import Events, Tally
from launch.sounds.recording import schema, values
from launch.sounds.settings import Settings
from sigjax.data import pcm_stream
from sigjax.data.background import Reader
from sigjax.inference.sounds.detector import SoundDetector
from sigjax.inference.sounds.rolling import Rolling, Window

FLAGS = ("rate_hz", "encoding", "channels", "max_lag_s")
_HOP_S = 1.0
_QUIET_S = 5.0
_MEASURED_S = 10.0
_INTERRUPTED = 130


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stream:
    """What standard input is.

    Attributes:
      rate_hz: Samples of each channel a second.
      encoding: A key of `pcm_stream.ENCODINGS`.
      channels: How many, interleaved.
      max_lag_s: Seconds that scores of a live source may be behind; what is later is
        skipped.
    """

    rate_hz: int = 16_000
    encoding: str = "s16le"
    channels: int = 1
    max_lag_s: float = 30.0


def define_flags() -> None:
    """Flags of standard input."""
    flags.DEFINE_integer(
        "rate_hz", 16_000, "Of standard input: its sampling rate.", lower_bound=1
    )
    flags.DEFINE_enum(
        "encoding", "s16le", list(pcm_stream.ENCODINGS), "Of standard input."
    )
    flags.DEFINE_integer("channels", 1, "Of standard input.", lower_bound=1)
    flags.DEFINE_float(
        "max_lag_s",
        30.0,
        "Of standard input. Seconds that scores of a live source may be behind; windows"
        " that are later are skipped, and counted.",
        lower_bound=1.0,
    )


def settings() -> Stream:
    """What the flags say."""
    given: dict[str, Any] = {name: flags.FLAGS[name].value for name in FLAGS}
    return Stream(**given)


def listen(
    bundle: epath.PathLike,
    asked: Settings,
    stream: Stream,
    *,
    read: Callable[[int], bytes] | None = None,
    out: TextIO | None = None,
    say: Callable[[str], None] | None = None,
) -> int:
    """Scores raw samples as they come, until they end or the user stops.

    Args:
      bundle: Of a detector.
      asked: What rows depend on.
      stream: What comes.
      read: Waits for bytes and gives at most so many; standard input by default.
      out: Where rows go; standard output by default.
      say: Takes a line for people; standard error by default.

    Returns:
      Exit status: 0 at the end of the stream or where nobody reads the rows any more,
      130 if the user stopped it.

    Raises:
      AudioError: The samples are not raw, or there is no such channel.
      BundleError: The bundle is none, or does not know the machine.
      ValueError: Standard input is a terminal.
    """
    say = say or _to_stderr
    if read is None and os.isatty(0):
        raise ValueError(
            "standard input is a terminal: pipe raw samples into this command, such as"
            f" by arecord -f S16_LE -r {stream.rate_hz} -c {stream.channels} -t raw"
        )
    # Before the model loads, which takes longer than a recorder's buffer holds.
    frame_bytes = pcm_stream.ENCODINGS[stream.encoding] * stream.channels
    reader = Reader(
        read or (lambda count: os.read(0, count)),
        byte_rate=stream.rate_hz * frame_bytes,
        limit_s=stream.max_lag_s,
    )
    reader.start()
    detector = sound_settings.open_detector(bundle)
    source = _Source(reader, stream, asked.completed(detector, _HOP_S), detector, say)
    why = sound_settings.is_unknown(detector, source.asked)
    if why:
        heard = [("standard input", w) for w in source.first_whole()]
        raise sound_settings.unknown(detector, why, asked, bundle, heard)
    detector = sound_settings.with_alarms(detector, source.asked)
    listener = _Listener(detector, source, out or sys.stdout, say)
    return listener.run()


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class _Source:
    """Windows of a stream, as they come; says what is odd about the stream."""

    def __init__(
        self,
        reader: Reader,
        stream: Stream,
        asked: Settings,
        detector: SoundDetector,
        say: Callable[[str], None],
    ):
        self.asked, self.stream, self.reader, self._say = asked, stream, reader, say
        self._decoder = pcm_stream.Decoder(stream.encoding, stream.channels)
        self._channel = pcm_stream.Channel(
            source_hz=stream.rate_hz, rate_hz=detector.rate_hz, channel=asked.channel
        )
        self._rolling = Rolling(
            rate_hz=detector.rate_hz,
            source_hz=stream.rate_hz,
            window_s=asked.window_s,
            hop_s=asked.hop_s,
        )
        self._quiet_s, self._warned_s = 0.0, 0.0
        self._from: tuple[float, float, float] | None = None
        self._measured = False
        if stream.rate_hz < detector.rate_hz:
            say(
                f"the stream has nothing above {stream.rate_hz / 2:,.0f} Hz, where the"
                f" detector listens to {detector.rate_hz / 2:,.0f} Hz"
            )

    @property
    def heard_s(self) -> float:
        """Seconds of sound that windows were made of."""
        return self._rolling.heard_s

    @property
    def received_s(self) -> float:
        """Seconds of sound that came."""
        return self.reader.received / self.reader.byte_rate

    def windows(self) -> Iterable[Window]:
        """To the end of the stream."""
        while True:
            data = self._bytes()
            if not data:
                break
            # Not all that waits at once: the first rows need not wait for the last.
            step = self.reader.byte_rate
            for first in range(0, len(data), step):
                frames = self._decoder.feed(data[first : first + step])
                yield from self._rolling.push(self._channel.feed(frames))
        if self._decoder.rest:
            self._say(
                f"the stream ended within a sample: {self._decoder.rest} bytes are left"
                " out; are --encoding and --channels right?"
            )
        yield from self._rolling.close(self._channel.close())

    def first_whole(self) -> list[Window]:
        """The first window that can be scored, if there is one."""
        good = (w for w in self.windows() if not (w.damaged or w.constant))
        return [window for window in [next(iter(good), None)] if window is not None]

    def _bytes(self) -> bytes:
        """All that waits; none at the end."""
        while True:
            data = self.reader.take(_QUIET_S)
            if data is None:
                self._quiet()
                continue
            if self._quiet_s:
                self._say(f"sound again, after {self._quiet_s:.0f} s without")
                self._quiet_s = self._warned_s = 0.0
            self._measure()
            return data

    def _quiet(self) -> None:
        self._quiet_s += _QUIET_S
        if self._quiet_s >= 2 * self._warned_s:  # After 5, 10, 20 s ...
            self._warned_s = self._quiet_s
            self._say(
                f"nothing has come on standard input for {self._quiet_s:.0f} s: is the"
                " recorder running?"
            )

    def _measure(self) -> None:
        """Says once if a live source has another rate than it should.

        The first seconds do not count: what waited in a pipe comes in a rush.
        """
        reader = self.reader
        now = (reader.elapsed_s, self.received_s, reader.waited_s)
        if self._measured or now[0] < _MEASURED_S:
            return
        self._from = self._from or now
        passed_s, came_s, waited_s = np.subtract(now, self._from).tolist()
        if passed_s < _MEASURED_S:
            return
        self._measured = True
        if waited_s > passed_s / 2 and abs(came_s / passed_s - 1) > 0.1:
            self._say(
                f"{came_s / passed_s * self.stream.rate_hz:,.0f} samples come a second,"
                f" not {self.stream.rate_hz:,}: are --rate_hz, --encoding and"
                " --channels right?"
            )


class _Listener:
    """Writes a row for each window and says what happens."""

    def __init__(
        self,
        detector: SoundDetector,
        source: _Source,
        out: TextIO,
        say: Callable[[str], None],
    ):
        self._source, self._out, self._say = source, out, say
        self._asked = source.asked
        self._watch = sound_settings.watch(detector, self._asked)
        self._detector = detector
        self._tally = Tally()
        self._events = Events(say)
        self._skipping = False

    def run(self) -> int:
        """To the end of the stream; returns the exit status."""
        status = 0
        try:
            self._begin()
            for window in self._source.windows():
                self._take(window)
        except KeyboardInterrupt:
            status = _INTERRUPTED
        except BrokenPipeError:
            self._say("nobody reads the rows any more")
            _silence(self._out)
        if not self._source.received_s:
            self._say("error: nothing came on standard input")
            return status or 1
        heard_s, hop_s = self._source.heard_s, self._asked.hop_s
        live = self._source.reader.live
        self._say(self._tally.text(heard_s, hop_s, self._events.alarms, live))
        return status

    def _begin(self) -> None:
        """Compiles, so that the first window is not late; writes the header."""
        began = time.perf_counter()
        watching = sound_settings.watch(self._detector, self._asked)
        samples = round(self._asked.window_s * self._detector.rate_hz)
        noise = np.random.default_rng(0).normal(0, 0.01, samples).astype(np.float32)
        watching.judge([Window(0.0, self._asked.window_s, noise, 0.0, 0.0)])
        own = f"{watching.machine} {watching.section or '(nearest section)'}"
        seconds = time.perf_counter() - began
        self._say(
            f"listening to {own}: {self._asked.window_s:g} s every"
            f" {self._asked.hop_s:g} s (ready in {seconds:.1f} s)"
        )
        self._say(f"alarms: {sound_settings.promise(watching, self._asked)}")
        self._say(f"drift: {watching.drift_note}")
        if self._asked.hop_s > self._asked.window_s:
            self._say(sound_settings.unheard(self._asked))
        if self._asked.start_time == "now":
            begun = datetime.datetime.now() - datetime.timedelta(
                seconds=self._source.reader.elapsed_s
            )
            self._asked = dataclasses.replace(
                self._asked, start_time=begun.isoformat(timespec="milliseconds")
            )
        self._rows = csv.writer(self._out, lineterminator="\n")
        self._rows.writerow(schema(self._asked).names)
        self._out.flush()

    def _take(self, window: Window) -> None:
        behind_s = self._source.received_s - window.end_s
        limit_s = self._source.stream.max_lag_s
        if self._skipping:
            limit_s = min(limit_s, max(self._asked.hop_s, 1.0))
        if self._source.reader.live and behind_s > limit_s:
            if not self._skipping:
                self._say(
                    f"behind by {behind_s:.1f} s: windows are skipped to catch up"
                )
            self._skipping = True
            row = self._watch.skip(window, f"skipped: behind by {behind_s:.1f} s")
            self._tally.skipped += 1
        else:
            if self._skipping:
                self._say(f"caught up: {self._tally.skipped:,} windows skipped so far")
            self._skipping = False
            began = time.perf_counter()
            (row,) = self._watch.judge([window])
            self._tally.add(row, time.perf_counter() - began, behind_s)
        self._events.add(row)
        self._rows.writerow(_text(v) for v in values(row, self._asked).values())
        self._out.flush()


def _text(value: object) -> object:
    return "" if value is None else value


def _silence(out: TextIO) -> None:
    """Keeps the interpreter from writing to a closed pipe when it ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    except (OSError, ValueError):  # Not a file.
        pass
