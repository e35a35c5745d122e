"""Paper 001: its cells build systems, its numbers are those printed."""

import dataclasses
import itertools

import pytest

from configs.asd_sections import BEST, MACHINES
from launch.reproduction import costs, papers
from launch.reproduction.cells import Source
from launch.reproduction.sounds import cells, sheets, tables
from sigjax.config import ConfigError

PAPER, STUDY = papers.load("001"), papers.study_of("001")[1]
GIVEN = cells.Given(sounds=Source("PATH", "HASH"), machines=MACHINES)


def plan_of(key, scale="paper", protocol="honest", given=GIVEN, paper=PAPER):
    return cells.make_plan(
        paper, paper.sheet(key), paper.scale(scale), paper.protocol(protocol), given
    )


def counted(plan):
    return dict(costs.counts(plan.cells.values()))


@pytest.mark.parametrize("scale", [scale.key for scale in PAPER.scales])
def test_every_cell_builds_a_system(scale):
    for protocol in PAPER.protocols:
        plan = plan_of("table3", scale, protocol.key)  # Has all kinds of cells.
        for key, cell in plan.cells.items():  # Its key needs its system.
            assert key == cell.key and key.startswith(cell.kind)
            assert cell.config().data.simulate is None


def test_tables_share_their_cells():
    plans = {sheet.key: plan_of(sheet.key) for sheet in PAPER.sheets}
    assert counted(plans["table2"]) == {"general": 1, "evaluation": 1}
    assert counted(plans["table5"]) == {"general": 3, "evaluation": 3}
    # Seven machines x three high-passes x without and with center loss.
    expected = {"general": 3, "specific": 42, "evaluation": 42}
    assert counted(plans["table7"]) == counted(plans["table6"]) == expected
    baselines = {"autoencoder": 7, "mobilenet": 7, "evaluation": 42 + 3 + 14}
    assert counted(plans["table3"]) == {**expected, **baselines}
    every = set(plans["table3"].cells)
    assert all(set(plan.cells) <= every for plan in plans.values())


def test_a_specific_classifier_starts_from_the_general_one_of_its_high_pass():
    plan, seen = plan_of("table7"), set()
    for cell in plan.cells.values():
        config = cell.config()
        if cell.kind == "specific":
            before = cell.parent.config()
            assert cell.parent.kind == "general"
            assert before.task.mel.cutoff_hz == config.task.mel.cutoff_hz
            assert before.task.centre_weight == 0.0 and before.data.machines == ()
            (machine,) = config.data.machines
            weight = config.task.centre_weight
            seen.add((machine, config.task.mel.cutoff_hz, weight))
        if cell.kind == "evaluation":
            assert cell.parent.kind == "specific"
    expected = itertools.product(MACHINES, (0.0, 1000.0, 2000.0), (0.0, 0.01))
    assert seen == set(expected)


def test_the_papers_protocol_takes_table_7_as_given():
    plan = plan_of("table7", protocol="paper")
    assert counted(plan) == {"general": 3, "specific": 7, "evaluation": 7}
    for (_, machine, _), found in plan.candidates.items():
        assert {(c.cutoff_hz, c.centre) for c in found} == {BEST[machine]}
        assert {c.score for c in found} == {"mahalanobis", "confidence"}
    # What a system allows counts: table 6 has both losses, table 2 no high-pass.
    of_6, of_2 = (
        plan_of("table6", protocol="paper"),
        plan_of("table2", protocol="paper"),
    )
    assert counted(of_6)["specific"] == 14
    assert {c.cutoff_hz for by in of_2.candidates.values() for c in by} == {0.0}
    # Fan has no high-pass in table 7: where table 5 asks for one, both are tried.
    high = plan_of("table5", protocol="paper").candidates
    assert {c.cutoff_hz for c in high[1, "fan", 0]} == {1000.0, 2000.0}
    assert {c.cutoff_hz for c in high[1, "ToyCar", 0]} == {1000.0}


def test_seeds_are_further_runs_of_the_same():
    plan = plan_of("table2", given=dataclasses.replace(GIVEN, seeds=2))
    assert counted(plan) == {"general": 2, "evaluation": 2}
    seeds = [c.config().seed for c in plan.cells.values() if c.kind == "general"]
    assert seeds == [0, 1]


def test_another_back_end_is_another_evaluation_and_no_other_training():
    fewer = dataclasses.replace(
        PAPER, backends={**PAPER.backends, "general": ("mahalanobis",)}
    )
    before, after = plan_of("table5").cells, plan_of("table5", paper=fewer).cells
    both = set(before) & set(after)
    assert {before[key].kind for key in both} == {"general"} and len(both) == 3
    # Another place of the same data is the same cell, other data are another.
    moved = dataclasses.replace(GIVEN, sounds=Source("ELSEWHERE", "HASH"))
    assert set(plan_of("table5", given=moved).cells) == set(before)
    other = dataclasses.replace(GIVEN, sounds=Source("PATH", "OTHER"))
    assert not set(plan_of("table5", given=other).cells) & set(before)


def test_a_set_without_a_machine_has_tables_of_the_others():
    plan = plan_of("table7", given=dataclasses.replace(GIVEN, machines=("fan", "pump")))
    assert plan.machines == ("fan", "pump")
    assert counted(plan)["specific"] == 2 * 6


def test_overrides_are_of_one_model():
    given = dataclasses.replace(GIVEN, overrides={"specific": {"train.epochs": 2.0}})
    found = plan_of("table7", given=given).cells.values()
    epochs = {c.kind: c.config().train.epochs for c in found}
    assert epochs == {"general": 50.0, "specific": 2.0, "evaluation": 2.0}
    given = dataclasses.replace(GIVEN, overrides={"general": {"train.epoch": 2.0}})
    with pytest.raises(ConfigError, match="'train.epoch'"):
        plan_of("table2", given=given)


# --- the printed numbers ---


def printed(key, name):
    sheet = PAPER.sheet(key)
    (system,) = [s for s in sheet.systems if s.name == name]
    return tables.printed_figures(sheet, system, PAPER.machines)


@pytest.mark.parametrize(
    ("name", "total"),
    [
        ("baseline (AE)", 56.38),
        ("Top1", 66.80),
        ("general", 69.43),
        ("specific", 75.53),
    ],
)
def test_the_totals_of_table_3_come_out_of_its_cells(name, total):
    assert 100 * printed("table3", name)["total"]["mean"] == pytest.approx(
        total, abs=0.011
    )


@pytest.mark.parametrize("name", ["Top1", "specific"])
def test_the_totals_of_table_4_come_out_of_its_cells(name):
    sheet = PAPER.sheet("table4")
    (system,) = [s for s in sheet.systems if s.name == name]
    bare = dataclasses.replace(system, total=())
    computed = tables.printed_figures(sheet, bare, PAPER.machines)["total"]
    for metric, value in zip(sheet.metrics, system.total, strict=True):
        assert computed[metric] == pytest.approx(value, abs=0.00011)
        assert printed("table4", name)["total"][metric] == value


def best_of(key):
    """By machine, the better printed cells of a table's two systems, by their mean."""
    sheet = PAPER.sheet(key)
    both = [tables.printed_figures(sheet, s, PAPER.machines) for s in sheet.systems]
    return {
        machine: max((b[machine] for b in both), key=lambda f: f["mean"] or 0.0)
        for machine in PAPER.machines
    }


def test_the_tables_agree_with_each_other():
    general, specific = printed("table3", "general"), printed("table3", "specific")
    # General is the better of without and with high-pass, specific of center loss.
    assert best_of("table5") == {m: general[m] for m in PAPER.machines}
    assert best_of("table6") == {m: specific[m] for m in PAPER.machines}
    assert best_of("table2") == {
        m: printed("table5", "w/o high-pass")[m] for m in PAPER.machines
    }
    assert printed("table7", "specific") == specific


def test_table_7_is_printed_so():
    assert PAPER.settings["ToyCar"] == (1000.0, False)
    assert PAPER.settings["gearbox"] == (2000.0, True)
    assert PAPER.settings["fan"] == (0.0, True)
    assert PAPER.settings["slider"] == (0.0, False)


def test_a_dash_is_no_number():
    found = printed("table5", "high-pass")
    assert found["fan"] == {"auc": None, "pauc": None, "mean": None}
    assert found["total"]["auc"] is None


def test_a_mistake_in_a_sheet_names_itself():
    with pytest.raises(ValueError, match="'generl' is no model"):
        sheets.System(name="x", models=("generl",), scores=("knn",))
    with pytest.raises(ValueError, match="x: scores is empty"):
        sheets.System(name="x", models=("general",))
    system = sheets.System(name="x", paper={"fan": (0.5,)})
    with pytest.raises(ValueError, match="t, x, fan: 1 printed figures, expected 2"):
        sheets.Sheet(key="t", title="T", systems=(system,))
    with pytest.raises(ConfigError, match="no sheet is named 'table8'"):
        PAPER.sheet("table8")
