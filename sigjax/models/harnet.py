"""HARNet: a 1-D residual network on 10-s patches of wrist accelerometry.

The public network of Yuan et al. 2024 (npj Digital Medicine 7:91, arXiv 2206.02909),
pretrained there on the UK Biobank. `sigjax.convert.harnet` reads its weights.

Each stage is a convolution, pre-activation residual blocks, batch norm, ReLU and a
fixed blur that downsamples:

  stage   1       2       3       4       5
  width   64      128     256     512     1024
  blocks  2       2       2       2       0
  length  150     75      15      3       1       after the blur, from 300 samples

Convolutions are 5 wide, without bias, and wrap around: the patch is taken as a period.

The network has no input normalisation: samples go in as g. Its authors clip to +-3 g
for data sets with spikes, before the network; so does nothing here. They bring windows
of another rate to 300 samples by linear interpolation: see `HarNetConfig.resize`.

In training, batch norm updates its running variance with the batch's biased variance
(Flax's convention; PyTorch's is n / (n - 1) times that).
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from sigjax.nn.precision import ComputeDtype, compute_dtype
from sigjax.typing import Array, Bool, Float

KERNEL = 5  # of all convolutions, in samples
_KERNEL_INIT = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


@dataclasses.dataclass(frozen=True, kw_only=True)
class HarNetConfig:
    """Architecture; the defaults are HARNet10, at 30 Hz.

    Attributes:
      channels: Axes, in device order (x y z).
      samples: Samples per patch.
      widths: Channels of each stage; the last is the width of the features.
      blocks: Residual blocks of each stage.
      factors: By how much each stage's blur downsamples.
      orders: How often each blur's box is convolved with itself: 0 averages, 1 is a
        triangle, 2 is quadratic.
      resize: Take patches of any length and stretch them to `samples` by linear
        interpolation, first and last sample kept.
      dtype: `"auto"` computes in bfloat16 on accelerators, float32 on CPU.
        `"float32"` is full float32 on accelerators too, without TF32.
    """

    channels: int = 3
    samples: int = 300
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)
    blocks: tuple[int, ...] = (2, 2, 2, 2, 0)
    factors: tuple[int, ...] = (2, 2, 5, 5, 3)
    orders: tuple[int, ...] = (2, 2, 1, 1, 1)
    resize: bool = False
    dtype: ComputeDtype = "auto"

    def __post_init__(self):
        """Refuses stages that do not fit together."""
        per_stage = (self.widths, self.blocks, self.factors, self.orders)
        if not self.widths or len({len(each) for each in per_stage}) != 1:
            raise ValueError(
                "widths, blocks, factors and orders need one entry per stage, got"
                f" {', '.join(str(len(each)) for each in per_stage)}"
            )
        length = self.samples
        stages = zip(self.factors, self.orders, strict=True)
        for stage, (factor, order) in enumerate(stages, 1):
            if order * (factor - 1) % 2:
                raise ValueError(
                    f"stage {stage}: factor {factor} with order {order} has no"
                    " symmetric padding; order * (factor - 1) must be even"
                )
            length = _blurred_length(length, factor, order)
        if length != 1:
            raise ValueError(
                f"factors={self.factors} bring {self.samples} samples to {length}, not"
                " to 1"
            )

    @property
    def width(self) -> int:
        """Width of the features."""
        return self.widths[-1]


class HarNet(nn.Module):
    """Features of patches; see the module docstring.

    Parameters are float32; running means and variances are in `batch_stats`.

    Attributes:
      config: The architecture.
    """

    config: HarNetConfig

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b s c"],
        train: bool = False,
        mask: Bool[Array, "b"] | None = None,
    ) -> Float[Array, "b d"]:
        """Features of each patch by itself.

        Args:
          x: `[b, s, c]` in g at 30 Hz; `s` is `config.samples` unless `config.resize`.
          train: Normalise with the statistics of this batch and update the running
            ones (`mutable=["batch_stats"]`).
          mask: Bool `[b]`, false for padding: such patches stay out of the batch's
            statistics, and their features mean nothing. All count without it.

        Returns:
          Float32 `[b, widths[-1]]`.

        Raises:
          ValueError: If `s` or `c` is not what the network takes.
        """
        c = self.config
        x = _fit(x, c)
        dtype = compute_dtype(c.dtype)
        x = x.astype(dtype)
        if mask is not None:
            mask = mask[:, None, None]
        stages = zip(c.widths, c.blocks, c.factors, c.orders, strict=True)
        for i, (width, blocks, factor, order) in enumerate(stages, 1):
            stage = _Stage(width, blocks, factor, order, dtype, name=f"stage{i}")
            x = stage(x, train, mask)
        return x[:, 0].astype(jnp.float32)


class _Stage(nn.Module):
    width: int
    blocks: int
    factor: int
    order: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, train, mask):
        x = _convolution(self.width, self.dtype, "conv")(x)
        for i in range(1, self.blocks + 1):
            x = _Block(self.width, self.dtype, name=f"block{i}")(x, train, mask)
        x = nn.relu(_norm(train, self.dtype, "norm")(x, mask=mask))
        return blur(x, self.factor, self.order)


class _Block(nn.Module):
    width: int
    dtype: jnp.dtype

    @nn.compact
    def __call__(self, x, train, mask):
        h = nn.relu(_norm(train, self.dtype, "norm1")(x, mask=mask))
        h = _convolution(self.width, self.dtype, "conv1")(h)
        h = nn.relu(_norm(train, self.dtype, "norm2")(h, mask=mask))
        return x + _convolution(self.width, self.dtype, "conv2")(h)


def _convolution(width: int, dtype: jnp.dtype, name: str) -> nn.Conv:
    return nn.Conv(
        width,
        (KERNEL,),
        padding="CIRCULAR",
        use_bias=False,
        kernel_init=_KERNEL_INIT,
        dtype=dtype,
        # Elsewhere than on CPU the default computes float32 products in fewer bits.
        precision=jax.lax.Precision.HIGHEST if dtype == jnp.float32 else None,
        name=name,
    )


def _norm(train: bool, dtype: jnp.dtype, name: str) -> nn.BatchNorm:
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=1e-5,
        dtype=dtype,
        # E[x^2] - E[x]^2 loses digits: gravity is a large mean.
        use_fast_variance=False,
        name=name,
    )


def blur_kernel(factor: int, order: int) -> np.ndarray:
    """Float64 `[(order + 1) (factor - 1) + 1]`: a box, `order` times convolved by it.

    Its sum is 1. It is a constant of the network, no parameter.
    """
    kernel = np.ones(1)
    for _ in range(order + 1):
        kernel = np.convolve(kernel, np.full(factor, 1 / factor))
    return kernel


def blur(x: Float[Array, "b s c"], factor: int, order: int) -> Float[Array, "b n c"]:
    """Downsamples each channel through `blur_kernel`, zeros beyond the ends.

    Args:
      x: `[b, s, c]`.
      factor: Every `factor`-th output is kept.
      order: Of the kernel.

    Returns:
      `[b, n, c]` in the dtype of `x`, summed in float32.
    """
    kernel, pad = blur_kernel(factor, order), order * (factor - 1) // 2
    kept = _blurred_length(x.shape[1], factor, order)
    padded = jnp.pad(x, ((0, 0), (pad, pad), (0, 0))).astype(jnp.float32)
    # A sum of strided slices, which XLA fuses; a convolution with one group per
    # channel is far slower on CPU.
    last = (kept - 1) * factor + 1
    parts = [
        float(weight) * padded[:, i : i + last : factor]
        for i, weight in enumerate(kernel)
    ]
    return sum(parts[1:], parts[0]).astype(x.dtype)


def _blurred_length(samples: int, factor: int, order: int) -> int:
    kernel = (order + 1) * (factor - 1) + 1
    return (samples + order * (factor - 1) - kernel) // factor + 1


def _fit(x: Float[Array, "b s c"], config: HarNetConfig) -> Float[Array, "b samples c"]:
    _, samples, channels = x.shape
    if channels != config.channels:
        raise ValueError(
            f"HARNet takes {config.channels} channels, last in the shape, got"
            f" {tuple(x.shape)}"
        )
    if samples == config.samples:
        return x
    if not config.resize:
        raise ValueError(
            f"HARNet takes patches of {config.samples} samples, got {samples}: resample"
            " the signal, or set resize=True to stretch each patch"
        )
    return stretch(x, config.samples)


def stretch(x: Float[Array, "b s c"], samples: int) -> Float[Array, "b n c"]:
    """Linear interpolation to `samples`, first and last sample kept.

    No filter precedes it, so a shortened patch may alias; thus were windows of 100 Hz
    brought to the network's 30 Hz.

    Args:
      x: `[b, s, c]`.
      samples: New length `n`.

    Returns:
      `[b, n, c]`.
    """
    # Where to read is known while tracing, so float64 costs nothing.
    at = np.linspace(0, x.shape[1] - 1, samples)
    before = np.floor(at).astype(int)
    after = np.minimum(before + 1, x.shape[1] - 1)
    weight = jnp.asarray((at - before)[:, None], x.dtype)
    return x[:, before] * (1 - weight) + x[:, after] * weight
