"""Encoders and decoders in the grammar of `sigjax.nn.stack`: dicts of plain values."""

import math


def dense(widths, hidden: str, last: str, code: str = "identity"):
    """Encoder and decoder of dense layers; `widths` from the input to the code."""

    def layers(sizes, end):
        acts = [hidden] * (len(sizes) - 1) + [end]
        return tuple(
            dict(kind="dense", width=width, activation=act)
            for width, act in zip(sizes, acts, strict=True)
        )

    return dict(encoder=layers(widths[1:], code), decoder=layers(widths[-2::-1], last))


def convolutions(
    shape,
    widths,
    code: int,
    last: str,
    *,
    gaussian=False,
    taps: int = 3,
    norm: str = "batch",
):
    """Encoder and decoder of stride 2, halving every axis but the last.

    With 4 taps each value that a transposed convolution makes has as many terms as its
    neighbours; with 3 they alternate, which shows as a grid (Odena et al. 2016,
    "Deconvolution and checkerboard artifacts").
    """
    step = dict(taps=taps, stride=2, padding=1)
    hidden = dict(activation="relu", norm=norm)
    sizes = [shape]
    for width in widths:
        halved = ((n + 2 - taps) // 2 + 1 for n in sizes[-1][:-1])
        sizes.append((*halved, width))
    encoder = [dict(kind="conv", width=width, **step, **hidden) for width in widths]
    encoder += [dict(kind="flatten"), dict(kind="dense", width=code * (1 + gaussian))]
    decoder = [
        dict(kind="dense", width=math.prod(sizes[-1]), **hidden),
        dict(kind="reshape", shape=sizes[-1]),
    ]
    for small, large in zip(sizes[:0:-1], sizes[-2::-1], strict=True):
        pairs = zip(small[:-1], large[:-1], strict=True)
        more = tuple(b - (2 * a - 4 + taps) for a, b in pairs)
        act = dict(activation=last) if large is shape else hidden
        layer = dict(kind="transposed_conv", width=large[-1], output_padding=more)
        decoder.append(layer | step | act)
    return dict(encoder=tuple(encoder), decoder=tuple(decoder))


def slides(last: str):
    """Convolutions of "Autoencoders" (paper 004): 28-10-5-3-2-5-15-28, of one map."""
    relu = dict(activation="relu")
    up = dict(kind="transposed_conv")
    encoder = (
        dict(kind="conv", width=16, taps=3, stride=3, padding=1, **relu),
        dict(kind="max_pool", taps=2, stride=2),
        dict(kind="conv", width=8, taps=3, stride=2, padding=1, **relu),
        dict(kind="max_pool", taps=2, stride=1),
    )
    decoder = (
        dict(up, width=16, taps=3, stride=2, **relu),
        dict(up, width=8, taps=5, stride=3, padding=1, **relu),
        dict(up, width=1, taps=2, stride=2, padding=1, activation=last),
    )
    return dict(encoder=encoder, decoder=decoder)


def spectrogram(shape, code: int, *, gaussian=False):
    """For log-mels less their mean (`model.base`), which need no norm to learn fast."""
    style = dict(gaussian=gaussian, taps=4, norm="none")
    return convolutions(shape, (16, 32, 64), code, "identity", **style)


def initialised(layers, init: str):
    """The same layers; what is drawn starts as `sigjax.nn.initialisation` says."""
    drawn = ("dense", "conv", "transposed_conv")
    return tuple(
        dict(layer, init=init)
        if layer["kind"] in drawn or layer.get("norm") == "batch"
        else layer
        for layer in layers
    )


def denoiser(shape):
    """Convolutions of 9 taps along time, for signals `(s, c)`; s is a multiple of 4.

    There is no narrow code: noise, not size, keeps it from copying.
    """
    wide, relu = dict(taps=9, padding=4), dict(activation="relu")
    down = dict(kind="conv", stride=2, **wide, **relu)
    up = dict(kind="transposed_conv", stride=2, output_padding=1, **wide, **relu)
    first = dict(kind="conv", width=16, **wide, **relu)
    encoder = (first, dict(down, width=32), dict(down, width=32))
    last = dict(kind="conv", width=shape[-1], **wide)
    return dict(encoder=encoder, decoder=(dict(up, width=32), dict(up, width=16), last))
