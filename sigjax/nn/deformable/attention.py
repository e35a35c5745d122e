"""Deformable attention: every query attends to keys sampled where offsets say."""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp

from sigjax.nn.conv import depthwise
from sigjax.nn.deformable import conventions
from sigjax.nn.deformable.conventions import Convention
from sigjax.nn.deformable.core import attend_points
from sigjax.nn.deformable.offsets import OffsetNetwork
from sigjax.nn.deformable.position_bias import Design
from sigjax.nn.deformable.sampling import sample_groups
from sigjax.nn.deformable.tables import resize_table
from sigjax.nn.torch_init import bias_init, dense, kernel_init
from sigjax.typing import Array, Float


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeformableAttentionConfig:
    """One layer.

    Attributes:
      heads: Must divide the channels.
      groups: Of heads and channels, each with its own offsets; must divide both.
      convention: Where keys, queries and offsets lie: `"text"` is DATAR's section 3.1,
        `"v1"` and `"pp"` the code of DAT and DAT++ (`conventions`). Weights belong to
        one of them.
      stride: Of the keys' grid in the map: `stride**2` queries for each key.
      taps: Size of the offset network's depthwise kernel. DATAR has 5; DAT's third and
        fourth stage 5 and 3.
      offset_norm: Whether the offset network has a layer norm.
      offset_factor: How far offsets reach (`conventions.move`).
      deformable: Without it there is no offset network, and keys stay at the reference
        points of the convention: attention of every query to that regular grid, under
        the same position bias.
      position: `"table"` is the continuous relative position bias; `"lepe"` a depthwise
        3x3 convolution of the queries, added to the output; or `"none"`.
      design: How the bias is computed (`position_bias`).
    """

    heads: int
    groups: int = 1
    convention: Convention = "text"
    stride: int = 1
    taps: int = 5
    offset_norm: bool = True
    offset_factor: float = 2.0
    deformable: bool = True
    position: Literal["table", "lepe", "none"] = "table"
    design: Design = "auto"

    def __post_init__(self):
        """Refuses what does not fit together."""
        conventions.check(self.convention)
        if min(self.heads, self.groups, self.stride, self.taps) < 1:
            raise ValueError(f"heads, groups, stride and taps begin at 1, got {self}")
        if self.heads % self.groups:
            raise ValueError(f"{self.groups} groups do not divide {self.heads} heads")
        if self.offset_factor == 0:
            raise ValueError("offset_factor=0: say deformable=False instead")

    @property
    def pad(self) -> int:
        """Zeros around the map in the offset network."""
        whole = self.convention == "pp" and self.taps == self.stride
        return 0 if whole else self.taps // 2


class DeformableAttention(nn.Module):
    """Deformable multi-head attention on a map (DATAR, equations 2 to 4).

    Queries are a projection of the map; the offset network moves a regular grid of
    points; the map is sampled there, and keys and values are projections of the
    samples. So a point outside the map gives the projections' biases.

    The map may have any size, also another one than at initialisation: its table is
    then resized (`tables.resize_table`).

    `points` and `references`, `[b, g, r, q, 2]` and `[r, q, 2]` of (y, x), are sown
    into the collection `"intermediates"`.

    Attributes:
      config: The layer.
      dtype: What it computes in; points, bias and softmax are at least float32.
    """

    config: DeformableAttentionConfig
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
        """`[b, h, w, c]` to `[b, h, w, c]`.

        Raises:
          ValueError: Heads do not divide the channels, or the map is smaller than the
            offset network's kernel.
        """
        config, (batch, rows, columns, width) = self.config, x.shape
        if width % config.heads:
            raise ValueError(f"{config.heads} heads do not divide {width} channels")
        x = x.astype(self.dtype)
        q = self._linear("q", x)
        points = self._points(q)
        keys = points.reshape(batch, config.groups, -1, 2)
        sampled = sample_groups(x, keys)
        mixed = attend_points(
            q.reshape(batch, -1, width),
            self._linear("k", sampled),
            self._linear("v", sampled),
            keys,
            self._table(rows, columns),
            heads=config.heads,
            size=(rows, columns),
            convention=config.convention,
            design=config.design,
        ).reshape(x.shape)
        if config.position == "lepe":
            mixed = mixed + self._lepe(q)
        return self._linear("out", mixed)

    def _linear(self, name: str, x: Array) -> Array:
        return dense(x.shape[-1], x.shape[-1], self.dtype, name)(x)

    def _points(self, q: Array) -> Array:
        config, (batch, rows, columns, _) = self.config, q.shape
        wide = jnp.promote_types(self.dtype, jnp.float32)
        if config.deformable:
            raw = OffsetNetwork(
                groups=config.groups,
                taps=config.taps,
                stride=config.stride,
                pad=config.pad,
                norm=config.offset_norm,
                dtype=self.dtype,
                name="offsets",
            )(q)
            points = conventions.move(
                raw, config.offset_factor, config.convention, (rows, columns)
            )
            grid = points.shape[2:4]
        else:
            # The grid that the offset network would have.
            grid = tuple(
                (size + 2 * config.pad - config.taps) // config.stride + 1
                for size in (rows, columns)
            )
            points = None
        reference = conventions.key_points(grid[0], grid[1], config.convention)
        reference = jnp.asarray(reference, wide)
        if points is None:
            shape = (batch, config.groups, *reference.shape)
            points = jnp.broadcast_to(reference, shape)
        self.sow("intermediates", "points", points)
        self.sow("intermediates", "references", reference)
        return points

    def _table(self, rows: int, columns: int) -> Array | None:
        if self.config.position != "table":
            return None
        if self.has_variable("params", "table"):
            table: Array = self.get_variable("params", "table")
        else:
            shape = (self.config.heads, 2 * rows - 1, 2 * columns - 1)
            table = self.param("table", nn.initializers.normal(0.01), shape)
        wide = jnp.promote_types(self.dtype, jnp.float32)
        return resize_table(jnp.asarray(table, wide), (rows, columns))

    def _lepe(self, q: Array) -> Array:
        shape = (3, 3, 1, q.shape[-1])
        kernel = self.param("lepe_kernel", kernel_init, shape)[:, :, 0]
        bias = self.param("lepe_bias", bias_init(9), (q.shape[-1],))
        kernel, bias = kernel.astype(self.dtype), bias.astype(self.dtype)
        return depthwise(q, kernel) + bias
