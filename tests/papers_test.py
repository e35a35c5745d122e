"""Sheets of papers that pretrain and finetune: they build systems, and print right."""

import itertools

import pytest

from launch.reproduction import cells, costs, papers, sheets
from sigjax.config import ConfigError
from sigjax.data import splits

SOURCE = cells.Source("PATH", "HASH")
ALL = cells.Given(unlabelled={"": SOURCE}, labelled=SOURCE, harnet=SOURCE)
PAPERS = {
    key: sheets.load(key)
    for key in sheets.papers()
    if papers.study_of(key)[0] == "wrist"
}
SHEETS = [
    pytest.param(paper, sheet, id=f"{paper.key}-{sheet.key}")
    for paper in PAPERS.values()
    for sheet in paper.sheets
]


@pytest.mark.parametrize(("paper", "sheet"), SHEETS)
def test_every_cell_of_every_scale_and_protocol_builds_a_system(paper, sheet):
    for scale, protocol in itertools.product(paper.scales, paper.protocols):
        plan = cells.make_plan(paper, sheet, scale, protocol, ALL)
        for cell in plan.cells.values():  # Its key needs its system.
            assert cell.key.startswith(cell.kind)
        assert not plan.not_run
        assert set(plan.places.values()) <= set(plan.cells)


def plans(paper, scale="paper", **changes):
    given = cells.Given(**{"harnet": SOURCE, **changes})
    return {
        sheet.key: cells.make_plan(
            paper, sheet, paper.scale(scale), paper.protocol(""), given
        )
        for sheet in paper.sheets
    }


def test_tables_share_their_cells():
    found = plans(PAPERS["000"])
    counted = {key: costs.counts(plan.cells.values()) for key, plan in found.items()}
    assert counted["table1"] == {"pretrain": 9, "finetune": 9}
    assert counted["table5"] == {"pretrain": 2, "finetune": 14}
    assert counted["table6"] == {"pretrain": 3, "finetune": 9}
    assert counted["figure2"] == {"pretrain": 12, "finetune": 12}
    every = {key for plan in found.values() for key in plan.cells}
    # Table I's 9 and 3 + 6 + 8 of II to IV, with LMM + 0.001 MSE in III, and 9 seeds
    # more of figure 2.
    assert sum(key.startswith("pretrain") for key in every) == 36
    # LMM at 32 samples, linear: one cell of tables I to VI and figures 2 and 3.
    places = {
        "table1": 2,
        "table2": 0,
        "table3": 1,
        "table4": 4,
        "table5": 6,
        "table6": 0,
        "figure2": 0,
        "figure3": 0,
    }
    assert len({found[key].places[row, 0, 0] for key, row in places.items()}) == 1


def test_a_scale_or_protocol_never_answers_for_another():
    paper = PAPERS["000"]
    sheet, seen = paper.sheet("table6"), {}
    for scale, protocol in itertools.product(paper.scales, paper.protocols):
        plan = cells.make_plan(paper, sheet, scale, protocol, ALL)
        for key, cell in plan.cells.items():
            if cell.kind == "finetune":
                assert seen.setdefault(key, (scale, protocol)) == (scale, protocol)


def test_the_papers_protocol_chooses_for_the_lstm_on_the_reported_people():
    paper = PAPERS["000"]
    plan = cells.make_plan(
        paper, paper.sheet("table6"), paper.scale("paper"), paper.protocol("paper"), ALL
    )
    by_title = {c.title: c for c in plan.cells.values() if c.kind == "finetune"}
    lstm = by_title["MAE_LMM LSTM"].config()
    linear = by_title["MAE_LMM linear"].config()
    assert (lstm.train.select, linear.train.select) == ("balanced_accuracy", "")
    assert lstm.data.validation == lstm.data.test
    assert lstm.data.validation_fraction == 0.0


def test_the_reported_side_is_one_of_the_division():
    paper = PAPERS["000"]
    (cell,) = [c for c in plans(paper)["table1"].cells.values() if c.title == "0 1 -"][
        1:
    ]
    data = cell.config().data
    sides = splits.person_split(data.split, dataset="capture24")
    assert {data.train, data.test} <= set(sides)


def test_rows_without_weights_are_not_run_and_never_from_scratch():
    plan = plans(PAPERS["000"], harnet=cells.NOTHING)["table6"]
    assert set(plan.not_run) == {7, 8}
    assert all("needs --harnet" in why for why in plan.not_run.values())
    assert not [p for p in plan.places if p[0] in plan.not_run]


# From the paper's tables: balanced accuracy and kappa.
PRINTED = {
    ("table1", "0 1 -"): (0.709, 0.649),
    ("table1", "1 0 32"): (0.848, 0.797),
    ("table1", "1 0.1 128"): (0.839, 0.788),
    ("table2", "1 0.01"): (0.736, 0.657),
    ("table3", "MAE_LMM+MSE 0.75"): (0.595, 0.457),
    ("table4", "MAE_LMM 40"): (0.547, 0.395),
    ("table4", "MAE_LMM+MSE 80"): (0.764, 0.704),
    ("table5", "MAE_LMM 10"): (0.812, 0.797),
    ("table5", "MAE_LMM+MSE 60"): (0.843, 0.797),
    ("table6", "MAE_LMM linear"): (0.848, 0.802),
    ("table6", "HARNet10 LSTM"): (0.866, 0.825),
    ("table6", "transformer, from scratch linear"): (0.593, 0.682),
}


@pytest.mark.parametrize("place", PRINTED, ids=lambda place: " ".join(place))
def test_the_papers_numbers_are_those_it_prints(place):
    sheet = PAPERS["000"].sheet(place[0])
    (row,) = [row for row in sheet.rows if row.title == place[1]]
    assert (row.paper["balanced_accuracy"], row.paper["kappa"]) == PRINTED[place]


def test_a_mistake_in_a_sheet_names_itself():
    paper = PAPERS["000"]
    row = sheets.Row(labels=("a",), pretrain={"model.widht": 3})
    sheet = sheets.Sheet(key="s", title="S", columns=("c",), rows=(row,))
    with pytest.raises(ConfigError, match="'model.widht'"):
        cells.make_plan(paper, sheet, paper.scales[0], paper.protocols[0], ALL)
    with pytest.raises(ConfigError, match="--paper=999: there are 000"):
        sheets.load("999")
    with pytest.raises(ConfigError, match="no sheet is named 'table9'"):
        paper.sheet("table9")
    with pytest.raises(ValueError, match="has 2 labels for 1 columns"):
        sheets.Sheet(
            key="s", title="S", columns=("c",), rows=(sheets.Row(labels=("a", "b")),)
        )


def test_folds_share_what_does_not_name_them():
    paper = PAPERS["000"]
    rows = (
        sheets.Row(labels=("shared",), pretrain={}),
        sheets.Row(labels=("own",), pretrain={"data.without": "folds:{fold}"}),
    )
    sheet = sheets.Sheet(
        key="s", title="S", columns=("c",), rows=rows, folds=("a", "b"), seeds=2
    )
    given = cells.Given(
        unlabelled={"": SOURCE}, labelled=SOURCE, finetune={"data.test": "{fold}"}
    )
    plan = cells.make_plan(paper, sheet, paper.scales[0], paper.protocols[0], given)
    counted = costs.counts(plan.cells.values())
    # Pretraining: one per seed, and one per seed and fold. Finetuning: rows x 2 x 2.
    assert counted == {"pretrain": 2 + 4, "finetune": 8}
    tests = {
        fold: plan.cells[plan.places[0, 0, fold]].config().data.test for fold in (0, 1)
    }
    assert tests == {0: "a", 1: "b"}


def test_another_store_per_fold_is_another_pretraining():
    paper = PAPERS["000"]
    sheet = sheets.Sheet(
        key="s",
        title="S",
        columns=("c",),
        rows=(sheets.Row(labels=("x",), pretrain={}),),
        folds=("a", "b"),
    )
    stores = {fold: cells.Source(f"PATH/{fold}", fold) for fold in "ab"}
    given = cells.Given(unlabelled=stores, labelled=SOURCE)
    plan = cells.make_plan(paper, sheet, paper.scales[0], paper.protocols[0], given)
    parents = [plan.cells[plan.places[0, 0, fold]].parent for fold in (0, 1)]
    assert [parent.data.path for parent in parents] == ["PATH/a", "PATH/b"]
    assert parents[0].key != parents[1].key


def test_a_cell_is_known_by_content_not_by_place():
    def key(source, **overrides):
        return cells.Cell(
            kind="pretrain",
            file="mae_wrist",
            variant="smoke",
            overrides=overrides,
            data=source,
        ).key

    base = key(SOURCE)
    assert key(cells.Source("ELSEWHERE", "HASH")) == base
    assert key(SOURCE, **{"loss.n_fft": 32, "data.read_threads": 7}) == base
    assert key(cells.Source("PATH", "OTHER")) != base
    assert key(SOURCE, **{"loss.n_fft": 64}) != base
    assert key(SOURCE, seed=1) != base
