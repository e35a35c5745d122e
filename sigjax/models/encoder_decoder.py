"""Any of the house's backbones as the encoder of a decoder of maps.

An encoder gives maps of a spectrogram, fine ones first: DAT its four stages, a section
classifier or MobileNetV2 the ends of its stages, AST one map of tokens, a stack of
convolutions its map of every size. The decoder starts at the coarsest one, brings it to
the places of the next finer, puts that one beside it (the skip) and convolves, down to
the spectrogram itself, which is the finest map of all.

What a value of a map stands over is known (`Placed`): maps are brought to each other's
places by linear interpolation there, so kernels that are not padded, patches that
overlap and sizes that no stride divides shift nothing.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from sigjax.models.ast import Ast, AstConfig
from sigjax.models.dat import Dat, DatConfig
from sigjax.models.mobilenet import STAGES, MobileNetV2, MobileNetV2Config
from sigjax.models.section_classifier import SectionClassifier, SectionClassifierConfig
from sigjax.nn.conv import precision
from sigjax.nn.conv_block import BlockNorm, ConvBlock, Scores
from sigjax.nn.precision import ComputeDtype, compute_dtype
from sigjax.nn.stack import Layer, Stack
from sigjax.nn.transposed_conv import per_axis
from sigjax.typing import Array, Float

Backbone = AstConfig | DatConfig | MobileNetV2Config | SectionClassifierConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncoderDecoderConfig:
    """Architecture: exactly one encoder, and the decoder.

    Attributes:
      classes: Scores at every place.
      dat: The encoder, if it is a deformable audio transformer.
      ast: The encoder, if it is the audio spectrogram transformer.
      sections: The encoder, if it is a section classifier. What follows its stages is
        made and not used.
      mobilenet: The encoder, if it is MobileNetV2; likewise.
      stack: The encoder, if it is a stack of `conv` and `max_pool` layers.
      width: Channels of the decoder.
      convolutions: Of the decoder at every size.
      skips: Whether the decoder sees any map but the coarsest. Without, it still goes
        from size to size.
      norm: After the decoder's convolutions.
      dtype: Of the decoder; see `sigjax.nn.precision`.
    """

    classes: int
    dat: DatConfig | None = None
    ast: AstConfig | None = None
    sections: SectionClassifierConfig | None = None
    mobilenet: MobileNetV2Config | None = None
    stack: tuple[Layer, ...] = ()
    width: int = 64
    convolutions: int = 2
    skips: bool = True
    norm: BlockNorm = "batch"
    dtype: ComputeDtype = "float32"

    def __post_init__(self):
        """Refuses anything but one encoder, and sizes without meaning."""
        names = ("dat", "ast", "sections", "mobilenet", "stack")
        given = [name for name in names if getattr(self, name)]
        if len(given) != 1:
            raise ValueError(
                f"exactly one of {', '.join(names)} must be given, got"
                f" {', '.join(given) or 'none'}"
            )
        other = {layer.kind for layer in self.stack} - {"conv", "max_pool"}
        if other:
            raise ValueError(
                f"an encoder's stack is of conv and max_pool, got {', '.join(other)}"
            )
        if min(self.classes, self.width, self.convolutions) < 1:
            raise ValueError(f"sizes must be at least 1, got {self}")


class Placed(NamedTuple):
    """A map, and over which places of the spectrogram its values stand.

    Attributes:
      value: `[b, i, j, c]`, time first.
      step: Places from one value to the next, in time and frequency.
      first: Place over whose middle the first value stands; each likewise.
    """

    value: Array
    step: tuple[float, float]
    first: tuple[float, float]


class EncoderDecoder(nn.Module):
    """Spectrograms to scores of classes; see the module docstring.

    Parameters: `encoder` (as those of the backbone alone), `decode0` (finest) and on,
    and `scores`. Training draws from the backbone's streams.

    Attributes:
      config: The architecture.
    """

    config: EncoderDecoderConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t f c"], train: bool = False
    ) -> Float[Array, "b t f v"]:
        """Scores of spectrograms, each by itself unless batch norm is training.

        Args:
          x: `[b, t, f, 1]`; of a stack any number of channels.
          train: See `ConvBlock` and the backbone.

        Returns:
          Float32 logits `[b, t, f, classes]`.

        Raises:
          ValueError: The backbone takes another size or one channel alone.
        """
        c, dtype = self.config, compute_dtype(self.config.dtype)
        maps = [Placed(x, (1.0, 1.0), (0.0, 0.0)), *_pyramid(c, x, train)]
        coarse = maps.pop()
        settings = (c.width, c.convolutions, 3, "same", c.norm, dtype)
        x = coarse.value.astype(dtype)
        x = ConvBlock(*settings, name=f"decode{len(maps)}")(x, train)
        while maps:
            fine = maps.pop()
            x = interpolated(coarse._replace(value=x), fine)
            if c.skips:
                x = jnp.concatenate([fine.value.astype(dtype), x], axis=-1)
            x = ConvBlock(*settings, name=f"decode{len(maps)}")(x, train)
            coarse = fine
        return Scores(c.classes, name="scores")(x)


def interpolated(x: Placed, at: Placed) -> Float[Array, "b i j c"]:
    """A map at the places of another, linearly; beyond its ends the outermost values.

    Args:
      x: The map.
      at: Whose places are asked for; its values are not.

    Returns:
      `[b, i, j, c]` of the sizes of `at` and the channels of `x`.
    """
    value, dtype = x.value, x.value.dtype
    for axis in (0, 1):
        old, new = value.shape[1 + axis], at.value.shape[1 + axis]
        place = at.first[axis] + at.step[axis] * np.arange(new)
        place = np.clip((place - x.first[axis]) / x.step[axis], 0, old - 1)
        share = np.maximum(0, 1 - np.abs(place[:, None] - np.arange(old)))
        product = "ok,bkjc->bojc" if axis == 0 else "ok,bikc->bioc"
        weights = jnp.asarray(share, dtype)
        value = jnp.einsum(product, weights, value, precision=precision(dtype))
    return value


def _pyramid(c: EncoderDecoderConfig, x: Array, train: bool) -> list[Placed]:
    """The encoder's maps, fine ones first; called inside the module."""
    if c.stack:
        return _of_stack(c.stack, x, train)
    if x.shape[-1] != 1:
        raise ValueError(
            f"this encoder takes spectrograms of one channel, got {x.shape[-1]}"
        )
    x = x[..., 0]
    if c.dat is not None:
        return _of_dat(c.dat, x, train)
    if c.ast is not None:
        return _of_ast(c.ast, x, train)
    if c.sections is not None:
        return _of_sections(c.sections, x, train)
    assert c.mobilenet is not None
    return _of_mobilenet(c.mobilenet, x, train)


def _of_dat(config: DatConfig, x: Array, train: bool) -> list[Placed]:
    ends = [f"stage{i}_block{len(b)}" for i, b in enumerate(config.blocks, 1)]
    encoder = Dat(config, name="encoder")
    found = outputs_of((*ends[:-1], "norm"), encoder, lambda: encoder(x, train))
    maps = []
    for number, name in enumerate((*ends[:-1], "norm")):
        step = 4.0 * 2**number
        # Kernels as wide as their stride stand over its middle; padded ones over 0.
        first = (step - 1) / 2 if config.variant == "v1" else 0.0
        value = found[name].swapaxes(1, 2)  # frequency first there
        maps.append(Placed(value, (step, step), (first, first)))
    return maps


def _of_ast(config: AstConfig, x: Array, train: bool) -> list[Placed]:
    tokens = Ast(config, name="encoder").encode(x, train)[:, 2:]
    value = tokens.reshape(len(x), *config.grid, -1).swapaxes(1, 2)
    middle = (config.patch - 1) / 2
    step = float(config.stride_t), float(config.stride_f)
    return [Placed(value, step, (middle, middle))]


def _of_sections(
    config: SectionClassifierConfig, x: Array, train: bool
) -> list[Placed]:
    config = dataclasses.replace(config, classes=0)
    names = [f"stage{i}_block{count}" for i, count in enumerate(config.blocks, 1)]
    encoder = SectionClassifier(config, name="encoder")
    found = outputs_of(("stem2_prelu", *names), encoder, lambda: encoder(x, train))
    # Each halving's kernel of 3 has a zero before: the first value stands over 0.
    return [
        Placed(found[name], (2.0**number, 2.0**number), (0.0, 0.0))
        for number, name in enumerate(("stem2_prelu", *names), 1)
    ]


def _of_mobilenet(config: MobileNetV2Config, x: Array, train: bool) -> list[Placed]:
    config = dataclasses.replace(config, classes=0)
    names, index = [], 0
    for _, _, blocks, stride in STAGES:
        if stride == 2:
            names.append(f"block{index}")
        index += blocks
    encoder = MobileNetV2(config, name="encoder")
    names.append(f"block{index}")
    found = outputs_of(tuple(names), encoder, lambda: encoder(x, train))
    maps, step, first = [], (1.0, 1.0), (0.0, 0.0)
    size = x.shape[1:3]
    for name in names:
        # Keras pads an even map after its end alone: the middle tap is the second.
        first = (
            first[0] + step[0] * (1 - size[0] % 2),
            first[1] + step[1] * (1 - size[1] % 2),
        )
        step = step[0] * 2, step[1] * 2
        maps.append(Placed(found[name], step, first))
        size = found[name].shape[1:3]
    return maps


def _of_stack(layers: tuple[Layer, ...], x: Array, train: bool) -> list[Placed]:
    return _placed(layers, Stack(layers, name="encoder")(x, train).hidden)


def _placed(layers: tuple[Layer, ...], hidden: tuple[Array, ...]) -> list[Placed]:
    """What layers gave, the last of each size, and where it stands."""
    maps: list[Placed] = []
    step, first = (1.0, 1.0), (0.0, 0.0)
    for layer, value in zip(layers, hidden, strict=True):
        taps, stride, padding, apart = (
            per_axis(given, 2)
            for given in (layer.taps, layer.stride, layer.padding, layer.dilation)
        )
        middle = [(taps[a] - 1) * apart[a] / 2 - padding[a] for a in (0, 1)]
        first = first[0] + step[0] * middle[0], first[1] + step[1] * middle[1]
        step = step[0] * stride[0], step[1] * stride[1]
        own = Placed(value, step, first)
        if maps and maps[-1].step == step:
            maps[-1] = own  # the last of each size
        else:
            maps.append(own)
    return [one for one in maps if one.step != (1.0, 1.0)] or maps


def outputs_of(
    names: tuple[str, ...], module: nn.Module, call: Callable[[], Any]
) -> Mapping[str, Array]:
    """What a module's own layers of these names return while it is called.

    Args:
      names: Of layers directly below the module.
      module: Whose.
      call: Calls it.
    """
    found: dict[str, Array] = {}
    path = (*(module.scope.path if module.scope else ()),)

    def keep(following, args, kwargs, context):
        out = following(*args, **kwargs)
        inner = context.module
        if inner.name in names and context.method_name == "__call__":
            if inner.scope is not None and inner.scope.path[:-1] == path:
                found[inner.name] = out
        return out

    with nn.intercept_methods(keep):
        call()
    missing = [name for name in names if name not in found]
    assert not missing, f"{type(module).__name__} has no layers {missing}"
    return found
