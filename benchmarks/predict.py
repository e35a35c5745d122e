"""Device file to labels, beside actipy and PyTorch: a week of an AX3 at 100 Hz.

    python -m benchmarks.predict [--out=benchmarks/results/predict.jsonl]

Simulates a week (256 MB, see `benchmarks.prepare`) and gives it a label every 10 s with
the paper's encoder (9.9 M parameters, random weights) and a linear head: `ours` is all
of `launch.predict` (rows, picture, hours by day), `peer` is actipy, the same network in
PyTorch and a CSV file of rows. Every figure comes from a process of its own, in turn,
with all cores; compiled programs are kept from the first, uncounted, turn on. Lines:

- `week`: seconds, CPU seconds (`*_cpu_s`), peak memory (`*_peak_mb`) and the seconds of
  each part (`*_prepare_s`, `*_model_s`, `*_write_s`); the rest is imports and loading.
- `model`: the network alone, on as many windows as a week has, and its CPU seconds.
- `floor`: what the network's products cost at the rate that a large product reaches on
  all cores (`gflop`, of which `gflop_attention`), and how many times longer `model`
  takes. No peer.
"""

import importlib.util
import os
import pathlib
import statistics
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

from benchmarks import harness, prepare, prepare_child

NAME = "predict"
_OURS, _PEER = "benchmarks.predict_ours", "benchmarks.predict_peer"


def missing_peer() -> str:
    """What the peer lacks here; empty if nothing."""
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    return prepare.missing_peer()


def main() -> None:
    """Measures all cases."""
    flags = harness.parser(__doc__)
    flags.set_defaults(repeats=3)
    flags.add_argument("--days", type=float, default=7.0, help="of the recording")
    flags.add_argument("--file", help="a recording to take instead of simulating one")
    options = flags.parse_args()
    missing = missing_peer()
    if missing:
        print(f"no peer: {missing}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "week.cwa"
        if options.file:
            path.symlink_to(pathlib.Path(options.file).absolute())
        else:
            prepare.simulate(pathlib.Path(folder), options.days)
        environment = {
            **os.environ,
            "JAX_COMPILATION_CACHE_DIR": str(pathlib.Path(folder) / "xla"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
        }
        prepare_child.ask(_OURS, ["bundle", str(path)], env=environment)
        found = lines(path, environment, peer=not missing, repeats=options.repeats)
        harness.report(found, out=options.out)


def lines(
    path: pathlib.Path, environment: dict[str, str], *, peer: bool, repeats: int
) -> Iterator[dict[str, Any]]:
    """All JSON lines."""
    line, runs = _measured("week", "predict", path, environment, peer, repeats)
    for side, answers in runs.items():
        for part in ("prepare", "model", "write"):
            values = [answer["parts"][part] for answer in answers]
            if values:
                line[f"{side}_{part}_s"] = prepare.rounded(statistics.median(values))
    yield line
    line, runs = _measured("model", "model", path, environment, peer, repeats)
    for side, answers in runs.items():
        values = [answer["model_cpu_s"] for answer in answers]
        if values:
            line[f"{side}_cpu_s"] = prepare.rounded(statistics.median(values))
    yield line
    least = prepare_child.ask(_OURS, ["floor", str(path)], env=environment)
    parts = ("gflop", "gflop_attention", "gflop_per_s")
    yield {
        **prepare.alone("floor", least["floor_s"]),
        "name": NAME,
        **{key: prepare.rounded(least[key]) for key in parts},
        "model_over_floor": prepare.rounded(line["ours"] / least["floor_s"]),
    }


def _measured(
    case: str,
    task: str,
    path: pathlib.Path,
    environment: dict[str, str],
    peer: bool,
    repeats: int,
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """A case's line, and what its counted runs answered, by side."""
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}

    def run(side: str) -> float:
        if side == "peer" and not peer:
            return float("nan")
        module = _OURS if side == "ours" else _PEER
        runs[side].append(prepare_child.ask(module, [task, str(path)], env=environment))
        return runs[side][-1].get("model_s", runs[side][-1]["seconds"])

    line = harness.measure(
        harness.Case(
            name=NAME,
            case=case,
            ours=lambda: run("ours"),
            peer=lambda: run("peer"),
            unit="s",
        ),
        device=prepare.DEVICE,
        repeats=repeats,
    )
    counted = {side: answers[1:] for side, answers in runs.items()}
    for side, answers in counted.items():
        for key in ("cpu_s", "peak_mb"):
            if answers:
                middle = statistics.median(answer[key] for answer in answers)
                line[f"{side}_{key}"] = prepare.rounded(middle)
    if not peer:
        line |= {"peer": None, "ratio": None}
    return line, counted


if __name__ == "__main__":
    main()
