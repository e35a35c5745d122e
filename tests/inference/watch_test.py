"""A machine watched: alarms, drift, and windows that are not scored."""

import math

import numpy as np
import pytest

from sigjax.inference.base import BundleError
from sigjax.inference.sounds.known_machines import Nearest
from sigjax.inference.sounds.rolling import Window
from sigjax.inference.sounds.scores import SoundScores
from sigjax.inference.sounds.watch import Watch, resolve

THRESHOLD, MEDIAN = 10.0, 4.0


class Fake:
    """Scores a wave by its first sample; knows pump/00 and two sections of fan."""

    machines = (("fan", "00"), ("fan", "01"), ("pump", "00"))

    def __init__(self, normal=1000):
        self.embedded = 0
        self.normal = np.linspace(MEDIAN - 3, MEDIAN + 3, normal)

    def embed(self, waves):
        self.embedded += len(waves)
        return [float(wave[0]) for wave in waves]

    def score(self, said, *, machine, section, domain):
        score, count = np.array(said), len(said)
        names = np.array(["00" if section is None else section] * count)
        return SoundScores(
            score=score,
            threshold=np.full(count, THRESHOLD),
            decision=(score > THRESHOLD).astype(np.int8),
            machine=np.array([machine] * count),
            section=names,
            remark=("",) * count,
        )

    def nearest(self, said):
        count = len(said)
        return Nearest(
            np.array(["fan"] * count),
            np.array(["01"] * count),
            np.ones(count),
            np.array(said) > 100,
        )

    def held_out(self, machine, section):
        return self.normal


def window(score, start_s=0.0, length_s=10.0, **wrong):
    wave = np.array([score, 0, 1], np.float32)
    about = {"damaged": 0.0, "clipped": 0.0, **wrong}
    return Window(start_s, start_s + length_s, wave, **about)


def rows_of(scores, hop_s=10.0, **settings):
    watch = Watch(Fake(), machine="pump", **settings)
    windows = [window(s, hop_s * i) for i, s in enumerate(scores)]
    return [watch.judge([w])[0] for w in windows], watch


def test_an_alarm_ends_half_way_down_to_the_median_of_normal_scores():
    # Ends at 7 or below: half-way between 10 and 4.
    rows, watch = rows_of([5, 11, 9, 7.01, 7, 9, 12, 6])
    assert [int(row.alarm) for row in rows] == [0, 1, 1, 1, 0, 0, 1, 0]
    assert [row.decision for row in rows] == [0, 1, 0, 0, 0, 0, 1, 0]
    assert watch.hysteresis.events == 2
    rows, _ = rows_of([11, 5, 11, 12, 5, 5, 5], after=2, until=2)
    assert [int(row.alarm) for row in rows] == [0, 0, 0, 1, 1, 0, 0]


def test_windows_judged_together_are_those_judged_one_by_one():
    scores = [5, 11, 9, 8, 6, 12, 5]
    rows, _ = rows_of(scores)
    watch = Watch(Fake(), machine="pump")
    together = watch.judge([window(s, 10.0 * i) for i, s in enumerate(scores)])
    assert together == rows


def test_damaged_and_silent_windows_are_not_scored_and_end_no_alarm():
    watch = Watch(Fake(), machine="pump")
    silent = window(11)._replace(wave=np.full(5, 0.5, np.float32))
    rows = watch.judge([window(11), window(3, damaged=0.25), silent, window(12)])
    assert [row.alarm for row in rows] == [True] * 4
    assert [row.decision for row in rows] == [1, -1, -1, 1]
    assert math.isnan(rows[1].score) and rows[1].nearest == ""
    assert rows[1].remark == "damaged: 25 % of the samples are no numbers (not scored)"
    assert rows[2].kinds == ["silent"]
    assert watch.detector.embedded == 2


def test_a_window_that_clips_is_scored_and_said():
    watch = Watch(Fake(), machine="pump")
    (row,) = watch.judge([window(3, clipped=0.02)])
    assert row.remark == "clipped: 2 % of the samples are at full scale"
    assert row.decision == 0
    assert watch.judge([window(3, clipped=1e-4)])[0].remark == ""


def test_drift_is_of_windows_that_do_not_overlap():
    # The limits of 5 scores lie within those of 1,000 normal ones, 1 to 7.
    rows, watch = rows_of([8] * 30, hop_s=2.0, drift_window=5)
    assert "5 windows that do not overlap" in watch.drift_note
    assert "1,000 normal clips" in watch.drift_note
    drift = [row.drift for row in rows]
    # Windows of 10 s every 2 s: the fifth that is free of the others ends at 50 s.
    assert drift == [""] * 20 + ["high"] * 10
    rows, _ = rows_of([0.5] * 8, drift_window=5)
    assert [row.drift for row in rows] == [""] * 4 + ["low"] * 4


def test_too_few_normal_clips_watch_no_drift_and_say_so():
    watch = Watch(Fake(normal=8), machine="pump")
    assert watch.drift is None
    assert watch.drift_note.startswith("not watched: 8 scores are too few")
    assert watch.judge([window(50)])[0].drift == ""
    several = Watch(Fake(), machine="fan")
    assert several.section is None and "several sections" in several.drift_note


def test_the_nearest_machine_is_named_if_asked_for():
    (row,) = Watch(Fake(), machine="pump").judge([window(101)])
    assert (row.nearest, row.open_set) == ("fan/01", True)
    (row,) = Watch(Fake(), machine="pump", nearest=False).judge([window(101)])
    assert (row.nearest, row.open_set) == ("", False)


def test_machine_and_section_are_needed_where_there_are_several():
    fake = Fake()
    assert resolve(fake, "pump", None) == ("pump", "00")
    assert resolve(fake, "fan", None) == ("fan", None)
    assert resolve(fake, "fan", "07") == ("fan", "07")
    with pytest.raises(BundleError, match="knows fan, pump: name one with --machine"):
        resolve(fake, None, None)
    with pytest.raises(BundleError, match="knows fan, pump: 'mill' is none of them"):
        resolve(fake, "mill", None)
    fake.machines = (("fan", "00"),)
    assert resolve(fake, None, None) == ("fan", "00")
