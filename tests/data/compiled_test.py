"""Compiled loops: what they may change about floats, and where their code is kept."""

import subprocess
import sys

import numpy as np
import pytest

from sigjax.data import compiled


@compiled.compiled
def _total(values):
    total = 0.0
    for value in values:
        total += value
    return total


def test_sums_are_not_reordered():
    values = np.array([1e16, 1.0, -1e16, 1.0] * 64)
    assert _total(values) == _total.py_func(values)


def test_division_by_zero_follows_numpy():
    @compiled.compiled
    def inverse(x):
        return 1.0 / x

    assert inverse(0.0) == np.inf


@pytest.mark.parametrize("writable", [True, False])
def test_runs_where_no_folder_can_keep_the_code(tmp_path, writable):
    (tmp_path / "loops.py").write_text(
        "from sigjax.data.compiled import compiled\n"
        "@compiled\n"
        "def double(x):\n"
        "    return 2 * x\n"
    )
    command = "import loops; print(loops.double(21), loops.double.stats.cache_path)"
    environment = {"PYTHONPATH": ":".join([str(tmp_path), *filter(None, sys.path)])}
    if not writable:
        # Only the folder that NUMBA_CACHE_DIR names, and it names none.
        environment["NUMBA_CACHE_LOCATOR_CLASSES"] = "UserProvidedCacheLocator"
    done = subprocess.run(
        [sys.executable, "-c", command],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    number, kept = done.stdout.split()
    assert number == "42" and (kept != "None") == writable
