"""A task of a hundred parameters that compiles at once, and runs of it.

What a run survives does not depend on the model, so most tests of it train this one.
"""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from sigjax.train.config import TrainConfig
from sigjax.train.loop import Trainer
from sigjax.train.optim import OptimConfig
from sigjax.train.sharding import MeshConfig, make_mesh
from sigjax.typing import LossOutput
from tests.train.toy import ToyData

TIMING = ("examples_per_s", "step_time_s", "input_wait_s")
ADAMW = OptimConfig(name="adamw", learning_rate=1e-2, weight_decay=0.1)


class Line:
    """Predicts eight samples from the eight before, through noise; counts batches.

    One parameter has no part in the loss, and one collection is no parameter.
    """

    def __init__(self, width=24):
        self.width = width

    def init(self, key, batch):
        kernel = jax.random.normal(key, (self.width, 8)) / 5
        return {
            "params": {
                "out": {"kernel": kernel, "bias": jnp.zeros(8)},
                "unused": jnp.ones(2),
            },
            "counters": {"batches": jnp.zeros((), jnp.int32)},
        }

    def _error(self, variables, batch, noise):
        signal = batch["counts"].astype(jnp.float32) * batch["scale"][:, None, None]
        past = signal[:, :8].reshape(-1, 24)[:, : self.width] + noise
        out = variables["params"]["out"]
        return past @ out["kernel"] + out["bias"] - signal[:, 8:16, 0]

    def loss(self, variables, batch, key):
        noise = jax.random.normal(key, (len(batch["scale"]), self.width)) / 10
        error = self._error(variables, batch, noise)
        loss = jnp.square(error).mean(axis=-1)
        counters = {"batches": variables["counters"]["batches"] + 1}
        return LossOutput(
            loss, {"mae": jnp.abs(error).mean(-1)}, {"counters": counters}
        )

    def evaluate(self, variables, batch, key):
        return {"loss": jnp.square(self._error(variables, batch, 0.0)).mean(axis=-1)}


class Interrupted(Exception):
    """Stands for whatever ends a process between two steps."""


class Recorder:
    """Data that remembers every batch it gave and may stop a run.

    Attributes:
      given: The batch of each step.
    """

    def __init__(self, data, *, at=None, action=None):
        """Calls `action` (by default, raises `Interrupted`) before batch `at`."""
        self._data, self._at, self._action = data, at, action
        self.spec, self.fingerprint = data.spec, data.fingerprint
        self.steps_per_epoch = data.steps_per_epoch
        self.evaluation = data.evaluation
        self.given = {}

    def train(self, *, start_step, shard_index, shard_count):
        stream = self._data.train(
            start_step=start_step, shard_index=shard_index, shard_count=shard_count
        )
        for step, batch in enumerate(stream, start_step):
            if step == self._at:
                if self._action is None:
                    raise Interrupted
                self._action()
            self.given[step] = {k: np.array(v) for k, v in batch.items()}
            yield batch


def make_trainer(
    workdir,
    *,
    task=None,
    data=None,
    optim=ADAMW,
    steps=6,
    mesh=None,
    rules=(),
    given=None,
    **train,
):
    """A trainer of `Line` that saves every third step and logs every step."""
    train = {"log_every": 1, "checkpoint_every": 3, **train}
    workdir = epath.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    return Trainer(
        task or Line(),
        data or ToyData(batch_size=4),
        optim,
        TrainConfig(steps=steps, **train),
        mesh=mesh or make_mesh(MeshConfig(), jax.devices()[:1]),
        rules=rules,
        workdir=workdir,
        seed=0,
        given=given,
    )


def logged(workdir):
    """The lines of metrics.jsonl without what the clock decides."""
    lines = (pathlib.Path(workdir) / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [{k: v for k, v in row.items() if k not in TIMING} for row in rows]


def checkpoints(workdir):
    """Names in the run's checkpoint directory."""
    return {path.name for path in (workdir / "checkpoints").iterdir()}


def plain(state):
    """Leaves by name, as NumPy; keys as their numbers."""

    def leaf(x):
        is_key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(x) if is_key else x)

    leaves = jax.tree_util.tree_leaves_with_path(state)
    return {jax.tree_util.keystr(path): leaf(x) for path, x in leaves}


def assert_same(one, other):
    """Bit-equality of two dicts of arrays."""
    assert one.keys() == other.keys()
    for name in one:
        assert one[name].dtype == other[name].dtype, name
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
