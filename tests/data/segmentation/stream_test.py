"""Batches of mixtures: folds apart, new in training, the same in evaluation."""

import dataclasses
import pickle

import numpy as np
import pytest
import soundfile
from etils import epath

from sigjax.data.audio_events.clips import EventClip, EventManifest, occurring
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.segmentation.mixture import MixtureConfig
from sigjax.data.segmentation.stream import MixtureData, MixtureDataConfig
from sigjax.train.task import Data
from tests.data.audio_events import tiny_events
from tests.data.streams import batches, equal

RATE_HZ, FOLDS = tiny_events.RATE_HZ, 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """12 clips of two classes: clip `i` is a tone of `500 (i + 1)` Hz, one silent."""
    root = epath.Path(tmp_path_factory.mktemp("mixtures"))
    time, clips = np.arange(4800) / RATE_HZ, []
    (root / "in").mkdir()
    for number in range(12):
        wave = 8000 * np.sin(2 * np.pi * 500 * (number + 1) * time)
        wave = (wave * (number != 3)).astype(np.int16)
        soundfile.write(root / "in" / f"{number:02d}.wav", wave, RATE_HZ)
        clips.append(
            EventClip(
                path=f"{number:02d}.wav",
                labels=("ab"[number % 2],),
                fold=1 + number % FOLDS,
            )
        )
    manifest = EventManifest(
        root=root / "in",
        clips=tuple(clips),
        kind="single",
        classes=occurring(clips, "single"),
    )
    return tiny_events.built(manifest, root / "sets")


def data_of(dataset, sources=True, mixture=(), **changes):
    config = MixtureDataConfig(
        dataset="",
        batch_size=4,
        seed=5,
        test_fold=3,
        mixtures=10,
        held_out_mixtures=6,
        mixture=MixtureConfig(
            window_s=0.3, events=(1, 2), event_s=(0.1, 0.2), **dict(mixture)
        ),
        **changes,
    )
    return MixtureData(dataset, config, sources=sources)


def test_it_is_data_of_the_loop(dataset):
    data = data_of(dataset)
    assert isinstance(data, Data) and data.steps_per_epoch == 3
    (batch,) = batches(data, 1)
    assert batch.keys() == data.spec.keys()
    for name, value in batch.items():
        assert (value.shape, value.dtype) == (
            data.spec[name].shape, data.spec[name].dtype,
        )  # fmt: skip
    assert "sources" not in batches(data_of(dataset, sources=False), 1)[0]
    assert "silent (train)" in data.remarks[0]  # clip 3 is of fold 1


def test_training_mixtures_are_new_in_every_epoch_and_resume(dataset):
    data = data_of(dataset)
    first, *_, later = batches(data, 6)
    assert not equal(first, later) and equal(later, batches(data, 1, start_step=5)[0])
    rows = [b["wave"][i].tobytes() for b in batches(data, 6) for i in range(4)]
    assert len(set(rows)) == 24
    parts = [batches(data, 1, shard_index=i, shard_count=2)[0] for i in (0, 1)]
    for i, part in enumerate(parts):
        np.testing.assert_array_equal(part["wave"], first["wave"][i::2])
    again = pickle.loads(pickle.dumps(data.train_source))
    plan = again.fixed_plan(2, 5)
    assert equal(again.read([plan]), data.train_source.read([plan]))


def test_held_out_mixtures_are_the_same_each_time(dataset):
    data = data_of(dataset)
    one, other = (list(data.mixtures("test")) for _ in range(2))
    assert all(equal(a, b) for a, b in zip(one, other, strict=True))
    assert sum(b["weight"].sum() for b in one) == 6
    reseeded = dataclasses.replace(data.config, seed=6)
    seeded = list(MixtureData(dataset, reseeded, sources=True).mixtures("test"))
    assert not equal(one[0], seeded[0])
    # Without a validation fold there is nothing to choose a step with.
    assert list(data.evaluation(shard_index=0, shard_count=1)) == []
    with pytest.raises(DatasetError, match="side 'validation'; clips: train .7., val"):
        data.mixtures("validation")


def loudest(source):
    spectrum = np.abs(np.fft.rfft(source.astype(float)))
    hz = np.argmax(spectrum) * RATE_HZ / len(source)
    return round(hz / 500) - 1


def test_folds_are_apart_and_labels_are_the_clips(dataset):
    """A clip is told by its tone, whatever was cut out of it."""
    data = data_of(dataset, mixture={"background": "clip"})
    sides = {"train": batches(data, 6), "test": list(data.mixtures("test"))}
    for side, some in sides.items():
        heard = set()
        for batch in some:
            for row, column in zip(*np.nonzero(batch["label"] >= 0), strict=True):
                number = loudest(batch["sources"][row, column])
                assert batch["label"][row, column] == number % 2
                heard.add(number)
        own = {int(dataset.clips[i].path[:2]) for i in data.sides[side]}
        assert heard <= own and len(heard) > len(own) / 2
        assert all((number % FOLDS == 2) == (side == "test") for number in own)
        assert 3 not in own  # silent


def test_backgrounds_are_of_the_same_side(dataset, monkeypatch):
    data = data_of(dataset, mixture={"background": "clip"})
    read, own = [], dataset.read_many
    monkeypatch.setattr(dataset, "read_many", lambda i: read.extend(i) or own(i))
    for side in ("train", "test"):
        read.clear()
        source = data._source(side, 30)
        source.read([source.fixed_plan(n, 0) for n in range(30)])
        assert set(read) <= set(data.sides[side].tolist()) and len(read) >= 60


def test_one_class_of_all(dataset):
    data = data_of(dataset, classes="event")
    assert data.classes == ("event",)
    (one,), (other,) = batches(data, 1), batches(data_of(dataset), 1)
    np.testing.assert_array_equal(one["wave"], other["wave"])
    assert set(np.unique(one["label"])) <= {-1, 0} and other["label"].max() == 1


def test_what_does_not_fit_is_refused(dataset):
    with pytest.raises(DatasetError, match="no fold 9"):
        data_of(dataset, validation_fold=9)
    with pytest.raises(ValueError, match="mixtures and held_out"):
        dataclasses.replace(data_of(dataset).config, mixtures=0)
    with pytest.raises(ValueError, match="classes must be 'set' or 'event'"):
        data_of(dataset, classes="all")
