"""Every label window once, with its own scores, label, person and time."""

import types

import numpy as np
import pytest

from sigjax.data import labelled, windows
from sigjax.data import store as stores
from sigjax.evals import predictions as evals
from sigjax.evals import windows as run
from tests.data import tiny_sets

CLASSES = ("bicycling", "mixed", "sit-stand", "sleep", "walking")


# One sample a second, label windows of 10 s; nothing divides anything.
def lengths(person):
    return (44,) if person == 3 else (563 + 70 * person, 47 + 80 * person)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tiny_sets.build_counting(
            tmp_path_factory.mktemp("set"),
            patch,
            people=3,
            lengths=lengths,
            record_s=50,
        )
    return labelled.LabelledSet.open(folder)


def source_of(dataset, people=("P001", "P002", "P003"), **changes):
    given = {
        "scheme": "Willetts2018",
        "window_s": 200.0,
        "stride_s": 200.0,
        "tail": "reach_back",
        "unlabelled": True,
        **changes,
    }
    return windows.LabelledWindows(dataset, people, windows.WindowConfig(**given))


class Model:
    """Its scores and embeddings tell what it was given: person, stretch, sample."""

    labels = CLASSES
    label_s = 10.0

    def __init__(self, rate_hz=1.0, channels=3):
        self.signal = types.SimpleNamespace(rate_hz=rate_hz, channels=channels)
        self.shapes = []

    def tokens(self, x, valid_samples):
        self.shapes.append(x.shape)
        first = x.reshape(len(x), -1, 10, 3)[:, :, 0] / stores.SCALE
        place = 10 * np.arange(first.shape[1])
        assert not first[place >= valid_samples[:, None]].any()
        real = place + 10 <= valid_samples[:, None]
        return np.where(real[..., None], first, np.nan)

    def logits(self, x, valid_samples):
        person, stretch, sample = np.moveaxis(self.tokens(x, valid_samples), -1, 0)
        zero = np.zeros_like(sample)
        return np.stack([zero, person, stretch, sample / 1000, zero], axis=-1)


def _expected(dataset):
    """(recording, time, label) of each whole label window, and what the model says."""
    rows = []
    table = dataset.scheme("Willetts2018").table
    for segment in dataset.segments:
        for k in range(segment.samples // 10):
            score = [0, int(segment.person[1:]), segment.segment, k / 100, 0]
            label = table[segment.labels.code[k]]
            rows.append((segment.person, segment.start + 10 * k, label, score))
    return rows


@pytest.mark.parametrize("batch_size", [1, 4, 50])
def test_every_label_window_has_one_row_with_its_own_score(dataset, batch_size):
    found = run.predict_windows(Model(), source_of(dataset), batch_size=batch_size)
    expected = _expected(dataset)
    assert found.classes == CLASSES
    assert found.person.tolist() == [row[0] for row in expected]
    assert found.time.tolist() == [row[1] for row in expected]
    assert found.label.tolist() == [row[2] for row in expected]
    odds = np.exp([row[3] for row in expected])
    np.testing.assert_allclose(
        found.probability, odds / odds.sum(axis=-1, keepdims=True), atol=1e-5
    )
    assert found.probability.dtype == np.float32 and found.label.dtype == np.int32
    assert (found.label == -1).any() and len(evals.order(found)) == len(found)


def test_batches_have_one_shape_and_padding_is_no_row(dataset):
    model, told = Model(), []
    source = source_of(dataset)
    assert len(source) % 4

    def progress(batches):
        for batch in batches:
            yield batch
            told.append(batch)

    run.predict_windows(model, source, batch_size=4, progress=progress)
    assert set(model.shapes) == {(4, 200, 3)}
    assert len(told) == -(-len(source) // 4)


def test_windows_without_labels_have_no_rows_unless_asked_for(dataset):
    some = source_of(dataset, window_s=50.0, stride_s=50.0, unlabelled=False)
    every = source_of(dataset, window_s=50.0, stride_s=50.0)
    few, all_ = (run.predict_windows(Model(), s) for s in (some, every))
    assert len(few) <= len(all_) and (few.label >= 0).sum() == (all_.label >= 0).sum()
    assert (few.label >= 0).sum() == some.summary["labels_used"]


def test_embeddings_are_those_of_the_rows(dataset):
    source = source_of(dataset)
    every = _expected(dataset)
    chosen = np.sort(np.random.default_rng(0).choice(len(every), 40, replace=False))
    for batch_size in (1, 3):
        found = run.embed_rows(Model(), source, chosen, batch_size=batch_size)
        assert found.dtype == np.float32
        for row, (person, stretch, sample) in zip(chosen, found, strict=True):
            score = every[row][3]
            assert [person, stretch] == score[1:3]
            assert sample == pytest.approx(1000 * score[3], rel=1e-3)


def test_other_order_of_classes_is_put_right(dataset):
    class Turned(Model):
        labels = CLASSES[::-1]

        def logits(self, x, valid_samples):
            return super().logits(x, valid_samples)[..., ::-1]

    source = source_of(dataset)
    one, other = (run.predict_windows(m, source) for m in (Model(), Turned()))
    assert one.classes == other.classes == CLASSES
    np.testing.assert_array_equal(one.probability, other.probability)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"labels": (*CLASSES[:-1], "run")},
            "scheme has walking; only the model has r",
        ),
        ({"labels": CLASSES[:-1]}, "only the scheme has walking; .* has none"),
        ({"label_s": 5.0}, "label_s=5 but .* has 10"),
        ({"signal": Model(rate_hz=30.0).signal}, "rate_hz=30 but .* has 1"),
        ({"signal": Model(channels=6).signal}, "axes=6 but .* has 3"),
    ],
)
def test_a_model_of_other_signals_or_classes_is_refused(dataset, change, message):
    model = Model()
    for name, value in change.items():
        setattr(model, name, value)
    with pytest.raises(evals.PredictionsError, match=message):
        run.predict_windows(model, source_of(dataset))


def test_a_damaged_model_is_refused(dataset):
    class Broken(Model):
        def logits(self, x, valid_samples):
            return super().logits(x, valid_samples) * np.nan

    with pytest.raises(evals.PredictionsError, match="no finite probabilities"):
        run.predict_windows(Broken(), source_of(dataset))
