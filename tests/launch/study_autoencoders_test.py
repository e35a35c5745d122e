"""The autoencoders that the study of real sound compares."""

import jax
import numpy as np
import pytest

from launch.sounds import study_networks, study_page
from launch.sounds.study_cells import Motors
from launch.sounds.study_recipes import AUTOENCODER_RECIPES, MOTOR_RECIPES, Recipe
from sigjax.models.frame_autoencoder import FrameAutoencoderConfig
from sigjax.signal.mel import MelConfig

TASKS = {name: recipe.task(1) for name, recipe in AUTOENCODER_RECIPES.items()}


def test_they_differ_in_what_their_names_say():
    assert TASKS["AE"].model_config == FrameAutoencoderConfig(mels=64)
    assert not TASKS["AE"].config.normalise
    kinds = {n: (t.model_config.kind, t.model_config.latent) for n, t in TASKS.items()}
    assert kinds == {
        "AE": ("dense", "plain"),
        "conv AE": ("conv", "plain"),
        "VAE": ("dense", "gaussian"),
        "denoising AE": ("dense", "plain"),
    }
    noisy = {n for n, t in TASKS.items() if t.config.noise.kind != "none"}
    assert noisy == {"denoising AE"}
    # All frames of a second are looked at, and their code is as wide as the baseline's.
    assert TASKS["conv AE"].vector_count(16_000) == 3
    assert {t.model_config.code for t in TASKS.values()} == {8}
    recipes = [dict(vars(r), kind="") for r in AUTOENCODER_RECIPES.values()]
    assert all(recipe == recipes[0] for recipe in recipes)


def test_the_page_and_the_figure_know_them():
    rows = [{"detector": f"{name}, MSE, trained"} for name in AUTOENCODER_RECIPES]
    assert study_page._names(rows) == [f"{name}, MSE" for name in AUTOENCODER_RECIPES]


def test_a_cell_has_their_recipes_and_no_network_of_the_package():
    study = object.__new__(Motors)
    study.recipes = AUTOENCODER_RECIPES
    assert list(study._kinds(0)) == ["common", *AUTOENCODER_RECIPES]
    study.recipes = MOTOR_RECIPES
    assert list(study._kinds(0)) == ["common", *MOTOR_RECIPES, "bundle"]


@pytest.mark.survival
@pytest.mark.parametrize("kind", ["conv autoencoder", "variational autoencoder"])
def test_they_train_and_residuals_are_frames(kind):
    mel = MelConfig(rate_hz=16_000, n_mels=16)
    recipe = Recipe(kind=kind, clip_s=1.0, mel=mel, steps=30, batch=4)
    wave = np.random.default_rng(0).normal(0, 0.1, (8, 16_000)).astype(np.float32)
    made = study_networks.train(recipe, wave, np.zeros(8, int), seed=0)
    assert made.loss[1] < made.loss[0]
    said = study_networks.run(made.task, made.trained, wave[:3])
    assert said.embedding.shape == (3, 1) and said.residual.shape[::2] == (3, 16)
    error = np.square(said.residual).mean(axis=(1, 2))
    np.testing.assert_allclose(said.embedding[:, 0], error, rtol=1e-4)
    statistics = jax.device_get(made.trained["statistics"])
    assert statistics["std"] != 1 and statistics["mean"] < 0
