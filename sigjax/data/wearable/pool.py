"""Runs a function over many jobs on the cores of one machine.

The standard library's executor gives up every job in flight when one worker dies and
cannot say whose fault it was. Here each worker has a pipe of its own, so that the death
of one (killed for memory, or a crash in compiled code) costs one job, which is known.
Workers are started afresh ("spawn"): a fork would copy locks that TensorStore's and
NumPy's threads hold.
"""

import collections
import contextlib
import multiprocessing as mp
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection
from typing import Any, NamedTuple

from sigjax.data import store_layout

# A week at 100 Hz, while it is filtered: just below.
WORKER_GB = 1.0
_CONTEXT = mp.get_context("spawn")
ENVIRONMENT = {
    # Arithmetic libraries start a thread per core unless told otherwise: N workers of
    # N threads get in each other's way.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # glibc's heaps of several threads grow from file to file, by 15 % over four.
    "MALLOC_ARENA_MAX": "1",
}


class Died(NamedTuple):
    """In place of a result: the job's worker died, and so did that of a second try.

    Attributes:
      job: Which.
      reason: How.
    """

    job: Any
    reason: str


class WorkerError(RuntimeError):
    """Workers cannot start, or a job raised what cannot be sent to this process."""


def run(
    function: Callable[[Any], Any], jobs: Sequence[Any], *, workers: int
) -> Iterator[Any]:
    """Yields `function(job)` for each job, in the order in which they are done.

    A job whose worker dies is tried once more after all others, on its own, when it
    has the machine's memory to itself.

    Args:
      function: Pickles, and can be imported by a fresh process.
      jobs: Each pickles.
      workers: Processes. All end when this generator or this process does, however
        it ends.

    Yields:
      Results, or `Died` for jobs whose worker died twice.

    Raises:
      WorkerError: A worker died before its first job.
      Exception: What `function` raised; the other jobs end with it.
    """
    again: list[Any] = []
    with contextlib.closing(_Pool(function, min(workers, len(jobs)))) as pool:
        for result in pool.run(jobs):
            if isinstance(result, Died):
                again.append(result.job)
            else:
                yield result
    for job in again:
        with contextlib.closing(_Pool(function, 1)) as pool:
            yield from pool.run([job])


class _Worker:
    """A process, the pipe to it, and the job that it has."""

    def __init__(self, function: Callable[[Any], Any]):
        self.pipe, theirs = _CONTEXT.Pipe()
        self.process = _CONTEXT.Process(
            target=_serve, args=(theirs, function), daemon=True
        )
        with single_threaded(), _without_ctrl_c():
            self.process.start()
        theirs.close()  # So that its death is the end of the pipe.
        self.ready = False
        self.job: Any = None

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class _Pool:
    def __init__(self, function: Callable[[Any], Any], workers: int):
        self._function = function
        self._workers = []
        try:
            for _ in range(workers):
                self._workers.append(_Worker(function))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for worker in self._workers:
            worker.process.kill()  # All at once, then wait for each.
        for worker in self._workers:
            worker.stop()
        self._workers = []

    def run(self, jobs: Sequence[Any]) -> Iterator[Any]:
        waiting = collections.deque(jobs)
        missing = len(waiting)
        while missing:
            pipes = {worker.pipe: worker for worker in self._workers}
            for pipe in connection.wait(list(pipes)):
                worker = pipes[pipe]
                job, worker.job = worker.job, None
                kind: str
                value: Any
                try:
                    kind, value = worker.pipe.recv()
                except (EOFError, OSError, pickle.UnpicklingError):
                    kind, value = "died", self._bury(worker)
                if kind == "raised":
                    raise value
                if kind == "died" and waiting:
                    self._workers.append(_Worker(self._function))
                elif waiting:
                    worker.ready, worker.job = True, waiting.popleft()
                    # One that dies just now is found dead in the next round.
                    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                        worker.pipe.send(worker.job)
                if job is not None:
                    missing -= 1
                    yield Died(job, value) if kind == "died" else value

    def _bury(self, worker: _Worker) -> str:
        """Takes out a dead worker; returns how it died."""
        worker.process.join()
        code = worker.process.exitcode
        worker.pipe.close()
        reason = f"its process exited with status {code}"
        if code is not None and code < 0:
            reason = f"its process was ended by {_signal_name(-code)}"
        if code == -signal.SIGKILL:
            reason += ": out of memory, most likely"
        if not worker.ready:
            raise WorkerError(
                f"a worker could not start: {reason}. A script that prepares with"
                " several workers needs `if __name__ == '__main__':` before its call."
            )
        self._workers.remove(worker)
        return reason


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _serve(pipe: connection.Connection, function: Callable[[Any], Any]) -> None:
    """What a worker does: jobs, until the pipe ends."""
    threading.Thread(target=_die_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send(("ready", None))
        while True:
            job = pipe.recv()
            try:
                answer = ("done", function(job))
            except Exception as error:
                answer = ("raised", _portable(error))
            pipe.send(answer)


def _portable(error: Exception) -> Exception:
    """An exception that pickles, with the traceback of this process in a note."""
    text = traceback.format_exc()
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        error = WorkerError(f"{type(error).__name__}: {error}")
    error.add_note(f"In a worker process:\n{text}")
    return error


def _die_with_parent() -> None:
    """Ends this process when its parent is gone, even by `kill -9`."""
    parent = mp.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def single_threaded() -> Iterator[None]:
    """Arithmetic libraries of processes started herein use one thread."""
    before = {name: os.environ.get(name) for name in ENVIRONMENT}
    os.environ.update(ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes started herein leave Ctrl-C to their parent."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)


def default_workers() -> tuple[int, str]:
    """How many workers this machine carries now, and what limits them."""
    cores = store_layout.usable_cores()
    memory_gb = _available_gb()
    if memory_gb is not None and memory_gb < cores * WORKER_GB:
        few = max(1, int(memory_gb / WORKER_GB))
        return few, (
            f"{memory_gb:.1f} GB of memory are available, about {WORKER_GB} GB per"
            f" worker: {few} of {cores} cores are used (--workers sets another number)"
        )
    return cores, f"{cores} cores"


def _available_gb() -> float | None:
    """Memory that can be had: of the machine, or less where a container limits it."""
    found = []
    with contextlib.suppress(OSError, ValueError, AttributeError):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(OSError, ValueError), open("/proc/meminfo") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            with open(f"/sys/fs/cgroup/{name}") as limit:
                found.append(int(limit.read()))
    return min(found) / 1e9 if found else None
