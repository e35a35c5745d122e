"""Networks written as a tuple of layers, on `[b, d]`, `[b, s, c]` or `[b, h, w, c]`.

A `Layer` is plain values, so a config can hold it. The order within a layer is kernel,
norm, activation, dropout.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.nn import initialisation
from sigjax.nn.conv import precision
from sigjax.nn.gelu import gelu
from sigjax.nn.layer_grammar import (
    WEIGHTED,
    Activation,
    Layer,
    Shape,
    pooled_shapes,
    stack_shapes,
)
from sigjax.nn.norm import batch_norm
from sigjax.nn.pooling import Pooled, max_pool, max_unpool
from sigjax.nn.spectral_norm import spectrally_normalised
from sigjax.nn.transposed_conv import (
    Size,
    convolution,
    per_axis,
    transposed_convolution,
)
from sigjax.typing import Array, Float

_FLOAT32 = jnp.dtype("float32")
_EPSILON = 1e-5  # of both norms, as in PyTorch


class StackOutput(NamedTuple):
    """What a stack makes.

    Attributes:
      x: `[b, ...]`, the last layer's.
      pooled: What max-pooling layers kept and no max_unpool took, in order.
      hidden: What came out of every layer, `x` last.
    """

    x: Array
    pooled: tuple[Pooled, ...]
    hidden: tuple[Array, ...]


ACTIVATIONS: Mapping[Activation, Callable[[Array], Array]] = {
    "identity": lambda x: x,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "gelu": gelu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
}


class Stack(nn.Module):
    """A tuple of layers. Parameters are `layer0`, `layer1`, ...: by place.

    So a stack of the first few layers applies with the parameters of the whole. Kernels
    are `[c, d]` (dense), `[*taps, c, d]` (conv) and `[*taps, d, c]` (transposed_conv:
    the kernel of the convolution whose adjoint it is). They start as `init` says.
    A norm's parameters are under `norm`; batch statistics in `batch_stats`.

    Attributes:
      layers: From input to output.
      dtype: What it computes in.
    """

    layers: tuple[Layer, ...]
    dtype: jnp.dtype = _FLOAT32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b *a"],
        train: bool = False,
        pooled: tuple[Pooled, ...] = (),
        kernels: Mapping[int, Array] | None = None,
    ) -> StackOutput:
        """Applies the layers.

        Args:
          x: `[b, d]`, `[b, s, c]` or `[b, h, w, c]`.
          train: Batch norm takes the batch's statistics and updates the running ones
            (`mutable=["batch_stats"]`); dropout draws from the stream `"dropout"`.
          pooled: What max_unpool undoes, from its end.
          kernels: By a layer's number: another's kernel in place of its own (tied).

        Raises:
          ValueError: A layer does not fit; it names the layer's number, kind and
            shapes.
        """
        shapes = [(p.indices.shape[1:], p.shape) for p in pooled]
        known = [((*before, after[-1]), after) for after, before in shapes]
        stack_shapes(self.layers, x.shape[1:], known)
        x = x.astype(self.dtype)
        left, hidden = list(pooled), []
        for number, layer in enumerate(self.layers):
            own = kernels[number] if kernels and number in kernels else None
            module = _Layer(layer, self.dtype, name=f"layer{number}")
            x = module(x, train, left, own)
            hidden.append(x)
        return StackOutput(x, tuple(left), tuple(hidden))


class _Layer(nn.Module):
    """One layer of a stack."""

    layer: Layer
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, train, pooled, kernel):
        layer = self.layer
        if layer.kind in WEIGHTED:
            x = self._weighted(x, kernel, train)
        else:
            x = _reshaped(layer, x, pooled)
        x = self._normed(x, train)
        if layer.activation == "leaky_relu":
            x = jax.nn.leaky_relu(x, layer.slope)
        else:
            x = ACTIVATIONS[layer.activation](x)
        if layer.dropout and train:
            x = nn.Dropout(layer.dropout, deterministic=False)(x)
        return x

    def _normed(self, x, train):
        norm = self.layer.norm
        if norm == "batch":
            return batch_norm(
                train,
                "norm",
                self.dtype,
                epsilon=_EPSILON,
                exact=True,
                scale_init=initialisation.scale_init(self.layer.init),
            )(x)
        if norm == "layer":
            # Flax's: ours has no forward mode, which Jacobians of codes need.
            return nn.LayerNorm(
                epsilon=_EPSILON,
                dtype=self.dtype,
                use_fast_variance=False,
                name="norm",
            )(x)
        return x

    def _weighted(self, x, kernel, train):
        """The kernel and the bias of a dense, conv or transposed_conv layer."""
        layer = self.layer
        taps: Shape = ()
        stride: Shape = ()
        transposed = layer.kind == "transposed_conv"
        if layer.kind != "dense":
            taps = per_axis(layer.taps, x.ndim - 2)
            stride = per_axis(layer.stride, x.ndim - 2)
        pair = (x.shape[-1], layer.width)
        shape = (*taps, *(pair[::-1] if transposed else pair))
        if kernel is None:
            init = initialisation.kernel_init(layer.init, shape, stride, transposed)
            kernel = self.param("kernel", init, shape)
        elif kernel.shape != shape:
            raise ValueError(
                f"{self.name} ({layer.kind}) needs a kernel of {shape}, was given one"
                f" of {kernel.shape}"
            )
        if layer.spectral:
            output = -2 if transposed else -1
            kernel = spectrally_normalised(self, kernel, train, output)
        y = _product(layer, x, jnp.asarray(kernel, self.dtype))
        if layer.bias:
            init = initialisation.bias_init(layer.init, math.prod(shape[:-1]))
            bias = self.param("bias", init, (layer.width,))
            y = y + jnp.asarray(bias, self.dtype)
        return y


def _product(layer: Layer, x: Array, kernel: Array) -> Array:
    if layer.kind == "dense":
        return jnp.matmul(x, kernel, precision=precision(x.dtype))
    settings: dict[str, Size] = {
        "stride": layer.stride,
        "padding": layer.padding,
        "dilation": layer.dilation,
    }
    if layer.kind == "conv":
        return convolution(x, kernel, **settings)
    return transposed_convolution(
        x, kernel, output_padding=layer.output_padding, **settings
    )


def _reshaped(layer: Layer, x: Array, pooled: list[Pooled]) -> Array:
    """What a layer without a kernel makes; poolings are put to `pooled` or taken."""
    if layer.kind == "max_pool":
        pooled.append(max_pool(x, layer.taps, layer.stride, layer.padding))
        return pooled[-1].values
    if layer.kind == "max_unpool":
        return max_unpool(x, pooled.pop())
    if layer.kind == "upsample":
        for axis, factor in enumerate(per_axis(layer.stride, x.ndim - 2), 1):
            x = jnp.repeat(x, factor, axis=axis)
        return x
    if layer.kind == "flatten":
        return x.reshape(len(x), -1)
    return x.reshape(len(x), *layer.shape)


__all__ = [
    "ACTIVATIONS",
    "Activation",
    "Layer",
    "Shape",
    "Stack",
    "StackOutput",
    "pooled_shapes",
    "stack_shapes",
]
