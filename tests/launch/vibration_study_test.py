"""The study of SIMULATED vibration: what it asks, its tables and its figure."""

import json

import numpy as np
import PIL.Image
import pytest

from launch import vibration_study
from launch.vibration import comparison, detectors, recordings, tables
from launch.vibration.detectors import NOTHING, SPECTRA, WINDOWS, Detector

SMALL = {"recordings": 20, "tested": 6, "windows": 4, "samples": 128}


def parts(depths=(30.0,), **given):
    return recordings.simulated(depths=depths, knocks_hz=0.0, **SMALL | given)


def test_parts_share_no_recording_and_depths_do():
    made = parts(depths=(1.0, 2.0))
    assert made.train.shape == (20, 4, 128) and made.healthy.shape == (6, 4, 128)
    several = [made.train, made.calibration, made.healthy, made.damaged[1.0]]
    apart = np.concatenate([each[:, 0, :8] for each in several])
    assert len(np.unique(apart, axis=0)) == len(apart)
    # The same shaft, noise and place, with other blows.
    one, two = made.damaged.values()
    assert 0.9 < np.corrcoef(one.ravel(), two.ravel())[0, 1] < 1
    assert not np.array_equal(parts(seed=1).train, made.train)


def test_a_row_says_how_a_detector_ranks_and_alarms():
    made = parts(depths=(0.5, 60.0))
    loud = Detector("loud", WINDOWS, False, lambda x: x.std(axis=-1))
    row, healthy = comparison.compare(loud, made)
    assert healthy.shape == (26, 4)
    assert [depth for depth, *_ in row["auc"]] == [0.5, 60.0]
    (_, small, low, high), (_, large, *ends) = row["auc"]
    assert low <= small <= high and small < 1.0
    assert large == 1.0 and ends == [1.0, 1.0]  # no one can miss such blows
    assert row["found"][1] == [60.0, 1.0] and row["found"][0][1] < 0.5
    share, low, high = row["windows"]
    assert 0 <= low <= share <= high < 0.5
    whole = Detector("whole", NOTHING, False, lambda x: x.std(axis=(1, 2))[:, None])
    assert "windows" not in comparison.compare(whole, made)[0]


def test_false_alarms_of_draws_are_near_what_is_asked_of_many_recordings(monkeypatch):
    monkeypatch.setattr(comparison, "_DRAWS", 120)
    rng = np.random.default_rng(0)
    own = rng.normal(size=(120, 1)) + 0.3 * rng.normal(size=(120, 32))
    rows = list(comparison.calibrations(own))
    assert [row["recordings"] for row in rows] == [1, 2, 4, 8, 16, 32]
    first, last = rows[0], rows[-1]
    # One recording says nothing of others: 32 windows of it are not 32 examples.
    assert first["mean"] > 0.25 and first["above"] > 0.3
    assert last["mean"] == pytest.approx(0.05, abs=0.025)
    assert all(row["mean"] <= row["promised"] for row in rows)
    assert last["high"] - last["low"] < 0.5 * (rows[2]["high"] - rows[2]["low"])
    # Windows that are alike in nothing keep the bound for independent ones.
    alone = list(comparison.calibrations(rng.normal(size=(120, 32))))
    assert all(row["above"] < 0.12 for row in alone)


def test_what_learns_nothing_finds_what_it_is_made_for():
    given = {"recordings": 2, "tested": 3, "windows": 16, "samples": 512}
    made = parts(depths=(6.0,), **given)
    (odd,) = made.damaged.values()
    several = list(detectors.fitted(made.train, epochs=1, seed=0, networks={}))
    assert [d.seen for d in several] == [NOTHING] * 4 + [WINDOWS] + [SPECTRA] * 2
    assert not any(d.trained for d in several)
    named = {d.name: d.score for d in several if d.seen == NOTHING}
    for name in ("kurtosis above 1 kHz", "envelope's passing line"):
        score = named[name]
        assert score(odd).mean(axis=1).min() > score(made.healthy).mean(axis=1).max()
    assert named["envelope's passing line"](odd).shape == (3, 1)
    assert detectors.spectra(odd).shape == (3, 16, 64)


def made_up(train, **_):
    """Detectors of which none is trained, under the names of some that are."""
    del train
    for seen in (WINDOWS, SPECTRA):
        yield Detector("PCA", seen, False, lambda x: np.abs(x).max(axis=-1))
        yield Detector("AE", seen, True, lambda x: x.std(axis=-1))
    whole = Detector("line", NOTHING, False, lambda x: x.std(axis=(1, 2))[:, None])
    yield whole


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(comparison, "_DRAWS", 5)
    given = {"seed": 0, "windows": 4, "samples": 512}
    monkeypatch.setattr(recordings.simulated, "__kwdefaults__", given)
    return {"recordings": 20, "tested": 4, "depths": [2.0, 80.0], "epochs": 1}


def test_the_command_makes_tables_and_a_figure(monkeypatch, small, tmp_path):
    monkeypatch.setattr(detectors, "fitted", made_up)
    found, examples = vibration_study.study(**small, seed=0)
    assert [row["condition"] for row in found["rows"]] == [
        *(["steady noise"] * 5),
        *(["machines that knock"] * 5),
    ]
    found = tables.rounded(found)
    text = tables.markdown(found)
    assert "SIMULATED" in text and text.count("| AE (windows) |") == 4
    assert text.count("| line (a number) | - |") == 2
    assert text.count("| windows, steady noise | 8 |") == 1
    assert json.loads(tables.as_text(found)) == found
    path = tmp_path / "a.png"
    vibration_study.figures.draw(path, found, examples)
    with PIL.Image.open(path) as image:
        assert image.size[0] == 1400


@pytest.mark.survival
def test_every_network_has_its_row_for_each_input(monkeypatch, small):
    tiny = {
        name: given | {"widths": (4,), "code": 4, "batch_size": 32}
        for name, given in detectors.NETWORKS.items()
    }
    monkeypatch.setattr(detectors.fitted, "__kwdefaults__", {"networks": tiny})
    monkeypatch.setattr(vibration_study, "CONDITIONS", {"steady noise": 0.0})
    found, _ = vibration_study.study(**small, seed=0)
    trained = [(r["detector"], r["seen"]) for r in found["rows"] if r["trained"]]
    assert trained == [(n, s) for s in (WINDOWS, SPECTRA) for n in tiny]
    # No one can miss such blows.
    assert all(row["auc"][1][1] == 1.0 for row in found["rows"])
