"""Keeps freed memory in the process, so that the next batch need not ask for it."""

import ctypes
import os
import sys

# Numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = -1


def keep_freed() -> bool:
    """Tells glibc to keep what is freed, instead of handing it back to the system.

    By default an array above 32 MB is mapped anew and unmapped after use, and the
    system fills each of its pages with zeros at the first touch: for a batch of sounds
    on the way to the device a good part of the time of their log-mels
    (`benchmarks.asd_features`, with an empty `GLIBC_TUNABLES` for how it was).
    Afterwards a process holds as much memory as it once needed. It comes too late once
    a second thread has asked for memory: glibc settles the number of arenas then, and
    in others than the first nothing is kept. Importing pyarrow is enough for that.

    Variables that say otherwise (`MALLOC_ARENA_MAX`, `MALLOC_MMAP_MAX_`,
    `MALLOC_MMAP_THRESHOLD_`, `MALLOC_TRIM_THRESHOLD_`, `GLIBC_TUNABLES`) are left in
    force.

    Returns:
      Whether it was done: not on other systems, nor beside those variables, nor under
      another allocator that has no such setting.
    """
    asked = ("ARENA_MAX", "MMAP_MAX_", "MMAP_THRESHOLD_", "TRIM_THRESHOLD_")
    names = ("GLIBC_TUNABLES", *(f"MALLOC_{name}" for name in asked))
    if sys.platform != "linux" or any(name in os.environ for name in names):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    # In one arena for all threads: those of others are at most 64 MB, and what is
    # larger, as a training step's buffer, would be mapped nevertheless.
    wanted = ((_ARENA_MAX, 1), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER))
    return all(mallopt(option, value) for option, value in wanted)
