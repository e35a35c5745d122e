"""Batches of audio events: which clips, which samples, whoever reads them."""

import collections
import itertools
import pickle

import numpy as np
import pytest
from etils import epath

from sigjax.data.audio_events import layouts
from sigjax.data.audio_events.clips import EventClip, EventManifest
from sigjax.data.audio_events.sides import held_out
from sigjax.data.audio_events.sounds import EventSet
from sigjax.data.audio_events.stream import (
    EventData,
    EventDataConfig,
    EventWindows,
)
from sigjax.data.audio_events.targets import Targets
from sigjax.data.datasets import audio_events
from sigjax.data.datasets.folders import DatasetError
from sigjax.train.task import Data
from tests.data.audio_events import tiny_events
from tests.data.streams import batches, equal

SAMPLES = 800  # of a window
# Shorter than a window, as long, longer. Sample t of clip i is 1000 i + t.
LENGTHS = [500, 800, 900, 2000] * 5


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """20 clips of classes a, b, c in 5 folds, two of each group."""
    root = tmp_path_factory.mktemp("stream")
    manifest = tiny_events.numbered(root / "in", LENGTHS, folds=5, per_group=2)
    return tiny_events.built(manifest, root / "sets")


def data_of(dataset, **changes):
    given = {
        "dataset": "",
        "batch_size": 4,
        "window_s": 0.05,
        "seed": 3,
        "test_fold": 1,
    }
    return EventData(dataset, EventDataConfig(**{**given, **changes}))


def evaluated(data, shard_count=1):
    parts = [
        list(data.evaluation(shard_index=i, shard_count=shard_count))
        for i in range(shard_count)
    ]
    return [b for part in parts for b in part]


def test_it_is_data_of_the_loop(dataset):
    data = data_of(dataset)
    assert isinstance(data, Data)
    (batch,) = batches(data, 1)
    assert batch.keys() == data.spec.keys() == {"wave", "valid", "clip", "label"}
    for key, spec in data.spec.items():
        assert (batch[key].shape, batch[key].dtype) == (spec.shape, spec.dtype)
    source = data.train_source
    again = pickle.loads(pickle.dumps(source))
    plans = [source.fixed_plan(2, 0)]
    assert equal(again.read(plans), source.read(plans))


def test_an_epoch_holds_each_clip_once_with_its_class(dataset):
    data = data_of(dataset)
    assert data.steps_per_epoch == 4 and len(data.sides["train"]) == 16
    seen = []
    for batch in batches(data, 4):
        for wave, valid, clip, label in zip(*batch.values(), strict=True):
            assert dataset.clips[clip].labels == (data.classes["label"][label],)
            start = int(wave[0]) - 1000 * clip
            length = LENGTHS[clip]
            assert valid == min(SAMPLES, length)
            assert 0 <= start <= max(0, length - SAMPLES)
            # A stretch of its own clip, then zeros.
            np.testing.assert_array_equal(
                wave[:valid], 1000 * clip + start + np.arange(valid)
            )
            assert not wave[valid:].any()
            seen.append(int(clip))
    assert sorted(seen) == data.sides["train"].tolist()


def test_windows_are_drawn_over_the_whole_clip(dataset):
    data = data_of(dataset, batch_size=16)
    starts = collections.defaultdict(set)
    for batch in batches(data, 40):
        for wave, clip in zip(batch["wave"], batch["clip"], strict=True):
            starts[int(clip)].add(int(wave[0]) - 1000 * int(clip))
    assert min(starts[7]) < 150 and max(starts[7]) > 1050  # of 0 to 1200
    assert starts[4] == {0} and starts[5] == {0}


def test_short_clips_are_repeated_if_asked(dataset):
    data = data_of(dataset, short="tile", test_fold=2)
    source = data.train_source
    row = int(np.flatnonzero(source.indices == 0)[0])
    batch = source.read([source.fixed_plan(row, 0)])
    assert batch["valid"].tolist() == [SAMPLES]
    np.testing.assert_array_equal(batch["wave"][0], np.arange(SAMPLES) % 500)


def test_a_stream_goes_on_at_any_step_and_over_any_number_of_processes(dataset):
    for sampling in ("uniform", "balanced"):
        data = data_of(dataset, sampling=sampling)
        whole = batches(data, 9)
        assert all(map(equal, whole[4:], batches(data, 5, start_step=4)))
        shards = [batches(data, 9, shard_index=i, shard_count=2) for i in range(2)]
        for batch, *parts in zip(whole, *shards, strict=True):
            for i, part in enumerate(parts):
                assert equal({k: v[i::2] for k, v in batch.items()}, part)
        other = data_of(dataset, seed=4, sampling=sampling)
        assert not equal(whole[0], batches(other, 1)[0])


def test_folds(dataset):
    data = data_of(dataset, test_fold=2, validation_fold=5)
    folds = {
        side: {dataset.clips[i].fold for i in rows} for side, rows in data.sides.items()
    }
    assert folds == {"train": {1, 3, 4}, "validation": {5}, "test": {2}}
    assert data.remarks == [] and data.left_out == {}
    with pytest.raises(DatasetError, match="no fold 7; it has 1, 2, 3, 4, 5"):
        data_of(dataset, test_fold=7)
    # Each clip is tested once.
    tested = np.concatenate(
        [data_of(dataset, test_fold=k).sides["test"] for k in dataset.folds]
    )
    assert sorted(tested.tolist()) == list(range(20))


def test_groups_never_cross(dataset):
    data = data_of(dataset, validation_fraction=0.3)
    held = {dataset.clips[i].group for i in data.sides["validation"]}
    trained = {dataset.clips[i].group for i in data.sides["train"]}
    assert held and not held & trained
    assert len(data.sides["validation"]) + len(data.sides["train"]) == 16
    assert data.class_counts["label"].min() > 0
    other = data_of(dataset, validation_fraction=0.3, seed=4).sides["validation"]
    assert other.tolist() != data.sides["validation"].tolist()


def test_held_out_groups_are_of_each_class_alike():
    rng = np.random.default_rng(0)
    strata = [f"c{k}" for k in range(10) for _ in range(32)]
    groups = [f"{c}-{rng.integers(0, 16)}" for c in strata]
    for fraction, most in ((0.1, 8), (0.25, 14)):
        held = held_out(groups, strata, fraction=fraction, seed=1)
        counts = collections.Counter(np.array(strata)[held])
        assert len(counts) == 10 and min(counts.values()) >= 32 * fraction - 1
        assert max(counts.values()) <= most
        whole = {g for g, h in zip(groups, held, strict=True) if h}
        assert not whole & {g for g, h in zip(groups, held, strict=True) if not h}
    # What is added later moves nobody: a group's turn is of its name alone.
    fewer = held_out(groups[:-1], strata[:-1], fraction=0.1, seed=1)
    assert (fewer == held_out(groups, strata, fraction=0.1, seed=1)[:-1]).mean() > 0.98
    assert not held_out(groups, strata, fraction=0.0, seed=1).any()
    # A class of one group is trained on, not held out.
    assert held_out(["x", "x", "y"], ["a", "a", "b"], fraction=0.5, seed=0).sum() == 0


def test_balanced_sampling_draws_classes_alike(tmp_path):
    labels = ("a",) * 18 + ("b", "c")
    manifest = tiny_events.numbered(tmp_path / "in", [800] * 20, labels=labels)
    dataset = tiny_events.built(manifest, tmp_path / "sets")
    data = data_of(dataset, test_fold=0, sampling="balanced", batch_size=20)
    assert data.class_counts["label"].tolist() == [18, 1, 1]
    label = np.concatenate([b["label"] for b in batches(data, 60)])
    share = np.bincount(label) / len(label)
    np.testing.assert_allclose(share, 1 / 3, atol=0.05)
    # Of the class of many, all clips come up.
    clips = np.concatenate([b["clip"] for b in batches(data, 60)])
    assert len(np.unique(clips)) == 20
    uniform = data_of(dataset, test_fold=0, batch_size=20)
    label = np.concatenate([b["label"] for b in batches(uniform, 3)])
    assert np.bincount(label).tolist() == [54, 3, 3]


def test_weights_of_several_labels_add_up():
    labels = [("x", "y"), ("x",), ("x",), ()]
    clips = [EventClip(path="p", labels=own) for own in labels]
    targets = Targets(clips, {"target": ("x", "y")}, multi_label=True)
    assert targets.counts()["target"].tolist() == [3, 1]
    expected = np.array([1 / 3.01 + 1 / 1.01, 1 / 3.01, 1 / 3.01, 1 / 1.01])
    np.testing.assert_allclose(targets.balanced_weights(), expected / expected.sum())
    words = [("v", "n"), ("v", "m"), ("w", "n")]
    clips = [EventClip(path="p", verb=v, noun=n) for v, n in words]
    heads = {"verb": ("v", "w"), "noun": ("n",)}  # "m" is not numbered
    targets = Targets(clips, heads, multi_label=False)
    assert targets.take([2, 1])["noun"].tolist() == [0, -1]
    expected = np.array([1 / 2.01 + 1 / 2.01, 1 / 2.01 + 1 / 1.01, 1 / 1.01 + 1 / 2.01])
    np.testing.assert_allclose(targets.balanced_weights(), expected / expected.sum())


def test_of_long_clips_the_middle_is_held_out(dataset):
    data = data_of(dataset, validation_fold=2)
    found = evaluated(data)
    assert [b["weight"].tolist() for b in found] == [[1.0] * 4]
    for wave, clip in zip(found[0]["wave"], found[0]["clip"], strict=True):
        start = max(0, LENGTHS[clip] - SAMPLES) // 2
        assert wave[0] == 1000 * clip + start
    assert all(map(equal, found, evaluated(data)))
    assert evaluated(data_of(dataset)) == []


def test_sliding_windows_count_for_their_clip_in_parts(dataset):
    options = {"validation_fold": 2, "validation_windows": "sliding", "hop_s": 0.03}
    data = data_of(dataset, **options)
    source = data.validation_source
    # Clips 4 to 7 of 500, 800, 900 and 2000 samples; a hop is 480.
    assert source.indices.tolist() == [4, 5, 6, 6, 7, 7, 7, 7]
    assert source.starts.tolist() == [0, 0, 0, 100, 0, 480, 960, 1200]
    weight, clip = (
        np.concatenate([b[key] for b in evaluated(data)]) for key in ("weight", "clip")
    )
    for own in (4, 5, 6, 7):
        assert weight[clip == own].sum() == pytest.approx(1)
    # The last batch is filled up, the rows do not count.
    wide = data_of(dataset, **options, batch_size=6)
    weights = [b["weight"] for b in evaluated(wide)]
    assert len(weights) == 2 and weights[1][2:].tolist() == [0.0] * 4
    assert sum(w.sum() for w in weights) == pytest.approx(4)
    halves = evaluated(wide, shard_count=2)
    assert sum(b["weight"].sum() for b in halves) == pytest.approx(4)


def test_windows_of_whole_clips_and_their_means(dataset):
    data = data_of(dataset, test_fold=2)
    windows = data.windows("test", hop_s=0.03, batch_size=5)
    assert windows.indices.tolist() == [4, 5, 6, 7]
    assert windows.counts.tolist() == [1, 1, 2, 4]
    first, valid = [], []
    for batch in windows:
        there = batch.weight > 0
        first.append(batch.wave[there, 0])
        valid.append(batch.valid[there])
        for wave, real in zip(batch.wave, batch.valid, strict=True):
            assert not wave[real:].any() and wave[real - 1] == wave[0] + real - 1
    means = windows.mean(np.concatenate(first).astype(float))
    assert means.tolist() == [4000.0, 5000.0, 6050.0, 7660.0]
    assert np.concatenate(valid).tolist() == [500] + [SAMPLES] * 7
    assert data.targets(windows.indices)["label"].tolist() == [1, 2, 0, 1]
    apart = data.windows("test")
    assert apart.counts.tolist() == [1, 1, 2, 3]
    tiled = data_of(dataset, test_fold=2, short="tile").windows("test")
    (batch,) = itertools.islice(tiled, 1)
    assert batch.valid.tolist() == [SAMPLES] * 4 and batch.wave[0, 500] == 4000
    with pytest.raises(ValueError, match="would not cover a clip"):
        data.windows("test", hop_s=0.06)


@pytest.fixture(scope="module")
def kitchen(tmp_path_factory):
    """Verbs and nouns: noun n2 and verb v2 are not trained on."""
    root = tmp_path_factory.mktemp("kitchen")
    numbered = tiny_events.numbered(root / "in", [800] * 8)
    words = ["v0 n0", "v1 n1", "v0 n1", "v1 n0", "v0 n2", "v2 n1", "v1 n1", "- -"]
    clips = tuple(
        EventClip(
            path=clip.path,
            verb=word.split()[0].strip("-"),
            noun=word.split()[1].strip("-"),
            split="train" if i < 4 else "validation",
            group=clip.group if i != 6 else numbered.clips[0].group,
        )
        for i, (clip, word) in enumerate(zip(numbered.clips, words, strict=True))
    )
    manifest = EventManifest(
        root=epath.Path(root / "in"), clips=clips, kind="verb_noun",
        classes={"verb": ("v0", "v1", "v2"), "noun": ("n2", "n1", "n0")},
    )  # fmt: skip
    return tiny_events.built(manifest, root / "sets")


def test_verbs_and_nouns(kitchen):
    options = {"test_fold": 0, "test_splits": ("validation",), "validation_splits": ()}
    data = data_of(kitchen, **options)
    (batch,) = batches(data, 1)
    assert batch["verb"].dtype == batch["noun"].dtype == np.int32
    for clip, verb, noun in zip(
        batch["clip"], batch["verb"], batch["noun"], strict=True
    ):
        own = kitchen.clips[clip]
        named = data.classes["verb"][verb], data.classes["noun"][noun]
        assert named == (own.verb, own.noun)
    assert data.remarks == [
        "1 classes without a training clip: v2",
        "1 classes without a training clip: n2",
        "1 sources have clips to train on and clips to report on, as the set divides"
        " them",
    ]
    # Unlabelled clips are kept where nothing is learned of them.
    assert data.targets(data.sides["test"])["verb"].tolist() == [0, 2, 1, -1]


def test_classes_without_a_clip_to_train_on_can_be_left_out(kitchen):
    options = {"test_fold": 0, "test_splits": ("validation",), "validation_splits": ()}
    data = data_of(kitchen, classes="trained", **options)
    assert data.classes == {"verb": ("v0", "v1"), "noun": ("n1", "n0")}
    assert data.sides["test"].tolist() == [6, 7]
    assert data.left_out == {"of classes not trained on (test)": 2}
    assert data.targets([6])["noun"].tolist() == [0]
    assert "clips that are not used: 2 of classes not trained on" in data.remarks[0]


def test_clips_without_a_label_teach_nothing(kitchen):
    data = data_of(
        kitchen, test_fold=0, train_splits=("train", "validation"), validation_splits=()
    )
    assert data.left_out == {"without a label (train)": 1}
    assert len(data.sides["train"]) == 7


def test_splits(kitchen):
    data = data_of(kitchen, test_fold=0)
    assert [len(data.sides[s]) for s in ("train", "validation", "test")] == [4, 3, 0]
    with pytest.raises(DatasetError, match="no split 'balanced' to train on"):
        data_of(kitchen, test_fold=0, train_splits=("balanced",))
    with pytest.raises(
        DatasetError, match="'train' is on the sides 'train' and 'test'"
    ):
        data_of(kitchen, test_fold=0, test_splits=("train",))
    with pytest.raises(DatasetError, match="no fold 1; it has none"):
        data_of(kitchen, test_fold=1)
    assert data.remarks[-1] == (
        "no clip is on the side 'test': the set has no split 'test', but train,"
        " validation"
    )
    unused = data_of(kitchen, test_fold=0, validation_splits=())
    assert unused.left_out == {"of split validation": 4}


def test_fingerprints_tell_streams_apart(dataset):
    base = data_of(dataset).fingerprint
    assert base == data_of(dataset, workers=2, read_threads=4).fingerprint
    for change in (
        {"seed": 4}, {"test_fold": 2}, {"window_s": 0.04}, {"short": "tile"},
        {"sampling": "balanced"}, {"batch_size": 8}, {"validation_fraction": 0.3},
    ):  # fmt: skip
        assert data_of(dataset, **change).fingerprint != base, change


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"window_s": 0.0}, "window_s must be positive"),
        ({"hop_s": 0.2}, "would leave gaps"),
        ({"short": "wrap"}, "short must be 'pad' or 'tile', got 'wrap'"),
        ({"sampling": "fair"}, "sampling must be"),
        ({"validation_fraction": 1.0}, r"not in \[0, 1\)"),
        ({"validation_fold": 1}, "a step chosen on what is reported"),
        ({"test_fold": 0, "validation_fold": 1}, "without test_fold"),
        ({"test_fold": -1}, "counted from 1"),
        ({"window_s": 1e-6}, "less than a sample at 16000 Hz"),
    ],
)
def test_configs_without_meaning_are_refused(dataset, given, message):
    with pytest.raises(ValueError, match=message):
        data_of(dataset, **given)


def test_a_window_of_several_labels(tmp_path):
    root = tiny_events.audioset(tmp_path)
    path, _ = audio_events.build(*layouts.scan(root), root / "sets")
    data = EventData(
        EventSet.open(path),
        EventDataConfig(
            dataset="", batch_size=2, window_s=0.05, train_splits=("balanced",)
        ),
    )
    (batch,) = batches(data, 1)
    assert batch["target"].tolist() == [[1, 0, 0, 1, 0]] * 2 and data.multi_label
    assert data.spec["target"].shape == (2, 5)
    assert data.class_counts["target"].tolist() == [1, 0, 0, 1, 0]
    assert data.remarks[0] == "clips that are not used: 2 of split eval"
    assert data.remarks[1].startswith("3 classes without a training clip: Child")


def test_real_esc10_in_five_folds(real_data, tmp_path):
    """Two classes of real clips of 5 s: the official protocol, in windows of 2 s."""
    manifest, report = layouts.scan(real_data / "esc10")
    names = manifest.classes["label"][4:6]
    clips = tuple(c for c in manifest.clips if c.labels[0] in names and c.fold < 3)
    small = EventManifest(
        root=manifest.root, clips=clips, kind="single", classes={"label": names}
    )
    path, _ = audio_events.build(small, report, tmp_path)
    data = EventData(
        EventSet.open(path),
        EventDataConfig(dataset="", batch_size=8, window_s=2.0, test_fold=1),
    )
    assert {side: len(i) for side, i in data.sides.items()} == {
        "train": 16,
        "validation": 0,
        "test": 16,
    }
    assert data.remarks == [] and not data.simulated and data.rate_hz == 16000
    (batch,) = batches(data, 1)
    assert batch["wave"].shape == (8, 32000) and (batch["valid"] == 32000).all()
    assert np.abs(batch["wave"]).max() > 1000
    windows = data.windows("test", hop_s=1.0)
    assert windows.counts.min() >= 3 and len(windows.counts) == 16


def test_windows_of_a_source_by_hand(dataset):
    source = EventWindows(
        dataset, np.array([3]), dataset.classes, samples=SAMPLES, hop=SAMPLES
    )
    assert len(source) == 3 and source.share is not None
    np.testing.assert_allclose(source.share, 1 / 3)
    assert source.starts.tolist() == [0, 800, 1200]
