"""Autoencoders by a few numbers: dense, or convolutions, in the shared grammar.

Whoever wants other layers writes an `AutoencoderConfig` out.
"""

import math
from typing import Any, Literal

from sigjax.models.autoencoder import AutoencoderConfig
from sigjax.nn.stack import Activation, Layer, stack_shapes

Kind = Literal["dense", "conv"]
Latent = Literal["plain", "gaussian"]
Norm = Literal["none", "batch", "layer"]


def autoencoder_of(
    kind: Kind,
    input_shape: tuple[int, ...],
    *,
    widths: tuple[int, ...],
    code: int,
    latent: Latent = "plain",
    activation: Activation = "relu",
    norm: Norm = "batch",
) -> AutoencoderConfig:
    """The network of a kind.

    `"dense"`: layers of `widths`, a linear code, and the same back; an input of several
    axes is one vector. `"conv"`: convolutions of 3 taps and stride 2, `widths` channels
    each, a linear code of all that is left, and transposed convolutions back; for odd
    sizes with output padding, so that every size comes back.

    Args:
      kind: Which.
      input_shape: Without the batch: `(d,)`, `(s, c)` or `(t, f, c)`, channels last.
      widths: Of the encoder's hidden layers; the decoder has them in reverse.
      code: Values of the code.
      latent: `"gaussian"` for a mean and a log-variance of each value (a VAE).
      activation: Of hidden layers.
      norm: Likewise.

    Raises:
      ValueError: A size is below 1, or there is nothing to convolve.
    """
    if min(*input_shape, *widths, code) < 1 or not widths:
        raise ValueError(
            f"sizes must be at least 1, got an input of {input_shape}, widths {widths}"
            f" and a code of {code}"
        )
    if kind == "conv" and len(input_shape) not in (2, 3):
        raise ValueError(
            "convolutions take windows [s, c] or pictures [t, f, c], got examples of"
            f" {input_shape}: use kind='dense', or reshape to [rows, samples, channels]"
        )
    hidden: dict[str, Any] = {"norm": norm, "activation": activation}
    coded = Layer(kind="dense", width=code * (1 + (latent == "gaussian")))
    parts = _conv if kind == "conv" else _dense
    encoder, decoder = parts(input_shape, widths, hidden)
    return AutoencoderConfig(
        input_shape=input_shape,
        encoder=(*encoder, coded),
        decoder=decoder,
        code=latent,
    )


def _dense(shape: tuple[int, ...], widths: tuple[int, ...], hidden: dict[str, Any]):
    """Layers before the code, and those after it."""
    down = [Layer(kind="dense", width=width, **hidden) for width in widths]
    values, several = math.prod(shape), len(shape) > 1
    up = [*down[::-1], Layer(kind="dense", width=values)]
    up += [Layer(kind="reshape", shape=shape)] * several
    return (*[Layer(kind="flatten")] * several, *down), tuple(up)


def _conv(shape: tuple[int, ...], widths: tuple[int, ...], hidden: dict[str, Any]):
    """Layers before the code, and those after it."""
    step: dict[str, Any] = {"taps": 3, "stride": 2, "padding": 1}
    down = tuple(Layer(kind="conv", width=w, **step, **hidden) for w in widths)
    sizes = (shape, *stack_shapes(down, shape))
    least = sizes[-1]
    up = [
        Layer(kind="dense", width=math.prod(least), **hidden),
        Layer(kind="reshape", shape=least),
    ]
    for before, after in zip(sizes[:0:-1], sizes[-2::-1], strict=True):
        extra = tuple(
            a - (2 * b - 1) for a, b in zip(after[:-1], before[:-1], strict=True)
        )
        given = hidden if after is not shape else {}
        up.append(
            Layer(
                kind="transposed_conv",
                width=after[-1],
                output_padding=extra,
                **step,
                **given,
            )
        )
    return (*down, Layer(kind="flatten")), tuple(up)
