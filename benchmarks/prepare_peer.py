"""actipy's side of `benchmarks.prepare`: one task on one file, in a fresh process.

    python -m benchmarks.prepare_peer TASK FILE

Prints a JSON object; see `prepare_child.run` for its keys. Needs
`pip install actipy` and Java.
"""

import sys

import actipy
from actipy import processing

from benchmarks import prepare_child

# The paper's constants in actipy's own order, which resamples last, and with a
# temperature term: nothing closer can be asked of it.
PAPER = {
    "lowpass_hz": 15,
    "resample_hz": 30,
    "calibrate_gravity_kwargs": {"stdtol": 0.013},
    "flag_nonwear_kwargs": {"stdtol": 0.013},
}
NOTHING = {
    "lowpass_hz": None,
    "resample_hz": None,
    "calibrate_gravity": False,
    "detect_nonwear": False,
}


def read(path: str) -> dict:
    """Reads and does nothing else."""
    data, _ = actipy.read_device(path, verbose=False, **NOTHING)
    return {"samples": len(data)}


def paper(path: str) -> dict:
    """All of the preparation."""
    data, info = actipy.read_device(path, verbose=False, **PAPER)
    return {
        "samples": int(info["NumTicks"]),
        "points_30hz": len(data),
        "nonwear_h": float(24 * info["NonwearTime(days)"]),
        "error_after_mg": float(info["CalibErrorAfter(mg)"]),
    }


def coefficients(path: str) -> dict:
    """What `read_device` keeps to itself; nothing is found in less than two days."""
    data, info = actipy.read_device(path, verbose=False, **NOTHING)
    data, _ = processing.lowpass(data, info["SampleRate"], 15)
    _, found = processing.calibrate_gravity(data, stdtol=0.013)
    return {
        "gain": [float(found.get(f"Calib{axis}Slope", 1)) for axis in "xyz"],
        "offset_g": [float(found.get(f"Calib{axis}Intercept", 0)) for axis in "xyz"],
    }


if __name__ == "__main__":
    tasks = {"read": read, "paper": paper, "coefficients": coefficients}
    prepare_child.run(tasks[sys.argv[1]], sys.argv[2])
