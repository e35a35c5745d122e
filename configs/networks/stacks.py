"""Encoders and decoders in the grammar of `sigjax.nn.stack`: dicts of plain values."""


def dense(widths, hidden: str, last: str, code: str = "identity"):
    """Encoder and decoder of dense layers; `widths` from the input to the code."""

    def layers(sizes, end):
        acts = [hidden] * (len(sizes) - 1) + [end]
        return tuple(
            dict(kind="dense", width=width, activation=act)
            for width, act in zip(sizes, acts, strict=True)
        )

    return dict(encoder=layers(widths[1:], code), decoder=layers(widths[-2::-1], last))


def convolutions(shape, widths, code: int, last: str, gaussian: bool = False):
    """Encoder and decoder of 3 taps and stride 2, halving every axis but the last."""
    step = dict(taps=3, stride=2, padding=1)
    hidden = dict(activation="relu", norm="batch")
    sizes = [shape]
    for width in widths:
        sizes.append((*(-(-n // 2) for n in sizes[-1][:-1]), width))
    values = 1
    for n in sizes[-1]:
        values *= n
    encoder = [dict(kind="conv", width=width, **step, **hidden) for width in widths]
    encoder += [dict(kind="flatten"), dict(kind="dense", width=code * (1 + gaussian))]
    decoder = [
        dict(kind="dense", width=values, **hidden),
        dict(kind="reshape", shape=sizes[-1]),
    ]
    for small, large in zip(sizes[:0:-1], sizes[-2::-1], strict=True):
        more = tuple(
            b - (2 * a - 1) for a, b in zip(small[:-1], large[:-1], strict=True)
        )
        act = dict(activation=last) if large is shape else hidden
        decoder.append(
            dict(kind="transposed_conv", width=large[-1], output_padding=more, **step)
            | act
        )
    return dict(encoder=tuple(encoder), decoder=tuple(decoder))
