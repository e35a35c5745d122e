"""Nearest neighbours vote as scikit-learn's do; validation chooses how many."""

import numpy as np
from sklearn.neighbors import KNeighborsClassifier

from sigjax.evals.layer_probes import layers_of, sweep
from tests.evals.layer_probes import examples


def expected(values, label, fold, count):
    train = values[fold.train].astype(np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0, ddof=1)
    model = KNeighborsClassifier(count, algorithm="brute")
    model.fit((train - mean) / deviation, label[fold.train])
    return [
        model.predict_proba((values[rows] - mean) / deviation)
        for rows in (fold.validation, fold.test)
    ]


def test_votes_are_scikit_learns_and_validation_chooses_their_number():
    values, label = examples.values_and_labels()
    folds = examples.two_folds()
    counts = (1, 4, 7, 500)  # 500 are more than there are
    found = sweep(
        layers_of("m", values),
        label,
        examples.CLASSES,
        folds,
        examples.small(kind="knn", neighbours=counts),
    )
    for layer, probed in enumerate(found.probed):
        for number, fold in enumerate(folds):
            uar = {}
            for count in (*counts[:3], len(fold.train)):
                told, test = expected(values[:, layer], label, fold, count)
                right = told.argmax(axis=1) == label[fold.validation]
                truth = label[fold.validation]
                uar[count] = np.mean([right[truth == c].mean() for c in set(truth)])
                if count == probed.neighbours[number]:
                    np.testing.assert_allclose(
                        probed.probability[number][0], test, atol=1e-6
                    )
            assert probed.neighbours[number] == max(uar, key=lambda k: uar[k])
            np.testing.assert_allclose(
                probed.validation_uar[number, 0], max(uar.values())
            )
    assert [p.layer for p in found.chosen("m")] == ["1", "1"]
