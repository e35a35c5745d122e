"""The log-scale mean magnitude loss against the same loss through torch.stft.

    python -m benchmarks.lmm_loss [--peer_python=PYTHON] [--rows=2160,34560]

Rows are patches of one channel with 300 samples: 4 windows have 4 x 180 x 3 = 2160
masked ones, a batch of 256 windows 138240. Both sides take the best of three runs in
each turn; the peer is not compiled.
"""

import time

import jax
import jax.numpy as jnp

from benchmarks import harness, torch_peer
from sigjax.losses.spectral import SpectralLossConfig, lmm

REPEATS = 3


def _ours(kind: str, rows: int, n_fft: int):
    config = SpectralLossConfig(n_fft=n_fft)
    target, prediction = jax.random.normal(jax.random.key(0), (2, rows, 300))

    def loss(target, prediction):
        return jnp.mean(lmm(target, prediction, config))

    function = jax.jit(
        loss if kind == "forward" else jax.value_and_grad(loss, argnums=1)
    )

    def run() -> float:
        seconds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            jax.block_until_ready(function(target, prediction))
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    return run


def main() -> None:
    """Measures forward and gradient for every size and FFT length."""
    flags = harness.parser(__doc__)
    gpu = jax.default_backend() == "gpu"
    flags.add_argument("--rows", default="34560,138240" if gpu else "2160,34560")
    flags.add_argument("--n_fft", default="16,32,64,128,256")
    flags.add_argument("--peer_python", help="a Python that has torch")
    args = flags.parse_args()
    device = f"{jax.devices()[0].device_kind} jax {jax.__version__}"
    peer = torch_peer.start("benchmarks.lmm_loss_torch", [], args.peer_python)

    def lines():
        for rows in map(int, args.rows.split(",")):
            for n_fft in map(int, args.n_fft.split(",")):
                for kind in ("forward", "gradient"):
                    what = f"{kind} {rows} {n_fft}"
                    case = harness.Case(
                        name="lmm_loss",
                        case=f"{kind}, {rows} rows, n_fft {n_fft}",
                        ours=_ours(kind, rows, n_fft),
                        peer=torch_peer.side(peer, what),
                        unit="s",
                    )
                    yield harness.measure(case, device=device, repeats=args.repeats)

    torch_peer.report(peer, lines(), out=args.out)


if __name__ == "__main__":
    main()
