"""The one training loop. A system brings a task and data, never its own loop."""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from sigjax.train import sharding
from sigjax.train.checkpoint import Checkpointer, CheckpointError, describe
from sigjax.train.config import TrainConfig
from sigjax.train.meter import Meter, NonFiniteError
from sigjax.train.optim import OptimConfig, make_optimizer
from sigjax.train.preemption import Preempted, StopRequest
from sigjax.train.selection import Selection
from sigjax.train.step import (
    TrainState,
    make_evaluation_step,
    make_init,
    make_train_step,
)
from sigjax.train.task import Data, Task
from sigjax.train.writer import WorkdirError, Writer
from sigjax.typing import Batch, PyTree


class Example(NamedTuple):
    """A few outputs of a task's function, and the split they come from."""

    split: str
    output: PyTree


class InputChangedError(RuntimeError):
    """A run is continued on other data or batches than it was started on."""


class Trainer:
    """Initialises or resumes a run, takes its steps, logs, evaluates and saves.

    Attributes:
      total_steps: Where training ends.
      start_step: Where this process began: 0, or the restored checkpoint's step.
      state: The current state, sharded over the mesh.
      evaluated: The figures of the last evaluation, `{}` before the first.
      selection: Which step `TrainConfig.select` has chosen.
    """

    def __init__(
        self,
        task: Task,
        data: Data,
        optim: OptimConfig,
        config: TrainConfig,
        *,
        mesh: Mesh,
        rules: tuple[sharding.Rule, ...],
        workdir: epath.Path,
        seed: int,
        given: Mapping[str, Any] | None = None,
    ):
        """Compiles the step and restores the newest good checkpoint, if any.

        Args:
          task: What to learn.
          data: From what.
          optim: Optimizer and schedule.
          config: Lengths and intervals.
          mesh: From `sharding.make_mesh`.
          rules: Which parameters are split; see `sharding.state_sharding`.
          workdir: A directory that `writer.prepare_workdir` has checked.
          seed: Of initialisation and of every random draw on the device.
          given: A part of the variables to start from, such as a trained encoder's.

        Raises:
          sigjax.train.step.InitialValuesError: If `given` does not fit the model.
          sharding.MeshError: If batch or parameters do not divide over the mesh.
          checkpoint.CheckpointError: If there are checkpoints and none is readable.
          InputChangedError: If the data are not those the run was started on.
        """
        self._task, self._data, self._config = task, data, config
        self._workdir, self._mesh = workdir, mesh
        self.total_steps = config.total_steps(data.steps_per_epoch)
        optimizer = make_optimizer(
            optim, steps_per_epoch=data.steps_per_epoch, total_steps=self.total_steps
        )
        self._batch_sharding = sharding.batch_sharding(mesh)
        self._abstract_batch = {
            k: jax.ShapeDtypeStruct(v.shape, v.dtype, sharding=self._batch_sharding)
            for k, v in data.spec.items()
        }
        rows = next(iter(self._abstract_batch.values())).shape[0]
        sharding.check_batch(mesh, rows, name="data.batch_size")
        self._shard = sharding.batch_shard(mesh, rows)

        init = make_init(task, optimizer)
        self._key = jax.random.key(seed)
        self._given = dict(given or {})
        abstract = jax.eval_shape(init, self._key, self._abstract_batch, self._given)
        placed = sharding.state_sharding(abstract, mesh, rules)
        self._abstract_state = jax.tree.map(
            lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
            abstract,
            placed,
        )
        self._whole = NamedSharding(mesh, PartitionSpec())
        self._init = jax.jit(init, out_shardings=placed)
        self._evaluation_step = jax.jit(
            make_evaluation_step(task), out_shardings=self._whole
        )
        self._train_step = self._compile(optimizer, placed)
        self._checkpointer = Checkpointer(
            workdir, keep=config.keep, keep_every=config.keep_every
        )
        self.selection = Selection(
            workdir, figure=config.select, patience=config.patience
        )
        self.evaluated: dict[str, float] = {}
        self.state, self.start_step = self._restore_or_init()

    def _compile(self, optimizer, placed: TrainState):
        """The train step, compiled ahead so that its time is known and is said."""
        step = make_train_step(
            self._task, optimizer, accumulation=self._config.accumulation
        )
        start = time.perf_counter()
        compiled = (
            jax.jit(step, out_shardings=(placed, self._whole), donate_argnums=0)
            .lower(self._abstract_state, self._abstract_batch)
            .compile()
        )
        self.compile_s = time.perf_counter() - start
        return compiled

    def _restore_or_init(self) -> tuple[TrainState, int]:
        restored = self._checkpointer.restore(self._abstract_state)
        if restored is None:
            # Any batch will do: only its shapes reach the initialisers.
            zeros = {
                k: np.zeros(v.shape, v.dtype) for k, v in self._abstract_batch.items()
            }
            return self._init(self._key, zeros, self._given), 0
        state, position = restored
        step = int(position.pop("step"))
        self.selection.restore(position.pop("chosen", None))
        now = dict(self._data.fingerprint)
        if position != now:
            raise InputChangedError(
                f"{self._workdir} was started on other input: then"
                f" {describe(position)}, now {describe(now)}. Continue with the same"
                " data and data settings, or start anew in another --workdir."
            )
        return state, step

    @property
    def data(self) -> Data:
        """What it learns from, as given."""
        return self._data

    @property
    def parameter_count(self) -> int:
        """Number of trained values."""
        leaves = jax.tree.leaves(self._abstract_state.params)
        return sum(leaf.size for leaf in leaves)

    @property
    def examples_per_step(self) -> int:
        """Examples (windows) in one global batch."""
        shapes = jax.eval_shape(
            self._task.loss, self.state.variables, self._abstract_batch, self._key
        )
        return shapes.loss.shape[0]

    def run(self, profile: tuple[int, int] | None = None) -> TrainState:
        """Trains to the end.

        Args:
          profile: Record a profiler trace of these steps, `[first, last)`.

        Returns:
          The final state.

        Raises:
          NonFiniteError: Naming step and component; the last good checkpoint stays.
          Preempted: After SIGTERM, once the state is saved.
          checkpoint.CheckpointError: If a checkpoint cannot be written.
          WorkdirError: If another file of the run cannot be written.
        """
        writer = Writer(
            self._workdir, start_step=self.start_step, total_steps=self.total_steps
        )
        writer.say(self._greeting())
        try:
            with StopRequest() as stop:
                self._steps(writer, stop, profile)
                if not self.evaluated:  # stopped between the last step and its end
                    self.evaluate()
                self._checkpointer.wait()
        except NonFiniteError as error:
            raise NonFiniteError(
                f"training stopped: {error}. {self._last_good()} Lower"
                " optim.learning_rate or optim.clip_norm, or look at the data of that"
                " step."
            ) from None
        except WorkdirError as error:
            raise WorkdirError(
                f"{error}. {self._last_good()} Make room or mend the path, then run the"
                " same command again."
            ) from error
        finally:
            writer.close()
            self._checkpointer.close()
            self.selection.close()
        return self.state

    def _steps(self, writer: Writer, stop: StopRequest, profile) -> None:
        meter = Meter(self.examples_per_step)
        batches = self._batches()
        for step in range(self.start_step, self.total_steps):
            if self.selection.ended:
                return
            self._trace(step, profile)
            with meter.waiting():
                batch = next(batches)
            self.state, metrics = self._train_step(self.state, batch)
            meter.add(step + 1, metrics)
            writer.progress(step + 1)
            stopping = stop.asked or self._checkpointer.reached_preemption(step + 1)
            self._mark(step + 1, meter, writer, stopping)
            if stopping:
                self._checkpointer.wait()
                writer.say(
                    f"asked to stop: saved step {step + 1}; the same command"
                    " goes on from there"
                )
                raise Preempted(step + 1)

    def _mark(self, done: int, meter: Meter, writer: Writer, stopping: bool) -> None:
        """After a step: log, evaluate, save; in this order, and each only if due.

        A log line closes every checkpoint, so that a resumed run averages over the
        same steps as one that was never stopped. Values are checked before saving: no
        checkpoint ever holds a state that came after a NaN.
        """
        c = self._config
        evaluating = not stopping and (
            done == self.total_steps or c.evaluates(done, self._data.steps_per_epoch)
        )
        last = stopping or done == self.total_steps
        saving = last or done % c.checkpoint_every == 0
        if not (saving or evaluating or done % c.log_every == 0):
            return
        values = {"epoch": done / self._data.steps_per_epoch, **meter.flush()}
        if evaluating:
            values |= self.evaluate()
            self.selection.consider(done, self.evaluated, self.state)
        writer.progress(done, **_shown(values))
        writer.write(done, values)
        if saving or self.selection.ended:
            position = {"step": done, **self._data.fingerprint}
            if self.selection.chosen:
                position["chosen"] = self.selection.position()
            self._checkpointer.save(done, self.state, position)
        meter.restart()

    def _batches(self) -> Iterator[Batch]:
        index, count = self._shard
        stream = self._data.train(
            start_step=self.start_step, shard_index=index, shard_count=count
        )
        for batch in stream:
            yield sharding.to_global(dict(batch), self._batch_sharding)

    def evaluate(self) -> dict[str, float]:
        """Means over the held-out split, each name with `val_` before it."""
        index, count = self._shard
        total = None
        for batch in self._data.evaluation(shard_index=index, shard_count=count):
            placed = sharding.to_global(dict(batch), self._batch_sharding)
            # Fetched each time: that bounds the batches in flight, as in training.
            sums = jax.device_get(self._evaluation_step(self.state, placed, self._key))
            sums = {k: np.asarray(v, np.float64) for k, v in sums.items()}
            total = sums if total is None else jax.tree.map(np.add, total, sums)
        if total is None:
            return {}
        examples = float(total.pop("examples"))
        means = {k: np.asarray(v / examples) for k, v in total.items()}
        summarise = getattr(self._task, "summarise", _scalars)
        self.evaluated = summarise(means)
        return {f"val_{k}": v for k, v in self.evaluated.items()}

    def example(self, function: Callable[..., PyTree], count: int = 8) -> Example:
        """What a function of the task makes of the first examples, for pictures.

        Args:
          function: `(variables, batch, key) -> pytree` of arrays `[e, ...]`.
          count: How many examples to return.

        Returns:
          NumPy arrays `[count, ...]` on every process, of the held-out split, or of the
          training split if nobody is held out.
        """
        index, of = self._shard
        split = "validation"
        batch = next(self._data.evaluation(shard_index=index, shard_count=of), None)
        if batch is None:
            split = "train"
            batch = next(
                self._data.train(start_step=0, shard_index=index, shard_count=of)
            )
        batch = {k: v for k, v in batch.items() if k != "weight"}

        def first(variables, batch, key):
            return jax.tree.map(lambda x: x[:count], function(variables, batch, key))

        output = jax.jit(first, out_shardings=self._whole)(
            self.state.judged,
            sharding.to_global(batch, self._batch_sharding),
            self._key,
        )
        return Example(split, jax.device_get(output))

    def _trace(self, step: int, profile: tuple[int, int] | None) -> None:
        if profile and step == profile[0]:
            jax.profiler.start_trace(str(self._workdir / "profile"))
        if profile and step == profile[1]:
            jax.block_until_ready(self.state)
            jax.profiler.stop_trace()

    def _greeting(self) -> str:
        mesh = " x ".join(f"{k}={v}" for k, v in self._mesh.shape.items())
        origin = (
            f"continuing at step {self.start_step}" if self.start_step else "new run"
        )
        return (
            f"{origin} of {self.total_steps} ({self._data.steps_per_epoch} per epoch),"
            f" {self.parameter_count:,} parameters, {self.examples_per_step} examples a"
            f" step, mesh {mesh} on {jax.default_backend()}, compiled in"
            f" {self.compile_s:.1f} s"
        )

    def _last_good(self) -> str:
        try:
            self._checkpointer.wait()
        except CheckpointError as error:
            return f"{error}"
        steps = self._checkpointer.steps()
        good = f"step {steps[-1]} in {self._workdir}" if steps else "none yet"
        return f"Last good checkpoint: {good}."


def _scalars(means: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {name: float(value) for name, value in means.items()}


def _shown(values: dict[str, float]) -> dict[str, str]:
    names = ("loss", "val_loss", "val_balanced_accuracy", "examples_per_s")
    return {name: f"{values[name]:.4g}" for name in names if name in values}
