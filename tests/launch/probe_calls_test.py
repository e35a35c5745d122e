"""`launch.probe` of calls: from folders of features to tables and predictions."""

import dataclasses
import json
import types

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from absl import flags
from etils import epath
from sklearn import metrics

from launch import probe
from launch.calls import probe_command, probing, probing_files, probing_parts
from launch.calls.probing import Probing, ProbingError, run_probing
from sigjax.data.clips import ManifestError
from sigjax.evals.layer_features import FeatureFolder, FeaturesError, Part
from sigjax.evals.layer_probes import Probed, report

CLIPS, LAYERS, WIDTH = 60, 2, 6
NEAR = {"kinds": ("knn",), "neighbours": (1, 3)}


def table(**changes):
    """What a manifest tells of the calls: a column each."""
    label = [("yelp", "bark", "growl")[i % 3] for i in range(CLIPS)]
    split = ["train"] * 36 + ["validation"] * 11 + ["test"] * 13
    return {
        "id": [f"c{i:02d}" for i in range(CLIPS)],
        "label": label,
        "split": split,
        "group": [f"dog{i // 12}" for i in range(CLIPS)],
        **changes,
    }


def values(label, seed=0):
    """Float32 `[n, l, w]`, of which layer 1 tells the class."""
    found = np.random.default_rng(seed).normal(size=(len(label), LAYERS, WIDTH))
    number = ["yelp", "bark", "growl", ""].index
    found[:, 1, :4] += 3 * np.eye(4)[[number(name) for name in label]]
    return found.astype(np.float32)


def write(folder, rows=None, seed=0, order=None, features=None):
    """A folder as `launch.extract` leaves it."""
    rows = rows or table()
    features = values(rows["label"], seed) if features is None else features
    order = range(len(rows["id"])) if order is None else order
    rows = {name: [column[i] for i in order] for name, column in rows.items()}
    into = FeatureFolder(folder, {"seed": seed}, ["0", "1"], WIDTH)
    keys = [f"key of {name}" for name in rows["id"]]
    job = into.job(keys, {})
    into.begin(job)
    into.add(job, Part(keys, features[list(order)], [()] * len(keys), {}))
    classes = ["bark", "growl", "yelp", "howl"]
    into.publish(pa.table({**rows, "key": keys}), {"classes": classes})
    return str(folder)


@pytest.fixture
def undrawn(monkeypatch):
    """Figures take seconds; one test has them."""
    monkeypatch.setattr(probing_files, "_draw", lambda *_: None)


def run(given, output, say=None, **changes):
    said = [] if say is None else say
    asked = Probing(features=tuple(given), output=str(output), **{**NEAR, **changes})
    return run_probing(asked, said.append, shown=False)


def predictions(out):
    """Columns of the table of predictions."""
    rows = pq.read_table(out / "predictions.parquet").to_pydict()
    return {name: np.array(values) for name, values in rows.items()}


def guesses(features, label, classes, folds, asked, **_):
    """What `sweep` finds, of probes whose posteriors are random."""
    rng = np.random.default_rng(ord(features[0].model[0]))
    shape = (len(folds), len(asked.seeds))
    weighted = asked.kind == "weighted"
    probed = [
        Probed(
            model=layer.model,
            layer="weighted" if weighted else layer.layer,
            validation_uar=rng.random(shape),
            best_epoch=np.zeros(shape, int),
            epochs=np.ones(shape, int),
            probability=tuple(
                rng.dirichlet(np.ones(len(classes)), (shape[1], len(fold.test)))
                for fold in folds
            ),
            weights=np.full((*shape, LAYERS), 0.5) if weighted else None,
            weighted=("0", "1") if weighted else (),
        )
        for layer in (features[:1] if weighted else features)
    ]
    return types.SimpleNamespace(probed=probed)


@pytest.mark.survival
def test_layers_that_tell_the_class_are_chosen(tmp_path, undrawn):
    given = [write(tmp_path / "a"), write(tmp_path / "b", seed=1)]
    small = {"kinds": ("mlp", "weighted"), "batch": 2, "seeds": (0, 1)}
    found = run(given, tmp_path / "out", **small)
    for kind, told in found["kinds"].items():
        assert {m["layer"] for m in told["models"][:2]} <= {"1", "weighted"}, kind
        assert min(m["test"]["value"] for m in told["models"]) > 0.5, kind


def test_a_command_leaves_tables_figures_and_predictions(tmp_path, monkeypatch):
    # Probes that guess: what is told of them is what is looked at.
    monkeypatch.setattr(probing, "sweep", guesses)
    given = [write(tmp_path / "a"), f"b={write(tmp_path / 'x', seed=1)}"]
    said = []
    kinds = ("mlp", "weighted")
    found = run(given, tmp_path / "out", said, kinds=kinds, seeds=(3, 4))
    out = tmp_path / "out"
    assert found == json.loads((out / "result.json").read_text())
    for name in ("layers.png", "weights.png", "mlp/confusion.png"):
        assert (out / name).stat().st_size > 10_000
    assert (out / "table.md").read_text().startswith(found["table"])
    assert found["chance"] == pytest.approx(1 / 3) and found["clips"]["used"] == CLIPS
    assert any("calls of 4 classes; models: a, b" in line for line in said)
    assert any("classes without a call: howl" in line for line in said)
    rows = predictions(out)
    for kind in ("mlp", "weighted"):
        models = found["kinds"][kind]["models"]
        assert [m["model"] for m in models] == ["a", "b", "fusion"]
        for model in models:
            own = (rows["kind"] == kind) & (rows["model"] == model["model"])
            assert own.sum() == 26 and set(rows["seed"][own]) == {3, 4}
            uar = []
            for seed in (3, 4):
                one = own & (rows["seed"] == seed)
                label = rows["label"][one]
                uar.append(
                    metrics.recall_score(
                        label,
                        rows["predicted"][one],
                        labels=np.unique(label),
                        average="macro",
                        zero_division=0,
                    )
                )
            assert model["test"]["seeds"] == pytest.approx(uar)
            assert set(rows["layer"][own]) == {model["layer"]}
    truth = dict(zip(table()["id"], table()["label"], strict=True))
    assert rows["label"].tolist() == [truth[name] for name in rows["id"]]
    names = ("bark", "growl", "yelp", "howl")
    chances = np.stack([rows[f"p_{name}"] for name in names], axis=1)
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    a, b, fused = (
        chances[(rows["kind"] == "mlp") & (rows["model"] == m)]
        for m in ("a", "b", "fusion")
    )
    np.testing.assert_allclose(fused, (a + b) / 2, atol=1e-6)
    assert report.read_confusions(out / "mlp")["fusion"].sum() == 26
    weights = found["kinds"]["weighted"]["layers"][0]["weights"]
    assert sum(weights.values()) == pytest.approx(1)


def test_what_is_there_is_not_done_again_nor_lost(tmp_path, monkeypatch, undrawn):
    given = [write(tmp_path / "a"), write(tmp_path / "b", seed=1)]
    out = tmp_path / "out"
    found, said = run(given, out), []
    before = (out / "result.json").stat().st_mtime_ns
    assert run(given, out, said) == found
    assert "has this already" in said[0] and found["table"].rstrip() in said
    assert (out / "result.json").stat().st_mtime_ns == before
    with pytest.raises(ProbingError, match=r"neighbours \[1, 3\], now \[1\]"):
        run(given, out, neighbours=(1,))
    # Other features under the same name are other settings.
    write(tmp_path / "a", features=values(table()["label"], 7), seed=0)
    again = run(given, out)
    assert again == found
    other = write(tmp_path / "other" / "a", seed=7)
    with pytest.raises(ProbingError, match=r"features\.a"):
        run([other, given[1]], out)
    assert json.loads((out / "result.json").read_text()) == found
    # What is equal is not computed again: linear probes are the only new ones.
    swept = []
    monkeypatch.setattr(
        probing, "sweep", lambda *a, **k: swept.append(a[4].kind) or guesses(*a)
    )
    run(given, out, said, kinds=("knn", "linear"), overwrite=True)
    assert swept == ["linear", "linear"] and "are replaced" in said[-1] + str(said)
    # Probes of another split are none of these.
    monkeypatch.undo()
    monkeypatch.setattr(probing_files, "_draw", lambda *_: None)
    apart = {"split": "leave_one_group_out"}
    fresh = run(given, tmp_path / "fresh", **apart)
    assert run(given, out, overwrite=True, **apart)["kinds"] == fresh["kinds"]
    (out / "result.json").write_text("{}")
    with pytest.raises(ProbingError, match="not of this command"):
        run(given, out)


def test_a_run_that_was_stopped_goes_on(tmp_path, monkeypatch, undrawn):
    given = [write(tmp_path / "a"), write(tmp_path / "b", seed=1)]
    whole = run(given, tmp_path / "whole")
    real, swept = probing.sweep, []

    def stopped(features, *args, **options):
        swept.append(features[0].model)
        if len(swept) == 2:
            raise KeyboardInterrupt
        return real(features, *args, **options)

    monkeypatch.setattr(probing, "sweep", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(given, tmp_path / "out")
    assert not (tmp_path / "out" / "result.json").exists()
    found = run(given, tmp_path / "out")
    assert swept == ["a", "b", "b"]
    assert found["kinds"] == whole["kinds"]


def test_rows_are_matched_by_id(tmp_path, undrawn):
    rows = table()
    ours = write(tmp_path / "a")
    kept = [i for i in range(CLIPS) if i not in (3, 50)]
    fewer = {name: [column[i] for i in kept] for name, column in rows.items()}
    plain = run([write(tmp_path / "b", fewer, 1)], tmp_path / "plain")
    order = np.random.default_rng(0).permutation(CLIPS)
    order = [i for i in order if i not in (3, 50)]
    there = values(rows["label"], 1)
    there[kept] = values(fewer["label"], 1)
    mixed = write(tmp_path / "mixed/b", rows, 1, order, there)
    said = []
    found = run([ours, mixed], tmp_path / "out", said)
    assert found["clips"]["used"] == 58 and found["clips"]["not in all models"] == 2
    assert "warning: b lacks 2 of 60 calls (c03, c50): no model is probed" in str(said)
    b = [layer for layer in found["kinds"]["knn"]["layers"] if layer["model"] == "b"]
    assert b == plain["kinds"]["knn"]["layers"]
    alone = write(tmp_path / "alone", table(id=[f"d{i}" for i in range(CLIPS)]), 1)
    with pytest.raises(ProbingError, match="no call is in all"):
        run([ours, alone], tmp_path / "none")


@pytest.mark.parametrize("fact", ["label", "split", "group"])
def test_models_that_know_other_things_of_a_call_are_refused(fact, tmp_path, undrawn):
    rows = table()
    rows[fact] = [*rows[fact]]
    rows[fact][4] = {"label": "yelp", "split": "test", "group": "cat"}[fact]
    assert rows[fact] != table()[fact]
    given = [write(tmp_path / "a"), write(tmp_path / "b", rows, 1)]
    with pytest.raises(ProbingError, match=f"1 calls differ in {fact} .* 'c04': "):
        run(given, tmp_path / "out")
    if fact == "split":  # which is another one then
        run(given, tmp_path / "out", split="leave_one_group_out")


def test_folds_are_tested_once_each(tmp_path, undrawn):
    # Of different sizes, so that their mean is not what all clips give together.
    folds = [f"fold{n}" for n in np.repeat(range(1, 6), [6, 9, 13, 15, 17])]
    given = [write(tmp_path / "a", table(split=folds))]
    found = run(given, tmp_path / "manifest")
    assert found["kinds"]["knn"]["folds"] == [f"fold{n}" for n in range(1, 6)]
    sizes = {"train": 38, "validation": 13, "test": 9}
    assert found["kinds"]["knn"]["clips"]["fold2"] == sizes
    rows = predictions(tmp_path / "manifest")
    assert sorted(rows["id"]) == table()["id"] and set(rows["seed"]) == {0}
    model = found["kinds"]["knn"]["models"][0]
    pooled = metrics.balanced_accuracy_score(rows["label"], rows["predicted"])
    assert model["pooled"]["value"] == pytest.approx(pooled)
    assert "| sd " in found["table"] and "oracle" in found["legend"][-1]
    apart = run(given, tmp_path / "out", split="leave_one_group_out")
    assert apart["kinds"]["knn"]["folds"] == [f"fold dog{n}" for n in range(5)]


def test_validation_is_taken_from_training(tmp_path, undrawn):
    split = ["train"] * 48 + ["test"] * 12
    group = [f"dog{i // 6}" for i in range(CLIPS)]
    given = [write(tmp_path / "a", table(split=split, group=group))]
    sizes, said = {}, []
    for validation in ("given", "groups", "share"):
        found = run(given, tmp_path / validation, said, validation=validation)
        sizes[validation] = found["kinds"]["knn"]["clips"]["all"]
        leaks = [x for x in found["warnings"] if "are on both sides" in x]
        assert len(leaks) == (validation == "share")
    # Whole groups of six; a share of each class of 16.
    assert sizes["given"] == sizes["groups"] and sizes["given"]["validation"] % 6 == 0
    assert sizes["share"] == {"train": 39, "validation": 9, "test": 12}
    few = [write(tmp_path / "few/a", table(split=split, group=["one"] * CLIPS))]
    found = run(few, tmp_path / "few")
    assert any("1 groups (one) are on both sides" in x for x in found["warnings"])
    with pytest.raises(ProbingError, match="validation_fraction 1.5"):
        run(few, tmp_path / "none", validation_fraction=1.5)


def test_leaks_and_classes_that_a_split_lacks_are_told(tmp_path, undrawn):
    rows = table(group=[f"dog{i % 5}" for i in range(CLIPS)])
    rows["label"][0] = "howl"
    rows["label"][1] = ""
    rows["split"][2] = ""
    features = values(table()["label"])
    found = run([write(tmp_path / "a", rows, features=features)], tmp_path / "out")
    told = "\n".join(found["warnings"])
    assert "5 groups are in several splits" in told
    assert "classes with one call, which cannot be both" in told and "howl" in told
    assert "classes that are not in 'test': howl" in told
    assert "1 calls have no label and are left out" in told
    assert found["clips"]["used"] == 58 and found["clips"]["in no split"] == 1
    names = [f"fold{i % 3}" for i in range(CLIPS)]
    names[1::3] = ["fold1"] * 20
    per_class = table(
        split=[
            {"yelp": "fold1", "bark": "fold2", "growl": "fold3"}[name]
            for name in table()["label"]
        ]
    )
    given = [write(tmp_path / "b", per_class)]
    with pytest.raises(ProbingError, match="one class alone in training"):
        run(given, tmp_path / "none")


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"features": ()}, ProbingError, "no features"),
        ({"features": ("a", "./a")}, ProbingError, "would both be called 'a'"),
        ({"features": ("fusion=a",)}, ProbingError, "cannot be named 'fusion'"),
        ({"features": ("nowhere",)}, FeaturesError, "nowhere holds no features"),
        ({"features": ("begun",)}, FeaturesError, "has not ended; run the same"),
        (
            {"features": ("nan",)},
            FeaturesError,
            "of call 'c07' are not finite, one of 2",
        ),
        ({"features": ("unlabelled",)}, ProbingError, "none of 60 calls has a label"),
        ({"features": ("undivided",)}, ManifestError, "splits are not given; needed"),
        ({"features": ("untested",)}, ManifestError, "needed are train, test"),
        ({"features": ("alone",)}, ProbingError, "one class alone in training"),
        ({"layers": ("0", "9")}, ProbingError, "a has no layer '9'; it has 0, 1"),
        ({"neighbours": (37, 99)}, ProbingError, "36 clips: fewer than 37 neighb"),
        ({"kinds": ("svm",)}, ProbingError, "kind 'svm' is none of mlp, linear"),
        ({"kinds": ("knn", "knn")}, ProbingError, "name each once"),
        ({"protocol": "ours"}, ProbingError, "protocol 'ours' is none of"),
        ({"seeds": (1, 1)}, ProbingError, "seeds must be distinct"),
    ],
)
def test_what_cannot_be_probed_is_told(
    changes, error, says, tmp_path, monkeypatch, undrawn
):
    monkeypatch.chdir(tmp_path)
    none, wrong = [""] * CLIPS, values(table()["label"])
    wrong[[7, 20], 1, 2] = np.nan
    make = {
        "begun": lambda: FeatureFolder("begun", {}, ["0"], WIDTH),
        "nan": lambda: write("nan", features=wrong),
        "unlabelled": lambda: write("unlabelled", table(label=none)),
        "undivided": lambda: write("undivided", table(split=none)),
        "untested": lambda: write("untested", table(split=["train"] * CLIPS)),
        "alone": lambda: write("alone", table(label=["bark"] * CLIPS)),
    }
    given = changes.get("features", ("a",))
    make.get("".join(given), lambda: write("a"))()
    changes = {k: v for k, v in changes.items() if k != "features"}
    with pytest.raises(error, match=says):
        run(given, "out", **changes)
    assert not (tmp_path / "out/result.json").exists()


def test_parts_are_read_as_they_were_written(tmp_path):
    rng = np.random.default_rng(0)
    first = Probed(
        model="m/n",
        layer="weighted",
        validation_uar=rng.random((2, 3)),
        best_epoch=np.full((2, 3), 4),
        epochs=np.full((2, 3), 9),
        probability=(rng.random((3, 5, 2)), rng.random((3, 4, 2))),
        constant=2,
        diverged=1,
        history={"train_loss": rng.random((2, 3, 9))},
        weights=rng.random((2, 3, 4)),
        weighted=("cnn", "0"),
    )
    second = dataclasses.replace(
        first, weights=None, weighted=(), history={}, neighbours=np.array([1, 5])
    )
    path = epath.Path(tmp_path / "part.npz")
    probing_parts.write(path, [first, second])
    found = probing_parts.read(path)
    assert found is not None and len(found) == 2
    for before, after in zip((first, second), found, strict=True):
        for field in dataclasses.fields(Probed):
            np.testing.assert_equal(
                getattr(after, field.name), getattr(before, field.name)
            )
    path.write_bytes(path.read_bytes()[:-200])
    assert probing_parts.read(path) is None
    assert probing_parts.read(epath.Path(tmp_path / "none.npz")) is None


def test_flags_lead_to_one_of_two_doors():
    calls = ["probe", "--features=a,b", "--output=out"]
    assert probe.door(calls) == "launch.calls.probe_command"
    wrist = ["probe", "--config=configs/har_probe.py", "--config.data.dataset=SET"]
    assert probe.door(wrist) == "launch.wrist.probing"
    assert probe.door(["probe", "--help"]) == "launch.calls.probe_command"
    for argv, says in ((["probe"], "give --features"), (calls + wrist, "give one")):
        with pytest.raises(SystemExit, match=says):
            probe.door(argv)
    values = flags.FlagValues()
    probe_command.define_flags(values)
    values([*calls, "--kind=mlp,knn", "--seeds=1,2", "--neighbours=3", "--nofuse"])
    expected = Probing(
        features=("a", "b"),
        output="out",
        kinds=("mlp", "knn"),
        seeds=(1, 2),
        neighbours=(3,),
        fuse=False,
    )
    assert probe_command.probing_of(values) == expected
    values([*calls, "--seeds=one"])
    with pytest.raises(ProbingError, match="--seeds=one: whole numbers"):
        probe_command.probing_of(values)
