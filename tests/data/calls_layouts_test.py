"""Published layouts of calls, and what their manifests say of them."""

import collections

import pytest

from sigjax.data.calls import layouts, overview, reading, splits
from sigjax.data.calls.manifest import with_splits
from sigjax.data.clips import ManifestError
from tests.data.machine_sound.tiny_sounds import write, write_table


def watkins(root):
    """Three species, one cut without sound, one file that no row names."""
    rows = ["path,species"]
    files = ("61025001", "61025002", "9220100Q", "63014001", "63014002")
    species = ("Walrus", "Walrus", "Beluga", "Walrus", "Narwhal")
    for name, label in zip(files, species, strict=True):
        rows.append(f"wav/{name}.wav,{label}")
    write_table(root / "data/annotations.csv", rows)
    names = [f"data/wav/{name}.wav" for name in files[:-1]]
    return write(root, [*names, "data/wav/extra.wav"], samples=1600)


def marmosets(root):
    """Two recordings; calls of all kinds of rows."""
    write_table(
        root / "data/labels.csv",
        [
            "filename,start,end,duration,calltype,caller",
            "twin_1/2010_Twin1_marmoset1.wav,0.01,0.05,0.04,1,1",
            "twin_1/2010_Twin1_marmoset2.wav,0.02,0.06,0.04,7,2",
            "twin_1/2010_Twin1_marmoset2.wav,0.02,0.06,0.04,7,2",
            "twin_1/2010_Twin1_marmoset1.wav,0.05,0.09,0.04,11,1",
            "twin_1/2010_Twin1_marmoset1.wav,0.05,0.09,0.04,12,1",
            "twin_1/2010_Twin1_marmoset1.wav,0.05,0.09,0.04,14,1",
            "twin_1/2010_Twin1_marmoset1.wav,0.05,0.05,0.0,2,1",
            "twin_1/2010_Twin1_marmoset3.wav,0.05,0.09,0.04,2,1",
        ],
    )
    names = [f"data/twin_1/2010_Twin1_marmoset{n}.wav" for n in (1, 2)]
    return write(root, names, samples=1600)


def beans(root):
    """Tables with an index, as pandas writes them; paths as from another folder."""
    for split, numbers in (("train", (0, 1)), ("valid", (2,)), ("test", (3,))):
        rows = [f"{n},data/dogs/wav/{n}.wav,{'ab'[n % 2]}" for n in numbers]
        write_table(root / f"annotations.{split}.csv", [",path,label", *rows])
    write_table(root / "annotations.train-low.csv", [",path,label"])
    return write(root, [f"wav/{n}.wav" for n in range(4)])


def mescalina(root):
    return write(
        root,
        [
            "data/INDIVIDUAL_2/L-S1/a.wav",
            "data/INDIVIDUAL_1/GR-P/a.wav",
            "data/INDIVIDUAL_1/S/b.wav",
            "data/INDIVIDUAL_1/TV/c.wav",
            "data/INDIVIDUAL_1/L-S1/d.wav",
        ],
    )


def fsdd(root):
    names = [f"{d}_{who}_{take}.wav" for d in (0, 7) for who in "ab" for take in (4, 5)]
    return write(root, [f"recordings/{name}" for name in [*names, "noise.wav"]])


def _scan(root, layout, **options):
    assert layouts.layout_of(root) == layout
    return layouts.scan(root, **options)


def test_watkins(tmp_path):
    manifest, report = _scan(watkins(tmp_path), "watkins")
    assert [c.label for c in manifest.calls] == ["Walrus", "Walrus", "Beluga", "Walrus"]
    # In the order in which they begin, and whether there is sound or not.
    assert manifest.classes == ("Walrus", "Beluga", "Narwhal")
    assert [c.group for c in manifest.calls] == [
        "tape 61025",
        "tape 61025",
        "tape 92201",
        "tape 63014",
    ]
    assert report.reasons() == {
        "no such file": ["wav/63014002.wav"],
        "not in the tables of the set": ["data/wav/extra.wav"],
    }
    assert "1 of 5 calls have no audio" in report.warnings[0]


def test_marmosets(tmp_path):
    manifest, report = _scan(marmosets(tmp_path), "marmosets")
    assert [c.label for c in manifest.calls] == ["Phee", "Pheecry", "Pheecry"]
    assert [c.group[-10:] for c in manifest.calls] == [
        "marmoset 1",
        "marmoset 2",
        "marmoset 2",
    ]
    assert len(manifest.classes) == 11 and manifest.labels.tolist() == [1, 7, 7]
    assert [(c.start_s, c.end_s) for c in manifest.calls][0] == (0.01, 0.05)
    assert manifest.calls[2].id == manifest.calls[1].id + "#2"
    assert report.counts == {
        "other files": 1,
        "rows of silence, left out as in the paper": 1,
        "rows of noise, left out as in the paper": 1,
        "rows of call type 14, left out as in the paper": 1,
        "calls of a stretch that another row has, too": 1,
    }
    assert report.reasons() == {
        "from 0.05 s to 0.05 s is no stretch": ["row 8"],
        "no such file": ["twin_1/2010_Twin1_marmoset3.wav"],
    }


def test_marmosets_as_callers(tmp_path):
    manifest, _ = _scan(marmosets(tmp_path), "marmosets", task="caller")
    assert manifest.classes == ("twin 1 marmoset 1", "twin 1 marmoset 2")
    assert manifest.calls[0].group == "data/twin_1/2010_Twin1_marmoset1.wav"


def test_marmosets_with_times_that_do_not_fit_are_warned_of(tmp_path):
    root = marmosets(tmp_path)
    table = root / "data/labels.csv"
    table.write_text(table.read_text().replace("0.05,0.04,1,1", "0.05,40,1,1"))
    _, report = layouts.scan(root)
    assert any(
        "1 rows of labels.csv have another duration" in w for w in report.warnings
    )


def test_mescalina(tmp_path):
    manifest, report = _scan(mescalina(tmp_path), "mescalina")
    assert [(c.label, c.group) for c in manifest.calls] == [
        ("GR-P", "INDIVIDUAL_1"),
        ("L-S1", "INDIVIDUAL_1"),
        ("L-S1", "INDIVIDUAL_2"),
    ]
    assert len(manifest.classes) == 14 and manifest.labels.tolist() == [10, 0, 0]
    assert sorted(report.reasons()) == [
        "call type S: left out as in the paper",
        "in 'TV': not a call type of dogs",
    ]


def test_beans(tmp_path):
    # Another file of the same name is not the one that a table means.
    write(beans(tmp_path), ["other/0.wav"])
    manifest, report = _scan(tmp_path, "beans")
    assert [(c.path, c.label, c.split) for c in manifest.calls] == [
        ("wav/0.wav", "a", "train"),
        ("wav/1.wav", "b", "train"),
        ("wav/2.wav", "a", "validation"),
        ("wav/3.wav", "b", "test"),
    ]
    assert report.reasons() == {"not in the tables of the set": ["other/0.wav"]}
    write_table(tmp_path / "annotations.test.csv", ["path,label", "gone/0.wav,a"])
    _, report = layouts.scan(tmp_path)
    assert report.reasons()["several files of this name"] == ["gone/0.wav"]
    write_table(tmp_path / "annotations.valid.csv", ["path,selection", "wav/2.wav,x"])
    with pytest.raises(ManifestError, match="has no column 'label'"):
        layouts.scan(tmp_path)


def test_several_beans_sets_at_once_are_refused(tmp_path):
    for name in ("dogs", "bats"):
        beans(tmp_path / name)
    with pytest.raises(ManifestError, match="several files annotations.train.csv"):
        layouts.scan(tmp_path, "beans")


def test_fsdd(tmp_path):
    manifest, report = _scan(fsdd(tmp_path), "fsdd")
    assert len(manifest.calls) == 8 and manifest.classes == ("0", "7")
    assert {c.group for c in manifest.calls} == {"a", "b"}
    assert all((c.split == "test") == c.id.endswith("_4") for c in manifest.calls)
    assert report.reasons() == {
        "name is not DIGIT_SPEAKER_TAKE": ["recordings/noise.wav"]
    }


def test_folders_and_their_splits(tmp_path):
    write(tmp_path / "plain", ["dog/1.wav", "cat/2.wav"])
    manifest, _ = _scan(tmp_path / "plain", "folder")
    assert [(c.label, c.split) for c in manifest.calls] == [("cat", ""), ("dog", "")]
    write(tmp_path / "split", ["train/dog/1.wav", "val/dog/2.wav", "test/dog/3.wav"])
    manifest, _ = layouts.scan(tmp_path / "split")
    assert {c.split for c in manifest.calls} == {"train", "validation", "test"}


def test_esc10_has_its_folds(tmp_path):
    names = [f"001 - Dog bark/{fold}-{fold}0-A.wav" for fold in range(1, 6)]
    manifest, _ = _scan(write(tmp_path, names), "esc10")
    assert [c.split for c in manifest.calls] == [f"fold{n}" for n in range(1, 6)]
    assert [c.group for c in manifest.calls] == [f"{n}0" for n in range(1, 6)]
    assert len(splits.divisions(manifest.calls)) == 5


@pytest.mark.parametrize("name", ["watkins", "marmosets", "beans"])
def test_tables_that_are_missing_are_named(tmp_path, name):
    write(tmp_path, ["a/1.wav"])
    with pytest.raises(ManifestError, match=r"no file .*\.csv in it: the t"):
        layouts.scan(tmp_path, name)


def test_folders_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        layouts.scan(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match="no WAV, FLAC or OGG file"):
        layouts.scan(tmp_path / "empty")
    with pytest.raises(ValueError, match="'whales' is none of watkins"):
        layouts.scan(tmp_path, "whales")
    write(tmp_path / "other", ["TV/1.wav"])
    with pytest.raises(ManifestError, match="no call in it .1 audio files.; TV/1.wav"):
        layouts.scan(tmp_path / "other", "mescalina")


def test_a_report_says_what_a_score_hides(tmp_path):
    manifest, _ = layouts.scan(watkins(tmp_path))
    divided = ["train", "test", "train", "train"]
    manifest = with_splits(manifest, divided)
    found = overview.warnings(manifest)
    assert "classes without a call: Narwhal" in found
    assert any(line.endswith("tested on: Beluga") for line in found)
    assert "classes that are not in 'test': Beluga" in found
    (leak,) = [line for line in found if "several splits" in line]
    assert leak.startswith("1 groups are in several splits (tape 61025 in train and te")
    config = reading.ReadingConfig(normalise="none")
    survey = reading.survey(manifest.root, manifest.calls, config)
    lines = overview.lines(manifest, survey)
    assert lines[0] == "       4 calls, 0.0 minutes, of 4 files"
    assert "               3 Walrus (2 / 1)" in lines
    assert "       1 test split, 25.0%" in lines
    assert any(
        line.startswith("quantiles of length in seconds: 0% 0.1") for line in lines
    )
    assert overview.absent_classes(manifest) == {"test": ("Beluga",)}
    counts = overview.class_counts(manifest)
    assert counts["Narwhal"] == collections.Counter()


def test_a_report_says_what_is_not_known(tmp_path):
    manifest, _ = layouts.scan(beans(tmp_path))
    found = overview.warnings(manifest)
    assert any("callers and recordings are not known" in line for line in found)
    some = with_splits(manifest, ["train", "", "train", "test"])
    assert "1 calls are in no split" in overview.warnings(some)
