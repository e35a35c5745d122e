"""Simulated events: in the layouts that are read, at the times that are told."""

import numpy as np
import pytest
import soundfile

from sigjax.data.audio_events import layouts
from sigjax.data.audio_events.clips import ManifestError
from sigjax.data.audio_events.events import (
    Event,
    read_events,
    window_targets,
    write_events,
)
from sigjax.data.audio_events.simulated import open_event_data, simulate_set
from sigjax.data.audio_events.stream_config import (
    EventDataConfig,
    SimulatedEventsConfig,
)
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.synthetic import event_sounds
from sigjax.data.synthetic.events import write_event_recordings, write_events_set
from tests.data.machine_sound.tiny_sounds import write_table


def _config(layout, **changes):
    simulate = SimulatedEventsConfig(layout=layout, clips=10, classes=3, clip_s=0.5)
    given = {"dataset": "", "batch_size": 4, "window_s": 0.5, "simulate": simulate}
    return EventDataConfig(**{**given, **changes})


@pytest.mark.parametrize(
    ("layout", "options", "sides"),
    [
        ("esc50", {"test_fold": 1, "validation_fold": 2}, (18, 6, 6)),
        (
            "audioset",
            {"train_splits": ("balanced",), "test_splits": ("eval",)},
            (10, 0, 10),
        ),
        ("epic_kitchens", {}, (10, 10, 0)),
    ],
)
def test_each_layout_becomes_data(layout, options, sides, tmp_path):
    data = open_event_data(_config(layout, **options), tmp_path)
    assert data.simulated and data.left_out == {}
    assert tuple(map(len, data.sides.values())) == sides
    assert all(counts.min() > 0 for counts in data.class_counts.values())
    assert "SIMULATED" in (tmp_path / "simulated_events/SIMULATED.txt").read_text()
    # What is there is kept; and nothing is built where another process does.
    again = open_event_data(_config(layout, **options), tmp_path, build=False)
    assert again.fingerprint == data.fingerprint
    if layout == "esc50":
        assert len({*data.dataset.samples.tolist()}) == 3  # a few shorter and longer


def test_equal_parameters_give_equal_bytes_and_what_is_there_is_kept(tmp_path):
    options = {"clips": 2, "classes": 2, "clip_s": 0.3, "seed": 5}
    one, two = tmp_path / "a", tmp_path / "b"
    for folder in (one, two):
        write_events_set(folder, **options)
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert len(files) == 4 + 3
    assert all((one / f).read_bytes() == (two / f).read_bytes() for f in files)
    lost = one / "audio" / files[1].name
    lost.unlink()
    kept = (one / files[2]).stat().st_mtime_ns
    write_events_set(one, **options)
    assert lost.read_bytes() == (two / "audio" / lost.name).read_bytes()
    assert (one / files[2]).stat().st_mtime_ns == kept
    with pytest.raises(FileExistsError, match="not of this simulation"):
        write_events_set(one, **{**options, "seed": 6})
    write_events_set(tmp_path / "c", **{**options, "seed": 6})
    assert (tmp_path / "c" / lost.relative_to(one)).read_bytes() != lost.read_bytes()


def test_events_sound_when_the_table_says(tmp_path):
    folder = write_event_recordings(tmp_path, duration_s=30.0, classes=4, seed=1)
    events = read_events(folder / "events.csv")
    wave, rate_hz = soundfile.read(folder / "recording_00.wav")
    assert len(wave) == 30 * rate_hz and len(events) > 3
    seconds = np.arange(len(wave)) / rate_hz
    loud = np.zeros(len(wave), bool)
    for event in events:
        loud |= (seconds >= event.start_s) & (seconds < event.end_s)
    assert 0.1 < loud.mean() < 0.95
    rms = [np.sqrt(np.mean(wave[which] ** 2)) for which in (loud, ~loud)]
    assert rms[0] > 1.4 * rms[1]
    assert {event.label for event in events} <= set(tuple(event_sounds.SOUNDS)[:4])


def test_classes_differ_and_sources_have_traits():
    def spectrum(label, source, take):
        made = event_sounds.Take(
            seed=0, source=source, take=take, rate_hz=16000, duration_s=1.0
        )
        wave = made.sound(label)
        assert np.sqrt(np.mean(wave**2)) == pytest.approx(1) and wave[0] == 0
        power = np.abs(np.fft.rfft(wave)) ** 2
        return np.log(power[:8000].reshape(100, 80).mean(axis=1) + 1e-6)

    names = list(event_sounds.SOUNDS)
    found = {(n, s): spectrum(n, s, 0) for n in names for s in (1, 2)}
    near = [
        min(
            (np.linalg.norm(found[n, 1] - found[m, 2]), m) for m in names
        )[1]
        for n in names
    ]  # fmt: skip
    assert sum(a == b for a, b in zip(near, names, strict=True)) >= 7
    # Takes of one source are nearer than those of two.
    same = np.linalg.norm(spectrum("beeps", 1, 1) - found["beeps", 1])
    assert same < np.linalg.norm(found["beeps", 2] - found["beeps", 1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layout": "esc10"}, "layout 'esc10' is none of esc50"),
        ({"classes": 99}, "a clip or more of 2 to 10 classes"),
        ({"clips": 0}, "got 0 clips"),
        ({"clip_s": 0.1}, "clip_s must be 0.3 or more"),
    ],
)
def test_simulations_without_meaning_are_refused(given, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        write_events_set(tmp_path / "x", **{"seed": 0, **given})
    assert not (tmp_path / "x").exists()


def test_without_data_the_way_to_some_is_told(tmp_path):
    config = _config("esc50", simulate=None)
    with pytest.raises(DatasetError, match="launch.build_events"):
        open_event_data(config, tmp_path)
    with pytest.raises(ValueError, match="simulate is None"):
        simulate_set(config, tmp_path)


def test_a_simulated_epic_kitchens_has_a_long_sound_for_each_video(tmp_path):
    folder = write_events_set(
        tmp_path, layout="epic_kitchens", clips=10, clip_s=0.5, seed=0
    )
    manifest, report = layouts.scan(folder)
    assert len(manifest.clips) == 20 and not report.left_out
    assert len({clip.path for clip in manifest.clips}) == 4
    told = read_events(folder / "events.csv")
    for clip in manifest.clips:
        near = [e for e in told if e.path == clip.path]
        (own,) = [e for e in near if abs(e.start_s - clip.start_s) < 0.01]
        assert own.label == f"{clip.verb} {clip.noun}"
        assert clip.end_s == pytest.approx(own.end_s, abs=0.01)


def test_tables_of_events(tmp_path):
    events = [Event("a.wav", 0.5, 1.25, "dog, far"), Event("b.wav", 0.0, 2.0, "cat")]
    write_events(tmp_path / "events.csv", events)
    assert read_events(tmp_path / "events.csv") == events
    rows = ["path,start_s,end_s,label", "a.wav,1,1,dog"]
    with pytest.raises(ManifestError, match="row 2: .* is no event"):
        read_events(write_table(tmp_path / "x.csv", rows))
    with pytest.raises(ManifestError, match="no column 'end_s'"):
        read_events(write_table(tmp_path / "y.csv", ["path,start_s,label"]))


def test_windows_hold_the_events_that_reach_into_them():
    events = [
        Event("a", 0.9, 1.1, "x"), Event("a", 2.0, 5.0, "y"), Event("a", 0, 9, "z"),
    ]  # fmt: skip
    starts = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    found = window_targets(events, starts, 1.0, ["y", "x"])
    assert found.tolist() == [[0, 1], [0, 1], [1, 0], [1, 0], [1, 0], [0, 0]]
    # Half of a short event is enough, a tenth of a second of it is half.
    least = window_targets(events, [0.0, 0.4, 4.8], 1.0, ["y", "x"], least_s=0.5)
    assert least.tolist() == [[0, 1], [0, 1], [0, 0]]
