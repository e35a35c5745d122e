"""sigjax's side of `benchmarks.prepare`: one task on one file, in a fresh process.

python -m benchmarks.prepare_ours TASK FILE
"""

import dataclasses
import pathlib
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks import prepare_child
from sigjax.data import formats
from sigjax.data.wearable import filters, jobs, prepare

PAPER = prepare.PRESETS["paper"]
# What `prepare_peer.PAPER` asks of actipy, with our `actipy` preset.
LIKE_PEER = dataclasses.replace(
    prepare.PRESETS["actipy"], lowpass_hz=15.0, stationary_sd_g=0.013
)


def _figures(quality: Mapping[str, Any]) -> dict:
    found, hours = quality["calibration"], quality["hours"]
    return {
        "samples": quality["reader"]["samples"],
        "points_30hz": round(hours["recorded"] * 3600 * 30),
        "nonwear_h": hours["nonwear"],
        "error_after_mg": found["error_after_mg"],
        "gain": found["gain"],
        "offset_g": found["offset_g"],
    }


def read(path: str) -> dict:
    """Reads and does nothing else."""
    return {"samples": formats.read_recording(path).quality["samples"]}


def paper(path: str) -> dict:
    """Reads and prepares as the paper does."""
    return _figures(jobs.prepare_file(path, PAPER, name="x").quality)


def like_peer(path: str) -> dict:
    """Reads and prepares as actipy does."""
    return _figures(jobs.prepare_file(path, LIKE_PEER, name="x").quality)


def store(path: str) -> dict:
    """Reads, prepares and writes into a store: all that a worker does with a file."""
    with tempfile.TemporaryDirectory() as folder:
        settings = jobs.Settings(store=folder, config=PAPER)
        size = pathlib.Path(path).stat().st_size
        job = jobs.Job(path=path, name="x", bytes=size, modified=0)
        outcome = jobs.Process(settings)(job)
        files = [f for f in pathlib.Path(folder).rglob("*") if f.is_file()]
        stored = sum(file.stat().st_size for file in files)
    return {"status": outcome.status, "stored_mb": stored / 1e6}


def floor(path: str) -> dict:
    """What no program of this kind can do without, each part measured here.

    The file's bytes are read once; the counts, int16 at the device's rate, are written
    once and read once; the float32 samples at 30 Hz are written once and read once;
    and the filter's multiplications and additions are done at the rate of a matrix
    product in float64.
    """
    began = time.perf_counter()
    size = 0
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            size += len(part)
    bytes_s = time.perf_counter() - began
    samples = size // 512 * 120
    began = time.perf_counter()
    np.ones((samples, 3), np.int16).max()
    np.ones((samples * 30 // 100, 3), np.float32).max()
    passes_s = time.perf_counter() - began
    sections = len(filters.design_lowpass(PAPER.lowpass_hz or 15, 8, 100))
    # Per section and value: five products, four sums; forward and backward.
    gflop = 9 * 2 * sections * 3 * samples / 1e9
    square = np.ones((2048, 2048))
    np.matmul(square, square)
    began = time.perf_counter()
    np.matmul(square, square)
    gflop_per_s = 2 * 2.048**3 / (time.perf_counter() - began)
    return {
        "read_bytes_s": bytes_s,
        "memory_passes_s": passes_s,
        "filter_gflop": gflop,
        "core_gflop_per_s": gflop_per_s,
        "filter_s": gflop / gflop_per_s,
        "floor_s": bytes_s + passes_s + gflop / gflop_per_s,
    }


if __name__ == "__main__":
    tasks = {
        "read": read,
        "paper": paper,
        "like_peer": like_peer,
        "store": store,
        "floor": floor,
    }
    prepare_child.run(tasks[sys.argv[1]], sys.argv[2])
