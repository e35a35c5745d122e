"""Probes of all layers and seeds, against the same training as a loop in PyTorch.

    python -m benchmarks.probe_sweep [--peer_python=PYTHON] [--epochs=30]

The paper's probe (128-64-32, batches of 16) on random features of as many clips as
Watkins has, mean and deviation of 13 layers of width 768, with 5 seeds; 70 % train,
20 % validate. Both sides do the same epochs, so that steps are equal: nobody stops
early. Timed is all of it: standardising, training, validation after each epoch, keeping
the best weights, posteriors of the test rows. Not timed: compiling.

Figures are steps of a probe per second. On CPU JAX gets a device for each core
(`--devices`), which share the layers. The peer's probes cost the same each, so
`--peer_probes` of them are timed and the rest is reckoned. Its cases: with PyTorch's
own number of threads, with one, which is faster for such small networks, and with one
and batches from a `DataLoader`.
"""

import argparse
import functools
import os
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from benchmarks import harness, torch_peer
from sigjax.evals.layer_probes import LayerFeatures, Sweep, fold_of, layers_of
from sigjax.evals.layer_probes import protocol as named_protocol
from sigjax.evals.layer_probes import sweep as probe_layers

PEER = "benchmarks.probe_sweep_torch"


class Probing:
    """Our side: features, labels and a split."""

    def __init__(self, args: argparse.Namespace):
        """Draws features whose classes differ a little."""
        rng = np.random.default_rng(0)
        self.label = rng.integers(0, args.classes, args.clips)
        shape = (args.clips, args.layers, args.width)
        self.values = rng.standard_normal(shape, np.float32)
        own = rng.standard_normal((args.classes, 1, args.width), np.float32)
        self.values += 0.1 * own[self.label]
        train, validation = int(0.7 * args.clips), int(0.2 * args.clips)
        names = ["train"] * train + ["validation"] * validation
        names += ["test"] * (args.clips - len(names))
        self.fold = fold_of(rng.permutation(names))
        self.classes = [str(number) for number in range(args.classes)]
        self.protocol = named_protocol(
            "paper",
            batch=args.batch,
            epochs=args.epochs,
            patience=args.epochs,
            seeds=tuple(range(args.seeds)),
        )
        self.steps = -(-len(self.fold.train) // args.batch) * args.epochs
        self.steps *= args.layers * args.seeds

    @functools.cached_property
    def features(self) -> list[LayerFeatures]:
        """A layer each."""
        return layers_of("random", self.values)

    def run(self) -> Sweep:
        """All probes, once."""
        folds = [self.fold]
        return probe_layers(
            self.features, self.label, self.classes, folds, self.protocol
        )

    def save(self, path: pathlib.Path) -> None:
        """Writes what the peer needs."""
        fold = self.fold
        np.savez(
            path,
            values=self.values,
            label=self.label,
            train=fold.train,
            val=fold.validation,
            test=fold.test,
        )


def lines(args: argparse.Namespace, device: str) -> Iterator[dict[str, Any]]:
    """A case for each way to run the peer."""
    ours = Probing(args)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "features.npz"
        ours.save(path)
        flags = {"data": path, "batch": args.batch, "epochs": args.epochs}
        flags |= {"seeds": args.seeds, "timed": args.peer_probes}
        flags |= {"hidden": ",".join(map(str, ours.protocol.hidden))}
        peer = torch_peer.start(
            PEER,
            [f"--{name}={value}" for name, value in flags.items()],
            args.peer_python,
        )
        threads = peer.about["threads"] if peer else 0
        ways = {f"{threads}|index": f"{threads} threads", "1|index": "1 thread"}
        ways["1|loader"] = "1 thread, DataLoader"
        for what, name in ways.items():
            case = harness.Case(
                name="probe_sweep",
                case=f"{args.layers} layers x {args.seeds} seeds, peer: {name}",
                ours=lambda: void(ours.run()),
                peer=torch_peer.side(peer, what),
                unit="steps/s",
                work=ours.steps,
                extras={
                    "clips": args.clips,
                    "batch": args.batch,
                    "epochs": args.epochs,
                    "devices": jax.local_device_count(),
                },
            )
            line = harness.measure(case, device=device, repeats=args.repeats)
            yield line if peer else line | {"peer": None, "ratio": None}
        if peer:
            peer.close()


def void(_: Any) -> None:
    """Nothing: the whole call is timed."""


def main() -> None:
    """Measures."""
    flags = harness.parser(__doc__, devices=True)
    flags.set_defaults(repeats=3)
    sizes = {"layers": 13, "seeds": 5, "clips": 1697, "classes": 32, "width": 1536}
    sizes |= {"batch": 16, "epochs": 10, "peer_probes": 5}
    for name, value in sizes.items():
        flags.add_argument(f"--{name}", type=int, default=value)
    flags.add_argument("--peer_python", help="a Python that has torch")
    args = flags.parse_args()
    jax.config.update("jax_num_cpu_devices", args.devices or os.cpu_count() or 1)
    gpu = jax.default_backend() == "gpu"
    kind = jax.devices()[0].device_kind if gpu else f"{harness.cpu()} x{os.cpu_count()}"
    device = f"{jax.default_backend()}:{kind} jax {jax.__version__}"
    harness.report(lines(args, device), out=args.out)


if __name__ == "__main__":
    main()
