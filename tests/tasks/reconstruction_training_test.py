"""What an autoencoder learns in a short training: each term does what it is for."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sigjax.losses.contractive import ContractiveConfig
from sigjax.losses.sparsity import SparsityConfig
from sigjax.models.autoencoder import AutoencoderConfig
from sigjax.nn.stack import Layer
from sigjax.signal.corruption import CorruptionConfig
from sigjax.tasks.reconstruction import Reconstruction, ReconstructionConfig

KEY = jax.random.key(0)


def _dense(width, activation="identity"):
    return Layer(kind="dense", width=width, activation=activation)


def _model(code, activation):
    return AutoencoderConfig(
        input_shape=(6,), encoder=(_dense(code, activation),), decoder=(_dense(6),)
    )


def _points():
    """Of a plane in six dimensions."""
    rng = np.random.default_rng(0)
    return jnp.asarray(rng.normal(size=(64, 2)) @ rng.normal(size=(2, 6)), jnp.float32)


def _trained(task, x, term=None, weights=(0.0,), *, steps, rate=0.02):
    """Codes' figures after full-batch training by Adam, once for each factor of a term.

    The factors are those of one compiled training; that a config's factor is used is
    what `reconstruction_test.py` shows.
    """
    optimizer = optax.adam(rate)

    def run(weight):
        params = task.init(KEY, {})["params"]

        def objective(params, key):
            out = task.loss({"params": params}, {"x": x}, key)
            total = out.metrics["reconstruction"]
            return (
                total if term is None else total + weight * out.metrics[term]
            ).mean()

        def step(carry, key):
            params, state = carry
            updates, state = optimizer.update(jax.grad(objective)(params, key), state)
            return (optax.apply_updates(params, updates), state), None

        first = (params, optimizer.init(params))
        (params, _), _ = jax.lax.scan(step, first, jax.random.split(KEY, steps))
        variables = {"params": params}
        return variables, task.evaluate(variables, {"x": x}, jax.random.key(5))

    return jax.jit(jax.vmap(run))(jnp.asarray(weights))


def test_the_sparsity_target_is_met_and_missed_without_the_penalty():
    sparsity = SparsityConfig(kind="kl", weight=1.0, rho=0.1)
    task = Reconstruction(_model(5, "sigmoid"), ReconstructionConfig(sparsity=sparsity))
    _, found = _trained(task, _points(), "sparsity", (0.0, 5.0), steps=500)
    free, held = np.asarray(found["activation"].mean(axis=1))
    np.testing.assert_allclose(held, 0.1, atol=0.02)
    assert np.abs(free - 0.1).max() > 0.15


def test_l1_makes_a_code_sparser():
    config = ReconstructionConfig(sparsity=SparsityConfig(weight=1.0))
    task = Reconstruction(_model(12, "relu"), config)
    _, found = _trained(task, _points(), "sparsity", (0.0, 0.02), steps=300)
    free, held = np.asarray(found["active_share"].mean(axis=1))
    assert held < 0.7 * free


def test_the_contractive_penalty_falls_with_its_factor():
    config = ReconstructionConfig(contractive=ContractiveConfig(weight=1.0))
    task = Reconstruction(_model(3, "sigmoid"), config)
    _, found = _trained(task, _points(), "contractive", (0.0, 0.1, 1.0), steps=150)
    penalty = np.asarray(found["contractive"].mean(axis=1))
    assert penalty[0] > 1.3 * penalty[1] > 1.7 * penalty[2]


@pytest.mark.survival
def test_denoising_gains_snr_and_its_field_points_to_the_manifold():
    """A circle in the plane: the nearest point of the curve lies along the radius."""
    angle = jax.random.uniform(jax.random.key(1), (256,), maxval=2 * np.pi)
    circle = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
    model = AutoencoderConfig(
        input_shape=(2,),
        encoder=(_dense(32, "tanh"), _dense(32, "tanh")),
        decoder=(_dense(2),),
    )
    noise = CorruptionConfig(kind="gaussian", sd=0.2)
    task = Reconstruction(model, ReconstructionConfig(noise=noise))
    variables, found = _trained(task, circle, steps=600, rate=0.01)
    variables = jax.tree.map(lambda v: v[0], variables)
    before = noise.sd**2 * 2
    after = float(found["mse"].mean()) * 2
    # Half of the noise, that across the curve, can be told from the signal.
    assert 10 * np.log10(before / after) > 2.0
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    nearest = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype("f4")
    cosines = []
    for radius in (0.7, 0.85, 1.15, 1.3):
        x = jnp.asarray(radius * nearest)
        field, due = task.reconstruct(variables, x) - x, nearest - x
        lengths = jnp.linalg.norm(field, axis=1) * jnp.linalg.norm(due, axis=1)
        cosines.append((field * due).sum(axis=1) / lengths)
    assert np.mean(cosines) > 0.9
