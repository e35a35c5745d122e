"""The task of masked prediction on a tiny encoder."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.models.speech_encoder import SpeechEncoderConfig
from sigjax.signal.cepstra import CepstraConfig
from sigjax.tasks.masked_prediction import (
    MaskedPrediction,
    MaskedPredictionConfig,
    copied_hits,
    nearest,
)

MODEL = SpeechEncoderConfig(
    conv_dim=(8,) * 7,
    width=16,
    depth=1,
    heads=2,
    mlp=16,
    pos_taps=4,
    pos_groups=2,
    mask_embedding=True,
)
CONFIG = MaskedPredictionConfig(clusters=3, code_width=4)
TASK = MaskedPrediction(MODEL, CONFIG)


@functools.cache
def variables():
    found = dict(jax.jit(TASK.init)(jax.random.key(0), {}))
    centre = np.random.default_rng(0).normal(size=(3, 39)).astype(np.float32)
    return found | {"clusters": {**found["clusters"], "centre": jnp.asarray(centre)}}


def batch(pad=0):
    wave = np.random.default_rng(1).normal(size=(2, 6400)).astype(np.float32)
    wave[1, 2000:] = 0
    return {
        "wave": jnp.asarray(np.pad(wave, ((0, 0), (0, pad)))),
        "samples": jnp.array([6400, 2000]),
        "row": jnp.array([4, 9]),
    }


@pytest.mark.survival
def test_frames_are_the_encoders_and_clusters_the_nearest():
    x, count = TASK.frames(variables(), batch())
    assert x.shape == (2, 19, 39)
    np.testing.assert_array_equal(count, [19, 6])
    found, own = TASK.targets(variables(), batch())
    np.testing.assert_array_equal(own.sum(axis=1), [19, 6])
    centre = np.asarray(variables()["clusters"]["centre"])
    away = np.linalg.norm(np.asarray(x)[:, :, None] - centre, axis=-1)
    np.testing.assert_array_equal(found, away.argmin(axis=-1))
    np.testing.assert_array_equal(nearest(x, jnp.asarray(centre)), found)


def test_the_mask_is_the_clips_own_wherever_it_stands():
    own = jnp.arange(19) < jnp.array([[19], [6]])
    key, given = jax.random.key(2), batch()
    found = TASK.mask(given, own, key)
    turned = {name: value[::-1] for name, value in given.items()}
    np.testing.assert_array_equal(TASK.mask(turned, own[::-1], key), found[::-1])
    assert found.any(axis=1).all() and not (found & ~own).any()


def test_loss_is_the_mean_over_hidden_frames_and_state_stays():
    loss = jax.jit(TASK.loss)
    out = loss(variables(), batch(), jax.random.key(3))
    named = {"masked_loss", "masked_accuracy", "visible_accuracy", "cnn_square"}
    assert set(out.metrics) == named and out.loss.shape == (2,)
    whole = out.metrics["masked_loss"] + 10 * out.metrics["cnn_square"]
    np.testing.assert_allclose(out.loss, whole, rtol=1e-6)
    assert set(out.model_state) == {"clusters"}
    centre = variables()["clusters"]["centre"]
    np.testing.assert_array_equal(out.model_state["clusters"]["centre"], centre)


def test_gradients_reach_the_masks_vector_and_the_codes():
    def mean(params):
        given = {**variables(), "params": params}
        return TASK.loss(given, batch(), jax.random.key(3)).loss.mean()

    found = jax.jit(jax.grad(mean))(variables()["params"])
    assert np.abs(found["encoder"]["mask"]).max() > 0
    assert np.abs(found["head"]["codes"]).max() > 0


def test_figures_of_a_split_count_frames_and_name_their_bars():
    sums = jax.jit(TASK.evaluate)(variables(), batch(), jax.random.key(4))
    assert sums["kinds"].shape == (2, 3)
    means = {name: np.asarray(v.mean(axis=0)) for name, v in sums.items()}
    found = TASK.summarise(means)
    hidden = float(sums["kinds"].sum())
    assert found["loss"] == pytest.approx(float(sums["loss"].sum()) / hidden, rel=1e-5)
    assert found["chance"] == pytest.approx(1 / 3)
    assert found["most_frequent"] >= 1 / found["clusters_seen"] - 1e-6
    assert 0 <= found["masked_accuracy"] <= 1 and 0 <= found["copied_accuracy"] <= 1
    assert found["unigram_loss"] <= np.log(3) + 1e-6


def test_copying_takes_the_nearest_visible_frame():
    target = jnp.array([[1, 1, 2, 0, 2, 5, 5]])
    mask = jnp.array([[0, 1, 1, 1, 0, 0, 1]], bool)
    visible = jnp.array([[1, 0, 0, 0, 1, 0, 0]], bool)  # the last two are padding
    mask = mask & jnp.array([[1, 1, 1, 1, 1, 0, 0]], bool)
    found = copied_hits(target, mask, visible)
    # 1 from the left; 2 is as near to both and takes 1; 3 takes 2.
    np.testing.assert_array_equal(found[0], [0, 1, 0, 0, 0, 0, 0])
    assert not copied_hits(target, mask, jnp.zeros_like(mask)).any()


def test_a_layer_of_an_earlier_encoder_is_clustered_too():
    config = MaskedPredictionConfig(clusters=3, targets="layer", layer=1)
    task = MaskedPrediction(MODEL, config, MODEL)
    made = jax.eval_shape(task.init, jax.random.key(0), {})
    assert made["clusters"]["centre"].shape == (3, 16)
    assert made["teacher"]["mask"].shape == (16,)
    x, _ = jax.eval_shape(task.frames, made, batch())
    assert x.shape == (2, 19, 16)


def test_sections_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="mask_embedding=True"):
        MaskedPrediction(SpeechEncoderConfig(), CONFIG)
    with pytest.raises(ValueError, match="earlier encoder is needed"):
        MaskedPrediction(MODEL, MaskedPredictionConfig(targets="layer"))
    with pytest.raises(ValueError, match="layers 0 to 1"):
        MaskedPrediction(MODEL, MaskedPredictionConfig(targets="layer"), MODEL)
    bank = CepstraConfig().fbank
    slow = CepstraConfig(fbank=type(bank)(n_mels=23, shift_ms=15.0))
    with pytest.raises(ValueError, match="every 240: they must lie within"):
        MaskedPrediction(MODEL, MaskedPredictionConfig(cepstra=slow))
