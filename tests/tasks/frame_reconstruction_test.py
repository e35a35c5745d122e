import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.models.autoencoder import Autoencoder
from sigjax.models.frame_autoencoder import FrameAutoencoder, FrameAutoencoderConfig
from sigjax.signal.corruption import CorruptionConfig, corrupt, example_keys
from sigjax.signal.mel import MelConfig, log_mel
from sigjax.tasks.frame_reconstruction import (
    FrameReconstruction,
    FrameReconstructionConfig,
    stack_frames,
)

MEL = MelConfig(rate_hz=1000, n_fft=64, hop=32, n_mels=8)
MODEL = FrameAutoencoderConfig(frames=3, mels=8, widths=(6,), code=2)
TASK = FrameReconstruction(MODEL, FrameReconstructionConfig(mel=MEL))


@functools.cache
def variables():
    return jax.jit(TASK.init)(jax.random.key(0), {})


def waves(rows=4, samples=300):
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(0, 3000, (rows, samples)), jnp.int16)


def test_a_clip_of_ten_seconds_has_309_vectors_of_640():
    task = FrameReconstruction(
        FrameAutoencoderConfig(),
        FrameReconstructionConfig(mel=MelConfig(rate_hz=16_000)),
    )
    wave = jax.ShapeDtypeStruct((2, 160_000), "i2")
    assert jax.eval_shape(task.vectors, wave).shape == (2, 309, 640)
    assert task.vector_count(160_000) == 309


def test_vectors_are_runs_of_frames_frame_after_frame():
    x = jnp.arange(2 * 6 * 4, dtype=jnp.float32).reshape(2, 6, 4)
    found = stack_frames(x, 3)
    assert found.shape == (2, 4, 12)
    for i in range(4):
        np.testing.assert_array_equal(found[:, i], x[:, i : i + 3].reshape(2, 12))
    with pytest.raises(ValueError, match="6 frames is shorter than a vector of 7"):
        stack_frames(x, 7)


def test_scores_and_residuals_are_those_of_every_vector():
    wave = waves()
    score = jax.jit(TASK.score)(variables(), wave)
    residual = jax.jit(TASK.residuals)(variables(), wave)
    assert residual.shape == (4, 8, 24) and score.shape == (4,)
    mel = jax.jit(lambda x: log_mel(x, MEL))(wave.astype(jnp.float32) / 32768)
    apply = jax.jit(FrameAutoencoder(MODEL).apply)
    for row in range(4):
        vectors = jnp.stack([mel[row, i : i + 3].reshape(-1) for i in range(8)])
        expected = np.asarray(vectors - apply(variables(), vectors))
        np.testing.assert_allclose(residual[row], expected, rtol=1e-4, atol=1e-3)
        assert score[row] == pytest.approx((expected**2).mean(), rel=1e-4)
    evaluate = jax.jit(TASK.evaluate)
    figures = evaluate(variables(), {"wave": wave}, jax.random.key(0))
    np.testing.assert_allclose(figures["loss"], score, rtol=1e-5)


def test_training_normalises_with_the_batch_and_moves_the_running_statistics():
    batch = {"wave": waves()}
    found = jax.jit(TASK.loss)(variables(), batch, jax.random.key(0))
    flat = TASK.vectors(batch["wave"]).reshape(-1, 24)

    @jax.jit
    def trained(x):
        return FrameAutoencoder(MODEL).apply(
            variables(), x, True, mutable=["batch_stats"]
        )

    out, changed = trained(flat)
    expected = np.asarray((flat - out) ** 2).reshape(4, -1).mean(1)
    np.testing.assert_allclose(found.loss, expected, rtol=1e-4)
    one, two = (tree["batch_stats"]["norm1"] for tree in (found.model_state, changed))
    np.testing.assert_allclose(one["mean"], two["mean"], rtol=1e-4)
    assert np.abs(one["mean"]).max() > 0.05


def test_vectors_can_be_drawn():
    config = FrameReconstructionConfig(mel=MEL, vectors=2)
    task, batch = FrameReconstruction(MODEL, config), {"wave": waves()}
    loss = jax.jit(task.loss)
    one, two = (loss(variables(), batch, jax.random.key(k)).loss for k in (0, 1))
    assert one.shape == (4,) and np.abs(one - two).max() > 1e-3


def test_bands_that_differ_are_refused():
    mel = MelConfig(rate_hz=1000, n_fft=64, hop=32, n_mels=7)
    with pytest.raises(ValueError, match="model.mels is 8, task.mel.n_mels 7"):
        FrameReconstruction(MODEL, FrameReconstructionConfig(mel=mel))
    with pytest.raises(ValueError, match="vectors"):
        FrameReconstructionConfig(mel=MEL, vectors=-1)


CONV = FrameAutoencoderConfig(frames=4, mels=8, widths=(3, 4), code=2, kind="conv")
VAE = FrameAutoencoderConfig(frames=3, mels=8, widths=(6,), code=2, latent="gaussian")
STATISTICS = {"mean": jnp.float32(-20.0), "std": jnp.float32(8.0)}


def normalised(model, **settings):
    """A task, its variables and the vectors that its network takes."""
    config = FrameReconstructionConfig(mel=MEL, normalise=True, **settings)
    task = FrameReconstruction(model, config)
    made = jax.jit(task.init)(jax.random.key(0), {}) | {"statistics": STATISTICS}
    x = jax.jit(task.vectors)(waves())
    clean = (x.reshape(-1, model.values) + 20) / 8
    return task, made, clean.reshape(-1, *model.network.input_shape)


def network_of(task, variables, x, *, train=False):
    network = Autoencoder(task.model_config.network)

    @jax.jit
    def apply(variables, x):
        mutable = ["batch_stats"] if train else False
        return network.apply(variables, x, train, mutable=mutable)

    return apply(variables, x)


def test_vectors_can_be_apart():
    x = jnp.arange(2 * 11 * 4, dtype=jnp.float32).reshape(2, 11, 4)
    found = stack_frames(x, 3, 4)
    assert found.shape == (2, 3, 12)
    np.testing.assert_array_equal(found, stack_frames(x, 3)[:, ::4])
    config = FrameReconstructionConfig(mel=MEL, hop=3)
    task = FrameReconstruction(MODEL, config)
    for samples in (95, 96, 300, 330):
        wave = jax.ShapeDtypeStruct((1, samples), "i2")
        shape = jax.eval_shape(task.vectors, wave).shape
        assert task.vector_count(samples) == shape[1]


@pytest.mark.parametrize("model", [CONV, VAE], ids=["conv", "vae"])
def test_other_networks_score_in_db_what_they_see_normalised(model):
    task, made, clean = normalised(model, hop=2)
    out = network_of(task, made, clean).reconstruction
    expected = np.asarray(8 * (clean - out)).reshape(4, -1, model.values)
    residual = jax.jit(task.residuals)(made, waves())
    np.testing.assert_allclose(residual, expected, rtol=1e-3, atol=1e-3)
    score = jax.jit(task.score)(made, waves())
    np.testing.assert_allclose(score, (expected**2).mean((1, 2)), rtol=1e-4)


def test_a_denoising_autoencoder_is_to_find_the_clean_vectors():
    noise = CorruptionConfig(kind="gaussian", sd=0.7)
    model = FrameAutoencoderConfig(frames=4, mels=8, widths=(3,), code=2, kind="conv")
    task, made, clean = normalised(model, noise=noise)
    key = jax.random.key(3)
    found = jax.jit(task.loss)(made, {"wave": waves()}, key)
    keys = example_keys(clean, jax.random.split(key, 3)[1])
    out, _ = network_of(task, made, corrupt(clean, noise, keys), train=True)
    expected = np.asarray(64 * (clean - out.reconstruction) ** 2)
    np.testing.assert_allclose(found.loss, expected.reshape(4, -1).mean(1), rtol=1e-3)
    # And the next step finds the statistics again.
    assert found.model_state["statistics"] == STATISTICS


def test_the_divergence_of_a_vae_is_weighed_per_value():
    """In units of the error: 2 beta / p of it, times the values' variance in dB."""
    task, made, clean = normalised(VAE, beta=3.0)
    out = jax.jit(task.loss)(made, {"wave": waves()}, jax.random.key(0))
    np.testing.assert_allclose(
        out.loss,
        out.metrics["error"] + 2 * 3 / 24 * 64 * out.metrics["kl"],
        rtol=1e-5,
    )
    assert out.metrics["kl"].min() > 0
    free, _, _ = normalised(VAE, beta=0.0)
    other = jax.jit(free.loss)(made, {"wave": waves()}, jax.random.key(0))
    np.testing.assert_allclose(other.loss, out.metrics["error"], rtol=1e-6)
    # The code is drawn: another key, another error; the divergence is of no draw.
    again = jax.jit(task.loss)(made, {"wave": waves()}, jax.random.key(1))
    np.testing.assert_allclose(again.metrics["kl"], out.metrics["kl"], rtol=1e-6)
    assert np.abs(again.metrics["error"] - out.metrics["error"]).max() > 0.1


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="task.hop is 4 and model.frames 3"):
        FrameReconstruction(MODEL, FrameReconstructionConfig(mel=MEL, hop=4))
    with pytest.raises(ValueError, match="hop must be >= 1 and beta >= 0"):
        FrameReconstructionConfig(mel=MEL, beta=-1.0)
