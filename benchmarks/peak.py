"""How much memory a call takes at most, beyond what its process held before."""

import pathlib
import resource
import threading
from collections.abc import Callable

_EVERY_S = 0.0005


def resident_mb() -> float:
    """What the process holds now, in MiB (Linux)."""
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def peak_mb(call: Callable[[], object]) -> float:
    """MiB that `call` adds at most to the process, sampled every half millisecond.

    Memory that an earlier call freed and the process kept is not counted: call it once
    in a process of its own.
    """
    before, top, done = resident_mb(), [0.0], threading.Event()

    def watch():
        while not done.wait(_EVERY_S):
            top[0] = max(top[0], resident_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        call()
    finally:
        done.set()
        watcher.join()
    return max(top[0], resident_mb()) - before
