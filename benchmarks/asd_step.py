"""Training step of the section classifier against the same step in PyTorch.

    python -m benchmarks.asd_step [--peer_python=PYTHON] [--batch=8]
        [--linear_branches=none,dwpw,full] [--layers]

One step takes int16 clips of 10 s: Mixup, log-mel, forward, cross-entropy and center
loss, backward, centres, Adam; on both sides. On CPU float32 and 8 clips, on GPU
bfloat16 and 64.

With `--layers` the depthwise convolutions of the network alone, forward and backward:
`ours` is what the model takes on this backend (`sigjax.nn.conv.depthwise`), the peer
XLA's grouped convolution.
"""

import functools
import time
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import harness, torch_peer, training_step
from benchmarks.training_step import TimedStep
from sigjax.models.section_classifier import SectionClassifierConfig
from sigjax.nn.conv import depthwise
from sigjax.signal.mel import MelConfig
from sigjax.tasks.section_id import SectionIdConfig, SectionIdentification
from sigjax.train.optim import OptimConfig

CLASSES = 42
SAMPLES = 160_000
TINY: dict[str, Any] = {"stem": 8, "channels": 8, "wide": 16, "embedding": 8}
# Maps that Table 1's depthwise convolutions take, channels and stride.
LAYERS = ((157, 64, 128, 2), (79, 32, 256, 1), (79, 32, 512, 2), (40, 16, 512, 1))


def training(batch: int, linear_branch: Any, tiny: bool) -> TimedStep:
    """Our step on a batch of clips."""
    model = SectionClassifierConfig(
        classes=CLASSES,
        linear_branch=linear_branch,
        dtype="auto",
        **(TINY if tiny else {}),
    )
    config = SectionIdConfig(mel=MelConfig(rate_hz=16_000), centre_weight=0.01)
    wave = np.random.default_rng(0).normal(0, 3000, (batch, SAMPLES))
    return TimedStep(
        SectionIdentification(model, config),
        OptimConfig(
            name="adamw",
            learning_rate=1e-3,
            schedule="constant",
            weight_decay=0.0,
            clip_norm=None,
        ),
        {
            "wave": wave.astype(np.int16),
            "label": np.arange(batch, dtype=np.int32) % CLASSES,
        },
        {"statistics": {"mean": np.float32(-20), "std": np.float32(10)}},
    )


def network_lines(args: Any, device: str) -> Iterator[dict[str, Any]]:
    """A line for each kind of linear branch."""
    for branch in args.linear_branches.split(","):
        flags = ["--batch", args.batch, "--steps", args.steps, "--classes", CLASSES]
        flags += ["--linear_branch", branch] + ["--tiny"] * args.tiny
        peer = torch_peer.start("benchmarks.asd_step_torch", flags, args.peer_python)
        ours = training(args.batch, branch, args.tiny)
        ours.refuse_other(peer)
        case = harness.Case(
            name="asd_step",
            case=f"{'tiny, ' * args.tiny}batch {args.batch}, linear branch {branch}",
            ours=functools.partial(ours.run, args.steps),
            peer=torch_peer.side(peer),
            unit="s",
        )
        line = harness.measure(case, device=device, repeats=args.repeats)
        line["ms_per_clip"] = round(1e3 * line["ours"] / args.batch, 2)
        if peer is None:
            line |= {"peer": None, "ratio": None}
        else:
            peer.close()
        yield line


def layer_lines(args: Any, device: str) -> Iterator[dict[str, Any]]:
    """A line for each size of map: a layer and its gradients."""
    gpu = jax.default_backend() == "gpu"
    dtype = jnp.bfloat16 if gpu else jnp.float32
    for frames, mels, channels, stride in LAYERS:
        if args.tiny:
            channels = 8
        shape = (args.batch, frames, mels, channels)
        x = jax.random.normal(jax.random.key(0), shape, dtype)
        kernel = jax.random.normal(jax.random.key(1), (3, 3, channels), dtype)

        def timed(method: Any, x=x, kernel=kernel, stride=stride):
            def total(x, kernel):
                out = depthwise(x, kernel, stride=stride, method=method)
                return jnp.square(out.astype(jnp.float32)).sum()

            function = jax.jit(jax.value_and_grad(total, argnums=(0, 1)))
            jax.block_until_ready(function(x, kernel))

            def run() -> float:
                start = time.perf_counter()
                for _ in range(args.steps):
                    jax.block_until_ready(function(x, kernel))
                return (time.perf_counter() - start) / args.steps

            return run

        case = harness.Case(
            name="asd_step",
            case=f"depthwise {frames}x{mels}x{channels} stride {stride}, batch"
            f" {args.batch}, against grouped",
            ours=timed("auto"),
            peer=timed("grouped"),
            unit="s",
        )
        yield harness.measure(case, device=device, repeats=args.repeats)


def main() -> None:
    """Measures the step, or the layers."""
    flags = harness.parser(__doc__)
    gpu = jax.default_backend() == "gpu"
    flags.add_argument("--batch", type=int, default=64 if gpu else 8)
    flags.add_argument("--steps", type=int, default=20 if gpu else 1)
    flags.add_argument("--linear_branches", default="none,dwpw,full")
    flags.add_argument("--layers", action="store_true")
    flags.add_argument("--tiny", action="store_true", help="a few channels, to try it")
    flags.add_argument("--peer_python", help="a Python that has torch")
    args = flags.parse_args()
    lines = layer_lines if args.layers else network_lines
    harness.report(lines(args, training_step.device()), out=args.out)


if __name__ == "__main__":
    main()
