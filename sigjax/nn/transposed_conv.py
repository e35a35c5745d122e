"""Convolutions and their adjoints on `[b, s, c]` and `[b, h, w, c]`.

A transposed convolution is the adjoint of a convolution in its input: for one kernel
`<K x, y> = <x, K^T y>`. Sizes are PyTorch's: from n values on an axis it makes
`(n - 1) stride - 2 padding + dilation (taps - 1) + output padding + 1`. Output padding
chooses among the sizes that the convolution would bring down to n (Dumoulin & Visin
2016, arXiv 1603.07285, Sect. 4).
"""

import functools

import jax
import jax.numpy as jnp

from sigjax.nn.conv import precision
from sigjax.typing import Array, Float

Size = int | tuple[int, ...]

_LAYOUTS = {3: ("NHC", "HIO", "NHC"), 4: ("NHWC", "HWIO", "NHWC")}


def per_axis(value: Size, axes: int, what: str = "size") -> tuple[int, ...]:
    """One number for each spatial axis.

    Args:
      value: One for all axes, or a tuple with one each.
      axes: How many there are.
      what: Its name, for messages.

    Raises:
      ValueError: A tuple of another length.
    """
    if isinstance(value, int):
        return (value,) * axes
    if len(value) != axes:
        raise ValueError(f"{what} {value} must have one number per axis, {axes} in all")
    return tuple(value)


def convolved_size(
    size: int, taps: int, stride: int = 1, padding: int = 0, dilation: int = 1
) -> int:
    """Values on an axis after a convolution or a pooling; below 1 if it does not fit.

    Args:
      size: Values on the axis before.
      taps: Of the kernel or window.
      stride: Of the kernel or window.
      padding: Values added at both ends.
      dilation: Distance of neighbouring taps.
    """
    return (size + 2 * padding - dilation * (taps - 1) - 1) // stride + 1


def transposed_size(
    size: int,
    taps: int,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> int:
    """Values on an axis after a transposed convolution; below 1 if nothing is left.

    Args:
      size: Values on the axis before.
      taps: Of the kernel.
      stride: Distance of what neighbouring inputs reach.
      padding: Values cut off at both ends.
      output_padding: Values that are kept after all at the far end.
      dilation: Distance of neighbouring taps.
    """
    spread = (size - 1) * stride + dilation * (taps - 1) + 1
    return spread - 2 * padding + output_padding


def convolution(
    x: Float[Array, "b *a c"],
    kernel: Float[Array, "*k _ d"],
    *,
    stride: Size = 1,
    padding: Size = 0,
    dilation: Size = 1,
) -> Float[Array, "b *o d"]:
    """Cross-correlation with a kernel, as networks have it.

    Args:
      x: `[b, s, c]` or `[b, h, w, c]`.
      kernel: `[*taps, c, d]` in the dtype of `x`.
      stride: Of the kernel, for all axes or one each.
      padding: Zeros at both ends of every axis.
      dilation: Distance of neighbouring taps.

    Returns:
      `[b, *o, d]` with the sizes of `convolved_size`, in the dtype of `x`.

    Raises:
      ValueError: The ranks do not fit, or the kernel is larger than the padded input.
    """
    axes = _axes(x, kernel, x.shape[-1], kernel.shape[-2])
    stride = per_axis(stride, axes, "stride")
    padding = per_axis(padding, axes, "padding")
    dilation = per_axis(dilation, axes, "dilation")
    sizes = zip(x.shape[1:-1], kernel.shape, stride, padding, dilation, strict=False)
    if min(convolved_size(*each) for each in sizes) < 1:
        raise ValueError(
            f"a kernel of {kernel.shape[:axes]} with dilation {dilation} does not fit"
            f" {x.shape[1:-1]} with padding {padding}"
        )
    return jax.lax.conv_general_dilated(
        x,
        kernel,
        stride,
        [(each, each) for each in padding],
        rhs_dilation=dilation,
        dimension_numbers=_LAYOUTS[x.ndim],
        precision=precision(x.dtype),
    )


def transposed_convolution(
    x: Float[Array, "b *a c"],
    kernel: Float[Array, "*k d _"],
    *,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
) -> Float[Array, "b *o d"]:
    """The adjoint of `convolution` with the same kernel, which took d channels to c.

    Reverse mode only, but where the kernel is no larger than the stride.

    Args:
      x: `[b, s, c]` or `[b, h, w, c]`.
      kernel: `[*taps, d, c]` in the dtype of `x`: channels out before channels in.
      stride: Of the convolution: neighbouring inputs reach places that far apart.
      padding: Of the convolution: values cut off at both ends of every axis.
      output_padding: Values kept after all at the far end of every axis.
      dilation: Distance of neighbouring taps.

    Returns:
      `[b, *o, d]` with the sizes of `transposed_size`, in the dtype of `x`.

    Raises:
      ValueError: The ranks do not fit, nothing would be left, or the output padding is
        neither smaller than the stride nor smaller than the dilation.
    """
    axes = _axes(x, kernel, x.shape[-1], kernel.shape[-1])
    stride = per_axis(stride, axes, "stride")
    padding = per_axis(padding, axes, "padding")
    output_padding = per_axis(output_padding, axes, "output padding")
    dilation = per_axis(dilation, axes, "dilation")
    check_output_padding(output_padding, stride, dilation)
    settings = (stride, padding, output_padding, dilation)
    sizes = zip(x.shape[1:-1], kernel.shape, *settings, strict=False)
    if min(transposed_size(*each) for each in sizes) < 1:
        raise ValueError(
            f"a transposed convolution of {x.shape[1:-1]} by {kernel.shape[:axes]} has"
            f" nothing left with stride {stride} and padding {padding}"
        )
    reach = zip(kernel.shape, stride, dilation, strict=False)
    if all(apart * (taps - 1) < step for taps, step, apart in reach):
        return _apart(x, kernel, *settings)
    return _transposed(x, kernel, *settings)


def _apart(x, kernel, stride, padding, output_padding, dilation):
    """Where no two inputs reach one place: a product, then a matter of order."""
    axes = x.ndim - 2
    edges, ends = [], []
    each = zip(
        x.shape[1:],
        kernel.shape,
        stride,
        padding,
        output_padding,
        dilation,
        strict=False,
    )
    for size, taps, step, pad, more, apart in each:
        edges.append((0, step - apart * (taps - 1) - 1, apart - 1))
        out = transposed_size(size, taps, step, pad, more, apart)
        ends.append((-pad, out + pad - size * step, 0))
    zero, whole = jnp.zeros((), x.dtype), (0, 0, 0)
    cell = jax.lax.pad(kernel, zero, [*edges, whole, whole])
    y = jnp.matmul(x, cell.reshape(-1, x.shape[-1]).T, precision=precision(x.dtype))
    y = y.reshape(*x.shape[:-1], *cell.shape[:-1])
    # Each place's cell next to the place.
    order = [number for axis in range(axes) for number in (1 + axis, 1 + axes + axis)]
    y = y.transpose(0, *order, y.ndim - 1)
    sizes = [n * step for n, step in zip(x.shape[1:-1], stride, strict=True)]
    y = y.reshape(len(x), *sizes, cell.shape[-2])
    return jax.lax.pad(y, zero, [whole, *ends, whole])


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _transposed(x, kernel, stride, padding, output_padding, dilation):
    axes = x.ndim - 2
    flipped = jnp.flip(kernel, tuple(range(axes))).swapaxes(-1, -2)
    ends = []
    each = zip(kernel.shape, padding, output_padding, dilation, strict=False)
    for taps, pad, more, apart in each:
        reach = apart * (taps - 1)
        ends.append((reach - pad, reach - pad + more))
    return jax.lax.conv_general_dilated(
        x,
        flipped,
        (1,) * axes,
        ends,
        lhs_dilation=stride,
        rhs_dilation=dilation,
        dimension_numbers=_LAYOUTS[x.ndim],
        precision=precision(x.dtype),
    )


def _transposed_forward(x, kernel, *settings):
    return _transposed(x, kernel, *settings), (x, kernel)


def _transposed_backward(stride, padding, output_padding, dilation, saved, gradient):
    # <K^T x, g> = <x, K g>: both gradients are a plain convolution's. What JAX derives
    # for the kernel slides one whole map over another that is mostly zeros: one to two
    # orders of magnitude slower on CPU, and minutes to compile.
    del output_padding
    x, kernel = saved
    plain = functools.partial(
        convolution, gradient, stride=stride, padding=padding, dilation=dilation
    )
    # The output padding can leave room for one more step, which met no x.
    found, pull = jax.vjp(plain, kernel)
    extra = [n - m for n, m in zip(found.shape, x.shape, strict=True)]
    wide = jnp.pad(x, [(0, each) for each in extra]) if any(extra) else x
    found = found[tuple(slice(0, n) for n in x.shape)]
    return found, pull(wide)[0]


_transposed.defvjp(_transposed_forward, _transposed_backward)


def check_output_padding(
    output_padding: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> None:
    """ValueError where it is neither below the stride nor below the dilation."""
    for more, step, apart in zip(output_padding, stride, dilation, strict=True):
        if more >= max(step, apart):
            raise ValueError(
                f"output padding {output_padding} must be smaller than the stride"
                f" {stride} or the dilation {dilation}"
            )


def check_pool_padding(padding: tuple[int, ...], window: tuple[int, ...]) -> None:
    """ValueError where a pooling's padding is more than half its window."""
    if any(2 * pad > size for pad, size in zip(padding, window, strict=True)):
        raise ValueError(f"padding {padding} is more than half of window {window}")


def _axes(x: Array, kernel: Array, channels: int, taken: int) -> int:
    if x.ndim not in _LAYOUTS or kernel.ndim != x.ndim or channels != taken:
        raise ValueError(
            f"an input of {x.shape} and a kernel of {kernel.shape} do not fit: inputs"
            " are [b, s, c] or [b, h, w, c], kernels have their taps before two axes"
            " of channels"
        )
    return x.ndim - 2
