"""The PyTorch side of a benchmark, in a process of its own.

A peer script prepares its work and calls `serve`; the benchmark starts it with `Peer`
and asks for one run at a time, so that both sides run in turn on an idle machine. The
process may belong to another Python: PyTorch need not exist for every version.
"""

import functools
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from benchmarks import harness


class Peer:
    """A peer script, started and ready.

    Attributes:
      about: What the script says of itself (PyTorch version, parameter count).
    """

    def __init__(self, module: str, arguments: Sequence[Any], python: str | None):
        """Starts `python -m module arguments` and waits until it is ready.

        Raises:
          RuntimeError: It did not start, for example because PyTorch is missing.
        """
        command = [python or sys.executable, "-m", module, *map(str, arguments)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.about: dict[str, Any] = json.loads(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(
                "no peer: the PyTorch process ended; install torch, or name a Python"
                " that has it with --peer_python"
            )
        return line

    def run(self, what: str = "") -> float:
        """Lets the peer do `what` once; returns the seconds that it measured."""
        assert self._process.stdin is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return float(self._line())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def serve(about: dict[str, Any], run: Callable[[str], float]) -> None:
    """Answers each line on stdin with the seconds of `run(line)`, until it closes."""
    print(json.dumps(about), flush=True)
    for line in sys.stdin:
        print(run(line.strip()), flush=True)


def serve_steps(training: Any, *, steps: int, device: str, about: dict) -> None:
    """Serves timed training steps: seconds per step over `steps` of them.

    Args:
      training: Its `step()` makes one; the first call compiles.
      steps: In a turn.
      device: `"cuda"` is waited for.
      about: What the script says of itself.
    """
    import torch

    training.step()

    def run(what: str) -> float:
        del what  # there is one thing to do
        start = time.perf_counter()
        for _ in range(steps):
            training.step()
        if device == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - start) / steps

    serve({"torch": torch.__version__, **about}, run)


def start(module: str, arguments: Sequence[Any], python: str | None) -> Peer | None:
    """A `Peer`, or None with a message on stderr where there is no PyTorch."""
    try:
        return Peer(module, arguments, python)
    except RuntimeError as error:
        print(error, file=sys.stderr, flush=True)
        return None


def side(peer: Peer | None, what: str = "") -> harness.Side:
    """The peer's side of a case; not a number where there is no peer."""
    return functools.partial(peer.run, what) if peer else lambda: float("nan")


def report(
    peer: Peer | None, lines: Iterable[dict[str, Any]], out: str | None = None
) -> None:
    """`harness.report`, or our side alone where there is no peer; ends the peer."""
    if peer is None:
        for line in lines:
            print(json.dumps({**line, "peer": None, "ratio": None}), flush=True)
        return
    harness.report(lines, out=out)
    peer.close()
