r"""Multiply-accumulates of the audio networks, by both conventions.

python -m benchmarks.macs                    # every network at its usual inputs
python -m benchmarks.macs --network=ast --frames=1024,512

They are counted in the program itself (its jaxpr; nothing is computed), so what is
counted is what runs: products of an activation with parameters (dense layers,
convolutions, the scales of norms), and products of two activations, those of attention
(queries with keys, weights with values). Counters that hook layers count the first kind
alone; papers give either number without saying which. AST-base on 10 s, 1,214 tokens,
has 103.4 G of the first and 130.5 G of both, and is published with 103.4.

Products with constants (sums, on CPU) and other element-wise work are in neither:
bilinear sampling and the interpolated position bias, too, where they are computed
without matrix products. What runs may be more than a formula has: windows of 7 pad
DAT's maps to multiples of 7, and the neighbourhood attention of DAT++ meets tiles of
keys that are larger than neighbourhoods.

A batch of one. Heads have --classes outputs.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core


class Macs(NamedTuple):
    """Multiply-accumulates.

    Attributes:
      layers: One factor is made of parameters: dense layers, convolutions, norms.
      products: Matrix products of activations with each other.
    """

    layers: int = 0
    products: int = 0

    @property
    def everything(self) -> int:
        """Both kinds."""
        return self.layers + self.products

    def plus(self, other: "Macs", times: int = 1) -> "Macs":
        """The sum, `other` repeated."""
        return Macs(
            self.layers + times * other.layers, self.products + times * other.products
        )


# What a value is made of; of several the highest.
_CONSTANT, _PARAMETER, _ACTIVATION = 0, 1, 2


def count(function: Callable[..., Any], params: Any, *inputs: Any) -> Macs:
    """Counts what `function(params, *inputs)` multiplies.

    Args:
      function: Pure, as a jitted function has to be.
      params: Arrays or `ShapeDtypeStruct`s: parameters, and so is what is made of them.
      *inputs: Likewise: activations, and so is what is made of them.

    Raises:
      ValueError: A loop without a known number of turns multiplies.
    """
    closed = jax.make_jaxpr(function)(params, *inputs)
    own = len(jax.tree.leaves(params))
    rest = len(closed.jaxpr.invars) - own
    return _visit(closed.jaxpr, [_PARAMETER] * own + [_ACTIVATION] * rest)[0]


def _visit(jaxpr: Any, given: Sequence[int]) -> tuple[Macs, list[int]]:
    """Counts an open jaxpr, whose inputs are made of `given`; also: its outputs."""
    known = dict.fromkeys(jaxpr.constvars, _CONSTANT)
    known.update(zip(jaxpr.invars, given, strict=True))

    def kind(variable: Any) -> int:
        return _CONSTANT if isinstance(variable, core.Literal) else known[variable]

    total = Macs()
    for equation in jaxpr.eqns:
        found, made = _equation(equation, [kind(v) for v in equation.invars])
        total = total.plus(found)
        known.update(zip(equation.outvars, made, strict=True))
    return total, [kind(v) for v in jaxpr.outvars]


def _equation(equation: Any, given: list[int]) -> tuple[Macs, list[int]]:
    made = [max(given, default=_CONSTANT)] * len(equation.outvars)
    name = equation.primitive.name
    if name in ("dot_general", "conv_general_dilated", "mul"):
        return _product(equation, given), made
    if name == "scan":
        return _scan(equation, given)
    inner = {key: _open(v) for key, v in equation.params.items() if _is_jaxpr(v)}
    if name == "cond":
        branches = [_visit(_open(b), given[1:]) for b in equation.params["branches"]]
        largest = max((found for found, _ in branches), key=lambda m: m.everything)
        return largest, [max(k) for k in zip(*(k for _, k in branches), strict=True)]
    if name == "while":
        body = inner["body_jaxpr"]
        if _visit(body, [_ACTIVATION] * len(body.invars))[0].everything:
            raise ValueError("a loop of unknown length holds products: not counted")
        return Macs(), made
    # jit, remat, custom derivatives: the first that fits is what runs forward.
    for jaxpr in inner.values():
        if len(jaxpr.invars) == len(given):
            found, kinds = _visit(jaxpr, given)
            return found, kinds if len(kinds) == len(made) else made
    if inner:
        raise ValueError(f"cannot look into {name}: its program has other inputs")
    return Macs(), made


def _product(equation: Any, given: list[int]) -> Macs:
    if max(given) < _ACTIVATION:  # Of parameters: once, not for every input.
        return Macs()
    if equation.primitive.name == "mul":
        size = math.prod(equation.outvars[0].aval.shape)
        return Macs(layers=size if min(given) == _PARAMETER else 0)
    dense = equation.primitive.name == "dot_general"
    size = _dot(equation) if dense else _convolution(equation)
    if min(given) == _PARAMETER:
        return Macs(layers=size)
    # With ones a product is a sum: how means are taken on CPU.
    return Macs(products=size if min(given) == _ACTIVATION else 0)


def _scan(equation: Any, given: list[int]) -> tuple[Macs, list[int]]:
    body = _open(equation.params["jaxpr"])
    # Constants, carries, and what is scanned, which has one axis more outside.
    inside = [v.aval.ndim for v in body.invars]
    scanned = sum(v.aval.ndim > n for v, n in zip(equation.invars, inside, strict=True))
    outside = [v.aval.ndim for v in equation.outvars]
    carried = sum(v.aval.ndim == n for v, n in zip(body.outvars, outside, strict=True))
    consts = len(given) - carried - scanned
    carry, kinds = slice(consts, consts + carried), list(given)
    # A carry is what the turns make of it: until that changes nothing any more.
    while True:
        found, made = _visit(body, kinds)
        after = [max(k) for k in zip(kinds[carry], made[:carried], strict=True)]
        if after == kinds[carry]:
            return Macs().plus(found, equation.params["length"]), made
        kinds[carry] = after


def _is_jaxpr(value: Any) -> bool:
    return isinstance(value, core.Jaxpr | core.ClosedJaxpr)


def _open(value: Any) -> Any:
    return value.jaxpr if isinstance(value, core.ClosedJaxpr) else value


def _dot(equation: Any) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    inner = math.prod(left[axis] for axis in contracted)
    return inner * math.prod(equation.outvars[0].aval.shape)


def _convolution(equation: Any) -> int:
    # Kernel: output channels, input channels of a group, spatial dimensions.
    numbers = equation.params["dimension_numbers"].rhs_spec
    kernel = equation.invars[1].aval.shape
    inner = math.prod(kernel[axis] for axis in numbers[1:])
    return inner * math.prod(equation.outvars[0].aval.shape)


class Network(NamedTuple):
    """A network to count.

    Attributes:
      name: For people.
      config: Of `AudioClassifier`, for so many frames, bands and classes.
    """

    name: str
    config: Callable[[int, int, int], Any]


def networks() -> Iterator[Network]:
    """All that can be counted, each at any input.

    Kernels are those that show their products: cuDNN's hide them, and others pad.
    """
    from sigjax.models.ast import ast_size
    from sigjax.models.audio_classifier import AudioClassifierConfig
    from sigjax.models.dat import dat_size

    def classifier(classes: int, **backbone: Any) -> AudioClassifierConfig:
        return AudioClassifierConfig(heads=(("label", classes),), **backbone)

    sizes: tuple[Any, ...] = ("tiny", "small", "base")
    variants: tuple[Any, ...] = ("v1", "pp")
    for size in sizes:
        yield Network(
            f"ast-{size}",
            lambda frames, bands, classes, size=size: classifier(
                classes,
                ast=ast_size(size, frames=frames, bands=bands, attention="xla"),
            ),
        )
    for variant in variants:
        for size in sizes:
            yield Network(
                f"dat-{variant}-{size}",
                lambda frames, bands, classes, variant=variant, size=size: classifier(
                    classes,
                    head_norm=False,
                    dat=dat_size(variant, size),
                ),
            )


def measure(
    network: Network, *, frames: int, bands: int = 128, classes: int = 309
) -> dict[str, Any]:
    """Counts a network at an input; a row for people or JSON."""
    from sigjax.models.audio_classifier import AudioClassifier

    module = AudioClassifier(network.config(frames, bands, classes))
    x = jax.ShapeDtypeStruct((1, frames, bands), jnp.float32)
    variables = jax.eval_shape(module.init, jax.random.key(0), x)
    found = count(module.apply, variables, x)
    return {
        "network": network.name,
        "frames": frames,
        "bands": bands,
        "parameters_m": round(_size(variables) / 1e6, 2),
        "gmacs_parameters": round(found.layers / 1e9, 1),
        "gmacs_everything": round(found.everything / 1e9, 1),
    }


def _size(variables: Mapping[str, Any]) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


def main(argv: Sequence[str] | None = None) -> None:
    """Prints a table, or a JSON line for each row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    # A GPU's kernels hide what they multiply.
    jax.config.update("jax_platforms", "cpu")
    parser.add_argument("--network", default="", help="Names that begin so; all.")
    parser.add_argument("--frames", default="1024", help="Of inputs, with commas.")
    parser.add_argument("--bands", type=int, default=128)
    parser.add_argument("--classes", type=int, default=309)
    parser.add_argument("--json", action="store_true", help="A JSON line each.")
    given = parser.parse_args(argv)
    chosen = [n for n in networks() if n.name.startswith(given.network)]
    if not chosen:
        sys.exit(f"error: no network {given.network!r}")
    form = "{:<14}{:>12}{:>14}{:>22}{:>18}"
    if not given.json:
        print(
            form.format("", "input", "parameters", "GMACs: by parameters", "everything")
        )
    for network in chosen:
        for frames in (int(text) for text in given.frames.split(",")):
            row = measure(
                network, frames=frames, bands=given.bands, classes=given.classes
            )
            if given.json:
                print(json.dumps(row), flush=True)
                continue
            print(
                form.format(
                    row["network"], f"{row['bands']} x {row['frames']}",
                    f"{row['parameters_m']:.1f} M", f"{row['gmacs_parameters']:.1f}",
                    f"{row['gmacs_everything']:.1f}",
                ),
                flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
