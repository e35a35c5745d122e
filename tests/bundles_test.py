"""The bundle that comes with the package."""

import numpy as np
import pytest

import sigjax
from sigjax import bundles
from tests.inference.tiny_sounds import hum


@pytest.fixture(scope="module")
def shipped():
    return sigjax.load(bundles.path("machine_sounds"))


def test_it_says_that_it_is_of_simulated_machines_and_is_small(shipped):
    assert bundles.names() == ("machine_sounds",)
    assert shipped.simulated and "SIMULATED" in repr(shipped)
    kinds = {machine for machine, _ in shipped.machines}
    assert len(shipped.machines) == 42 and len(kinds) == 7
    files = [f for f in bundles.path("machine_sounds").rglob("*") if f.is_file()]
    assert sum(f.stat().st_size for f in files) < 1.5e6
    source = shipped.info["source_run"]
    assert source["config"]["data"]["simulate"]["seed"] == 1
    assert source["workdir"] == "runs/shipped"


def test_it_still_says_what_it_said_when_it_was_made(shipped):
    """Another order of sums moves digits, another network moves all of it."""
    wave = hum(2.0, rate_hz=16000)
    scores = shipped.score(wave, machine="pump", section="03")
    assert scores.score[0] == pytest.approx(0.791861, rel=1e-3)
    near = shipped.nearest(wave)
    assert np.isfinite(near.distance[0]) and near.open_set[0]
