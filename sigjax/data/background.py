"""A stream of bytes read in the background."""

import collections
import threading
import time
from collections.abc import Callable

# What a pipe may hold before anybody reads: a source this far ahead of the clock, and
# no further, may be live.
_PIPE_BYTES = 1 << 17
_MOST_AT_ONCE = 1 << 16


class Reader(threading.Thread):
    """Reads a stream as it comes.

    A live source, such as a microphone, is always read: it would lose what it cannot
    write. One that is ahead of the clock is not live, and waits while so much of it is
    not yet taken as `limit_s` says.

    Attributes:
      byte_rate: Bytes a second, as a live source gives them.
      received: Bytes that came.
      live: Whether the source has never been ahead of the clock.
      waited_s: Seconds that `take` waited.
    """

    def __init__(
        self,
        read: Callable[[int], bytes],
        *,
        byte_rate: int,
        limit_s: float,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Reads once `start` is called; ends with the program.

        Args:
          read: Waits for bytes and gives at most so many; none at the end.
          byte_rate: Bytes a second.
          limit_s: Seconds' worth of bytes that may wait to be taken.
          clock: Seconds.
        """
        super().__init__(daemon=True)
        self.byte_rate, self.received, self.live = byte_rate, 0, True
        self.waited_s = 0.0
        self._read, self._clock = read, clock
        self._limit = max(_MOST_AT_ONCE, round(limit_s * byte_rate))
        self._parts: collections.deque[bytes] = collections.deque()
        self._untaken, self._ended = 0, False
        self._begun_s: float | None = None
        self._changed = threading.Condition()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first bytes; 0 before them."""
        return 0.0 if self._begun_s is None else self._clock() - self._begun_s

    def run(self) -> None:
        """Reads to the end."""
        while not self._ended:
            try:
                data = self._read(_MOST_AT_ONCE)
            except OSError:  # The device is gone: so is its sound.
                data = b""
            with self._changed:
                self._note(data)
                self._changed.notify_all()
                self._changed.wait_for(lambda: self.live or self._room)

    @property
    def _room(self) -> bool:
        return self._untaken <= self._limit

    def _note(self, data: bytes) -> None:
        if self._begun_s is None:
            self._begun_s = self._clock()
        self._ended = not data
        if data:
            self._parts.append(data)
        self._untaken += len(data)
        self.received += len(data)
        due = self.byte_rate * (self.elapsed_s + 1) + _PIPE_BYTES
        self.live = self.live and self.received <= due

    def take(self, timeout_s: float) -> bytes | None:
        """All that came; `b""` at the end of the stream; None if nothing comes."""
        began_s = self._clock()
        with self._changed:
            self._changed.wait_for(lambda: self._parts or self._ended, timeout_s)
            self.waited_s += self._clock() - began_s
            if not self._parts:
                return b"" if self._ended else None
            data = b"".join(self._parts)
            self._parts.clear()
            self._untaken = 0
            self._changed.notify_all()
            return data
