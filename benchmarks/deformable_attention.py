"""Deformable attention against the public module in PyTorch.

    python -m benchmarks.deformable_attention [--peer_python=PYTHON]
        [--dat_checkout=v1=DIR,pp=DIR] [--designs]

Layers of the published networks on the maps that 128 bands x 1024 frames give them, as
they stand there: projections, offset network, samples, position bias and attention,
forward and forward + backward with gradients of all. XLA gives many of these steps one
core, so on CPU JAX gets a device for each (`--devices`) and they share the batch, as in
`launch.predict` with `JAX_NUM_CPU_DEVICES`; gradients of weights are summed over them.
The peer uses all cores by itself. It is written anew after the
public module (`benchmarks.deformable_attention_torch`), or the public class itself out
of checkouts of github.com/LeapLabTHU/DAT at 566a593 (v1) and 32173fc (pp). On a GPU
both compute in bfloat16, the peer under torch.compile.

`peak_mb` and `peer_peak_mb` are what one call adds to a process of its own; on a GPU,
ours is what the compiler set aside.

`--designs` compares the three designs of the position bias with each other instead: the
"peer" is then our own design `gather`.
"""

import argparse
import dataclasses
import functools
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks import harness, torch_peer
from benchmarks.peak import peak_mb
from sigjax.nn.deformable import (
    Convention,
    DeformableAttention,
    DeformableAttentionConfig,
    Design,
)

KINDS = ("forward", "backward")
PEER = "benchmarks.deformable_attention_torch"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shape:
    """A layer of a published size.

    Attributes:
      convention: Whose network it is of.
      stage: Where it stands, from 1.
      width: Channels.
      heads: Of attention.
      groups: Of offsets.
      rows: Of the map: bands over the stage's stride.
      columns: Frames over the stage's stride.
      taps: Of the offset network.
      stride: Of keys.
      factor: Of offsets.
    """

    convention: Convention
    stage: int
    width: int
    heads: int
    groups: int
    rows: int
    columns: int
    taps: int
    stride: int = 1
    factor: float = 2.0


_THIRD = dict(convention="v1", stage=3, rows=8, columns=64, taps=5)
SHAPES: dict[str, Shape] = {
    "v1-T stage 3": Shape(**_THIRD, width=384, heads=12, groups=3),  # pyright: ignore
    "v1-T stage 4": Shape(
        convention="v1",
        stage=4,
        width=768,
        heads=24,
        groups=6,
        rows=4,
        columns=32,
        taps=3,
    ),
    "v1-B stage 3": Shape(**_THIRD, width=512, heads=16, groups=4),  # pyright: ignore
    "++T stage 1": Shape(
        convention="pp",
        stage=1,
        width=64,
        heads=2,
        groups=1,
        rows=32,
        columns=256,
        taps=9,
        stride=8,
        factor=-1.0,
    ),
}


def dtype_name() -> str:
    """What both sides compute in here."""
    return "float32" if jax.default_backend() == "cpu" else "bfloat16"


@functools.cache
def compiled(name: str, kind: str, batch: int, design: Design) -> Callable[[], Any]:
    """Our layer as a compiled program with its arguments."""
    shape = SHAPES[name]
    config = DeformableAttentionConfig(
        heads=shape.heads,
        groups=shape.groups,
        convention=shape.convention,
        stride=shape.stride,
        taps=shape.taps,
        offset_factor=shape.factor,
        design=design,
    )
    module = DeformableAttention(config, jnp.dtype(dtype_name()))
    x = jax.random.normal(
        jax.random.key(0), (batch, shape.rows, shape.columns, shape.width)
    ).astype(dtype_name())
    variables = jax.jit(module.init)(jax.random.key(1), x)

    def both(variables, x):
        y, pull = jax.vjp(module.apply, variables, x)
        weights, values = pull(jax.tree.map(jnp.ones_like, y))
        return jax.lax.psum(weights, "rows"), values

    mesh = jax.sharding.Mesh(jax.local_devices(), ("rows",))
    whole, rows = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec("rows")
    function = jax.shard_map(
        module.apply if kind == "forward" else both,
        mesh=mesh,
        in_specs=(whole, rows),
        out_specs=rows if kind == "forward" else (whole, rows),
        check_vma=False,
    )
    variables = jax.device_put(variables, jax.sharding.NamedSharding(mesh, whole))
    x = jax.device_put(x, jax.sharding.NamedSharding(mesh, rows))
    program = jax.jit(function).lower(variables, x).compile()
    jax.block_until_ready((variables, x))
    return functools.partial(program, variables, x)


def ours(name: str, kind: str, batch: int, repeats: int, design: Design = "auto"):
    """Seconds of a call, the best of `repeats`."""
    call = compiled(name, kind, batch, design)

    def run() -> float:
        spent = []
        for _ in range(repeats):
            start = time.perf_counter()
            jax.block_until_ready(call())
            spent.append(time.perf_counter() - start)
        return min(spent)

    return run


def our_peak(name: str, kind: str, batch: int) -> float:
    """MiB of one call, in this process."""
    call = compiled(name, kind, batch, "auto")
    if jax.default_backend() == "gpu":
        analysis = call.func.memory_analysis()  # pyright: ignore
        return (analysis.temp_size_in_bytes + analysis.output_size_in_bytes) / 2**20
    return peak_mb(lambda: jax.block_until_ready(call()))


def peaks(args: argparse.Namespace, name: str, kind: str) -> dict[str, float]:
    """Both sides' peaks, each in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.deformable_attention"]
    command += [f"--batch={args.batch}", f"--devices={args.devices}"]
    command += ["--peak", name, kind]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = {"peak_mb": round(float(said.split()[-1]), 1)}
    peer = torch_peer.start(PEER, peer_arguments(args), args.peer_python)
    if peer is not None:
        what = f"peak_{kind}|{name}|{args.batch}|1"
        found["peer_peak_mb"] = round(peer.run(what), 1)
        peer.close()
    return found


def peer_arguments(args: argparse.Namespace) -> list[str]:
    """Flags of the peer's process."""
    found = [f"--dtype={dtype_name()}", f"--dat_checkout={args.dat_checkout}"]
    return found if jax.default_backend() == "cpu" else [*found, "--compile"]


def against_torch(args: argparse.Namespace, device: str, names: list[str]) -> None:
    """Every layer, forward and backward, against the peer."""
    peer = torch_peer.start(PEER, peer_arguments(args), args.peer_python)
    who = "public module" if args.dat_checkout else "its structure"

    def lines() -> Iterator[dict[str, Any]]:
        for name in names:
            for kind in KINDS:
                what = f"{kind}|{name}|{args.batch}|{args.calls}"
                case = harness.Case(
                    name="deformable_attention",
                    case=f"{name}, {_KIND_NAMES[kind]}, batch {args.batch}",
                    ours=ours(name, kind, args.batch, args.calls),
                    peer=torch_peer.side(peer, what),
                    unit="s",
                    extras={
                        "peer_is": who,
                        "devices": args.devices,
                        **peaks(args, name, kind),
                    },
                )
                yield harness.measure(case, device=device, repeats=args.repeats)

    torch_peer.report(peer, lines(), out=args.out)


_KIND_NAMES = {"forward": "forward", "backward": "forward + backward"}


def designs(args: argparse.Namespace, device: str, names: list[str]) -> None:
    """Slices and matmul against gather."""
    harness.report(
        (
            harness.measure(
                harness.Case(
                    name="deformable_attention",
                    case=f"{name}, {_KIND_NAMES[kind]}, {design} against gather",
                    ours=ours(name, kind, args.batch, args.calls, design),
                    peer=ours(name, kind, args.batch, args.calls, "gather"),
                    unit="s",
                ),
                device=device,
                repeats=args.repeats,
            )
            for name in names
            for kind in KINDS
            for design in ("slices", "matmul")
        ),
        out=args.out,
    )


def main() -> None:
    """Measures."""
    flags = harness.parser(__doc__, devices=True)
    flags.add_argument("--batch", type=int, default=2)
    flags.add_argument(
        "--calls", type=int, default=3, help="of a turn; the best counts"
    )
    flags.add_argument("--layers", default=",".join(SHAPES), help="which")
    flags.add_argument("--designs", action="store_true", help="ours among themselves")
    flags.add_argument("--dat_checkout", default="", help="v1=DIR,pp=DIR")
    flags.add_argument("--peer_python", help="a Python that has torch")
    flags.add_argument("--peak", nargs=2, help=argparse.SUPPRESS)
    args = flags.parse_args()
    # As many as divide the batch: it could not be shared otherwise.
    args.devices = args.devices or math.gcd(args.batch, os.cpu_count() or 1)
    jax.config.update("jax_num_cpu_devices", args.devices)
    if jax.default_backend() != "cpu":
        args.devices = 1
    if args.peak:
        name, kind = args.peak
        print(our_peak(name, kind, args.batch))
        return
    if jax.default_backend() == "cpu":
        device = f"cpu:{harness.cpu()} jax {jax.__version__}"
    else:
        device = f"{jax.devices()[0].device_kind} jax {jax.__version__}"
    chosen = designs if args.designs else against_torch
    chosen(args, device, args.layers.split(","))


if __name__ == "__main__":
    main()
