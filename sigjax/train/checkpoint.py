"""Checkpoints of state and input position, through Orbax; the only file that knows it.

`WORKDIR/checkpoints/STEP/state` holds the training state as plain arrays,
`.../input` the position of the input stream as JSON and `.../files.json` the sizes and
checksums of both. Orbax writes to a temporary name and renames, so a killed run leaves
no half checkpoint under a step's name; a checkpoint that was damaged later is set aside
and the one before it is used.
"""

import errno
import json
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from etils import epath
from jax.experimental import multihost_utils

from sigjax.train import averaging, manifest, nested
from sigjax.typing import PyTree

log = logging.getLogger("sigjax")


class CheckpointError(RuntimeError):
    """A checkpoint cannot be written or none can be read; says where and why."""


class Checkpointer:
    """Saves asynchronously, keeps the newest few, restores the newest good one.

    Attributes:
      directory: `WORKDIR/checkpoints`.
    """

    def __init__(
        self, workdir: epath.Path, *, keep: int = 3, keep_every: int | None = None
    ):
        """Opens or creates the checkpoint directory.

        Args:
          workdir: The run's directory.
          keep: How many of the newest checkpoints stay.
          keep_every: Also keep every checkpoint at a multiple of this many steps.

        Raises:
          CheckpointError: If the directory cannot be made or read.
        """
        self.directory = workdir / "checkpoints"
        self._saving = 0
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            keep_period=keep_every,
            # Half-written ones of a run that was killed.
            cleanup_tmp_directories=True,
            enable_async_checkpointing=True,
            async_options=ocp.AsyncOptions(
                post_finalization_callback=self._write_manifest
            ),
            # The loop decides when; Orbax's own policy would skip forced steps.
            save_interval_steps=1,
        )
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(self.directory, options=options)
        except OSError as error:
            raise CheckpointError(
                f"cannot open {self.directory}: {_reason(error)}. Move away what"
                " stands there or choose another --workdir."
            ) from error

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: PyTree, position: Mapping[str, Any]) -> None:
        """Starts to write a checkpoint; training goes on meanwhile.

        Raises:
          CheckpointError: If this write cannot start or the one before it failed.
        """
        if step in self._manager.all_steps():
            return
        try:
            self._manager.wait_until_finished()
            self._saving = step
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(state),
                    input=ocp.args.JsonSave(dict(position)),
                ),
                force=True,
            )
        except Exception as error:
            raise self._cannot_write(error) from error

    def wait(self) -> None:
        """Returns once everything is on disk.

        Raises:
          CheckpointError: If it cannot be written (a full disk, say).
        """
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise self._cannot_write(error) from error

    def _write_manifest(self) -> None:
        # Orbax calls this on process 0 once all files are written, just before it gives
        # the directory its final name.
        names = (p for p in self.directory.iterdir() if p.name[:1].isdigit())
        (directory,) = (p for p in names if _step(p) == self._saving)
        manifest.write(directory)

    def _cannot_write(self, error: Exception) -> CheckpointError:
        # Orbax's own list lacks those it would have deleted after this one.
        steps = sorted(_steps_in(self.directory), reverse=True)
        good = (s for s in steps if not manifest.find_damage(self.directory / str(s)))
        step = next(good, None)
        kept = "none was written before" if step is None else f"step {step} is intact"
        return CheckpointError(
            f"cannot write a checkpoint under {self.directory}: {_reason(error)}."
            f" The last good checkpoint: {kept}. Make room or mend the path, then run"
            " the same command again."
        )

    def reached_preemption(self, step: int) -> bool:
        """Whether the cluster announced that all processes will be stopped.

        All processes agree on the step at which this turns true.
        """
        return self._manager.reached_preemption(step)

    def restore(self, abstract_state: PyTree) -> tuple[PyTree, dict[str, Any]] | None:
        """The newest checkpoint that can be read.

        Args:
          abstract_state: `ShapeDtypeStruct`s that carry the shardings to restore to;
            they need not be those it was saved with.

        Returns:
          `(state, input position)`, or None if the run has no checkpoint.

        Raises:
          CheckpointError: If there are checkpoints and none can be read, or they are
            of another model or optimizer.
        """
        failed = {}
        for step in reversed(self.steps()):
            reason, result = self._find_damage(step), None
            if reason is None:
                self._check_shapes(step, abstract_state)
                result, reason = self._try_restore(step, abstract_state)
            if result is not None:
                self._set_aside(failed)
                return result
            failed[step] = reason
            log.warning("%s/%d cannot be read: %s", self.directory, step, reason)
        if failed:
            reasons = "; ".join(f"step {k}: {v}" for k, v in failed.items())
            raise CheckpointError(
                f"none of the checkpoints under {self.directory} can be read:"
                f" {reasons}. Use another --workdir, or remove this one's checkpoints"
                " to start again."
            )
        return None

    def _find_damage(self, step: int) -> str | None:
        """What process 0 finds wrong; all must agree before they read together."""
        damage = None
        if jax.process_index() == 0:
            damage = manifest.find_damage(self.directory / str(step))
        if jax.process_count() > 1:
            found = multihost_utils.broadcast_one_to_all(np.array(damage is not None))
            if found and damage is None:
                damage = "process 0 found it damaged"
        return damage

    def _check_shapes(self, step: int, abstract_state: PyTree) -> None:
        path = self.directory / str(step)
        with ocp.PyTreeCheckpointer() as checkpointer:
            tree = checkpointer.metadata(path / "state").item_metadata.tree
        there, here = _shapes(tree), _shapes(abstract_state)
        for name in sorted(there.keys() | here.keys()):
            if there.get(name) != here.get(name):
                raise CheckpointError(
                    f"{path} is of another model or optimizer: {name} has shape"
                    f" {there.get(name, 'nothing')} there and"
                    f" {here.get(name, 'nothing')} here. Go back to the config that the"
                    " run was started with, or use another --workdir."
                )

    def _try_restore(self, step: int, abstract_state: PyTree):
        result, reason = None, ""
        try:
            restored = self._manager.restore(
                step,
                args=ocp.args.Composite(
                    state=ocp.args.StandardRestore(abstract_state),
                    input=ocp.args.JsonRestore(),
                ),
            )
            result = restored["state"], restored["input"]
        except Exception as error:
            reason = _reason(error)
        if jax.process_count() > 1:  # one process that fails makes all fall back
            fine = multihost_utils.process_allgather(np.array(result is not None))
            if not np.all(fine):
                result, reason = None, reason or "unreadable on another process"
        return result, reason

    def _set_aside(self, failed: Mapping[int, str]) -> None:
        # Their steps will be written again, under the same names.
        if jax.process_index() == 0:
            for step in failed:
                aside = self.directory / f"damaged-{step}"
                while aside.exists():
                    aside = aside.with_name(aside.name + "-again")
                (self.directory / str(step)).rename(aside)
                log.warning("set aside as %s", aside)
        if failed:
            if jax.process_count() > 1:
                multihost_utils.sync_global_devices("checkpoints set aside")
            self._manager.reload()

    def close(self) -> None:
        """Waits for a write under way, also when something else went wrong.

        Never raises, lest it hide what did: `wait` is for that.
        """
        try:
            self._manager.close()
        except Exception as error:
            log.warning("%s", self._cannot_write(error))


def _step(path: epath.Path) -> int:
    # Orbax adds a suffix while it writes.
    return int(path.name.partition(".")[0])


def _steps_in(directory: epath.Path) -> list[int]:
    names = [p.name for p in directory.iterdir()] if directory.exists() else []
    return sorted(int(name) for name in names if name.isdigit())


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    found = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.eval_shape(jax.random.key_data, leaf)  # as it is stored
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        found[name] = tuple(leaf.shape)
    return found


def _reason(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    full = os.strerror(errno.ENOSPC)
    # TensorStore says it at the end of a long line.
    return full if full in text else text.splitlines()[0][:300]


def save_params(path: epath.PathLike, params: PyTree) -> None:
    """Writes parameters alone, as a plain Orbax checkpoint, replacing what is there."""
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(epath.Path(path).resolve(), params, force=True)


def load_params(path: epath.PathLike, item: str | None = None) -> PyTree:
    """Arrays of a checkpoint as NumPy, whatever devices wrote them.

    Args:
      path: A directory that Orbax wrote.
      item: Read only this entry of its tree, such as `"params"` of a training state.

    Raises:
      CheckpointError: If there is no readable checkpoint.
    """
    found = _load_entry(path, () if item is None else (item,))
    assert found is not None
    return found


def _load_entry(path: epath.PathLike, keys: Sequence[str], below: str = "") -> PyTree:
    """The arrays under `keys` of a checkpoint's tree.

    Args:
      path: A directory that Orbax wrote.
      keys: Names from the root.
      below: The first entry of this name under `keys`, at whatever depth.

    Returns:
      NumPy arrays; None if there is no entry `below`.

    Raises:
      CheckpointError: If there is no readable checkpoint.
    """
    path = epath.Path(path).resolve()
    try:
        with ocp.PyTreeCheckpointer() as checkpointer:
            tree = checkpointer.metadata(path).item_metadata.tree
            if below:
                wanted = nested.find(nested.entry(tree, keys), below)
                if wanted is None:
                    return None
                keys = (*keys, *wanted)
            # Orbax skips what is marked.
            tree = nested.alone(tree, keys, ocp.PLACEHOLDER)
            # Without a target Orbax insists on the devices that wrote the checkpoint.
            kinds = jax.tree.map(lambda _: ocp.RestoreArgs(np.ndarray), tree)
            args = ocp.args.PyTreeRestore(
                item=tree, restore_args=kinds, partial_restore=bool(keys)
            )
            found = checkpointer.restore(path, args=args)
    except Exception as error:
        raise CheckpointError(
            f"no readable parameters at {path}: {_reason(error)}"
        ) from error
    return nested.entry(found, keys)


def latest_variables(
    workdir: epath.PathLike, step: int | None = None
) -> tuple[int, dict[str, PyTree]]:
    """Flax variables of a run, without its optimizer.

    Of a run that averages its weights (`optim.averaging`), the average: that is what it
    evaluates and is judged by.

    Args:
      workdir: The run's directory, or its `best`.
      step: Which checkpoint; the newest by default.

    Returns:
      `(step, variables)`: `params` and any other collection, NumPy arrays.

    Raises:
      CheckpointError: If that checkpoint does not exist or cannot be read.
    """
    directory = epath.Path(workdir) / "checkpoints"
    steps = _steps_in(directory)
    if not steps or (step is not None and step not in steps):
        raise CheckpointError(
            f"{directory} holds no checkpoint{'' if step is None else f' {step}'};"
            f" there are: {', '.join(map(str, steps)) or 'none'}"
        )
    step = steps[-1] if step is None else step
    damage = manifest.find_damage(directory / str(step))
    if damage:
        raise CheckpointError(
            f"{directory / str(step)} is damaged: {damage}; there are: "
            + ", ".join(map(str, steps))
        )
    state = directory / str(step) / "state"
    params = _load_entry(state, ("opt_state",), averaging.FIELD)
    if params is None:
        params = load_params(state, "params")
    return step, {"params": params, **(load_params(state, "model_state") or {})}


def latest_params(
    workdir: epath.PathLike, step: int | None = None
) -> tuple[int, PyTree]:
    """`(step, params)` of a run; see `latest_variables`."""
    step, variables = latest_variables(workdir, step)
    return step, variables["params"]


def describe(position: Mapping[str, Any]) -> str:
    """The position as one line of JSON, for messages."""
    return json.dumps(dict(position), sort_keys=True)
