"""Probes find what is there, whoever else is trained; errors name what is wrong."""

import functools

import jax
import numpy as np
import pytest

from sigjax.evals.layer_probes import LayerFeatures, layers_of, sweep
from sigjax.evals.layer_probes.sweep import _Work
from tests.evals.layer_probes import examples


@functools.cache
def swept():
    """Three layers, two uneven folds and two seeds; two workers take turns."""
    values, label = examples.values_and_labels()
    told = []
    found = sweep(
        layers_of("m", values),
        label,
        examples.CLASSES,
        examples.two_folds(),
        examples.small(),
        devices=jax.local_devices()[:1] * 2,
        on_done=lambda done, total: told.append((done, total)),
    )
    return found, told


def test_the_layer_that_tells_is_chosen():
    found, told = swept()
    assert [p.layer for p in found.chosen("m")] == ["1", "1"]
    assert found.oracle("m").layer == "1"
    uar = {p.layer: found.test_uar(p.probability) for p in found.probed}
    assert uar["1"].shape == (2, 2) and uar["1"].mean() > 0.6
    assert uar["0"].mean() < 0.55 and uar["2"].mean() < 0.55
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert [p.layer for p in found.probed] == ["0", "1", "2"]


def test_a_probe_is_the_same_alone_and_among_others():
    among, _ = swept()
    values, label = examples.values_and_labels()
    alone = sweep(
        layers_of("m", values[:, 1:2], ["1"]),
        label,
        examples.CLASSES,
        examples.two_folds()[1:],
        examples.small(seeds=(5,)),
    )
    one, same = alone.probed[0], among.probed[1]
    np.testing.assert_allclose(one.probability[0][0], same.probability[1][1], atol=1e-4)
    assert one.epochs[0, 0] == same.epochs[1, 1]
    assert one.best_epoch[0, 0] == same.best_epoch[1, 1]
    for name in one.history:
        np.testing.assert_allclose(
            one.history[name][0, 0], same.history[name][1, 1], atol=1e-4
        )


def test_what_is_kept_is_the_first_best_epoch():
    found, _ = swept()
    for probed in found.probed:
        uar = probed.history["validation_uar"]
        np.testing.assert_array_equal(probed.best_epoch, np.nanargmax(uar, axis=-1))
        np.testing.assert_array_equal(probed.validation_uar, np.nanmax(uar, axis=-1))
        ran = np.isfinite(uar).sum(axis=-1)
        np.testing.assert_array_equal(probed.epochs, ran)
        stopped = np.minimum(probed.best_epoch + 1 + 4, 12)
        np.testing.assert_array_equal(ran, stopped)


def test_learned_weights_prefer_the_layer_that_tells():
    values, label = examples.values_and_labels()
    found = sweep(
        layers_of("m", values),
        label,
        examples.CLASSES,
        examples.two_folds()[:1],
        examples.small(kind="weighted", hidden=(), epochs=10, patience=10, seeds=(0,)),
    )
    (probed,) = found.probed
    assert probed.layer == "weighted" and probed.weighted == ("0", "1", "2")
    assert probed.weights is not None
    np.testing.assert_allclose(probed.weights.sum(axis=-1), 1)
    assert probed.weights.argmax() == 1
    assert found.test_uar(probed.probability)[0, 0] > 0.7


@pytest.mark.parametrize(("memory_mib", "sizes"), [(1e-3, [1] * 4), (1.0, [3, 1])])
def test_layers_of_one_width_share_a_call_as_memory_allows(memory_mib, sizes):
    values, label = examples.values_and_labels()
    features = layers_of("m", values)
    features.append(LayerFeatures(model="m", layer="cnn", values=values[:, 0, :4]))
    folds = examples.two_folds()
    work = _Work(features, label, 3, folds, examples.small(), False)
    jobs = list(work._jobs("gpu", 1, memory_mib))
    assert [len(job.layers) for job in jobs] == sizes
    assert sorted(i for job in jobs for i in job.layers) == [0, 1, 2, 3]


def probed(values=None, label=None, folds=None, **changes):
    default, labels = examples.values_and_labels()
    features = layers_of("m", default if values is None else values)
    label = labels if label is None else label
    folds = examples.two_folds() if folds is None else folds
    return sweep(features, label, examples.CLASSES, folds, examples.small(**changes))


def test_features_that_are_no_numbers_are_named():
    values, _ = examples.values_and_labels()
    values[[7, 33], 1, 2] = np.nan
    with pytest.raises(ValueError, match=r"m, layer 1: .* row 7 .*2 of 80"):
        probed(values, kind="linear")
    with pytest.raises(ValueError, match=r"m, layer 1: .* row 7"):
        probed(values, kind="knn")


def test_what_does_not_fit_is_refused():
    values, label = examples.values_and_labels()
    with pytest.raises(ValueError, match="80 labels"):
        probed(values[:50])
    with pytest.raises(ValueError, match=r"row 3 \(train\) has label -1"):
        probed(label=np.where(np.arange(80) == 3, -1, label))
    with pytest.raises(ValueError, match="one class alone"):
        probed(label=np.zeros(80, int))
    with pytest.raises(ValueError, match="same name"):
        sweep(
            layers_of("m", values) * 2,
            label,
            examples.CLASSES,
            examples.two_folds(),
            examples.small(),
        )
    with pytest.raises(ValueError, match="fusion"):
        sweep(
            layers_of("fusion", values),
            label,
            examples.CLASSES,
            examples.two_folds(),
            examples.small(),
        )
    with pytest.raises(ValueError, match="no features"):
        sweep([], label, examples.CLASSES, examples.two_folds(), examples.small())
