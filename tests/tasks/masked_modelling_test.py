import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.losses import spectral
from sigjax.losses.spectral import SpectralLossConfig
from sigjax.models.mae import Mae, MaeConfig
from sigjax.signal.masking import index_to_mask
from sigjax.tasks.masked_modelling import MaskedModelling, MaskedModellingConfig

CONFIG = MaskedModellingConfig(
    rate_hz=8.0, channels=3, window_s=20.0, windows=3, patch_s=2.0, mask_rate=0.6
)
MODEL = MaeConfig(patch_size=48, width=16, depth=1, num_heads=2, mlp_dim=32)
LOSS = SpectralLossConfig(lmm=1.0, lmv=0.5, mse=0.25, n_fft=8)
KEY = jax.random.key(7)


@pytest.fixture(scope="module")
def task():
    return MaskedModelling(MODEL, LOSS, CONFIG)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return {
        "counts": jnp.asarray(rng.integers(-1000, 1000, (4, 200, 3)), jnp.int16),
        "scale": jnp.asarray([1e-3, 2e-3, 1e-3, 5e-4], jnp.float32),
        "seed": jnp.asarray([5, 6, 7, 2**32 - 1], jnp.uint32),
    }


@pytest.fixture(scope="module")
def variables(task, batch):
    return jax.jit(task.init)(jax.random.key(0), batch)


def test_windows_are_patches_in_g(task, batch):
    found = np.asarray(task.windows(batch))
    assert found.shape == (12, 10, 48)
    # Recording 1, window 2 of 3: starts at 40; patch 9, channel 2, sample 15.
    value = np.asarray(batch["counts"])[1, 40 + 9 * 16 + 15, 2] * 2e-3
    assert found[1 * 3 + 2, 9, 2 * 16 + 15] == pytest.approx(value)


def test_masks_differ_by_window_recording_and_step(task, batch):
    index = np.asarray(task.mask(batch, KEY))
    assert index.shape == (12, 6)
    assert len({tuple(row) for row in index}) > 9
    assert (np.asarray(task.mask(batch, jax.random.key(8))) != index).any()


def test_a_mask_belongs_to_the_recording_not_to_its_place(task, batch):
    order = jnp.array([2, 0, 3, 1])
    moved = {k: v[order] for k, v in batch.items()}
    index = task.mask(batch, KEY).reshape(4, 3, 6)
    np.testing.assert_array_equal(task.mask(moved, KEY).reshape(4, 3, 6), index[order])


def test_the_loss_sees_masked_patches_only(task, batch, variables):
    masked, _ = task.reconstruct_masked(variables, batch, KEY)
    hidden = index_to_mask(masked.index, CONFIG.tokens)
    tokens = Mae(MODEL).apply(variables, masked.patches, hidden).tokens

    def loss_of(every):  # reconstructions of all patches, visible ones included
        chosen = jnp.take_along_axis(every, masked.index[..., None], axis=1)
        return task._components(masked, chosen, every=True)["lmm"].sum()

    every = Mae(MODEL).apply(variables, tokens, method=Mae.reconstruct)
    grad = np.abs(np.asarray(jax.jit(jax.grad(loss_of))(every))).max(axis=-1)
    hidden = np.asarray(hidden)
    assert (grad[~hidden] == 0).all()
    assert (grad[hidden] > 0).all()


def test_gradients_of_the_loss_do_not_depend_on_masked_targets_through_the_model(
    task, batch, variables
):
    # Through the whole task: other masked content changes the loss only as a target.
    masked, first = task.reconstruct_masked(variables, batch, KEY)
    patches = np.array(masked.patches)
    rows = np.arange(len(patches))[:, None]
    patches[rows, np.asarray(masked.index)] += 1.0
    hidden = index_to_mask(masked.index, CONFIG.tokens)
    second = Mae(MODEL).apply(variables, jnp.asarray(patches), hidden, masked.index)
    np.testing.assert_array_equal(first, second.reconstruction)


def test_loss_is_the_papers_equation_7(task, batch, variables):
    out = task.loss(variables, batch, KEY)
    masked, reconstruction = task.reconstruct_masked(variables, batch, KEY)
    assert out.loss.shape == (12,)
    e, total = 4, 0.0
    for k, i in enumerate(np.asarray(masked.index)[e]):
        for j in range(3):
            x = masked.patches[e, i, 16 * j : 16 * (j + 1)]
            y = reconstruction[e, k, 16 * j : 16 * (j + 1)]
            total += 1.0 * spectral.lmm(x, y, LOSS)
            total += 0.5 * spectral.lmv(x, y, LOSS)
            total += 0.25 * spectral.mse(x, y)
    assert float(out.loss[e]) == pytest.approx(float(total) / 6, rel=1e-5)
    weighted = out.metrics["lmm"] + 0.5 * out.metrics["lmv"] + 0.25 * out.metrics["mse"]
    np.testing.assert_allclose(out.loss, weighted, rtol=1e-5)


def test_evaluation_reports_unweighted_components_and_baselines(batch, variables):
    only_mse = SpectralLossConfig(lmm=0.0, mse=1.0, n_fft=8)
    task = MaskedModelling(MODEL, only_mse, CONFIG)
    found = task.evaluate(variables, batch, KEY)
    assert set(found) == {"loss", "lmm", "lmv", "mse", "lmm_baseline", "mse_baseline"}
    np.testing.assert_allclose(found["loss"], found["mse"])
    assert set(task.loss(variables, batch, KEY).metrics) == {"mse"}


def test_baselines_are_those_of_the_visible_patches(task, batch):
    variables = task.init(jax.random.key(0), batch)
    found = task.evaluate(variables, batch, KEY)
    masked, _ = task.reconstruct_masked(variables, batch, KEY)
    e = 7
    x = np.asarray(masked.patches)[e].reshape(10, 3, 16)
    hidden = np.zeros(10, bool)
    hidden[np.asarray(masked.index)[e]] = True
    level = x[~hidden].mean(axis=(0, 2))
    mse = ((x[hidden] - level[:, None]) ** 2).mean(-1).sum(-1).mean()
    assert float(found["mse_baseline"][e]) == pytest.approx(mse, rel=1e-5)
    spectra = np.asarray(spectral.log_mean_magnitude(jnp.asarray(x), LOSS))
    mean = spectra[~hidden].mean(axis=0)
    lmm = ((spectra[hidden] - mean) ** 2).mean(-1).sum(-1).mean()
    assert float(found["lmm_baseline"][e]) == pytest.approx(lmm, rel=1e-5)


@pytest.mark.parametrize(
    ("model", "loss", "config", "message"),
    [
        ({"patch_size": 50}, {}, {}, "model.patch_size=50"),
        ({}, {"n_fft": 32}, {}, "loss.n_fft=32 is longer than a patch"),
        ({}, {}, {"mask_rate": 0.99}, "at least one visible"),
    ],
)
def test_sections_that_do_not_fit_are_refused(model, loss, config, message):
    with pytest.raises(ValueError, match=message):
        MaskedModelling(
            dataclasses.replace(MODEL, **model),
            dataclasses.replace(LOSS, **loss),
            dataclasses.replace(CONFIG, **config),
        )


def test_a_crop_shorter_than_a_window_is_refused(task, batch, variables):
    short = batch | {"counts": batch["counts"][:, :100]}
    with pytest.raises(ValueError, match="does not fit a crop of 100 samples"):
        task.loss(variables, short, KEY)
