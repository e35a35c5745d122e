"""Figures against scikit-learn, intervals against known truth, files read back."""

import csv
import dataclasses
import json

import matplotlib.image
import numpy as np
import pytest
import sklearn.metrics

from sigjax.evals import classification as evals
from sigjax.evals import predictions as files

CLASSES = ("cycling", "sitting", "sleep, deep", "walking")


def make(people=5, rows=40, *, skill=2.0, seed=0, missing=0.2, classes=CLASSES):
    """Predictions of a classifier that is as good as `skill`, on the same labels."""
    truth, rng = np.random.default_rng(0), np.random.default_rng([1, seed])
    v, r = len(classes), people * rows
    label = truth.integers(v, size=r).astype(np.int32)
    logits = rng.normal(size=(r, v)) + skill * np.eye(v)[label]
    odds = np.exp(logits)
    label[truth.random(r) < missing] = -1
    person = np.repeat([f"P{i:03d}" for i in range(people)], rows)
    return evals.Predictions(
        classes=classes,
        probability=(odds / odds.sum(axis=-1, keepdims=True)).astype(np.float32),
        label=label,
        person=person,
        recording=np.char.add(person, "-wrist"),
        time=1.7e9 + 10.0 * np.tile(np.arange(rows), people),
    )


def take(p, rows):
    columns = {f.name: getattr(p, f.name)[rows] for f in dataclasses.fields(p)[1:-1]}
    return evals.Predictions(classes=p.classes, **columns)


def test_values_are_those_of_all_labelled_rows_pooled():
    p = make()
    found = evals.score(p, bootstrap=10)
    counted = p.label >= 0
    truth, said = p.label[counted], p.probability.argmax(-1)[counted]
    expected = {
        "balanced_accuracy": sklearn.metrics.balanced_accuracy_score(truth, said),
        "kappa": sklearn.metrics.cohen_kappa_score(truth, said),
        "macro_f1": sklearn.metrics.f1_score(truth, said, average="macro"),
    }
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-12)
    recall = sklearn.metrics.recall_score(truth, said, average=None)
    assert [c["recall"] for c in found["per_class"].values()] == pytest.approx(recall)
    assert list(found["per_class"]) == list(found["classes"]) == list(CLASSES)
    assert found["labels"] == counted.sum() and found["people"] == 5
    assert found["labels_missing"] == (~counted).sum() > 0
    assert np.sum(found["confusion"]) == found["labels"]
    assert np.sum(found["confusion"], axis=1).tolist() == [
        c["support"] for c in found["per_class"].values()
    ]


def test_each_person_is_scored_alone_and_the_worst_comes_first():
    p = make(missing=0.0)
    found = evals.score(p, bootstrap=10)
    values = [row["balanced_accuracy"] for row in found["per_person"]]
    assert values == sorted(values) and len(set(values)) > 1
    for row in found["per_person"]:
        own = p.person == row["person"]
        truth, said = p.label[own], p.predicted[own]
        assert row["n"] == own.sum()
        kappa = sklearn.metrics.cohen_kappa_score(truth, said)
        assert row["kappa"] == pytest.approx(kappa, abs=1e-12)
    mean = found["mean_of_people"]["balanced_accuracy"]
    assert mean["value"] == pytest.approx(np.mean(values)) and mean["people"] == 5
    assert mean["low"] < mean["value"] < mean["high"]


def test_rows_without_a_label_are_counted_and_change_no_figure():
    p = make()
    bare = take(p, p.label >= 0)
    nobody = dataclasses.replace(
        take(p, p.label < 0), person=np.full((p.label < 0).sum(), "nobody")
    )
    with_missing = evals.score(evals.concatenate([bare, nobody]), bootstrap=50)
    without = evals.score(bare, bootstrap=50)
    differs = {k for k in without if without[k] != with_missing[k]}
    assert differs == {"labels_missing", "people_without_labels"}
    assert with_missing["people_without_labels"] == 1


def test_the_interval_is_over_people_and_not_over_rows():
    # Each person is either all right or all wrong: what varies is who is drawn.
    rows, people = 500, 16
    p = make(people, rows, missing=0.0)
    right = np.repeat(np.arange(people) % 2 == 0, rows)
    said = np.where(right, p.label, (p.label + 1) % 4)
    p = dataclasses.replace(p, probability=np.eye(4, dtype=np.float32)[said])
    found = evals.score(p, bootstrap=4000)["balanced_accuracy"]
    # The share of 16 people who are right: binomial, standard deviation 1/8.
    assert found["value"] == pytest.approx(0.5, abs=0.01)
    assert found["low"] == pytest.approx(0.5 - 1.96 / 8, abs=0.03)
    assert found["high"] == pytest.approx(0.5 + 1.96 / 8, abs=0.03)


def test_intervals_equal_those_of_drawing_people_one_by_one():
    p = make(people=6, rows=30)
    found = evals.score(p, bootstrap=40, seed=3)
    rng, values = np.random.default_rng(3), []
    people = np.unique(p.person)
    for _ in range(40):
        often = rng.multinomial(6, np.full(6, 1 / 6))
        rows = np.concatenate(
            [
                np.flatnonzero((p.person == q) & (p.label >= 0))
                for q in people.repeat(often)
            ]
        )
        values.append(
            sklearn.metrics.f1_score(p.label[rows], p.predicted[rows], average="macro")
        )
    low, high = np.quantile(values, [0.025, 0.975])
    assert found["macro_f1"]["low"] == pytest.approx(low, abs=1e-12)
    assert found["macro_f1"]["high"] == pytest.approx(high, abs=1e-12)
    assert evals.score(p, bootstrap=40, seed=3) == found
    assert evals.score(p, bootstrap=40, seed=4)["kappa"] != found["kappa"]


def test_one_person_has_no_interval():
    found = evals.score(make(people=1), bootstrap=50)
    for name in evals.SCORES:
        assert found[name]["value"] is not None
        assert found[name]["low"] is None and found[name]["high"] is None


def test_undefined_figures_are_null_and_the_result_is_json():
    p = make(people=3, missing=0.0)
    p = take(p, (p.label == 1) | (p.person == "P002"))
    sure = np.where((p.person == "P000")[:, None], np.eye(4)[1], p.probability)
    p = dataclasses.replace(p, probability=sure.astype(np.float32))
    found = evals.score(p, bootstrap=50)
    json.dumps(found, allow_nan=False)
    perfect = next(r for r in found["per_person"] if r["person"] == "P000")
    assert perfect["kappa"] is None and perfect["balanced_accuracy"] == 1
    assert found["mean_of_people"]["kappa"]["people"] == 2
    # Resamples of that person alone have no kappa either; the others do.
    assert found["kappa"]["low"] is not None
    only = evals.score(take(p, p.person == "P000"), bootstrap=50)
    json.dumps(only, allow_nan=False)
    assert only["per_class"]["walking"] == {
        "precision": None,
        "recall": None,
        "f1": None,
        "support": 0,
    }


def test_nothing_to_score_is_an_error():
    p = make()
    with pytest.raises(evals.PredictionsError, match="none of .* has a label"):
        evals.score(take(p, p.label < 0))


def test_systems_are_compared_on_the_same_people():
    good, bad = make(12, skill=2.0), make(12, skill=1.0, seed=5)
    rng = np.random.default_rng(0)
    found = evals.paired_bootstrap(good, take(bad, rng.permutation(len(bad))))
    alone = evals.score(good), evals.score(bad)
    for name in evals.SCORES:
        row = found[name]
        assert row["a"] == pytest.approx(alone[0][name], abs=1e-9)
        assert row["b"] == pytest.approx(alone[1][name], abs=1e-9)
        difference = row["difference"]
        assert difference["value"] == pytest.approx(
            row["a"]["value"] - row["b"]["value"]
        )
        assert 0 < difference["low"] < difference["value"] < difference["high"]
        assert row["a_above_b"] == 1
    assert found["people"] == 12 and found["labels"] == (good.label >= 0).sum()
    swapped = evals.paired_bootstrap(bad, good)["kappa"]["difference"]
    assert swapped["low"] == pytest.approx(-found["kappa"]["difference"]["high"])


def test_what_people_have_in_common_does_not_widen_the_difference():
    # People differ much, the systems by one row in each person.
    p = make(10, 50, missing=0.0)
    hard = np.repeat(np.arange(10) / 10, 50) > np.tile(np.arange(50) / 50, 10)
    said = np.where(hard, (p.label + 1) % 4, p.label)
    worse = said.copy()
    worse[49::50] = (p.label[49::50] + 1) % 4
    a, b = (
        dataclasses.replace(p, probability=np.eye(4, dtype=np.float32)[s])
        for s in (said, worse)
    )
    row = evals.paired_bootstrap(a, b)["kappa"]
    width = row["difference"]["high"] - row["difference"]["low"]
    assert width < (row["a"]["high"] - row["a"]["low"]) / 5


def test_runs_of_a_system_are_averaged():
    runs, other = [make(seed=s) for s in (1, 2, 3)], make(seed=9)
    found = evals.paired_bootstrap(runs, other, bootstrap=20)
    mean = np.mean([evals.score(r, bootstrap=1)["kappa"]["value"] for r in runs])
    assert found["kappa"]["a"]["value"] == pytest.approx(mean)
    assert (found["runs_a"], found["runs_b"]) == (3, 1)


def test_only_the_same_label_windows_are_compared():
    p = make()
    other = np.where(p.label == 1, 2, p.label).astype(np.int32)
    for changed, message in [
        (take(p, slice(1, None)), "not the same"),
        (dataclasses.replace(p, time=p.time + 5), "not the same"),
        (dataclasses.replace(p, label=other), "different labels"),
        (dataclasses.replace(p, classes=("a", "b", "c", "d")), "classes"),
    ]:
        with pytest.raises(evals.PredictionsError, match=message):
            evals.paired_bootstrap(p, changed)


def test_folds_are_put_together_once():
    p = make()
    parts = [take(p, p.person == person) for person in np.unique(p.person)]
    assert evals.score(evals.concatenate(parts)) == evals.score(p)
    with pytest.raises(evals.PredictionsError, match="there twice.*P000-wrist"):
        evals.concatenate([*parts, parts[0]])


@pytest.mark.parametrize("embedding", [False, True])
def test_predictions_are_read_back_as_they_were(tmp_path, embedding):
    p = make()
    vectors = np.random.default_rng(0).normal(size=(len(p), 8)).astype(np.float32)
    p = dataclasses.replace(p, embedding=vectors)
    files.write_predictions(tmp_path / "p.parquet", p, embedding=embedding)
    back = files.read_predictions(tmp_path / "p.parquet")
    for field in dataclasses.fields(p):
        ours, theirs = getattr(p, field.name), getattr(back, field.name)
        if field.name == "embedding" and not embedding:
            assert theirs is None
        else:
            np.testing.assert_array_equal(ours, theirs, err_msg=field.name)
            assert np.asarray(ours).dtype == np.asarray(theirs).dtype
    assert not list(tmp_path.glob("*.partial"))


def test_what_holds_no_predictions_is_an_error(tmp_path):
    with pytest.raises(evals.PredictionsError, match="does not exist"):
        files.read_predictions(tmp_path / "no.parquet")
    (tmp_path / "a.parquet").write_bytes(b"nothing of the kind")
    with pytest.raises(evals.PredictionsError, match="holds no predictions"):
        files.read_predictions(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probability": np.ones((200, 3), np.float32)}, "4 classes but"),
        ({"time": np.zeros(3)}, "3 rows of time, 200 expected"),
        ({"probability": np.full((200, 4), np.nan)}, "200 of 200 .* no finite"),
        ({"label": np.full(200, 4)}, "labels from 4"),
    ],
)
def test_columns_that_do_not_fit_are_refused(change, message):
    with pytest.raises(evals.PredictionsError, match=message):
        dataclasses.replace(make(), **change)


def _looks_drawn(path):
    image = matplotlib.image.imread(path)
    return min(image.shape[:2]) > 300 and image[..., :3].std() > 0.05


@pytest.mark.parametrize("people", [1, 4, 60])
def test_an_evaluation_is_written_whole(tmp_path, people):
    p = make(people, 20)
    found = {**evals.score(p, bootstrap=20), "checkpoint": 100}
    folder = tmp_path / "eval" / "test"
    evals.write_evaluation(folder, p, found, title="runs/$a_b", note="SIMULATED data")
    assert json.loads((folder / "metrics.json").read_text()) == found
    with (folder / "confusion.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][1:] == [row[0] for row in rows[1:]] == list(CLASSES)
    assert [[int(n) for n in row[1:]] for row in rows[1:]] == found["confusion"]
    with (folder / "per_person.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [r["person"] for r in rows] == [r["person"] for r in found["per_person"]]
    assert float(rows[0]["kappa"]) == found["per_person"][0]["kappa"]
    assert len(evals.read_predictions(folder / "predictions.parquet")) == len(p)
    assert _looks_drawn(folder / "confusion.png")
    assert _looks_drawn(folder / "per_person.png")
    assert len(list(folder.iterdir())) == 6


def test_figures_are_drawn_with_undefined_people_and_many_classes(tmp_path):
    names = tuple(f"a rather long class name, number {i}" for i in range(20))
    p = make(2, 60, classes=names)
    p = take(p, (p.label == 0) | (p.person == "P001"))
    sure = np.where((p.person == "P000")[:, None], np.eye(20)[0], p.probability)
    p = dataclasses.replace(p, probability=sure.astype(np.float32))
    found = evals.score(p, bootstrap=20)
    assert None in [row["kappa"] for row in found["per_person"]]
    evals.write_evaluation(tmp_path, p, found, title="many " * 40)
    assert _looks_drawn(tmp_path / "confusion.png")
    assert _looks_drawn(tmp_path / "per_person.png")
