"""A segmenter out of its bundle: windows, frames and events of waves of any length."""

import dataclasses

import jax
import numpy as np
import pytest

from sigjax import export
from sigjax.inference.base import BundleError, SignalConfig
from sigjax.inference.segmentation import (
    EventRule,
    FrameMeans,
    SegmenterConfig,
    SegmenterModel,
)
from sigjax.models.unet import UNetConfig
from sigjax.signal.mel import MelConfig
from sigjax.tasks.segmentation import Segmentation, SegmentationConfig

RATE_HZ, FRAME_S = 4000, 0.025
CONFIG = SegmenterConfig(
    task=SegmentationConfig(
        target="mask",
        mel=MelConfig(rate_hz=RATE_HZ, n_fft=256, hop=100, n_mels=8),
        window_s=0.5,
    ),
    unet=UNetConfig(classes=2, widths=(2, 3)),
    classes=("bark", "rain"),
    rule=EventRule(threshold=0.6, least_bands=2, gap_s=0.05, least_s=0.05),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Random weights, through a bundle on disk."""
    task, rng = Segmentation(CONFIG.unet, CONFIG.task), np.random.default_rng(0)
    variables = jax.eval_shape(task.init, jax.random.key(0), {})
    variables = jax.tree.map(
        lambda v: np.abs(rng.normal(size=v.shape)).astype(np.float32), variables
    )
    path = tmp_path_factory.mktemp("segmenter") / "bundle"
    export.save(
        path,
        model="segmenter",
        params=variables["params"],
        state={"batch_stats": variables["batch_stats"]},
        model_config=CONFIG,
        signal=SignalConfig(
            rate_hz=4000.0, channels=1, units="", window_s=0.5, patch_s=FRAME_S
        ),
        preprocessing={},
        source_run={},
        labels=CONFIG.classes,
    )
    found = export.load(path)
    assert isinstance(found, SegmenterModel) and found.config == CONFIG
    jax.tree.map(np.testing.assert_array_equal, dict(found.params), variables["params"])
    return found


def test_a_wave_is_judged_in_windows_of_whole_frames(model, monkeypatch):
    """All but the padding of the last is in them, and each has its place."""
    wave = np.random.default_rng(1).integers(-9000, 9000, 5230).astype(np.int16)
    seen = {}

    def judge(waves, batch_size):
        seen["waves"] = waves
        return [np.full((21, 2), n, np.float32) for n in range(len(waves))]

    monkeypatch.setattr(model, "judge", judge)
    got = {}
    monkeypatch.setattr(
        model, "events", lambda score, s: got.update(score=score, s=s) or []
    )
    assert model.segment(wave) == []
    starts = [0, 1000, 2000, 3000, 3300]  # the last: what is left, in whole frames
    for own, start in zip(seen["waves"], starts, strict=True):
        np.testing.assert_array_equal(own, wave[start : start + 2000] / 32768)
    assert got["score"].shape == (53, 2) and got["s"] == pytest.approx(5230 / 4000)
    np.testing.assert_array_equal(got["score"][:10], 0)
    np.testing.assert_array_equal(got["score"][51:], 4)


def test_frames_are_what_windows_say_of_them(model):
    wave = np.random.default_rng(2).integers(-9000, 9000, (3, 2000)).astype(np.int16)
    cells = np.asarray(model.probabilities(wave))
    assert cells.shape == (3, 21, 8, 2)
    np.testing.assert_allclose(
        model.frames(cells), np.sort(cells, axis=2)[:, :, -2], rtol=1e-6
    )
    np.testing.assert_allclose(
        model.judge(list(wave), 2), model.frames(cells), atol=1e-5
    )
    assert model.judge([]).shape == (0, 21, 2)


def test_means_weigh_the_middle_of_windows_most():
    means = FrameMeans(1)
    means.add(0, np.zeros((5, 1)))
    means.add(2, np.ones((5, 1)))
    found = means.mean(8)[:, 0]
    # Weights 1 2 3 2 1 each: the shares of the second where both are.
    np.testing.assert_allclose(found[:7], [0, 0, 1 / 4, 2 / 4, 3 / 4, 1, 1])
    assert np.isnan(found[7])


def test_events_are_runs_of_frames_half_a_frame_around(model):
    score = np.full((20, 2), 0.1, np.float32)
    score[4:8, 0] = 0.9
    score[9:12, 0] = 0.7  # a pause of one frame does not end it
    score[15:16, 0] = 0.99  # too short
    score[17:, 1] = 0.8
    score[0, 1] = np.nan
    found = model.events(score, 19.2 * FRAME_S)
    one, other = found
    assert (one.label, one.start_s, one.end_s) == ("bark", 0.0875, 0.2875)
    assert one.score == pytest.approx((4 * 0.9 + 0.1 + 3 * 0.7) / 8, abs=1e-4)
    assert (other.label, other.start_s, other.end_s) == ("rain", 0.4125, 0.48)
    (left,) = model.events(score, 1.0, threshold=0.85)
    assert (left.start_s, left.end_s) == (0.0875, 0.1875)


def test_what_is_no_wave_is_refused(model):
    with pytest.raises(BundleError, match="one channel"):
        model.segment(np.zeros((2, 100)))
    with pytest.raises(BundleError, match=r"expected \[batch, 2000\]"):
        model.probabilities(np.zeros((1, 100)))
    with pytest.raises(BundleError, match="int16 or floating"):
        model.segment(np.zeros(100, np.int64))
    with pytest.raises(BundleError, match="names 1 classes but its model has 2"):
        info = {**model.info}
        info["model_config"] = {**info["model_config"], "classes": ("a",)}
        SegmenterModel(model.params, info)


def test_a_rule_without_meaning_is_refused():
    for wrong in ({"threshold": 0.0}, {"least_bands": 0}, {"gap_s": -0.1}):
        with pytest.raises(ValueError):
            dataclasses.replace(CONFIG.rule, **wrong)
