"""Tables of machine sounds: chosen honestly, counted rightly, and told as such."""

import csv
import io
import json
import types

import numpy as np
import pytest
from absl import flags
from etils import epath
from sklearn.metrics import roc_auc_score

from launch import reproduce
from launch.reproduction import cells, papers, runner
from launch.reproduction.sounds import data, scores, study, tables, work
from launch.reproduction.sounds.cells import Given, make_plan
from launch.reproduction.sounds.sheets import Candidate
from launch.sounds import candidates as sound_candidates
from sigjax.config import ConfigError
from sigjax.data.machine_sound.clips import Clip
from sigjax.evals.anomaly.per_section import Bank, PerSection
from sigjax.evals.anomaly.selection import ScoredClips, SelectionError

PAPER = papers.load("001")
MADE = {
    "git": "abc",
    "versions": {"sigjax": "1", "jax": "2", "python": "3"},
    "devices": ["cpu"],
}
NAMES = ("confidence", "mahalanobis", "knn", "kmeans", "gmm", "lof", "local_density")
# How far anomalies lie above normal clips, by side, cut-off, center loss and back-end:
# on development 2,000 Hz with center loss is best, on evaluation neither of them.
STRONG = {
    ("development", 2000.0, True, "mahalanobis"): 2.0,
    ("evaluation", 2000.0, True, "mahalanobis"): 1.0,
    ("evaluation", 0.0, False, "confidence"): 3.0,
}


def test_clips(machine, each=8):
    """Development section 00 and evaluation section 03, two domains."""
    rows = [
        (f"{side}_{domain}_{label}_{n}", machine, section, domain, label, side)
        for side, section in (("development", "00"), ("evaluation", "03"))
        for domain in ("source", "target")
        for label in (0, 1)
        for n in range(each)
    ]
    return [np.array(column) for column in zip(*rows, strict=True)]


test_clips.__test__ = False


class Fake:
    """Work that notes what it was asked to do, and scores as `STRONG` says."""

    def __init__(self, fails=()):
        self.ran, self.fails = [], set(fails)

    def __call__(self, cell, folder):
        self.ran.append(cell.key)
        if cell.title in self.fails and cell.kind != "evaluation":
            raise FloatingPointError("loss is not finite")
        if cell.kind == "evaluation":
            config = cell.config()
            machines = config.data.machines or ("fan", "valve")
            clips, sides = scored(config, cell.parent.kind, machines)
            path = folder / "candidates.csv"
            sound_candidates.write_candidates(path, clips, sides)
            return {"scores": "candidates.csv", **MADE}
        return MADE


def scored(config, kind, machines):
    columns = [test_clips(machine) for machine in machines]
    name, machine, section, domain, label, side = (
        np.concatenate(parts) for parts in zip(*columns, strict=True)
    )
    mel = config.task.mel
    centre = bool(config.task.get("centre_weight"))
    names = {"autoencoder": ("mean squared error",), "mobilenet": ("confidence",)}
    clips = {}
    for candidate in names.get(kind, (*NAMES, "min_z")):
        text = f"{kind} {mel.get('cutoff_hz')} {centre} {candidate} {config.seed}"
        rng = np.random.default_rng(list(text.encode()))
        strong = [
            STRONG.get((s, mel.get("cutoff_hz"), centre, candidate), 0.0) for s in side
        ]
        score = rng.normal(size=len(name)) + label * np.array(strong)
        clips[candidate] = ScoredClips(
            clip=name,
            machine=machine,
            section=section,
            domain=domain,
            label=label,
            score=score,
        )
    return clips, side.tolist()


def quiet(text):
    del text


def plan_of(key, protocol="honest", **changes):
    given = Given(sounds=cells.Source("PATH", "HASH"), machines=("fan", "valve"))
    given = Given(**{**vars(given), **changes})
    scale, rules = PAPER.scale("smoke"), PAPER.protocol(protocol)
    return make_plan(PAPER, PAPER.sheet(key), scale, rules, given)


def run(plan, workdir, fake=None):
    return runner.Cells(workdir, plan.cells).run(fake or Fake(), quiet)


def header(**changes):
    return {
        "paper": "001",
        "paper_title": "Paper 001: A title",
        "paper_data": "DCASE",
        "scale_key": "smoke",
        "scale": "smoke (tiny)",
        "protocol_key": "honest",
        "protocol": "honest (others are reported)",
        "sounds": "SIMULATED set, 2 machines",
        "simulated": True,
        "overrides": "",
        "command": "python -m launch.reproduce --table=7",
        "made_with": "jax",
        **changes,
    }


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Table 7's cells, run by a fake, and the scores of it."""
    workdir = epath.Path(tmp_path_factory.mktemp("table7"))
    plan = plan_of("table7")
    outcomes = run(plan, workdir)
    return plan, outcomes, workdir, scores.of_systems(plan, outcomes, workdir)


def test_honest_is_chosen_on_development_and_oracle_on_what_is_reported(done):
    _, _, _, (found,) = done
    best = Candidate("specific", 2000.0, True, "mahalanobis")
    flattering = Candidate("specific", 0.0, False, "confidence")
    for machine in ("fan", "valve"):
        assert found.chosen["honest"][machine] == [best]
        assert found.chosen["oracle"][machine] == [flattering]
        # Two high-passes x without and with center loss x two back-ends.
        assert found.candidates[machine] == 8
        honest = found.figures["honest"][machine]["mean"]["value"]
        assert honest < found.figures["oracle"][machine]["mean"]["value"]
        assert found.development[machine] > 0.7


def test_figures_are_the_rule_of_2021_on_the_evaluation_sections(done):
    plan, _, workdir, (found,) = done
    values = {"auc": [], "pauc": []}
    for machine in ("fan", "valve"):
        own = plan.candidates[0, machine, 0]
        key = own[found.chosen["honest"][machine][0]]
        text = (workdir / "cells" / key / "candidates.csv").read_text()
        rows = [r for r in csv.DictReader(io.StringIO(text)) if r["section"] == "03"]
        each = {"auc": [], "pauc": []}
        for domain in ("source", "target"):
            here = [r for r in rows if r["domain"] == domain]
            label = [int(r["label"]) for r in here]
            score = [float(r["mahalanobis"]) for r in here]
            each["auc"].append(roc_auc_score(label, score))
            each["pauc"].append(roc_auc_score(label, score, max_fpr=0.1))
        for name, parts in each.items():
            figure = found.figures["honest"][machine][name]
            assert figure["value"] == pytest.approx(harmonic(parts), abs=1e-12)
            assert figure["low"] < figure["value"] < figure["high"]
            values[name] += parts
    total = found.figures["honest"]["total"]
    assert total["auc"]["value"] == pytest.approx(harmonic(values["auc"]), abs=1e-12)
    every = [*values["auc"], *values["pauc"]]
    assert total["mean"]["value"] == pytest.approx(harmonic(every), abs=1e-12)


def harmonic(values):
    return len(values) / sum(1 / v for v in values)


def lines_of(text, start):
    return [line for line in text.splitlines() if line.startswith(start)]


def test_table_7_shows_what_was_chosen_beside_the_paper(done, tmp_path):
    plan, _, _, found = done
    table = tables.content(plan, found, header())
    text = tables.write(epath.Path(tmp_path), table)
    assert "SIMULATED: these scores say nothing about machines" in text
    (valve,) = lines_of(text, "valve ")
    # Center loss and f_min: PAPER, honest, oracle; scores; printed AUC, ours.
    ours = found[0].figures["honest"]["valve"]["auc"]["value"]
    expected = ["yes", "yes", "no", "2000", "2000", "0", "mahalanobis", "confidence"]
    assert valve.split()[1:11] == [*expected, "80.03", f"{100 * ours:.2f}"]
    (pump,) = lines_of(text, "pump ")
    assert pump.split()[1:7] == ["yes", "-", "-", "0", "-", "-"]
    assert "center loss as in the paper: 2 of 2 machines" in text
    assert "f_min as in the paper: 1 of 2 machines" in text
    assert "not run here: ToyCar, ToyTrain, gearbox, pump, slider" in text
    (total,) = lines_of(text, "harmonic mean")
    assert total.split()[2] == "81.51" and "75.53" in total
    assert "upper bound and no result" in text and "ORACLE" not in text
    markdown = (tmp_path / "table7.md").read_text()
    assert "| machine | center loss, PAPER | center loss, honest |" in markdown
    read = list(csv.DictReader(io.StringIO((tmp_path / "table7.csv").read_text())))
    (row,) = [
        r
        for r in read
        if (r["machine"], r["metric"], r["selection"]) == ("valve", "auc", "oracle")
    ]
    oracle = found[0].figures["oracle"]["valve"]["auc"]["value"]
    assert float(row["value"]) == oracle and float(row["paper"]) == 0.8003
    assert row["simulated"] == "True"
    assert json.loads((tmp_path / "table7.json").read_text()) == json.loads(
        json.dumps(table)
    )


def test_the_papers_protocol_says_that_its_number_is_an_oracle(tmp_path):
    workdir = epath.Path(tmp_path)
    plan = plan_of("table3", "paper")
    found = scores.of_systems(plan, run(plan, workdir), workdir)
    text = tables.write(workdir, tables.content(plan, found, header()))
    assert "OURS is the ORACLE here, so it flatters" in text
    assert "OURS oracle" in text and "OURS honest" not in text
    by_name = dict(zip((s.name for s in plan.sheet.systems), found, strict=True))
    (chosen,) = by_name["specific"].chosen["oracle"]["valve"]
    assert (chosen.cutoff_hz, chosen.centre) == (2000.0, True)
    # Nothing to choose: a baseline's two figures are one; Top1 is printed alone.
    ae = by_name["baseline (AE)"]
    assert ae.figures["honest"] == ae.figures["oracle"] and not ae.choice
    assert by_name["Top1"].figures == {"honest": {}, "oracle": {}}
    (fan,) = lines_of(text, "Top1           fan")
    assert fan.split()[2:4] == ["61.01", "-"]
    # What is chosen is named by all in which candidates differ, and by nothing else.
    (line,) = lines_of(text, "general        fan")
    score = by_name["general"].chosen["oracle"]["fan"][0].score
    assert f"no high-pass, {score}" in line and "center loss" not in line
    assert lines_of(text, "MobileNetV2    harmonic mean")


def test_tables_without_a_choice_show_none(tmp_path):
    workdir = epath.Path(tmp_path)
    plan = plan_of("table2", seeds=2)
    found = scores.of_systems(plan, run(plan, workdir), workdir)
    table = tables.content(plan, found, header())
    text = tables.write(workdir, table)
    assert "oracle" not in text.split("command")[1]
    own = found[0].figures["honest"]["fan"]["auc"]
    assert own["value"] == pytest.approx(np.mean(own["seeds"]))
    assert own["sd"] == pytest.approx(np.std(own["seeds"], ddof=1))
    assert "sd of 2 seeds" in text and "means over 2 seeds" in text


def test_domains_apart(tmp_path):
    workdir = epath.Path(tmp_path)
    plan = plan_of("table4")
    (_, ours) = scores.of_systems(plan, run(plan, workdir), workdir)
    figures = ours.figures["honest"]["fan"]
    assert {"auc_source", "pauc_target"} <= set(figures)
    table = tables.content(plan, [ours, ours], header())
    totals = [r["paper"] for r in table["rows"] if r["machine"] == "total"]
    assert totals[0]["auc_source"] == 0.7166 and totals[1]["pauc_target"] == 0.7026


def test_what_fails_is_left_out_and_named(tmp_path):
    workdir, plan = epath.Path(tmp_path), plan_of("table7")
    # Half of fan's classifiers, and all of valve's.
    failing = Fake(
        ["fan, 2000 Hz", "fan, 2000 Hz, center loss", "valve, 0 Hz", "valve, 2000 Hz"]
        + ["valve, 0 Hz, center loss", "valve, 2000 Hz, center loss"]
    )
    outcomes = run(plan, workdir, failing)
    (found,) = scores.of_systems(plan, outcomes, workdir)
    assert {c.cutoff_hz for c in found.chosen["honest"]["fan"]} == {0.0}
    why = "failed: its specific classifier failed: FloatingPointError: loss is"
    assert found.failed["valve"].startswith(why)
    text = tables.write(workdir, tables.content(plan, [found], header()))
    what = "left out: fan, specific classifier, 2000 Hz, center loss: failed"
    assert what in text and "specific, valve: failed" in text
    shown = study.STUDY.show(plan, outcomes, workdir, header())
    # Two trainings of fan, four of valve, and valve itself.
    assert shown.failed == 7


def test_candidates_of_other_clips_do_not_compare():
    def clips(count):
        columns = dict(
            zip(
                ("clip", "machine", "section", "domain", "label"),
                [column[:count] for column in test_clips("fan")[:5]],
                strict=True,
            )
        )
        found = ScoredClips(**columns, score=np.arange(count, dtype=float))
        return {"development": found, "evaluation": found}

    one, other = (Candidate("general", 0.0, False, s) for s in ("knn", "lof"))
    with pytest.raises(SelectionError, match="score different clips"):
        scores.choose({one: clips(64), other: clips(63)}, 2021)
    with pytest.raises(SelectionError, match="sections on both sides"):
        scores.choose({one: clips(64)}, 2021)


def test_scores_are_read_as_they_were_written(tmp_path):
    config = types.SimpleNamespace(
        task=types.SimpleNamespace(mel={"cutoff_hz": 0.0}, get=lambda name: 0.0), seed=0
    )
    clips, sides = scored(config, "general", ("fan",))
    path = epath.Path(tmp_path) / "candidates.csv"
    sound_candidates.write_candidates(path, clips, sides)
    read, side = sound_candidates.read_candidates(path)
    assert list(read) == list(clips) and side.tolist() == sides
    for name, own in clips.items():
        np.testing.assert_array_equal(read[name].score, own.score)
        np.testing.assert_array_equal(read[name].label, own.label)
        np.testing.assert_array_equal(read[name].clip, own.clip)
    path.write_text("name,score\nx,1\n")
    with pytest.raises(ValueError, match="no table of candidates' scores"):
        sound_candidates.read_candidates(path)


def test_work_fills_in_paths_and_keeps_scores(tmp_path, monkeypatch):
    plan, seen = plan_of("table7"), []
    general, specific, evaluation = list(plan.cells.values())[:3]
    root = epath.Path(tmp_path)
    does = work.Work(root, optimise=False)
    for cell in (general, specific, evaluation):
        (root / "cells" / cell.key).mkdir(parents=True)

    def pretrained(config, run):
        seen.append((config.data.dataset, config.start.weights, run))

    part = {}

    def score_part(given, *, with_thresholds):
        assert not with_thresholds  # no table shows them
        part["of"] = given
        clips = np.arange(4)
        return {"fan": {"knn": types.SimpleNamespace(indices=clips, score=clips / 8)}}

    names = [(0, "00", "dev"), (1, "00", "dev"), (0, "03", "eval"), (1, "03", "eval")]
    dataset = types.SimpleNamespace(
        clips=[
            Clip(
                path=f"{n}.wav",
                machine="fan",
                section=section,
                side="test",
                split=split,
                label=label,
            )
            for n, (label, section, split) in enumerate(names)
        ]
    )
    opened = types.SimpleNamespace(dataset=dataset)
    kind = type(evaluation.check())
    monkeypatch.setattr(work.pretrain, "pretrain", pretrained)
    monkeypatch.setattr(work.sound_scoring, "score_part", score_part)
    monkeypatch.setattr(kind, "open_data", lambda self, folder: opened)
    found = does(general, root / "cells" / general.key)
    assert {"git", "versions", "devices"} <= set(found)
    does(specific, root / "cells" / specific.key)
    runs = [root / "cells" / cell.key / "run" for cell in (general, specific)]
    assert seen == [("PATH", "", runs[0]), ("PATH", str(runs[0]), runs[1])]
    found = does(evaluation, root / "cells" / evaluation.key)
    assert found["scores"] == "candidates.csv" and found["candidates"] == ["knn"]
    assert part["of"].workdir == runs[1]
    names = [
        b if isinstance(b, str) else b["name"]
        for b in part["of"].system.scoring.backends
    ]
    assert names == [*NAMES, "min_z"]
    path = root / "cells" / evaluation.key / "candidates.csv"
    clips, sides = sound_candidates.read_candidates(path)
    assert clips["knn"].score.tolist() == [0.0, 0.125, 0.25, 0.375]
    assert sides.tolist() == ["development"] * 2 + ["evaluation"] * 2


@pytest.mark.parametrize("apart", [False, True])
def test_clips_are_scored_by_back_ends_that_are_fitted_once(apart, monkeypatch):
    """All sections at once, or where that takes too much memory one by one."""
    rng = np.random.default_rng(0)
    sections = ("00", "03")

    def embedded(part, task, variables, candidates, side, which):
        own = [s for s in which["section"] for _ in range(12)]
        first = 12 * sections.index(which["section"][0])
        embedding = clouds[side][first : first + len(own)]
        domain = (["source"] * 10 + ["target"] * 2) * len(which["section"])
        bank = Bank(section=own, domain=domain, embedding=embedding)
        indices = np.arange(first, first + len(own))
        return types.SimpleNamespace(bank=bank, indices=indices)

    clouds = {side: rng.normal(size=(24, 3)) for side in ("train", "test")}
    groups = [sections] if not apart else [(s,) for s in sections]
    groups = [{"machine": "fan", "section": list(own)} for own in groups]
    scoring = types.SimpleNamespace(scope="section")
    part = types.SimpleNamespace(
        machines=("fan",),
        system=types.SimpleNamespace(scoring=scoring),
        candidates=lambda: {"mahalanobis": "mahalanobis", "knn": "knn"},
    )
    patched = work.sound_scoring
    monkeypatch.setattr(patched, "trained", lambda part: (0, None, None))
    monkeypatch.setattr(patched, "section_groups", lambda *given: groups)
    monkeypatch.setattr(patched, "embed_side", embedded)
    found = patched.score_part(part, with_thresholds=False)["fan"]
    assert list(found) == ["mahalanobis", "knn"]
    whole = {"machine": "fan", "section": list(sections)}
    train, test = (
        embedded(part, None, None, None, side, whole) for side in ("train", "test")
    )
    for name, own in found.items():
        assert own.indices.tolist() == list(range(24))
        expected = PerSection(name).fit(train.bank).score(test.bank).score
        np.testing.assert_array_equal(own.score, expected)


def test_a_set_that_no_table_can_be_made_of_is_refused(monkeypatch):
    def opened(*clips):
        return types.SimpleNamespace(
            clips=clips, name="set", rate_hz=16_000, fingerprint="f", simulated=False
        )

    def clip(machine="fan", year=2021, split="dev", label=0):
        return Clip(
            path="x",
            machine=machine,
            section="00",
            side="test",
            split=split,
            label=label,
            year=year,
        )

    def expect(message, *clips):
        monkeypatch.setattr(data.SoundSet, "open", lambda path: opened(*clips))
        with pytest.raises(ConfigError, match=message):
            data.of_set("SET", PAPER)

    expect("has none of them but", clip(year=2022))
    expect("has none of them but", clip(machine="bearing"))
    expect(
        "evaluation sections of fan; .*--truth", clip(), clip(split="eval", label=-1)
    )
    expect("development sections of fan", clip(split="eval"))


# --- the command ---


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
        for name in ("table", "figure", "sheet", "pretrain", "general"):
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
    monkeypatch.setattr(work, "Work", lambda workdir, optimise: fake)
    given("--paper=001", "--table=2,7", "--scale=smoke", "--general=train.steps=3")
    assert reproduce.reproduce()
    printed = capsys.readouterr().out
    assert "SIMULATED data in " in printed
    counted = "2 general classifiers, 8 specific classifiers, 9 evaluations"
    assert counted in printed
    assert "machine sounds: SIMULATED machine_sounds, fan valve, 156 clips" in printed
    assert "overrides: general: train.steps=3" in printed
    assert "Table 2. The effect of anomaly scores" in printed
    assert "Table 7. The best setting of each machine" in printed
    assert len(fake.ran) == 19
    for key in ("table2", "table7"):
        for ending in ("md", "csv", "json"):
            assert (workdir / "tables" / f"{key}.{ending}").exists()
    # Again: the data are there, the cells are there; another table shares them.
    given("--paper=001", "--table=6", "--scale=smoke", "--general=train.steps=3")
    assert reproduce.reproduce() and len(fake.ran) == 19
    assert "Table 6. The impact of center loss" in capsys.readouterr().out
    given("--paper=001", "--sheet=choice", "--scale=smoke", "--dry_run")
    assert reproduce.reproduce() and len(fake.ran) == 19
    assert "evaluation-" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--paper=001"], "say what to repeat, such as --table=2"),
        (["--paper=001", "--table=1"], "no sheet is named 'table1'"),
        (["--paper=001", "--table=2", "--scale=paper"], "needs --sounds=SET"),
        (
            ["--paper=001", "--table=2", "--protocol=held_out"],
            "there are honest, paper",
        ),
        (
            ["--paper=001", "--table=2", "--scale=smoke", "--unlabelled=x"],
            "--unlabelled is not for paper 001, which takes --sounds, --general",
        ),
        (
            ["--paper=000", "--table=1", "--scale=smoke", "--sounds=x"],
            "--sounds is not for paper 000, which takes --unlabelled",
        ),
        (
            ["--paper=001", "--table=2", "--scale=smoke", "--general=task.mel=3"],
            "task.mel",
        ),
    ],
)
def test_mistakes_are_told(given, arguments, message):
    given(*arguments)
    with pytest.raises(reproduce.EXPECTED_ERRORS, match=message):
        reproduce.reproduce()
