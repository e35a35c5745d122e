"""What a process keeps of freed memory."""

import os
import platform
import subprocess
import sys

import pytest

# Fresh pages of a 64-MB array that was freed and is asked for again.
_PROGRAM = """
import resource, sys, threading
import {first}
import numpy as np
from launch import memory

def fill():
    np.ones(8 << 20)

def fill_in_another_thread():
    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()

done = memory.keep_freed()
fill_in_another_thread()
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
fill_in_another_thread()
fill()
print(done, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

_LARGE = """
import ctypes, sys
import numpy as np
from launch import memory

end = ctypes.CDLL(None).sbrk
end.restype = ctypes.c_void_p
done = memory.keep_freed()
array = np.empty(5 << 29, np.uint8)
before = end(0)
del array
print(done, before - end(0))
"""


def _say(program, **variables):
    """The last two words of a program that has these variables, and no others."""
    asked = {k: v for k, v in os.environ.items() if "MALLOC" not in k}
    for name in ("GLIBC_TUNABLES", "JAX_NUM_CPU_DEVICES"):
        asked.pop(name, None)
    asked["NUMPY_MADVISE_HUGEPAGE"] = "0"  # A page is a page.
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**asked, "PYTHONPATH": os.getcwd(), **variables},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[-2:]


def _run(program, **variables):
    kept, pages = _say(program, **variables)
    return kept == "True", int(pages)


# These two import pyarrow, whose threads ask for memory at once.
@pytest.mark.parametrize("first", ["launch", "launch.extract", "benchmarks.encoder"])
def test_an_array_of_the_same_size_needs_no_fresh_pages(first):
    kept, pages = _run(_PROGRAM.format(first=first))
    assert kept == (platform.libc_ver()[0] == "glibc")
    assert pages < 100 or not kept


def test_even_of_gigabytes_nothing_is_handed_back():
    kept, handed_back = _run(_LARGE)
    assert handed_back == 0 or not kept


def test_the_users_own_settings_stay_in_force():
    kept, _ = _run(_PROGRAM.format(first="launch"), MALLOC_MMAP_THRESHOLD_="33554432")
    assert not kept


# Whether a second thread's memory comes from the first one's arena, after a command.
_ARENA = """
import re, runpy, sys, threading
try:
    sys.argv = {argv}
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
except SystemExit:
    pass
import numpy as np

def lies():
    place = np.empty(1 << 20, np.uint8).ctypes.data
    heap = re.search(r"(\\w+)-(\\w+) .*\\[heap\\]", open("/proc/self/maps").read())
    found.append(int(heap[1], 16) <= place < int(heap[2], 16))

found = []
thread = threading.Thread(target=lies)
thread.start()
thread.join()
print("shared", int(found[0]))
"""
_PROBE = ["launch.probe", "--features=none", "--output=none"]
_EXTRACT = ["launch.extract", "--encoder=none", "--manifest=none", "--output=none"]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="arenas are glibc's")
@pytest.mark.parametrize(
    ("argv", "variables", "shared"),
    [
        (_EXTRACT, {}, 1),
        (_EXTRACT, {"JAX_NUM_CPU_DEVICES": "2"}, 0),
        (_PROBE, {}, 0),
        (_PROBE, {"JAX_NUM_CPU_DEVICES": "1"}, 1),
        (["benchmarks.probe_sweep", "--help"], {}, 0),
        (["benchmarks.audio_step", "--help"], {}, 1),
    ],
)
def test_threads_share_an_arena_unless_devices_compute_side_by_side(
    argv, variables, shared
):
    _, found = _say(_ARENA.format(argv=argv), **variables)
    assert found == str(shared)
