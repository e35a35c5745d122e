"""DATAR's backbone: the pyramid of DAT or DAT++ on a spectrogram.

Zhu, "DATAR: Deformable Audio Transformer for Audio Event Recognition", on Xia et al.
2022 (arXiv 2201.00520, "v1") or Xia et al. 2023 (arXiv 2309.01430, "pp"). A spectrogram
is a map of `[bands, frames]`; stages work at a quarter, an eighth, a 16th and a 32nd.

  variant  stem                 block                                       MLP
  v1       4x4, stride 4        x + attention, x + MLP                      plain
  pp       two 3x3, stride 2    x + depthwise 3x3, x + attention, x + MLP   + depthwise

Attention of a block is one of `L` windows of 7, `S` windows shifted by 4, `N`
neighbourhoods of 7x7, `D` deformable (`sigjax.nn.deformable`).

Parameters of the public sizes at 224 x 224 with three channels and 1000 classes: 28.3,
49.7 and 87.9 million (v1), 24.0, 53.1 and 93.7 million (pp), tiny, small and base.
`sigjax.convert.dat` reads their weights.
"""

import dataclasses
from typing import Any, Literal, get_args

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from sigjax.models.dat_block import Block, layer_norm
from sigjax.nn.conv import precision
from sigjax.nn.deformable import Convention, DeformableAttentionConfig, Design
from sigjax.nn.gelu import gelu
from sigjax.nn.input_adaptor import InputAdaptor, Noise, add_noise
from sigjax.nn.precision import ComputeDtype, compute_dtype
from sigjax.nn.torch_init import bias_init, kernel_init
from sigjax.typing import Array, Float

Variant = Literal["v1", "pp"]
Size = Literal["tiny", "small", "base"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DatConfig:
    """Architecture; the defaults are those of v1-T under DATAR's own convention.

    Sequences have one entry per stage. `dat_size` gives the public sizes.

    Attributes:
      variant: Stem, blocks and MLPs: see the module docstring.
      widths: Channels.
      blocks: One letter per block: `L`, `S`, `N` or `D`.
      heads: Of every attention.
      groups: Of deformable attention; unused where a stage has none.
      strides: Of its keys' grid.
      taps: Of its offset network.
      convention: Of points and offsets (`sigjax.nn.deformable.conventions`). Weights of
        the public v1 need `"v1"`, those of ++ `"pp"`.
      offset_norm: Whether offset networks have a layer norm; public weights have it.
      offset_factor: How far offsets reach (`conventions.move`).
      deformable: False is the ablation "without deformable": in every `D`, offsets stay
        0 and the offset network is left out. Such a block is attention of all queries
        to the regular grid of keys under the same position bias, and every other
        parameter is as before. (The paper does not say what it put there.)
      window: Of `L` and `S`.
      shift: Of `S`.
      neighbourhood: Of `N`.
      mlp_ratio: Hidden width of MLPs over `widths`.
      drop_path: Largest rate of stochastic depth; it rises linearly from 0.
      adaptor_strength: Lambda of the input adaptor; 0 for none.
      adaptor_taps: Size of its kernel.
      input_noise: What the input gets in training in the adaptor's place (table 4).
      noise_scale: Of `add_noise`.
      design: Of position biases.
      dtype: `"float32"` is full float32 on accelerators too, without TF32; `"auto"`
        computes in bfloat16 there. `"float64"`, for checks, needs `jax_enable_x64`.
    """

    variant: Variant = "v1"
    widths: tuple[int, ...] = (96, 192, 384, 768)
    blocks: tuple[str, ...] = ("LS", "LS", "LDLDLD", "LD")
    heads: tuple[int, ...] = (3, 6, 12, 24)
    groups: tuple[int, ...] = (1, 1, 3, 6)
    strides: tuple[int, ...] = (1, 1, 1, 1)
    taps: tuple[int, ...] = (9, 7, 5, 3)
    convention: Convention = "text"
    offset_norm: bool = True
    offset_factor: float = 2.0
    deformable: bool = True
    window: int = 7
    shift: int = 4
    neighbourhood: int = 7
    mlp_ratio: int = 4
    drop_path: float = 0.2
    adaptor_strength: float = 0.0
    adaptor_taps: int = 3
    input_noise: Noise = "none"
    noise_scale: float = 0.005
    design: Design = "auto"
    dtype: ComputeDtype | Literal["float64"] = "auto"

    def __post_init__(self):
        """Refuses stages that do not fit together."""
        if self.variant not in get_args(Variant):
            raise ValueError(f"no variant {self.variant!r}: v1 or pp")
        names = ("widths", "blocks", "heads", "groups", "strides", "taps")
        counts = {name: len(getattr(self, name)) for name in names}
        if len(set(counts.values())) != 1 or not self.widths:
            raise ValueError(f"these need one entry per stage, got {counts}")
        strange = set("".join(self.blocks)) - set("LSND")
        if strange or not all(self.blocks):
            raise ValueError(f"blocks are strings of L, S, N and D, got {self.blocks}")
        for width, heads in zip(self.widths, self.heads, strict=True):
            if width % heads:
                raise ValueError(f"{heads} heads do not divide a width of {width}")
        if self.variant == "pp" and self.widths[0] % 2:
            raise ValueError(f"the stem of pp halves the width, got {self.widths[0]}")
        if self.input_noise not in get_args(Noise):
            raise ValueError(f"no input_noise {self.input_noise!r}")
        for stage, letters in enumerate(self.blocks):
            if "D" in letters:
                self.attention(stage)

    @property
    def width(self) -> int:
        """Width of the features."""
        return self.widths[-1]

    @property
    def drop_rates(self) -> tuple[tuple[float, ...], ...]:
        """Rates of stochastic depth of each stage's blocks."""
        counts = [len(letters) for letters in self.blocks]
        rates = np.linspace(0, self.drop_path, sum(counts))
        parts = np.split(rates, np.cumsum(counts)[:-1])
        return tuple(tuple(float(rate) for rate in part) for part in parts)

    def attention(self, stage: int) -> DeformableAttentionConfig:
        """The deformable attention of a stage (from 0)."""
        return DeformableAttentionConfig(
            heads=self.heads[stage],
            groups=self.groups[stage],
            convention=self.convention,
            stride=self.strides[stage],
            taps=self.taps[stage],
            offset_norm=self.offset_norm,
            offset_factor=self.offset_factor,
            deformable=self.deformable,
            design=self.design,
        )


# Of the first stage: width, heads and groups; then blocks of the third, and drop path.
_V1 = {
    "tiny": (96, 3, 3, 6, 0.2),
    "small": (96, 3, 3, 18, 0.3),
    "base": (128, 4, 4, 18, 0.5),
}
_PP = {
    "tiny": (64, 2, (1, 2, 4, 8), 0.2),
    "small": (96, 3, (1, 2, 3, 6), 0.4),
    "base": (128, 4, (2, 4, 8, 16), 0.7),
}


def dat_size(variant: Variant, size: Size, **changes: Any) -> DatConfig:
    """A public size, with the convention that its weights were trained under.

    Args:
      variant: `"v1"` or `"pp"`.
      size: `"tiny"`, `"small"` or `"base"`.
      **changes: Other fields, or other values: `convention="text"` for DATAR's own.

    Raises:
      ValueError: There is no such size.
    """
    sizes = {"v1": _V1, "pp": _PP}
    if size not in sizes.get(variant, ()):
        raise ValueError(f"no size {variant!r} {size!r}: v1 or pp; {', '.join(_V1)}")
    if variant == "v1":
        width, heads, groups, third, drop_path = _V1[size]
        chosen: dict[str, Any] = dict(
            blocks=("LS", "LS", "LD" * (third // 2), "LD"),
            groups=(1, 1, groups, 2 * groups),
            strides=(1, 1, 1, 1),
            offset_factor=2.0,
        )
    else:
        width, heads, groups, drop_path = _PP[size]
        chosen = dict(
            blocks=("ND", "ND" * 2, "ND" * 9, "DD"),
            groups=groups,
            strides=(8, 4, 2, 1),
            offset_factor=-1.0,
        )
    chosen |= dict(
        variant=variant,
        convention=variant,
        widths=tuple(width * 2**i for i in range(4)),
        heads=tuple(heads * 2**i for i in range(4)),
        drop_path=drop_path,
    )
    return DatConfig(**{**chosen, **changes})


class Dat(nn.Module):
    """Features of spectrograms; see the module docstring.

    The map of features before the mean, `[b, bands / 32, frames / 32, d]`, is sown into
    `"intermediates"` as `map`, and each deformable layer sows its points.

    Attributes:
      config: The architecture.
    """

    config: DatConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t f"], train: bool = False
    ) -> Float[Array, "b d"]:
        """Features of each spectrogram by itself.

        Any number of frames and bands: what no step of a stem or of a stage's
        convolution covers is padded with zeros at the end, not dropped. Tables of
        position biases are resized where a map has another size than at initialisation.

        Args:
          x: `[b, t, f]`, frames of bands, normalised.
          train: Stochastic depth (stream `"drop_path"`) and input noise (`"noise"`).

        Returns:
          `[b, d]`, the mean over the map after the last norm; float32 at least.
        """
        config = self.config
        if config.dtype == "float64":
            dtype = jnp.dtype("float64")
        else:
            dtype = compute_dtype(config.dtype)
        if train and config.input_noise != "none":
            key = self.make_rng("noise")
            x = add_noise(x, key, config.input_noise, config.noise_scale)
        # Frequency down, time across, as the paper's h x T.
        x = x.swapaxes(1, 2)[..., None].astype(dtype)
        if config.adaptor_strength:
            x = InputAdaptor(
                config.adaptor_strength, config.adaptor_taps, dtype, name="adaptor"
            )(x)
        x = self._stem(x, dtype)
        for stage, (letters, rates) in enumerate(
            zip(config.blocks, config.drop_rates, strict=True)
        ):
            if stage:
                x = self._down(x, stage, dtype)
            for index, (letter, rate) in enumerate(zip(letters, rates, strict=True)):
                x = Block(
                    config.attention(stage),
                    kind=letter,
                    window=config.neighbourhood if letter == "N" else config.window,
                    shift=config.shift,
                    mlp_ratio=config.mlp_ratio,
                    convolutional=config.variant == "pp",
                    drop_path=rate,
                    dtype=dtype,
                    name=f"stage{stage + 1}_block{index + 1}",
                )(x, train)
        x = layer_norm("norm", dtype)(x)
        x = x.astype(jnp.promote_types(dtype, jnp.float32))
        self.sow("intermediates", "map", x)
        return x.mean(axis=(1, 2))

    def _stem(self, x: Array, dtype: jnp.dtype) -> Array:
        width = self.config.widths[0]
        if self.config.variant == "v1":
            x = self._convolution(x, width, 4, 4, "stem", dtype)
            return layer_norm("stem_norm", dtype)(x)
        x = self._convolution(x, width // 2, 3, 2, "stem1", dtype)
        x = gelu(layer_norm("stem_norm1", dtype)(x))
        x = self._convolution(x, width, 3, 2, "stem2", dtype)
        return layer_norm("stem_norm2", dtype)(x)

    def _down(self, x: Array, stage: int, dtype: jnp.dtype) -> Array:
        width, name = self.config.widths[stage], f"down{stage}"
        taps = 2 if self.config.variant == "v1" else 3
        x = self._convolution(x, width, taps, 2, name, dtype, bias=False)
        return layer_norm(f"{name}_norm", dtype)(x)

    def _convolution(self, x, width, taps, stride, name, dtype, bias=True):
        before = 1 if taps % 2 else 0
        # To the end of the map: a last step that is not whole meets zeros.
        spans = [(-(-size // stride) - 1) * stride + taps for size in x.shape[1:3]]
        pads = [
            (before, max(span - size - before, 0))
            for span, size in zip(spans, x.shape[1:3], strict=True)
        ]
        return nn.Conv(
            width,
            (taps, taps),
            (stride, stride),
            padding=pads,
            use_bias=bias,
            kernel_init=kernel_init,
            bias_init=bias_init(taps**2 * x.shape[-1]),
            dtype=dtype,
            precision=precision(dtype),
            name=name,
        )(x)
