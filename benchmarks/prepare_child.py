"""What both sides of `benchmarks.prepare` run in: a process that measures itself."""

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

# The host of a virtual machine takes back memory that has been free for a while, and
# giving it again costs up to a second for what one side needs: whoever runs first
# would pay. So 3 GB, as much as the hungrier side takes, are touched before each.
_TOUCH = "import numpy; numpy.empty(3 << 30, numpy.uint8)[:: 1 << 12] = 1"


def run(task: Callable[[str], dict[str, Any]], path: str) -> None:
    """Does a task on a file and prints what it took, as JSON on the last line.

    Keys beside the task's own: `seconds` and `cpu_s` of the task (the processes that
    it started included), `peak_mb` of this process from its start on, and
    `start_cpu_s`, spent before the task on starting Python and importing.
    """
    before, wall = _cpu_s(), time.perf_counter()
    found = task(path)
    seconds, cpu_s = time.perf_counter() - wall, _cpu_s() - before
    # Linux counts in KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    found |= {"seconds": seconds, "cpu_s": cpu_s, "peak_mb": peak}
    print(json.dumps({**found, "start_cpu_s": before}), flush=True)


def ask(module: str, arguments: Sequence[str], **environment: Any) -> dict[str, Any]:
    """Runs `python -m module arguments` and returns what it measured.

    Raises:
      CalledProcessError: It failed; what it said is on stderr.
    """
    subprocess.run([sys.executable, "-c", _TOUCH], check=True)
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True, **environment
    )
    return json.loads(done.stdout.splitlines()[-1])


def _cpu_s() -> float:
    both = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    used = [resource.getrusage(who) for who in both]
    return sum(use.ru_utime + use.ru_stime for use in used)
