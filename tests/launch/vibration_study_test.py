import numpy as np
import pytest

from launch import vibration_study
from sigjax.data.synthetic.bearing import bearing_windows


@pytest.mark.survival
def test_every_detector_has_its_row_and_the_figure_says_simulated(
    monkeypatch, tmp_path
):
    small = {"AE": {"widths": (8,), "code": 4, "batch_size": 32}}
    monkeypatch.setattr(vibration_study, "DETECTORS", small)
    given = {"windows": 8, "samples": 128}
    train = bearing_windows(healthy=20, damaged=0, **given)
    test = bearing_windows(healthy=4, damaged=4, depth=30.0, seed=1, **given)
    rows = vibration_study.compare(train, test, epochs=2)
    assert [row["detector"] for row in rows] == ["root mean square", "kurtosis", "AE"]
    assert all(row["auc"] == 1.0 for row in rows)  # no one can miss such blows
    assert rows[-1]["found"] == 1.0 and rows[-1]["false_alarms"] < 0.5
    text = vibration_study.table(rows)
    assert text.count("\n") == 4 and "| AE | 1.000 [1.00, 1.00] |" in text
    drawn = []
    monkeypatch.setattr(
        vibration_study.sound_study_figures,
        "draw",
        lambda p, panels: drawn.append(panels),
    )
    vibration_study.draw(tmp_path / "a.png", rows)
    assert "SIMULATED" in drawn[0][0].title
    assert [m.state for m in drawn[0][0].marks] == ["nothing to train"] * 2 + [
        "trained"
    ]


def test_numbers_are_of_the_window_about_its_mean():
    x = np.random.default_rng(0).normal(5, 2, (3, 4000, 1)).astype(np.float32)
    found = vibration_study.numbers(x)
    np.testing.assert_allclose(found["root mean square"], 2, rtol=0.05)
    np.testing.assert_allclose(found["kurtosis"], 3, rtol=0.15)
