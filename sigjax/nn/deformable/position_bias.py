"""Continuous relative position bias: a table of logits, read between its cells.

`table[h, a, b]` is what head `h` adds where a query stands `a - (H - 1)` rows and
`b - (W - 1)` columns after a key, in cells of an `H x W` map; between cells it is read
bilinearly, beyond the table it is 0 (DATAR, section 3.1; DAT's `rpe_table`).

Three ways to the same numbers and gradients (to rounding):

  gather   four values for each query and key. Gradients scatter as many: the plain
           reference, and what published code does.
  slices   one window of the table per key and a blend (`sigjax.nn.deformable.slices`).
  matmul   products with matrices of hat functions, rows first. No scatter in either
           direction, so gradients are the same in every run on any backend; work grows
           with `2 H - 1`.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from sigjax.nn.conv import precision
from sigjax.nn.deformable import conventions
from sigjax.nn.deformable.conventions import Convention
from sigjax.nn.deformable.slices import bias_by_key
from sigjax.typing import Array, Float, Int

Design = Literal["auto", "gather", "slices", "matmul"]


def choose_design(
    convention: Convention,
    size: tuple[int, int],
    keys: int,
    backend: str | None = None,
) -> Literal["gather", "slices", "matmul"]:
    """Which design `"auto"` is.

    On CPU slices took the least time at the layers that were measured: v1-T's third and
    fourth stage, forward and backward, and ++T's first, forward
    (`benchmarks.deformable_attention --designs`). Elsewhere the choice is a
    reasoned one, NOT measured: slices on GPU where queries are whole cells apart
    ("text", "pp"), matmul for "v1" there and on TPU, which is poor at gathers; slices
    again where the hat matrices would be the largest arrays.

    Args:
      convention: Where queries stand.
      size: Rows and columns of the map.
      keys: Number of keys.
      backend: `"cpu"`, `"gpu"` or `"tpu"`; the default backend when not given.
    """
    backend = backend or jax.default_backend()
    if backend == "cpu":
        return "slices"
    rows, columns = size
    # What is left after the contraction of rows, against the bias itself.
    between = keys * rows * (2 * columns - 1)
    if between > 4 * keys * rows * columns or rows > 64:
        return "slices"
    return "matmul" if backend == "tpu" or convention == "v1" else "slices"


def position_bias(
    table: Float[Array, "h r q"],
    points: Float[Array, "b g n 2"],
    size: tuple[int, int],
    convention: Convention,
    *,
    design: Design = "auto",
) -> Float[Array, "b h m n"]:
    """The bias that every query of a map adds to every key.

    Args:
      table: `[heads, 2 rows - 1, 2 columns - 1]`. Heads `0 .. heads / g - 1` are those
        of group 0, and so on.
      points: The keys of each group, (y, x) in [-1, 1] for the map's first and last
        cell. Any finite value; where a table ends, zeros begin.
      size: Rows and columns of the map; queries in row-major order.
      convention: Where queries stand in it.
      design: See the module docstring and `choose_design`.

    Returns:
      `[b, heads, rows * columns, n]` in the dtype of the table.

    Raises:
      ValueError: The table has another size, groups do not divide heads, or the
        convention or design is none.
    """
    check_table(table.shape, points.shape[1], size, convention)
    groups, keys = points.shape[1:3]
    if design == "auto":
        design = choose_design(convention, size, keys)
    grouped = table.reshape(groups, -1, *table.shape[1:])
    points = points.astype(jnp.promote_types(points.dtype, jnp.float32))
    if design == "slices":
        bias = _by_slices(grouped, points, size, convention)
    elif design == "gather":
        bias = _by_gather(grouped, points, size, convention)
    elif design == "matmul":
        bias = _by_matmul(grouped, points, size, convention)
    else:
        raise ValueError(f"no design {design!r}: auto, gather, slices or matmul")
    shape = (len(points), len(table), size[0] * size[1], keys)
    return bias.reshape(shape).astype(table.dtype)


def check_table(
    shape: tuple[int, ...], groups: int, size: tuple[int, int], convention: str
) -> None:
    """Refuses a table that is not of this map.

    Raises:
      ValueError: See `position_bias`.
    """
    conventions.check(convention)
    expected = tuple(2 * n - 1 for n in size)
    if shape[1:] != expected:
        raise ValueError(
            f"a map of {size} needs a bias table of {expected}, got {shape[1:]}; see"
            " sigjax.nn.deformable.tables.resize_table"
        )
    if shape[0] % groups:
        raise ValueError(f"{groups} groups do not divide {shape[0]} heads")


def _by_slices(table, points, size, convention):
    batch, groups, keys = points.shape[:3]
    flat = points.reshape(-1, keys, 2)
    bias: Array = bias_by_key(table, flat, size, convention)  # pyright: ignore
    bias = bias.reshape(batch, groups, table.shape[1], keys, *size)
    return bias.transpose(0, 1, 2, 4, 5, 3)


def _places(
    points: Float[Array, "b g n"], size: int, convention: Convention
) -> tuple[Int[Array, "b g q n"], Float[Array, "b g q n"]]:
    """The cell before each query's place in the table, and the fraction beyond it."""
    first, step = conventions.query_steps(size, convention)
    # Whole steps and what is left of them apart, so that fractions of queries agree.
    at = jnp.arange(size)[:, None]
    place = first + (size - 1) - points[..., None, :] * ((size - 1) / 2)
    base = jnp.floor(place)
    part = place - base - at * (1 - step)
    behind = jnp.floor(part)
    low = (base + behind).astype(jnp.int32) + at.astype(jnp.int32)
    return low, part - behind


def _by_gather(table, points, size, convention):
    rows, columns = table.shape[2:]
    places = [_places(points[..., i], size[i], convention) for i in (0, 1)]
    (y, dy), (x, dx) = places
    batch, groups = points.shape[:2]
    flat = table.reshape(groups, table.shape[1], -1)
    total = jnp.zeros((), table.dtype)
    for i in (0, 1):
        for j in (0, 1):
            row, column = y + i, x + j
            inside_y = (row >= 0) & (row < rows)
            inside_x = (column >= 0) & (column < columns)
            weigh_y = jnp.where(inside_y, dy if i else 1 - dy, 0)
            weigh_x = jnp.where(inside_x, dx if j else 1 - dx, 0)
            cell = (
                jnp.clip(row, 0, rows - 1)[..., :, None, :] * columns
                + jnp.clip(column, 0, columns - 1)[..., None, :, :]
            )
            weight = weigh_y[..., :, None, :] * weigh_x[..., None, :, :]
            value = jax.vmap(jax.vmap(lambda t, c: jnp.take(t, c, axis=1)), (None, 0))(
                flat, cell.reshape(batch, groups, -1)
            )
            value = value.reshape(batch, groups, -1, *weight.shape[2:])
            total = total + value * weight[:, :, None]
    return total


def _hats(points, size, convention):
    """`[b, g, n, q, 2 size - 1]`: what query `q` takes of each cell of the table."""
    low, part = _places(points, size, convention)
    low, part = (jnp.moveaxis(each, -1, 2)[..., None] for each in (low, part))
    cells = jnp.arange(2 * size - 1)
    return jnp.where(cells == low, 1 - part, 0) + jnp.where(cells == low + 1, part, 0)


def _by_matmul(table, points, size, convention):
    down, across = (_hats(points[..., i], size[i], convention) for i in (0, 1))
    level = precision(table.dtype)
    down, across = down.astype(table.dtype), across.astype(table.dtype)
    lines = jnp.einsum("ghrq,bgnir->bgnhiq", table, down, precision=level)
    return jnp.einsum("bgnhiq,bgnjq->bghijn", lines, across, precision=level)
