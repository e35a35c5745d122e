"""Keeps freed memory in the process, so that the next batch need not ask for it."""

import ctypes
import os
import sys

# Numbers of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = -1
# As many arenas as glibc has by itself.
_FOR_EACH_CORE = 8


def keep_freed(side_by_side: bool | None = None) -> bool:
    """Tells glibc to keep what is freed, instead of handing it back to the system.

    By default an array above 32 MB is mapped anew and unmapped after use, and the
    system fills each of its pages with zeros at the first touch: for a batch of sounds
    on the way to the device a good part of the time of their log-mels
    (`benchmarks.asd_features`, with an empty `GLIBC_TUNABLES` for how it was).
    Afterwards a process holds as much memory as it once needed.

    All threads share one arena then, for no other keeps an array above 64 MB: what a
    training step needs (`benchmarks.audio_step`). Where devices of the CPU compute side
    by side they would wait for each other at every small operation, twice as long as
    they compute in `benchmarks.probe_sweep`: those have arenas of their own, which keep
    what is smaller.

    Steps of very small networks wait for the one arena, too: a third longer in
    `benchmarks.autoencoders --cases=vae` than with an empty `GLIBC_TUNABLES`.

    It comes too late once a second thread has asked for memory: glibc settles the
    number of arenas then. Importing pyarrow is enough for that.

    Variables that say otherwise (`MALLOC_ARENA_MAX`, `MALLOC_MMAP_MAX_`,
    `MALLOC_MMAP_THRESHOLD_`, `MALLOC_TRIM_THRESHOLD_`, `GLIBC_TUNABLES`) are left in
    force.

    Args:
      side_by_side: Whether several devices of the CPU compute at once; None for what
        `JAX_NUM_CPU_DEVICES` says.

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
    if side_by_side is None:
        side_by_side = os.environ.get("JAX_NUM_CPU_DEVICES", "1") not in ("", "-1", "1")
    arenas = _FOR_EACH_CORE * (os.cpu_count() or 1) if side_by_side else 1
    wanted = ((_ARENA_MAX, arenas), (_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER))
    return all(mallopt(option, value) for option, value in wanted)
