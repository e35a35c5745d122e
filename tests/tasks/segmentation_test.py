"""Segmentation: what is true of a mixture, and what is said of it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.metrics import segmentation as metrics
from sigjax.models.unet import UNetConfig
from sigjax.signal.mel import MelConfig, log_mel, mel_frequencies
from sigjax.tasks.segmentation import Segmentation, SegmentationConfig

RATE_HZ, HOP, SAMPLES = 8000, 100, 1600
MODEL = UNetConfig(classes=3, widths=(2, 3), norm="none")
CONFIG = SegmentationConfig(
    target="mask",
    mel=MelConfig(rate_hz=RATE_HZ, n_fft=256, hop=HOP, n_mels=24),
    window_s=SAMPLES / RATE_HZ,
)
TONES = {0: 500.0, 1: 2000.0}  # Hz of two events


def make(target="mask", **changes):
    return Segmentation(MODEL, dataclasses.replace(CONFIG, target=target, **changes))


@pytest.fixture(scope="module")
def batch():
    """Tones of classes 0 and 1 and both of class 1 at once, on noise; then silence."""
    rng, time = np.random.default_rng(0), np.arange(SAMPLES) / RATE_HZ
    label = np.array([[0, 1, -1], [1, 1, -1], [-1, -1, -1]], np.int32)
    start = np.array([[200, 600, 0], [400, 800, 0], [0, 0, 0]], np.int32)
    stop = np.array([[900, 1400, 0], [1000, 1200, 0], [0, 0, 0]], np.int32)
    sources = np.zeros((3, 3, SAMPLES), np.int16)
    for row, column in zip(*np.nonzero(label >= 0), strict=True):
        here = slice(start[row, column], stop[row, column])
        tone = 6000 * np.sin(2 * np.pi * TONES[column] * time[here])
        sources[row, column, here] = tone.astype(np.int16)
    noise = rng.normal(0, 20, (3, SAMPLES)).astype(np.int16)
    wave = sources.sum(axis=1, dtype=np.int16) + noise
    made = dict(wave=wave, sources=sources, label=label, start=start, stop=stop)
    return {name: jnp.asarray(value) for name, value in made.items()}


def test_frames_are_in_an_event_where_their_middle_is(batch):
    found = np.asarray(make("frames").target(batch))
    assert found.shape == (3, 17, 3)
    wanted = np.zeros((3, 17, 3))
    wanted[0, 2:9, 0] = wanted[0, 6:14, 1] = 1  # 200 <= 100 i < 900
    wanted[1, 4:12, 1] = 1  # of two events of one class, either
    np.testing.assert_array_equal(found, wanted)


def test_a_mask_is_where_a_class_has_more_power_than_all_the_rest(batch):
    found = np.asarray(jax.jit(make().target)(batch))
    assert found.shape == (3, 17, 24, 3) and set(np.unique(found)) == {0, 1}
    assert not found[2].any() and not found[..., 2].any()
    band_hz = mel_frequencies(CONFIG.mel)
    for label, hz in TONES.items():
        band = np.abs(band_hz - hz).argmin()
        assert found[0, 7, band, label] and not found[0, 7, band, 1 - label]
        # Nowhere else but near it, and only while it sounds.
        assert not found[0, 16, :, label].any()
        alone = {0: 4, 1: 11}[label]
        assert found[0, alone, band, label] and found[0, alone, :, label].sum() < 16
    # Two events of one class are one: where both sound, neither hides the other.
    both = [np.abs(band_hz - hz).argmin() for hz in TONES.values()]
    assert found[1, 9, both, 1].all()
    # By its definition, of class 1 in the first mixture.
    for row, own in ((0, batch["sources"][0, 1]), (1, batch["sources"][1].sum(0))):
        own = own / 32768
        rest = batch["wave"][row] / 32768 - own
        above = log_mel(own, CONFIG.mel) > log_mel(rest, CONFIG.mel)
        assert (found[row, :, :, 1] == np.asarray(above)).mean() > 0.995


def test_events_of_a_class_sound_together_before_they_are_compared(batch):
    """In one band: as waves, not by the power of each, nor the louder one alone."""
    time = np.arange(SAMPLES) / RATE_HZ
    tone = np.rint(3000 * np.sin(2 * np.pi * 1000 * time)).astype(np.int16)
    # With the other two as one it is louder than the third, alone it is not; of two
    # that cancel each other nothing sounds.
    sources = np.stack([[tone, tone, 1.5 * tone], [tone, -tone, tone / 2]])
    label = np.array([[0, 0, 1], [0, 0, 1]], np.int32)
    sources = sources.astype(np.int16)
    noise = np.random.default_rng(0).normal(0, 20, (2, SAMPLES)).astype(np.int16)
    given = dict(wave=sources.sum(axis=1, dtype=np.int16) + noise, sources=sources)
    given |= dict(label=label, start=np.zeros_like(label), stop=label + SAMPLES)
    given = {name: jnp.asarray(value) for name, value in given.items()}
    found = np.asarray(jax.jit(make().target)(given))
    band = np.abs(mel_frequencies(CONFIG.mel) - 1000).argmin()
    np.testing.assert_array_equal(found[0, 2:-2, band, :2], [[1, 0]] * 13)
    np.testing.assert_array_equal(found[1, 2:-2, band, :2], [[0, 1]] * 13)


def test_a_higher_criterion_takes_cells_away(batch):
    one, other = (
        np.asarray(jax.jit(make(criterion_db=db).target)(batch)) for db in (0.0, 20.0)
    )
    assert other.sum() < one.sum() and (other <= one).all()


@pytest.mark.survival
def test_scores_of_frames_are_means_over_bands_and_zero_is_the_prior(batch):
    masks, frames = make(), make("frames")
    variables = jax.jit(masks.init)(jax.random.key(0), batch)
    cells = masks.scores(variables, batch["wave"])
    np.testing.assert_allclose(
        frames.scores(variables, batch["wave"]), cells.mean(axis=2), atol=1e-5
    )
    wary = make(prior=0.1).scores(variables, batch["wave"])
    np.testing.assert_allclose(wary - cells, np.log(0.1 / 0.9), rtol=1e-4)


def test_figures_are_those_of_the_metrics(batch):
    task = make(dice=0.5, positive_weight=3.0)
    variables = jax.jit(task.init)(jax.random.key(0), batch)
    found = jax.jit(task.evaluate)(variables, batch, jax.random.key(1))
    np.testing.assert_allclose(
        found["loss"], found["cross_entropy"] + 0.5 * found["dice"], rtol=1e-5
    )
    means = {k: np.asarray(np.asarray(v).mean(axis=0)) for k, v in found.items()}
    figures = task.summarise(means)
    true = np.asarray(task.target(batch)) > 0.5
    scores = np.asarray(task.scores(variables, batch["wave"]))
    said = scores > 0
    each = np.log1p(np.exp(np.where(true, -scores, scores))) * np.where(true, 3.0, 1.0)
    np.testing.assert_allclose(found["cross_entropy"], each.mean((1, 2, 3)), rtol=1e-4)
    counts = metrics.cell_counts(true, said)
    assert figures["f1"] == pytest.approx(metrics.macro(metrics.f1(counts)), rel=1e-5)
    assert figures["iou"] == pytest.approx(metrics.macro(metrics.iou(counts)), rel=1e-5)
    nothing = dict.fromkeys(("matched", "true", "said"), np.zeros(3))
    assert np.isnan(task.summarise(nothing)["iou"])
    # Training's loss is the same number, of a model that does not drop.
    loss = jax.jit(task.loss)(variables, batch, jax.random.key(2)).loss
    np.testing.assert_allclose(loss, found["loss"], rtol=1e-5)


def test_what_does_not_fit_is_refused(batch):
    with pytest.raises(ValueError, match="windows of 1600 samples .0.2 s at 8000 Hz"):
        make().spectrogram(batch["wave"][:, 1:])
    with pytest.raises(ValueError, match="leaves out the borders"):
        Segmentation(dataclasses.replace(MODEL, padding="valid"), CONFIG)
    wrongs = ({"prior": 1.0}, {"cross_entropy": 0.0}, {"dice": -1.0})
    for wrong in (*wrongs, {"positive_weight": 0.0}):
        with pytest.raises(ValueError):
            make(**wrong)
