"""The step that held-out people choose, the end of waiting, and given weights."""

import dataclasses

import numpy as np
import pytest

from sigjax.train.checkpoint import latest_params, latest_variables
from sigjax.train.config import TrainConfig
from sigjax.train.selection import Chosen
from sigjax.train.step import InitialValuesError
from tests.train import toy
from tests.train.line import (
    ADAMW,
    Interrupted,
    Line,
    Recorder,
    assert_same,
    logged,
    make_trainer,
    plain,
)

# After step 1, 2, ...: best at 3, equalled at 5, never surpassed.
SCORES = (0.1, 0.4, 0.7, 0.5, 0.7, 0.6, 0.2, 0.3)


class Graded(Line):
    """Its held-out score after each step is written in a table."""

    def evaluate(self, variables, batch, key):
        loss = super().evaluate(variables, batch, key)["loss"]
        steps = variables["counters"]["batches"].astype(np.float32)
        return {"loss": loss, "steps": loss * 0 + steps}

    def summarise(self, means):
        score = SCORES[round(float(means["steps"])) - 1]
        return {"loss": float(means["loss"]), "score": score}


def graded(workdir, **options):
    options = {"steps": 8, "evaluate_every": 1, "select": "score", **options}
    return make_trainer(workdir, task=Graded(), **options)


def test_the_first_of_the_best_is_kept(tmp_path):
    trainer = graded(tmp_path / "run")
    trainer.run()
    assert trainer.selection.chosen == Chosen(step=3, value=0.7, since=5)
    assert int(trainer.state.step) == 8
    step, variables = latest_variables(tmp_path / "run" / "best")
    there = make_trainer(tmp_path / "there", steps=3)
    there.run()
    assert step == 3
    assert_same(plain(variables["params"]), plain(there.state.params))
    assert variables["counters"]["batches"] == 3
    rows = {row["step"]: row["val_score"] for row in logged(tmp_path / "run")}
    assert rows == dict(enumerate(SCORES, 1))


def test_patience_ends_training_and_stays_ended(tmp_path):
    trainer = graded(tmp_path, patience=3)
    trainer.run()
    assert int(trainer.state.step) == 6
    assert latest_params(tmp_path)[0] == 6
    again = graded(tmp_path, patience=3)
    assert again.start_step == 6
    again.run()
    assert int(again.state.step) == 6
    assert again.selection.chosen == Chosen(step=3, value=0.7, since=3)


@pytest.mark.parametrize("at", [4, 7])
def test_a_stopped_run_chooses_as_a_whole_one(at, tmp_path):
    whole = graded(tmp_path / "whole")
    whole.run()
    stopped = Recorder(toy.ToyData(batch_size=4), at=at)
    with pytest.raises(Interrupted):
        graded(tmp_path / "parts", data=stopped).run()
    rest = graded(tmp_path / "parts")
    assert rest.start_step == 3 * (at // 3)
    rest.run()
    assert rest.selection.chosen == whole.selection.chosen
    one, other = (latest_params(tmp_path / n / "best") for n in ("whole", "parts"))
    assert one[0] == other[0] == 3
    assert_same(plain(one[1]), plain(other[1]))
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")


def test_a_figure_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(ValueError, match="select='kappa'.*loss, score"):
        graded(tmp_path, select="kappa").run()


def test_patience_without_a_figure_is_refused():
    with pytest.raises(ValueError, match="patience needs select"):
        TrainConfig(patience=2)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"evaluate_every": 3}, {3, 6, 9, 12}),
        ({"evaluate_every_epochs": 1.0}, {4, 8, 12}),
        ({"evaluate_every_epochs": 0.5}, {2, 4, 6, 8, 10, 12}),
        ({"evaluate_every": 6, "evaluate_every_epochs": 1.0}, {6, 12}),
        ({}, set()),
    ],
)
def test_when_evaluations_are_due(config, expected):
    config = TrainConfig(**config)
    assert {n for n in range(1, 13) if config.evaluates(n, 4)} == expected


def test_training_starts_from_given_weights(tmp_path):
    kernel = np.full((24, 8), 0.25, np.float32)
    given = {
        "params": {"out": {"kernel": kernel}},
        "counters": {"batches": np.array(7)},
    }
    own = make_trainer(tmp_path / "own").state
    state = make_trainer(tmp_path / "given", given=given).state
    np.testing.assert_array_equal(state.params["out"]["kernel"], kernel)
    np.testing.assert_array_equal(state.params["unused"], own.params["unused"])
    assert state.model_state["counters"]["batches"] == 7
    # A run that continues has weights of its own by then.
    first = make_trainer(tmp_path / "goes on", given=given, steps=3)
    first.run()
    rest = make_trainer(tmp_path / "goes on", given=given, steps=6)
    assert_same(plain(rest.state.params), plain(first.state.params))


def test_prodigy_measures_its_distance_from_given_weights(tmp_path):
    kernel = np.full((24, 8), 0.25, np.float32)
    optim = dataclasses.replace(ADAMW, name="prodigy", learning_rate=1.0)
    trainer = make_trainer(
        tmp_path, given={"params": {"out": {"kernel": kernel}}}, optim=optim
    )
    leaves = plain(trainer.state.opt_state)
    assert any(
        value.shape == kernel.shape and (value == kernel).all()
        for value in leaves.values()
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"params": {"in": np.zeros(2)}}, "the model has no params/in"),
        ({"params": {"out": {"bias": np.zeros(9)}}}, r"out/bias has shape \(9,\)"),
    ],
)
def test_weights_of_another_model_are_refused(given, message, tmp_path):
    with pytest.raises(InitialValuesError, match=message):
        make_trainer(tmp_path, given=given)
