"""Tiny audio files under the names of any year."""

import pathlib
import zlib
from collections.abc import Iterable

import numpy as np
import soundfile

RATE_HZ = 16000


def write(root, paths: Iterable[str], *, samples=80, rate_hz=RATE_HZ, channels=1):
    """Writes a little noise under each path, another under each."""
    for name in paths:
        path = pathlib.Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        wave = rng.uniform(-0.5, 0.5, (samples, channels))
        kind = "VORBIS" if path.suffix == ".ogg" else "PCM_16"
        soundfile.write(path, wave, rate_hz, subtype=kind)
    return pathlib.Path(root)


def write_table(path, rows: Iterable[str], end="\n"):
    """Writes rows of a CSV."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(row + end for row in rows), newline="")
    return path


def year_2021(root, *, machines=("fan", "pump"), train=6, test=2, samples=1600):
    """Sections 00 (development) and 03 (evaluation) of machines, and ground truth."""
    paths, truth = [], {}
    for machine in machines:
        for split, section in (("dev_data", "00"), ("eval_data", "03")):
            at = f"{split}/{machine}"
            for domain, count in (("source", train), ("target", 1)):
                name = f"section_{section}_{domain}_train_normal"
                paths += [
                    f"{at}/train/{name}_{n:04d}_vel_{n}.wav" for n in range(count)
                ]
            for domain in ("source", "target"):
                for number in range(2 * test):
                    name = f"section_{section}_{domain}_test"
                    if split == "dev_data":
                        condition = ("normal", "anomaly")[number % 2]
                        name = f"{name}_{condition}_{number // 2:04d}.wav"
                    else:
                        name = f"{name}_{number:04d}.wav"
                        table = f"ground_truth_{machine}_section_03_{domain}_test.csv"
                        truth.setdefault(table, []).append(f"{name},{number % 2}")
                    paths.append(f"{at}/{domain}_test/{name}")
    write(root, paths, samples=samples)
    for table, rows in truth.items():
        # Not in the order of the names: joining is by name.
        write_table(f"{root}_truth/ground_truth_data/{table}", rows[::-1])
    return pathlib.Path(root), pathlib.Path(f"{root}_truth")
