"""Simulated machine sounds: their layout, and that the truth is what one hears."""

import csv
import dataclasses
import itertools
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from scipy import signal

from sigjax.data.machine_sound import layout as readers
from sigjax.data.synthetic import machine_plan as plan
from sigjax.data.synthetic import machine_record as recorder
from sigjax.data.synthetic.machine_signals import Grid, Resonances, play, waveform
from sigjax.data.synthetic.machine_sound import (
    MACHINES,
    SECTIONS,
    write_machine_sounds,
)

_RATE = 16_000
_CLIP_S = 2.0
_GRID = Grid(rate_hz=_RATE, samples=4 * _RATE)
_SHORT = Grid(rate_hz=_RATE, samples=2 * _RATE)
_KINDS = [(m, kind) for m, c in recorder.MACHINES.items() for kind in c.faults]
# The names of 2021, from the challenge's description.
_NAME = re.compile(
    r"(?:section|id)_(\d\d)(?:_(source|target))?(?:_(train|test))?"
    r"(?:_(normal|anomaly))?_(\d+)(?:_(.*))?\.wav"
)
_SMALL = {
    "sections": ("00", "04"),
    "train_source": 3,
    "train_target": 2,
    "test_normal": 2,
    "test_anomaly": 4,
    "clip_s": _CLIP_S,
    "seed": 5,
}


@pytest.fixture(scope="module")
def year(tmp_path_factory):
    """A small 2021, and its truth."""
    folder = tmp_path_factory.mktemp("machines") / "2021"
    write_machine_sounds(folder, machines=("fan", "valve"), **_SMALL)
    return folder, json.loads((folder / "truth.json").read_text())


@pytest.fixture(scope="module")
def later_year(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machines") / "2022"
    write_machine_sounds(folder, machines=("ToyCar",), layout="2022", **_SMALL)
    return folder, json.loads((folder / "truth.json").read_text())


def _files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*.wav"))


def _contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.*")}


def _rows(path):
    with path.open() as file:
        return list(csv.reader(file))


def test_folders_and_names_are_those_of_2021(year):
    folder, truth = year
    assert _files(folder) == sorted(truth["clips"])
    fan = [path for path in _files(folder) if "/fan/" in path]
    train = [p for p in fan if p.startswith("dev_data/fan/train/section_00_")]
    assert len(train) == 5
    assert (
        train[0]
        .rpartition("/")[2]
        .startswith("section_00_source_train_normal_0000_spd_")
    )
    assert [p for p in fan if "dev_data/fan/target_test/" in p] == [
        f"dev_data/fan/target_test/section_00_target_test_{condition}_{number:04d}.wav"
        for condition, count in (("anomaly", 4), ("normal", 2))
        for number in range(count)
    ]
    assert [p for p in fan if "eval_data/fan/source_test/" in p] == [
        f"eval_data/fan/source_test/section_04_source_test_{number:04d}.wav"
        for number in range(6)
    ]
    for path, known in truth["clips"].items():
        split, machine, where, name = path.split("/")
        section, domain, side, condition, _, _ = _NAME.fullmatch(name).groups()
        assert (f"{known['split']}_data", known["machine"]) == (split, machine)
        assert (known["section"], known["domain"], known["side"]) == (
            section,
            domain,
            side,
        )
        assert where == ("train" if side == "train" else f"{domain}_test")
        if split == "dev_data" or side == "train":
            assert known["label"] == ["normal", "anomaly"].index(condition)
        else:
            assert condition is None


def test_ground_truth_of_2021_lies_beside_and_is_shuffled(year):
    folder, truth = year
    for machine, domain in itertools.product(("fan", "valve"), ("source", "target")):
        name = f"ground_truth_{machine}_section_04_{domain}_test.csv"
        rows = _rows(folder / "ground_truth_data" / name)
        labels = [int(label) for _, label in rows]
        assert sorted(labels) == [0, 0, 1, 1, 1, 1]
        assert [file for file, _ in rows] == [
            f"section_04_{domain}_test_{number:04d}.wav" for number in range(6)
        ]
        for file, label in rows:
            path = f"eval_data/{machine}/{domain}_test/{file}"
            assert truth["clips"][path]["label"] == int(label)
    assert len(list(folder.rglob("*.csv"))) == 4
    orders = {
        tuple(row[1] for row in _rows(p)) for p in folder.rglob("ground_truth*.csv")
    }
    assert len(orders) > 1


def test_later_years_hide_the_domain_and_tell_attributes(later_year):
    folder, truth = later_year
    tests = [p for p in _files(folder) if p.startswith("eval_data/ToyCar/test/")]
    assert tests == [
        f"eval_data/ToyCar/test/section_04_{number:04d}.wav" for number in range(12)
    ]
    values = {}
    for kind in ("data", "domain", "attributes"):
        name = "ground_truth_ToyCar_section_04_test.csv"
        rows = _rows(folder / f"ground_truth_{kind}" / name)
        assert [f"eval_data/ToyCar/test/{row[0]}" for row in rows] == tests
        values[kind] = [row[1] for row in rows]
    for path, label, domain, full in zip(tests, *values.values(), strict=True):
        known = truth["clips"][path]
        assert known["label"] == int(label)
        assert known["domain"] == ("source", "target")[int(domain)]
        assert f"_{known['domain']}_test_" in full
    header, *rows = _rows(folder / "dev_data/ToyCar/attributes_00.csv")
    assert header == ["file_name", *(f"d{n}{w}" for n in (1, 2, 3, 4) for w in "pv")]
    assert sorted(f"dev_data/{row[0]}" for row in rows) == [
        p for p in _files(folder) if p.startswith("dev_data/")
    ]
    for path, *pairs in rows:
        assert path.endswith("_" + "_".join(pairs) + ".wav")
        known = truth["clips"][f"dev_data/{path}"]["attributes"]
        assert dict(zip(pairs[::2], pairs[1::2], strict=True)) == known
    # Of evaluation clips the training ones alone.
    rows = _rows(folder / "eval_data/ToyCar/attributes_04.csv")[1:]
    assert len(rows) == 5 and all("/train/" in row[0] for row in rows)


@pytest.mark.parametrize("which", ["year", "later_year"])
def test_our_reader_of_the_challenges_finds_what_is_true(which, request):
    folder, truth = request.getfixturevalue(which)
    manifest, report = readers.scan(
        folder, truth=folder, year=2021 if which == "year" else 2022
    )
    assert len(manifest.clips) == len(truth["clips"])
    for clip in manifest.clips:
        known = truth["clips"][clip.path]
        for name in ("machine", "section", "split", "side", "domain", "label"):
            assert getattr(clip, name) == known[name], (clip.path, name)


def test_files_are_16_bits_mono_at_the_rate(year):
    folder, truth = year
    for path in truth["clips"]:
        info = soundfile.info(folder / path)
        assert (info.format, info.subtype) == ("WAV", "PCM_16")
        assert (info.samplerate, info.channels) == (_RATE, 1)
        assert info.frames == _CLIP_S * _RATE


def test_level_is_the_drawn_one_and_nothing_clips(year):
    folder, truth = year
    for path, known in truth["clips"].items():
        wave, _ = soundfile.read(folder / path)
        assert np.abs(wave).max() < 0.97
        level = 10 * np.log10(np.mean(wave**2))
        # Whether it is an anomaly or not.
        assert level == pytest.approx(known["setting"]["level_dbfs"], abs=0.02)
        assert abs(wave.mean()) < 1e-4


def test_setting_and_level_do_not_depend_on_the_condition():
    for machine, kind in _KINDS:
        section = recorder.section(1, machine, "01")
        for domain in ("source", "target"):
            normal, broken = (
                section.clip((3, 1), domain=domain, kind=k, clip_s=4.0)
                for k in (None, kind)
            )
            assert normal.setting == broken.setting


def test_equal_parameters_give_equal_bytes_and_others_do_not(year, tmp_path):
    folder, _ = year
    small = {**_SMALL, "sections": ("00",)}
    write_machine_sounds(tmp_path / "a", machines=("valve", "fan"), **small)
    one, other = _contents(folder), _contents(tmp_path / "a")
    same = [path for path in other if path.suffix == ".wav"]
    assert len(same) == 2 * 17
    assert all(one[path] == other[path] for path in same)
    # More clips leave the others as they are.
    more = {**small, "train_source": 5, "test_anomaly": 5}
    write_machine_sounds(tmp_path / "b", machines=("fan",), **more)
    grown = _contents(tmp_path / "b")
    fans = [path for path in same if "/fan/" in str(path)]
    assert all(grown[path] == other[path] for path in fans)
    write_machine_sounds(tmp_path / "c", machines=("fan",), **{**small, "seed": 6})
    reseeded = _contents(tmp_path / "c")
    # Attributes may be others, so names may.
    common = [path for path in fans if path in reseeded]
    assert common and not any(reseeded[path] == other[path] for path in common)
    # No clip is another's copy.
    assert len({one[path] for path in one if path.suffix == ".wav"}) == 2 * 2 * 17


def test_a_stopped_run_goes_on(tmp_path):
    parameters = {**_SMALL, "machines": ("pump",), "sections": ("00",)}
    write_machine_sounds(tmp_path, **parameters)
    before = _contents(tmp_path)
    waves = sorted(tmp_path.rglob("*.wav"))
    kept = waves[0].stat().st_mtime_ns
    waves[1].unlink()
    (tmp_path / "truth.json").unlink()
    # A killed run leaves a part of a file under another name.
    waves[2].unlink()
    waves[2].with_name(waves[2].name + ".tmp").write_bytes(b"RIFF")
    seen = []

    def progress(done, *, total):
        seen.append(total)
        return done

    write_machine_sounds(tmp_path, progress=progress, **parameters)
    assert _contents(tmp_path) == before
    assert waves[0].stat().st_mtime_ns == kept
    assert seen == [17]


def test_folders_of_others_are_refused(year, tmp_path):
    folder, _ = year
    with pytest.raises(FileExistsError, match="not of this simulation"):
        write_machine_sounds(folder, machines=("fan", "valve"), **{**_SMALL, "seed": 6})
    (tmp_path / "dev_data").mkdir()
    with pytest.raises(FileExistsError, match="not of this simulation"):
        write_machine_sounds(tmp_path, machines=("fan",), **_SMALL)
    assert not (tmp_path / "SIMULATED.txt").exists()
    text = (folder / "SIMULATED.txt").read_text()
    assert "SIMULATED" in text and "seed: 5" in text


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"machines": ("lathe",)}, "machines must be different ones of fan"),
        ({"machines": ()}, "machines must be"),
        ({"sections": ("0",)}, "two digits each"),
        ({"sections": ("00", "00")}, "must be different"),
        ({"test_normal": -1}, "test_normal must be 0 to 9999"),
        ({"clip_s": 1.0}, "clip_s must be at least 2"),
        ({"clip_s": float("nan")}, "clip_s must be at least 2"),
        ({"rate_hz": 4000}, "rate_hz must be at least 8000"),
        ({"layout": "2020"}, "layout must be one of"),
    ],
)
def test_parameters_that_make_no_sense_are_named(tmp_path, wrong, message):
    with pytest.raises(ValueError, match=message):
        write_machine_sounds(tmp_path / "new", **{**_SMALL, **wrong})
    assert not (tmp_path / "new").exists()


@pytest.mark.survival
def test_the_command_writes_the_same_with_workers_and_refuses(tmp_path):
    small = {**_SMALL, "train_source": 14, "machines": ("pump",), "sections": ("03",)}
    write_machine_sounds(tmp_path / "here", **small)
    command = [sys.executable, "-m", "launch.simulate_sounds"]
    command += [f"--output={tmp_path / 'there'}", "--machines=pump", "--sections=03"]
    command += ["--train_source=14", "--train_target=2", "--test_normal=2"]
    command += ["--test_anomaly=4", "--clip_s=2", "--workers=2"]

    def run(*more):
        return subprocess.run([*command, *more], capture_output=True, text=True)

    done = run("--seed=5")
    assert done.returncode == 0, done.stderr
    assert _contents(tmp_path / "there") == _contents(tmp_path / "here")
    done = run("--seed=4")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and "not of this simulation" in done.stderr


# What is heard. Clips of 4 s, rendered in pairs that share all but the anomaly.


def _clip(machine, kind, strength=1.0, *, name="00", words=(4, 2), domain="source"):
    section = recorder.section(0, machine, name)
    clip_s = _GRID.samples / _RATE
    clip = section.clip(words, domain=domain, kind=kind, clip_s=clip_s)
    if kind is not None:
        fault = section.machine.faults[kind]
        effect = fault.weakest + strength * (fault.strongest - fault.weakest)
        anomaly = dataclasses.replace(clip.anomaly, strength=strength, effect=effect)
        clip = dataclasses.replace(clip, anomaly=anomaly)
        clip = dataclasses.replace(clip, events=section.machine.events(clip, clip_s))
    return section, clip


def _wave(machine, kind, strength=1.0, **place):
    section, clip = _clip(machine, kind, strength, **place)
    wave = recorder.record(section, clip, _GRID).astype(float) / 32768
    return section, clip, wave


def _level_db(wave):
    return 10 * np.log10(np.mean(wave**2))


def _spectrum(wave):
    """dB in 1 Hz bins of the clip's mean spectrum."""
    hz, power = signal.welch(wave, _RATE, nperseg=4096)
    return hz, 10 * np.log10(power)


@pytest.mark.parametrize(("machine", "kind"), _KINDS)
def test_every_anomaly_is_heard_and_grows_with_its_strength(machine, kind):
    def away(strength):
        total = 0.0
        for words in ((4, 2), (4, 3)):
            _, _, normal = _wave(machine, None, words=words)
            _, _, broken = _wave(machine, kind, strength, words=words)
            frames = [
                np.abs(signal.stft(w, _RATE, nperseg=512)[2]) for w in (normal, broken)
            ]
            change = 20 * np.log10((frames[1] + 1e-6) / (frames[0] + 1e-6))
            total += np.sqrt(np.mean(change**2))
        return total / 2

    weak, strong = away(0.0), away(1.0)
    assert strong > 1.02 * weak
    assert strong > 0.5


@pytest.mark.parametrize("machine", ["fan", "pump", "gearbox", "ToyTrain"])
def test_blows_come_at_the_rate_that_the_truth_says(machine):
    section, clip, broken = _wave(machine, "impacts")
    _, _, normal = _wave(machine, None)
    rate_hz = section.machine.rates(clip.setting)["defect"]
    lines = []
    for wave in (normal, broken):
        found = []
        for mode_hz in section.machine.loose.hz:
            band = signal.butter(
                2, (0.85 * mode_hz, 1.15 * mode_hz), "bandpass", fs=_RATE, output="sos"
            )
            envelope = np.abs(signal.hilbert(signal.sosfilt(band, wave)))
            envelope -= envelope.mean()
            power = np.abs(np.fft.rfft(envelope * np.hanning(len(envelope))))
            hz = np.fft.rfftfreq(len(envelope), 1 / _RATE)
            near = np.abs(hz / rate_hz - 1) < 0.02
            around = (np.abs(hz / rate_hz - 1) < 0.3) & ~near
            found.append(power[near].max() / np.median(power[around]))
        lines.append(max(found))
    assert lines[1] > 8
    assert lines[1] > 1.5 * lines[0]


def test_a_missing_click_is_missing_and_the_others_are_there():
    section, clip, broken = _wave("valve", "missing_clicks")
    _, whole, normal = _wave("valve", None)
    events = clip.events
    there = [*events["open_s"], *events["close_s"]]
    missing = events["missing_s"]
    assert events["open_s"] and events["close_s"] and missing
    every = [*whole.events["open_s"], *whole.events["close_s"]]
    np.testing.assert_allclose(sorted(there + missing), sorted(every), atol=0.02)
    sos = signal.butter(4, 1500, "highpass", fs=_RATE, output="sos")
    high = np.abs(signal.sosfilt(sos, np.stack([normal, broken])))

    def kept(at_s):
        """Share of the click's peak that is left."""
        first = round(at_s * _RATE)
        peaks = high[:, max(first - 60, 0) : first + 300].max(1)
        return peaks[1] / peaks[0]

    assert np.median([kept(at) for at in missing]) < 0.5 * np.median(
        [kept(at) for at in there]
    )


def test_a_valve_with_low_voltage_opens_late_and_is_not_late_to_close():
    _, weak = _clip("valve", "voltage_drop")
    _, normal = _clip("valve", None)
    late = np.array(weak.events["open_s"]) - np.array(normal.events["open_s"])
    assert 0.03 < late.min() < late.max() < 0.15
    assert weak.anomaly.effect == pytest.approx(late.mean(), rel=0.3)
    closes = np.array(weak.events["close_s"]) - np.array(normal.events["close_s"])
    assert np.abs(closes).max() < 0.02


@pytest.mark.parametrize("machine", ["gearbox", "ToyTrain"])
def test_the_speed_falls_as_far_and_when_the_truth_says(machine):
    tone = {"gearbox": "mesh", "ToyTrain": "motor"}[machine]
    # Words whose anomaly does not fill the clip.
    for seed in range(100):
        section, clip, wave = _wave(machine, "voltage_drop", words=(9, seed))
        spans = clip.anomaly.spans_s
        if spans[0][0] > 0 and max(b - a for a, b in spans) > 1.2:
            break
    rate_hz = section.machine.rates(clip.setting)[tone]
    hz, seconds, power = signal.spectrogram(wave, _RATE, nperseg=8192, noverlap=7680)
    # The fourth harmonic at most: the finer the frequency.
    scores = []
    for drop in (0.0, clip.anomaly.effect):
        level = [
            np.interp(k * rate_hz * (1 - drop), hz, np.arange(len(hz)))
            for k in range(1, 9)
        ]
        bins = np.rint(level).astype(int)
        scores.append(np.log(power[bins]).mean(0))
    lower = scores[1] > scores[0]
    inside = np.zeros(len(seconds), bool)
    border = np.zeros(len(seconds), bool)
    for start, end in spans:
        inside |= (seconds > start) & (seconds < end)
        for edge in (start, end):
            border |= np.abs(seconds - edge) < 0.45
    assert lower[inside & ~border].mean() > 0.8
    assert lower[~inside & ~border].mean() < 0.2


@pytest.mark.parametrize("machine", ["fan", "pump"])
def test_clogging_tilts_the_spectrum_by_what_the_truth_says(machine):
    section, clip, broken = _wave(machine, "clogging")
    _, _, normal = _wave(machine, None)
    hz, level = _spectrum(broken)
    change = level - _spectrum(normal)[1]
    inside = (hz > 200) & (hz < 1500)
    slope = np.polyfit(np.log2(hz[inside]), change[inside], 1)[0]
    # The room, which does not tilt, takes a part of it.
    assert 1.3 * clip.anomaly.effect < slope < 0.5 * clip.anomaly.effect


def test_imbalance_makes_the_sound_swell_once_a_turn():
    section, clip, broken = _wave("fan", "imbalance")
    _, _, normal = _wave("fan", None)
    shaft_hz = section.machine.rates(clip.setting)["shaft"]
    at_s = np.arange(_GRID.samples) / _RATE
    depth = []
    for wave in (normal, broken):
        power = wave**2 - np.mean(wave**2)
        near = shaft_hz * np.linspace(0.99, 1.01, 41)
        lines = [abs(np.mean(power * np.exp(-2j * np.pi * f * at_s))) for f in near]
        depth.append(2 * max(lines) / np.mean(wave**2))
    assert depth[1] > 0.3
    assert depth[1] > 3 * depth[0]


@pytest.mark.parametrize(
    ("machine", "kind"), [("pump", "leak"), ("gearbox", "rattle"), ("slider", "rattle")]
)
def test_spells_are_when_the_truth_says(machine, kind):
    for seed in range(100):
        section, clip, broken = _wave(machine, kind, words=(8, seed))
        if clip.anomaly.spans_s[0][0] > 0:
            break
    _, _, normal = _wave(machine, None, words=(8, seed))
    _, seconds, frames = signal.stft(
        np.stack([normal, broken]), _RATE, nperseg=512, noverlap=256
    )
    bands = np.log(np.abs(frames) + 1e-9)
    inside = np.zeros(len(seconds), bool)
    near = np.zeros(len(seconds), bool)
    for start, end in clip.anomaly.spans_s:
        inside |= (seconds > start) & (seconds < end)
        near |= (seconds > start - 0.1) & (seconds < end + 0.2)
    # The clip's level is given: how far all is scaled is seen where nothing is wrong.
    scale = np.median((bands[1] - bands[0])[:, ~near])
    change = np.abs(bands[1] - bands[0] - scale).mean(0)
    assert change[inside].mean() > 2 * change[~near].mean()


def test_a_train_clacks_when_the_truth_says_and_the_loose_joint_loudest():
    section, clip, wave = _wave("ToyTrain", "looseness", name="01")
    sos = signal.butter(4, 2500, "highpass", fs=_RATE, output="sos")
    high = np.abs(signal.sosfilt(sos, wave))
    at_s, joints = clip.events["clack_s"], np.array(clip.events["joint"])
    peaks = np.array(
        [high[round(t * _RATE) : round(t * _RATE) + 320].max() for t in at_s]
    )
    loose = clip.events["loose_joint"][0]
    assert loose != 0
    assert joints[peaks.argmax()] == loose
    assert peaks.max() > 6 * np.median(high)
    lap_hz = section.machine.rates(clip.setting)["lap"]
    assert np.diff(at_s).mean() == pytest.approx(
        1 / lap_hz / section.machine.joints, rel=0.02
    )


# Domains.


def _mean_levels(section, domain, count=4):
    found = []
    for number in range(count):
        clip = section.clip((7, number), domain=domain, kind=None, clip_s=2.0)
        wave = recorder.record(section, clip, _SHORT).astype(float) / 32768
        hz, level = _spectrum(wave)
        bands = [
            level[(hz >= low) & (hz < 1.3 * low)].mean()
            for low in 80 * 1.3 ** np.arange(17)
        ]
        found.append(np.array(bands) - np.mean(bands))
    return np.array(found)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_target_domain_sounds_different(machine):
    shifts, between, within = {}, 0.0, 0.0
    for name in SECTIONS[:4]:
        section = recorder.section(0, machine, name)
        place = section.place
        shifts[place.shift] = (
            place.rooms[0] != place.rooms[1],
            place.microphones[0] != place.microphones[1],
            place.speeds[0] != place.speeds[1],
            place.loads[0] != place.loads[1],
        )
        source, target = (_mean_levels(section, d) for d in ("source", "target"))
        between += np.linalg.norm(source.mean(0) - target.mean(0))
        within += np.linalg.norm(source[:2].mean(0) - source[2:].mean(0))
    assert between > 1.3 * within
    # One thing is other, another in each section.
    assert shifts == {
        "noise": (True, False, False, False),
        "microphone": (False, True, False, False),
        "speed": (False, False, True, False),
        "load": (False, False, False, True),
    }


def test_another_microphone_colours_as_its_response_says():
    section = recorder.section(0, "pump", "01")
    assert section.place.shift == "microphone"
    clip = section.clip((7, 1), domain="source", kind=None, clip_s=4.0)
    waves = []
    for number in section.place.microphones:
        setting = dataclasses.replace(clip.setting, microphone=number)
        there = dataclasses.replace(clip, setting=setting)
        waves.append(recorder.record(section, there, _GRID) / 32768)
    hz, level = _spectrum(waves[1])
    change = level - _spectrum(waves[0])[1]
    responses = [recorder._microphone(m, _GRID) for m in section.place.microphones]
    asked = np.interp(hz, _GRID.hz, 20 * np.log10(responses[1] / responses[0]))
    heard = (hz > 100) & (hz < 7500)
    away = (change - asked)[heard]
    assert np.std(asked[heard]) > 0.5
    # The level is given, so a constant is free.
    assert np.std(away) < 0.2


def test_another_speed_load_and_room_are_in_the_settings():
    found = {}
    for name in SECTIONS[:4]:
        section = recorder.section(0, "gearbox", name)
        settings = {
            domain: [
                section.clip((1, n), domain=domain, kind=None, clip_s=2.0).setting
                for n in range(40)
            ]
            for domain in ("source", "target")
        }
        found[section.place.shift] = settings

    def mean(shift, name):
        values = found[shift]
        return tuple(np.mean([getattr(s, name) for s in v]) for v in values.values())

    for shift in plan.SHIFTS:
        source, target = mean(shift, "speed")
        assert (abs(source / target - 1) > 0.1) == (shift == "speed")
        source, target = mean(shift, "load")
        assert (abs(np.log2(source / target)) > 0.8) == (shift == "load")
        source, target = mean(shift, "snr_db")
        assert (source - target > 4) == (shift == "noise")


def test_sections_are_machines_of_their_own():
    for machine in MACHINES:
        traits = [recorder.section(0, machine, n).machine.traits() for n in SECTIONS]
        assert len({str(t) for t in traits}) == len(SECTIONS)
        assert len({tuple(t["body_hz"]) for t in traits}) == len(SECTIONS)


def test_clips_of_a_section_vary(year):
    _, truth = year
    settings = [c["setting"] for c in truth["clips"].values() if c["machine"] == "fan"]
    for name in ("speed", "snr_db", "level_dbfs", "start"):
        assert len({setting[name] for setting in settings}) == len(settings)


def test_all_kinds_come_up_and_strengths_spread(year):
    _, truth = year
    found = [c["anomaly"] for c in truth["clips"].values() if c["label"]]
    for machine in ("fan", "valve"):
        kinds = {
            c["anomaly"]["kind"]
            for c in truth["clips"].values()
            if c["label"] and c["machine"] == machine
        }
        assert kinds == set(recorder.MACHINES[machine].faults)
    strengths = np.array([anomaly["strength"] for anomaly in found])
    assert strengths.min() < 0.2 and strengths.max() > 0.8
    assert all(c["anomaly"] is None for c in truth["clips"].values() if not c["label"])


# Parts.


def test_a_waveform_is_played_at_any_place():
    rng = np.random.default_rng(0)
    table = waveform(rng, (1.0, 0.5, 0.25))
    assert np.sqrt(np.mean(table**2)) == pytest.approx(
        np.sqrt((1 + 0.25 + 0.0625) / 2), rel=1e-3
    )
    cycles = np.array([0.0, 0.25, 1.25, 7 - 1e-17, -0.75])
    played = play(table, cycles)
    assert played[1] == pytest.approx(played[2], abs=1e-5)
    assert played[1] == pytest.approx(played[4], abs=1e-5)
    assert played[0] == pytest.approx(played[3], abs=1e-3)


def test_resonances_ring_at_their_frequency_and_as_long_as_their_quality_says():
    mode = Resonances(hz=np.array([1000.0]), quality=np.array([30.0]), gain=np.ones(1))
    blow = _GRID.blows(np.array([1.0]))
    wave = _GRID.clip(_GRID.back(_GRID.forward(blow) * mode.response(_GRID)))
    envelope = np.abs(signal.hilbert(wave))
    first = round(1.0 * _RATE)
    assert np.abs(wave[: first - 200]).max() < 0.02 * envelope.max()
    # Falls to 1/e in Q / (pi hz).
    after = round(30 / np.pi / 1000 * _RATE)
    ratio = envelope[first + 20 + after] / envelope[first + 20]
    assert ratio == pytest.approx(np.exp(-1), rel=0.1)
    assert np.abs(np.fft.rfft(wave)).argmax() / 4 == pytest.approx(1000, abs=2)


def test_rms_of_a_spectrum_is_that_of_its_wave():
    wave = np.random.default_rng(0).standard_normal(_GRID.size, np.float32)
    assert _GRID.rms(_GRID.forward(wave)) == pytest.approx(np.std(wave), rel=1e-3)
    noise = _GRID.noise(np.random.default_rng(1), _GRID.band(500, 2000))
    assert np.std(noise) == pytest.approx(1.0, rel=1e-3)


def test_random_numbers_are_their_own_for_each_purpose():
    words = [(1, "fan"), (1, "pump"), (2, "fan"), (1, 2, "fan")]
    drawn = [plan.generator(*w).random() for w in words]
    assert len(set(drawn)) == len(words)
    assert plan.generator(1, "fan").random() == drawn[0]
