"""Kaldi's filter banks of a batch of clips, beside transformers' extractor and torch.

    python -m benchmarks.fbank [--clips=32] [--devices=2] [--peer_python=PYTHON]

Clips are noise of 10 s, as they come: float32 in the host's memory. What comes back to
it are 1024 normalised frames of 128 bands. Figures are seconds of audio per second.
XLA's FFT takes one core, so on CPU JAX gets a device for each (`--devices`) and they
share the batch, as in `sigjax.evals.sound_embedding`. Cases:

- `transformers`: `ASTFeatureExtractor` on the list of clips: AST's preset. `path` says
  whether it ran in NumPy or, where torchaudio is installed, in that.
- `torch`: the same filter banks of the batch written with torch, float32 and not
  compiled, on the GPU where there is one; each preset.

Extras of a line: our `precision`, `devices`, and our rate with one (`one_device`); the
largest difference to the peer's first clip (`difference`, in units of the normalised
banks: nepers of power by twice AudioSet's standard deviation). All cores are used; for
one set `XLA_FLAGS=--xla_cpu_multi_thread_eigen=false OMP_NUM_THREADS=1`.
"""

import dataclasses
import math
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

from benchmarks import harness, torch_peer, training_step
from sigjax.evals.sound_embedding import on_all_devices
from sigjax.signal.fbank import (
    PRESETS,
    STATISTICS,
    FbankConfig,
    fbank,
    fit_frames,
    mel_filters,
    normalise,
)

FRAMES, SECONDS = 1024, 10


def ours(config: FbankConfig) -> Callable[[jax.Array], jax.Array]:
    """`[b, s]` to normalised `[b, 1024, f]`."""

    def banks(x: jax.Array) -> jax.Array:
        found = fit_frames(fbank(x, config), FRAMES)
        return normalise(found, *STATISTICS["audioset"])

    return banks


def _least_s(function: Callable[[], Any], repeats: int = 5) -> float:
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def lines(args: Any) -> Iterator[dict[str, Any]]:
    """A line for each preset and peer."""
    for name, preset in PRESETS.items():
        config = dataclasses.replace(preset, precision=args.precision)
        samples = round(SECONDS * config.expected_hz)
        random = np.random.default_rng(0)
        x = (0.1 * random.normal(size=(args.clips, samples))).astype(np.float32)
        banks = ours(config)
        shared = on_all_devices(lambda _, x, banks=banks: banks(x))
        alone = jax.jit(banks)
        first = jax.device_get(alone(x[:1]))[0]
        one_s = _least_s(lambda x=x, alone=alone: jax.device_get(alone(x)))
        extras = {
            "precision": args.precision,
            "devices": jax.local_device_count(),
            "one_device": float(f"{args.clips * SECONDS / one_s:.4g}"),
        }

        def run(shared=shared, x=x) -> None:
            jax.device_get(shared({}, x))

        with tempfile.TemporaryDirectory() as folder:
            sizes = (config.frame_samples, config.shift_samples, config.n_fft, FRAMES)
            path = pathlib.Path(folder) / "work.npz"
            np.savez(
                path,
                x=x,
                statistics=np.array(STATISTICS["audioset"]),
                filters=mel_filters(config),
                sizes=np.array(sizes),
            )
            kinds = ("transformers", "torch") if name == "ast" else ("torch",)
            for kind in kinds:
                out = pathlib.Path(folder) / f"{kind}.npy"
                peer = torch_peer.start(
                    "benchmarks.fbank_peer", [kind, path, out], args.peer_python
                )
                about: dict[str, Any] = dict(peer.about) if peer else {}
                if peer:
                    peer.run()
                    difference = np.abs(np.load(out) - first).max()
                    about["difference"] = float(f"{difference:.1e}")
                case = harness.Case(
                    name="fbank",
                    case=f"{kind}, {name}, {args.clips} clips of {SECONDS} s",
                    ours=run,
                    peer=torch_peer.side(peer),
                    unit="s/s",
                    work=args.clips * SECONDS,
                    extras={**extras, **about},
                )
                line = harness.measure(
                    case, device=training_step.device(), repeats=args.repeats
                )
                if peer is None:
                    line |= {"peer": None, "ratio": None}
                else:
                    peer.close()
                yield line


def main() -> None:
    """Measures all cases."""
    flags = harness.parser(__doc__, devices=True)
    flags.add_argument("--clips", type=int, help="32 on CPU, else 256")
    choices = ("auto", "float32", "float64")
    flags.add_argument("--precision", choices=choices, default="auto")
    flags.add_argument("--peer_python", help="a Python with torch and transformers")
    args = flags.parse_args()
    # As many as divide the batch: it could not be shared otherwise.
    devices = args.devices or math.gcd(args.clips or 32, os.cpu_count() or 1)
    jax.config.update("jax_num_cpu_devices", devices)
    cpu = jax.default_backend() == "cpu"
    if args.precision == "auto":
        args.precision = "float64" if cpu else "float32"
    args.clips = args.clips or (32 if cpu else 256)
    harness.report(lines(args), out=args.out)


if __name__ == "__main__":
    main()
