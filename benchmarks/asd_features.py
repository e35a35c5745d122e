"""Log-mel spectrograms of a batch of clips, beside librosa and beside torch.stft.

    python -m benchmarks.asd_features [--clips=32] [--devices=2] [--peer_python=PYTHON]

Clips are noise of 10 s at 16 kHz; frames of 1024 samples every 512, 128 Slaney mels, in
dB, the same padding; from and to the host's memory. Figures are seconds of audio per
second. XLA's FFT takes one core, so on CPU JAX gets a device for each (`--devices`) and
they share the batch, as in `sigjax.evals.sound_embedding`. Cases:

- `librosa`: `librosa.feature.melspectrogram` and a logarithm, clip by clip, as the
  baselines of the DCASE challenge call it. It makes its mel filters for every clip.
- `librosa, filters kept`: `librosa.stft`, squared, times mel filters made once.
- `torch`: `torch.stft` of the batch, squared, times mel filters made once: in float32,
  not compiled, on the GPU where there is one.

Extras of a line: our `precision` and `devices`, and our rate with one (`one_device`);
the floor, which is the rate of XLA's FFT alone, on one device, on the frames of one
clip, cut and windowed already (`fft_alone`); the operations of a clip
by FFT and by mel filters with their zeros (`mflop_fft`, `mflop_mel`) and what at least
is read and written (`mb`); for librosa, the largest difference (`difference_db`).
All cores are used; for one set
`XLA_FLAGS=--xla_cpu_multi_thread_eigen=false OMP_NUM_THREADS=1`.
"""

import math
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import librosa
import numpy as np

from benchmarks import harness, torch_peer
from sigjax.evals.sound_embedding import on_all_devices
from sigjax.signal.mel import MelConfig, frame_count, log_mel, mel_filters

_CONFIG = MelConfig(rate_hz=16000)
_SIZES = {"n_fft": _CONFIG.n_fft, "hop_length": _CONFIG.hop, "pad_mode": "constant"}
_WIDE, _NARROW = "float64", "float32"


def _decibels(mel: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(mel, _CONFIG.floor)).T


def by_librosa(clip: np.ndarray) -> np.ndarray:
    """`[s]` to `[t, f]`, filters made anew."""
    return _decibels(
        librosa.feature.melspectrogram(
            y=clip, sr=_CONFIG.rate_hz, n_mels=_CONFIG.n_mels, power=2.0, **_SIZES
        )
    )


def by_kept_filters(clip: np.ndarray) -> np.ndarray:
    """`[s]` to `[t, f]`, with the cached filters."""
    power = np.abs(librosa.stft(clip, **_SIZES)) ** 2
    return _decibels(mel_filters(_CONFIG).T @ power)


def _least_s(function: Callable[[], Any], repeats: int = 9) -> float:
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        jax.block_until_ready(function())
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def _fft_alone_s(frames: int, precision: str) -> float:
    with jax.enable_x64(precision == _WIDE):
        x = jnp.ones((frames, _CONFIG.n_fft), precision)
        fft = jax.jit(jnp.fft.rfft)
        return _least_s(lambda: fft(x))


def about(samples: int, precision: str) -> dict[str, Any]:
    """Extras of every line: the floor of a clip."""
    frames, n_fft = frame_count(samples, _CONFIG), _CONFIG.n_fft
    mel = 2 * (n_fft // 2 + 1) * _CONFIG.n_mels
    alone = samples / _CONFIG.rate_hz / _fft_alone_s(frames, precision)
    return {
        "precision": precision,
        "fft_alone": float(f"{alone:.4g}"),
        "mflop_fft": round(frames * 2.5 * n_fft * np.log2(n_fft) / 1e6, 1),
        "mflop_mel": round(frames * mel / 1e6, 1),
        "mb": round((samples + frames * _CONFIG.n_mels) * 4 / 1e6, 2),
    }


def _by_clip(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray):
    def run() -> None:
        for clip in x:
            function(clip)

    return run


def main() -> None:
    """Measures all cases."""
    flags = harness.parser(__doc__, devices=True)
    flags.add_argument("--clips", type=int, help="32 on CPU, else 256")
    flags.add_argument("--seconds", type=float, default=10.0, help="of a clip")
    flags.add_argument("--precision", choices=("auto", _NARROW, _WIDE), default="auto")
    flags.add_argument("--peer_python", help="a Python that has torch")
    args = flags.parse_args()
    # As many as divide the batch: it could not be shared otherwise.
    devices = args.devices or math.gcd(args.clips or 32, os.cpu_count() or 1)
    jax.config.update("jax_num_cpu_devices", devices)
    cpu = jax.default_backend() == "cpu"
    if args.precision == "auto":
        args.precision = _WIDE if cpu else _NARROW
    args.clips = args.clips or (32 if cpu else 256)
    config = MelConfig(rate_hz=_CONFIG.rate_hz, precision=args.precision)
    samples = round(args.seconds * config.rate_hz)
    random = np.random.default_rng(0)
    x = (0.1 * random.normal(size=(args.clips, samples))).astype(np.float32)
    shared = on_all_devices(lambda _, x: log_mel(x, config))
    alone = jax.jit(lambda x: log_mel(x, config))
    ours = jax.device_get(shared({}, x))[0]
    one = args.clips * args.seconds / _least_s(lambda: jax.device_get(alone(x)))
    extras = about(samples, args.precision)
    extras |= {"devices": jax.local_device_count(), "one_device": float(f"{one:.4g}")}

    def run() -> None:
        jax.device_get(shared({}, x))

    def case(name: str, peer: harness.Side, **more: Any) -> dict[str, Any]:
        return harness.measure(
            harness.Case(
                name="asd_features",
                case=f"{name}, {args.clips} clips of {args.seconds:g} s",
                ours=run,
                peer=peer,
                unit="s/s",
                work=args.clips * args.seconds,
                extras={**extras, **more},
            ),
            device=f"{jax.devices()[0].device_kind} jax {jax.__version__}",
            repeats=args.repeats,
        )

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "filters.npy"
        np.save(path, mel_filters(config))
        peer = torch_peer.start(
            "benchmarks.asd_features_peer",
            [path, args.clips, samples, config.hop],
            args.peer_python,
        )

        def lines() -> Iterator[dict[str, Any]]:
            names = {"librosa": by_librosa, "librosa, filters kept": by_kept_filters}
            for name, method in names.items():
                difference = float(f"{np.abs(ours - method(x[0])).max():.1e}")
                yield case(name, _by_clip(method, x), difference_db=difference)
            if peer is not None:
                yield case("torch", torch_peer.side(peer), **peer.about)

        harness.report(lines(), out=args.out)
        if peer is not None:
            peer.close()


if __name__ == "__main__":
    main()
