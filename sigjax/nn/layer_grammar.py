"""The grammar of encoders and decoders: layers as plain values, and their sizes.

What every layer makes is known by formula, before anything is computed.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal, get_args

from sigjax.nn.initialisation import Init
from sigjax.nn.transposed_conv import (
    check_output_padding,
    check_pool_padding,
    convolved_size,
    per_axis,
    transposed_size,
)

Kind = Literal[
    "dense",
    "conv",
    "transposed_conv",
    "max_pool",
    "max_unpool",
    "upsample",
    "flatten",
    "reshape",
]
Activation = Literal[
    "identity",
    "relu",
    "leaky_relu",
    "elu",
    "gelu",
    "silu",
    "tanh",
    "sigmoid",
    "softplus",
]
Norm = Literal["none", "batch", "layer"]
Shape = tuple[int, ...]

_SLOPE = 0.01
# The fields that a kind of layer reads, of those that have sizes.
_FIELDS: Mapping[str, tuple[str, ...]] = {
    "dense": ("width",),
    "conv": ("width", "taps", "stride", "padding", "dilation"),
    "transposed_conv": (
        "width",
        "taps",
        "stride",
        "padding",
        "output_padding",
        "dilation",
    ),
    "max_pool": ("taps", "stride", "padding"),
    "max_unpool": (),
    "upsample": ("stride",),
    "flatten": (),
    "reshape": ("shape",),
}
_LEAST = {
    "width": 1,
    "taps": 1,
    "stride": 1,
    "padding": 0,
    "output_padding": 0,
    "dilation": 1,
    "shape": 1,
}
WEIGHTED = ("dense", "conv", "transposed_conv")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer, as plain values.

    Attributes:
      kind: `"dense"` acts on the last axis, so on a flat vector or on each place alone.
        `"conv"` and `"transposed_conv"` are 1-D on `[b, s, c]` and 2-D on
        `[b, h, w, c]`. `"max_unpool"` puts values where the last pooling that is not
        yet undone had its maxima. `"upsample"` repeats values. `"flatten"` and
        `"reshape"` count the channels fastest.
      width: Features out (dense, conv, transposed_conv).
      taps: Size of the kernel or window, for all axes or one each.
      stride: Of the kernel or window; of an upsampling, its factor.
      padding: At both ends of every axis, as PyTorch counts it.
      output_padding: Of a transposed convolution.
      dilation: Distance of neighbouring taps.
      shape: Of a reshape, without the batch.
      activation: After the norm.
      slope: Of a leaky ReLU below zero.
      norm: `"batch"` over all axes but the last; `"layer"` over the last.
      dropout: Share of values set to zero in training, last of all.
      bias: Whether there is one.
      spectral: Divide the kernel by its largest singular value, which training follows
        (`sigjax.nn.spectral_norm`).
      init: What the kernel, the bias and the scale of a batch norm start from
        (`sigjax.nn.initialisation`).
    """

    kind: Kind
    width: int = 0
    taps: int | tuple[int, ...] = 0
    stride: int | tuple[int, ...] = 1
    padding: int | tuple[int, ...] = 0
    output_padding: int | tuple[int, ...] = 0
    dilation: int | tuple[int, ...] = 1
    shape: tuple[int, ...] = ()
    activation: Activation = "identity"
    slope: float = _SLOPE
    norm: Norm = "none"
    dropout: float = 0.0
    bias: bool = True
    spectral: bool = False
    init: Init = "torch"

    def __post_init__(self):
        """Refuses values without meaning, and those that the kind would not read."""
        for name, choices in (
            ("kind", Kind),
            ("activation", Activation),
            ("norm", Norm),
            ("init", Init),
        ):
            if getattr(self, name) not in get_args(choices):
                raise ValueError(
                    f"a layer's {name} is one of {', '.join(get_args(choices))}, got"
                    f" {getattr(self, name)!r}"
                )
        self._check_fields()
        if self.slope != _SLOPE and self.activation != "leaky_relu":
            raise ValueError(f"the slope is that of a leaky_relu: {self}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be in [0, 1), got {self.dropout}")

    def _check_fields(self):
        read = _FIELDS[self.kind]
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if name in read:
                values = (value,) if isinstance(value, int) else value
                if min(values, default=0) < least:
                    raise ValueError(
                        f"a {self.kind} layer needs {name} of at least {least}: {self}"
                    )
            elif value != getattr(Layer, name):
                raise ValueError(f"a {self.kind} layer has no {name}: {self}")
        for name in ("bias", "spectral"):
            if self.kind not in WEIGHTED and getattr(self, name) != getattr(
                Layer, name
            ):
                raise ValueError(f"a {self.kind} layer has no {name}: {self}")
        drawn = self.kind in WEIGHTED or self.norm == "batch"
        if not drawn and self.init != Layer.init:
            raise ValueError(f"a {self.kind} layer has nothing to start from: {self}")


def stack_shapes(
    layers: Sequence[Layer],
    input_shape: Shape,
    pooled: Sequence[tuple[Shape, Shape]] = (),
) -> tuple[Shape, ...]:
    """What comes out of every layer, by formula.

    Args:
      layers: As a `Stack` has them.
      input_shape: Without the batch: `(d,)`, `(s, c)` or `(h, w, c)`.
      pooled: Of poolings before, for max_unpool: see `pooled_shapes`.

    Returns:
      The shape after each layer, without the batch.

    Raises:
      ValueError: A layer does not fit what comes in; it names the layer's number (from
        0), kind and shapes.
    """
    return _walk(layers, input_shape, pooled)[0]


def pooled_shapes(
    layers: Sequence[Layer],
    input_shape: Shape,
    pooled: Sequence[tuple[Shape, Shape]] = (),
) -> tuple[tuple[Shape, Shape], ...]:
    """Shapes before and after each pooling that no max_unpool took; see `stack_shapes`.

    They are what `stack_shapes` of the decoder needs.
    """
    return _walk(layers, input_shape, pooled)[1]


def _walk(layers, input_shape, pooled):
    shape, shapes, left = tuple(input_shape), [], list(pooled)
    for number, layer in enumerate(layers):
        try:
            after = _shape_after(layer, shape, left)
            if min(after, default=0) < 1:
                raise ValueError(f"it would make {after}")
        except ValueError as error:
            raise ValueError(
                f"layer {number} ({layer.kind}) does not fit an input of {shape}:"
                f" {error}"
            ) from None
        if layer.kind == "max_pool":
            left.append((shape, after))
        shape = after
        shapes.append(shape)
    return tuple(shapes), tuple(left)


def _shape_after(layer: Layer, shape: Shape, pooled: list) -> Shape:
    if layer.kind == "dense":
        return (*shape[:-1], layer.width)
    if layer.kind == "flatten":
        return (math.prod(shape),)
    if layer.kind == "reshape":
        if math.prod(shape) != math.prod(layer.shape):
            raise ValueError(
                f"{layer.shape} holds {math.prod(layer.shape)} values, not"
                f" {math.prod(shape)}"
            )
        return layer.shape
    if len(shape) not in (2, 3):
        raise ValueError("it needs (samples, channels) or (height, width, channels)")
    if layer.kind == "max_unpool":
        return _unpooled_shape(shape, pooled)
    return (*_sizes_after(layer, shape[:-1]), layer.width or shape[-1])


def _sizes_after(layer: Layer, sizes: Shape) -> Shape:
    """Of a layer with a stride."""
    axes = len(sizes)
    stride = per_axis(layer.stride, axes, "stride")
    if layer.kind == "upsample":
        return tuple(n * s for n, s in zip(sizes, stride, strict=True))
    taps = per_axis(layer.taps, axes, "taps")
    padding = per_axis(layer.padding, axes, "padding")
    dilation = per_axis(layer.dilation, axes, "dilation")
    if layer.kind == "transposed_conv":
        more = per_axis(layer.output_padding, axes, "output_padding")
        check_output_padding(more, stride, dilation)
        return tuple(map(transposed_size, sizes, taps, stride, padding, more, dilation))
    if layer.kind == "max_pool":
        check_pool_padding(padding, taps)
    return tuple(map(convolved_size, sizes, taps, stride, padding, dilation))


def _unpooled_shape(shape: Shape, pooled: list) -> Shape:
    if not pooled:
        raise ValueError("no max_pool is left to undo: it needs a pooled map")
    before, after = pooled.pop()
    if after != shape:
        raise ValueError(f"the last pooling that is left made {after} of {before}")
    return before
