"""How a command's memory is asked for: in huge pages, and kept where that is faster."""

import enum
import os
import pathlib
import sys
from collections.abc import Callable

_SHARED = "glibc.malloc.arena_max=1"
_KEPT = f"glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold={1 << 62}"
_HUGE = "glibc.malloc.hugetlb=1"
_HUGE_PAGES = pathlib.Path("/sys/kernel/mm/transparent_hugepage/enabled")


class Memory(enum.Enum):
    """Settings of glibc's malloc, as `GLIBC_TUNABLES`.

    Steps are made of many small operations. They wait for each other where threads
    share an arena, the more so among the holes that compiling left in it; huge pages
    spare them a tenth of their time and more (`benchmarks.mae_step`). Features are
    made in a few large operations: fresh pages for each batch cost more than the
    waiting, and above 64 MB only an arena of all threads keeps them
    (`benchmarks.encoder`).
    """

    HUGE = _HUGE  # Training: an arena for each thread.
    HUGE_KEPT = f"{_HUGE}:{_SHARED}:{_KEPT}"  # Features of large batches.
    HUGE_APART = f"{_HUGE}:{_KEPT}"  # Devices of a CPU that compute side by side.
    KEPT = f"{_SHARED}:{_KEPT}"  # Without huge pages.


def settle(package: str, memory_of: Callable[[str], Memory]) -> None:
    """Starts a command of a package anew if its memory should be asked for otherwise.

    glibc reads these settings once, when a program starts. So `python -m launch.NAME`
    is replaced by itself (`execve`: the same process, with the same arguments) before
    it has imported anything. Nothing happens to programs that only import the package,
    on systems without glibc, or where the user has settings: `GLIBC_TUNABLES=` before
    a command leaves everything as it is.

    Args:
      package: Name of the package, which calls this when it is imported.
      memory_of: Settings by the command's name.
    """
    name, release = _command(package), _glibc()
    now = os.environ.get("GLIBC_TUNABLES")
    ours = {None, *(memory.value for memory in Memory)}
    malloc = any(variable.startswith("MALLOC_") for variable in os.environ)
    if name is None or release is None or malloc or now not in ours:
        return
    memory = memory_of(name)
    devices = os.environ.get("JAX_NUM_CPU_DEVICES", "1")
    if memory is Memory.HUGE_KEPT and devices not in ("", "-1", "1"):
        memory = Memory.HUGE_APART
    if memory is Memory.HUGE and (release < (2, 35) or not _offers_huge_pages()):
        memory = Memory.KEPT
    if now != memory.value:
        again = [sys.executable, *sys.orig_argv[1:]]
        settings = {**os.environ, "GLIBC_TUNABLES": memory.value}
        os.execve(sys.executable, again, settings)


def _command(package: str) -> str | None:
    """NAME of `python -m package.NAME`, while Python still looks for it."""
    if sys.argv[:1] != ["-m"] or "-m" not in sys.orig_argv[:-1]:
        return None
    module = sys.orig_argv[sys.orig_argv.index("-m") + 1]
    return module.removeprefix(f"{package}.") if module.startswith(package) else None


def _glibc() -> tuple[int, ...] | None:
    """Release of glibc: (2, 36); None on other systems."""
    try:
        name, _, release = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (AttributeError, OSError, ValueError):
        return None
    return tuple(map(int, release.split("."))) if name == "glibc" else None


def _offers_huge_pages() -> bool:
    """Whether the system gives huge pages to whoever asks, or to all."""
    try:
        return "[never]" not in _HUGE_PAGES.read_text()
    except OSError:
        return False
