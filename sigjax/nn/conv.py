"""Convolutions of networks on `[b, h, w, c]`: depthwise, pointwise and ordinary ones.

A depthwise convolution does little arithmetic for what it reads. XLA hands it to a
library on GPU; on CPU it runs a plain loop that is an order of magnitude slower than
memory allows. There it is written as a sum of shifted products, which XLA fuses into
one pass, and its gradients by hand: see `depthwise`.
"""

import functools
from collections.abc import Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sigjax.nn.staging import written_out
from sigjax.typing import Array, Float

Method = Literal["auto", "shift", "grouped"]
Padding = tuple[tuple[int, int], tuple[int, int]]

SAME = ((1, 1), (1, 1))  # of a 3x3 kernel, whatever the stride
HE_INIT = nn.initializers.variance_scaling(2.0, "fan_in", "truncated_normal")
_LAYOUT = ("NHWC", "HWIO", "NHWC")
# Of the sums of a kernel's gradient: 4 MiB, about a core's share of the cache.
_SUMMED_VALUES = 2**20


def precision(dtype: jnp.dtype) -> jax.lax.Precision | None:
    """Full float32 products where float32 is asked for: accelerators default to less.

    Args:
      dtype: What activations are computed in.

    Returns:
      A precision for products, or None for the backend's own.
    """
    return jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None


def depthwise(
    x: Float[Array, "b h w c"],
    kernel: Float[Array, "i j c"],
    *,
    stride: int = 1,
    padding: Padding = SAME,
    method: Method = "auto",
) -> Float[Array, "b p q c"]:
    """Convolves each channel with its own kernel (cross-correlation, as usual).

    Args:
      x: `[b, h, w, c]`.
      kernel: `[i, j, c]` in the dtype of `x`.
      stride: Of both axes.
      padding: Zeros before and after, of both axes.
      method: `"shift"` (shifted products, gradients written out) and `"grouped"` (the
        backend's convolution) agree to rounding; `"auto"` is the former on CPU.

    Returns:
      `[b, p, q, c]` in the dtype of `x`.

    Raises:
      ValueError: The padded input is smaller than the kernel.
    """
    for size, pads, taps in zip(x.shape[1:3], padding, kernel.shape[:2], strict=True):
        if size + sum(pads) < taps:
            raise ValueError(
                f"a kernel of {kernel.shape[:2]} does not fit a map of"
                f" {x.shape[1:3]} with padding {padding}"
            )
    if method == "auto":
        method = "shift" if jax.default_backend() == "cpu" else "grouped"
    if method == "shift":
        return _shifted(x, kernel, stride, padding)
    return jax.lax.conv_general_dilated(
        x,
        kernel[:, :, None],
        (stride, stride),
        padding,
        dimension_numbers=_LAYOUT,
        feature_group_count=x.shape[-1],
        precision=precision(x.dtype),
    )


def _pad(x: Array, padding: Padding) -> Array:
    return jnp.pad(x, ((0, 0), *padding, (0, 0)))


def _taps(x: Array, shape: Sequence[int], out: Sequence[int], stride: int):
    """What each tap of a kernel of `shape` meets in padded `x`, row by row."""
    spans = [(size - 1) * stride + 1 for size in out]
    return [
        x[:, i : i + spans[0] : stride, j : j + spans[1] : stride]
        for i in range(shape[0])
        for j in range(shape[1])
    ]


def _product(kernel: Array, x: Array, *, stride: int, padding: Padding) -> Array:
    padded = _pad(x, padding)
    shape = kernel.shape[:2]
    out = [
        (size - taps) // stride + 1
        for size, taps in zip(padded.shape[1:3], shape, strict=True)
    ]
    parts = _taps(padded, shape, out, stride)
    weights = kernel.reshape(-1, kernel.shape[-1])
    total = parts[0] * weights[0]
    for part, weight in zip(parts[1:], weights[1:], strict=True):
        total = total + part * weight
    return total


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _shifted(x: Array, kernel: Array, stride: int, padding: Padding) -> Array:
    return _shifted_forward(x, kernel, stride, padding)[0]


def _shifted_forward(x, kernel, stride, padding):
    product = functools.partial(_product, stride=stride, padding=padding)
    return written_out(product, kernel, x, unknown=kernel), (x, kernel)


def _shifted_backward(stride, padding, saved, gradient):
    x, kernel = saved
    transposed = functools.partial(
        _input_gradient, stride=stride, padding=padding, shape=x.shape
    )
    return (
        written_out(transposed, kernel, gradient, unknown=kernel),
        _kernel_gradient(gradient, x, kernel, stride, padding),
    )


_shifted.defvjp(_shifted_forward, _shifted_backward)


def _kernel_gradient(gradient, x, kernel, stride, padding):
    """Sums of what each tap met times the gradient there.

    A sum over a whole map is one scalar loop per tap. So the loop over rows is written
    out, and all taps' sums stay in the cache as arrays `[b, q, c]` until the end:
    several times faster, and shorter sums lose fewer digits.
    """
    rows, columns = kernel.shape[:2]
    batch, height, width, channels = gradient.shape
    padded, span = _pad(x, padding), (width - 1) * stride + 1
    most = _SUMMED_VALUES // (rows * columns * width * channels)
    block = next((n for n in range(min(batch, most), 1, -1) if batch % n == 0), 1)
    # At least float32: half precision would lose what so many products add.
    wide = jnp.promote_types(x.dtype, jnp.float32)

    def add(step, sums):
        first, row = step // height * block, step % height
        here = jax.lax.dynamic_slice(
            gradient, (first, row, 0, 0), (block, 1, width, channels)
        )
        here = here[:, 0].astype(wide)
        met = jax.lax.dynamic_slice(
            padded,
            (first, row * stride, 0, 0),
            (block, rows, padded.shape[2], channels),
        ).astype(wide)
        return tuple(
            total + met[:, i, j : j + span : stride] * here
            for total, (i, j) in zip(sums, np.ndindex(rows, columns), strict=True)
        )

    zeros = jnp.zeros((block, width, channels), wide)
    steps = batch // block * height
    sums = jax.lax.fori_loop(0, steps, add, (zeros,) * (rows * columns))
    total = jnp.stack([each.sum(axis=(0, 1)) for each in sums])
    return total.reshape(kernel.shape).astype(kernel.dtype)


def _phases(taps: int, stride: int) -> list[list[tuple[int, int]]]:
    """Pairs (tap, shift) that reach the padded positions `stride * q + phase`."""
    return [
        [(tap, tap // stride) for tap in range(phase, taps, stride)]
        for phase in range(stride)
    ]


def _input_gradient(kernel, gradient, *, stride, padding, shape):
    """The transposed product, position by position modulo the stride.

    Padded position `stride * q + phase` meets output `q - shift` through the tap
    `stride * shift + phase` alone. So each phase is a small product without stride,
    where scattering every tap would write the map once for each.
    """
    rows, columns = kernel.shape[:2]
    least = ((rows - 1) // stride, (columns - 1) // stride)
    sizes = [
        -(-(size + sum(pads)) // stride)
        for size, pads in zip(shape[1:3], padding, strict=True)
    ]
    wide = _pad(
        gradient,
        (
            (least[0], max(sizes[0] - gradient.shape[1], 0)),
            (least[1], max(sizes[1] - gradient.shape[2], 0)),
        ),
    )

    def phase(row_taps, column_taps):
        total = jnp.zeros((), gradient.dtype)
        for row, down in row_taps:
            for column, right in column_taps:
                i, j = least[0] - down, least[1] - right
                part = wide[:, i : i + sizes[0], j : j + sizes[1]]
                total = total + part * kernel[row, column]
        whole = (shape[0], *sizes, shape[3])
        return jnp.broadcast_to(total, whole)  # a phase without taps is 0

    found = [
        [phase(r, c) for c in _phases(columns, stride)] for r in _phases(rows, stride)
    ]
    if stride == 1:
        padded = found[0][0]
    else:
        padded = jnp.stack([jnp.stack(row, axis=3) for row in found], axis=2)
        padded = padded.reshape(
            shape[0], stride * sizes[0], stride * sizes[1], shape[3]
        )
    (top, _), (left, _) = padding
    return padded[:, top : top + shape[1], left : left + shape[2]]


class Depthwise(nn.Module):
    """`depthwise` with its kernel, without bias.

    Attributes:
      taps: Size of the kernel, of both axes.
      stride: Of both axes.
      padding: Zeros before and after, of both axes.
      dtype: What it computes in.
    """

    taps: int = 3
    stride: int = 1
    padding: Padding = SAME
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b p q c"]:
        """`[b, h, w, c]` to `[b, p, q, c]`."""
        # Each channel sees its taps alone: a fan-in of 9 for 3x3.
        shape = (self.taps, self.taps, 1, x.shape[-1])
        kernel = self.param("kernel", HE_INIT, shape)
        return depthwise(
            x.astype(self.dtype),
            kernel[:, :, 0].astype(self.dtype),
            stride=self.stride,
            padding=self.padding,
        )


class GlobalDepthwise(nn.Module):
    """GDConv: a depthwise convolution whose kernel is the whole map, without bias.

    Chen et al. 2018 (MobileFaceNets): unlike an average, it weighs positions.

    Attributes:
      dtype: What it computes in.
    """

    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b c"]:
        """`[b, h, w, c]` to `[b, c]`; `h` and `w` are those of initialisation."""
        init = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
        kernel = self.param("kernel", init, (*x.shape[1:3], 1, x.shape[3]))
        return jnp.einsum(
            "bhwc,hwc->bc",
            x.astype(self.dtype),
            kernel[:, :, 0].astype(self.dtype),
            precision=precision(self.dtype),
        )


class SqueezeExcitation(nn.Module):
    """Scales channels by a gate of their means; Hu et al. 2018 (arXiv 1709.01507).

    Attributes:
      ratio: Channels over hidden units; none of its two layers has a bias.
      dtype: What it computes in.
    """

    ratio: int = 16
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, x: Float[Array, "b *a c"]) -> Float[Array, "b *a c"]:
        """`[b, ..., c]` to `[b, ..., c]`."""
        between = tuple(range(1, x.ndim - 1))
        hidden = max(x.shape[-1] // self.ratio, 1)
        gate = x.astype(jnp.float32).mean(axis=between, keepdims=True)
        gate = nn.relu(pointwise(hidden, "squeeze", self.dtype)(gate))
        gate = nn.sigmoid(pointwise(x.shape[-1], "excite", self.dtype)(gate))
        return x * gate.astype(x.dtype)


def convolution(
    width: int,
    taps: int,
    name: str,
    dtype: jnp.dtype,
    *,
    stride: int = 1,
    padding: Padding = SAME,
) -> nn.Conv:
    """An ordinary square convolution without bias; a norm follows it."""
    return nn.Conv(
        width,
        (taps, taps),
        (stride, stride),
        padding=padding,
        use_bias=False,
        kernel_init=HE_INIT,
        dtype=dtype,
        precision=precision(dtype),
        name=name,
    )


@jax.custom_vjp
def product_of_rows(x: Float[Array, "*a k"], kernel: Float[Array, "k c"]) -> Array:
    """`x @ kernel`, `[..., c]`; its gradients are what XLA is fast at on CPU.

    Reverse mode only.
    """
    return jnp.matmul(x, kernel, precision=precision(x.dtype))


def _product_of_rows_forward(x, kernel):
    return product_of_rows(x, kernel), (x, kernel)


def _product_of_rows_backward(saved, gradient):
    # The usual gradient of the kernel is the transpose of a product, for which XLA
    # transposes whole maps on CPU, together with the norm's gradient before it: the
    # slowest loops of a step. This order it takes as it is.
    x, kernel = jax.lax.optimization_barrier(saved)
    gradient = jax.lax.optimization_barrier(gradient)
    rows = (x.reshape(-1, x.shape[-1]), gradient.reshape(-1, gradient.shape[-1]))
    level = precision(x.dtype)
    return (
        jnp.matmul(gradient, kernel.T, precision=level),
        jnp.einsum("nk,nc->kc", *rows, precision=level),
    )


product_of_rows.defvjp(_product_of_rows_forward, _product_of_rows_backward)


class Pointwise(nn.Module):
    """A 1x1 convolution without bias: a matrix product on the last axis.

    Attributes:
      width: Of the output.
      dtype: What it computes in.
    """

    width: int
    dtype: jnp.dtype = jnp.dtype("float32")

    @nn.compact
    def __call__(self, x: Float[Array, "*a c"]) -> Float[Array, "*a d"]:
        """`[..., c]` to `[..., width]`."""
        kernel = self.param("kernel", HE_INIT, (x.shape[-1], self.width))
        x, kernel = x.astype(self.dtype), kernel.astype(self.dtype)
        if jax.default_backend() != "cpu":
            return jnp.matmul(x, kernel, precision=precision(self.dtype))
        return product_of_rows(x, kernel)


def pointwise(width: int, name: str, dtype: jnp.dtype) -> Pointwise:
    """`Pointwise` under a name."""
    return Pointwise(width, dtype, name=name)
