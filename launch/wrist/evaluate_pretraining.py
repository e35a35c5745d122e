"""Evaluates a run of launch.pretrain: held-out losses, reconstruction picture."""

import json
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from launch.wrist.mae_report import draw, title_of
from launch.wrist.wrist_mae import WristMae
from sigjax.train.checkpoint import latest_variables
from sigjax.train.step import TrainState, make_evaluation_step
from sigjax.train.writer import replace_file


def evaluate_pretraining(system: WristMae, workdir: epath.Path) -> str:
    """Writes `WORKDIR/eval/SIDE/metrics.json` and `reconstruction.png`.

    The same crops and masks as in the run's own evaluation, so the same figures. The
    side is `validation`; with nobody held out only a picture of `train` is drawn.

    Args:
      system: Of the run.
      workdir: Its directory.

    Returns:
      A table for the terminal.

    Raises:
      sigjax.train.checkpoint.CheckpointError: If there is no checkpoint to read.
      sigjax.data.store.StoreError: If its store is gone.
    """
    step, variables = latest_variables(
        workdir / "best" if system.train.select else workdir
    )
    task, data = system.make_task(), system.open_data(workdir)
    key = jax.random.key(system.seed)
    rest = {name: tree for name, tree in variables.items() if name != "params"}
    state = TrainState(step, variables["params"], rest, (), key)
    evaluation = jax.jit(make_evaluation_step(task))
    side, first, total = "validation", None, None
    for rows in data.evaluation(shard_index=0, shard_count=1):
        batch = {name: jnp.asarray(column) for name, column in rows.items()}
        first = batch if first is None else first
        sums = jax.device_get(evaluation(state, batch, key))
        sums = {k: np.asarray(v, np.float64) for k, v in sums.items()}
        total = sums if total is None else jax.tree.map(np.add, total, sums)
    if first is None:
        side = "train"
        rows = next(iter(data.train(start_step=0, shard_index=0, shard_count=1)))
        first = {name: jnp.asarray(column) for name, column in rows.items()}
    folder = workdir / "eval" / side
    folder.mkdir(parents=True, exist_ok=True)
    title = title_of(system, workdir, step)
    batch = {k: v for k, v in first.items() if k != "weight"}
    output = jax.jit(task.reconstruct_masked)(variables, batch, key)
    draw(folder, system, output, title)
    means = {}
    if total is not None:
        count = float(total.pop("examples"))
        means = {name: float(value / count) for name, value in total.items()}
        text = json.dumps(means, indent=1) + "\n"
        replace_file(folder / "metrics.json", text.encode())
    return _table(means, title, folder)


def _table(means: Mapping[str, float], title: str, folder: epath.Path) -> str:
    lines = ["", title]
    if means:
        lines.append(f"{'':<8}{'model':>10}{'trivial':>10}   held-out people")
        for name, value in means.items():
            if name.endswith("_baseline"):
                continue
            trivial = means.get(f"{name}_baseline")
            beside = "" if trivial is None else f"{trivial:>10.4f}"
            lines.append(f"  {name:<6}{value:>10.4f}{beside}")
        lines.append("trivial: the mean log spectrum, or mean, of the visible patches")
    else:
        lines.append("nobody is held out: the picture is of people trained on")
    names = ", ".join(sorted(p.name for p in folder.iterdir()))
    return "\n".join([*lines, f"in {folder}: {names}"])
