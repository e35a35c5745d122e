"""Memory of commands: in huge pages, kept when freed, without the compiler's holes."""

import ctypes
import enum
import os
import sys
import threading
from collections.abc import Callable

_SHARED = "glibc.malloc.arena_max=1"
_KEPT = f"glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold={1 << 62}"
_HUGE = "glibc.malloc.hugetlb=1"

_LOWERED = "/jax/core/compile/jaxpr_to_mlir_module_duration"
_COMPILED = "/jax/core/compile/backend_compile_duration"
_LONG_S, _LATER_S = 0.1, 1.0
_HOLE_BYTES = (528, 4 << 20)


class Memory(enum.Enum):
    """Settings of glibc's malloc, as `GLIBC_TUNABLES`.

    Fresh pages for each step or batch cost more than computing it where a virtual
    machine must ask its host for them, and above 64 MB only an arena of all threads
    keeps what is freed. Pages are huge: arithmetic on arrays of hundreds of megabytes
    misses those of 4 kB in the processor's table of pages.
    """

    KEPT = f"{_HUGE}:{_SHARED}:{_KEPT}"
    # Devices of a CPU that compute side by side would wait for each other.
    APART = f"{_HUGE}:{_KEPT}"
    SMALL_PAGES = f"{_SHARED}:{_KEPT}"


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
    name = _command(package)
    now = os.environ.get("GLIBC_TUNABLES")
    ours = {None, *(memory.value for memory in Memory)}
    malloc = any(variable.startswith("MALLOC_") for variable in os.environ)
    if name is None or not _glibc() or malloc or now not in ours:
        return
    memory = memory_of(name)
    devices = os.environ.get("JAX_NUM_CPU_DEVICES", "1")
    if memory is Memory.KEPT and devices not in ("", "-1", "1"):
        memory = Memory.APART
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


def _glibc() -> bool:
    """Whether the C library is glibc."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc ")
    except (AttributeError, OSError, ValueError):
        return False


def close_holes_after_compiling() -> None:
    """Has holes closed (`close_holes`) when JAX has compiled something large.

    That is a second later, in a thread: programs that were not needed for long leave
    holes, too. They are opened while it compiles, so that the next compiler finds room
    in them.
    """
    if os.environ.get("GLIBC_TUNABLES") != Memory.KEPT.value:
        return  # Arrays have arenas without the compiler's holes.

    import jax

    soon: list[threading.Timer] = []

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if duration_secs < _LONG_S or event not in (_LOWERED, _COMPILED):
            return
        while soon:
            soon.pop().cancel()
        if event == _LOWERED:
            open_holes()
        else:
            timer = threading.Timer(_LATER_S, close_holes)
            timer.daemon = True
            timer.start()
            soon.append(timer)

    jax.monitoring.register_event_duration_secs_listener(listen)


class _Information(ctypes.Structure):
    """glibc's `struct mallinfo2`."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks"
        " fordblks keepcost".split()
    ]


class _Heap:
    """What malloc has and does not use."""

    def __init__(self):
        """Gives pages of holes back to the system, and sees how much they are."""
        library = ctypes.CDLL(None)
        self.malloc, self.free = library.malloc, library.free
        self.malloc.argtypes, self.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
        self.free.argtypes, library.sbrk.restype = [ctypes.c_void_p], ctypes.c_void_p
        self._trim, library.mallinfo2.restype = library.malloc_trim, _Information
        self._trim(0)
        known = library.mallinfo2()
        self._pieces, self.bytes = known.ordblks, known.fordblks - known.keepcost
        # What comes after them: a place there says that no hole of its size is left.
        self._end = library.sbrk(0) - known.keepcost
        self._sort()

    def _sort(self) -> None:
        # A request puts up to 10,000 pieces into their lists, and finds no others.
        for _ in range(2 + self._pieces // 10_000):
            self.free(self.malloc(2 * _HOLE_BYTES[0]))

    def take(self, size: int, most: int) -> list[int]:
        """Places of holes of this size, until they are `most` bytes."""
        found: list[int] = []
        while len(found) * size < most:
            place = self.malloc(size)
            if not place or place >= self._end:
                self.free(place)
                break
            found.append(place)
        return found

    def largest(self) -> int:
        """Size of the largest hole, bit by bit."""
        size, more = 0, 1 << self.bytes.bit_length()
        while more >= 16:
            for place in self.take(size + more, most=1):
                self.free(place)
                size += more
            more //= 2
        return size

    def give(self, places: list[int]) -> None:
        """Makes them holes again, without pages."""
        for place in places:
            self.free(place)
        self._trim(0)  # The end moved while holes were asked for.
        self._sort()


# Places of closed holes.
_closed: list[int] = []


def open_holes() -> None:
    """Makes closed holes malloc's again."""
    free = ctypes.CDLL(None).free
    free.argtypes = [ctypes.c_void_p]
    while _closed:
        free(_closed.pop())


def close_holes() -> int:
    """Takes holes of half a kB to 4 MB out of malloc's lists, and gives back the rest.

    A compiler leaves tens of thousands between what lives on, and malloc goes through
    lists of them, sorted by size, whenever a step asks for more than a kB. Afterwards
    they belong to somebody, until `open_holes`; their pages are the system's again.

    Returns:
      Bytes in closed holes; 0 where malloc is not glibc's of 2.33 or later.
    """
    if not hasattr(ctypes.CDLL(None), "mallinfo2"):
        return 0
    heap, closed = _Heap(), 0
    least, most = _HOLE_BYTES
    # Room for arrays is kept out of it, to the last byte: they have the size they had.
    room = []
    while (size := heap.largest()) > most and (found := heap.take(size, most=1)):
        room += found
    size = most
    while size >= least and closed < heap.bytes:
        found = heap.take(size, heap.bytes - closed)
        closed += size * len(found)
        _closed.extend(found)
        size = min(int(size * 0.97), size - 16) // 16 * 16
    heap.give(room)
    return closed
