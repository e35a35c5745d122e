"""Device file to training data, beside actipy: a week of an AX3 at 100 Hz.

    python -m benchmarks.prepare [--out=benchmarks/results/prepare.jsonl]

Simulates a week (256 MB, with five corrupt blocks and a restart after a gap of ten
minutes), then reads it, and prepares it with the `paper` preset, with sigjax and with
the closest call of actipy (`pip install actipy`, and Java). Every figure comes from a
process of its own, in turn; the file is in the page cache, and the machine's memory has
just been in use. `ours`, `peer` and `ratio` are wall time. Lines:

- `read`, `paper` and `paper, .cwa.gz`: seconds, and CPU seconds (`*_cpu_s`, started
  processes included: actipy's Java) with their ratio, peak memory (`*_peak_mb`, of the
  Python process alone), and CPU seconds of starting Python and importing
  (`*_start_cpu_s`). `paper` also says how the results agree: `like_peer` are our
  figures with our `actipy` preset and the constants of the call.
- `store`: reading, preparing and writing to a store, which is all that a worker does
  with a file; from it `files_per_hour_per_core` and, for the 115,390 recordings of UK
  Biobank, `ukb_core_hours` and `ukb_days_on_32_cores`. No peer.
- `floor`: what no program of this kind can do without (`benchmarks.prepare_ours.floor`
  says what is counted), and how many times the time of `paper` is longer. No peer.
- `compile`: seconds more that the first file takes on a machine where the loops have
  never been compiled. No peer.
"""

import gzip
import importlib.util
import os
import pathlib
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks import harness, prepare_child
from sigjax.data.synthetic import cwa, wrist

NAME = "prepare"
UKB_FILES = 115_390
DEVICE = f"cpu:{harness.cpu()} x{os.cpu_count()}"
_OURS, _PEER = "benchmarks.prepare_ours", "benchmarks.prepare_peer"


def _environment(**more: str) -> dict[str, str]:
    # A library that starts a thread per core would blur what one core does.
    threads = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(threads, "1"), **more}


def main() -> None:
    """Measures all cases."""
    flags = harness.parser(__doc__)
    flags.set_defaults(repeats=3)
    flags.add_argument("--days", type=float, default=7.0, help="of the recording")
    options = flags.parse_args()
    missing = missing_peer()
    if missing:
        print(f"no peer: {missing}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = simulate(pathlib.Path(folder), options.days)
        found = lines(path, peer=not missing, repeats=options.repeats)
        harness.report(found, out=options.out)


def missing_peer() -> str:
    """What actipy lacks here, and what to do; empty if nothing."""
    if importlib.util.find_spec("actipy") is None:
        return "actipy is not installed; pip install '.[bench]' in a clone"
    if shutil.which("java") is None:
        return "actipy needs Java, which is not on the path; install a Java runtime"
    return ""


def simulate(folder: pathlib.Path, days: float) -> pathlib.Path:
    """Writes the recording, plain and packed; returns the path of the plain one."""
    path = folder / "week.cwa"
    simulation = wrist.WristSimulation(seed=7, days=days)
    blocks = int(days * 86_400 * simulation.rate_hz / 120)
    cwa.write_cwa(
        path,
        simulation.chunks(),
        cwa.CwaDevice(start=simulation.start, rate_hz=simulation.rate_hz),
        temperature_c=simulation.temperature_c,
        bad_blocks=[blocks * i // 6 for i in range(1, 6)],
        interruptions=[cwa.Interruption(block=blocks * 3 // 7, lost_s=600.0)],
    )
    packed = path.with_name("week.cwa.gz")
    with path.open("rb") as plain, gzip.open(packed, "wb", compresslevel=1) as file:
        shutil.copyfileobj(plain, file, 1 << 20)
    return path


class Case:
    """One task, measured on both sides in turn.

    Attributes:
      found: By side, what its runs printed.
    """

    def __init__(self, task: str, path: pathlib.Path, *, peer: bool):
        """`peer`: whether there is one."""
        self._task, self._path, self._peer = task, str(path), peer
        self.found: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}

    def _run(self, side: str) -> float:
        module = _OURS if side == "ours" else _PEER
        if side == "peer" and not self._peer:
            return float("nan")
        answer = prepare_child.ask(module, [self._task, self._path], env=_environment())
        self.found[side].append(answer)
        return answer["seconds"]

    def measure(self, case: str, *, repeats: int) -> dict[str, Any]:
        """The case's JSON line."""
        line = harness.measure(
            harness.Case(
                name=NAME,
                case=case,
                ours=lambda: self._run("ours"),
                peer=lambda: self._run("peer"),
                unit="s",
            ),
            device=DEVICE,
            repeats=repeats,
        )
        for key in ("cpu_s", "peak_mb", "start_cpu_s"):
            for side, runs in self.found.items():
                # The first run of a side warmed up the machine.
                values = [run[key] for run in runs[1:]]
                line[f"{side}_{key}"] = rounded(statistics.median(values or [0.0]))
        if self._peer:
            line["ratio_cpu"] = rounded(line["peer_cpu_s"] / line["ours_cpu_s"])
            return line
        return {**line, "peer": None, "ratio": None}


def lines(path: pathlib.Path, *, peer: bool, repeats: int) -> Iterator[dict[str, Any]]:
    """All JSON lines."""
    size = {"file_mb": rounded(path.stat().st_size / 1e6)}
    yield compile_line(path)
    reading = Case("read", path, peer=peer)
    yield {**reading.measure("read", repeats=repeats), **size}
    preparing = Case("paper", path, peer=peer)
    line = {**preparing.measure("paper", repeats=repeats), **size}
    yield {**line, "agreement": agreement(path, preparing) if peer else None}
    packed = Case("paper", path.with_name("week.cwa.gz"), peer=peer)
    yield packed.measure("paper, .cwa.gz", repeats=repeats)
    yield store_line(path, repeats=repeats)
    yield floor_line(path, seconds=line["ours"])


def compile_line(path: pathlib.Path) -> dict[str, Any]:
    """What the first file costs more where nothing is compiled yet."""
    with tempfile.TemporaryDirectory() as cache:
        environment = _environment(NUMBA_CACHE_DIR=cache)
        first, second = (
            prepare_child.ask(_OURS, ["paper", str(path)], env=environment)["seconds"]
            for _ in range(2)
        )
    return alone("compile", first - second)


def store_line(path: pathlib.Path, *, repeats: int) -> dict[str, Any]:
    """Reading, preparing, writing; and what that means for UK Biobank."""
    case = Case("store", path, peer=False)
    line = case.measure("store", repeats=repeats)
    per_hour = 3600 / line["ours_cpu_s"]
    return {
        **alone("store", line["ours"]),
        **{key: line[key] for key in line if key.startswith("ours_")},
        "stored_mb": rounded(case.found["ours"][-1]["stored_mb"]),
        "files_per_hour_per_core": rounded(per_hour),
        "ukb_core_hours": rounded(UKB_FILES / per_hour),
        "ukb_days_on_32_cores": rounded(UKB_FILES / per_hour / 32 / 24),
    }


def floor_line(path: pathlib.Path, *, seconds: float) -> dict[str, Any]:
    """The least that it takes, and how far `seconds` are from that."""
    runs = [
        prepare_child.ask(_OURS, ["floor", str(path)], env=_environment())
        for _ in range(3)
    ]
    best = min(runs, key=lambda run: run["floor_s"])
    parts = ("read_bytes_s", "memory_passes_s", "filter_gflop", "core_gflop_per_s")
    return {
        **alone("floor", best["floor_s"]),
        **{key: rounded(best[key]) for key in (*parts, "filter_s")},
        "paper_over_floor": rounded(seconds / best["floor_s"]),
    }


def agreement(path: pathlib.Path, preparing: Case) -> dict[str, Any]:
    """How the results compare."""
    ours, peer = (preparing.found[side][-1] for side in ("ours", "peer"))
    like = prepare_child.ask(_OURS, ["like_peer", str(path)])
    peer |= prepare_child.ask(_PEER, ["coefficients", str(path)])

    def largest(key: str, mine: dict[str, Any]) -> float:
        pairs = zip(mine[key], peer[key], strict=True)
        return float(f"{max(abs(a - b) for a, b in pairs):.2g}")

    def figures(found: dict[str, Any]) -> dict[str, float]:
        exact = {key: found[key] for key in ("samples", "points_30hz")}
        return exact | {
            key: rounded(found[key]) for key in ("nonwear_h", "error_after_mg")
        }

    return {
        side: figures(found)
        for side, found in (("ours", ours), ("like_peer", like), ("peer", peer))
    } | {
        "largest_difference": {
            f"{name}_{key}": largest(key, mine)
            for name, mine in (("ours", ours), ("like_peer", like))
            for key in ("gain", "offset_g")
        }
    }


def alone(case: str, seconds: float) -> dict[str, Any]:
    """The line of a figure that has no peer."""
    return {
        "name": NAME,
        "case": case,
        "ours": rounded(seconds),
        "peer": None,
        "ratio": None,
        "unit": "s",
        "device": DEVICE,
    }


def rounded(value: float) -> float:
    """Without digits that mean nothing."""
    return float(f"{value:.4g}")


if __name__ == "__main__":
    main()
