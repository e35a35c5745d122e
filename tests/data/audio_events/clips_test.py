"""Manifests of audio events: written, read, and refused with a reason."""

import pytest
from etils import epath

from sigjax.data.audio_events.clips import (
    EventClip,
    EventManifest,
    ManifestError,
    occurring,
    read_manifest,
)
from tests.data.machine_sound.tiny_sounds import write_table


def _manifest(clips, kind, classes=None):
    return EventManifest(
        root=epath.Path("."),
        clips=tuple(clips),
        kind=kind,
        classes=classes or occurring(clips, kind),
    )


CLIPS = {
    "single": [
        EventClip(path="a/1.wav", labels=("dog",), fold=2, group="77"),
        EventClip(path="a/2.wav", start_s=0.25, end_s=1.5, split="test"),
        EventClip(path="b.wav", labels=("Child speech, kid speaking",)),
    ],
    "multi": [EventClip(path="1.wav", labels=("x", "y")), EventClip(path="2.wav")],
    "verb_noun": [EventClip(path="1.wav", verb="cut", noun="board", end_s=2.0)],
}


@pytest.mark.parametrize("kind", CLIPS)
def test_what_was_written_is_read(kind, tmp_path):
    # A class without a clip, and not in alphabetical order.
    own = occurring(CLIPS[kind], kind)
    classes = {head: ("zebra", *names[::-1]) for head, names in own.items()}
    manifest = _manifest(CLIPS[kind], kind, classes)
    manifest = EventManifest(
        root=epath.Path(tmp_path / "set"), clips=manifest.clips, kind=kind,
        classes=classes,
    )  # fmt: skip
    manifest.write(tmp_path / "tables" / "clips.csv")
    found = read_manifest(tmp_path / "tables" / "clips.csv")
    assert [c.path for c in found.clips] == [f"../set/{c.path}" for c in CLIPS[kind]]
    for clip, before in zip(found.clips, CLIPS[kind], strict=True):
        assert clip == EventClip(**{**vars(before), "path": clip.path})
    assert found.classes == classes and found.kind == kind
    assert sorted(p.name for p in (tmp_path / "tables").iterdir()) == [
        "clips.csv",
        "clips_classes.csv",
    ]


def test_of_a_table_of_ones_own_paths_and_labels_do(tmp_path):
    path = write_table(
        tmp_path / "own.csv", ["path,labels,fold", "x\\1.wav,dog,1", "x/2.wav,cat|dog,"]
    )
    found = read_manifest(path)
    assert found.kind == "multi" and found.classes == {"target": ("cat", "dog")}
    assert found.clips[0] == EventClip(path="x/1.wav", labels=("dog",), fold=1)
    assert (
        found.clips[1].labels == ("cat", "dog") and found.clips[1].source == "x/2.wav"
    )
    single = write_table(tmp_path / "one.csv", ["path,labels", "1.wav,dog"])
    assert read_manifest(single).kind == "single"
    assert read_manifest(single, multi_label=True).kind == "multi"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["file,labels", "1.wav,dog"], "no column 'path'"),
        (["path,labels,speed", "1.wav,dog,3"], "column 'speed' is none of path"),
        (["path,labels,start_s", "1.wav,dog,x"], "row 2: start_s: 'x' is no number"),
        (["path,labels,start_s,end_s", "1.wav,dog,3,2"], "row 2: .*no stretch"),
        (["path,labels", "1.wav,dog|dog"], "row 2: .*given twice"),
        (["path,labels", "1.wav,dog", ",cat"], "row 3: no path"),
        (["path,labels", "1.wav"], "there are no classes of 'label'"),
        (["path,labels,fold", "1.wav,dog,-2"], "fold -2 is negative"),
        (["path,labels", "1.wav,dog,cat"], "row 2: has more values"),
    ],
)
def test_wrong_tables_are_refused_by_row(rows, message, tmp_path):
    with pytest.raises(ManifestError, match=message):
        read_manifest(write_table(tmp_path / "clips.csv", rows))


def test_classes_are_checked(tmp_path):
    with pytest.raises(ManifestError, match="'dog' is none of the 1 classes"):
        _manifest(CLIPS["single"], "single", {"label": ("cat",)})
    with pytest.raises(ManifestError, match="'cat' is there twice"):
        _manifest([], "single", {"label": ("cat", "cat")})
    with pytest.raises(ManifestError, match="the heads verb, noun, got label"):
        _manifest([], "verb_noun", {"label": ("cat",)})
    path = write_table(tmp_path / "clips.csv", ["path,labels", "1.wav,dog"])
    write_table(tmp_path / "clips_classes.csv", ["head,name", "colour,dog"])
    with pytest.raises(ManifestError, match="colour are those of no kind"):
        read_manifest(path)
    with pytest.raises(ManifestError, match="labels in a set of one"):
        several = write_table(tmp_path / "two.csv", ["path,labels", "1.wav,a|b"])
        read_manifest(several, multi_label=False)
    with pytest.raises(FileNotFoundError):
        read_manifest(tmp_path / "none.csv")
