"""Batches of machine sounds: which clips, which samples, whoever reads them."""

import copy
import pickle

import numpy as np
import pytest

from sigjax.data.datasets import machine_sound
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.machine_sound import folder, layout, simulated
from sigjax.data.machine_sound.sounds import SoundSet
from sigjax.data.machine_sound.stream import (
    SimulatedSoundsConfig,
    SoundClips,
    SoundData,
    SoundDataConfig,
)
from sigjax.data.segments import Segments, fitted
from sigjax.train.task import Data
from tests.data.machine_sound import tiny_sounds
from tests.data.streams import batches, equal


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two machines, sections 00 and 03, clips of 0.2 s, 11 + 1 to train on each."""
    root = tmp_path_factory.mktemp("stream") / "dcase2021"
    audio, truth = tiny_sounds.year_2021(root, train=11, test=1, samples=3200)
    made = layout.scan(audio, truth=truth)
    path, _ = machine_sound.build(*made, root.parent / "sets")
    return SoundSet.open(path)


def data_of(dataset, **changes):
    given = {"dataset": "", "batch_size": 8, "clip_s": 0.1, "seed": 3, **changes}
    return SoundData(dataset, SoundDataConfig(**given))


def test_it_is_data_of_the_loop(dataset):
    data = data_of(dataset)
    assert isinstance(data, Data)
    (batch,) = batches(data, 1)
    assert batch.keys() == data.spec.keys() == {"wave", "label", "domain"}
    for key, spec in data.spec.items():
        assert (batch[key].shape, batch[key].dtype) == (spec.shape, spec.dtype)


def test_classes_are_sections_of_machines(dataset):
    data = data_of(dataset)
    assert data.classes == (
        ("fan", "00"),
        ("fan", "03"),
        ("pump", "00"),
        ("pump", "03"),
    )
    assert data.class_counts.tolist() == [12] * 4 and data.steps_per_epoch == 6
    assert data.class_of("pump", "00") == 2 and data.class_of("pump", "09") == -1
    one = data_of(dataset, machines=("pump",), split="eval")
    assert one.classes == (("pump", "03"),) and one.steps_per_epoch == 2
    assert data_of(dataset, sections=("00",)).classes == (("fan", "00"), ("pump", "00"))
    assert data.remarks == []


def test_a_section_of_which_there_are_test_clips_alone_is_told(dataset):
    clips = [c for c in dataset.clips if (c.side, c.section) != ("train", "03")]
    other = copy.copy(dataset)
    other.clips = tuple(clips)
    assert data_of(other).remarks == [
        f"{machine} section 03: 4 test clips are not scored, since none of that section"
        " is trained on"
        for machine in ("fan", "pump")
    ]
    assert data_of(other, sections=("00",)).remarks == []


def test_an_epoch_holds_each_clip_once_with_its_class_and_domain(dataset):
    data = data_of(dataset)
    seen = []
    for batch in batches(data, 6):
        for wave, label, domain in zip(*batch.values(), strict=True):
            # Crops are of one clip, and of its class and domain.
            for index in data.training_clips:
                if wave[:40].tobytes() in dataset.read(index).tobytes():
                    clip = dataset.clips[index]
                    assert data.classes[label] == (clip.machine, clip.section)
                    assert ("source", "target")[domain] == clip.domain
                    seen.append(index)
    assert sorted(seen) == data.training_clips.tolist() and len(set(seen)) == 48


def test_crops_are_drawn_anew_each_epoch(dataset):
    data = data_of(dataset, machines=("fan",), sections=("00",), batch_size=12)
    first, second = (b["wave"] for b in batches(data, 2))
    assert not {w.tobytes() for w in first} & {w.tobytes() for w in second}


def test_a_stream_goes_on_at_any_step_and_over_any_number_of_processes(dataset):
    data = data_of(dataset)
    whole = batches(data, 9)
    assert all(map(equal, whole[4:], batches(data, 5, start_step=4)))
    shards = [batches(data, 9, shard_index=i, shard_count=2) for i in range(2)]
    for batch, *parts in zip(whole, *shards, strict=True):
        for i, part in enumerate(parts):
            assert equal({k: v[i::2] for k, v in batch.items()}, part)
    assert not equal(whole[0], batches(data_of(dataset, seed=4), 1)[0])


def test_held_out_clips_are_of_every_class_and_never_of_the_target(dataset):
    data = data_of(dataset, validation_fraction=0.2)
    assert data.class_counts.tolist() == [10] * 4
    held = set(data.validation_clips.tolist())
    assert len(held) == 8 and not held & set(data.training_clips.tolist())
    assert {dataset.clips[i].domain for i in held} == {"source"}
    found = list(data.evaluation(shard_index=0, shard_count=1))
    weight = np.concatenate([b["weight"] for b in found])
    assert weight.tolist() == [1.0] * 8
    label = np.concatenate([b["label"] for b in found])
    assert np.bincount(label).tolist() == [2] * 4
    # The clip's beginning, the same each time.
    begins = {dataset.read(i)[:1600].tobytes() for i in held}
    assert {wave.tobytes() for b in found for wave in b["wave"]} == begins
    again = list(data.evaluation(shard_index=0, shard_count=1))
    assert all(map(equal, found, again))
    assert list(data_of(dataset).evaluation(shard_index=0, shard_count=1)) == []


def test_the_last_evaluation_batch_is_filled_up(dataset):
    data = data_of(dataset, validation_fraction=0.2, batch_size=6)
    weights = [b["weight"] for b in data.evaluation(shard_index=0, shard_count=1)]
    assert [w.sum() for w in weights] == [6, 2]


def test_short_clips_are_repeated(dataset):
    data = data_of(dataset, clip_s=0.5)
    (batch,) = batches(data, 1)
    assert batch["wave"].shape == (8, 8000)
    np.testing.assert_array_equal(batch["wave"][:, 3200:6400], batch["wave"][:, :3200])
    np.testing.assert_array_equal(batch["wave"][:, 6400:], batch["wave"][:, :1600])
    assert fitted(np.arange(3), 1, 5).tolist() == [1, 2, 1, 2, 1]


def test_whole_clips_come_in_segments(dataset):
    data = data_of(dataset, clip_s=0.15)  # 2400 of 3200 samples: two segments.
    indices, segments = data.clips(side="test", machine="fan", batch_size=5)
    assert [dataset.clips[i].side for i in indices] == ["test"] * 8
    assert segments.counts.tolist() == [2] * 8 and len(segments) == 4
    found = list(segments)
    assert {batch.wave.shape for batch in found} == {(5, 2400)}
    assert [batch.weight.sum() for batch in found] == [5, 5, 5, 1]
    waves = np.concatenate([b.wave[b.weight > 0] for b in found])
    rows = np.concatenate([b.row[b.weight > 0] for b in found])
    np.testing.assert_array_equal(rows, segments.rows())
    for row, index in enumerate(indices):
        begin, end = waves[rows == row]
        np.testing.assert_array_equal(begin, dataset.read(index)[:2400])
        np.testing.assert_array_equal(end, dataset.read(index)[-2400:])
    means = segments.mean(np.arange(16.0).reshape(16, 1))
    np.testing.assert_array_equal(means[:, 0], np.arange(8) * 2 + 0.5)
    with pytest.raises(ValueError, match="20 values for 16 segments"):
        segments.mean(np.zeros(20))


@pytest.mark.parametrize(
    ("samples", "counts"), [(3200, 1), (3199, 2), (1600, 2), (9600, 1), (1599, 3)]
)
def test_segments_cover_a_clip(dataset, samples, counts):
    segments = Segments(dataset, np.array([5]), samples=samples, batch_size=4)
    assert segments.counts.tolist() == [counts]
    (batch,) = segments
    wave = dataset.read(5)
    if samples <= 3200:
        missing = np.ones(3200, bool)
        for number in range(counts):
            start = min(number * samples, 3200 - samples)
            missing[start : start + samples] = False
            expected = wave[start : start + samples]
            np.testing.assert_array_equal(batch.wave[number], expected)
        assert not missing.any()
    else:
        np.testing.assert_array_equal(batch.wave[0], np.tile(wave, 3))


def test_clips_default_to_what_is_trained_on(dataset):
    data = data_of(dataset, machines=("fan",), split="dev")
    indices, _ = data.clips(side="train")
    assert {(dataset.clips[i].machine, dataset.clips[i].section) for i in indices} == {
        ("fan", "00")
    }
    indices, _ = data.clips(side="test", machine="pump", split="eval")
    assert {(dataset.clips[i].machine, dataset.clips[i].section) for i in indices} == {
        ("pump", "03")
    }
    with pytest.raises(DatasetError, match="no machine saw; it has fan, pump"):
        data.clips(machine="saw")
    _, none = data.clips(side="supplemental")
    assert list(none) == [] and none.mean(np.zeros((0, 3))).shape == (0, 3)


def test_anomalies_and_silence_are_not_trained_on_and_counted(tmp_path):
    tiny_sounds.write(tmp_path, [f"{n}.wav" for n in range(4)], samples=1600)
    (tmp_path / "2.wav").write_bytes(
        (tmp_path / "0.wav").read_bytes()[:44] + bytes(3200)
    )
    rows = ["path,label,side", *(f"{n}.wav,0,train" for n in range(3)), "3.wav,1,train"]
    table = tiny_sounds.write_table(tmp_path / "m.csv", rows)
    made = folder.folder_manifest(tmp_path, table)
    path, _ = machine_sound.build(*made, tmp_path / "sets")
    data = data_of(SoundSet.open(path), batch_size=2)
    assert [data.dataset.clips[i].path for i in data.training_clips] == [
        "0.wav",
        "1.wav",
    ]
    assert data.left_out == {"anomalies": 1, "silent": 1}
    assert data.remarks == ["clips that are not trained on: 1 anomalies, 1 silent"]
    assert data.clips(side="train")[0].tolist() == data.training_clips.tolist()
    (batch,) = batches(data, 1)
    assert batch["domain"].tolist() == [-1, -1]


def test_sections_of_several_years_are_not_one_class(tmp_path):
    tiny_sounds.write(tmp_path, ["a.wav", "b.wav"], samples=1600)
    rows = ["path,machine,year", "a.wav,fan,2021", "b.wav,fan,2022"]
    made = folder.folder_manifest(
        tmp_path, tiny_sounds.write_table(tmp_path / "m.csv", rows)
    )
    dataset = SoundSet.open(machine_sound.build(*made, tmp_path / "sets")[0])
    with pytest.raises(DatasetError, match="fan 00 is another machine in each of 2021"):
        data_of(dataset)
    assert data_of(dataset, year=2022).class_counts.tolist() == [1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"machines": ("fan", "saw")}, "no machine saw; it has fan, pump"),
        ({"sections": ("07",)}, "no section 07; it has 00, 03"),
        ({"year": 2020}, "no clip to train on .*year=2020 .none has the side train"),
        ({"clip_s": 1e-6}, "less than a sample"),
        ({"clip_s": 0.0}, "clip_s must be positive"),
        ({"split": "test"}, "split must be"),
        ({"validation_fraction": 1.0}, "not in"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"seed": -1}, "seed in"),
    ],
)
def test_what_does_not_fit_is_told(dataset, changes, message):
    with pytest.raises(ValueError, match=message):
        data_of(dataset, **changes)


def test_the_source_pickles(dataset):
    source = SoundClips(dataset, np.array([3]), np.array([0]), 9)
    again = pickle.loads(pickle.dumps(source))
    plans = [source.fixed_plan(0, 1)]
    assert equal(again.read(plans), source.read(plans))


def test_fingerprints_tell_data_apart(dataset):
    base = data_of(dataset).fingerprint
    assert base == data_of(dataset, read_threads=1).fingerprint
    for changes in ({"seed": 4}, {"machines": ("fan",)}, {"clip_s": 0.05}):
        assert data_of(dataset, **changes).fingerprint != base


def test_simulated_sounds_are_made_once(tmp_path):
    simulate = SimulatedSoundsConfig(
        machines=("fan", "valve"),
        sections=("00", "03"),
        train_source=2,
        train_target=1,
        test_normal=1,
        test_anomaly=1,
        clip_s=2.0,
    )
    config = SoundDataConfig(dataset="", batch_size=4, clip_s=1.0, simulate=simulate)
    with pytest.raises(DatasetError, match="no finished set"):
        simulated.open_sound_data(config, tmp_path, build=False)
    data = simulated.open_sound_data(config, tmp_path)
    assert data.simulated and len(data.classes) == 4
    assert data.class_counts.tolist() == [3] * 4
    _, segments = data.clips(side="test", split="eval")
    labels = [data.dataset.clips[i].label for i in segments.indices]
    assert sorted(labels) == [0] * 4 + [1] * 4
    again = simulated.open_sound_data(config, tmp_path)
    assert again.fingerprint == data.fingerprint
    with pytest.raises(DatasetError, match="no data: build a set"):
        nothing = SoundDataConfig(dataset="", batch_size=4)
        simulated.open_sound_data(nothing, tmp_path)
