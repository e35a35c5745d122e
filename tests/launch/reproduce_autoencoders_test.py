"""Experiments on autoencoders: measured rightly, summed up rightly, told as such."""

import csv
import dataclasses
import io
import json
import types

import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from launch.reproduction import cells as common
from launch.reproduction import papers, runner
from launch.reproduction.autoencoders import (
    cells,
    data,
    generation,
    measures,
    opened,
    pictures,
    scores,
    sheets,
    simulated,
    supervised,
    tables,
    work,
)
from sigjax.config import ConfigError
from sigjax.data.examples.config import PointsConfig
from sigjax.data.examples.example_set import example_set
from sigjax.data.examples.points import ring_centres, spiral

PAPER = papers.load("004")
MADE = {
    "git": "abc",
    "versions": {"sigjax": "1", "jax": "2", "python": "3"},
    "devices": ["cpu"],
}


class Known(opened.Opened):
    """Examples and a network without a file: what it does is given as functions."""

    def __init__(self, train, held, *, encode=None, decode=None, points=None):
        def restored(variables, x):
            del variables
            return decode(encode(x)) if decode else x

        self.run, self.variables = None, {"params": {"w": np.zeros(5)}}
        self.system = types.SimpleNamespace(
            data=types.SimpleNamespace(points=points),
            task=types.SimpleNamespace(input=types.SimpleNamespace(kind="values")),
        )
        self.data = types.SimpleNamespace(
            train_set=train,
            held_out_set=held,
            config=types.SimpleNamespace(trained_classes=("fine",)),
        )
        shape = (3,)
        self.task = types.SimpleNamespace(
            restore=restored,
            reconstruct=restored,
            codes=lambda v, x: encode(x),
            generate=lambda v, z: decode(z),
            model=types.SimpleNamespace(apply=lambda v, x, method: encode(x)),
            model_config=types.SimpleNamespace(code_shape=shape),
        )

    def taken(self, x):
        return x


def rows(n, p=6, seed=0, classes=("fine", "odd"), groups=3):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(n, 3)) @ np.arange(3 * p).reshape(3, p)).astype(np.float32)
    x += rng.normal(size=(n, p)).astype(np.float32)
    return example_set(
        x,
        origin="rows",
        label=np.arange(n) % len(classes),
        group=[f"g{i % groups}" for i in range(n)],
        classes=classes,
    )


def test_compression_is_of_held_out_rows_by_bases_of_training_rows():
    train, held = rows(40), rows(20, seed=1)
    perfect = measures.compression(Known(train, held, encode=lambda x: x), "", {})
    assert perfect.values["unexplained"].max() == 0
    assert perfect.numbers == {"code": 3, "parameters": 5}
    found = measures.compression(Known(train, held), "pca", {"code": 2})
    mean = train.x.mean(axis=0)
    base = np.linalg.svd(train.x - mean, full_matrices=False)[2][:2]
    copy = (held.x - mean) @ base.T @ base + mean
    np.testing.assert_allclose(
        found.values["error"], ((held.x - copy) ** 2).mean(axis=1), rtol=1e-3
    )
    whole = ((held.x - mean) ** 2).mean()
    share = found.values["unexplained"].mean()
    assert share == pytest.approx(((held.x - copy) ** 2).mean() / whole, rel=1e-3)
    assert found.numbers["parameters"] == 2 * 6 + 6
    assert found.group.tolist() == held.group.tolist()


def test_a_plane_of_labels_is_pure():
    train, held = rows(30), rows(30, seed=1, groups=30)
    label = jnp.asarray(held.label, jnp.float32)
    known = Known(train, held, encode=lambda x: jnp.stack([label, label], axis=1))
    found = measures.plane(known, "", {"neighbours": 3})
    assert found.values["purity"].mean() == 1
    assert found.numbers["chance"] == pytest.approx(14 / 29)


def test_contraction_is_the_encoders_jacobian():
    train, held = rows(8), rows(8, seed=1)
    weights = jnp.asarray(np.random.default_rng(0).normal(size=(6, 3)), jnp.float32)
    known = Known(train, held, encode=lambda x: x @ weights, decode=lambda z: z)
    known.task.reconstruct = lambda v, x: x
    found = measures.contraction(known, "", {"most": 5, "noise": 0.0})
    np.testing.assert_allclose(
        found.values["jacobian"], float((weights**2).sum()), rtol=1e-4
    )
    assert len(found.values["jacobian"]) == 5 and not found.values["shift"].any()


def test_a_field_that_leads_to_the_curve_is_seen():
    points = PointsConfig(kind="spiral", count=10)
    curve = jnp.asarray(spiral(np.linspace(0, 1, 2000), points), jnp.float32)

    def nearest(x):
        distance = jnp.linalg.norm(x[:, None] - curve[None], axis=-1)
        return curve[distance.argmin(axis=1)]

    some = example_set(np.zeros((4, 2)), origin="points")
    settings = {"points": 20, "away": 0.1, "grid": 3}
    known = Known(some, some, encode=nearest, decode=lambda z: z, points=points)
    found = measures.field(known, "", settings).values
    assert found["after"].max() < 0.01 < found["before"].mean()
    assert np.median(found["cosine"]) > 0.98
    copied = measures.field(Known(some, some, points=points), "", settings).values
    np.testing.assert_allclose(copied["after"], copied["before"], atol=1e-5)


def test_denoising_knows_the_perfect_network_and_tells_the_filters_the_ratio():
    t = np.linspace(0, 1, 64)[None, :, None]
    rate = np.arange(1, 9)[:, None, None] / 2
    x = np.sin(2 * np.pi * rate * t).astype(np.float32)
    some = example_set(x, origin="sines", rate_hz=64, units="g")
    settings = {"snr_db": 0.0, "most": 8, "chosen_on": 8}
    clean = jnp.asarray(x)
    known = Known(some, some, encode=lambda x: clean, decode=lambda z: z)
    perfect = measures.noise_removed(known, "", settings)
    assert perfect.values["gain_db"].min() > 100
    assert perfect.facts == {"rate_hz": 64, "units": "g"}
    copied = measures.noise_removed(Known(some, some), "", settings)
    np.testing.assert_allclose(copied.values["gain_db"], 0, atol=1e-4)
    np.testing.assert_allclose(copied.values["after_db"], 0, atol=1e-3)
    found = measures.noise_removed(Known(some, some), "median", settings)
    assert found.facts["filter"].startswith("median, ")
    assert found.values["gain_db"].mean() > 2


def test_generators_are_judged_by_held_out_rows_and_modes():
    train, held = rows(60), rows(30, seed=1)
    settings = {"most": 30, "code": 5, "sounds": 0, "rounds": 0}
    same = generation.samples(Known(train, held), "held_out", settings)
    assert same.values["told_apart"].mean() == pytest.approx(0.5, abs=0.2)
    assert same.numbers["distance"] is None
    far = Known(
        train,
        held,
        encode=lambda x: x[:, :3],
        decode=lambda z: z[:, :1] + 1e3 * jnp.ones(6),
    )
    found = generation.samples(far, "", settings)
    assert found.values["told_apart"].mean() == 1 and found.numbers["distance"] > 5
    assert found.pictures["path"].shape == (10, 6)
    points = PointsConfig(count=64)
    ring = np.repeat(ring_centres(points), 10, axis=0)
    some = example_set(ring, origin="ring")
    own = Known(some, some, points=points)
    found = generation.modes(own, "held_out", {"samples": 0, "within": 3.0})
    assert found.numbers["covered"] == 8 and found.numbers["good"] == 1
    one = generation.modes(own, "gaussian", {"samples": 200, "within": 3.0})
    assert one.numbers["good"] < 0.2


@pytest.mark.parametrize("method", ["pca", "mahalanobis", "forest"])
def test_anomalies_are_found_by_what_has_seen_none(method):
    train = rows(60, classes=("fine",), groups=10)
    held = rows(40, seed=1)
    x = np.where(held.label[:, None] == 1, held.x + 40 * np.eye(6)[0], held.x)
    held = held._replace(x=x.astype(np.float32))
    found = supervised.anomaly(
        Known(train, held), method, {"rate": 0.1, "code": 3, "seed": 0}
    )
    assert found.numbers["auc"] > 0.9 and found.numbers["found"] > 0.8 * (
        method != "forest"
    )
    low, high = found.facts["intervals"]["auc"]
    assert low <= found.numbers["auc"] <= high
    assert (found.facts["normal"], found.facts["odd"]) == (20, 20)


def test_simulated_examples_have_groups_to_hold_out(tmp_path):
    for name in ("sounds", "wrist", "machines"):
        path, _ = simulated.write(epath.Path(tmp_path), name, 24)
        with np.load(path) as file:
            assert {*simulated.held_out(name)} < {*file["group"].tolist()}
            assert np.isfinite(file["x"]).all() and len(file["x"]) == 24


def test_machines_are_those_with_both_conditions(tmp_path, monkeypatch):
    for name in ("Healthy/M1/a", "Healthy/M1/b", "Bent/M1/a", "Bent/M4/a"):
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    header = types.SimpleNamespace(duration_s=2.5)
    monkeypatch.setattr(data.audio, "probe", lambda path: header)
    found = data.machines(str(tmp_path))
    assert {call.group for call in found.calls} == {
        *("Healthy/M1/a", "Healthy/M1/b", "Bent/M1/a")
    }
    assert [c.start_s for c in found.calls if c.label == "Bent"] == [0, 1]
    facts = data.of_machines(str(tmp_path), epath.Path(tmp_path))
    held = facts.overrides["data.held_out_groups"]
    assert "Bent/M1/a" in held and len(held) == 2
    assert facts.overrides["data.trained_classes"] == ("Healthy",)
    with pytest.raises(ConfigError, match="one condition must be called healthy"):
        data.machines(str(tmp_path / "Healthy"))


class Fake:
    """Work that writes known values: PCA 0.2, networks 0.1 and a seed's hundredth."""

    def __init__(self, fails=""):
        self.fails = fails

    def __call__(self, cell, folder):
        if cell.kind == "measure":
            if self.fails and self.fails in cell.title:
                raise FloatingPointError("loss is not finite")
            seed = cell.config().seed
            value = 0.2 if cell.method else 0.1 + 0.01 * seed
            each = value + np.linspace(-0.01, 0.01, 40)
            group = np.array([f"g{i % 8}" for i in range(40)])
            found = opened.Measured(
                values={"unexplained": each, "error": each}, group=group
            )
            work.write(found, folder)
            numbers = {"parameters": 100 + seed}
            return {"numbers": numbers, "facts": {"filter": "f"}, **MADE}
        return MADE


def table_of(workdir, *, fails="", simulated_sets=("digits",)):
    given = cells.Given(
        data={n: cells.GivenData(common.Source("", n)) for n in sheets.DATA}, seeds=2
    )
    sheet = PAPER.sheet("compression")
    rows = tuple(row for row in sheet.rows if row.labels[:2] == ("digits", "8"))
    sheet = dataclasses.replace(sheet, rows=rows)
    plan = cells.make_plan(
        PAPER, sheet, PAPER.scale("smoke"), PAPER.protocols[0], given
    )
    workdir = epath.Path(workdir)
    outcomes = runner.Cells(workdir, plan.cells).run(Fake(fails), lambda text: None)
    found = scores.of_rows(plan, outcomes, workdir)
    header = {
        "paper": "004",
        "paper_title": "Paper 004",
        "paper_data": "MNIST",
        "scale_key": "smoke",
        "scale": "smoke",
        "protocol_key": "held_out",
        "protocol": "held_out",
        "sets": {"digits": "digits: real", "sounds": "sounds: SIMULATED"},
        "simulated_sets": simulated_sets,
        "simulated": True,
        "overrides": "",
        "command": "python -m launch.reproduce",
        "made_with": "jax",
    }
    return plan, found, tables.content(plan, found, header)


def test_a_table_has_means_intervals_and_differences_to_the_bar(tmp_path):
    plan, found, table = table_of(tmp_path)
    own = {row["name"]: row for row in table["rows"]}
    deep, pca = own["digits 8 deep"], own["digits 8 PCA"]
    assert deep["ours"]["unexplained"]["seeds"] == pytest.approx([0.1, 0.11])
    assert deep["ours"]["unexplained"]["value"] == pytest.approx(0.105)
    assert deep["ours"]["unexplained"]["over"] == "8 people or sources"
    assert pca["difference"] is None
    assert deep["difference"]["value"] == pytest.approx(-0.095)
    # Paired: every example is as much better.
    assert deep["difference"]["high"] == pytest.approx(-0.095)
    assert deep["ours"]["parameters"]["seeds"] == [100, 101]
    text = tables.write(epath.Path(tmp_path) / "tables", table, plan.sheet.metrics)
    bars = "bars: PCA, all else the same; differences are paired by example"
    for told in ("SIMULATED", "10.5 [", "-9.5", "8 people", "lower is better", bars):
        assert told in " ".join(text.split()), told
    written = (tmp_path / "tables" / "compression.csv").read_text()
    assert len(list(csv.DictReader(io.StringIO(written)))) == 3 * len(table["rows"])
    read = json.loads((tmp_path / "tables" / "compression.json").read_text())
    assert read == json.loads(json.dumps(table))
    del found


def test_a_row_that_failed_is_told_and_real_data_are_not_called_simulated(tmp_path):
    plan, found, table = table_of(tmp_path, fails="digits 8 PCA", simulated_sets=())
    own = {row["name"]: row for row in table["rows"]}
    assert "not finite" in own["digits 8 PCA"]["why_not"]
    assert own["digits 8 deep"]["ours"] and own["digits 8 deep"]["difference"] is None
    text = tables.write(epath.Path(tmp_path) / "tables", table, plan.sheet.metrics)
    assert "numbers are of SIMULATED" not in text and "not finite" in text
    path = tmp_path / "figures"
    drawn = pictures.draw(plan, found, table, epath.Path(tmp_path))
    assert [p.name for p in drawn][:1] == ["compression-curves.png"]
    assert (path / "compression-curves.png").stat().st_size > 5000


def test_repeats_are_held_against_those_of_the_same_seed():
    """Numbers of seeds that move together differ by less than they spread."""

    def row(seeds):
        return scores.RowScore({"f1": scores._of_numbers(seeds)})

    rows = [
        types.SimpleNamespace(title=title, against="bar" if at else "")
        for at, title in enumerate(("bar", "ours", "once"))
    ]
    found = [row([0.2, 0.5, 0.8]), row([0.31, 0.6, 0.89]), row([0.4])]
    sheet = types.SimpleNamespace(rows=rows, metrics={"f1": None})
    runs = {at: [scores._Run({}, {}, {}, None)] for at in range(3)}
    plan = types.SimpleNamespace(sheet=sheet)
    bar, ours, once = scores._with_differences(plan, found, runs)
    assert bar.difference is None
    assert ours.difference["seeds"] == pytest.approx([0.11, 0.1, 0.09])
    half = ours.difference["high"] - ours.difference["value"]
    assert half == pytest.approx(4.303 * 0.01 / np.sqrt(3), rel=1e-3)
    assert once.difference["value"] == pytest.approx(-0.1)  # to the mean of three


def test_gains_are_differences_in_the_units_of_the_table(monkeypatch):
    def row(line, x, difference=None):
        told = types.SimpleNamespace(data="digits", line=line, labels=("", ""), x=x)
        return told, scores.RowScore({}, difference and scores._of_numbers(difference))

    found = [
        row("bar", 1.0),
        row("ours", 3.0, [0.1, 0.3]),
        row("ours", 1.0, [0.02]),
        row("elsewhere", None, [0.5]),
    ]
    metric = sheets.Metric(name="right, %", factor=100)
    sheet = types.SimpleNamespace(
        metrics={"right": metric},
        settings={"log_x": True},
        x="labels",
        title="T",
        bar=lambda row: "scratch",
    )
    drawn = []
    monkeypatch.setattr(
        pictures.figures,
        "curves",
        lambda path, panels, **more: drawn.append((panels, more)),
    )
    plan = types.SimpleNamespace(sheet=sheet)
    assert pictures._gains(epath.Path("a.png"), plan, found, "")
    (((panel,), more),) = drawn
    assert more["names"] == ["bar", "ours", "elsewhere"]
    told = more["note"].split("\n")
    assert told[0].endswith("95 % intervals over 2 seeds")
    assert told[1] == "its bar, with as many labels: scratch"
    (spots,) = panel.lines.values()
    assert [(s.x, round(s.value, 6)) for s in spots] == [(1.0, 2.0), (3.0, 20.0)]
    assert (spots[0].low, panel.level) == (None, {"its bar": 0.0})
    assert spots[1].low < 20 < spots[1].high and not pictures._gains(
        epath.Path("a.png"), plan, found[:1], ""
    )


def test_one_seed_has_no_spread_and_few_groups_are_no_units():
    values = np.linspace(0, 1, 12)[None]
    one = scores._of_examples(values, np.array(["a", "b"] * 6))
    assert one["over"] == "12 examples" and one["sd"] is None
    assert one["low"] < 0.5 < one["high"]
    assert scores._of_numbers([0.5])["low"] is None
