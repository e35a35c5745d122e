"""Layouts of seven years: the same loader lists them all, and joins what was hidden."""

import collections

import pytest

from sigjax.data.machine_sound import layout
from sigjax.data.machine_sound.clips import ManifestError
from sigjax.data.machine_sound.truth import TruthError
from tests.data.machine_sound import tiny_sounds

DATA, DOMAIN = "ground_truth_data", "ground_truth_domain"


def table(machine, section="00", domain=""):
    middle = f"_{domain}" if domain else ""
    return f"ground_truth_{machine}_section_{section}{middle}_test.csv"


# Audio files, ground truth, and of one clip: year, split, machine, section, side,
# domain, label, attributes.
YEARS = {
    "2020": (
        [
            "dev_data/fan/train/normal_id_00_00000000.wav",
            "dev_data/fan/test/anomaly_id_00_00000000.wav",
            "eval_data/fan/train/normal_id_01_00000000.wav",
            "eval_data/fan/test/id_01_00000000.wav",
            "eval_data/fan/test/id_01_00000001.wav",
        ],
        {
            "eval_data_list.csv": [
                "fan",
                "id_01_00000001.wav,normal_id_01_00000098.wav,0",
                "id_01_00000000.wav,anomaly_id_01_00000064.wav,1",
            ]
        },
        ("id_01_00000000.wav", 2020, "eval", "fan", "01", "test", "", 1, {}),
    ),
    "2021": (
        [
            "dev_data/raw/fan/train/section_00_source_train_normal_0000_m_1.wav",
            "dev_data/raw/fan/source_test/section_00_source_test_normal_0000.wav",
            "dev_data/raw/fan/target_test/section_00_target_test_anomaly_0000.wav",
            "eval_data/raw/fan/source_test/section_03_source_test_0000.wav",
            "eval_data/raw/fan/target_test/section_03_target_test_0000.wav",
        ],
        {
            f"{DATA}/{table('fan', '03', 'source')}": [
                "section_03_source_test_0000.wav,0"
            ],
            f"{DATA}/{table('fan', '03', 'target')}": [
                "section_03_target_test_0000.wav,1"
            ],
        },
        (
            "section_03_target_test_0000.wav",
            *(2021, "eval", "fan", "03", "test", "target", 1, {}),
        ),
    ),
    "2022": (
        [
            "dev_data/bearing/train/section_00_source_train_normal_0000_vel_6.wav",
            "dev_data/bearing/test/section_02_target_test_anomaly_0000_vel_9.wav",
            "eval_data/bearing/test/section_03_0000.wav",
            "eval_data/bearing/test/section_03_0001.wav",
        ],
        {
            f"{DATA}/{table('bearing', '03')}": [
                "section_03_0000.wav,0",
                "section_03_0001.wav,1",
            ],
            f"{DOMAIN}/{table('bearing', '03')}": [
                "section_03_0001.wav,1",
                "section_03_0000.wav,0",
            ],
            "ground_truth_attributes/bearing/attributes_03.csv": [
                "file_name,d1p,d1v,d2p,d2v,file_name_with_full_attributes",
                "bearing/test/section_03_0001.wav,vel,25,"
                "bearing/test/section_03_target_test_anomaly_0001_vel_25.wav",
            ],
        },
        (
            "section_03_0001.wav",
            *(2022, "eval", "bearing", "03", "test", "target", 1, {"vel": "25"}),
        ),
    ),
    "2023": (
        [
            "eval_data/raw/bandsaw/train/section_00_source_train_normal_0000_vel_1.wav",
            "eval_data/raw/bandsaw/test/section_00_0005.wav",
            "eval_data/raw/bandsaw/test/section_00_test_0006.wav",
        ],
        {
            f"{DATA}/{table('bandsaw')}": [
                "section_00_0006.wav,0",
                "section_00_0005.wav,1",
            ],
            f"{DOMAIN}/{table('bandsaw')}": [
                "section_00_0006.wav,0",
                "section_00_0005.wav,1",
            ],
            f"ground_truth_attributes/{table('bandsaw')}": [
                "section_00_0005.wav,section_00_target_test_anomaly_0005_vel_15",
                "section_00_0006.wav,section_00_source_test_normal_0006_vel_13",
            ],
        },
        (
            "section_00_test_0006.wav",
            *(2023, "eval", "bandsaw", "00", "test", "source", 0, {"vel": "13"}),
        ),
    ),
    "2024": (
        [
            "eval_data/RoboticArm/train/section_00_source_train_normal_0000_x_1.wav",
            "eval_data/RoboticArm/test/section_00_0000.wav",
            "eval_data/AirCompressor/train/"
            "section_00_source_train_normal_0001_noAttribute.wav",
            "eval_data/AirCompressor/test/section_00_0011.wav",
        ],
        {
            "eval_data_list_2024.csv": [
                "RoboticArm",
                "section_00_0000.wav,section_00_source_normal_0035_weight15_BckgF.wav",
                "AirCompressor",
                "section_00_0011.wav,section_00_source_test_anomaly_0011_noAttribute.wav",
            ],
            "dcase2024t2/eval_data/AirCompressor/"
            "attributes_00_test_correspondence.csv": [
                "source_file_name,target_file_name",
                "section_00_source_test_anomaly_0011_fl_2_nos_0.wav,"
                "section_00_source_test_anomaly_0011_noAttribute.wav",
            ],
        },
        (
            "section_00_0011.wav",
            *(2024, "eval", "AirCompressor", "00", "test", "source", 1),
            {"fl": "2", "nos": "0"},
        ),
    ),
    "2025": (
        [
            "dev_data/bearing/supplemental/section_00_machine_0001_.wav",
            "eval_data/AutoTrash/train/"
            "section_00_source_train_normal_0001_noAttribute.wav",
            "eval_data/AutoTrash/supplemental/section_00_machine_0001_.wav",
            "eval_data/AutoTrash/test/section_00_0095.wav",
        ],
        {
            f"{DATA}/{table('AutoTrash')}": ["section_00_0095.wav,1"],
            f"{DOMAIN}/{table('AutoTrash')}": ["section_00_0095.wav,0"],
            "eval_data/AutoTrash/attributes_00_test_correspondence.csv": [
                "source_file_name,target_file_name",
                "section_00_source_test_anomaly_0001_id_A1_spd_1.wav,section_00_0095.wav",
            ],
        },
        (
            "section_00_0095.wav",
            *(2025, "eval", "AutoTrash", "00", "test", "source", 1),
            {"id": "A1", "spd": "1"},
        ),
    ),
    "2026": (
        [
            "dev_data/ToyCarEmu/train/section_00_source_train_normal_0001_spd_1.wav",
            "dev_data/ToyCarEmu/test/section_00_target_test_anomaly_0002_spd_1.wav",
            "eval_data/Sander/test/section_00_0001.wav",
        ],
        {f"{DATA}/{table('Sander')}": ["section_00_0001.wav,0"]},
        ("section_00_0001.wav", 2026, "eval", "Sander", "00", "test", "", 0, {}),
    ),
}


def found(manifest, name):
    (clip,) = [
        clip
        for clip in manifest.clips
        if clip.path.endswith("/" + name) and clip.side == "test"
    ]
    return (
        *(clip.year, clip.split, clip.machine, clip.section),
        *(clip.side, clip.domain, clip.label, dict(clip.attributes)),
    )


def write_year(year, root):
    paths, tables, expected = YEARS[year]
    tiny_sounds.write(root / "audio", paths, channels=2 if year == "2026" else 1)
    for name, rows in tables.items():
        # Tables of Windows and of Linux, by turns.
        end = "\r\n" if len(name) % 2 else "\n"
        tiny_sounds.write_table(root / "truth" / name, rows, end)
    return root / "audio", root / "truth", len(paths), expected


@pytest.mark.parametrize("year", YEARS)
def test_every_year(tmp_path, year):
    audio, truth, count, (name, *expected) = write_year(year, tmp_path)
    manifest, report = layout.scan(audio, truth=truth)
    assert len(manifest.clips) == report.clips == report.files == count
    assert not report.left_out and not report.warnings, report.lines()
    assert list(found(manifest, name)) == expected
    # Without the truth the same clip keeps its secrets.
    manifest, report = layout.scan(audio)
    *_, domain, label, attributes = found(manifest, name)
    assert label == -1 and not attributes
    assert domain == ("target" if year == "2021" else "")
    # The truth leaves no clip to test on unknown.
    manifest, _ = layout.scan(audio, truth=truth)
    assert all(clip.label >= 0 for clip in manifest.clips if clip.side == "test")


def test_hidden_attributes_of_training_clips(tmp_path):
    name = "section_00_source_train_normal_0001"
    tiny_sounds.write(
        tmp_path / "dcase2024",
        [f"dev_data/gearbox/train/{name}_noAttribute.wav"],
    )
    rows = [
        "source_file_name,target_file_name",
        f"{name}_pro_A_wt_200.wav,{name}_noAttribute.wav",
    ]
    tables = "dcase2024t2/dev_data/gearbox/attributes_00_train_correspondence.csv"
    tiny_sounds.write_table(tmp_path / "truth" / tables, rows)
    (clip,) = layout.scan(tmp_path / "dcase2024")[0].clips
    assert clip.attributes == {}
    manifest, report = layout.scan(tmp_path / "dcase2024", truth=tmp_path / "truth")
    assert manifest.clips[0].attributes == {"pro": "A", "wt": "200"}
    assert report.counts["hidden attributes joined"] == 1


def test_several_years_side_by_side(tmp_path):
    for year in YEARS:
        tiny_sounds.write(tmp_path / "all" / f"dcase{year}t2", YEARS[year][0])
        for name, rows in YEARS[year][1].items():
            path = tmp_path / "truth" / f"dcase{year}_task2_evaluator" / name
            tiny_sounds.write_table(path, rows)
    manifest, report = layout.scan(tmp_path / "all", truth=tmp_path / "truth")
    years = collections.Counter(clip.year for clip in manifest.clips)
    assert years == {int(year): len(YEARS[year][0]) for year in YEARS}
    assert all(clip.label >= 0 for clip in manifest.clips if clip.side == "test")
    assert not report.warnings


@pytest.mark.parametrize("at", ["", "dev_data", "dev_data/raw", "dev_data/raw/fan"])
def test_any_level_can_be_given(tmp_path, at):
    tiny_sounds.write(tmp_path, YEARS["2021"][0])
    clips = layout.scan(tmp_path / at)[0].clips
    assert len(clips) == (5 if not at else 3)
    assert {clip.split for clip in clips} == ({"dev", "eval"} if not at else {"dev"})
    assert {(clip.machine, clip.year) for clip in clips} == {("fan", 2021)}


def test_machines_without_dev_and_eval_above_them(tmp_path):
    names = [
        f"fan/train/section_{s}_source_train_normal_0000.wav" for s in ("01", "04")
    ]
    tiny_sounds.write(
        tmp_path, [*names, "fan/source_test/section_04_source_test_0.wav"]
    )
    clips = layout.scan(tmp_path)[0].clips
    assert [(c.section, c.split) for c in clips] == [
        *(("04", "eval"), ("01", "dev"), ("04", "eval"))
    ]


def test_a_year_that_cannot_be_told_is_said_and_can_be_given(tmp_path):
    path = "dev_data/fan/train/section_00_source_train_normal_0000_m-n_W.wav"
    tiny_sounds.write(tmp_path / "x", [path])
    manifest, report = layout.scan(tmp_path / "x")
    assert manifest.clips[0].year == 0
    (warning,) = report.warnings
    assert "2023 or 2024 or 2025" in warning
    assert layout.scan(tmp_path / "x", year=2024)[0].clips[0].year == 2024
    (tmp_path / "x").rename(tmp_path / "DCASE2024")
    assert layout.scan(tmp_path / "DCASE2024")[0].clips[0].year == 2024


def test_tables_of_attributes_with_ragged_rows(tmp_path):
    names = [f"section_00_source_train_normal_000{n}" for n in range(3)]
    names = [f"{names[0]}_a_b_vel_upper", f"{names[1]}_noAttribute", f"{names[2]}_q_7"]
    tiny_sounds.write(tmp_path, [f"dev_data/bearing/train/{n}.wav" for n in names])
    rows = [
        "\ufefffile_name,d1p,d1v,d2p,d2v",
        f"bearing/train/{names[0]}.wav,vel,lower,f-n,A",
        f"bearing/train/{names[1]}.wav,noAttribute",
    ]
    tiny_sounds.write_table(tmp_path / "dev_data/bearing/attributes_00.csv", rows)
    manifest, report = layout.scan(tmp_path, year=2024)
    # The table comes first; what it lacks is its name's.
    assert [dict(clip.attributes) for clip in manifest.clips] == [
        *({"vel": "lower", "f-n": "A", "a": "b"}, {}, {"q": "7"})
    ]
    assert report.counts["rows of attribute tables"] == 2


def test_what_is_left_out_is_counted(tmp_path):
    tiny_sounds.write(tmp_path, YEARS["2021"][0])
    at = tmp_path / "dev_data/raw/fan"
    odd = ["train/motor.wav", "train/section_00_source_test_normal_0000.wav"]
    odd += ["source_test/section_00_target_test_normal_0000.wav"]
    tiny_sounds.write(at, odd)
    (at / "train" / "notes.txt").write_text("hello")
    (at / "train" / "old").mkdir()
    _, report = layout.scan(tmp_path)
    assert report.files == 8 and report.clips == 5
    reasons = {entry.path.rsplit("/", 2)[-1]: entry.reason for entry in report.left_out}
    assert reasons == {
        "motor.wav": "its name is none of DCASE Task 2",
        "section_00_source_test_normal_0000.wav": "its name says 'test', its folder"
        " 'train'",
        "section_00_target_test_normal_0000.wav": "its name says 'target', its folder"
        " 'source'",
    }
    assert report.counts["other files among the clips"] == 1
    assert report.counts["folders inside train, test... (not looked into)"] == 1
    text = "\n".join(report.lines())
    assert "       1 left out: its name is none of DCASE Task 2; dev_data/raw" in text


def test_folders_without_clips_are_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        layout.scan(tmp_path / "nowhere")
    with pytest.raises(ManifestError, match="no folder of a machine"):
        layout.scan(tmp_path)
    tiny_sounds.write(tmp_path, ["fan/train/a.wav"])
    with pytest.raises(ManifestError, match=r"no clip.*none of DCASE.*fan/train/a.wav"):
        layout.scan(tmp_path)


# --- Ground truth ---


def test_clips_that_the_truth_lacks_are_an_error(tmp_path):
    audio, truth, *_ = write_year("2021", tmp_path)
    more = "eval_data/raw/fan/target_test/section_03_target_test_0001.wav"
    tiny_sounds.write(audio, [more])
    with pytest.raises(TruthError, match=rf"1 test clips are not.*{more}"):
        layout.scan(audio, truth=truth)


def test_truth_without_clips_is_counted(tmp_path):
    audio, truth, *_ = write_year("2021", tmp_path)
    rows = [f"section_03_target_test_000{n}.wav,{n % 2}" for n in range(5)]
    tiny_sounds.write_table(truth / DATA / table("fan", "03", "target"), rows)
    tiny_sounds.write_table(
        truth / DATA / table("pump", "03", "target"), ["section_03_target_test_0.wav,1"]
    )
    tiny_sounds.write_table(truth / "scores.csv", ["a,b", "1,2"])
    manifest, report = layout.scan(audio, truth=truth)
    assert found(manifest, "section_03_target_test_0000.wav")[-2] == 0
    assert report.counts["rows of ground truth without a clip"] == 4
    assert report.counts["rows of ground truth of machines that are not there"] == 1
    assert [text.split(": ")[-1] for text in report.warnings] == [
        "clips are missing",
        "not understood as ground truth",
    ]


def test_a_machine_without_truth_stays_unknown_and_is_counted(tmp_path):
    audio, truth, *_ = write_year("2021", tmp_path)
    path = "eval_data/raw/pump/source_test/section_03_source_test_0000.wav"
    tiny_sounds.write(audio, [path])
    manifest, report = layout.scan(audio, truth=truth)
    assert manifest.clips[-1].label == -1
    assert report.counts["test clips without label or ground truth"] == 1


@pytest.mark.parametrize(
    ("name", "rows", "message"),
    [
        ("", ["section_03_target_test_0000.wav,0"], "label 0 of .* contradicts 1"),
        ("", ["section_03_target_test_0000.wav,2"], "label '2' of .* is not 0 or 1"),
        ("", ["motor.wav,1"], "'motor.wav' is no name of a clip"),
    ],
)
def test_truth_that_is_wrong_is_an_error(tmp_path, name, rows, message):
    audio, truth, *_ = write_year("2021", tmp_path)
    tiny_sounds.write_table(truth / "more" / DATA / table("fan", "03", "target"), rows)
    with pytest.raises(TruthError, match=message):
        layout.scan(audio, truth=truth)


def test_truth_of_another_year_is_said(tmp_path):
    audio, _, *_ = write_year("2021", tmp_path)
    rows = ["section_03_source_test_0000.wav,0"]
    other = tmp_path / "dcase2023_task2_evaluator"
    tiny_sounds.write_table(other / DATA / table("fan", "03", "source"), rows)
    _, report = layout.scan(audio, truth=other)
    assert "another year" in report.warnings[0]
    with pytest.raises(FileNotFoundError, match="no such folder or file of ground"):
        layout.scan(audio, truth=tmp_path / "no_truth")


def test_two_years_with_clips_of_one_name_are_not_mixed(tmp_path):
    for year, label in (("2024", 0), ("2026", 1)):
        rows = [f"section_00_0001.wav,{label}"]
        path = tmp_path / "truth" / f"dcase{year}_task2_evaluator" / DATA
        tiny_sounds.write_table(path / table("ToothBrush"), rows)
    tiny_sounds.write(tmp_path / "audio", ["ToothBrush/test/section_00_0001.wav"])
    given = {"truth": tmp_path / "truth"}
    for year, label in ((2024, 0), (2026, 1)):
        manifest, _ = layout.scan(tmp_path / "audio", year=year, **given)
        assert manifest.clips[0].label == label
    with pytest.raises(TruthError, match=r"\[2024, 2026\].*give the clips' year"):
        layout.scan(tmp_path / "audio", **given)


def test_tables_of_hidden_attributes(tmp_path):
    tiny_sounds.write(tmp_path / "a", ["eval_data/fan/test/section_03_0001.wav"])
    for kind, rows in (
        (f"{DATA}/{table('fan', '03')}", ["section_03_0001.wav,1"]),
        (
            "ground_truth_attributes/fan/attributes_03.csv",
            ["file_name,d1p,d1v", "fan/test/section_03_0001.wav,m-n,W"],
        ),
    ):
        tiny_sounds.write_table(tmp_path / "t" / kind, rows)
    manifest, report = layout.scan(tmp_path / "a", truth=tmp_path / "t", year=2022)
    assert manifest.clips[0].attributes == {"m-n": "W"}
    assert manifest.clips[0].label == 1 and not report.warnings


# --- Lists of 2022 that are known to be wrong ---

TOY = "section_03_0000.wav"
WRONG = "section_03_source_test_normal_0030_car_F1_spd_31V_mic_1_noise_6.wav"


def toy_year(tmp_path, **tables):
    tiny_sounds.write(
        tmp_path / "audio",
        [f"eval_data/ToyCar/test/{TOY}", "eval_data/bearing/test/section_03_0000.wav"],
    )
    rows = ["ToyCar", f"{TOY},{WRONG}", "bearing"]
    rows += ["section_03_0000.wav,section_03_source_test_normal_0000_vel_21.wav"]
    tiny_sounds.write_table(tmp_path / "truth" / "eval_data_list_2022.csv", rows)
    for kind, value in tables.items():
        for machine in ("ToyCar", "bearing"):
            path = tmp_path / "truth" / kind / table(machine, "03")
            own = value if machine == "ToyCar" else "0"
            tiny_sounds.write_table(path, [f"{TOY},{own}"])
    return layout.scan(tmp_path / "audio", truth=tmp_path / "truth", year=2022)


def test_wrong_labels_of_2022_are_refused(tmp_path):
    manifest, report = toy_year(tmp_path)
    toy, bearing = manifest.clips
    assert (toy.label, toy.domain, toy.attributes) == (-1, "", {})
    assert (bearing.label, bearing.domain) == (0, "source")
    (warning,) = report.warnings
    assert "2022 ToyCar: 1 evaluation clips get no label" in warning
    assert report.counts["rows of lists known to be wrong, not used"] == 1


def test_labels_of_the_2022_evaluator_are_used_beside_the_wrong_list(tmp_path):
    manifest, report = toy_year(
        tmp_path, ground_truth_data="1", ground_truth_domain="1"
    )
    toy, bearing = manifest.clips
    assert (toy.label, toy.domain, toy.attributes) == (1, "target", {})
    assert (bearing.label, bearing.domain) == (0, "source")
    assert not report.warnings


def test_clips_renamed_by_the_wrong_list_get_no_label(tmp_path):
    paths = [f"eval_data/ToyCar/test/{WRONG}"]
    paths += ["eval_data/fan/test/section_03_source_test_anomaly_0000_m-n_W.wav"]
    tiny_sounds.write(tmp_path, paths)
    manifest, report = layout.scan(tmp_path, year=2022)
    assert [(c.label, c.domain) for c in manifest.clips] == [(-1, ""), (1, "source")]
    assert "2022 ToyCar: evaluation clips were renamed by a list" in report.warnings[0]
