"""Autoencoders: an encoder, a code and a decoder, written in the grammar of `Stack`.

One module for the undercomplete, overcomplete, deep, convolutional, tied and
variational ones; what makes an autoencoder sparse, contractive or denoising is its
loss and its input.
"""

import dataclasses
import math
from typing import Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.models.autoencoder_base import AutoencoderBase, Base, check_base
from sigjax.nn.layer_grammar import WEIGHTED
from sigjax.nn.pooling import Pooled
from sigjax.nn.stack import (
    ACTIVATIONS,
    Activation,
    Layer,
    Shape,
    Stack,
    pooled_shapes,
    stack_shapes,
)
from sigjax.nn.transposed_conv import per_axis, transposed_size
from sigjax.typing import Array, Float, PRNGKey

_FLOAT32 = jnp.dtype("float32")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """Architecture.

    Tied (Vincent et al. 2010, JMLR 11, Sect. 3): the decoder is the encoder run
    backwards, by the same kernels: a dense layer's transposed, a convolution's by the
    transposed convolution, which is its adjoint; max pooling by unpooling, flattening
    by reshaping. Biases are the decoder's own. Each map of the decoder has the norm,
    activation and dropout of the encoder's map in its place, the last
    `decoder_activation` alone.

    Attributes:
      input_shape: Of an example: `(d,)`, `(s, c)` or `(h, w, c)`.
      encoder: From the input to the code.
      decoder: From the code to the input's shape; empty if tied.
      tied: See above.
      decoder_activation: Of the last layer of a tied decoder.
      code: `"plain"`, or `"gaussian"`: the encoder ends in 2 k values, the mean and the
        log-variance of a normal distribution of k (Kingma & Welling 2014, arXiv
        1312.6114, Appendix C).
      residual: The decoder makes what is to be added to the input, for denoising: what
        has little noise is then left as it is (Zhang et al. 2017, arXiv 1608.03981,
        Sect. III-B). A code alone decodes to that correction.
      base: What of the training examples the network adds to (collection `statistics`;
        `AutoencoderBase`): `"mean"`: it is given deviations from the mean example over
        their standard deviation, and makes such. `"principal"`: its code and what it
        decodes are added to those of the principal components, too, as many as a code
        has numbers. Whoever trains has to set them: `launch.pretrain` does.
    """

    input_shape: tuple[int, ...]
    encoder: tuple[Layer, ...]
    decoder: tuple[Layer, ...] = ()
    tied: bool = False
    decoder_activation: Activation = "identity"
    code: Literal["plain", "gaussian"] = "plain"
    residual: bool = False
    base: Base = "none"

    def __post_init__(self):
        """Refuses networks whose sizes do not meet; the message names the layer."""
        if not self.encoder:
            raise ValueError("an autoencoder needs layers in its encoder")
        if self.code not in ("plain", "gaussian"):
            raise ValueError(f"a code is plain or gaussian, got {self.code!r}")
        if self.decoder_activation not in ACTIVATIONS:
            raise ValueError(f"no activation is called {self.decoder_activation!r}")
        if self.residual and self.code == "gaussian":
            raise ValueError("a gaussian code has to hold the example: no residual")
        self._check_decoder_kind()
        with _where("encoder"):
            last = self.encoder_shapes[-1]
        if self.code == "gaussian" and (len(last) != 1 or last[0] % 2):
            raise ValueError(
                "the encoder of a gaussian code ends in a vector of even length, mean"
                f" and log-variance, but this one makes {last}"
            )
        with _where("decoder"):
            pools = pooled_shapes(self.encoder, self.input_shape)
            made = stack_shapes(self.decoder_layers, self.code_shape, pools)[-1]
        if made != self.input_shape:
            raise ValueError(
                f"the decoder makes {made} of the code {self.code_shape}, but the"
                f" input is {self.input_shape}"
            )
        values, end = math.prod(self.input_shape), self.decoder_layers[-1]
        check_base(self.base, self.code_shape, values, end, self.residual)

    def _check_decoder_kind(self):
        if not self.tied:
            if not self.decoder:
                raise ValueError("give a decoder, or tied=True")
            if self.decoder_activation != "identity":
                raise ValueError(
                    "decoder_activation is that of a tied decoder; the last layer of"
                    " this decoder has its own"
                )
        elif self.decoder:
            raise ValueError("a tied autoencoder has no decoder of its own")
        elif self.code == "gaussian":
            raise ValueError(
                "a gaussian code cannot be tied: its encoder makes twice as many values"
                " as its decoder takes"
            )

    @property
    def encoder_shapes(self) -> tuple[Shape, ...]:
        """After each layer of the encoder, without the batch."""
        return stack_shapes(self.encoder, self.input_shape)

    @property
    def code_shape(self) -> Shape:
        """Of an example's code, without the batch."""
        last = self.encoder_shapes[-1]
        return (last[0] // 2,) if self.code == "gaussian" else last

    @property
    def decoder_layers(self) -> tuple[Layer, ...]:
        """The decoder's layers, given or mirrored."""
        if not self.tied:
            return self.decoder
        return mirrored(self.encoder, self.input_shape, self.decoder_activation)


class _where:
    """Puts the half of the network before a ValueError's message."""

    def __init__(self, half: str):
        self.half = half

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if isinstance(error, ValueError):
            raise ValueError(f"{self.half}: {error}") from None


def mirrored(
    encoder: tuple[Layer, ...], input_shape: Shape, activation: Activation
) -> tuple[Layer, ...]:
    """The layers that run an encoder backwards; see `AutoencoderConfig`.

    Args:
      encoder: Of dense, conv, max_pool, flatten and reshape layers.
      input_shape: Without the batch.
      activation: Of the last layer.

    Raises:
      ValueError: A layer that has no mirror image, or nothing to share.
    """
    shapes = (input_shape, *stack_shapes(encoder, input_shape))
    layers = []
    after: Layer | None = None  # the encoder's layer that makes what is made here
    for number, layer in enumerate(encoder):
        if layer.spectral:
            raise ValueError(
                f"layer {number} ({layer.kind}) of a tied encoder has a spectral norm:"
                " the decoder would share the kernel without it"
            )
        if layer.kind in ("dense", "conv"):
            layers.append(_mirror_of_kernel(layer, shapes[number : number + 2]))
            style = {"activation": activation}
            if after is not None:
                names = ("activation", "slope", "norm", "dropout")
                style = {name: getattr(after, name) for name in names}
            layers[-1] = dataclasses.replace(layers[-1], init=layer.init, **style)
            after = layer
            continue
        if layer != _bare(layer):
            raise ValueError(
                f"layer {number} ({layer.kind}) of a tied encoder has a norm, an"
                " activation or dropout: give them to the dense or conv layer before"
            )
        if layer.kind == "max_pool":
            layers.append(Layer(kind="max_unpool"))
        elif layer.kind in ("flatten", "reshape"):
            layers.append(Layer(kind="reshape", shape=shapes[number]))
        else:
            raise ValueError(
                f"layer {number} ({layer.kind}) of a tied encoder has no mirror image:"
                " dense, conv, max_pool, flatten and reshape have"
            )
    if after is None:
        raise ValueError(
            "a tied encoder needs a dense or conv layer: it shares kernels"
        )
    return tuple(layers[::-1])


def _bare(layer: Layer) -> Layer:
    return dataclasses.replace(
        layer,
        activation="identity",
        slope=Layer.slope,
        norm="none",
        dropout=0.0,
        init=Layer.init,
    )


def _mirror_of_kernel(layer: Layer, shapes: tuple[Shape, ...]) -> Layer:
    """The adjoint of a dense or conv layer between these shapes, bare."""
    before, made = shapes
    if layer.kind == "dense":
        return Layer(kind="dense", width=before[-1], bias=layer.bias)
    axes = len(before) - 1
    taps, stride = per_axis(layer.taps, axes), per_axis(layer.stride, axes)
    padding, dilation = per_axis(layer.padding, axes), per_axis(layer.dilation, axes)
    least = map(transposed_size, made, taps, stride, padding, (0,) * axes, dilation)
    missing = tuple(n - size for n, size in zip(before, least, strict=False))
    return Layer(
        kind="transposed_conv",
        width=before[-1],
        taps=taps,
        stride=stride,
        padding=padding,
        output_padding=missing,
        dilation=dilation,
        bias=layer.bias,
    )


class AutoencoderOutput(NamedTuple):
    """What an autoencoder makes of a batch.

    Attributes:
      reconstruction: Float32 `[b, *input_shape]`, as the decoder gives it: logits for
        the Bernoulli likelihood.
      code: Float32 `[b, *code_shape]`, what was decoded: of a gaussian code a sample if
        there was a key, else the mean.
      mean: Float32 `[b, k]` of a gaussian code, else None.
      log_variance: Float32 `[b, k]` of a gaussian code, else None.
      hidden: What came out of every layer of the encoder.
    """

    reconstruction: Array
    code: Array
    mean: Array | None
    log_variance: Array | None
    hidden: tuple[Array, ...]


class Autoencoder(nn.Module):
    """Encoder and decoder. Parameters: `{"encoder": {"layer0": ...}, "decoder": ...}`.

    With a base it is under `base`, in the collection `statistics` and in parameters.

    Attributes:
      config: The architecture.
      dtype: What it computes in.
    """

    config: AutoencoderConfig
    dtype: jnp.dtype = _FLOAT32

    def setup(self):
        """Two stacks, and what they add to."""
        c = self.config
        self.encoder = Stack(c.encoder, self.dtype)
        self.decoder = Stack(c.decoder_layers, self.dtype)
        if c.base != "none":
            size = math.prod(c.code_shape)
            self.base = AutoencoderBase(c.base, c.input_shape, size)

    def __call__(
        self, x: Float[Array, "b *a"], train: bool = False, key: PRNGKey | None = None
    ) -> AutoencoderOutput:
        """Encodes and decodes.

        Args:
          x: `[b, *input_shape]`.
          train: See `Stack`.
          key: For one sample of each gaussian code: a key for each example `[b]`, or
            one that is divided by place. Without it the mean is decoded.

        Raises:
          ValueError: Another shape, or a key for a plain code.
        """
        if key is not None and self.config.code != "gaussian":
            raise ValueError("only a gaussian code is drawn: no key for a plain one")
        code, log_variance, pooled, hidden = self._encoded(x, train)
        mean = None
        if log_variance is not None:
            mean = code
            code = mean if key is None else _sample(key, mean, log_variance)
        reconstruction = self.decode(code, train, pooled)
        if self.config.residual:
            reconstruction = reconstruction + x.astype(jnp.float32)
        return AutoencoderOutput(reconstruction, code, mean, log_variance, hidden)

    def encode(self, x: Float[Array, "b *a"], train: bool = False) -> Array:
        """The code, float32 `[b, *code_shape]`; the mean if it is gaussian."""
        return self._encoded(x, train)[0]

    def posterior(
        self, x: Float[Array, "b *a"], train: bool = False
    ) -> tuple[Float[Array, "b k"], Float[Array, "b k"]]:
        """Mean and log-variance of gaussian codes, float32 `[b, k]` each.

        Raises:
          ValueError: The code is plain.
        """
        if self.config.code != "gaussian":
            raise ValueError("a plain code has no posterior: config.code is 'plain'")
        mean, log_variance, *_ = self._encoded(x, train)
        assert log_variance is not None
        return mean, log_variance

    def decode(
        self,
        z: Float[Array, "b *k"],
        train: bool = False,
        pooled: tuple[Pooled, ...] = (),
    ) -> Array:
        """Float32 `[b, *input_shape]` of codes `[b, *code_shape]`.

        Args:
          z: Codes; normal draws, to sample from a variational autoencoder.
          train: See `Stack`.
          pooled: What the encoder pooled, if the decoder has max_unpool.

        Raises:
          ValueError: Another shape, or max_unpool without a pooled map.
        """
        if z.shape[1:] != self.config.code_shape:
            raise ValueError(
                f"a code has shape {self.config.code_shape}, got {z.shape[1:]}"
            )
        with _where("decoder"):
            out = self.decoder(z, train, pooled, self._shared_kernels())
        if self.config.base != "none":
            return self.base.examples(out.x, z)
        return out.x.astype(jnp.float32)

    def _encoded(self, x, train):
        """Codes (means of gaussian ones), their log-variance, poolings, all layers."""
        if x.shape[1:] != self.config.input_shape:
            raise ValueError(
                f"an example has shape {self.config.input_shape}, got {x.shape[1:]}"
            )
        based = self.config.base != "none"
        given = self.base.deviations(x) if based else x
        made, pooled, hidden = self.encoder(given, train)
        code, log_variance = made.astype(jnp.float32), None
        if self.config.code == "gaussian":
            code, log_variance = jnp.split(code, 2, axis=-1)
        if based:
            code = self.base.code(code, given)
        return code, log_variance, pooled, hidden

    def _shared_kernels(self) -> dict[int, Array] | None:
        """The encoder's kernels by the number of the decoder's layer that has it."""
        if not self.config.tied:
            return None
        params = self.encoder.variables["params"]
        last = len(self.config.encoder) - 1
        shared = {}
        for number, layer in enumerate(self.config.encoder):
            if layer.kind in WEIGHTED:
                # Out of a file it is NumPy's.
                kernel = jnp.asarray(params[f"layer{number}"]["kernel"])
                dense = layer.kind == "dense"
                shared[last - number] = kernel.T if dense else kernel
        return shared


def _sample(key: PRNGKey, mean: Array, log_variance: Array) -> Array:
    """`mean + std * noise`: Kingma & Welling 2014, Sect. 2.4."""
    keys = key if key.ndim else jax.random.split(key, len(mean))
    noise = jax.vmap(lambda each: jax.random.normal(each, mean.shape[1:]))(keys)
    return mean + jnp.exp(0.5 * log_variance) * noise
