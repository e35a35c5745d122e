"""The study on real sound: its splits, questions, cells, tables and figure."""

import dataclasses
import itertools
import json
import re
import types
from typing import Any

import jax.numpy as jnp
import numpy as np
import PIL.Image
import pytest
from etils import epath

from launch import pages, sound_study
from launch.sounds import study_cells as sound_study_cells
from launch.sounds import study_data as data
from launch.sounds import study_detectors as sound_study_detectors
from launch.sounds import study_networks as sound_study_networks
from launch.sounds.study_cells import Cells, healthy, motor_splits, plain_splits
from launch.sounds.study_networks import Recipe, Said, train
from launch.sounds.study_page import markdown, marks
from launch.sounds.study_tables import CONTRASTS, environment_rows, motor_rows
from sigjax import bundles
from sigjax.data.segments import Segments, fitted
from sigjax.evals import sound_study_figures
from sigjax.signal.mel import MelConfig
from sigjax.typing import LossOutput


def _recordings():
    """Motors of 8, 8 and 6 healthy recordings, and 6 and 8 with a fault."""
    counts = {("M1", 0): 8, ("M2", 0): 8, ("M3", 0): 6, ("M1", 1): 6, ("M2", 1): 8}
    return tuple(
        data.Recording(f"{m}/{f}/{i}", m, bool(f), f"{m}{f}{i}", 0, np.zeros(1))
        for (m, f), n in counts.items()
        for i in range(n)
    )


def _sounds(recordings, each=1, samples=4000, seed=0):
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(len(recordings) * each, samples)).astype(np.float32)
    row = np.repeat(np.arange(len(recordings)), each)
    wave = data.normalised(raw)
    return data.Sounds(recordings=recordings, wave=wave, raw=raw, row=row)


def test_splits_come_in_complements_and_more_of_them_change_none():
    splits = motor_splits(6)
    for first, second in zip(splits[::2], splits[1::2], strict=True):
        assert sorted([*first, *second]) == list(range(8))
    for one, other in zip(motor_splits(3), splits, strict=False):
        np.testing.assert_array_equal(one, other)
    drawn = {tuple(split.tolist()) for split in plain_splits()}
    assert len(drawn) == 20 and {len(split) for split in drawn} == {4}


def test_a_cell_is_made_once_and_again_for_other_settings(tmp_path):
    cells, made = (
        Cells(folder=epath.Path(tmp_path / "cells"), say=lambda text: None),
        [],
    )

    def make():
        made.append(1)
        return {"scores": {"a": [0.1 + 0.2]}}

    first = cells.get("x", [1], make)
    assert cells.get("x", [1], make) == first and len(made) == 1
    assert first["scores"] == {"a": [0.1 + 0.2]}
    cells.get("x", [2], make)
    assert len(made) == 2
    # What cannot be made now may be there the next time.
    assert cells.get("y", 1, lambda: None) == {}
    assert cells.get("y", 1, make)["scores"] and len(made) == 3
    there = dataclasses.replace(cells, missing=False)
    assert there.get("z", 1, make) == {} and len(made) == 3
    assert there.get("x", [1], make) == first


def test_networks_see_each_motor_once_and_levels_are_taken_off():
    quiet, loud = np.full((1, 8), 1e-3, np.float32), np.full((1, 8), 0.9, np.float32)
    np.testing.assert_allclose(data.normalised(quiet), data.normalised(loud))
    assert not data.normalised(np.zeros((2, 8), np.float32)).any()
    recordings = _recordings()
    assert healthy(recordings, "M3").tolist() == list(range(16, 22))
    sounds = _sounds(recordings[:2], each=3)
    np.testing.assert_allclose(sounds.mean(np.arange(6.0)), [1, 4])


def test_components_give_the_error_of_a_reconstruction():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 9, 8)).astype(np.float32)
    train = np.arange(12) < 9
    found = sound_study_detectors.principal_components(x, train)
    stacked = np.stack([x[:, i : i + 5].reshape(12, -1) for i in range(5)], axis=1)
    rows = stacked[train].reshape(-1, 40)
    mean = rows.mean(axis=0)
    basis = np.linalg.svd(rows - mean, full_matrices=False)[2]
    for k in (8, 32):
        kept = (stacked - mean) @ basis[:k].T @ basis[:k] + mean
        error = np.square(stacked - kept).sum(axis=-1).mean(axis=1)
        np.testing.assert_allclose(found[f"PCA-{k}"], error, rtol=1e-4)


def test_each_back_end_finds_what_is_far_from_all_classes():
    rng = np.random.default_rng(0)
    label = np.repeat(["a", "b", "odd"], 40)
    centre = {"a": (6, 0, 0, 0), "b": (0, 6, 0, 0), "odd": (0, 0, 6, 0)}
    x = np.stack([centre[name] for name in label]) + rng.normal(size=(120, 4)) / 4
    said = Said(x, np.log(np.eye(3)[[0] * 40 + [1] * 40 + [2] * 40] + 0.1)[:, :2], None)
    train = (np.arange(120) % 2 == 0) & (label != "odd")
    test = ~train
    odd = (label == "odd")[test]
    for by_class in (True, False):
        found = sound_study_detectors.of_classifier(
            said, label, train, by_class=by_class
        )
        assert list(found) == list(sound_study_detectors.BACKENDS)
        for name, score in found.items():
            assert score[test][odd].min() > score[test][~odd].max(), name
    sections = sound_study_detectors.by_section(said, label, train)
    for name, own in sections.items():
        assert own["a"][label == "b"].min() > own["a"][label == "a"].max(), name


def _motor_cells(recordings):
    """A detector that knows the fault, one that knows the motor, one of nothing."""
    fault = np.array([r.fault for r in recordings], float)
    rng = np.random.default_rng(0)
    noise = rng.random(len(recordings))
    numbers = {"scores": {"kurtosis": _level(fault)}}
    cells: list[tuple[str, dict]] = [("numbers", numbers)]
    for machine in ("M1", "M2"):
        other = np.array([r.machine != machine for r in recordings], float)
        for chosen in motor_splits(2):
            rows = healthy(recordings, machine)[chosen].tolist()
            trained = 2 * fault + other
            trained[rows] = 9  # What it was trained on is not asked.
            scores = {
                "common": {"log-mel, kNN": _level(other)},
                "AE": {
                    "AE, MSE, trained": _level(trained),
                    "AE, MSE, untrained": _level(noise),
                },
                "plain": {"log-mel, kNN": _level(other)},
            }
            for kind, own in scores.items():
                cells.append((kind, {"machine": machine, "train": rows, "scores": own}))
            cells.append(("bundle", {}))
    motors = {"classifier, kNN, trained@M1": _level(fault)}
    motors |= {"classifier, kNN, trained@M2": _level(1 - fault)}
    told = {"machine": "", "train": rows, "scores": motors}
    return [*cells, ("motors", told)]


def _level(score):
    return {"recording": score.tolist(), "segment": np.repeat(score, 2).tolist()}


@pytest.fixture(scope="module")
def found():
    recordings = _recordings()
    rows = motor_rows(recordings, _motor_cells(recordings))
    names = np.repeat(["cat", "dog"], 20)
    clips = tuple(
        data.Recording(f"{m}{i}", m, False, f"{m}{i // 2}", 1, np.zeros(1))
        for i, m in enumerate(names)
    )
    numbers = {"scores": {"kurtosis": list(range(40))}}
    cells: list[tuple[str, dict]] = [("numbers", numbers)]
    for own in ("cat", "dog"):
        other = (names != own).astype(float)
        scores = {"machine: log-mel, kNN": other, "open: log-mel, kNN": other}
        told = {"machine": own, "tested": list(range(40))}
        kept = {name: value.tolist() for name, value in scores.items()}
        cells.append(("common", {**told, "scores": kept}))
    environment = environment_rows(clips, cells)
    training = [{"part": "bldc", "kind": "AE", "loss": [2.0, 1.0], "seconds": 1.0}]
    return {"motors": rows, "environment": environment, "training": training}


def _row(rows, **where):
    (one,) = [r for r in rows if all(r[k] == v for k, v in where.items())]
    return one


@pytest.mark.parametrize("level", ["recording", "segment"])
@pytest.mark.parametrize("motor", ["M1", "M2"])
def test_contrasts_compare_what_they_say(found, motor, level):
    control, flagged, same = CONTRASTS
    where = {"motor": motor, "level": level, "group": "common"}
    expected = {
        # Knows the fault; knows the motor; knows both, and the fault counts more.
        "kurtosis": {control: 1.0, flagged: 0.5, same: 1.0},
        "log-mel, kNN": {control: 0.0, flagged: 1.0, same: 0.5},
        "AE, MSE, trained": {control: 1.0, flagged: 1.0, same: 1.0},
    }
    for name, by_contrast in expected.items():
        for contrast, auc in by_contrast.items():
            row = _row(found["motors"], detector=name, contrast=contrast, **where)
            assert row["auc"]["value"] == auc
            assert row["splits"] == 2
    row = _row(found["motors"], detector="AE, MSE, trained", contrast=control, **where)
    if level == "recording":
        assert "auc_less_knn" not in row
        return
    assert row["auc_less_knn"]["value"] == 1.0
    noise = {**where, "detector": "AE, MSE, untrained", "contrast": control}
    noise = _row(found["motors"], **noise)["auc"]
    assert row["auc_less_untrained"]["value"] == pytest.approx(1 - noise["value"])
    assert noise["low"] < noise["value"] < noise["high"]


def test_a_detector_of_all_motors_is_asked_as_one_of_this_motor(found):
    where = {"group": "motors", "level": "recording", "contrast": next(iter(CONTRASTS))}
    rows = {m: _row(found["motors"], motor=m, **where)["auc"] for m in ("M1", "M2")}
    assert rows["M1"]["value"] == 1.0 and rows["M2"]["value"] == 0.0
    assert not [r for r in found["motors"] if "@" in r["detector"]]


def test_both_readings_of_the_classes(found):
    rows = found["environment"]
    asked = {"detector": "log-mel, kNN"}
    assert _row(rows, reading="machine", **asked)["auc"]["value"] == 1.0
    assert _row(rows, reading="open", **asked)["auc"]["value"] == 0.0
    one = _row(rows, reading="machine", detector="kurtosis")
    assert one["by_class"] == {"cat": 1.0, "dog": 0.0} and one["auc"]["value"] == 0.5


def test_tables_and_figure_show_every_detector(found, tmp_path):
    text = markdown(found)
    for name in ("AE, MSE", "log-mel, kNN", "kurtosis", "classifier, kNN"):
        assert f"| {name} |" in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.endswith("|")
    tables = re.split(r"\n(?!\|)", text)
    for table in tables:
        rows = [row for row in table.splitlines() if row.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1
    assert "| bldc | AE | 1 | 2.00 to 2.00 | 1.00 to 1.00 |" in text
    assert text.count("<details>") == text.count("</details>") > 5
    panels = marks(found)
    assert len(panels) == 6
    assert {m.state for p in panels for m in p.marks} == set(
        ("trained", "untrained", "nothing to train")
    )
    sound_study_figures.draw(tmp_path / "a.png", panels)
    with PIL.Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 1000 and np.asarray(picture.convert("L")).std() > 5


def test_four_panels_are_two_by_two(tmp_path):
    mark = sound_study_figures.Mark("kurtosis", "nothing to train", 0.7, 0.6, 0.8)
    sizes = []
    for count in (3, 4):
        panels = [
            sound_study_figures.Panel(str(i), 1.0, {}, [mark]) for i in range(count)
        ]
        sound_study_figures.draw(tmp_path / "a.png", panels)
        with PIL.Image.open(tmp_path / "a.png") as picture:
            sizes.append(picture.size)
    assert sizes[1][0] < sizes[0][0] and sizes[1][1] > 1.5 * sizes[0][1]


class _Level:
    """A task with a weight to learn and a running mean to settle."""

    def init(self, key, batch):
        return {"params": {"w": jnp.ones(())}, "batch_stats": {"mean": jnp.zeros(())}}

    def loss(self, variables, batch, key):
        level = batch["wave"].mean(axis=1)
        mean = 0.9 * variables["batch_stats"]["mean"] + 0.1 * level.mean()
        loss = (variables["params"]["w"] - level) ** 2
        return LossOutput(loss, {}, {"batch_stats": {"mean": mean}})

    def evaluate(self, variables, batch, key):
        raise AssertionError("nothing is held out")


def test_an_untrained_network_keeps_its_weights_and_knows_the_level(monkeypatch):
    monkeypatch.setattr(Recipe, "task", lambda self, classes: _Level())
    mel = MelConfig(rate_hz=1000)
    recipe = Recipe(kind="classifier", clip_s=0.5, mel=mel, steps=10, batch=4)
    wave = np.full((5, 500), 3.0, np.float32)
    made = train(recipe, wave, np.zeros(5, int), seed=0)
    assert made.untrained["params"]["w"] == 1
    assert made.untrained["batch_stats"]["mean"] == pytest.approx(3, rel=0.05)
    # Ten steps of Adam at 1e-3.
    assert made.trained["params"]["w"] == pytest.approx(1.01, abs=1e-4)
    assert made.trained["batch_stats"]["mean"] == pytest.approx(3 * (1 - 0.9**10))
    assert made.loss == pytest.approx((4.0, 3.964), abs=0.01)


@pytest.mark.parametrize("length", [3, 5, 8, 10, 13])
def test_sounds_are_cut_for_the_shipped_network_as_elsewhere(length):
    wave = np.arange(2 * length, dtype=np.float32).reshape(2, length)
    found = sound_study_networks._cut(wave, 5)
    dataset: Any = types.SimpleNamespace(samples=np.array([length]))
    plan = Segments(dataset, np.array([0]), samples=5, batch_size=1)
    expected = [fitted(wave[1], int(start), 5) for start in plan.starts]
    assert len(found) == len(expected)
    for part, own in zip(found, expected, strict=True):
        np.testing.assert_array_equal(part[1], own)


def test_without_a_shipped_network_its_rows_are_left_out(monkeypatch):
    monkeypatch.setattr(bundles, "names", tuple)
    sound_study_networks.shipped.cache_clear()
    try:
        assert sound_study_networks.shipped() is None
        assert sound_study_cells._bundle("bundle") is None
    finally:
        sound_study_networks.shipped.cache_clear()


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(data.StudyError, match="no folder 'Healthy'"):
        data.motors(tmp_path)
    with pytest.raises(data.StudyError, match="Dog bark"):
        data.environment(tmp_path)
    with pytest.raises(ValueError, match="two lines"):
        pages.into_page("no marks", "x")
    page = f"a\n{pages.MARK}\nold\n{pages.MARK}\nb"
    assert pages.into_page(page, "new") == (f"a\n{pages.MARK}\n\nnew\n{pages.MARK}\nb")


def test_the_motors_are_those_of_the_protocol(real_data):
    whole, segments = data.motors(real_data)
    counts = {}
    for recording in whole.recordings:
        key = recording.machine, recording.fault
        counts[key] = counts.get(key, 0) + 1
    assert counts == {
        **{("M1", False): 8, ("M2", False): 8, ("M3", False): 6},
        **{("M1", True): 6, ("M2", True): 8},
    }
    assert whole.wave.shape == (36, 160_000) and segments.wave.shape == (360, 16_000)
    rms = np.sqrt(np.square(segments.wave, dtype=np.float64).mean(axis=1))
    np.testing.assert_allclose(rms, 0.1, rtol=1e-4)
    # A number that takes no training: kurtosis of the fault and of other motors.
    score = sound_study_detectors.one_number(whole)["kurtosis"]
    fault = np.array([r.fault for r in whole.recordings])
    for motor, expected in (("M1", 0.905), ("M2", 0.973)):
        own = np.array([r.machine == motor for r in whole.recordings])
        pairs = itertools.product(score[own & fault], score[~own & ~fault])
        assert np.mean([a > b for a, b in pairs]) == pytest.approx(expected, abs=5e-4)


def test_the_committed_page_is_of_the_committed_numbers():
    root = epath.Path(sound_study.__file__).parents[1] / "docs"
    found = json.loads((root / "machine_sounds_on_real_data.json").read_text())
    page = (root / "machine_sounds_on_real_data.md").read_text()
    assert pages.into_page(page, markdown(found)) == page
    assert dataclasses.is_dataclass(Cells) and sound_study_cells.READINGS


def test_panels_share_the_lines_of_all_detectors():
    # What only one panel has stands where it stands there.
    merged = sound_study_figures._merged([["a", "b", "d"], ["a", "c", "d", "e"]])
    assert [merged.index(name) for name in "abde"] == sorted(
        merged.index(name) for name in "abde"
    )
    assert merged.index("a") < merged.index("c") < merged.index("d")
