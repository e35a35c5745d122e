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
