"""Tables of audio events: run once each, counted rightly, and told as such."""

import csv
import io
import json
import types

import numpy as np
import pytest
from etils import epath

from launch.reproduction import cells, papers, runner
from launch.reproduction.events import data, scores, tables, work
from launch.reproduction.events.cells import Given, GivenSet, make_plan
from launch.reproduction.events.sheets import DATASETS
from sigjax.config import ConfigError
from sigjax.evals import audio_events as evals

PAPER = papers.load("003")
MADE = {
    "git": "abc",
    "versions": {"sigjax": "1", "jax": "2", "python": "3"},
    "devices": ["cpu"],
}
CLIPS, CLASSES = 60, 7


def said(kind, right, seed=0):
    """Predictions of which the first are right, then those that are almost."""
    heads = ("label",) if kind == "single" else ("verb", "noun")
    rng = np.random.default_rng(seed)
    truth, probability = {}, {}
    for head in heads:
        label = rng.integers(CLASSES, size=CLIPS).astype(np.int32)
        found = np.full((CLIPS, CLASSES), 0.01, np.float32)
        place = np.where(np.arange(CLIPS) < right[head], label, (label + 1) % CLASSES)
        found[np.arange(CLIPS), place] = 0.9
        found[np.arange(CLIPS), label] += 0.02
        truth[head], probability[head] = label, found
    return evals.EventPredictions(
        kind=kind,
        classes={head: tuple("abcdefg") for head in heads},
        probability=probability,
        truth=truth,
        path=np.array([f"{i}.wav" for i in range(CLIPS)]),
        start_s=np.zeros(CLIPS),
        group=np.array([str(i // 2) for i in range(CLIPS)]),
    )


class Fake:
    """Work that notes what it was asked to do; deformation gives six clips more."""

    def __init__(self, fails=()):
        self.ran, self.fails = [], set(fails)

    def __call__(self, cell, folder):
        self.ran.append(cell.title)
        if cell.kind == "count":
            macs = {"layers": 12.8, "everything": 13.8, "parameters_m": 27.8}
            return {"macs": macs, **MADE}
        if cell.title in self.fails:
            raise FloatingPointError("loss is not finite")
        encoder = cell.config().encoder
        more = 6 * (encoder.kind == "dat" and encoder.dat.deformable)
        right = {"label": 30 + more, "verb": 20 + more, "noun": 10 + more}
        right = {head: n + cell.config().seed for head, n in right.items()}
        found = said(cell.config().task.target, right)
        evals.write_event_predictions(folder / "predictions.parquet", found)
        told = {"encoder": {"weights": "from scratch"}}
        return {"predictions": "predictions.parquet", "finetuned": told, **MADE}


def plan_of(key, seeds=None):
    sets = {name: GivenSet(cells.Source("PATH", name)) for name in DATASETS}
    given = Given(sets=sets, seeds=seeds)
    scale, protocol = PAPER.scale("smoke"), PAPER.protocol("last")
    return make_plan(PAPER, PAPER.sheet(key), scale, protocol, given)


def header(**changes):
    return {
        "paper": "003",
        "paper_title": "Paper 003: A title",
        "paper_data": "Kinetics-Sounds",
        "scale_key": "smoke",
        "scale": "smoke (tiny)",
        "protocol_key": "last",
        "protocol": "last (the last step)",
        "sets": {name: f"SIMULATED {name}" for name in DATASETS},
        "simulated_sets": list(DATASETS),
        "simulated": True,
        "overrides": "",
        "command": "python -m launch.reproduce --table=4",
        "made_with": "jax",
        **changes,
    }


def table_of(key, workdir, *, fake=None, seeds=None, **changes):
    plan, workdir = plan_of(key, seeds), epath.Path(workdir)
    outcomes = runner.Cells(workdir, plan.cells).run(fake or Fake(), lambda text: None)
    found = scores.of_rows(plan, outcomes, workdir)
    return tables.content(plan, found, header(**changes))


def test_a_table_has_the_papers_figures_beside_ours(tmp_path):
    table = table_of("table4", tmp_path, seeds=2)
    rows = {row["name"]: row for row in table["rows"]}
    plain, deformed = rows["without deformable"], rows["with deformable"]
    assert plain["paper"] == {"top1": 0.694, "top5": 0.866}
    assert plain["ours"]["top1"]["seeds"] == [30 / CLIPS, 31 / CLIPS]
    assert deformed["ours"]["top1"]["value"] == pytest.approx(36.5 / CLIPS)
    assert deformed["ours"]["top5"]["value"] == 1.0
    own = deformed["ours"]["top1"]
    assert own["low"] < own["value"] < own["high"] and own["sd"] > 0
    assert (deformed["clips"], deformed["sources"]) == (CLIPS, CLIPS // 2)
    (less,) = [d for d in table["differences"] if d["first"] == "without deformable"]
    assert less["ours"]["top1"]["value"] == pytest.approx(-6 / CLIPS)
    assert less["ours"]["top1"]["high"] < 0
    assert less["paper"]["top1"] == pytest.approx(-0.011)
    text = tables.write(epath.Path(tmp_path) / "tables", table)
    for told in (
        "SIMULATED",
        "FROM SCRATCH",
        "69.4",
        "60.8",
        "the paper leaves open: which DAT, groups, r, s",
        "top-1 OURS -10.0",
        "PAPER -1.1",
        "a standard error of 1.1",
        "say nothing of other trainings",
        "PAPER is of 1,585 test clips and OURS of 60: OTHER DATA",
    ):
        assert told in " ".join(text.split()), told
    read = json.loads((tmp_path / "tables" / "table4.json").read_text())
    assert read == json.loads(json.dumps(table))
    written = (tmp_path / "tables" / "table4.csv").read_text()
    lines = list(csv.DictReader(io.StringIO(written)))
    assert len(lines) == 12 and {line["seeds"] for line in lines} == {"2"}
    assert float(lines[0]["value"]) == pytest.approx(30.5 / CLIPS)


def test_real_data_are_not_called_simulated(tmp_path):
    changes = {"simulated": False, "simulated_sets": []}
    table = table_of("table1", tmp_path, **changes)
    text = tables.write(epath.Path(tmp_path) / "tables", table)
    assert "SIMULATED:" not in text and "SIMULATED sounds" not in text
    same = tables.page({**table, "paper_clips": CLIPS})
    assert "OTHER DATA" in text and "OTHER DATA" not in " ".join(same.below)
    # One set simulated and another given: each table says its own.
    mixed = table_of("table1", tmp_path, simulated_sets=["vggsound"])
    assert not mixed["simulated"]


def test_an_action_is_verb_and_noun_and_printed_systems_have_none_of_ours(tmp_path):
    table = table_of("table3", tmp_path)
    ours = {row["name"]: row["ours"] for row in table["rows"]}
    value = {m: v["value"] for m, v in ours["DATAR (deformable + adaptor)"].items()}
    assert value == pytest.approx(
        {"verb_top1": 26 / 60, "noun_top1": 16 / 60, "action_top1": 16 / 60}
    )
    assert ours["Damen et al. [40]"] is None
    text = tables.write(epath.Path(tmp_path) / "tables", table)
    assert "printed only, not repeated here: Damen et al. [40], AudioSlowFast" in text


def test_a_row_that_failed_is_told_and_the_others_stand(tmp_path):
    name = "Kinetics-Sounds: without deformable"
    table = table_of("table4", tmp_path, fake=Fake({name}))
    first, second = table["rows"][:2]
    assert first["ours"] is None and "loss is not finite" in first["why_not"]
    assert second["ours"] is not None
    assert "failed" in table["differences"][0]
    text = tables.write(epath.Path(tmp_path) / "tables", table)
    assert "without deformable: failed: FloatingPointError" in text
    again = Fake()
    table_of("table4", tmp_path, fake=again)
    assert again.ran == [name]  # The rest was there.


def test_counts_stand_beside_what_is_printed(tmp_path):
    fake = Fake()
    table = table_of("macs", tmp_path, fake=fake)
    assert len(fake.ran) == 7 and table["open"] == ""
    rows = {row["name"]: row for row in table["rows"]}
    assert rows["DATAR, as the paper has it"]["ours"] is None
    assert rows["DATAR, as the paper has it"]["paper"] == {"layers": 93.3}
    assert rows["DATAR on DAT-T"]["ours"]["everything"]["value"] == 13.8
    text = tables.write(epath.Path(tmp_path) / "tables", table)
    assert "93.3" in text and "SCRATCH" not in text


def test_a_network_is_counted_by_its_name():
    found = work.count(network="ast-tiny", frames=128, bands=32, classes=3)
    # 2 x 12 patches of 16 x 16 and two tokens, 12 layers of 192.
    tokens = 2 * ((128 - 16) // 10 + 1) + 2
    assert found["layers"] == pytest.approx(12 * tokens * 12 * 192**2 / 1e9, abs=0.06)
    with pytest.raises(ValueError):
        work.count(network="none", frames=128, bands=32, classes=3)


def opened(**changes):
    values = {
        "kind": "single",
        "splits": ("train", "test"),
        "folds": (),
        "name": "set",
        "fingerprint": "f",
        "classes": {"label": ("a", "b")},
        "samples": np.array([16_000]),
        "rate_hz": 16_000,
        "simulated": False,
        **changes,
    }
    return type("Set", (types.SimpleNamespace,), {"__len__": lambda self: 1})(**values)


@pytest.mark.parametrize(
    ("changes", "overrides"),
    [
        ({}, {}),
        ({"splits": ("train",), "folds": (1, 2)}, {"data.test_fold": 1}),
        (
            {"splits": ("train", "validation")},
            {"data.test_splits": ("validation",), "data.validation_splits": ()},
        ),
    ],
)
def test_a_set_is_reported_as_it_is_divided(monkeypatch, changes, overrides):
    monkeypatch.setattr(data.EventSet, "open", lambda path: opened(**changes))
    facts = data.of_set("PATH", "vggsound")
    assert facts.given == GivenSet(cells.Source("PATH", "f"), overrides)
    assert "in place of VGGSound: set, 1 clips of 2 classes" in facts.line()
    assert facts.reported in facts.line() and "SIMULATED" not in facts.line()


def test_a_set_that_no_table_can_be_made_of_is_refused(monkeypatch):
    for changes, why in (
        ({"splits": ("train",)}, "nothing to report"),
        ({"kind": "multi"}, "'multi'.* take 'single'"),
    ):
        monkeypatch.setattr(data.EventSet, "open", lambda path, c=changes: opened(**c))
        with pytest.raises(ConfigError, match=why):
            data.of_set("PATH", "kinetics_sounds")
    with pytest.raises(ConfigError, match="take 'verb_noun'"):
        monkeypatch.setattr(data.EventSet, "open", lambda path: opened())
        data.of_set("PATH", "epic_kitchens")


def test_the_papers_scale_simulates_nothing(tmp_path):
    with pytest.raises(ConfigError, match="--vggsound=SET"):
        data.simulate(epath.Path(tmp_path), PAPER.scale("paper"), "vggsound", print)


def test_paths_are_filled_in_when_a_cell_runs():
    given = Given(
        sets={"vggsound": GivenSet(cells.Source("SET", "HASH"))},
        weights={"dat": cells.Source("DAT", "D"), "ast": cells.Source("AST", "A")},
    )
    scale, protocol = PAPER.scale("paper"), PAPER.protocol("last")
    plan = make_plan(PAPER, PAPER.sheet("table2"), scale, protocol, given)
    found = {cell.kind: work.resolved(cell) for cell in plan.cells.values()}
    assert {k: c.encoder.weights for k, c in found.items()} == {
        "dat": "DAT",
        "ast": "AST",
    }
    assert {c.data.dataset for c in found.values()} == {"SET"}
