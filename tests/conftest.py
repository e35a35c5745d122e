"""Shared fixtures and the strictness every test runs under."""

import os
import pathlib
import shutil
import tempfile

import pytest


def pytest_xdist_auto_num_workers(config):
    """Files are spread over the workers: one file alone starts none."""
    if len({argument.split("::")[0] for argument in config.args}) > 1:
        return None
    return 0 if config.args[0].split("::")[0].endswith(".py") else None


# Tests that start commands are few and long. Begun last, one worker would run them
# while the others have nothing left.
_LONG = ("tests/train/", "tests/launch/", "tests/parity/")


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))


# Many tests compile the same steps. The folders are new in each run, and no other
# worker's: JAX does not write a cache's files atomically. Commands have their own
# folder, since some are killed while they write. Set before anything imports JAX.
_cache = tempfile.mkdtemp(prefix="sigjax-tests-")
# Most of the time goes into compiling what then runs for milliseconds. Level 0 takes
# two thirds of it and moves results by a rounding. Whoever sets flags has them.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{_cache}/tests"
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["SIGJAX_CACHE"] = f"{_cache}/commands"


def pytest_unconfigure():
    shutil.rmtree(_cache, ignore_errors=True)


def _real_data() -> pathlib.Path | None:
    named = os.environ.get("SIGJAX_REAL_DATA")
    root = pathlib.Path(__file__).resolve().parents[1]
    path = pathlib.Path(named) if named else root.parent / "shared" / "data"
    return path if path.is_dir() else None


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """Folder of real recordings; tests that need it are skipped where it is absent."""
    path = _real_data()
    if path is None:
        pytest.skip("real recordings not found: set SIGJAX_REAL_DATA to their folder")
    return path


# A test that silently stops running is worse than none. These reasons are facts of a
# machine; any other skip fails the run.
_EXPECTED_SKIPS = (
    "real recordings not found",
    "parity needs PyTorch",
    "parity needs actipy and Java",
    "preparation on Beam needs apache_beam",
    "mounting a small tmpfs is not",
    "malloc's settings are glibc's",
    "this system has no huge pages to give",
)
_unexpected: list[str] = []


def pytest_runtest_logreport(report):
    if report.skipped and not any(e in str(report.longrepr) for e in _EXPECTED_SKIPS):
        _unexpected.append(f"{report.nodeid}: {report.longrepr}")


def pytest_collectreport(report):
    pytest_runtest_logreport(report)


def pytest_sessionfinish(session, exitstatus):
    if _unexpected and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter):
    for line in _unexpected:
        terminalreporter.write_line(f"unexpected skip (see conftest.py): {line}")
