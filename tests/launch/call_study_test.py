"""The calls study: cells, what they come to, and a page that says so."""

import dataclasses
import json

import numpy as np
import PIL.Image
import pytest
import soundfile
from etils import epath

from launch import call_study, pages
from launch.calls import (
    study_cells,
    study_data,
    study_page,
    study_plain,
    study_sizes,
    study_tables,
    study_work,
)
from launch.calls.study_cells import PLAIN, PRETRAINED, PROBE, RANDOM
from launch.reproduction.runner import NOT_DONE, Outcome
from sigjax.data.calls.manifest import Call, CallManifest
from sigjax.data.clips import ManifestError

SIZE = study_sizes.SIZES["smoke"]


def made_up(name="fsdd", units=("ann", "ben", "cas"), each=4):
    """Calls of two classes that nobody reads."""
    calls = [
        Call(id=f"{label}-{unit}-{take}", path="none.wav", label=label, group=unit)
        for unit in units
        for label in ("one", "two")
        for take in range(each)
    ]
    manifest = CallManifest(
        root=epath.Path("/none"), calls=tuple(calls), classes=("one", "two")
    )
    return study_data.StudyCalls(
        name=name,
        manifest=manifest,
        unit=np.array([call.group for call in calls]),
        units=tuple(units),
        fingerprint="f",
    )


def cells_of(calls, **changes):
    return study_cells.make_cells([(calls, "PATH")], SIZE, **changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two digits of three speakers, a tone each, as FSDD has them."""
    path = tmp_path_factory.mktemp("fsdd") / "recordings"
    path.mkdir()
    time, rng = np.arange(2400) / 8000, np.random.default_rng(0)
    for number, speaker in enumerate(("ann", "ben", "cas")):
        for digit in range(2):
            for take in range(3):
                tone = 300 * (1 + 2 * digit) + 5 * number + 20 * take
                wave = 0.3 * np.sin(2 * np.pi * tone * time)
                wave = wave + rng.normal(size=len(wave)) * 0.01
                soundfile.write(path / f"{digit}_{speaker}_{take}.wav", wave, 8000)
    return path.parent


# --- calls ---


def test_a_tested_speaker_is_neither_learned_from_nor_chosen_by(folder):
    calls = study_data.read_fsdd(folder)
    assert calls.units == ("ann", "ben", "cas") and len(calls.unit) == 18
    for place, unit in enumerate(calls.units):
        sides = calls.sides(unit)
        assert sides.chooser == calls.units[(place + 1) % 3]
        assert set(calls.unit[sides.test]) == {unit}
        assert set(calls.unit[sides.validation]) == {sides.chooser}
        assert set(calls.unit[sides.train]) == {*calls.units} - {unit, sides.chooser}
        for call, own in zip(calls.divided(unit).calls, calls.unit, strict=True):
            others = {unit: "test", sides.chooser: "validation"}
            assert call.split == others.get(own, "train")
    with pytest.raises(KeyError, match="no 'dan'"):
        calls.sides("dan")


def test_other_folders_are_refused(tmp_path, folder):
    with pytest.raises(ManifestError):
        study_data.read_fsdd(tmp_path)
    with pytest.raises(FileNotFoundError):
        study_data.read_esc10(tmp_path / "none")
    two = tmp_path / "two"
    two.mkdir()
    for path in (folder / "recordings").iterdir():
        if "cas" not in path.name:
            (two / path.name).write_bytes(path.read_bytes())
    with pytest.raises(study_data.StudyError, match="three at least"):
        study_data.read_fsdd(two)


def test_the_data_are_esc_10(real_data):
    calls = study_data.read_esc10(real_data / "esc10")
    assert calls.units == tuple(f"fold{n}" for n in range(1, 6))
    assert len(calls.unit) == 400 and np.bincount(calls.label).tolist() == [40] * 10
    source = np.array([call.source for call in calls.manifest.calls])
    for own in set(source):
        assert len(set(calls.unit[source == own])) == 1


# --- cells ---


def test_cells_are_known_by_what_decides_them():
    calls = made_up()
    found = cells_of(calls)
    kinds = [cell.kind for cell in found.values()]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    assert counts == {PLAIN: 3, RANDOM: 3, PROBE: 12, PRETRAINED: 3}
    for place, cell in enumerate(found.values()):
        if cell.parent is not None:
            assert list(found).index(cell.parent.key) < place
    assert set(cells_of(calls)) == set(found) and len(set(found)) == len(kinds)
    other = dataclasses.replace(calls, fingerprint="g")
    assert not set(cells_of(other)) & set(found)

    def kept(**changes):
        size = dataclasses.replace(SIZE, **changes)
        again = study_cells.make_cells([(calls, "PATH")], size)
        return {found[key].kind for key in set(again) & set(found)}

    longer = {"fsdd": {**SIZE.overrides["fsdd"], "train.steps": 9}}
    assert kept(overrides=longer) == {PLAIN, RANDOM, PROBE}
    wider = {"fsdd": {**SIZE.overrides["fsdd"], "model.width": 32}}
    assert kept(overrides=wider) == {PLAIN}
    slower = {"fsdd": {**SIZE.overrides["fsdd"], "data.read_threads": 1}}
    assert kept(overrides=slower) == {*kinds}
    probes = {"fsdd": dataclasses.replace(SIZE.probes["fsdd"], epochs=3)}
    assert kept(probes=probes) == {RANDOM, PRETRAINED}


@pytest.mark.parametrize("size", study_sizes.SIZES.values(), ids=study_sizes.SIZES)
def test_every_size_is_a_config(size):
    for calls in (made_up(), made_up("esc10")):
        cells = study_cells.make_cells([(calls, "PATH")], size)
        for cell in cells.values():
            if cell.kind not in (RANDOM, PRETRAINED):
                continue
            system = cell.check()
            assert system.data.without_splits == ("test",)
            assert system.data.validation_splits == ("validation",)
            assert not system.data.validation_fraction
            assert system.seed == cell.seed


def test_bars_are_fitted_on_whom_they_may_be(monkeypatch):
    calls, fitted = made_up(), []
    label = calls.label

    def predict(given, train):
        fitted.append(set(given.unit[train]))
        return {study_plain.machine(study_plain.SEGMENTS): label}

    rng = np.random.default_rng(0)
    rich = label[:, None] + 0.1 * rng.normal(size=(len(label), 2))
    features = {study_plain.SEGMENTS: rich, study_plain.TRIVIAL["fsdd"]: rich}
    monkeypatch.setattr(study_plain, "predict", predict)
    monkeypatch.setattr(study_plain, "features", lambda given: features)
    asked = []

    def told(layers, given, unit, protocol):
        asked.extend((layer.model, unit, protocol) for layer in layers)
        return {}

    monkeypatch.setattr(study_work, "probes_told", told)
    found = study_work.bars(calls, "ben", SIZE.probes["fsdd"])
    assert fitted == [{"ann", "cas"}, {"ann"}]
    assert set(calls.unit[found["tested"]]) == {"ben"}
    assert found["machines"][study_plain.machine(study_plain.SEGMENTS)] == (
        label[calls.sides("ben").test].tolist()
    )
    assert asked == [(study_plain.SEGMENTS, "ben", SIZE.probes["fsdd"])]


@pytest.mark.survival
def test_machines_know_digits_by_their_sound(folder):
    calls = study_data.read_fsdd(folder)
    found = study_plain.features(calls)
    shapes = {name: value.shape for name, value in found.items()}
    assert shapes == {
        study_plain.SEGMENTS: (18, 100),
        study_plain.MOMENTS: (18, 40),
        study_plain.TRIVIAL["fsdd"]: (18, 3),
    }
    assert found[study_plain.TRIVIAL["fsdd"]][0] == pytest.approx(
        [0.3, np.log(0.3 / np.sqrt(2)), 0.3], abs=0.05
    )
    said = study_plain.predict(calls, calls.sides("ann").train)
    name = study_plain.machine(study_plain.SEGMENTS)
    tested = calls.sides("ann").test
    np.testing.assert_array_equal(said[name][tested], calls.label[tested])


# --- what cells come to ---


def posterior(label, right):
    """Two seeds that are as sure of what they say."""
    said = np.where(right, label, 1 - label)
    return np.stack([np.eye(2)[said] * 0.8 + 0.1] * 2)


def result(calls, cell, right):
    """What a cell tells whose models are right about the same calls."""
    tested = calls.sides(cell.unit).test if cell.unit else np.arange(0)
    label = calls.label[tested]
    own = posterior(label, right)
    said = own.argmax(axis=-1)
    layers = {n: {"validation": [0.5, 0.7], "predicted": said.tolist()} for n in "01"}
    probe = {
        "layers": layers,
        "chosen": "1",
        "epochs": 5.0,
        "posterior": own.tolist(),
    }
    made: dict = {"tested": tested.tolist()}
    if cell.kind == PLAIN:
        rich = study_plain.RICH[calls.name]
        names = [study_plain.machine(rich), study_plain.TRIVIAL[calls.name]]
        machines = {name: said[0].tolist() for name in names}
        made |= {"machines": machines, "machines_without_chooser": machines}
        made["probes"] = {rich: probe}
    elif cell.kind == PROBE:
        made["probes"] = {"encoder": probe}
    elif cell.kind == PRETRAINED:
        named = ("masked_accuracy", "copied_accuracy", "most_frequent")
        figures = dict.fromkeys(named, 0.25) | {"loss": 3.0, "unigram_loss": 4.0}
        made |= {"validation": figures, "steps": 7}
    versions = {"sigjax": "1", "jax": "2", "python": "3"}
    return {**made, "versions": versions, "devices": ["cpu"], "git": "abc"}


def outcomes_of(calls, cells, share):
    """Outcomes; `share` of the tested calls is right, by kind of cell or parent."""
    found = {}
    for key, cell in cells.items():
        kind = cell.parent.kind if cell.parent else cell.kind
        count = len(calls.sides(cell.unit).test) if cell.unit else 0
        right = np.arange(count) % 4 < 4 * share[kind]
        made = result(calls, cell, right)
        found[key] = Outcome(made, "", {"seconds": 60.0, "result": made})
    return found


SHARE = {PLAIN: 0.5, RANDOM: 0.25, PRETRAINED: 0.75}


def test_rows_are_means_over_seeds_and_intervals_over_units():
    calls = made_up()
    cells = cells_of(calls)
    outcomes = outcomes_of(calls, cells, SHARE)
    members = study_tables.members_of(calls, cells, outcomes)
    rows = {row["name"]: row for row in study_tables.rows(calls, members)}
    trained = rows[study_tables.NAMES[PRETRAINED]]
    assert trained["units"] == {"ann": 0.75, "ben": 0.75, "cas": 0.75}
    assert trained["seeds"] == 2 and trained["sd_weights"] is None
    random = rows[study_tables.NAMES[RANDOM]]
    assert random["uar"]["value"] == 0.25 and random["seeds"] == 6
    assert random["sd_weights"] == random["sd_probes"] == 0
    assert random["chosen"]["ann"] == ["1"] * 3
    assert random["curve"]["0"]["validation"] == pytest.approx(0.6)
    assert np.allclose(trained["confusion"], [[0.75, 0.25], [0.25, 0.75]])
    kinds = [row["kind"] for row in study_tables.rows(calls, members)]
    assert kinds[0] == study_tables.CONTROL and kinds[-1] == study_tables.FUSION
    told = study_tables.differences(
        calls, list(rows.values()), study_tables.pairs_of(calls)
    )
    first = told[0]
    assert (first["name"], first["less"]) == (trained["name"], random["name"])
    assert first["uar"]["value"] == 0.5 and first["ahead"] == 3
    figures = study_tables.trainings(calls, cells, outcomes)
    assert [f["chooser"] for f in figures] == ["ben", "cas", "ann"]


def test_intervals_are_students():
    found = study_tables.over_units({"a": 0.1, "b": 0.2, "c": 0.6}, -1.0)
    half = 4.302653 * np.std([0.1, 0.2, 0.6], ddof=1) / np.sqrt(3)
    assert found["value"] == pytest.approx(0.3)
    assert found["high"] == pytest.approx(0.3 + half, rel=1e-5)
    assert found["low"] == pytest.approx(0.3 - half, rel=1e-5)
    cut = study_tables.over_units({"a": 0.1, "b": 0.2, "c": 0.6})
    assert cut["low"] == 0 and cut["high"] == found["high"]
    alone = study_tables.over_units({"a": 0.5})
    assert alone == {"value": 0.5, "low": None, "high": None}


def test_a_fusion_is_the_mean_of_posteriors():
    calls = made_up(each=1)
    one, other = (
        np.array([[[0.9, 0.1], [0.4, 0.6]]]),
        np.array([[[0.3, 0.7], [0.2, 0.8]]]),
    )
    both = np.concatenate([other, 1 - other])  # The first weights' seed alone counts.
    bar = f"{study_plain.RICH['fsdd']}: MLP"

    def member(posterior):
        return study_tables.Member("probe", posterior.argmax(axis=-1), posterior)

    found = {
        bar: {"ann": member(one), "ben": member(one)},
        study_tables.NAMES[PRETRAINED]: {"ann": member(both)},
    }
    every = {name: dict(of) for name, of in found.items()}
    study_tables._fuse(calls, collected := _Default(every))
    fused = collected["fusion: pre-trained + MFCC"]
    assert list(fused) == ["ann"]
    np.testing.assert_allclose(fused["ann"].posterior, [[[0.6, 0.4], [0.3, 0.7]]])
    assert set(collected) - set(found) == {"fusion: pre-trained + MFCC"}


class _Default(dict):
    def __missing__(self, key):
        self[key] = {}
        return self[key]


def test_what_is_not_done_is_not_counted():
    calls = made_up()
    cells = cells_of(calls)
    outcomes = outcomes_of(calls, cells, SHARE)
    first = next(k for k, c in cells.items() if c.parent and c.parent.kind == RANDOM)
    outcomes[first] = NOT_DONE
    members = study_tables.members_of(calls, cells, outcomes)
    random = members[study_tables.NAMES[RANDOM]]
    assert set(random) == {"ben", "cas"}  # Of "ann" a seed is missing.
    assert set(members["fusion: random + MFCC"]) == {"ben", "cas"}
    rows = {row["name"]: row for row in study_tables.rows(calls, members)}
    pair = [(study_tables.NAMES[PRETRAINED], study_tables.NAMES[RANDOM])]
    told = study_tables.differences(calls, list(rows.values()), pair)
    assert set(told[0]["units"]) == {"ben", "cas"}


# --- the command ---


@pytest.fixture
def found(tmp_path, monkeypatch):
    sets = [(made_up(), "PATH"), (made_up("esc10", ("fold1", "fold2", "fold3")), "P")]
    ran = []

    class Fake:
        def __init__(self, given, workdir):
            self._sets = given

        def __call__(self, cell, folder):
            ran.append(cell.title)
            if cell.unit == "cas" and cell.kind == PRETRAINED:
                raise FloatingPointError("loss is not finite")
            calls = self._sets[cell.calls]
            return outcomes_of(calls, {"it": cell}, SHARE)["it"].result

    monkeypatch.setattr(call_study, "Work", Fake)
    monkeypatch.setattr(call_study, "_say", lambda text: None)

    def collect(**changes):
        ran.clear()
        given = {"size": "smoke", "seeds": 2, **changes}
        return call_study.collect(sets, epath.Path(tmp_path), **given), list(ran)

    return collect


def test_a_study_goes_on_and_tells_what_failed(found):
    told, ran = found()
    assert len(ran) == 2 * (3 + 2 * 4 + 3 * 2) - 1  # No probes of what failed.
    assert len(told["failed"]) == 2 and told["waiting"] == {PRETRAINED: 1, PROBE: 1}
    again, ran = found()
    assert len(ran) == 1  # What failed is tried again, the rest is there.
    assert again["rows"] == told["rows"]
    there, ran = found(missing=False, trainings=2)
    assert not ran and there["rows"] != []
    assert there["waiting"][PRETRAINED] == 1 + 6 and not there["failed"]
    assert json.loads(json.dumps(told)) == told


def test_tables_and_figure_show_every_row(found, tmp_path, monkeypatch):
    told, _ = found()
    text = study_page.markdown(told)
    for row in told["rows"]:
        assert f"| {row['name']} |" in text
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1
    assert "(2 of 3)" in text and "Not finished" in text
    output = tmp_path / "page"
    assert call_study.write(told, str(output)) == text
    monkeypatch.setattr(call_study.call_study_figures, "draw", lambda *_, **__: None)
    page = epath.Path(f"{output}.md")
    page.write_text(f"a\n{pages.MARK}\nold\n{pages.MARK}\nb")
    assert str(page) in call_study.write(told, str(output))
    assert text in page.read_text() and "\nold\n" not in page.read_text()
    with PIL.Image.open(f"{output}.png") as picture:
        assert picture.width > 800 and np.asarray(picture.convert("L")).std() > 5


def test_the_committed_page_is_of_the_committed_numbers():
    root = epath.Path(call_study.__file__).parents[1] / "docs"
    page = (root / "calls_on_real_data.md").read_text()
    for path in root.glob("calls_on_real_data.json"):
        told = json.loads(path.read_text())
        assert pages.into_page(page, study_page.markdown(told)) == page
    assert page.count(pages.MARK) == 2


@pytest.mark.survival
def test_the_whole_path(folder, tmp_path):
    # Pre-trains, extracts and probes, with the commands' own functions.
    calls = study_data.read_fsdd(folder)
    units = {"fsdd": ("ben",)}
    cells = cells_of(calls, seeds=1, units=units)
    workdir = epath.Path(tmp_path)
    work = study_work.Work({"fsdd": calls}, workdir)
    results = {}
    for key, cell in cells.items():
        path = workdir / "cells" / key
        path.mkdir(parents=True)
        results[key] = work(cell, path)
    json.dumps(results)
    made = {k: Outcome(r, "", {"seconds": 1.0}) for k, r in results.items()}
    rows = study_tables.rows(calls, study_tables.members_of(calls, cells, made))
    names = {row["name"] for row in rows}
    assert {
        *study_tables.NAMES.values(),
        "fusion: random + pre-trained + MFCC",
    } <= names
    curve = next(row["curve"] for row in rows if "curve" in row)
    assert list(curve) == ["proj", "0", "1"]
    assert all(list(row["units"]) == ["ben"] for row in rows)
    # Whom the probe is tested on was not trained on.
    key = next(k for k, c in cells.items() if c.kind == PRETRAINED)
    log = (workdir / "cells" / key / "log.txt").read_text()
    assert "calls to train on: 6, held out: 6" in log and "6 in without_splits" in log
