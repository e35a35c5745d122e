"""Training step of the paper's masked autoencoder against the same step in PyTorch.

    python -m benchmarks.mae_step [--peer_python=PYTHON] [--batch=4] [--unroll=1,12]

One step is forward, the LMM loss on exactly 180 of 300 patches, backward, clipping and
AdamW. Ours also cuts int16 counts into windows and draws the masks; the peer is given
patches and masks. On CPU float32 and 4 windows, on GPU bfloat16 and 256.

Prints, besides the ratio: `ms_per_step`, and `matmul_fraction`, the step's matrix
products (counted) per second over what a large matrix product reaches here (measured).
"""

import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import harness, torch_peer, training_step
from benchmarks.training_step import TimedStep
from sigjax.losses.spectral import SpectralLossConfig
from sigjax.models.mae import MaeConfig
from sigjax.tasks.masked_modelling import MaskedModelling, MaskedModellingConfig
from sigjax.train.optim import OptimConfig

TOKENS, MASKED = 300, 180
PAPER: dict[str, Any] = {
    "patch_size": 900,
    "width": 256,
    "depth": 12,
    "num_heads": 4,
    "mlp_dim": 680,
}


def matmul_flops(batch: int) -> float:
    """Floating-point operations in the matrix products of one training step.

    Per token and block, forward: the weights and twice `n d` for attention. Backward
    does each product twice. Recomputation is not counted, nor is the loss.
    """
    d = PAPER["width"]
    weights = 4 * d * d + 3 * d * PAPER["mlp_dim"]
    per_token = PAPER["depth"] * (weights + 2 * TOKENS * d)
    # The embedding's input needs no gradient: two products and not three.
    ends = PAPER["patch_size"] * d * (TOKENS * 2 / 3 + MASKED)
    return 3 * 2 * batch * (TOKENS * per_token + ends)


def matmul_ceiling(gpu: bool, repeats: int = 10) -> float:
    """Operations per second of one large square product in the compute dtype."""
    size, dtype = (8192, jnp.bfloat16) if gpu else (2048, jnp.float32)
    x = jax.random.normal(jax.random.key(0), (size, size), dtype)
    product = jax.jit(jnp.matmul)
    product(x, x).block_until_ready()
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        product(x, x).block_until_ready()
        seconds.append(time.perf_counter() - start)
    return 2 * size**3 / min(seconds)


def training(batch: int, unroll: int) -> TimedStep:
    """Our step on a batch of `batch` windows."""
    windows = min(batch, 32)
    task = MaskedModelling(
        MaeConfig(**PAPER, unroll=unroll),
        SpectralLossConfig(n_fft=32),
        MaskedModellingConfig(
            rate_hz=30,
            channels=3,
            window_s=3000,
            windows=windows,
            patch_s=10,
            mask_rate=MASKED / TOKENS,
        ),
    )
    crops = batch // windows
    shape = (crops, round(windows * 3000 * 30 * 0.9), 3)  # windows overlap
    counts = np.random.default_rng(0).normal(scale=8192, size=shape)
    return TimedStep(
        task,
        OptimConfig(name="adamw", learning_rate=1e-4, weight_decay=1e-2),
        {
            "counts": counts.astype(np.int16),
            "scale": np.full(crops, 1 / 8192, np.float32),
            "seed": np.arange(crops, dtype=np.uint32),
        },
    )


def main() -> None:
    """Measures every `--unroll`."""
    flags = harness.parser(__doc__)
    gpu = jax.default_backend() == "gpu"
    flags.add_argument("--batch", type=int, default=256 if gpu else 4)
    flags.add_argument("--steps", type=int, default=20 if gpu else 1)
    flags.add_argument("--unroll", default="1,12" if gpu else "1")
    flags.add_argument("--peer_python", help="a Python that has torch")
    args = flags.parse_args()
    ceiling, flops = matmul_ceiling(gpu), matmul_flops(args.batch)
    peer = torch_peer.start(
        "benchmarks.mae_step_torch",
        ["--batch", args.batch, "--steps", args.steps],
        args.peer_python,
    )

    def line(unroll: int):
        ours = training(args.batch, unroll)
        ours.refuse_other(peer)
        case = harness.Case(
            name="mae_step",
            case=f"batch {args.batch}, unroll {unroll}",
            ours=lambda: ours.run(args.steps),
            peer=torch_peer.side(peer),
            unit="s",
        )
        found = harness.measure(
            case, device=training_step.device(), repeats=args.repeats
        )
        found["ms_per_step"] = 1e3 * found["ours"]
        found["matmul_fraction"] = round(flops / found["ours"] / ceiling, 3)
        found["matmul_tflops_per_s"] = round(ceiling / 1e12, 3)
        return found

    lines = (line(int(unroll)) for unroll in args.unroll.split(","))
    torch_peer.report(peer, lines, out=args.out)


if __name__ == "__main__":
    main()
