"""What layers start from: kernels, biases and the scales of batch norms.

  "torch"       uniform within `1 / sqrt(fan-in)`, biases too: PyTorch's default
                (`sigjax.nn.torch_init`). It counts the fan-in of a transposed
                convolution as that of the convolution whose adjoint it is.
  "glorot"      uniform of variance `2 / (fan-in + fan-out)`: Glorot and Bengio 2010
                (AISTATS), equation 16; for tanh and the like. Keras's default.
  "he"          normal of variance `2 / fan-in`: He et al. 2015 (arXiv 1502.01852),
                equation 10; for ReLU.
  "orthogonal"  orthonormal rows or columns: Saxe et al. 2014 (arXiv 1312.6120); for
                deep linear networks. A kernel of `[*taps, c, d]` is `[taps * c, d]`.
  "dcgan"       normal of deviation 0.02 whatever the size: Radford et al. 2016 (arXiv
                1511.06434), Sect. 4; their code also draws the scales of batch norms,
                around 1.

Biases of all but "torch" start at 0, and so do those of norms. The fan-in of "glorot"
and "he" counts what an output is a sum of, and the fan-out what an input reaches; of a
convolution with a stride s on an axis, an input reaches 1 / s of the taps, and the
other way round of a transposed one.
"""

import math
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from sigjax.nn import torch_init

Init = Literal["torch", "glorot", "he", "orthogonal", "dcgan"]

_DCGAN_SD = 0.02


def kernel_init(
    name: Init,
    shape: tuple[int, ...],
    stride: tuple[int, ...] = (),
    transposed: bool = False,
) -> Initializer:
    """Of a kernel.

    Args:
      name: See the module docstring.
      shape: `[*taps, c, d]`, or, of a transposed convolution, `[*taps, d, c]`.
      stride: One for each axis of taps; none of a dense layer.
      transposed: Whether it is one of a transposed convolution.
    """
    if name == "torch":
        return torch_init.kernel_init
    if name == "dcgan":
        return nn.initializers.normal(_DCGAN_SD)
    if name == "orthogonal":
        return nn.initializers.orthogonal(column_axis=-2 if transposed else -1)
    fan_in, fan_out = fans(shape, stride, transposed)
    if name == "he":
        return nn.initializers.normal(math.sqrt(2 / fan_in))
    bound = math.sqrt(6 / (fan_in + fan_out))
    return _uniform(bound)


def bias_init(name: Init, fan_in: int) -> Initializer:
    """Of a bias whose kernel has this fan-in, as PyTorch counts it."""
    return torch_init.bias_init(fan_in) if name == "torch" else nn.initializers.zeros


def scale_init(name: Init) -> Initializer:
    """Of the scale of a batch norm."""
    if name != "dcgan":
        return nn.initializers.ones
    return _shifted(nn.initializers.normal(_DCGAN_SD), 1.0)


def fans(
    shape: tuple[int, ...], stride: tuple[int, ...] = (), transposed: bool = False
) -> tuple[float, float]:
    """What an output is a sum of, and how many outputs an input reaches.

    Args:
      shape: As of `kernel_init`.
      stride: Likewise.
      transposed: Likewise.
    """
    taps, steps = float(math.prod(shape[:-2])), math.prod(stride)
    sums, reached = taps * shape[-2], taps * shape[-1] / steps
    return (reached, sums) if transposed else (sums, reached)


def _uniform(bound: float) -> Initializer:
    """Uniform in [-bound, bound)."""
    return _shifted(nn.initializers.uniform(2 * bound), -bound)


def _shifted(drawn: Initializer, by: float) -> Initializer:
    def init(key, shape, dtype=None, out_sharding=None):
        found = drawn(key, shape, dtype, out_sharding)
        return found + jnp.asarray(by, found.dtype)

    return init
