"""Published layouts: what is found in them, and what of it is missing."""

import pytest

from sigjax.data.audio_events import audioset, epic_kitchens, folder, layouts
from sigjax.data.audio_events.clips import EventClip, ManifestError
from tests.data.audio_events import tiny_events
from tests.data.machine_sound.tiny_sounds import write, write_table


def test_audioset(tmp_path):
    root = tiny_events.audioset(tmp_path)
    assert layouts.layout_of(root) == "audioset"
    manifest, report = layouts.scan(root)
    assert manifest.kind == "multi"
    assert manifest.classes == {
        "target": ("Speech", "Child speech, kid speaking", "Dog", "Gush", "Music")
    }
    assert manifest.clips == (
        EventClip(
            path="bal/Y--PJHxphWEs.wav",
            labels=("Speech", "Gush"),
            split="balanced",
            group="--PJHxphWEs",
        ),
        EventClip(
            path="eval/--4gqARaEJE_0.000.flac",
            labels=("Dog",),
            split="eval",
            group="--4gqARaEJE",
        ),
        EventClip(
            path="eval/-0RWZT-miFs_420000_430000.wav",
            labels=("Music",),
            split="eval",
            group="-0RWZT-miFs",
        ),
    )
    assert report.reasons() == {
        "no audio file of this name": ["--ZhevVpy1s"],
        "none of its labels is in the table of classes": ["--BfvyPmVMo"],
        "not in the tables of the set": ["eval/stranger.wav"],
    }
    assert report.counts["labels that are not in the table of classes"] == 2
    assert report.warnings == (
        "1 of 2 clips of the split 'balanced' have no audio: scores are not those of"
        " the whole set",
        "1 of 5 classes of 'target' have no clip",
    )
    text = "\n".join(report.lines())
    assert "1 left out: no audio file of this name; --ZhevVpy1s" in text


def test_whole_videos_of_audioset_are_cut(tmp_path):
    manifest, _ = audioset.scan(tiny_events.audioset(tmp_path), whole_videos=True)
    stretches = [(c.start_s, c.end_s) for c in manifest.clips]
    # Files whose names tell where they begin are segments already.
    assert stretches == [(30.0, 40.0), (0.0, None), (0.0, None)]


@pytest.mark.parametrize(
    "name",
    [
        "YTID0000000", "YYTID0000000", "YTID0000000_30.000", "YTID0000000_30",
        "YTID0000000_000030", "YTID0000000_30000_40000", "YTID0000000_30.0_40.0",
        "YTID0000000_30.000_40.000", "YTID0000000_000030_000040", "YYTID0000000_30",
    ],
)  # fmt: skip
def test_known_names_of_segments(name):
    assert name in audioset._stems("YTID0000000", 30.0, 40.0)
    assert "YTID0000000_31" not in audioset._stems("YTID0000000", 30.0, 40.0)


def test_of_files_of_one_name_that_of_the_own_split_is_taken(tmp_path):
    root = tiny_events.audioset(tmp_path)
    write(root, ["aaa/-0RWZT-miFs_420000_430000.wav"], samples=80)
    manifest, report = audioset.scan(root)
    assert manifest.clips[2].path == "eval/-0RWZT-miFs_420000_430000.wav"
    assert report.counts["files of a name that another has, not used"] == 1


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("class_labels_indices.csv", ["a,b", "1,2"], "expected the columns index,mid"),
        (
            "class_labels_indices.csv",
            ["index,mid,display_name", "0,/m/1,A", "2,/m/2,B"],
            "does not count from 0",
        ),
        ("eval_segments.csv", ["x, 1, 2, /m/1, /m/2"], "row 1: 5 values"),
        ("eval_segments.csv", ["# c", 'x, 1, y, "/m/1"'], "row 2: end_seconds 'y'"),
    ],
)
def test_wrong_tables_of_audioset(name, rows, message, tmp_path):
    root = tiny_events.audioset(tmp_path)
    write_table(root / name, rows)
    with pytest.raises(ManifestError, match=message):
        layouts.scan(root, "audioset")


ESC50 = [
    "filename,fold,target,category,esc10,src_file,take",
    "1-100032-A-0.wav,1,0,dog,True,100032,A",
    "2-100038-A-14.wav,2,14,chirping_birds,False,100038,A",
    "2-100038-B-14.wav,2,14,chirping_birds,False,100038,B",
    "5-7-A-1.wav,5,1,rooster,True,7,A",
]


def test_esc50(tmp_path):
    root = tmp_path / "ESC-50-master"
    write_table(root / "meta/esc50.csv", ESC50)
    write(root, [f"audio/{row.split(',')[0]}" for row in ESC50[1:]])
    manifest, report = layouts.scan(tmp_path)
    # In the order of the targets.
    assert manifest.classes == {"label": ("dog", "rooster", "chirping birds")}
    assert [(c.fold, c.group, c.labels[0]) for c in manifest.clips] == [
        (1, "100032", "dog"),
        (2, "100038", "chirping birds"),
        (2, "100038", "chirping birds"),
        (5, "7", "rooster"),
    ]
    assert manifest.clips[0].path == "ESC-50-master/audio/1-100032-A-0.wav"
    assert not report.left_out
    ten, report = layouts.scan(tmp_path, "esc50", esc10=True)
    assert ten.classes == {"label": ("dog", "rooster")} and len(ten.clips) == 2
    assert report.counts["clips of ESC-50 that are not of ESC-10"] == 2
    write_table(root / "meta/esc50.csv", [*ESC50, "5-8-A-1.wav,5,1,hen,True,8,A"])
    with pytest.raises(ManifestError, match="target 1 is 'rooster' and 'hen'"):
        layouts.scan(tmp_path)


def test_real_esc10(real_data):
    root = real_data / "esc10"
    assert layouts.layout_of(root) == "esc10"
    manifest, report = layouts.scan(root)
    assert len(manifest.clips) == 400 and not report.left_out
    assert manifest.classes["label"][:2] == ("Dog bark", "Rain")
    for fold in range(1, 6):
        own = [c for c in manifest.clips if c.fold == fold]
        assert len(own) == 80
        assert {len([c for c in own if c.labels == (n,)])
                for n in manifest.classes["label"]} == {8}  # fmt: skip
    # Clips of one source are in one fold.
    folds = {}
    for clip in manifest.clips:
        folds.setdefault(clip.group, set()).add(clip.fold)
    assert {len(found) for found in folds.values()} == {1} and len(folds) > 250


def test_vggsound(tmp_path):
    write_table(
        tmp_path / "vggsound.csv",
        [
            "glLQrEijrKg,300,playing hammond organ,test",
            '0_8-g2rof7E,49,"heart sounds, heartbeat",train',
            "6jiO0tPLK7U,90,basketball bounce,train",
            "6jiO0tPLK7U,100,basketball bounce,train",
            "glLQrEijrKg,300,playing hammond organ,test",
        ],
    )
    write(
        tmp_path,
        [
            "audio/glLQrEijrKg_000300.wav",
            "audio/0_8-g2rof7E_49000_59000.flac",
            "audio/6jiO0tPLK7U_000100.wav",
        ],
    )
    manifest, report = layouts.scan(tmp_path)
    assert [(c.path, c.labels[0], c.split, c.group) for c in manifest.clips] == [
        (
            "audio/glLQrEijrKg_000300.wav",
            "playing hammond organ",
            "test",
            "glLQrEijrKg",
        ),
        (
            "audio/0_8-g2rof7E_49000_59000.flac",
            "heart sounds, heartbeat",
            "train",
            "0_8-g2rof7E",
        ),
        ("audio/6jiO0tPLK7U_000100.wav", "basketball bounce", "train", "6jiO0tPLK7U"),
    ]
    assert report.reasons()["no audio file of this name"] == ["6jiO0tPLK7U_000090"]
    assert report.counts["rows that are there twice"] == 1
    write_table(tmp_path / "vggsound.csv", ["a,1,b,train", "a,2,b,validation"])
    with pytest.raises(ManifestError, match="row 2: .* is not an id, a start"):
        layouts.scan(tmp_path)


def test_one_stretch_with_two_labels_is_told(tmp_path):
    rows = ["glLQrEijrKg,300,organ,test", "glLQrEijrKg,300,piano,test"]
    write_table(tmp_path / "vggsound.csv", rows)
    write(tmp_path, ["glLQrEijrKg_000300.wav"])
    manifest, report = layouts.scan(tmp_path)
    assert [c.labels for c in manifest.clips] == [("organ",)]
    (reason,) = report.reasons()
    assert reason == "given twice, as ('organ',) and ('piano',)"


KINETICS = "label,youtube_id,time_start,time_end,split,is_cc"


def test_kinetics_sounds(tmp_path):
    write_table(
        tmp_path / "annotations/train.csv",
        [
            KINETICS,
            "playing guitar,-3B32lodo2M,59,69,train,0",
            '"air drumming",_dbcJuKJQNs,40,50,train,0',
            "tapping pen,aaaaaaaaaaa,1,11,train,0",
        ],
    )
    write_table(
        tmp_path / "annotations/val.csv",
        [KINETICS, "playing guitar,bbbbbbbbbbb,0,10,val,0"],
    )
    write(
        tmp_path,
        [
            "train/playing guitar/-3B32lodo2M_000059_000069.wav",
            "val/playing guitar/bbbbbbbbbbb_000000_000010.wav",
            "train/air drumming/_dbcJuKJQNs_000040_000050.wav",
        ],
    )
    manifest, report = layouts.scan(tmp_path, "kinetics_sounds")
    assert len(manifest.classes["label"]) == 32
    assert [(c.split, c.labels[0], c.group) for c in manifest.clips] == [
        ("train", "playing guitar", "-3B32lodo2M"),
        ("validation", "playing guitar", "bbbbbbbbbbb"),
    ]
    assert report.counts["rows of other classes"] == 1
    assert report.reasons() == {
        "no audio file of this name": ["aaaaaaaaaaa_000001_000011"],
        "not in the tables of the set": [
            "train/air drumming/_dbcJuKJQNs_000040_000050.wav"
        ],
    }
    own, _ = layouts.scan(tmp_path, "kinetics_sounds", classes=["air drumming"])
    assert [c.labels for c in own.clips] == [("air drumming",)]
    write_table(
        tmp_path / "annotations/val.csv",
        [KINETICS, "playing guitar,bbbbbbbbbbb,0,10,holdout,0"],
    )
    with pytest.raises(ManifestError, match="row 2: split 'holdout' is none of"):
        layouts.scan(tmp_path, "kinetics_sounds")


def test_kinetics_sounds_without_tables(tmp_path):
    write(
        tmp_path,
        [
            "train/playing_guitar/-3B32lodo2M_000059_000069.wav",
            "val/tapping pen/bbb_bb-bbbb.wav",
            "val/air drumming/ccccccccccc.wav",
            "loose.wav",
        ],
    )
    manifest, report = layouts.scan(tmp_path, "kinetics_sounds")
    assert [(c.split, c.labels[0], c.group) for c in manifest.clips] == [
        ("train", "playing guitar", "-3B32lodo2M"),
        ("validation", "tapping pen", "bbb_bb-bbbb"),
    ]
    assert len(report.left_out) == 2


EPIC = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,"
    "stop_timestamp,start_frame,stop_frame,narration,verb,verb_class,noun,noun_class,"
    "all_nouns,all_noun_classes"
)


def _epic(root):
    write_table(
        root / "EPIC_100_verb_classes.csv",
        ["id,key,instances,category", "0,take,\"['get', 'grab']\",retrieve",
         "1,knead,['knead'],manipulate"],
    )  # fmt: skip
    write_table(
        root / "EPIC_100_noun_classes_v2.csv",
        ["id,key,instances,category", "0,tap,['tap'],appliances", "1,plate,['p'],x"],
    )
    write_table(
        root / "EPIC_100_train.csv",
        [
            EPIC,
            "P01_102_0,P01,P01_102,00:00:01.100,00:00:00.54,00:00:02.23,27,111,take"
            " plate,take,0,plate,1,\"['plate']\",[1]",
            "P01_102_1,P01,P01_102,00:00:01.100,01:02:03.5,01:02:04,27,111,knead tap,"
            "knead,1,tap,0,\"['tap', 'plate']\",\"[0, 1]\"",
            "P01_09_0,P01,P01_09,00:00:01.100,00:00:00.54,00:00:02.23,27,111,take"
            " plate,take,0,plate,1,['plate'],[1]",
            "P01_102_2,P01,P01_102,00:00:01.100,00:00:03.00,00:00:03.00,1,2,x,take,0,"
            "plate,1,x,[1]",
            "P01_102_3,P01,P01_102,00:00:01.100,00:00:03.00,00:00:04.00,1,2,x,take,0,"
            "plate,7,x,[7]",
        ],
    )
    write(root, ["P01/audio/P01_102.wav"], samples=800)
    return root


def test_epic_kitchens(tmp_path):
    root = _epic(tmp_path)
    assert layouts.layout_of(root) == "epic_kitchens"
    manifest, report = layouts.scan(root)
    assert manifest.kind == "verb_noun"
    assert manifest.classes == {"verb": ("take", "knead"), "noun": ("tap", "plate")}
    assert manifest.clips == (
        EventClip(
            path="P01/audio/P01_102.wav", verb="take", noun="plate", group="P01_102",
            start_s=0.54, end_s=2.23,
        ),
        EventClip(
            path="P01/audio/P01_102.wav", verb="knead", noun="tap", group="P01_102",
            start_s=3723.5, end_s=3724.0,
        ),
    )  # fmt: skip
    assert report.reasons() == {
        "no audio file of this name": ["P01_09_0"],
        "ends before it begins": ["P01_102_2"],
        "its verb or noun is not in the table of classes": ["P01_102_3"],
    }


def test_wrong_times_and_tables_of_epic_kitchens(tmp_path):
    assert epic_kitchens.seconds("10:00:00.14") == pytest.approx(36000.14)
    root = _epic(tmp_path)
    row = "P01_102_0,P01,P01_102,0,00:54,00:00:02.23,27,111,n,take,0,plate,1,x,x"
    write_table(root / "EPIC_100_train.csv", [EPIC, row])
    with pytest.raises(ManifestError, match="row 2: '00:54' is no time"):
        layouts.scan(root)
    write_table(root / "EPIC_100_train.csv", ["narration_id,video_id", "a,b"])
    with pytest.raises(ManifestError, match="no column 'start_timestamp'"):
        layouts.scan(root)
    (root / "EPIC_100_train.csv").unlink()
    with pytest.raises(ManifestError, match="none of EPIC_100_train.csv"):
        layouts.scan(root, "epic_kitchens")
    (root / "EPIC_100_verb_classes.csv").unlink()
    with pytest.raises(ManifestError, match="no file EPIC_100_verb_classes.csv or"):
        layouts.scan(root, "epic_kitchens")


def test_folders_called_as_their_classes(tmp_path):
    write(
        tmp_path,
        [
            "fold1/dog/1.wav",
            "Fold_2/cat/1.flac",
            "test/dog/2.ogg",
            "x.wav",
            "val/y.wav",
        ],
        samples=800,
    )
    (tmp_path / "notes.txt").write_text("x")
    assert layouts.layout_of(tmp_path) == "folder"
    manifest, report = layouts.scan(tmp_path)
    assert manifest.classes == {"label": ("cat", "dog")}
    assert [(c.path, c.split, c.fold, c.labels[0]) for c in manifest.clips] == [
        ("Fold_2/cat/1.flac", "train", 2, "cat"),
        ("fold1/dog/1.wav", "train", 1, "dog"),
        ("test/dog/2.ogg", "test", 0, "dog"),
    ]
    assert [entry.path for entry in report.left_out] == ["val/y.wav", "x.wav"]
    assert report.counts["other files"] == 1


def test_a_manifest_of_files_some_of_which_are_there(tmp_path):
    write(tmp_path / "in", ["a/1.wav", "a/2.wav"])
    table = write_table(
        tmp_path / "clips.csv", ["path,labels", "a/1.wav,dog", "a/9.wav,cat"]
    )
    manifest, report = folder.scan_manifest(tmp_path / "in", table)
    assert [c.path for c in manifest.clips] == ["a/1.wav"]
    assert report.reasons() == {
        "no such audio file below the folder": ["a/9.wav"],
        "not in the tables of the set": ["a/2.wav"],
    }
    wrong = write_table(tmp_path / "wrong.csv", ["path,labels", "in/a/1.wav,dog"])
    with pytest.raises(ManifestError, match="none of its 1 files is in"):
        folder.scan_manifest(tmp_path / "in", wrong)


@pytest.mark.parametrize("layout", layouts.LAYOUTS)
def test_empty_folders_and_folders_of_videos_are_refused(layout, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        layouts.scan(tmp_path / "none", layout)
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(ManifestError, match="no WAV, FLAC or OGG .* but 1 others"):
        layouts.scan(tmp_path, layout)
    write(tmp_path, ["x.wav"])
    with pytest.raises(ManifestError, match="no file|no clip in it"):
        layouts.scan(tmp_path, layout)
