"""Device mesh, and who holds which slice of the state and of the batch.

The mesh has three axes: `data` and `fsdp` split the batch, `fsdp` and `tensor` split
parameters. Which parameters, along which dimension, is decided here from outside the
model, by ordered `(regex, axes)` rules over the names in the abstract state; optimizer
moments carry the same names and so follow their parameters.
"""

import dataclasses
import math
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from sigjax.typing import PyTree

AXES = ("data", "fsdp", "tensor")
BATCH_AXES = ("data", "fsdp")

Rule = tuple[str, tuple[str | None, ...]]


class MeshError(ValueError):
    """Mesh, batch or parameter sizes that do not divide; the message says which."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshConfig:
    """Shape of the mesh and the partition rules.

    Attributes:
      data: Devices along the data axis; -1 takes all that the others leave.
      fsdp: Devices along which the batch and parameters are both split.
      tensor: Devices along which parameters alone are split.
      rules: `(regex, axes)`, first match wins: one mesh axis or None per dimension of
        the parameter. Unmatched parameters are replicated.
    """

    data: int = -1
    fsdp: int = 1
    tensor: int = 1
    rules: tuple[Rule, ...] = ()


def make_mesh(config: MeshConfig, devices: Sequence[Any] | None = None) -> Mesh:
    """A `(data, fsdp, tensor)` mesh over all devices.

    Raises:
      MeshError: If the axes do not multiply to the number of devices.
    """
    devices = list(jax.devices() if devices is None else devices)
    sizes = {name: getattr(config, name) for name in AXES}
    free = [name for name, size in sizes.items() if size == -1]
    if len(free) > 1 or any(size < 1 and size != -1 for size in sizes.values()):
        raise MeshError(
            f"mesh axes must be positive and at most one -1, got {_show(sizes)}"
        )
    fixed = math.prod(size for size in sizes.values() if size != -1)
    if free and len(devices) % fixed == 0:
        sizes[free[0]] = len(devices) // fixed
    if math.prod(sizes.values()) != len(devices):
        raise MeshError(
            f"mesh {_show(sizes)} does not divide {len(devices)} device(s): set"
            " mesh.data, mesh.fsdp and mesh.tensor so that they multiply to that number"
        )
    # Explicit axes, JAX's default, make Linen's own constraints fail.
    return jax.make_mesh(
        tuple(sizes.values()), AXES, axis_types=(AxisType.Auto,) * 3, devices=devices
    )


def _show(sizes: dict[str, int]) -> str:
    return ", ".join(f"{name}={size}" for name, size in sizes.items())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """Leading dimension over `data` and `fsdp`, the rest whole."""
    return NamedSharding(mesh, PartitionSpec(BATCH_AXES))


def check_batch(mesh: Mesh, batch_size: int, *, name: str) -> None:
    """Refuses a batch that the mesh cannot split evenly.

    Raises:
      MeshError: Naming the config key `name`.
    """
    parts = mesh.shape["data"] * mesh.shape["fsdp"]
    if batch_size % parts:
        raise MeshError(
            f"{name}={batch_size} does not divide over data x fsdp ="
            f" {mesh.shape['data']} x {mesh.shape['fsdp']} devices: make it a multiple"
            f" of {parts}"
        )


def batch_shard(mesh: Mesh, batch_size: int) -> tuple[int, int]:
    """Which equal part of every global batch this process must load.

    Returns:
      `(shard_index, shard_count)`. Processes that only split parameters between them
      (a tensor axis across hosts) share a shard and load the same rows.
    """
    spans = batch_sharding(mesh).addressable_devices_indices_map((batch_size,))
    rows = [index[0].indices(batch_size) for index in spans.values() if index]
    low, high = min(r[0] for r in rows), max(r[1] for r in rows)
    size = high - low
    if batch_size % size or low % size or size != _covered(rows):
        raise MeshError(
            f"this process's devices hold rows {sorted(set(rows))} of the batch, which"
            " is no contiguous equal share: order the mesh so that data is outermost"
        )
    return low // size, batch_size // size


def _covered(rows: list[tuple[int, int, int]]) -> int:
    return sum(high - low for low, high, _ in set(rows))


def to_global(
    batch: dict[str, np.ndarray], sharding: NamedSharding
) -> dict[str, jax.Array]:
    """This process's rows to global arrays over the mesh."""
    return {
        k: jax.make_array_from_process_local_data(sharding, v) for k, v in batch.items()
    }


def _name(path: tuple) -> str:
    parts = [getattr(p, "key", getattr(p, "name", getattr(p, "idx", p))) for p in path]
    return "/".join(str(p) for p in parts)


def state_sharding(abstract_state: PyTree, mesh: Mesh, rules: Sequence[Rule]) -> PyTree:
    """A `NamedSharding` for every leaf of the state.

    Args:
      abstract_state: The state as `jax.eval_shape` gives it.
      mesh: From `make_mesh`.
      rules: `(regex, axes)`; a leaf takes the first rule whose regex is found in its
        slash-separated name, such as `params/encoder/blocks/attention/qkv/kernel`.

    Raises:
      MeshError: Naming the leaf, if a rule has another number of dimensions or an axis
        does not divide the dimension.
    """

    def place(path, leaf):
        name = _name(path)
        for pattern, axes in rules:
            if leaf.ndim and re.search(pattern, name):
                _check_rule(name, leaf.shape, pattern, axes, mesh)
                return NamedSharding(mesh, PartitionSpec(*axes))
        return NamedSharding(mesh, PartitionSpec())

    return jax.tree_util.tree_map_with_path(place, abstract_state)


def _check_rule(name, shape, pattern, axes, mesh) -> None:
    if len(axes) != len(shape):
        raise MeshError(
            f"mesh.rules: {pattern!r} names {len(axes)} dimensions, but {name} has"
            f" shape {tuple(shape)}"
        )
    for size, axis in zip(shape, axes, strict=True):
        if axis is not None and axis not in AXES:
            raise MeshError(f"mesh.rules: {pattern!r} names axis {axis!r}; use {AXES}")
        if axis is not None and size % mesh.shape[axis]:
            raise MeshError(
                f"{name}: a dimension of {size} does not divide over mesh.{axis}="
                f"{mesh.shape[axis]}; choose another mesh or change mesh.rules"
            )
