"""How commands ask for memory, and what they keep of it."""

import os
import pathlib
import platform
import subprocess
import sys

import pytest

from launch.memory import Memory

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="malloc's settings are glibc's"
)
_TOLD = "GLIBC_TUNABLES"


def _python(*arguments, path="", **variables):
    """A program that has these variables, and none of memory but these."""
    asked = {k: v for k, v in os.environ.items() if "MALLOC" not in k}
    for name in (_TOLD, "JAX_NUM_CPU_DEVICES"):
        asked.pop(name, None)
    asked |= {"PYTHONPATH": os.pathsep.join([str(path), os.getcwd()])}
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**asked, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture
def starts(tmp_path):
    """Makes every Python with this folder in its path say what it started with."""
    (tmp_path / "sitecustomize.py").write_text(
        f'import os, sys; print("start", os.environ.get("{_TOLD}"), file=sys.stderr)'
    )

    def starts(*arguments, **variables):
        done = _python(*arguments, path=tmp_path, **variables)
        lines = [x for x in done.stderr.splitlines() if x.startswith("start ")]
        return [x.removeprefix("start ") for x in lines]

    return starts


@pytest.mark.parametrize(
    ("module", "variables", "wanted"),
    [
        ("launch.finetune", {}, Memory.KEPT),
        ("launch.finetune", {"JAX_NUM_CPU_DEVICES": "2"}, Memory.APART),
        ("launch.probe", {}, Memory.APART),
        ("benchmarks.audio_step", {}, Memory.KEPT),
        ("benchmarks.probe_sweep", {}, Memory.APART),
        ("benchmarks.audio_step_torch", {}, Memory.SMALL_PAGES),
        # As a benchmark starts its peer.
        (
            "benchmarks.audio_step_torch",
            {_TOLD: Memory.KEPT.value},
            Memory.SMALL_PAGES,
        ),
    ],
)
def test_each_command_starts_anew_with_its_memory(starts, module, variables, wanted):
    found = starts("-m", module, "--help", **variables)
    assert found == [variables.get(_TOLD, "None"), wanted.value]


@pytest.mark.parametrize(
    ("arguments", "variables"),
    [
        (["-m", "launch.finetune", "--help"], {_TOLD: ""}),
        (["-m", "launch.finetune", "--help"], {_TOLD: "glibc.malloc.arena_max=3"}),
        (["-m", "launch.finetune", "--help"], {"MALLOC_ARENA_MAX": "3"}),
        (["-m", "launch.finetune", "--help"], {_TOLD: Memory.KEPT.value}),
        (["-c", "import launch, benchmarks"], {}),
    ],
)
def test_the_users_settings_and_programs_are_left_alone(starts, arguments, variables):
    assert starts(*arguments, **variables) == [variables.get(_TOLD, "None")]


_PACKAGE = """
import launch.memory as memory
memory._glibc = lambda: {glibc}
memory.settle("package", lambda name: memory.Memory[name.upper()])
"""
_COMMAND = f"""
import os, sys
print(os.getpid(), os.environ.get("{_TOLD}"), sys.argv[1:], sys.flags.dev_mode)
"""


@pytest.mark.parametrize(
    ("glibc", "told"), [(True, Memory.APART.value), (False, "None")]
)
def test_it_is_the_same_process_with_the_same_arguments(tmp_path, glibc, told):
    package = tmp_path / "package"
    package.mkdir()
    text = _PACKAGE.format(glibc=glibc)
    (package / "__init__.py").write_text(text)
    (package / "apart.py").write_text(_COMMAND)
    command = [sys.executable, "-X", "dev", "-m", "package.apart", "a b", "-m", "x=1"]
    environment = {k: v for k, v in os.environ.items() if k != _TOLD}
    with subprocess.Popen(
        command,
        env={**environment, "PYTHONPATH": os.getcwd()},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said, _ = process.communicate(timeout=60)
    assert said == f"{process.pid} {told} ['a b', '-m', 'x=1'] True\n"


# Fresh pages of a 64-MB array that was freed and is asked for again.
_AGAIN = """
import resource, threading
import numpy as np

def fill():
    np.ones(8 << 20)

def fill_in_another_thread():
    thread = threading.Thread(target=fill)
    thread.start()
    thread.join()

fill_in_another_thread()
fill()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
fill_in_another_thread()
fill()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
_LARGE = """
import ctypes
import numpy as np

end = ctypes.CDLL(None).sbrk
end.restype = ctypes.c_void_p
array = np.empty(5 << 29, np.uint8)
before = end(0)
del array
print(before - end(0))
"""


def _number(program, **variables):
    # A page is a page.
    done = _python("-c", program, NUMPY_MADVISE_HUGEPAGE="0", **variables)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_an_array_of_the_same_size_needs_no_fresh_pages():
    assert _number(_AGAIN) > 10_000
    assert _number(_AGAIN, **{_TOLD: Memory.KEPT.value}) < 100


def test_even_of_gigabytes_nothing_is_handed_back():
    assert _number(_LARGE, **{_TOLD: Memory.KEPT.value}) == 0


# How much of a 64-MB array lies in huge pages, in kB.
_IN_HUGE_PAGES = """
import numpy as np
array = np.ones(8 << 20)
rows = open("/proc/self/smaps_rollup").read().splitlines()
print(next(row.split()[1] for row in rows if row.startswith("AnonHugePages")))
"""


def test_arrays_lie_in_huge_pages():
    offered = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not offered.exists() or "[never]" in offered.read_text():
        pytest.skip("this system has no huge pages to give")
    assert _number(_IN_HUGE_PAGES, **{_TOLD: Memory.KEPT.value}) > 32_000


# Free pieces after 20,000 holes of 1 to 40 kB between what lives on, and one of 1 GB;
# whether that one is still free, and how many fresh pages an array in it needs.
_HOLES = """
import ctypes, resource
import numpy as np
from launch import memory

library = ctypes.CDLL(None)
library.mallinfo2.restype = memory._Information
sizes = np.random.default_rng(0).integers(1 << 10, 40 << 10, 20_000)
large = np.ones(1 << 27)
pairs = [(np.ones(size, np.uint8), np.ones(2 << 10, np.uint8)) for size in sizes]
alive = [pair[1] for pair in pairs]
del pairs, large
before = library.mallinfo2()
closed = memory.close_holes()
after = library.mallinfo2()
array = np.ones(1 << 27)
end = library.mallinfo2()
pieces = (before.ordblks, after.ordblks)
free = after.fordblks - after.keepcost
print(*pieces, closed, free, int(end.arena <= before.arena))
"""


def test_holes_that_a_compiler_left_are_closed_and_room_for_arrays_is_not():
    done = _python("-c", _HOLES, **{_TOLD: Memory.KEPT.value})
    assert done.returncode == 0, done.stderr
    before, after, closed, free, same = map(int, done.stdout.split())
    assert before > 20_000
    assert after < before  # What is left of them is shorter than half a kB.
    assert closed > 20_000 * (18 << 10)
    assert 1 << 30 < free < (1 << 30) + closed // 10
    assert same  # The array has its old place.


# Bytes from the system after each of three turns of holes that are closed.
_TURNS = """
import ctypes
import numpy as np
from launch import memory

library = ctypes.CDLL(None)
library.mallinfo2.restype = memory._Information
sizes = np.random.default_rng(0).integers(1 << 10, 40 << 10, 20_000)
for _ in range(3):
    pairs = [(np.ones(n, np.uint8), np.ones(2 << 10, np.uint8)) for n in sizes]
    print(library.mallinfo2().arena)
    alive = [pair[1] for pair in pairs]
    del pairs
    memory.close_holes()
    {open}
    del alive
"""


@pytest.mark.parametrize("opened", [True, False])
def test_what_is_opened_again_is_used_again(opened):
    program = _TURNS.format(open="memory.open_holes()" if opened else "")
    done = _python("-c", program, **{_TOLD: Memory.KEPT.value})
    assert done.returncode == 0, done.stderr
    first, *_, last = map(int, done.stdout.split())
    assert (last < 1.1 * first) == opened


_COMPILES = """
import time
import jax, jax.numpy as jnp
from launch import memory

memory._LONG_S, memory._LATER_S = {seconds}, 0.2
memory.open_holes = lambda: print("opened")
memory.close_holes = lambda: print("closed")
memory.close_holes_after_compiling()
x = jnp.ones((8, 8))
jax.jit(lambda x: jnp.sin(x) @ x)(x)
jax.jit(lambda x: jnp.cos(x) @ x)(x)
time.sleep(1)
"""


@pytest.mark.parametrize(
    ("seconds", "settings", "closes"),
    [(0, Memory.KEPT, True), (1e9, Memory.KEPT, False), (0, Memory.APART, False)],
)
def test_holes_are_open_while_compiling_and_closed_after_it(seconds, settings, closes):
    program = _COMPILES.format(seconds=seconds)
    done = _python("-c", program, **{_TOLD: settings.value})
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("opened\nopened\nclosed\n") == closes
    assert bool(done.stdout) == closes
