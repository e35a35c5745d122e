"""Validation chooses, the oracle looks at the test; fusion; tables; figures."""

import csv
import json
import math

import matplotlib.image
import numpy as np
import pytest

from sigjax.evals.layer_probes import (
    Fold,
    Probed,
    Sweep,
    figures,
    fused,
    protocol,
    report,
    score,
)
from sigjax.evals.layer_probes.results import FUSION

CLASSES = ("a", "b", "c", "never")
LABEL = np.array([0, 1, 2, 0, 1, 2, 0, 0, 1, 2])
FOLDS = (
    Fold(
        name="x", train=np.arange(4), validation=np.arange(4, 6), test=np.arange(6, 10)
    ),
    Fold(
        name="y", train=np.arange(4, 10), validation=np.arange(2), test=np.arange(2, 4)
    ),
)
SEEDS = 3


def posteriors(right):
    """Of each fold `[s, q, v]`; `right` rows of a seed are given their class."""
    found = []
    for fold in FOLDS:
        label = LABEL[fold.test]
        told = np.where(np.arange(len(label)) < right, label, (label + 1) % 3)
        one = np.full((len(label), 4), 0.1, np.float32)
        one[np.arange(len(label)), told] = 0.7
        found.append(np.stack([one] * SEEDS))
    return tuple(found)


def layer(model, name, validation, right):
    shape = (len(FOLDS), SEEDS)
    return Probed(
        model=model,
        layer=name,
        validation_uar=np.broadcast_to(np.array(validation)[:, None], shape),
        best_epoch=np.zeros(shape, int),
        epochs=np.ones(shape, int),
        probability=posteriors(right),
    )


def example():
    probed = (
        layer("m", "cnn", [0.2, 0.9], 1),
        layer("m", "0", [0.5, 0.9], 2),
        layer("m", "1", [0.4, 0.3], 4),
        layer("other/net", "0", [0.1, 0.1], 3),
    )
    return Sweep(
        protocol=protocol("default", seeds=(0, 1, 2)),
        classes=CLASSES,
        folds=FOLDS,
        label=LABEL,
        probed=probed,
    )


def test_validation_chooses_for_each_fold_and_the_oracle_by_test():
    found = example()
    # 0.9 twice in the second fold: the first of equals.
    assert [p.layer for p in found.chosen("m")] == ["0", "cnn"]
    assert found.oracle("m").layer == "1"
    chosen = found.chosen_probability("m")
    np.testing.assert_array_equal(chosen[1], found.probed[0].probability[1])
    with pytest.raises(KeyError, match="no model 'n'"):
        found.of("n")


def test_uar_is_of_the_classes_that_a_folds_test_has():
    found = example()
    uar = found.test_uar(found.probed[1].probability)
    # Fold x tests a a b c, of which the first two are right: recalls 1, 0, 0.
    # Fold y tests c a, both right.
    np.testing.assert_allclose(uar, [[1 / 3] * 3, [1.0] * 3])
    assert found.absent()["x"]["test"] == ("never",)
    assert found.absent()["y"] == {
        "train": ("never",),
        "validation": ("c", "never"),
        "test": ("b", "never"),
    }


def test_the_interval_is_students_over_seeds():
    found = score(np.array([[0.1, 0.2, 0.3], [0.3, 0.4, 0.5]]))
    assert found["value"] == pytest.approx(0.3)
    half = 4.3027 * 0.1 / math.sqrt(3)
    assert found["low"] == pytest.approx(0.3 - half, abs=1e-5)
    assert found["high"] == pytest.approx(0.3 + half, abs=1e-5)
    assert found["folds"] == pytest.approx([0.2, 0.4])
    assert score(np.array([[0.5]]))["low"] is None
    assert score(np.array([[0.99, 0.2]]))["low"] == 0.0


def test_fusion_is_the_mean_of_posteriors():
    a, b = np.array([[[0.6, 0.4, 0.0]]]), np.array([[[0.0, 0.5, 0.5]]])
    (found,) = fused([(a,), (b,)])
    np.testing.assert_allclose(found, [[[0.3, 0.45, 0.25]]])
    with pytest.raises(ValueError, match="differ"):
        fused([(a,), (b[:, :, :2],)])
    with pytest.raises(ValueError, match="a member"):
        fused([])


def test_tables_are_written(tmp_path):
    found = example()
    told = report.write(tmp_path, found, paper={"m": 0.5})
    assert json.loads((tmp_path / "metrics.json").read_text()) == told
    names = [model["model"] for model in told["models"]]
    assert names == ["m", "other/net", FUSION]
    assert told["models"][0]["layer"] == "0, cnn"
    assert told["models"][0]["oracle_layer"] == "1"
    assert told["models"][0]["paper"] == 0.5 and told["models"][1]["paper"] is None
    # Recall of b: fold x alone has it; never is tested by none.
    assert told["per_class"]["other/net"]["b"] == {"recall": 1.0, "support": 1}
    assert told["per_class"]["m"]["never"] == {"recall": None, "support": 0}
    with (tmp_path / "confusion.csv").open() as file:
        rows = list(csv.reader(file))
    assert len(rows) == 1 + 3 * 4
    assert sum(int(n) for row in rows[1:5] for n in row[2:]) == 6 * SEEDS
    with (tmp_path / "layers.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 4
    text = report.table(told)
    assert "| m | 0, cnn | 66.67 [66.67, 66.67] | 1 | 100.00 [100.00, 100.00] | 50.00 |"
    assert text.count("\n") == 5 and "50.00" in text


def drawn(path):
    image = matplotlib.image.imread(path)
    assert image[..., :3].std() > 0.05  # not an empty page
    return image.shape


def test_figures_are_drawn(tmp_path):
    told = report.summary(example())
    curves = figures.Curves(
        name="data", layers=told["layers"], models=told["models"], chance=1 / 3
    )
    undefined = {"value": None, "low": None, "high": None}
    alone = [{"model": "m", "layer": "weighted", "test": undefined}]
    figures.layer_curves(
        tmp_path / "a.png",
        [curves, figures.Curves(name="$no_math", layers=alone)],
        title="T",
        note="N",
    )
    assert drawn(tmp_path / "a.png")[1] > 1000
    matrices = report.confusions(example())
    many = [f"class {i}" for i in range(45)]
    figures.confusion_panels(
        tmp_path / "b.png",
        [("few", matrices[FUSION], CLASSES), ("many", np.eye(45, dtype=int), many)],
        title="T",
    )
    assert drawn(tmp_path / "b.png")[1] > 1000
    rng = np.random.default_rng(0)
    figures.durations(
        tmp_path / "c.png",
        {"calls": rng.lognormal(-2, 1, 500), "one": np.array([70.0])},
        title="T",
    )
    drawn(tmp_path / "c.png")
    figures.pipeline(
        tmp_path / "d.png",
        rng.normal(size=2032),
        rng.normal(size=(6, 20)),
        layer="4",
        title="T",
    )
    drawn(tmp_path / "d.png")
    with pytest.raises(ValueError, match="zero: durations"):
        figures.durations(tmp_path / "e.png", {"zero": np.zeros(3)}, title="T")
    with pytest.raises(ValueError, match="nothing to draw"):
        figures.layer_curves(tmp_path / "e.png", [], title="T")
