"""Which clips a threshold is made of."""

import types

import numpy as np
import pytest

from launch.sounds.scoring import fit_candidate
from sigjax.evals.anomaly.per_section import Bank, PerSection
from sigjax.evals.sound_embedding import Embedded
from sigjax.inference.sounds.alarm_thresholds import (
    TRAINED_ON,
    alarm_threshold,
    clips_needed,
    minutes_needed,
)

RNG = np.random.default_rng(0)


def trained(count=40):
    """Clips of two sections, every other one of each."""
    section = np.array(["00", "03"])[np.arange(count) % 2]
    bank = Bank(section=section, embedding=RNG.normal(size=(count, 3)))
    return Embedded(np.arange(100, 100 + count), bank)


def part(held, per_day):
    scoring = types.SimpleNamespace(
        false_alarms_per_day=per_day, hop_s=10.0, scope="section"
    )
    return types.SimpleNamespace(
        system=types.SimpleNamespace(scoring=scoring),
        data=types.SimpleNamespace(validation_clips=np.asarray(held)),
    )


def test_thresholds_are_of_validation_clips_where_there_are_enough():
    train, held = trained(), np.arange(100, 110)
    found = fit_candidate("knn", part(held, 8640 / 5), train)
    rows = np.isin(train.indices, held)
    fitted = PerSection("knn").fit(train.bank.take(~rows))
    expected = fitted.score(train.bank.take(rows))
    for name in ("00", "03"):
        own = expected.score[expected.section == name]
        np.testing.assert_array_equal(found.held_out[name], own)
        assert found.thresholds[name].remark == ""
        assert found.thresholds[name].clips == 5 and found.clips[name] == 15


@pytest.mark.parametrize("held", [(), np.arange(100, 106)])
def test_else_they_are_of_clips_that_the_network_saw_and_say_so(held):
    train = trained()
    found = fit_candidate("knn", part(held, 8640 / 5), train)
    expected = PerSection("knn").held_out(train.bank)
    own = np.asarray(train.bank.section) == "03"
    np.testing.assert_array_equal(found.held_out["03"], expected[own])
    remark = found.thresholds["03"].remark
    assert remark.startswith(TRAINED_ON) and found.clips["03"] == 20
    assert ("3 clips to validate with are fewer than 4" in remark) == (len(held) > 0)


def test_the_sound_that_a_rate_needs():
    # One alarm a day: a day of clips, whatever their length.
    assert clips_needed(1.0, 10.0) == 8639
    assert minutes_needed(1.0, 10.0, 10.0) == pytest.approx(1439.8, abs=0.1)
    assert minutes_needed(24.0, 1.0, 10.0) == pytest.approx(600, rel=1e-3)
    score = np.append(RNG.normal(size=clips_needed(24.0, 10.0)), np.nan)
    enough = alarm_threshold(score, false_alarms_per_day=24.0, hop_s=10.0)
    assert enough.remark == "" and enough.per_day(10.0) == pytest.approx(24.0)
    few = alarm_threshold(
        score[:9], false_alarms_per_day=24.0, hop_s=10.0, clip_s=10.0, remark="old"
    )
    assert few.value == score[:9].max() and few.false_alarm_rate == pytest.approx(0.1)
    assert few.remark == (
        "24 false alarms a day need 359 normal clips (60 minutes); these 9 promise"
        " 864; old"
    )
