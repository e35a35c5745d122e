"""Paper 002: its numbers are those printed, its cells are what it needs."""

import dataclasses

import pytest

from launch.reproduction import costs, papers
from launch.reproduction.calls import sheets
from launch.reproduction.calls.cells import Given, GivenSet, make_plan
from launch.reproduction.cells import Source
from sigjax.config import ConfigError

PAPER, STUDY = papers.load("002"), papers.study_of("002")[1]
ALL = STUDY.everything(Given())


def plan_of(key, scale="paper", protocol="held_out", given=ALL):
    return make_plan(
        PAPER, PAPER.sheet(key), PAPER.scale(scale), PAPER.protocol(protocol), given
    )


def counted(key, **changes):
    return dict(costs.counts(plan_of(key, **changes).cells.values()))


# Table III, per cent; its columns are IMV, Watkins, Abzaliev.
PRINTED = """
PT AVES 62.54 94.95 54.23
PT HuBERT 64.35 94.18 47.96
PT WavLM 58.98 94.78 43.97
PT W2V2 62.40 94.25 48.95
PT+FT WavLM-100h 60.93 93.93 47.90
PT+FT W2V2-100h 63.44 91.77 44.91
PT+FT W2V2-960h 61.25 91.42 44.36
- Fusion 62.48 94.78 48.95
"""


def test_table_3_has_the_scores_that_are_printed():
    found = {row.labels: 100 * row.paper["uar"] for row in PAPER.sheet("table3").rows}
    expected = {}
    for line in PRINTED.strip().splitlines():
        kind, name, *scores = line.split()
        for dataset, score in zip(("IMV", "Watkins", "Abzaliev"), scores, strict=True):
            expected[dataset, kind, name] = float(score)
    assert found == pytest.approx(expected)


def test_tables_1_and_2_have_the_figures_that_are_printed():
    found = {row.labels[0]: row.paper for row in PAPER.sheet("table1").rows}
    names = ("calls", "minutes", "rate_khz", "classes", "median_ms", "sd_ms")
    expected = {
        "Watkins": (1697, 295, None, 32, 1701, 71245),
        "IMV": (72920, 464, 44.1, 11, 127, 375),
        "Abzaliev": (8034, 137, 48, 14, 655, 1313),
    }
    assert {k: tuple(v.get(n) for n in names) for k, v in found.items()} == expected
    rows = PAPER.sheet("table2").rows
    assert {row.labels[0]: row.paper["parameters_m"] for row in rows} == {
        "AVES-Bio": 94.68,
        "HuBERT": 94.68,
        "W2V2": 95.04,
        "W2V2-100h": 95.04,
        "W2V2-960h": 95.04,
        "WavLM": 94.38,
        "WavLM-100h": 94.38,
    }
    assert {(row.paper["width"], row.paper["blocks"]) for row in rows} == {(768, 12)}


def test_sheets_share_their_cells():
    third = plan_of("table3").cells
    assert counted("table3") == {"features": 21, "probes": 21}
    for key, number in (("figure3", 6), ("figure4", 15), ("layers", 21)):
        own = plan_of(key).cells
        assert len(own) == 2 * number and set(own) <= set(third)
    assert set(plan_of("figure5").cells) == set(third)
    assert counted("table1") == {"overview": 3}
    assert set(plan_of("figure1").cells) == set(plan_of("table1").cells)
    # Each extraction comes before its sweep.
    keys = list(third)
    for cell in third.values():
        if cell.parent:
            assert keys.index(cell.parent.key) < keys.index(cell.key)


def test_protocols_and_scales_never_answer_for_each_other():
    seen = {}
    for scale in PAPER.scales:
        for protocol in PAPER.protocols:
            given = ALL if scale.encoder is None else Given()
            for key, cell in plan_of(
                "table3", scale.key, protocol.key, given
            ).cells.items():
                if cell.kind == "probes":
                    mine = (scale.key, protocol.key)
                    assert seen.setdefault(key, mine) == mine


def test_the_papers_protocol_is_its_codes():
    cells = plan_of("table3", protocol="paper").cells.values()
    settings = [c.overrides for c in cells if c.kind == "features"]
    assert {(s["normalise"], s["short"], s["ddof"]) for s in settings} == {
        ("peak", "tile5000", 1)
    }
    aves = [c for c in cells if c.title == "Watkins, aves"]
    assert aves[0].overrides["proj"] and aves[1].overrides["layer0"] == "proj"
    assert sum(s["proj"] for s in settings) == 3  # of each set
    (probes,) = {str(c.overrides["probes"]) for c in cells if c.kind == "probes"}
    assert "'paper'" in probes and "(12345,)" in probes
    ours = plan_of("table3").cells.values()
    assert {c.overrides["split"] for c in ours if c.kind == "probes"} == {"grouped"}


def test_more_seeds_begin_where_the_protocol_does():
    given = dataclasses.replace(ALL, seeds=3)
    assert plan_of("table3", given=given).seeds == (0, 1, 2)
    assert plan_of("table3", protocol="paper", given=given).seeds == (
        12345,
        12346,
        12347,
    )


def given_some(sets=("watkins",), bundles=("aves", "hubert")):
    return Given(
        sets={name: GivenSet(source=Source("PATH", name)) for name in sets},
        bundles={name: Source("BUNDLE", name) for name in bundles},
    )


def test_what_is_missing_is_told_in_its_row():
    plan = plan_of("table3", given=given_some())
    assert costs.counts(plan.cells.values()) == {"features": 2, "probes": 2}
    assert len(plan.places) + len(plan.not_run) == len(plan.sheet.rows) == 24
    why = {plan.sheet.rows[n].title: text for n, text in plan.not_run.items()}
    assert "--marmosets=" in why["IMV PT AVES"] and "--mescalina=" in str(why)
    assert "--bundles=w2v2-960h=" in why["Watkins PT+FT W2V2-960h"]
    titles = {plan.sheet.rows[n].title: own for n, own in plan.places.items()}
    assert set(titles) == {"Watkins PT AVES", "Watkins PT HuBERT", "Watkins - Fusion"}
    assert set(titles["Watkins - Fusion"]) == {"aves", "hubert"}
    alone = plan_of("figure5", given=given_some(bundles=("aves",)))
    assert "two encoders at least" in alone.not_run[1] and not alone.cells
    nothing = plan_of("figure2", given=given_some(bundles=()))
    assert "--bundles=aves=" in nothing.not_run[0]


def test_sets_and_encoders_of_ones_own_have_rows():
    given = given_some(sets=("watkins", "dogs"), bundles=("hubert", "mine"))
    plan = plan_of("table3", given=given)
    run = {plan.sheet.rows[n].title for n in plan.places}
    assert run == {
        "Watkins PT HuBERT",
        "Watkins own mine",
        "Watkins - Fusion",
        "dogs PT HuBERT",
        "dogs own mine",
        "dogs - Fusion",
    }
    rows = {row.title: row for row in plan.sheet.rows}
    assert rows["Watkins PT HuBERT"].paper and not rows["dogs PT HuBERT"].paper
    assert not rows["Watkins own mine"].paper
    curves = plan_of("figure3", given=given).sheet.rows
    assert curves[-1].labels == ("dogs", "HuBERT")
    assert plan_of("table2", given=given).sheet.rows[-1].labels == (
        "mine",
        "own",
        "own",
    )
    assert plan_of("table1", given=given).sheet.rows[-1].dataset == "dogs"


def test_without_data_everything_is_simulated_and_has_random_weights():
    plan = plan_of("table3", "smoke", given=Given())
    assert plan.random and not plan.not_run and len(plan.places) == 24
    given = plan_of("table3", "smoke", given=given_some())
    assert not given.random and given.not_run
    only_calls = plan_of("table3", "smoke", given=given_some(bundles=()))
    assert only_calls.random and len(only_calls.places) == 8


def test_a_mistake_in_a_sheet_names_itself():
    row = dict(labels=("a",), paper={"calls": 1})
    with pytest.raises(ValueError, match="printed figures of calls"):
        sheets.Sheet(
            key="t",
            title="T",
            kind="scores",
            columns=("c",),
            rows=(sheets.Row(**row),),
        )
    with pytest.raises(ValueError, match="needs rows that differ"):
        sheets.Sheet(key="t", title="T", kind="scores", columns=("c",), rows=())
    with pytest.raises(ValueError, match="'parrots'"):
        bad = sheets.Row(labels=("a",), dataset="parrots")
        sheet = sheets.Sheet(
            key="t", title="T", kind="curves", columns=("c",), rows=(bad,)
        )
        dataclasses.replace(PAPER, sheets=(sheet,))
    with pytest.raises(ConfigError, match="no protocol is named 'best'"):
        PAPER.protocol("best")
