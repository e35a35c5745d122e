"""Built sets of audio events hold what the files hold; what they lack is told."""

import pickle

import numpy as np
import pytest
import soundfile
from etils import epath

from sigjax.data.audio_events import layouts
from sigjax.data.audio_events.clips import EventClip, EventManifest, Report
from sigjax.data.audio_events.sounds import EventSet
from sigjax.data.datasets import audio_events, sound_clips
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.datasets.sound_clips import SoundSettings
from tests.data.audio_events import tiny_events
from tests.data.machine_sound import tiny_sounds


@pytest.fixture(scope="module")
def audioset(tmp_path_factory):
    root = tiny_events.audioset(tmp_path_factory.mktemp("audioset"))
    manifest, report = layouts.scan(root)
    path, new = audio_events.build(manifest, report, root / "sets", name="audioset")
    assert new
    return root, EventSet.open(path)


def test_clips_classes_and_waves_are_those_of_the_files(audioset):
    root, dataset = audioset
    manifest, _ = layouts.scan(root)
    assert dataset.clips == manifest.clips and dataset.classes == manifest.classes
    assert dataset.kind == "multi" and dataset.multi_label
    assert (dataset.name, dataset.rate_hz, len(dataset)) == ("audioset", 16000, 3)
    assert dataset.splits == ("balanced", "eval") and dataset.folds == ()
    for index, clip in enumerate(dataset.clips):
        wave, _ = soundfile.read(root / clip.path, dtype="int16")
        np.testing.assert_array_equal(dataset.read(index), wave)
    assert ["--ZhevVpy1s", "no audio file of this name"] in dataset.metadata["left_out"]
    again = pickle.loads(pickle.dumps(dataset))
    np.testing.assert_array_equal(again.read(1), dataset.read(1))


def test_targets_of_several_labels(audioset):
    _, dataset = audioset
    (target,) = dataset.targets([0, 1, 2]).values()
    assert target.dtype == np.float32
    assert target.tolist() == [[1, 0, 0, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 1]]
    some = dataset.targets([0, 2], {"target": ("Gush", "Speech")})
    assert some["target"].tolist() == [[1, 1], [0, 0]]


def test_targets_of_one_label_and_of_verbs_and_nouns(tmp_path):
    manifest = tiny_events.numbered(tmp_path / "in", [800] * 4)
    dataset = tiny_events.built(manifest, tmp_path / "sets")
    (label,) = dataset.targets([3, 1, 2]).values()
    assert label.dtype == np.int32 and label.tolist() == [0, 1, 2]
    assert dataset.targets([0, 1], {"label": ("b",)})["label"].tolist() == [-1, 0]


def test_clips_that_cannot_be_used_are_left_out_with_a_reason(tmp_path):
    """Shorter than a frame, empty, cut off, behind the end of their file."""
    paths = ["a/good.wav", "a/short.wav", "a/empty.wav", "a/cut.wav", "a/eighth.wav"]
    root = tiny_sounds.write(tmp_path / "in", paths, samples=800)
    tiny_sounds.write(root, ["a/short.wav"], samples=399)
    tiny_sounds.write(root, ["a/eighth.wav"], samples=400, rate_hz=8000, channels=2)
    (root / "a/empty.wav").write_bytes(b"")
    (root / "a/cut.wav").write_bytes((root / "a/cut.wav").read_bytes()[:-200])
    clips = [EventClip(path=p, labels=("a",)) for p in paths]
    clips.append(EventClip(path="a/good.wav", labels=("a",), start_s=1.0, end_s=2.0))
    clips.append(EventClip(path="a/none.wav", labels=("a",)))
    manifest = EventManifest(
        root=epath.Path(root), clips=tuple(clips), kind="single",
        classes={"label": ("a",)},
    )  # fmt: skip
    dataset = tiny_events.built(manifest, tmp_path / "sets")
    # 8 kHz becomes 16 kHz, of two channels the first is taken.
    assert [
        (c.path, n) for c, n in zip(dataset.clips, dataset.samples, strict=True)
    ] == [
        ("a/good.wav", 800),
        ("a/eighth.wav", 800),
    ]
    assert dataset.metadata["file_rates_hz"]["8000"] == 1
    reasons = {path: why for path, why in dataset.metadata["left_out"]}
    assert reasons["a/short.wav"] == "shorter than 0.025 s"
    assert "is empty" in reasons["a/empty.wav"] and "cut off" in reasons["a/cut.wav"]
    assert (
        "before 1 s" in reasons["a/good.wav"]
        and "no such file" in reasons["a/none.wav"]
    )


def test_a_set_without_a_usable_clip_is_not_built(tmp_path):
    manifest = tiny_events.numbered(tmp_path / "in", [100, 200])
    with pytest.raises(DatasetError, match=r"no clip is usable \(2 left out\)"):
        tiny_events.built(manifest, tmp_path / "sets")
    assert not list(tmp_path.glob("sets/*/1.0.0"))


def test_stretches_of_one_file_are_clips(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    wave = np.arange(16000).astype(np.int16)
    soundfile.write(root / "video.wav", wave, 16000, subtype="PCM_16")
    clips = tuple(
        EventClip(path="video.wav", verb=v, noun="n", start_s=a, end_s=b, split=s)
        for v, a, b, s in (
            ("x", 0.1, 0.35, "train"),
            ("y", 0.25, 0.5, "train"),
            ("x", 0.9, 5.0, "validation"),
        )
    )
    manifest = EventManifest(
        root=epath.Path(root), clips=clips, kind="verb_noun",
        classes={"verb": ("x", "y"), "noun": ("m", "n")},
    )  # fmt: skip
    dataset = tiny_events.built(manifest, tmp_path / "sets")
    assert [w[[0, -1]].tolist() for w in map(dataset.read, range(3))] == [
        [1600, 5599],
        [4000, 7999],
        [14400, 15999],  # ends with the file
    ]
    targets = dataset.targets([0, 1, 2])
    assert targets["verb"].tolist() == [0, 1, 0] and targets["noun"].tolist() == [1] * 3


def test_a_set_that_was_built_otherwise_is_not_taken_for_it(tmp_path):
    manifest = tiny_events.numbered(tmp_path / "in", [800] * 3)
    first = tiny_events.built(manifest, tmp_path / "sets")
    report = Report(files=3, clips=3)
    assert audio_events.build(manifest, report, tmp_path / "sets")[1] is False
    # The same clips of other classes are another set.
    wider = EventManifest(
        root=manifest.root, clips=manifest.clips, kind="single",
        classes={"label": ("a", "b", "c", "d")},
    )  # fmt: skip
    with pytest.raises(DatasetError, match="built otherwise .from other clips, 3"):
        audio_events.build(wider, report, tmp_path / "sets")
    settings = SoundSettings(rate_hz=8000)
    with pytest.raises(DatasetError, match="rate_hz=16000, not 8000"):
        audio_events.build(manifest, report, tmp_path / "sets", settings=settings)
    other = tiny_events.built(wider, tmp_path / "sets", overwrite=True)
    assert other.fingerprint != first.fingerprint
    with pytest.raises(DatasetError, match="build one with .*launch.build_events"):
        EventSet.open(tmp_path / "nothing")


def test_sets_of_machine_sounds_are_none_of_these(tmp_path):
    from sigjax.data.datasets import machine_sound
    from sigjax.data.machine_sound import folder

    root = tiny_sounds.write(tmp_path / "in", ["normal/a.wav"], samples=1600)
    path, _ = machine_sound.build(*folder.folder_manifest(root), tmp_path / "sets")
    with pytest.raises(DatasetError, match="not a set of audio events"):
        EventSet.open(path)


def test_large_splits_go_on_in_another_file(tmp_path, monkeypatch):
    monkeypatch.setattr(sound_clips, "MOST_IN_FILE", 3)
    manifest = tiny_events.numbered(tmp_path / "in", [800] * 7)
    dataset = tiny_events.built(manifest, tmp_path / "sets")
    assert dataset.metadata["splits"] == ["train", "train_2", "train_3"]
    assert dataset.clips == manifest.clips
    for number in (0, 2, 3, 6):
        assert dataset.read(number)[0] == 1000 * number
