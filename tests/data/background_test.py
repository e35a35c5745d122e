"""A stream read in the background: what is live, what waits, what ends."""

import queue

import pytest

from sigjax.data.background import Reader


class Source:
    """Gives what is put into it."""

    def __init__(self):
        self.parts = queue.Queue()

    def __call__(self, count):
        part = self.parts.get(timeout=20)
        if isinstance(part, Exception):
            raise part
        return part


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


@pytest.fixture
def made():
    """A reader of 100,000 bytes a second that lets 200,000 wait."""
    source, clock = Source(), Clock()
    reader = Reader(source, byte_rate=100_000, limit_s=2.0, clock=clock)
    reader.start()
    yield reader, source, clock
    source.parts.put(b"")
    for _ in range(100):
        if not reader.is_alive():
            break
        reader.take(0.05)
    assert not reader.is_alive()


def _received(reader, count):
    """Waits until so many bytes have come."""
    with reader._changed:
        assert reader._changed.wait_for(lambda: reader.received >= count, 20)


def test_bytes_come_in_order_and_the_end_stays_the_end(made):
    reader, source, _ = made
    source.parts.put(b"ab")
    source.parts.put(b"cd")
    _received(reader, 4)
    assert reader.take(20) == b"abcd"
    assert reader.take(0.001) is None
    source.parts.put(b"")
    assert reader.take(20) == b"" and reader.take(20) == b""


def test_a_source_at_the_clocks_pace_is_live_and_never_waits(made):
    reader, source, clock = made
    for second in range(1, 11):
        source.parts.put(bytes(100_000))
        _received(reader, 100_000 * second)  # Though nobody takes them.
        clock.now_s += 1.0
    assert reader.live and reader.elapsed_s == 10.0
    assert len(reader.take(20)) == 1_000_000


def test_what_a_pipe_held_before_does_not_make_it_a_file(made):
    reader, source, _ = made
    source.parts.put(bytes(200_000))
    _received(reader, 200_000)
    assert reader.live


def test_a_source_ahead_of_the_clock_waits_for_who_takes(made):
    reader, source, _ = made
    for _ in range(5):
        source.parts.put(bytes(100_000))
    _received(reader, 300_000)
    assert not reader.live
    with reader._changed:
        assert not reader._changed.wait_for(lambda: reader.received > 300_000, 0.1)
    assert len(reader.take(20)) == 300_000
    _received(reader, 500_000)
    assert len(reader.take(20)) == 200_000


def test_a_device_that_goes_away_is_the_end(made):
    reader, source, _ = made
    source.parts.put(OSError("no such device"))
    assert reader.take(20) == b""
