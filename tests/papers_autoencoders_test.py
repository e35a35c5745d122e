"""Paper 004: its cells build systems, share trainings, and hold methods to one bar."""

import dataclasses

import pytest

from launch.reproduction import costs, papers
from launch.reproduction.autoencoders import cells, measures, pictures, sheets
from launch.reproduction.cells import Source
from sigjax.config import ConfigError
from sigjax.data.audio_events.stream_config import SimulatedEventsConfig

PAPER, STUDY = papers.load("004"), papers.study_of("004")[1]
GIVEN = cells.Given(
    data={name: cells.GivenData(Source("PATH", name)) for name in sheets.DATA}, seeds=1
)


def plan_of(key, scale="small", given=GIVEN):
    return cells.make_plan(
        PAPER, PAPER.sheet(key), PAPER.scale(scale), PAPER.protocols[0], given
    )


@pytest.mark.parametrize("key", [sheet.key for sheet in PAPER.sheets])
def test_every_cell_builds_a_system_and_is_measured(key):
    plan = plan_of(key)
    sheet = plan.sheet
    assert sheet.measure in measures.MEASURES
    assert {*sheet.figure.split("+")} <= {*pictures.DRAW}
    trained = {}
    for name, cell in plan.cells.items():
        assert name == cell.key and name.startswith(cell.kind)
        if cell.kind == "measure":
            continue
        trained[name] = found = cell.check()
        for system in found.values() if isinstance(found, dict) else [found]:
            assert system.seed == 0
    for (place, _), name in plan.places.items():
        row, cell = sheet.rows[place], plan.cells[name]
        assert cell.kind == "measure" and cell.method == row.method
        assert bool(cell.parent) == (not row.method)
        if cell.parent:
            assert cell.parent.key in trained and cell.parent.kind == row.kind
    # Each is held against what needs no network, or less of one, on the same data.
    for row in sheet.rows:
        if row.against:
            assert sheet.row(row.against).data == row.data


def test_sheets_share_a_training_and_methods_train_nothing():
    compression, plane = plan_of("compression"), plan_of("plane")
    counted = costs.counts(compression.cells.values())
    assert counted["measure"] == len(compression.sheet.rows)
    methods = sum(bool(row.method) for row in compression.sheet.rows)
    assert counted["autoencoder"] == counted["measure"] - methods
    assert not {*compression.cells} & {*plane.cells}
    denoising = plan_of("denoising")
    counted = costs.counts(denoising.cells.values())
    # One network for all ratios, on each of two kinds of signals.
    assert counted["autoencoder"] == 2 and counted["measure"] == 40


def test_where_data_lie_is_no_part_of_a_cell_and_what_they_are_is():
    def key(path, fingerprint, held):
        own = cells.GivenData(
            Source(path, fingerprint), {}, {"data.path": path, "data.seed": held}
        )
        given = dataclasses.replace(GIVEN, data={"sounds": own, "digits": own})
        return {*plan_of("plane", given=given).cells}

    assert key("A", "x", 0) == key("B", "x", 0)
    assert not key("A", "x", 0) & key("A", "y", 0)
    assert not key("A", "x", 0) & key("A", "x", 1)


def test_seeds_are_repeats_of_what_is_drawn():
    given = dataclasses.replace(GIVEN, seeds=3)
    counted = costs.counts(plan_of("plane", given=given).cells.values())
    assert counted == {"autoencoder": 9, "measure": 9 + 4}
    plan = plan_of("anomaly", given=given)
    places = [plan.sheet.rows[place].title for place, _ in plan.places]
    assert places.count("PCA residual") == 1
    assert places.count("isolation forest") == places.count("dense autoencoder") == 3
    seeds = {cell.settings.get("seed") for cell in plan.cells.values()}
    assert seeds == {None, 0, 1, 2}


def test_overrides_of_a_kind_reach_it_alone_and_mistakes_are_told():
    given = dataclasses.replace(GIVEN, overrides={"gan": {"train.steps": 7}})
    plan = plan_of("generation", given=given)
    steps = {
        c.kind: c.config().train.steps for c in plan.cells.values() if not c.method
    }
    assert steps["gan"] == 7 and steps["autoencoder"] is None
    wrong = dataclasses.replace(GIVEN, overrides={"gan": {"train.step": 7}})
    with pytest.raises(ConfigError, match=r"train.step'"):
        plan_of("generation", given=wrong)


def test_what_a_classifier_starts_from_is_all_that_differs():
    """The same people, windows, labels and steps, for every start and share."""
    plan = plan_of("initialisation", given=dataclasses.replace(GIVEN, seeds=2))
    alike, learnt, bars = {}, {}, {}
    for (place, seed), key in plan.places.items():
        row, cell = plan.sheet.rows[place], plan.cells[key].parent
        config = cell.config()
        told = {k: config[k].to_dict() for k in ("data", "task", "optim", "train")}
        assert (told["data"]["label_seed"], config.seed) == (seed, seed)
        assert told["data"]["labelled"] == row.x / 100 and not told["train"]["select"]
        alike.setdefault((row.data, row.x, seed), []).append(told)
        if cell.parent:
            own = cell.parent.config().data.to_dict()
            assert own["labelled"] == 1.0 and cell.parent.config().seed == seed
            del own["trained_classes"]
            learnt.setdefault(row.data, []).append(own)
            of = {k: v for k, v in told["data"].items() if k in own}
            assert own == {**of, "labelled": 1.0}
        model = {k: config.model[k] for k in ("encoder", "mae") if k in config.model}
        bars.setdefault((row.data, bool(model.get("mae"))), []).append(model)
        if row.against:
            theirs = plan.sheet.row(row.against)
            assert theirs.parent == "" and theirs.x == row.x
            assert theirs.config == row.config  # of the same network
    assert {len(found) for found in alike.values()} == {4, 7}
    for group in (*alike.values(), *bars.values()):
        assert all(found == group[0] for found in group)
    rows = [row for row in plan.sheet.rows if row.kind == "masked"]
    assert [row.data for row in rows] == ["wrist", "wrist"]


def test_layers_are_denoised_where_rows_say_so():
    plan = plan_of("initialisation")
    noise = {}
    for cell in plan.cells.values():
        if cell.kind == "autoencoder":
            kind = cell.config().task.noise.kind
            noise.setdefault((cell.title, kind), cell.config().task.depth)
    for (title, kind), depth in noise.items():
        assert (kind != "none") == ("denoising" in title), title
        assert bool(depth) == ("layer by layer" in title), title
    assert sum(kind != "none" for _, kind in noise) == 6


def test_simulated_events_are_what_their_config_takes():
    from launch.reproduction.autoencoders import data

    found = data.opened("events", "", None, PAPER.scale("smoke"), print)
    assert found.simulated
    SimulatedEventsConfig(**found.overrides["data.simulate"])
    with pytest.raises(ConfigError, match="needs --har=PATH"):
        bare = dataclasses.replace(PAPER.scale("smoke"), simulated=None)
        data.opened("wrist", "", None, bare, print)


def test_a_mistake_in_a_sheet_names_itself():
    row = dict(labels=("a",), data="digits", config="autoencoder:digits")
    rest = dict(
        key="t", title="T", deck="", columns=("model",), measure="plane",
        metrics=dict(purity=dict(name="purity")),
    )  # fmt: skip
    with pytest.raises(ValueError, match="rows that differ"):
        sheets.Sheet(**rest, rows=(row, row))
    with pytest.raises(ValueError, match="no row is named 'b'"):
        sheets.Sheet(**rest, rows=(row | dict(against="b"),))
    with pytest.raises(ValueError, match="on 'mars'"):
        sheets.Sheet(**rest, rows=(row | dict(data="mars"),))
    with pytest.raises(ValueError, match="2 labels for 1 columns"):
        sheets.Sheet(**rest, rows=(row | dict(labels=("a", "b")),))
