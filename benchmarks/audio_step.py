"""Training step of DATAR and AST against the same step in PyTorch.

    python -m benchmarks.audio_step [--peer_python=PYTHON] [--batch=2]
        [--networks=datar_tiny,ast_base]

One step takes int16 clips of 10 s at 16 kHz: Mixup, filter banks of 1024 frames and 128
bands, SpecAugment, forward, cross-entropy over 309 classes, backward, AdamW; on both
sides. Networks: `datar_tiny` is the pyramid of v1-T under the public convention, with
stochastic depth (what PyTorch has a module for); `ast_tiny`, `ast_small` and `ast_base`
have patches every 10 frames and bands, 1214 tokens. On CPU float32 and 2 clips, on GPU
bfloat16 and 32, there compiled and in bfloat16 autocast in PyTorch. AST's twelve blocks
are written one after another, as PyTorch runs them (`AstConfig.unroll`); as a loop they
compile sooner.

Extras of a line: `ms_per_clip`, and the network's `parameters`.
"""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from benchmarks import harness, torch_peer, training_step
from benchmarks.training_step import TimedStep
from sigjax.models.ast import ast_size
from sigjax.models.audio_classifier import AudioClassifierConfig
from sigjax.models.dat import dat_size
from sigjax.signal.fbank import STATISTICS
from sigjax.tasks.audio_events import AudioEvents, AudioEventsConfig
from sigjax.train.optim import OptimConfig

CLASSES, SECONDS, RATE_HZ = 309, 10, 16_000
NETWORKS = ("datar_tiny", "ast_tiny", "ast_small", "ast_base")


def training(network: str, batch: int, unroll: int) -> TimedStep:
    """Our step of one of `NETWORKS` on `batch` clips."""
    heads = (("label", CLASSES),)
    if network.startswith("ast_"):
        backbone = ast_size(network.removeprefix("ast_"), unroll=unroll)  # type: ignore
        model = AudioClassifierConfig(heads=heads, ast=backbone)
    else:
        model = AudioClassifierConfig(
            heads=heads, dat=dat_size("v1", "tiny"), head_norm=False
        )
    mean, std = STATISTICS["audioset"]
    task = AudioEvents(
        model,
        AudioEventsConfig(target="single", window_s=float(SECONDS), mean=mean, std=std),
    )
    optim = OptimConfig(
        name="adamw",
        learning_rate=1e-5,
        schedule="constant",
        weight_decay=0.01,
        clip_norm=None,
    )
    samples = SECONDS * RATE_HZ
    wave = np.random.default_rng(0).normal(0, 3000, (batch, samples))
    return TimedStep(
        task,
        optim,
        {
            "wave": wave.astype(np.int16),
            "valid": np.full(batch, samples, np.int32),
            "label": np.arange(batch, dtype=np.int32) % CLASSES,
        },
    )


def lines(args: Any) -> Iterator[dict[str, Any]]:
    """A line for each network."""
    for network in args.networks.split(","):
        flags = ["--network", network, "--batch", args.batch, "--steps", args.steps]
        peer = torch_peer.start("benchmarks.audio_step_torch", flags, args.peer_python)
        ours = training(network, args.batch, args.unroll)
        ours.refuse_other(peer)
        case = harness.Case(
            name="audio_step",
            case=f"{network}, batch {args.batch}",
            ours=functools.partial(ours.run, args.steps),
            peer=torch_peer.side(peer),
            unit="s",
            extras={"parameters": ours.parameters},
        )
        line = harness.measure(
            case, device=training_step.device(), repeats=args.repeats
        )
        line["ms_per_clip"] = round(1e3 * line["ours"] / args.batch, 2)
        if peer is None:
            line |= {"peer": None, "ratio": None}
        else:
            line["torch"] = peer.about["torch"]
            peer.close()
        yield line


def main() -> None:
    """Measures the step of each network."""
    flags = harness.parser(__doc__)
    gpu = jax.default_backend() == "gpu"
    flags.add_argument("--networks", default="datar_tiny,ast_base")
    flags.add_argument("--batch", type=int, default=32 if gpu else 2)
    flags.add_argument("--steps", type=int, default=10 if gpu else 1)
    flags.add_argument(
        "--unroll", type=int, default=12, help="AST's blocks in a turn of its loop"
    )
    flags.add_argument("--peer_python", help="a Python that has torch")
    args = flags.parse_args()
    unknown = set(args.networks.split(",")) - set(NETWORKS)
    if unknown:
        flags.error(f"unknown networks {sorted(unknown)}: there are {NETWORKS}")
    harness.report(lines(args), out=args.out)


if __name__ == "__main__":
    main()
