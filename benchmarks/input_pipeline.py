"""Crops per second from a store, against bare TensorStore reads of the same crops.

    python -m benchmarks.input_pipeline [--out=benchmarks/results/input_pipeline.jsonl]

Writes a store of synthetic week-long recordings at 30 Hz (wrist-like magnitudes and
compression) to a temporary folder. Ours is `train_batches` as a training run uses it;
the peer opens the same arrays and reads the same crops in the same order, a batch's
reads all at once and as many batches at once as ours, but plans, shuffles and collates
nothing: its batch is a list of arrays. Each case runs in its own process, pinned to one
core and then to all; files are in the page cache, so this measures CPU, not disks.

Further keys: `ours_cpu_ms` and `peer_cpu_ms`, CPU time per crop, which other programs
on the machine disturb least; `stored_fraction`, size on disk over size in memory;
`h200_cores`, how many such cores one H200 would need if it took 8 crops of 24 hours
every 14 ms, the planned speed of a training step (not measured here), by `ours_cpu_ms`.
"""

import argparse
import collections
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import numpy as np
import tensorstore as ts

from benchmarks import harness
from sigjax.data import crops, pipeline, store
from sigjax.data.recording import PreparedRecording, WearSegment

NAME = "input_pipeline"
RATE_HZ = 30.0
DAYS = 7
H200_CROPS_PER_S = 8 / 0.014
IN_FLIGHT = 2  # Batches, on both sides.
# Case: crop_s, batch size, batches in a turn.
CASES = {"24 h, batch 8": (86_400, 8, 12), "50 min, batch 256": (3000, 256, 12)}


def main() -> None:
    """Prepares the store and runs every case in a process of its own."""
    flags = harness.parser(__doc__)
    flags.add_argument("--recordings", type=int, default=4, help="weeks in the store")
    flags.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = flags.parse_args()
    if options.child:
        path, case, cores = options.child
        # Before TensorStore starts its threads.
        os.sched_setaffinity(0, json.loads(cores))
        line = measure_case(path, case, repeats=options.repeats)
        print(json.dumps(line))
        return
    with tempfile.TemporaryDirectory() as path:
        write_store(path, recordings=options.recordings)
        harness.report(_lines(path, repeats=options.repeats), out=options.out)


def _lines(path: str, *, repeats: int) -> Iterator[dict]:
    allowed = sorted(os.sched_getaffinity(0))
    for case in CASES:
        for cores in dict.fromkeys([(allowed[-1],), tuple(allowed)]):
            command = [sys.executable, "-m", "benchmarks.input_pipeline"]
            command += ["--repeats", str(repeats)]
            command += ["--child", path, case, json.dumps(cores)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
            yield json.loads(done.stdout)


def measure_case(path: str, case: str, *, repeats: int) -> dict:
    """One JSON line, on the cores that this process may use."""
    crop_s, batch_size, batches = CASES[case]
    cores = len(os.sched_getaffinity(0))
    opened = store.Store.open(path)
    source = crops.CropSource(opened, opened.entries, crops.CropConfig(crop_s=crop_s))
    # Everything into the page cache.
    sum(len(file.read_bytes()) for file in _files(path))
    cpu_s: dict[str, list[float]] = {"ours": [], "peer": []}
    line = harness.measure(
        harness.Case(
            name=NAME,
            case=f"{case}, {cores} core{'s' * (cores > 1)}",
            ours=lambda: ours(source, batch_size, batches, cpu_s["ours"]),
            peer=lambda: peer(source, batch_size, batches, cpu_s["peer"]),
            unit="crops/s",
            work=batch_size * batches,
        ),
        device=f"cpu:{harness.cpu()} x{cores}",
        repeats=repeats,
    )
    crop_mb = source.samples * 3 * 2 / 1e6
    stored = sum(file.stat().st_size for file in _files(path))
    raw = sum(6 * s.samples for entry in opened.entries for s in entry.segments)
    cpu_ms = {
        side: 1e3 * float(np.median(spent)) / (batch_size * batches)
        for side, spent in cpu_s.items()
    }
    line |= {
        "ours_cpu_ms": round(cpu_ms["ours"], 3),
        "peer_cpu_ms": round(cpu_ms["peer"], 3),
        "ours_mb_per_s": round(line["ours"] * crop_mb),
        "peer_mb_per_s": round(line["peer"] * crop_mb),
        "stored_fraction": round(stored / raw, 3),
    }
    if crop_s == 86_400:
        line["h200_cores"] = round(H200_CROPS_PER_S * cpu_ms["ours"] / 1e3, 1)
    return line


def ours(
    source: crops.CropSource, batch_size: int, batches: int, cpu_s: list[float]
) -> float:
    """Seconds for batches out of a pipeline that already runs."""
    stream = pipeline.train_batches(
        source,
        batch_size=batch_size,
        seed=0,
        read_threads=IN_FLIGHT,
        prefetch_batches=IN_FLIGHT,
    )
    seconds = _consume(stream, batches, cpu_s)
    stream.close()
    _settle()
    return seconds


def peer(
    source: crops.CropSource, batch_size: int, batches: int, cpu_s: list[float]
) -> float:
    """Seconds for as many batches with TensorStore alone."""
    plans = pipeline.train_crops(source, seed=0)
    needed = batch_size * (batches + 2 * IN_FLIGHT + 1)
    planned = [crop for crop in (plans[i] for i in range(needed)) if crop]
    seconds = _consume(_bare_batches(source, planned, batch_size), batches, cpu_s)
    _settle()
    return seconds


def _bare_batches(
    source: crops.CropSource, planned: list[crops.Crop], batch_size: int
) -> Iterator[list]:
    root = pathlib.Path(source.store.path).as_uri()
    context = ts.Context({"cache_pool": {"total_bytes_limit": 0}})
    arrays = {
        segment.path: ts.open(
            {"driver": "zarr3", "kvstore": f"{root}/{segment.path}/"},
            context=context,
        ).result()
        for entry in source.entries
        for segment in entry.segments
    }
    pending = collections.deque()
    for first in range(0, len(planned), batch_size):
        reads = []
        for crop in planned[first : first + batch_size]:
            segment = source.entries[crop.recording].segments[crop.segment]
            stop = crop.start + source.samples
            reads.append(arrays[segment.path][crop.start : stop].read())
        pending.append(reads)
        if len(pending) == IN_FLIGHT:
            yield [read.result() for read in pending.popleft()]


def _consume(stream: Iterator, batches: int, cpu_s: list[float]) -> float:
    # Past the start: then as much work is under way at the beginning as at the end.
    for _ in range(IN_FLIGHT + 1):
        next(stream)
    start, spent = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(stream)
    cpu_s.append(time.process_time() - spent)
    return time.perf_counter() - start


def _settle() -> None:
    """Waits until reads that nobody asks for any more are done."""
    spent = -1.0
    while time.process_time() - spent > 0.002:
        spent = time.process_time()
        time.sleep(0.05)


def write_store(path: str, *, recordings: int) -> None:
    """Fills a store with week-long recordings of noise with a wrist's magnitudes."""
    into = store.StoreWriter(path, rate_hz=RATE_HZ, description={"synthetic": True})
    for number in range(recordings):
        segment = WearSegment(start=1.7e9, acceleration=_wrist(seed=number))
        prepared = PreparedRecording(
            name=f"r{number}",
            person=f"p{number}",
            source="",
            device="synthetic",
            device_id="",
            rate_hz=RATE_HZ,
            segments=(segment,),
            quality={},
        )
        into.write(prepared)
    into.finish()


def _wrist(*, seed: int) -> np.ndarray:
    """A week in g: gravity turning every minute, sensor noise, bouts of movement."""
    rng = np.random.default_rng(seed)
    minutes, per_minute = DAYS * 1440, round(60 * RATE_HZ)
    gravity = rng.normal(size=(minutes, 1, 3))
    gravity /= np.linalg.norm(gravity, axis=-1, keepdims=True)
    moving = rng.random((minutes, 1, 1)) < 0.4
    spread = np.where(moving, rng.lognormal(-2.5, 0.8, (minutes, 1, 1)), 0.004)
    noise = rng.standard_normal((minutes, per_minute, 3), np.float32)
    return (gravity + spread * noise).astype(np.float32).reshape(-1, 3)


def _files(path: str) -> list[pathlib.Path]:
    return [file for file in pathlib.Path(path).rglob("*") if file.is_file()]


if __name__ == "__main__":
    main()
