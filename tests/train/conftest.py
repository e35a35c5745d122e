"""What the tests of survival share: a small store, one whole run."""

import numpy as np
import pytest

from sigjax.data.recording import PreparedRecording, WearSegment
from sigjax.data.store import StoreWriter
from tests.train.commands import Command


def _write_store(path, lengths_s):
    into = StoreWriter(path, rate_hz=30.0, description={})
    rng = np.random.default_rng(0)
    for number, length_s in enumerate(lengths_s):
        acceleration = rng.normal(0, 0.3, (30 * length_s, 3)).astype(np.float32)
        segment = WearSegment(start=1e9, acceleration=acceleration)
        into.write(
            PreparedRecording(
                name=f"r{number}",
                person=f"p{number}",
                source="",
                device="AX3",
                device_id="",
                rate_hz=30.0,
                segments=(segment,),
                quality={},
            )
        )
    into.finish()
    return path


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """Four people of five minutes at 30 Hz."""
    return _write_store(tmp_path_factory.mktemp("data") / "store", [300] * 4)


@pytest.fixture(scope="session")
def short_store(tmp_path_factory):
    """Two people of half a minute."""
    return _write_store(tmp_path_factory.mktemp("data") / "short", [30] * 2)


@pytest.fixture(scope="session")
def command(store, tmp_path_factory):
    """`launch.pretrain` with small settings; its processes share a compile cache."""
    command = Command(store, cache=tmp_path_factory.mktemp("cache"))
    yield command
    command.end()


@pytest.fixture(scope="session")
def whole_run(command, tmp_path_factory):
    """The workdir of a run that nothing happened to."""
    workdir = tmp_path_factory.mktemp("whole")
    command.run(workdir)
    return workdir
