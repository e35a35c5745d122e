"""Audio events: what the task makes of batches, and the figures of each clip."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import label_ranking_average_precision_score

from sigjax.losses.events import binary_cross_entropy, soft_cross_entropy
from sigjax.models.ast import AstConfig
from sigjax.models.audio_classifier import AudioClassifierConfig
from sigjax.signal.fbank import FbankConfig
from sigjax.tasks import audio_events
from sigjax.tasks.audio_events import AudioEvents, AudioEventsConfig

BACKBONE = AstConfig(
    frames=24, bands=16, patch=8, stride_t=8, stride_f=8, width=8, depth=1, heads=2,
    mlp=8, unroll=1,
)  # fmt: skip
CONFIG = AudioEventsConfig(
    target="single",
    fbank=FbankConfig(rate_hz=4000.0, n_mels=16),
    window_s=0.2,  # 18 frames, and six of padding
    frames=24,
    mean=-5.0,
    std=3.0,
    time_mask=4,
    band_mask=4,
)
ROWS = 4


def make(target="single", classes=6, **changes):
    heads = tuple((head, classes) for head in audio_events.HEADS[target])
    config = dataclasses.replace(CONFIG, target=target, **changes)
    return AudioEvents(AudioClassifierConfig(heads=heads, ast=BACKBONE), config)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    found = {
        "wave": rng.integers(-9000, 9000, (ROWS, 800), np.int16),
        "valid": np.array([800, 800, 500, 90], np.int32),
        "label": np.array([0, 5, 2, 2], np.int32),
        "target": rng.integers(0, 2, (ROWS, 6)).astype(np.float32),
        "verb": np.array([1, 2, 3, 4], np.int32),
        "noun": np.array([0, 1, 2, 3], np.int32),
    }
    return {name: jnp.asarray(value) for name, value in found.items()}


@pytest.fixture(scope="module")
def variables(batch):
    task = make("verb_noun")
    return jax.jit(task.init)(jax.random.key(0), batch)


def test_padding_is_zero_behind_the_logarithm_and_samples_beyond_change_nothing(
    batch, variables
):
    spectrogram = jax.jit(make().spectrogram)
    found = np.asarray(spectrogram(variables, batch["wave"], batch["valid"]))
    assert found.shape == (ROWS, 24, 16)
    # 1 + (valid - 100) // 40 frames are real; (0 - mean) / (2 std) is padding.
    for row, frames in enumerate((18, 18, 11, 0)):
        np.testing.assert_allclose(found[row, frames:], 5.0 / 6.0, rtol=1e-6)
        assert (np.abs(found[row, :frames] - 5.0 / 6.0) > 1e-3).any(axis=1).all()
    noisy = batch["wave"].at[2, 500:].set(30000)
    again = np.asarray(spectrogram(variables, noisy, batch["valid"]))
    np.testing.assert_array_equal(again[2], found[2])


def test_waves_of_another_length_are_refused(batch, variables):
    with pytest.raises(ValueError, match="windows of 800 samples .0.2 s at 4000 Hz"):
        make().spectrogram(variables, batch["wave"][:, 1:], batch["valid"])


@pytest.mark.parametrize("target", ["single", "multi", "verb_noun"])
def test_losses_of_each_kind(target, batch, variables):
    plain = {"mixup": 0.0, "time_mask": 0, "band_mask": 0}
    task = make(target, **plain)
    if target != "verb_noun":
        params = dict(variables["params"])
        params["head"] = params["head_verb"]
        variables = {**variables, "params": params}

    @jax.jit
    def everything(variables, batch, key):
        return (
            task.loss(variables, batch, key),
            task.evaluate(variables, batch, key),
            task.scores(variables, batch["wave"], batch["valid"]),
        )

    out, figures, logits = everything(variables, batch, jax.random.key(1))
    np.testing.assert_allclose(out.loss, figures["loss"], rtol=1e-6)
    assert out.model_state["statistics"]["mean"] == -5.0
    if target == "multi":
        p = 1 / (1 + np.exp(-np.asarray(logits["target"], np.float64)))
        y = np.asarray(batch["target"])
        each = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(axis=-1)
        np.testing.assert_allclose(out.loss, each, rtol=1e-5)
        expected = [
            label_ranking_average_precision_score(y[i : i + 1], p[i : i + 1])
            for i in range(ROWS)
        ]
        np.testing.assert_allclose(figures["ranking"], expected, rtol=1e-5)
        return
    total, right = 0.0, {}
    for head in audio_events.HEADS[target]:
        log_p = np.asarray(jax.nn.log_softmax(logits[head]))
        total = total - log_p[np.arange(ROWS), batch[head]]
        right[head] = log_p.argmax(axis=-1) == batch[head]
    np.testing.assert_allclose(out.loss, total, rtol=1e-5)
    if target == "single":
        np.testing.assert_array_equal(figures["top1"], right["label"])
        # Of six classes five: all but the one with the lowest score.
        lowest = np.asarray(logits["label"]).argmin(axis=-1)
        np.testing.assert_array_equal(figures["top5"], lowest != batch["label"])
    else:
        both = right["verb"] & right["noun"]
        np.testing.assert_array_equal(figures["action"], both)
        assert set(out.metrics) == {"verb_loss", "noun_loss"}
        assert {"verb_top1", "noun_top5"} <= set(figures)


def test_mixup_mixes_sound_and_targets_alike(batch, variables):
    """Identical clips of different classes: only the targets can differ."""
    task = make("single", mixup=1.0, mixup_alpha=1.0, time_mask=0, band_mask=0)
    params = {**variables["params"], "head": variables["params"]["head_verb"]}
    variables = {**variables, "params": params}
    same = {**batch, "wave": jnp.repeat(batch["wave"][:1], ROWS, axis=0)}
    same["valid"] = jnp.full(ROWS, 800, jnp.int32)
    key = jax.random.key(3)
    out, scores = jax.jit(
        lambda v, b, k: (task.loss(v, b, k), task.scores(v, b["wave"], b["valid"]))
    )(variables, same, key)
    log_p = jax.nn.log_softmax(scores["label"])
    mixed = audio_events.mix(
        jax.random.split(key, 5)[0], jnp.zeros((ROWS, 800)), jnp.arange(ROWS),
        probability=1.0, alpha=1.0,
    )  # fmt: skip
    own, other = same["label"], same["label"][mixed.other]
    at, share = np.arange(ROWS), np.asarray(mixed.share)
    expected = -share * log_p[at, own] - (1 - share) * log_p[at, other]
    np.testing.assert_allclose(out.loss, expected, rtol=1e-4)
    assert (np.asarray(mixed.other) != at).any()


def test_masks_are_drawn_in_training_alone(batch, variables):
    task = make()
    plain, masked = (
        np.asarray(
            jax.jit(task.spectrogram)(variables, batch["wave"], batch["valid"], key)
        )
        for key in (None, jax.random.key(5))
    )
    hidden = masked != plain
    assert 0 < hidden[0].mean() < 0.5
    np.testing.assert_allclose(masked[hidden], 5.0 / 6.0, rtol=1e-6)


def test_smoothing_moves_targets():
    one = jnp.eye(4)[:1]
    task = make("single", classes=4, label_smoothing=0.2)
    np.testing.assert_allclose(task._smoothed(one), [[0.85, 0.05, 0.05, 0.05]])
    task = make("multi", classes=4, label_smoothing=0.2)
    np.testing.assert_allclose(task._smoothed(one), [[0.9, 0.1, 0.1, 0.1]])


def test_losses_stay_finite_where_logits_are_huge():
    logits = jnp.array([[1e4, -1e4]])
    target = jnp.array([[0.0, 1.0]])
    assert binary_cross_entropy(logits, target)[0] == pytest.approx(1e4)
    assert soft_cross_entropy(logits, target)[0] == pytest.approx(2e4)
    assert binary_cross_entropy(logits, 1 - target)[0] == 0


def test_ranking_of_a_clip_without_classes_is_one():
    found = audio_events.ranking(jnp.array([[0.3, 0.1]]), jnp.zeros((1, 2)))
    assert found[0] == 1


def test_statistics_are_of_real_frames(batch):
    mean = audio_events.fbank_statistics([batch], CONFIG.fbank)
    frames = [
        np.asarray(audio_events.fbank(jnp.asarray(w[:n]) / 32768, CONFIG.fbank))
        for w, n in zip(
            np.asarray(batch["wave"], np.float32), (800, 800, 500), strict=False
        )
    ]
    values = np.concatenate(frames)
    assert mean["mean"] == pytest.approx(values.mean(), rel=1e-4)
    assert mean["std"] == pytest.approx(values.std(), rel=1e-4)
    twice = audio_events.fbank_statistics(
        [batch, {**batch, "weight": np.zeros(ROWS)}], CONFIG.fbank
    )
    assert twice == mean
    silent = {**batch, "wave": jnp.zeros_like(batch["wave"])}
    with pytest.raises(ValueError, match="silence alone"):
        audio_events.fbank_statistics([silent], CONFIG.fbank)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean": None}, "both or neither"),
        ({"time_mask": 25}, "time_mask=25 is not within the 24 frames"),
        ({"band_mask": 17}, "band_mask=17 is not within 16 bands"),
        ({"mixup": 1.5}, "mixup must be"),
        ({"window_s": 0.01}, "shorter than a frame of 25 ms"),
        ({"label_smoothing": 1.0}, "is no share"),
        ({"std": 0.0}, "std must be above 0"),
    ],
)
def test_values_without_meaning_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **change)


def test_heads_and_sizes_that_do_not_fit_are_refused():
    model = AudioClassifierConfig(heads=(("label", 3),), ast=BACKBONE)
    with pytest.raises(ValueError, match="'multi' needs the heads target; .* label"):
        AudioEvents(model, dataclasses.replace(CONFIG, target="multi"))
    with pytest.raises(ValueError, match="24 frames of 16 bands, the task gives 30"):
        AudioEvents(model, dataclasses.replace(CONFIG, frames=30))
    with pytest.raises(ValueError, match="exactly one backbone"):
        AudioClassifierConfig(heads=(("label", 3),))
    with pytest.raises(ValueError, match="names of their own"):
        AudioClassifierConfig(heads=(("a", 3), ("a", 2)), ast=BACKBONE)
