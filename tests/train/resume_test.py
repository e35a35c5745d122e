"""A run that was stopped, however, goes on as if nothing had happened."""

import os
import re
import signal

import numpy as np
import pytest

from sigjax.data.store import Store
from sigjax.data.wrist import WristData, WristDataConfig
from sigjax.losses.spectral import SpectralLossConfig
from sigjax.models.mae import MaeConfig
from sigjax.tasks.masked_modelling import MaskedModelling, MaskedModellingConfig
from sigjax.train.checkpoint import latest_params
from sigjax.train.loop import InputChangedError
from sigjax.train.preemption import Preempted
from tests.train import toy
from tests.train.commands import EVERY, STEPS
from tests.train.line import (
    Interrupted,
    Line,
    Recorder,
    assert_same,
    logged,
    make_trainer,
    plain,
)


def wrist(store):
    """Task and data of real crops from a store, small."""
    config = MaskedModellingConfig(
        rate_hz=30.0, channels=3, window_s=60.0, windows=2, patch_s=5.0, mask_rate=0.6
    )
    model = MaeConfig(patch_size=450, width=8, depth=1, num_heads=1, mlp_dim=16)
    task = MaskedModelling(model, SpectralLossConfig(lmm=1.0, n_fft=16), config)
    data = WristDataConfig(
        store=str(store), crop_s=90.0, batch_size=2, validation_fraction=0.25
    )
    return task, WristData(Store.open(store), data)


@pytest.mark.parametrize("system", ["line", "wrist store"])
def test_six_steps_are_three_and_three_more(system, store, tmp_path):
    if system == "wrist store":
        task, data = wrist(store)
    else:
        task, data = Line(), toy.ToyData(batch_size=4)
    # A log line every two steps: the one at 4 must not average over step 3 again.
    options = {"task": task, "log_every": 2}
    whole = Recorder(data)
    expected = make_trainer(tmp_path / "whole", data=whole, **options)
    expected.run()

    first = Recorder(data, at=5)
    trainer = make_trainer(tmp_path / "parts", data=first, **options)
    with pytest.raises(Interrupted):
        trainer.run()
    assert [row["step"] for row in logged(tmp_path / "parts")] == [2, 3, 4]
    rest = Recorder(data)
    trainer = make_trainer(tmp_path / "parts", data=rest, **options)
    assert trainer.start_step == 3
    trainer.run()

    assert_same(plain(trainer.state), plain(expected.state))
    assert int(trainer.state.step) == 6
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")
    assert [row["step"] for row in logged(tmp_path / "whole")] == [2, 3, 4, 6]
    for step in (3, 4, 5):
        assert_same(rest.given[step], whole.given[step])
    assert min(rest.given) == 3
    assert trainer.evaluated == expected.evaluated != {}


def test_a_checkpoint_holds_its_own_step_while_training_goes_on(tmp_path):
    # Buffers are donated to the next step while a thread still writes them.
    trainer = make_trainer(tmp_path / "on", steps=9, keep=9)
    trainer.run()
    for step in (3, 6):
        there = make_trainer(tmp_path / str(step), steps=step)
        there.run()
        _, saved = latest_params(tmp_path / "on", step)
        assert_same(plain(saved), plain(there.state.params))


def test_sigterm_saves_that_step_and_the_run_goes_on(tmp_path):
    expected = make_trainer(tmp_path / "whole")
    expected.run()

    def ask():
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    told = Recorder(toy.ToyData(batch_size=4), at=4, action=ask)
    with pytest.raises(Preempted) as stopped:
        make_trainer(tmp_path / "parts", data=told).run()
    assert (stopped.value.code, stopped.value.step) == (143, 5)
    assert signal.getsignal(signal.SIGTERM) is before
    trainer = make_trainer(tmp_path / "parts")
    assert trainer.start_step == 5
    trainer.run()
    assert_same(plain(trainer.state), plain(expected.state))
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")


def test_sigterm_during_the_last_step_leaves_the_evaluation_to_the_next_run(tmp_path):
    told = Recorder(
        toy.ToyData(batch_size=4),
        at=5,
        action=lambda: os.kill(os.getpid(), signal.SIGTERM),
    )
    with pytest.raises(Preempted):
        make_trainer(tmp_path, data=told).run()
    trainer = make_trainer(tmp_path)
    assert trainer.start_step == trainer.total_steps
    trainer.run()
    assert trainer.evaluated["loss"] > 0


def test_torn_and_superfluous_log_lines_are_dropped(tmp_path):
    expected = make_trainer(tmp_path / "whole")
    expected.run()
    crash = Recorder(toy.ToyData(batch_size=4), at=5)
    with pytest.raises(Interrupted):
        make_trainer(tmp_path / "parts", data=crash).run()
    log = tmp_path / "parts" / "metrics.jsonl"
    with log.open("a") as file:
        file.write('{"step": 6, "epoch": 1.5, "gra')
    make_trainer(tmp_path / "parts").run()
    assert logged(tmp_path / "parts") == logged(tmp_path / "whole")


def test_a_log_that_lost_only_its_last_newline_is_kept_whole(tmp_path):
    crash = Recorder(toy.ToyData(batch_size=4), at=3)
    with pytest.raises(Interrupted):
        make_trainer(tmp_path, data=crash).run()
    log = tmp_path / "metrics.jsonl"
    log.write_text(log.read_text().removesuffix("\n"))
    make_trainer(tmp_path).run()
    assert [row["step"] for row in logged(tmp_path)] == [1, 2, 3, 4, 5, 6]


def test_tensorboard_shows_each_step_once(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    crash = Recorder(toy.ToyData(batch_size=4), at=5)
    with pytest.raises(Interrupted):
        make_trainer(tmp_path, data=crash).run()
    make_trainer(tmp_path).run()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("loss")] == [1, 2, 3, 4, 5, 6]
    losses = [row["loss"] for row in logged(tmp_path)]
    np.testing.assert_allclose([e.value for e in events.Scalars("loss")], losses)


def test_what_a_killed_save_left_is_removed(tmp_path):
    # Of a step that is not saved again: SIGTERM had asked for it.
    half = tmp_path / "checkpoints" / "2.orbax-checkpoint-tmp"
    half.mkdir(parents=True)
    (half / "state").write_text("half")
    make_trainer(tmp_path, steps=3).run()
    assert [path.name for path in half.parent.iterdir()] == ["3"]


def test_other_data_are_refused(tmp_path):
    make_trainer(tmp_path, steps=3).run()
    with pytest.raises(InputChangedError, match='then .*"seed": 0.*now .*"seed": 1'):
        make_trainer(tmp_path, data=toy.ToyData(batch_size=4, seed=1))


@pytest.mark.survival
def test_killed_twice_once_while_saving(command, whole_run, tmp_path):
    """In the middle of a step, then of an asynchronous save; the same command again."""
    first = command.start(tmp_path)
    first.until_step(2 * EVERY + 3)
    first.signal(signal.SIGKILL)
    assert first.wait() == -signal.SIGKILL
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 99, "lo')

    second = command.start(tmp_path)
    half = tmp_path / "checkpoints" / f"{4 * EVERY}.orbax-checkpoint-tmp"
    second.until(half.exists)
    second.signal(signal.SIGKILL)
    assert second.wait() == -signal.SIGKILL
    assert half.exists(), "the save was over before the kill; look more often"
    # The save of step 20 was perhaps still under way at step 23.
    assert re.search("continuing at step (10|20) ", second.output)

    output = command.run(tmp_path)
    assert f"continuing at step {3 * EVERY} " in output
    assert not half.exists()
    assert_ends_alike(tmp_path, whole_run)


@pytest.mark.survival
def test_sigterm_and_the_same_command(command, whole_run, tmp_path):
    first = command.start(tmp_path)
    first.until_step(EVERY + 3)
    first.signal(signal.SIGTERM)
    assert first.wait() == 143, first.output
    stopped = logged(tmp_path)[-1]["step"]
    assert EVERY + 3 <= stopped < STEPS
    assert f"asked to stop: saved step {stopped}" in first.output
    assert (tmp_path / "checkpoints" / str(stopped) / "state").is_dir()
    output = command.run(tmp_path)
    assert f"continuing at step {stopped} " in output
    assert_ends_alike(tmp_path, whole_run)


def assert_ends_alike(workdir, whole):
    """The last checkpoint, metrics and evaluation are bit-equal."""
    assert logged(workdir) == logged(whole)
    assert [row["step"] for row in logged(workdir)] == list(range(1, STEPS + 1))
    (step, params), (same, others) = latest_params(workdir), latest_params(whole)
    assert step == same == STEPS
    assert_same(plain(params), plain(others))
    name = "eval/validation/metrics.json"
    assert (workdir / name).read_text() == (whole / name).read_text()
