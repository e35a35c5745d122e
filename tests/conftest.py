"""Shared fixtures and the strictness every test runs under."""

import os
import pathlib

import pytest


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
