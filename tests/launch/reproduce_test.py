"""Cells are run once, whoever runs them, and tables say what they are of."""

import csv
import io
import json
import pathlib
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from absl import flags
from etils import epath

from launch import claims, reproduce
from launch.reproduction import (
    cells,
    costs,
    data,
    pictures,
    rendering,
    runner,
    scores,
    sheets,
    tables,
    work,
)
from sigjax.evals.classification import paired_bootstrap, score
from sigjax.evals.predictions import Predictions, write_predictions

SOURCE = cells.Source("PATH", "HASH")
ROOT = pathlib.Path(__file__).resolve().parents[2]
PAPER = sheets.load("000")
MADE = {
    "git": "abc",
    "versions": {"sigjax": "1", "jax": "2", "python": "3"},
    "devices": ["cpu"],
}
CLASSES = ("sit", "walk", "sleep")


def test_many_revisions_are_counted_not_all_listed():
    few = rendering.made_with([{**MADE, "git": name} for name in "abca"])
    assert few.endswith("; git a and b and c")
    many = rendering.made_with([{**MADE, "git": name} for name in "abcdeab"])
    assert many.endswith("; git a and b and c and 2 others")


def sheet(**changes):
    rows = (
        sheets.Row(
            labels=("first",),
            pretrain={"loss.n_fft": 16},
            paper={"balanced_accuracy": 0.912, "kappa": 0.834},
        ),
        sheets.Row(labels=("second",), pretrain={"loss.n_fft": 32}),
        sheets.Row(labels=("third",), finetune={"encoder.weights": "untrained"}),
    )
    given = {"key": "s", "title": "A sheet", "columns": ("model",), "rows": rows}
    return sheets.Sheet(**{**given, **changes})


def plan_of(of=None, **changes):
    given = cells.Given(unlabelled={"": SOURCE}, labelled=SOURCE, **changes)
    scale, protocol = PAPER.scale("smoke"), PAPER.protocol("")
    return cells.make_plan(PAPER, of or sheet(), scale, protocol, given)


class Fake:
    """Work that notes what it was asked to do, and predicts at random."""

    def __init__(self, fails=(), seconds=0.0):
        self.ran, self.fails, self.seconds = [], set(fails), seconds

    def __call__(self, cell, folder):
        self.ran.append(cell.key)
        time.sleep(self.seconds)
        if cell.title in self.fails and cell.kind == "pretrain":
            raise RuntimeError("the disk\nis full")
        if cell.kind == "pretrain":
            found = {"lmm": float(len(cell.title)), "mse": 0.5}
            return {"validation": found, **MADE}
        write_predictions(folder / "predictions.parquet", predicted(cell.key))
        chosen = {"selected_on": "the reported people" if cell.parent else ""}
        return {"predictions": "predictions.parquet", "finetuned": chosen, **MADE}


def predicted(key, people=4, each=30):
    """The same label windows each time; predictions better or worse by the key."""
    truth = np.random.default_rng(0)
    label = truth.integers(-1, len(CLASSES), people * each).astype(np.int32)
    rng = np.random.default_rng(list(key.encode()))
    probability = rng.random((len(label), len(CLASSES))).astype(np.float32)
    probability[np.arange(len(label)), label] += rng.random()
    person = np.repeat([f"P{n}" for n in range(people)], each)
    return Predictions(
        classes=CLASSES,
        probability=probability,
        label=label,
        person=person,
        recording=person,
        time=np.tile(np.arange(each) * 10.0, people),
    )


def quiet(text):
    del text


def test_cells_run_once_parents_first_and_are_not_run_again(tmp_path):
    plan, fake = plan_of(), Fake()
    found = runner.Cells(epath.Path(tmp_path), plan.cells).run(fake, quiet)
    assert fake.ran == list(plan.cells) and len(fake.ran) == 5
    assert not any(outcome.error for outcome in found.values())
    again, lines = Fake(), []
    # The same rows with other words around them, in another table.
    other = plan_of(sheet(key="t", columns=("name",)))
    runner.Cells(epath.Path(tmp_path), other.cells).run(again, lines.append)
    assert again.ran == [] and lines == ["5 of 5 cells are there already"]


def test_two_runners_share_the_work(tmp_path):
    plan = plan_of(sheet(seeds=2))
    fakes = [Fake(seconds=0.02), Fake(seconds=0.02)]
    found, lines = {}, []

    def run(place):
        own = runner.Cells(epath.Path(tmp_path), plan.cells)
        found[place] = own.run(fakes[place], lines.append)

    threads = [threading.Thread(target=run, args=(place,)) for place in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    both = fakes[0].ran + fakes[1].ran
    assert sorted(both) == sorted(plan.cells)  # Each cell once.
    assert fakes[0].ran and fakes[1].ran
    for outcomes in found.values():
        assert list(outcomes) == list(plan.cells)
        assert not any(outcome.error for outcome in outcomes.values())


def test_a_failure_costs_its_own_cells_and_is_tried_again_by_the_next_command(tmp_path):
    plan, lines = plan_of(), []
    failing = Fake(fails=["first"])
    here = runner.Cells(epath.Path(tmp_path), plan.cells)
    outcomes = here.run(failing, lines.append)
    assert sum(bool(outcome.error) for outcome in outcomes.values()) == 2
    assert len(failing.ran) == 4  # All but the finetuning of what failed.
    assert any("FAILED: RuntimeError: the disk is full" in line for line in lines)
    rows = scores.of_rows(plan, outcomes, here.workdir)
    reason = "RuntimeError: the disk is full"
    assert rows[0].failed == f"failed: its pretraining failed: {reason}"
    assert rows[1].metrics and rows[2].metrics
    text = tables.as_text(content(plan, rows))
    assert f"first: failed: its pretraining failed: {reason}" in text
    # The next command tries what failed, and that alone.
    mended = Fake()
    outcomes = runner.Cells(here.workdir, plan.cells).run(mended, quiet)
    assert len(mended.ran) == 2
    assert not any(outcome.error for outcome in outcomes.values())


def test_a_stopped_cell_is_gone_on_with_in_its_folder(tmp_path):
    plan = plan_of()

    def stopped(cell, folder):
        (folder / "begun").write_text(cell.key)
        raise KeyboardInterrupt

    here = runner.Cells(epath.Path(tmp_path), plan.cells)
    with pytest.raises(KeyboardInterrupt):
        here.run(stopped, quiet)
    first = next(iter(plan.cells.values()))
    assert (here.folder(first) / "begun").read_text() == first.key
    assert here.outcomes()[first.key] == runner.NOT_DONE
    fake = Fake()
    here.run(fake, quiet)
    assert fake.ran == list(plan.cells)
    assert (here.folder(first) / "begun").exists()


CLAIMANT = """
import sys, time
from etils import epath
from launch import claims
with claims.claim(epath.Path(sys.argv[1]), "cell") as ours:
    print(ours, flush=True)
    time.sleep(60)
"""


def test_a_claim_is_one_processs_until_it_dies(tmp_path):
    folder = epath.Path(tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", CLAIMANT, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        assert child.stdout.readline() == "True\n"
        with claims.claim(folder, "cell") as ours:
            assert not ours
        assert f"process {child.pid} on " in claims.owner(folder, "cell")
        with claims.claim(folder, "another") as ours:
            assert ours
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    with claims.claim(folder, "cell") as ours:
        assert ours


def header(**changes):
    given = {
        "paper": "000",
        "paper_title": "Paper 000: Somebody 2025",
        "paper_data": "UK Biobank",
        "scale_key": "smoke",
        "scale": "smoke (tiny)",
        "protocol_key": "held_out",
        "protocol": "held_out (others are reported)",
        "unlabelled": ["SIMULATED store, 2 people"],
        "labelled": "SIMULATED set, 4 people",
        "labelled_name": "set",
        "simulated": True,
        "overrides": "",
        "command": "python -m launch.reproduce --table=1",
        "made_with": "jax",
    }
    return {**given, **changes}


def content(plan, rows):
    table = tables.content(plan, rows, scores.differences(plan, rows), header())
    return table | {"correlations": pictures.correlations(plan, rows)}


def lines_of(text, start):
    (found,) = [line for line in text.splitlines() if line.startswith(start)]
    return found


@pytest.fixture(scope="module")
def repeated(tmp_path_factory):
    """Two seeds of three rows, one of them twice as two folds, and differences."""
    workdir = epath.Path(tmp_path_factory.mktemp("repeated"))
    plan = plan_of(sheet(seeds=2, differences=(("first", "second"),)))
    outcomes = runner.Cells(workdir, plan.cells).run(Fake(), quiet)
    return plan, outcomes, scores.of_rows(plan, outcomes, workdir), workdir


def test_a_row_is_the_mean_over_seeds_with_an_interval_over_people(repeated):
    plan, _, rows, workdir = repeated
    each = [score(run) for run in rows[0].runs]
    for name in ("balanced_accuracy", "kappa"):
        own = rows[0].metrics[name]
        values = [found[name]["value"] for found in each]
        assert own["seeds"] == pytest.approx(values)
        assert own["value"] == pytest.approx(np.mean(values))
        assert own["sd"] == pytest.approx(np.std(values, ddof=1))
        assert own["low"] <= own["value"] <= own["high"]
    assert [p["lmm"] for p in rows[0].pretrain] == [float(len("first, seed 0"))] * 2
    # One seed: the interval is that of an evaluation.
    alone = scores.summary(rows[0].runs[:1])["kappa"]
    assert alone["sd"] is None
    assert (alone["low"], alone["high"]) == pytest.approx(
        (each[0]["kappa"]["low"], each[0]["kappa"]["high"])
    )


def test_differences_are_paired_by_person(repeated):
    plan, _, rows, _ = repeated
    (found,) = scores.differences(plan, rows)
    paired = paired_bootstrap(rows[0].runs, rows[1].runs)["kappa"]
    assert found["kappa"] == paired["difference"] | {"first_above": paired["a_above_b"]}


def test_folds_count_together(tmp_path):
    """A person is tested in one fold, and the score is of all of them together."""
    of = sheet(folds=("a", "b"), rows=sheet().rows[2:])
    plan = plan_of(of, finetune={"data.split": "{fold}"})
    whole, halves = predicted("x"), {}

    def half(cell, folder):
        fold = cell.overrides["data.split"]
        own = np.isin(whole.person, ["P0", "P1"] if fold == "a" else ["P2", "P3"])
        halves[fold] = own
        part = {
            name: getattr(whole, name)[own]
            for name in ("probability", "label", "person", "recording", "time")
        }
        part = Predictions(classes=CLASSES, **part)
        write_predictions(folder / "predictions.parquet", part)
        found = {"reconstruction": {"lmm": 1.0 if fold == "a" else 2.0}}
        return {"predictions": "predictions.parquet", "finetuned": found}

    outcomes = runner.Cells(epath.Path(tmp_path), plan.cells).run(half, quiet)
    (row,) = scores.of_rows(plan, outcomes, epath.Path(tmp_path))
    assert set(halves) == {"a", "b"}
    expected = score(whole)["balanced_accuracy"]
    assert row.metrics["balanced_accuracy"]["value"] == expected["value"]
    assert row.metrics["balanced_accuracy"]["low"] == expected["low"]
    assert row.reconstruction == {"lmm": 1.5}


def test_a_table_keeps_the_papers_numbers_and_ours_apart(repeated):
    plan, _, rows, _ = repeated
    table = content(plan, rows)
    ours = rows[0].metrics["balanced_accuracy"]
    text = tables.as_text(table)
    lines = text.splitlines()
    assert "SIMULATED: these scores say nothing about people" in text
    assert "the paper's data: UK Biobank" in lines
    assert "command: python -m launch.reproduce --table=1" in lines
    first, second = [s.split() for s in lines if s.startswith(("first  ", "second  "))]
    assert first[1:3] == ["0.912", f"{ours['value']:.3f}"]
    assert second[1] == "-"
    assert "first less second: balanced accuracy" in text
    assert "mean over 2 seeds, 4 people reported" in text
    assert "so ours are optimistic: first, second" in lines_of(text, "SELECTED ON")
    assert all(line == line.rstrip() for line in lines)
    markdown = tables.as_markdown(table)
    assert "| model | balanced accuracy, PAPER | balanced accuracy, OURS |" in markdown
    read = list(csv.DictReader(io.StringIO(tables.as_csv(table))))
    assert len(read) == 6
    assert float(read[0]["ours"]) == ours["value"]
    assert (read[0]["paper"], read[2]["paper"]) == ("0.912", "")
    assert read[0]["simulated"] == "True"
    json.dumps(table)


def test_a_figure_of_losses_needs_runs_and_names_the_papers_r(repeated, tmp_path):
    plan, outcomes, rows, workdir = repeated
    of = sheet(kind="losses", seeds=2, paper={"lmm": {"kappa": (-0.69, 0.01)}})
    plan = plan_of(of)
    found = pictures.correlations(plan, rows)
    assert [(e["loss"], e["metric"]) for e in found] == [
        (loss, metric)
        for loss in ("lmm", "mse")
        for metric in ("balanced_accuracy", "kappa")
    ]
    runs = pictures.points(plan, rows)
    assert len(runs) == 4  # The third row was never pretrained.
    x = np.array([p.values["lmm"] for p in runs])
    y = np.array([p.values["kappa"] for p in runs])
    kappa = found[1]
    assert kappa["r"] == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert "PAPER r -0.69, p 0.01" in tables.correlation_line(kappa)
    assert "OURS r -, p - over 4 runs" in tables.correlation_line(found[2])
    drawn = pictures.draw(plan, rows, content(plan, rows), epath.Path(tmp_path))
    assert [path.name for path in drawn] == ["s.png"]
    assert drawn[0].read_bytes()[:4] == b"\x89PNG"
    scored = plan_of(sheet(kind="scores", seeds=2))
    (path,) = pictures.draw(scored, rows, content(plan, rows), epath.Path(tmp_path))
    assert path.read_bytes()[:4] == b"\x89PNG"


def test_work_fills_in_paths_and_reads_what_runs_leave(tmp_path, monkeypatch):
    plan, seen = plan_of(), []

    def pretrained(config, run):
        seen.append(config.data.store)
        print("chatter")
        where = run / "eval" / "validation"
        where.mkdir(parents=True)
        (where / "metrics.json").write_text('{"lmm": 0.25}')

    def finetuned(config, run):
        seen.append((config.data.dataset, config.encoder.weights, config.data.split))
        return {"chosen_step": 3, "test": {"kappa": 1.0}}

    monkeypatch.setattr(work.pretrain, "pretrain", pretrained)
    monkeypatch.setattr(work.finetune, "finetune", finetuned)
    root = epath.Path(tmp_path)
    does = work.Work(root, {"people": "PEOPLE.csv"})
    pretraining, finetuning = list(plan.cells.values())[:2]
    for cell in (pretraining, finetuning):
        (root / "cells" / cell.key).mkdir(parents=True)
    found = does(pretraining, root / "cells" / pretraining.key)
    assert found["validation"] == {"lmm": 0.25}
    assert {"git", "versions", "devices"} <= set(found)
    assert "chatter" in (root / "cells" / pretraining.key / "log.txt").read_text()
    found = does(finetuning, root / "cells" / finetuning.key)
    assert found["predictions"] == "run/eval/test/predictions.parquet"
    assert found["finetuned"] == {"chosen_step": 3}
    weights = str(root / "cells" / pretraining.key / "run")
    assert seen == ["PATH", ("PATH", weights, "PEOPLE.csv")]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("command")


@pytest.fixture
def given(workdir, monkeypatch):
    """Sets the command's flags, as on a command line."""
    monkeypatch.setattr(reproduce.runtime, "start", lambda: None)
    if "scale" not in flags.FLAGS:
        reproduce.define_flags()

    def parse(*arguments):
        flags.FLAGS.unparse_flags()
        for name in ("table", "figure", "sheet", "pretrain", "finetune"):
            flags.FLAGS[name].unparse()
        flags.FLAGS(["reproduce", f"--workdir={workdir}", *arguments])

    before = {name: flags.FLAGS[name].value for name in flags.FLAGS}
    parsed = flags.FLAGS.is_parsed()
    yield parse
    for name, value in before.items():
        flags.FLAGS[name].value = value
    if not parsed:
        flags.FLAGS.unparse_flags()


def test_the_command_simulates_runs_and_tells(given, workdir, monkeypatch, capsys):
    """All but the training itself."""
    fake = Fake()
    monkeypatch.setattr(work, "Work", lambda workdir, names: fake)
    given("--table=2", "--scale=smoke", "--pretrain=loss.eps=0.5")
    assert reproduce.reproduce()
    printed = capsys.readouterr().out
    assert "SIMULATED data in " in printed
    assert "4 pretrainings, 4 finetunings" in printed
    assert "Table II. LMV loss tests" in printed
    assert "unlabelled data: SIMULATED store, 2 people" in printed
    assert "labelled data: SIMULATED capture24, 4 people" in printed
    assert "overrides: loss.eps=0.5" in printed
    assert "made with: sigjax 1, jax 2, python 3; 1 x cpu; git abc\n" in printed
    assert len(fake.ran) == 8
    for ending in ("md", "csv", "json"):
        assert (workdir / "tables" / f"table2.{ending}").exists()
    sides = (workdir / "data").glob("people-*.csv")
    (people,) = [path.read_text().splitlines() for path in sides]
    assert people[0] == "person,side" and len(people) == 5
    assert sum(line.endswith(",validation") for line in people) == 1
    # Again: the data are there, the cells are there.
    before = len(fake.ran)
    assert reproduce.reproduce() and len(fake.ran) == before
    capsys.readouterr()
    given("--table=6", "--scale=smoke", "--dry_run")
    assert reproduce.reproduce() and len(fake.ran) == before
    printed = capsys.readouterr().out
    assert "HARNet10 LSTM: not run: needs --harnet=BUNDLE" in printed


def test_rows_without_weights_are_no_failure_and_failed_cells_are(
    given, monkeypatch, capsys
):
    monkeypatch.setattr(work, "Work", lambda workdir, names: Fake(["MAE_LMM linear"]))
    given("--table=6", "--scale=smoke")
    assert not reproduce.reproduce()
    assert "MAE_LMM LSTM: failed: its pretraining failed" in capsys.readouterr().out
    monkeypatch.setattr(work, "Work", lambda workdir, names: Fake())
    assert reproduce.reproduce()
    printed = capsys.readouterr().out
    assert "HARNet10 MLP: not run: needs --harnet=BUNDLE" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say what to repeat, such as --table=1"),
        (["--table=7"], "no sheet is named 'table7'"),
        (["--paper=777"], "--paper=777: there are 000"),
        (["--table=1", "--scale=huge"], "no scale is named 'huge'"),
        (["--table=1", "--scale=paper"], "needs --unlabelled=STORE"),
        (["--table=1", "--protocol=x"], "no protocol is named 'x'"),
        (["--table=1", "--scale=smoke", "--harnet=nowhere"], "nowhere is no bundle"),
        (["--table=1", "--scale=smoke", "--pretrain=x"], "an override is KEY=VALUE"),
        (
            ["--table=1", "--scale=smoke", "--finetune=head.kidn=lstm"],
            "unknown config key 'head.kidn'",
        ),
    ],
)
def test_mistakes_are_told(given, arguments, message):
    given(*arguments)
    with pytest.raises(reproduce.EXPECTED_ERRORS, match=message):
        reproduce.reproduce()


def test_the_list_shows_every_sheet_and_the_papers_own_cost():
    text = costs.listing(cells.Given())
    # Of the first paper: others have tables of the same names.
    lines = [line.split() for line in text.partition("\n\npaper ")[0].splitlines()]
    rows = {line[0]: line[1:] for line in lines if line}
    # 9 x 48 + 9 x 1.33 V100 hours.
    assert rows["table1"][:3] == ["9", "9", "444"]
    assert rows["figure2"][:2] == ["12", "12"]
    assert "by the paper's own statement" in text
    for key in sheets.papers():
        assert f"paper {key}: " in text


def test_children_divide_the_devices():
    env = {"CUDA_VISIBLE_DEVICES": "4,5", "HOME": "/"}
    named = [reproduce.environment(n, env)["CUDA_VISIBLE_DEVICES"] for n in range(3)]
    assert named == ["4", "5", "4"]
    hidden = {"CUDA_VISIBLE_DEVICES": ""}
    assert reproduce.environment(0, hidden) == hidden
    assert reproduce.environment(1, env)["HOME"] == "/"


def test_a_bundle_is_known_by_its_files(tmp_path):
    (tmp_path / "bundle.json").write_text("{}")
    first = data.of_bundle(str(tmp_path))
    assert data.of_bundle(str(tmp_path)) == first
    (tmp_path / "params").write_text("x")
    assert data.of_bundle(str(tmp_path)).fingerprint != first.fingerprint


def test_overrides_are_values_as_python_writes_them_or_text():
    found = data.overrides(["a.b=1", "c=True", "d=x,y", "e=None", "f=1e-3"])
    assert found == {"a.b": 1, "c": True, "d": "x,y", "e": None, "f": 1e-3}


class Child:
    """Stands for a child process that ends at once."""

    started = []

    def __init__(self, command, env):
        self.started.append((command, env))

    def wait(self):
        return 0

    def poll(self):
        return 0


def test_several_processes_are_started_and_their_cells_told(given, monkeypatch, capsys):
    monkeypatch.setattr(reproduce.subprocess, "Popen", Child)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    given("--table=3", "--scale=smoke", "--processes=2")
    assert not reproduce.reproduce()  # These children have done nothing.
    assert "not done: run the same command again" in capsys.readouterr().out
    assert [c[-2:] for c, _ in Child.started] == [
        ["--processes=1", "--worker=1"],
        ["--processes=1", "--worker=2"],
    ]
    devices = [env["CUDA_VISIBLE_DEVICES"] for _, env in Child.started]
    assert devices == ["0", "1"]
    # A child runs cells and shows no table; then the parent shows it.
    monkeypatch.setattr(work, "Work", lambda workdir, names: Fake())
    given("--table=3", "--scale=smoke", "--processes=1", "--worker=1")
    assert reproduce.reproduce()
    printed = capsys.readouterr().out
    assert "process 1: [1/16] pretrain" in printed and "Table III" not in printed
    given("--table=3", "--scale=smoke", "--processes=2")
    assert reproduce.reproduce()
    assert "Table III. Masking rates" in capsys.readouterr().out
