r"""Multiply-accumulates of the audio networks, by both conventions.

python -m benchmarks.macs                    # every network at its usual inputs
python -m benchmarks.macs --network=ast --frames=1024,512

They are counted in the program itself (its jaxpr; nothing is computed), so what is
counted is what runs: the products of dense layers and convolutions, in which one side
is made of parameters, and those of attention (queries with keys, weights with values),
in which neither is. Counters that hook layers count the first kind alone; papers give
either number without saying which. Element-wise work is in neither: bilinear sampling
and the interpolated position bias, too, where they are computed without products.

A batch of one. Heads have --classes outputs.
"""

import argparse
import dataclasses
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
      layers: Of dense layers and convolutions: one factor is made of parameters.
      products: Of products of two activations, those of attention.
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


def count(function: Callable[..., Any], params: Any, *inputs: Any) -> Macs:
    """Counts what `function(params, *inputs)` multiplies.

    Args:
      function: Pure, as a jitted function has to be.
      params: Arrays or `ShapeDtypeStruct`s; what depends on them alone is a weight.
      *inputs: Likewise; what depends on them is an activation.

    Raises:
      ValueError: A loop without a known number of turns multiplies.
    """
    closed = jax.make_jaxpr(function)(params, *inputs)
    weights = len(jax.tree.leaves(params))
    flags = [i < weights for i in range(len(closed.jaxpr.invars))]
    return _visit(closed.jaxpr, flags)[0]


def _visit(jaxpr: Any, weights: Sequence[bool]) -> tuple[Macs, list[bool]]:
    """Counts a jaxpr.

    Args:
      jaxpr: Open; its constants are weights.
      weights: For each input, whether it is made of parameters alone.

    Returns:
      What was counted, and for each output whether it is made of parameters alone.
    """
    known = dict.fromkeys(jaxpr.constvars, True)
    known.update(zip(jaxpr.invars, weights, strict=True))

    def is_weight(variable: Any) -> bool:
        return isinstance(variable, core.Literal) or known[variable]

    total = Macs()
    for equation in jaxpr.eqns:
        given = [is_weight(v) for v in equation.invars]
        found, made = _equation(equation, given)
        total = total.plus(found)
        known.update(zip(equation.outvars, made, strict=True))
    return total, [is_weight(v) for v in jaxpr.outvars]


def _equation(equation: Any, given: list[bool]) -> tuple[Macs, list[bool]]:
    made = [all(given)] * len(equation.outvars)
    name = equation.primitive.name
    if name in ("dot_general", "conv_general_dilated"):
        size = _dot(equation) if name == "dot_general" else _convolution(equation)
        if all(given):  # Of parameters with each other: done once, not per input.
            return Macs(), made
        return (Macs(layers=size) if any(given) else Macs(products=size)), made
    if name == "scan":
        return _scan(equation, given)
    inner = [(key, _open(v)) for key, v in equation.params.items() if _is_jaxpr(v)]
    if name == "cond":
        branches = [_visit(_open(b), given[1:]) for b in equation.params["branches"]]
        largest = max((found for found, _ in branches), key=lambda m: m.everything)
        flags = zip(*(f for _, f in branches), strict=True)
        return largest, [all(several) for several in flags]
    if name == "while":
        body = dict(inner)["body_jaxpr"]
        found, _ = _visit(body, [False] * len(body.invars))
        if found.everything:
            raise ValueError("a loop of unknown length holds products: not counted")
        return Macs(), made
    fitting = [j for _, j in inner if len(j.invars) == len(given)]
    if fitting:  # jit, remat, custom derivatives: the first is what runs forward.
        found, flags = _visit(fitting[0], given)
        return found, flags if len(flags) == len(made) else made
    if inner:
        raise ValueError(f"cannot look into {name}: its program has other inputs")
    return Macs(), made


def _scan(equation: Any, given: list[bool]) -> tuple[Macs, list[bool]]:
    body = _open(equation.params["jaxpr"])
    consts, carried = (equation.params[k] for k in ("num_consts", "num_carry"))
    flags = list(given)
    # A carry is made of parameters alone only if each turn leaves it so.
    while True:
        found, made = _visit(body, flags)
        after = [
            a and b
            for a, b in zip(
                flags[consts : consts + carried], made[:carried], strict=True
            )
        ]
        if after == flags[consts : consts + carried]:
            return Macs().plus(found, equation.params["length"]), made
        flags[consts : consts + carried] = after


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
    """All that can be counted, each at any input."""
    from sigjax.models.ast import ast_size
    from sigjax.models.audio_classifier import AudioClassifierConfig
    from sigjax.models.dat import dat_size

    def classifier(classes: int, **backbone: Any) -> AudioClassifierConfig:
        return AudioClassifierConfig(heads=(("event", classes),), **backbone)

    for size in ("tiny", "small", "base"):
        yield Network(
            f"ast-{size}",
            lambda frames, bands, classes, size=size: classifier(
                classes,
                ast=dataclasses.replace(ast_size(size), frames=frames, bands=bands),
            ),
        )
    for variant in ("v1", "pp"):
        for size in ("tiny", "small", "base"):
            yield Network(
                f"dat-{variant}-{size}",
                lambda frames, bands, classes, variant=variant, size=size: classifier(
                    classes,
                    head_norm=False,
                    dat=dataclasses.replace(
                        dat_size(variant, size), frames=frames, bands=bands
                    ),
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
        "gmacs_layers": round(found.layers / 1e9, 2),
        "gmacs_everything": round(found.everything / 1e9, 2),
    }


def _size(variables: Mapping[str, Any]) -> int:
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))


def main(argv: Sequence[str] | None = None) -> None:
    """Prints a table, or a JSON line for each row."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
            form.format("", "input", "parameters", "GMACs: layers alone", "everything")
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
                    f"{row['parameters_m']:.1f} M", f"{row['gmacs_layers']:.1f}",
                    f"{row['gmacs_everything']:.1f}",
                ),
                flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
