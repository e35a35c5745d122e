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


def _run(program, **variables):
    asked = {k: v for k, v in os.environ.items() if "MALLOC" not in k}
    asked.pop("GLIBC_TUNABLES", None)
    asked["NUMPY_MADVISE_HUGEPAGE"] = "0"  # A page is a page.
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**asked, "PYTHONPATH": os.getcwd(), **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    kept, pages = done.stdout.split()
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
