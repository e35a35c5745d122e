"""Keeps freed memory in the process, so that the next batch need not ask for it."""

import ctypes
import os
import sys

# Numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_MOST = 2**31 - 1


def keep_freed() -> bool:
    """Tells glibc to keep what is freed, instead of handing it back to the system.

    By default an array above 32 MB is mapped anew and unmapped after use, and the
    system fills each of its pages with zeros at the first touch: for a batch of sounds
    on the way to the device a good part of the time of their log-mels
    (`benchmarks.asd_features`, with an empty `GLIBC_TUNABLES` for how it was).
    Afterwards a process holds as much memory as it once needed.

    Variables that say otherwise (`MALLOC_MMAP_MAX_`, `MALLOC_MMAP_THRESHOLD_`,
    `MALLOC_TRIM_THRESHOLD_`, `GLIBC_TUNABLES`) are left in force.

    Returns:
      Whether it was done: not on other systems, nor beside those variables, nor under
      another allocator that has no such setting.
    """
    asked = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")
    if sys.platform != "linux" or any(
        name in os.environ for name in (*asked, "GLIBC_TUNABLES")
    ):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    return bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _MOST))
