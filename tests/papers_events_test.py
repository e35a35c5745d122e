"""Paper 003: its cells build systems, its numbers are those printed."""

import dataclasses

import pytest

from launch.reproduction import costs, papers
from launch.reproduction.cells import Source
from launch.reproduction.events import cells, sheets
from sigjax.config import ConfigError

PAPER, STUDY = papers.load("003"), papers.study_of("003")[1]
GIVEN = dataclasses.replace(
    STUDY.everything(cells.Given()),
    sets={name: cells.GivenSet(Source("PATH", name)) for name in sheets.DATASETS},
)


def plan_of(key, scale="paper", protocol="last", given=GIVEN):
    return cells.make_plan(
        PAPER, PAPER.sheet(key), PAPER.scale(scale), PAPER.protocol(protocol), given
    )


def counted(plan):
    return dict(costs.counts(plan.cells.values()))


@pytest.mark.parametrize("scale", [scale.key for scale in PAPER.scales])
def test_every_cell_builds_a_system(scale):
    for protocol in PAPER.protocols:
        for key in ("table1", "table3", "table4"):
            for name, cell in plan_of(key, scale, protocol.key).cells.items():
                assert name == cell.key and name.startswith(cell.kind)
                system = cell.check()
                assert system.data.simulate is None
                system.make_task()  # Sections fit each other.
                single = key != "table3"
                assert system.task.target == ("single" if single else "verb_noun")
                chooses = protocol.key == "held_out"
                assert bool(system.train.select) == chooses
                assert bool(system.data.validation_fraction) == chooses


def test_tables_1_and_4_share_the_network_with_both():
    first, fourth = plan_of("table1"), plan_of("table4")
    assert counted(first) == {"ast": 1, "dat": 1} and counted(fourth) == {"dat": 6}
    assert len(set(first.cells) & set(fourth.cells)) == 1
    second = plan_of("table2")
    assert not set(first.cells) & set(second.cells)
    assert counted(plan_of("macs")) == {"count": 7}


def test_table_4_changes_what_it_says():
    found = {}
    plan = plan_of("table4")
    for (row, _), key in plan.places.items():
        dat = plan.cells[key].check().encoder.dat
        found[plan.sheet.rows[row].title] = (
            dat.deformable,
            dat.adaptor_strength,
            dat.input_noise,
        )
    assert found == {
        "without deformable": (False, 0.0, "none"),
        "with deformable": (True, 0.0, "none"),
        "deformable + N(0, 0.005)": (True, 0.0, "gaussian"),
        "deformable + L(0, 0.005)": (True, 0.0, "laplace"),
        "deform. + adaptor: lambda = 0.2": (True, 0.2, "none"),
        "deform. + adaptor: lambda = 0.005": (True, 0.005, "none"),
    }


def test_the_papers_epochs_and_rate():
    for table, epochs in (("table1", 300), ("table2", 50), ("table3", 100)):
        for cell in plan_of(table).cells.values():
            system = cell.check()
            assert system.train.epochs == epochs
            assert system.optim.learning_rate == 1e-5
            assert (system.task.frames, system.task.fbank.n_mels) == (1024, 128)


def test_the_papers_scale_waits_for_weights_and_others_start_from_scratch():
    bare = dataclasses.replace(GIVEN, weights={"dat": Source("DAT", "HASH")})
    plan = plan_of("table1", given=bare)
    assert counted(plan) == {"dat": 1}
    assert plan.not_run == {0: "not run: needs --ast_weights=BUNDLE (launch.convert)"}
    (cell,) = plan.cells.values()
    assert cell.weights.path == "DAT" and not plan.scratch
    small = plan_of("table1", "small", given=cells.Given())
    assert counted(small) == {"dat": 1, "ast": 1} and small.scratch
    assert not any(c.weights.path for c in small.cells.values())
    other = dataclasses.replace(GIVEN, weights={"dat": Source("DAT", "OTHER")})
    assert not set(plan_of("table4", given=other).cells) & set(plan.cells)


def test_a_set_says_how_it_is_divided():
    folds = cells.GivenSet(Source("PATH", "HASH"), {"data.test_fold": 1})
    given = dataclasses.replace(GIVEN, sets={"kinetics_sounds": folds})
    for cell in plan_of("table1", "small", given=given).cells.values():
        assert cell.check().data.test_fold == 1
    for cell in plan_of("table1", "small").cells.values():
        assert cell.check().data.test_fold == 0


def test_seeds_and_overrides():
    given = dataclasses.replace(
        GIVEN, seeds=2, overrides={"dat": {"train.epochs": 2.0}}
    )
    plan = plan_of("table1", given=given)
    assert counted(plan) == {"dat": 2, "ast": 2}
    assert {c.config().seed for c in plan.cells.values()} == {0, 1}
    epochs = {c.kind: c.config().train.epochs for c in plan.cells.values()}
    assert epochs == {"dat": 2.0, "ast": 300.0}
    wrong = dataclasses.replace(GIVEN, overrides={"dat": {"train.epoch": 2.0}})
    with pytest.raises(ConfigError, match="'train.epoch'"):
        plan_of("table4", given=wrong)


# From the paper's tables, per cent.
PRINTED = {
    ("table1", "AST"): (52.6, 71.5),
    ("table1", "DATAR (deformable + adaptor)"): (71.5, 90.5),
    ("table2", "AST"): (52.3, 78.1),
    ("table2", "Chen et al. [43]"): (48.8, 76.5),
    ("table2", "AudioSlowFast [4]"): (50.1, 77.9),
    ("table2", "DATAR (deformable + adaptor)"): (55.5, 80.2),
    ("table3", "AST"): (44.3, 22.4, 13.0),
    ("table3", "Damen et al. [40]"): (42.1, 21.5, 14.8),
    ("table3", "AudioSlowFast [4]"): (46.5, 22.8, 15.4),
    ("table3", "DATAR (deformable + adaptor)"): (48.7, 22.9, 16.3),
    ("table4", "without deformable"): (69.4, 86.6),
    ("table4", "with deformable"): (70.5, 89.9),
    ("table4", "deformable + N(0, 0.005)"): (70.2, 90.1),
    ("table4", "deformable + L(0, 0.005)"): (70.5, 89.6),
    ("table4", "deform. + adaptor: lambda = 0.2"): (70.5, 90.2),
    ("table4", "deform. + adaptor: lambda = 0.005"): (71.5, 90.5),
}


def test_the_papers_numbers_are_those_it_prints():
    found = {
        (sheet.key, row.title): tuple(100 * row.paper[m] for m in sheet.metrics)
        for sheet in PAPER.sheets
        if sheet.dataset
        for row in sheet.rows
    }
    clips = {sheet.key: sheet.clips for sheet in PAPER.sheets if sheet.dataset}
    assert list(clips.values()) == [1585, 12790, 9668, 1585]
    assert found.keys() == PRINTED.keys()
    for place, expected in PRINTED.items():
        assert found[place] == pytest.approx(expected), place


def test_a_mistake_in_a_sheet_names_itself():
    row = dict(labels=("a",), paper={"top1": 0.5})
    with pytest.raises(ValueError, match="'top2' is not of"):
        sheets.Sheet(
            key="t",
            title="T",
            columns=("model",),
            rows=(sheets.Row(**{**row, "paper": {}}),),
            dataset="vggsound",
            metrics=("top2",),
        )
    with pytest.raises(ValueError, match="printed figures of top1"):
        sheets.Sheet(
            key="t",
            title="T",
            columns=("model",),
            rows=(sheets.Row(**row),),
            dataset="vggsound",
            metrics=("top5",),
        )
    with pytest.raises(ConfigError, match="no sheet is named 'table5'"):
        PAPER.sheet("table5")
