"""Deformable attention, the layer of DATAR, DAT and DAT++, and its parts.

layer = DeformableAttention(DeformableAttentionConfig(heads=12, groups=3))
variables = layer.init(key, x)  # x [b, rows, columns, channels]
y = layer.apply(variables, x)
"""

from sigjax.nn.deformable.attention import (
    DeformableAttention,
    DeformableAttentionConfig,
)
from sigjax.nn.deformable.conventions import Convention
from sigjax.nn.deformable.core import attend_points
from sigjax.nn.deformable.offsets import OffsetNetwork
from sigjax.nn.deformable.position_bias import Design, position_bias
from sigjax.nn.deformable.sampling import sample, sample_groups
from sigjax.nn.deformable.tables import resize_table

__all__ = [
    "Convention",
    "DeformableAttention",
    "DeformableAttentionConfig",
    "Design",
    "OffsetNetwork",
    "attend_points",
    "position_bias",
    "resize_table",
    "sample",
    "sample_groups",
]
