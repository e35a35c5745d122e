"""Averages of weights: what is in them, and that the one loop serves them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from sigjax.train.averaging import AveragingConfig, averaged, averaging
from sigjax.train.checkpoint import latest_variables
from tests.train.line import (
    ADAMW,
    Interrupted,
    Recorder,
    assert_same,
    logged,
    make_trainer,
    plain,
)
from tests.train.toy import ToyData


def walk(config, steps, steps_per_epoch=2):
    """The weight is the number of steps taken; its average after each."""
    tx = optax.chain(optax.identity(), averaging(config, steps_per_epoch))
    params = {"w": jnp.zeros(1)}
    state = tx.init(params)
    found = []
    for _ in range(steps):
        updates, state = tx.update({"w": jnp.ones(1)}, state, params)
        params = optax.apply_updates(params, updates)
        found.append(float(averaged(state)["w"][0]))
    return found


def test_the_mean_of_epoch_ends_and_before_the_first_the_weights_themselves():
    config = AveragingConfig(kind="epochs", first_epoch=2, last_epoch=3)
    # Epochs end at 2, 4, 6, 8; those of 4 and 6 count.
    assert walk(config, 8) == [1, 2, 3, 4, 4, 5, 5, 5]
    assert walk(dataclasses.replace(config, last_epoch=None), 8)[-1] == 6


def test_the_moving_average_forgets_the_beginning_at_once():
    config = AveragingConfig(kind="ema", decay=0.5)
    expected, mean = [], 0.0
    for n in range(6):
        decay = min(0.5, (1 + n) / (10 + n))
        mean = decay * mean + (1 - decay) * (n + 1)
        expected.append(mean)
    np.testing.assert_allclose(walk(config, 6), expected, rtol=1e-6)


def test_nothing_is_averaged_by_default():
    assert averaged(optax.adam(1.0).init({"w": jnp.zeros(1)})) is None


@pytest.mark.parametrize(
    "values", [{"first_epoch": 0}, {"last_epoch": 1, "first_epoch": 2}, {"decay": 1.0}]
)
def test_averages_that_never_come_are_refused(values):
    with pytest.raises(ValueError, match="epochs, counted|decay must"):
        AveragingConfig(**values)


EPOCHS = dataclasses.replace(
    ADAMW, averaging=AveragingConfig(kind="epochs"), multipliers=(("out/bias", 3.0),)
)


def train(workdir, **options):
    return make_trainer(workdir, optim=EPOCHS, steps=9, evaluate_every=1, **options)


def test_a_stopped_run_averages_as_a_whole_one(tmp_path):
    """Also: the loop evaluates the average, and a run's variables are the average."""
    whole = train(tmp_path / "whole")
    whole.run()
    stopped = Recorder(ToyData(batch_size=4), at=7)
    with pytest.raises(Interrupted):
        train(tmp_path / "parts", data=stopped).run()
    rest = train(tmp_path / "parts")
    assert rest.start_step == 6
    rest.run()
    assert_same(plain(rest.state), plain(whole.state))
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")

    # Epochs of four steps: the mean of the weights after steps 4 and 8.
    plainly = dataclasses.replace(EPOCHS, averaging=AveragingConfig())
    options = {"optim": plainly, "steps": 8, "checkpoint_every": 4}
    make_trainer(tmp_path / "plain", **options).run()
    at = {
        step: latest_variables(tmp_path / "plain", step)[1]["params"] for step in (4, 8)
    }
    found = latest_variables(tmp_path / "whole")[1]["params"]
    jax.tree.map(
        lambda mean, a, b: np.testing.assert_allclose(mean, (a + b) / 2, atol=1e-6),
        found,
        at[4],
        at[8],
    )
    assert np.abs(found["out"]["kernel"] - whole.state.params["out"]["kernel"]).max()
    means = {row["step"]: row["val_loss"] for row in logged(tmp_path / "whole")}
    # Between ends of epochs the average stays as it is, and so does what is evaluated.
    assert means[4] == means[5] == means[7] and means[8] == means[9]
    assert len(set(means.values())) == 5
