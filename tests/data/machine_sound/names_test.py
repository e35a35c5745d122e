"""Every spelling of seven years, by one parser."""

import pytest

from sigjax.data.machine_sound import names

# Name, and kind, section, number, domain, side, label, attributes.
CASES = [
    ("normal_id_00_00000123.wav", "id", "00", 123, "", "", 0, {}),
    ("anomaly_id_06_00000000.wav", "id", "06", 0, "", "", 1, {}),
    ("id_01_00000514.wav", "id", "01", 514, "", "", -1, {}),
    (
        "section_00_source_train_normal_0000_strength_1_ambient.wav",
        *("section", "00", 0, "source", "train", 0),
        {"strength": "1", "ambient": ""},
    ),
    (
        "section_02_target_test_anomaly_0099.wav",
        *("section", "02", 99, "target", "test", 1, {}),
    ),
    (
        "section_03_source_test_0007.wav",
        *("section", "03", 7, "source", "test", -1, {}),
    ),
    ("section_03_0000.wav", "section", "03", 0, "", "", -1, {}),
    ("section_03_test_0000.wav", "section", "03", 0, "", "test", -1, {}),
    (
        "section_04_target_train_normal_0008_volt_1.0.wav",
        *("section", "04", 8, "target", "train", 0, {"volt": "1.0"}),
    ),
    (
        "section_03_target_test_normal_0030_car_G1_spd_34V_mic_1_noise_6.wav",
        *("section", "03", 30, "target", "test", 0),
        {"car": "G1", "spd": "34V", "mic": "1", "noise": "6"},
    ),
    (
        "section_00_source_train_normal_0001_m-n_W.wav",
        *("section", "00", 1, "source", "train", 0, {"m-n": "W"}),
    ),
    (
        "section_00_source_test_anomaly_0001_ac_0.03_.wav",
        *("section", "00", 1, "source", "test", 1, {"ac": "0.03"}),
    ),
    (
        "section_00_source_test_anomaly_0001_pro_A_wt_200_damage1.wav",
        *("section", "00", 1, "source", "test", 1),
        {"pro": "A", "wt": "200", "damage": "1"},
    ),
    (
        "section_00_source_normal_0035_weight15_BckgF.wav",
        *("section", "00", 35, "source", "", 0, {"weight": "15", "Bckg": "F"}),
    ),
    (
        "section_00_source_test_normal_0001_mic_imp23absu_mic_pos_A_grind_0_bkg_A.wav",
        *("section", "00", 1, "source", "test", 0),
        {"mic": "imp23absu", "mic_pos": "A", "grind": "0", "bkg": "A"},
    ),
    (
        "section_00_machine_0042_.wav",
        *("section", "00", 42, "", "supplemental", -1, {"recorded": "machine"}),
    ),
    (
        "section_00_noise_0001.WAV",
        *("section", "00", 1, "", "supplemental", -1, {"recorded": "noise"}),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_names(case):
    name, kind, section, number, domain, side, label, attributes = case
    assert names.parse(f"some/folder_01/{name}") == names.Name(
        kind=kind,
        section=section,
        number=number,
        domain=domain,
        side=side,
        label=label,
        attributes=attributes,
    )


def test_hidden_attributes_are_none_and_told():
    name = names.parse("section_00_source_train_normal_0001_noAttribute.wav")
    assert name is not None and name.hidden_attributes and not name.attributes
    name = names.parse("section_00_source_train_normal_0001_vel_2.wav")
    assert name is not None and not name.hidden_attributes


def test_spellings_of_a_hidden_clip_have_one_key():
    keys = {
        names.parse(text).key  # pyright: ignore
        for text in ("section_03_0012.wav", "section_03_test_0012", "section_3_12.flac")
    }
    assert keys == {("03", "", 12)}
    hidden = names.parse("section_03_source_test_0012.wav")
    assert hidden is not None and hidden.key == ("03", "source", 12)


@pytest.mark.parametrize(
    "text",
    ["1400.wav", "section_00.wav", "section_aa_0000.wav", "fan_00_0000.wav", ""],
)
def test_other_names_are_none(text):
    assert names.parse(text) is None
