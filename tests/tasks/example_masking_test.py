"""Masked modelling of windows: the recordings' task, on what examples hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.losses.spectral import SpectralLossConfig
from sigjax.models.mae import MaeConfig
from sigjax.signal.masking import index_to_mask
from sigjax.tasks.example_input import ExampleInputConfig
from sigjax.tasks.example_masking import ExampleMasking, ExampleMaskingConfig
from sigjax.tasks.masked_modelling import MaskedModelling, MaskedModellingConfig

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (5, 12, 2))
MODEL = MaeConfig(patch_size=4, width=8, depth=1, num_heads=2, mlp_dim=8)
LOSS = SpectralLossConfig(n_fft=2, mse=1.0)


def task_of(shape=(12, 2), **changes):
    config = ExampleMaskingConfig(input_shape=shape, mask_rate=0.5, **changes)
    return ExampleMasking(MODEL, LOSS, config)


def test_masks_follow_examples_wherever_they_stand():
    task, order = task_of(), np.array([3, 0, 4, 1, 2])
    mask = jax.jit(task.mask)
    own = np.asarray(mask({"x": X}, KEY))
    np.testing.assert_array_equal(mask({"x": X[order]}, KEY), own[order])
    hidden = np.asarray(index_to_mask(jnp.asarray(own), 6))
    assert (hidden.sum(axis=1) == 3).all()
    assert len({tuple(row) for row in own.tolist()}) > 1
    other = np.asarray(mask({"x": X}, jax.random.key(7)))
    assert (own != other).any()


def test_the_loss_is_that_of_the_same_windows_of_a_recording():
    """Patches, masked ones, LMM and MSE: as `MaskedModelling` has them of crops."""
    task = task_of()
    seconds = MaskedModellingConfig(
        rate_hz=4.0, channels=2, window_s=3.0, windows=1, patch_s=0.5, mask_rate=0.5
    )
    theirs = MaskedModelling(MODEL, LOSS, seconds)
    counts = np.round(np.asarray(X) * 512).astype(np.int16)
    scale = np.full(5, 1 / 512, np.float32)
    batch = {"x": jnp.asarray(counts * scale[:, None, None])}
    variables = jax.jit(task.init)(KEY, batch)

    @jax.jit
    def both(variables):
        index = task.mask(batch, KEY)
        theirs.mask = lambda batch, key: index
        crops = {"counts": jnp.asarray(counts), "scale": jnp.asarray(scale)}
        out = task.loss(variables, batch, KEY), theirs.loss(variables, crops, KEY)
        return [one.loss for one in out]

    ours, expected = both(variables)
    assert ours.shape == (5,) and bool((ours > 0).all())
    np.testing.assert_allclose(ours, expected, rtol=1e-6)


def test_what_is_no_window_of_patches_is_refused():
    for shape in ((13, 2), (12,), (12, 3)):
        with pytest.raises(ValueError, match="whole number of patches"):
            task_of(shape)
    with pytest.raises(ValueError, match="takes values in their units"):
        task_of(input=ExampleInputConfig(scale=0.5))
