"""Any folder of audio files as clips, and manifests as tables."""

import pytest
import soundfile

from sigjax.data.machine_sound import clips, folder
from sigjax.data.machine_sound.clips import Clip, Manifest, ManifestError
from tests.data.machine_sound import tiny_sounds

MOTORS = [
    "Healthy/M1/1400.wav",
    "Healthy/M2/1400.flac",
    "Propeller/M1/1400.ogg",
    "README.md.wav.txt",
]


@pytest.fixture
def motors(tmp_path):
    tiny_sounds.write(tmp_path / "motors", MOTORS[:3])
    (tmp_path / "motors" / MOTORS[3]).write_text("not audio")
    return tmp_path / "motors"


def test_folders_say_what_is_normal(motors):
    pattern = r"(?P<section>M\d)/(?P<rpm>\d+)"
    manifest, report = folder.folder_manifest(
        motors, pattern=pattern, anomaly=["propeller"]
    )
    assert [(c.path, c.section, c.side, c.label) for c in manifest.clips] == [
        ("Healthy/M1/1400.wav", "M1", "train", 0),
        ("Healthy/M2/1400.flac", "M2", "train", 0),
        ("Propeller/M1/1400.ogg", "M1", "test", 1),
    ]
    assert {(c.machine, c.attributes["rpm"]) for c in manifest.clips} == {
        ("motors", "1400")
    }
    assert (report.files, report.clips, report.counts) == (3, 3, {"other files": 1})
    assert not report.left_out and not report.warnings


def test_clips_of_which_nothing_is_said_are_told(motors):
    manifest, report = folder.folder_manifest(motors, machine="motor")
    assert [(c.machine, c.side, c.label) for c in manifest.clips][2] == (
        *("motor", "train", -1),
    )
    (warning,) = report.warnings
    assert "1 clips to train on are taken for normal" in warning
    assert "Propeller/M1/1400.ogg" in warning


def test_a_pattern_that_does_not_match_leaves_out(motors):
    _, report = folder.folder_manifest(motors, pattern=r"(?P<section>M1)/")
    (left,) = report.left_out
    assert left.path == "Healthy/M2/1400.flac" and "pattern" in left.reason
    _, report = folder.folder_manifest(motors, pattern=r"(?P<condition>\w+)/")
    (left,) = report.left_out
    assert left.path == "Propeller/M1/1400.ogg" and "'Propeller'" in left.reason
    with pytest.raises(ManifestError, match=r"pattern='\(': "):
        folder.folder_manifest(motors, pattern="(")


def test_a_manifest_needs_paths_only(motors):
    rows = ["path", "Healthy/M2/1400.flac"]
    table = tiny_sounds.write_table(motors / "clips.csv", rows)
    manifest, report = folder.folder_manifest(motors, table)
    assert manifest.clips == (
        Clip(path=rows[1], machine="motors", section="00", side="train"),
    )
    assert (
        sorted(entry.reason for entry in report.left_out) == ["not in the manifest"] * 2
    )


def test_a_manifest_says_everything(motors):
    rows = [
        "\ufeffmachine,path,start_s,end_s,year,split,section,side,domain,label,"
        "attributes,rpm",
        "M,Healthy/M1/1400.wav,0.001,0.004,2024,eval,07,test,target,fault,a=1;b=2,9",
        "",
        'M,./Healthy\\M1/1400.wav,,,,,,,,1,"{""a"": ""x;y""}",',
    ]
    table = tiny_sounds.write_table(motors.parent / "clips.csv", rows)
    manifest, report = folder.folder_manifest(motors, table)
    first, second = manifest.clips
    assert first == Clip(
        path="Healthy/M1/1400.wav",
        start_s=0.001,
        end_s=0.004,
        year=2024,
        split="eval",
        machine="M",
        section="07",
        side="test",
        domain="target",
        label=1,
        attributes={"a": "1", "b": "2", "rpm": "9"},
    )
    assert (second.path, second.side, second.attributes) == (
        *("Healthy/M1/1400.wav", "test", {"a": "x;y"}),
    )
    assert "column 'rpm' is kept as an attribute" in report.warnings[0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["file,label", "a.wav,0"], "no column 'path'"),
        (
            ["path,label", "Healthy/M1/1400.wav,maybe"],
            "row 2: label 'maybe' is none of",
        ),
        (["path,side", "Healthy/M1/1400.wav,dev"], "row 2: .*side 'dev' is none of"),
        (["path,start_s", "Healthy/M1/1400.wav,x"], "row 2: start_s: 'x' is no number"),
        (["path,start_s,end_s", "a.wav,3,2"], "row 2: a.wav: from 3.0 s to 2.0 s"),
        (["path", "a.wav", "b.wav"], "2 of 2 files are not in .*row 2: a.wav, row 3"),
        (["path", "a,b"], "row 2: has more values"),
        (["path"], "no clip in it"),
    ],
)
def test_manifests_that_are_wrong_name_the_row(motors, rows, message):
    table = tiny_sounds.write_table(motors / "clips.csv", rows)
    with pytest.raises(ManifestError, match=message):
        folder.folder_manifest(motors, table)


def test_a_share_is_kept_for_testing_whatever_is_added(tmp_path):
    def tested(names):
        tiny_sounds.write(tmp_path, names, samples=4)
        manifest, _ = folder.folder_manifest(tmp_path, test_fraction=0.3)
        return {clip.path for clip in manifest.clips if clip.side == "test"}

    few = tested([f"normal/{n}.wav" for n in range(60)])
    many = tested([f"normal/{n}.wav" for n in range(100)])
    assert 8 <= len(few) <= 30
    assert few == {path for path in many if int(path[7:-4]) < 60}
    with pytest.raises(ValueError, match="test_fraction"):
        folder.folder_manifest(tmp_path, test_fraction=1.0)


def test_long_files_are_cut_and_bad_ones_left_out(tmp_path):
    tiny_sounds.write(tmp_path, ["long.wav"], samples=16000 * 3 + 100)
    tiny_sounds.write(tmp_path, ["short.wav"], samples=1000)
    (tmp_path / "void.wav").write_bytes(b"")
    manifest, report = folder.folder_manifest(tmp_path, cut_s=1.0)
    assert [(c.path, c.start_s, c.end_s) for c in manifest.clips] == [
        ("long.wav", 0.0, 1.0),
        ("long.wav", 1.0, 2.0),
        ("long.wav", 2.0, 3.00625),
        ("short.wav", 0.0, None),
    ]
    assert report.left_out == (clips.LeftOut("void.wav", "is empty (0 bytes)"),)
    assert (report.files, report.clips) == (3, 4)


def test_manifests_come_back_as_they_were_written(tmp_path):
    made = Manifest(
        root=tmp_path / "data",
        clips=(
            Clip(
                path="fan/a b.wav",
                machine="fan",
                section="03",
                side="test",
                year=2021,
                split="eval",
                domain="target",
                label=1,
                attributes={"vel": "2", "odd": "x;y=z"},
            ),
            Clip(
                path="b.wav",
                machine="fan",
                section="00",
                side="train",
                attributes={"v": "1", "w": ""},
                start_s=0.5,
                end_s=1.25,
            ),
        ),
    )
    made.write(tmp_path / "lists" / "m.csv")
    again = clips.read_manifest(tmp_path / "lists" / "m.csv")
    assert [c.path for c in again.clips] == ["../data/fan/a b.wav", "../data/b.wav"]
    made.write(tmp_path / "data" / "m.csv")
    again = clips.read_manifest(tmp_path / "data" / "m.csv")
    assert again == made
    text = (tmp_path / "data" / "m.csv").read_text()
    assert text.splitlines()[0] == ",".join(clips.COLUMNS)
    assert "v=1;w=" in text


def test_clips_refuse_words_that_are_none():
    given = {"path": "a.wav", "machine": "fan", "section": "00", "side": "train"}
    for name, value in (("side", "dev"), ("split", "x"), ("domain", "?"), ("label", 2)):
        with pytest.raises(ManifestError, match=f"a.wav: {name}"):
            Clip(**given | {name: value})


def test_real_motors(real_data):
    manifest, report = folder.folder_manifest(
        real_data / "bldc_motor_audio",
        pattern=r"(?P<condition>\w+)/(?P<section>M\d)/(?P<rpm>\d+)",
        anomaly=["propeller", "bearing"],
        machine="motor",
    )
    counted = {
        key[1:]: dict(value) for key, value in clips.count(manifest.clips).items()
    }
    assert counted == {
        ("M1", "train"): {0: 8},
        ("M2", "train"): {0: 8},
        ("M3", "train"): {0: 6},
        ("M1", "test"): {1: 6},
        ("M2", "test"): {1: 8},
        ("M4", "test"): {1: 7},
    }
    assert not report.left_out and soundfile.info(
        str(manifest.root / manifest.clips[0].path)
    )
