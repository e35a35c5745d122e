"""How every benchmark here measures: both sides in turn, medians, one JSON line each.

    {"name": ..., "case": ..., "ours": 12.3, "peer": 10.1, "ratio": 1.22,
     "unit": "crops/s", "device": "cpu:AMD EPYC x2"}

`ratio` above 1 always means that ours is better. The last line repeats the case with
the smallest ratio, with `"smallest": true`.
"""

import argparse
import dataclasses
import json
import pathlib
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from launch import memory

# Threads of BLAS and OpenMP wait busily for tens of milliseconds after their work: a
# turn that began at once would share its cores with the other side's.
_REST_S = 0.3

# Does the work once. May return how many seconds of it count, where setting up
# should not; otherwise the whole call is timed.
Side = Callable[[], float | None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Case:
    """One comparison.

    Attributes:
      name: Of the benchmark.
      case: Of this comparison within it.
      ours: Our side.
      peer: The other side, doing the same work.
      unit: Of the figures: `"s"`, or of work per second such as `"crops/s"`.
      work: Amount of work in a call. With it the figures are work per second and
        more is better; without it they are seconds and less is better.
      extras: Further keys of the JSON line.
    """

    name: str
    case: str
    ours: Side
    peer: Side
    unit: str
    work: float | None = None
    extras: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def measure(
    case: Case, *, device: str, repeats: int = 5, warmup: int = 1
) -> dict[str, Any]:
    """Runs both sides in turn and returns the JSON line as a dict.

    Turns alternate in which side goes first, so that a drifting machine favours none.
    """
    seconds: dict[str, list[float]] = {"ours": [], "peer": []}
    sides = {"ours": case.ours, "peer": case.peer}
    for repeat in range(warmup + repeats):
        for side in sorted(sides, reverse=repeat % 2 == 1):
            time.sleep(_REST_S)
            spent = _seconds(sides[side])
            if repeat >= warmup:
                seconds[side].append(spent)
    ours, peer = (float(np.median(seconds[side])) for side in ("ours", "peer"))
    ratio = peer / ours
    if case.work is not None:
        ours, peer = case.work / ours, case.work / peer
    return {
        "name": case.name,
        "case": case.case,
        "ours": _rounded(ours),
        "peer": _rounded(peer),
        "ratio": _rounded(ratio),
        "unit": case.unit,
        "device": device,
        **case.extras,
    }


def report(
    lines: Iterable[Mapping[str, Any]], *, out: str | pathlib.Path | None = None
) -> None:
    """Prints each line as it comes and the smallest ratio last; appends all to `out`.

    A figure without a peer has the ratio None.

    Raises:
      ValueError: There are no lines.
    """
    compared, empty = [], True
    for line in lines:
        _emit(line, out)
        empty = False
        if line["ratio"] is not None:
            compared.append(line)
    if empty:
        raise ValueError("a benchmark without cases has nothing to report")
    if compared:
        smallest = min(compared, key=lambda line: line["ratio"])
        _emit({**smallest, "smallest": True}, out)


def run(
    cases: Iterable[Case],
    *,
    device: str,
    repeats: int = 5,
    out: str | pathlib.Path | None = None,
) -> None:
    """Measures all cases, one after another, and reports them."""
    lines = (measure(case, device=device, repeats=repeats) for case in cases)
    report(lines, out=out)


def parser(
    description: str | None, *, devices: bool = False
) -> argparse.ArgumentParser:
    """Command line that all benchmarks share: `--out`, `--repeats`.

    Memory after compiling is as that of commands.

    Args:
      description: What the benchmark is.
      devices: Whether it computes on several devices of the CPU, `--devices`.
    """
    memory.close_holes_after_compiling()
    flags = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    flags.add_argument("--out", help="file to append the JSON lines to")
    flags.add_argument("--repeats", type=int, default=5, help="turns of each side")
    if devices:
        flags.add_argument("--devices", type=int, help="on CPU; one for each core")
    return flags


def cpu() -> str:
    """Name of the processor."""
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def _emit(line: Mapping[str, Any], out: str | pathlib.Path | None) -> None:
    text = json.dumps(line)
    print(text, flush=True)
    if out is not None:
        path = pathlib.Path(out)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text + "\n")


def _seconds(side: Side) -> float:
    start = time.perf_counter()
    counted = side()
    return time.perf_counter() - start if counted is None else counted


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
