"""Evaluation of audio events: figures, intervals, comparisons, files."""

import csv
import json
import pathlib

import numpy as np
import pytest
from sklearn import metrics as reference

from sigjax.data.audio_events.clips import HEADS
from sigjax.evals import audio_events as evals
from sigjax.evals import event_figures
from sigjax.evals.audio_events import EventPredictions, PredictionsError
from tests.data.audio_events import tiny_events

SIZES = {
    "single": {"label": 8},
    "multi": {"target": 4},
    "verb_noun": {"verb": 6, "noun": 7},
}


def made(kind, *, seed=0, clips=60, right=0.3, sizes=None, **changes):
    """Predictions that are better than chance, three clips of each source."""
    rng = np.random.default_rng(seed)
    truth_rng = np.random.default_rng(99)
    probability, truth = {}, {}
    sizes = sizes or SIZES[kind]
    for head, classes in sizes.items():
        if kind == "multi":
            target = (truth_rng.uniform(size=(clips, classes)) < 0.3).astype(np.float32)
            score = right * target + rng.uniform(size=target.shape) * 0.5
            truth[head], probability[head] = target, score.astype(np.float32)
        else:
            truth[head] = truth_rng.integers(0, classes, clips).astype(np.int32)
            score = rng.dirichlet(np.ones(classes), clips)
            score[np.arange(clips), truth[head]] += right
            probability[head] = score.astype(np.float32)
    given = {
        "kind": kind,
        "classes": {
            head: tuple(f"{head} {i}" for i in range(n)) for head, n in sizes.items()
        },
        "probability": probability,
        "truth": truth,
        "path": np.array([f"{i:03d}.wav" for i in range(clips)]),
        "start_s": np.zeros(clips),
        "group": np.array([f"s{i // 3}" for i in range(clips)]),
    }
    return EventPredictions(**{**given, **changes})


def test_figures_of_one_label_are_scikit_learns():
    p = made("single", right=0.05)
    found = evals.score(p, bootstrap=200)
    label, probability = p.truth["label"], p.probability["label"]
    predicted = probability.argmax(axis=1)
    expected = {
        "top1": reference.accuracy_score(label, predicted),
        "top5": reference.top_k_accuracy_score(
            label, probability, k=5, labels=np.arange(8)
        ),
        "balanced_accuracy": reference.balanced_accuracy_score(label, predicted),
    }
    assert found["figures"].keys() == expected.keys()
    for name, value in expected.items():
        assert found["figures"][name]["value"] == pytest.approx(value, abs=1e-12)
        assert found["figures"][name]["low"] < value < found["figures"][name]["high"]
    recall = reference.recall_score(label, predicted, average=None)
    table = found["per_class"]["label"]
    assert [row["recall"] for row in table.values()] == pytest.approx(recall)
    assert np.array(found["confusion"]["label"]).sum() == 60
    assert (found["clips"], found["sources"]) == (60, 20)


def test_map_is_scikit_learns():
    p = made("multi")
    found = evals.score(p, bootstrap=50)
    target, score = p.truth["target"], p.probability["target"]
    expected = reference.average_precision_score(target, score, average="macro")
    assert found["figures"]["map"]["value"] == pytest.approx(expected, abs=1e-12)
    each = reference.average_precision_score(target, score, average=None)
    table = found["per_class"]["target"]
    assert [r["average_precision"] for r in table.values()] == pytest.approx(each)
    assert [r["support"] for r in table.values()] == target.sum(axis=0).tolist()
    assert found["confusion"] == {}


def test_an_action_is_right_if_verb_and_noun_are():
    p = made("verb_noun", right=0.2)
    figures = evals.score(p, bootstrap=0)["figures"]
    hits = [p.probability[h].argmax(axis=1) == p.truth[h] for h in ("verb", "noun")]
    assert figures["verb_top1"]["value"] == hits[0].mean()
    assert figures["noun_top1"]["value"] == hits[1].mean()
    assert figures["action_top1"]["value"] == (hits[0] & hits[1]).mean()
    assert figures["action_top5"]["value"] > figures["action_top1"]["value"] > 0
    assert figures["verb_top1"]["low"] is None  # no resamples were asked for


def test_intervals_are_over_sources_not_clips():
    """Clips of a source that are all alike say no more than one of them."""
    p = made("single", clips=20)
    rows = np.repeat(np.arange(20), 9)
    copies = EventPredictions(
        kind="single",
        classes=p.classes,
        probability={"label": p.probability["label"][rows]},
        truth={"label": p.truth["label"][rows]},
        path=np.array([f"{i}.wav" for i in range(180)]),
        start_s=np.zeros(180),
        group=np.array([f"s{i}" for i in rows]),
    )
    alone = EventPredictions(
        **{**vars(p), "group": np.array([f"{i}" for i in range(20)])}
    )
    one, many = (
        evals.score(x, bootstrap=500)["figures"]["top1"] for x in (alone, copies)
    )
    assert one["value"] == pytest.approx(many["value"])
    width = [x["high"] - x["low"] for x in (one, many)]
    assert width[1] == pytest.approx(width[0], rel=0.15)
    apart = EventPredictions(**{**vars(copies), "group": copies.path})
    narrow = evals.score(apart, bootstrap=500)["figures"]["top1"]
    assert narrow["high"] - narrow["low"] < 0.6 * width[1]
    single = EventPredictions(**{**vars(p), "group": np.full(20, "s")})
    assert evals.score(single)["figures"]["top1"]["low"] is None


def test_clips_without_a_label_do_not_count():
    p = made("verb_noun")
    noun = p.truth["noun"].copy()
    noun[:5] = -1
    less = made("verb_noun", truth={**p.truth, "noun": noun})
    found = evals.score(less, bootstrap=20)
    assert (found["clips"], found["clips_without_labels"]) == (55, 5)
    text = evals.lines(found)
    assert text[0] == "55 clips of 19 sources; 5 without a label not scored"
    assert text[1].split()[:2] == ["verb", "top1"]
    nothing = made("verb_noun", truth={**p.truth, "noun": np.full(60, -1, np.int32)})
    with pytest.raises(PredictionsError, match="none of 60 clips has a label"):
        evals.score(nothing)


def test_comparisons_are_of_the_same_clips():
    a, b = made("single", right=0.4), made("single", right=0.1, seed=1)
    found = evals.compare(a, b, bootstrap=300)
    one = found["top1"]
    values = [evals.score(x, bootstrap=0)["figures"]["top1"]["value"] for x in (a, b)]
    assert [one["a"]["value"], one["b"]["value"]] == values
    assert one["difference"]["value"] == pytest.approx(values[0] - values[1])
    assert one["difference"]["low"] > 0
    # A system beside itself, in another order: no difference and no width.
    order = np.random.default_rng(0).permutation(60)
    shuffled = evals._rows(a, order)
    same = evals.compare(a, shuffled, bootstrap=50)["top1"]["difference"]
    assert (same["value"], same["low"], same["high"]) == (0, 0, 0)
    runs = evals.compare([a, b], [b], bootstrap=50)
    assert runs["top1"]["a"]["value"] == pytest.approx(np.mean(values))
    assert (runs["runs_a"], runs["runs_b"], runs["clips"]) == (2, 1, 60)


def test_stretches_of_one_start_are_told_apart_by_their_ends():
    given = {"path": np.full(4, "v.wav"), "clips": 4}
    a = made("verb_noun", end_s=np.array([2.0, 1.0, np.nan, 3.0]), **given)
    same = evals.compare(a, evals._rows(a, np.array([2, 0, 3, 1])), bootstrap=0)
    assert same["action_top1"]["difference"]["value"] == 0
    with pytest.raises(PredictionsError, match="1 clips are there twice"):
        evals.compare(a, made("verb_noun", end_s=np.array([2.0, 1, 1, 3]), **given))
    with pytest.raises(PredictionsError, match="4 and 4 clips that are not the same"):
        evals.compare(a, made("verb_noun", end_s=np.array([2.0, 1, 9, 3]), **given))


def test_what_cannot_be_compared_says_why():
    a = made("single")
    with pytest.raises(PredictionsError, match="60 and 57 clips"):
        evals.compare(a, evals._rows(a, np.arange(57)))
    other = a.truth["label"].copy()
    other[0] = (other[0] + 1) % 8
    with pytest.raises(PredictionsError, match="1 labels differ"):
        evals.compare(a, made("single", truth={"label": other}))
    with pytest.raises(PredictionsError, match="classes differ"):
        evals.compare(a, made("multi"))
    with pytest.raises(PredictionsError, match="nothing to compare"):
        evals.compare([], a)


@pytest.mark.parametrize("kind", HEADS)
def test_predictions_are_read_as_they_were_written(kind, tmp_path):
    p = made(kind)
    if kind != "multi":
        first = next(iter(p.truth))
        truth = {**p.truth, first: np.append(np.int32(-1), p.truth[first][1:])}
        p = made(kind, truth=truth, end_s=np.append(np.nan, np.arange(1.0, 60)))
    evals.write_event_predictions(tmp_path / "p.parquet", p)
    q = evals.read_event_predictions(tmp_path / "p.parquet")
    assert q.kind == p.kind and q.classes == p.classes
    for head in p.classes:
        np.testing.assert_array_equal(q.probability[head], p.probability[head])
        np.testing.assert_array_equal(q.truth[head], p.truth[head])
        assert q.truth[head].dtype == p.truth[head].dtype
    for name in ("path", "start_s", "end_s", "group"):
        np.testing.assert_array_equal(getattr(q, name), getattr(p, name))


def test_other_files_are_no_predictions(tmp_path):
    with pytest.raises(PredictionsError, match="launch.evaluate"):
        evals.read_event_predictions(tmp_path / "none.parquet")
    (tmp_path / "x.parquet").write_text("x")
    with pytest.raises(PredictionsError, match="holds no predictions"):
        evals.read_event_predictions(tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("single", {"probability": {"label": np.zeros((60, 3))}}, "60 clips of 8"),
        ("single", {"truth": {"label": np.full(60, 8)}}, r"labels of 'label' from 8"),
        (
            "single",
            {"truth": {"label": np.zeros((60, 8))}},
            r"truth of 'label' is \[60",
        ),
        ("single", {"group": np.array(["x"])}, "60 clips and 1 of group"),
        ("multi", {"truth": {"target": np.full((60, 4), 2.0)}}, "is 0 or 1"),
        (
            "single",
            {"probability": {"noun": np.zeros((60, 8))}},
            "heads label, got noun",
        ),
        (
            "single",
            {"probability": {"label": np.full((60, 8), np.nan)}},
            "60 of 60 clips have no finite probabilities, the first '000.wav'",
        ),
    ],
)
def test_predictions_that_do_not_fit_are_refused(kind, changes, message):
    with pytest.raises(PredictionsError, match=message):
        made(kind, **changes)


def test_folds_become_one(tmp_path):
    p = made("single")
    parts = [evals._rows(p, np.arange(k, 60, 5)) for k in range(5)]
    whole = evals.concatenate_events(parts)
    assert len(whole) == 60
    scores = [
        evals.score(x, bootstrap=0)["figures"]["top1"]["value"] for x in (p, whole)
    ]
    assert scores[0] == pytest.approx(scores[1])
    with pytest.raises(
        PredictionsError, match="12 clips are there twice, the first '000.wav'"
    ):
        evals.concatenate_events([*parts, parts[0]])
    with pytest.raises(PredictionsError, match="no predictions"):
        evals.concatenate_events([])


def test_predictions_of_clips_of_a_set(tmp_path):
    manifest = tiny_events.numbered(tmp_path / "in", [800] * 4, per_group=2)
    dataset = tiny_events.built(manifest, tmp_path / "sets")
    probability = {"label": np.eye(3)[[0, 1, 1]]}
    p = evals.of_clips(dataset, np.array([0, 1, 3]), probability)
    assert p.path.tolist() == ["00.wav", "01.wav", "03.wav"]
    assert p.group.tolist() == ["g0", "g0", "g1"]
    found = evals.score(p, bootstrap=0)["figures"]
    assert found["top1"]["value"] == pytest.approx(2 / 3) and "top5" not in found


@pytest.mark.parametrize("kind", ["multi", "verb_noun"])
def test_an_evaluation_is_written_whole(kind, tmp_path):
    p = made(kind, sizes=dict.fromkeys(HEADS[kind], 2))
    found = evals.score(p, bootstrap=20)
    evals.write_evaluation(tmp_path, p, found, title="T", note="SIMULATED data")
    names = {path.name for path in tmp_path.iterdir()}
    expected = {"metrics.json", "predictions.parquet"}
    for head in p.classes:
        expected |= {f"per_class_{head}.csv", f"per_class_{head}.png"}
        if kind != "multi":
            expected |= {f"confusion_{head}.csv", f"confusion_{head}.png"}
    assert names == expected
    assert json.loads((tmp_path / "metrics.json").read_text()) == found
    for head, classes in p.classes.items():
        with pathlib.Path(tmp_path, f"per_class_{head}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [row["class"] for row in rows] == list(classes)
        png = pathlib.Path(tmp_path, f"per_class_{head}.png").read_bytes()
        assert png[:4] == b"\x89PNG" and len(png) > 5000


def test_of_many_classes_all_others_are_one():
    rng = np.random.default_rng(0)
    matrix = rng.integers(0, 5, (7, 7))
    found = event_figures._with_others(matrix, np.array([1, 4]))
    assert found[:2, :2].tolist() == matrix[np.ix_([1, 4], [1, 4])].tolist()
    # Shares of a class are of all its clips.
    assert found.sum(axis=1)[:2].tolist() == matrix.sum(axis=1)[[1, 4]].tolist()
    assert found.sum() == matrix.sum()
