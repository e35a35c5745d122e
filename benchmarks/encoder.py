"""Features of clips by HuBERT and WavLM, beside transformers on the same weights.

    python -m benchmarks.encoder [--kinds=hubert,wavlm] [--cases=equal,mix]
        [--peer_python=PYTHON]

Weights are random, of the base size, drawn by transformers and read from its file;
clips are noise. Both sides give mean and standard deviation over frames of all layers,
from the host's memory and to it. Cases:

- `equal`: clips of 10 s. transformers takes them in one batch, too, without a mask:
  nothing is padded.
- `mix`: lengths as of calls, log-normal around 127 ms with a tail to a minute and more.
  Ours are batched by length, under a budget of samples, and padded; transformers takes
  one at a time, the only way in which its features are a clip's own. Clips above 30 s
  are read in chunks of 18.75 s on both sides.

On CPU float32; on GPU bfloat16, in transformers as well, where weights are converted
before. transformers is not compiled: it would be anew for every length. Its attention
is the one it chooses by itself.

Extras of a line: how many times faster than real time either side is (`*_times_real`),
the sound's length (`sound_s`), how many shapes ours compiled and how long its first,
uncounted turn took with them (`shapes`, `first_s`), the share of padding (`padding`),
and the mean absolute difference of features in their standard deviations
(`difference`).
"""

import json
import pathlib
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from benchmarks import harness, torch_peer, training_step
from sigjax.convert.speech import read_speech
from sigjax.data.calls.buckets import BatchPlan, BucketConfig, padding_share, plan
from sigjax.inference.speech_encoder import ChunkMerger
from sigjax.models.speech_encoder import SpeechEncoder, speech_size

RATE_HZ, LEAST = 16_000, 800
MEDIAN_S, SPREAD = 0.127, 2.0


def mixed_lengths(clips: int, *, longest_s: float = 180.0) -> np.ndarray:
    """Samples of `clips` calls: quantiles of a log-normal distribution, shuffled.

    Its median is that of the calls of InfantMarmosetsVox; its spread is wider, so that
    the tail reaches minutes, as of recordings of whales.
    """
    normal = np.random.default_rng(0).normal(size=200_000)
    places = (np.arange(clips) + 0.5) / clips
    seconds = MEDIAN_S * np.exp(SPREAD * np.quantile(normal, places))
    samples = (np.minimum(seconds, longest_s) * RATE_HZ).astype(np.int64)
    return np.random.default_rng(1).permutation(np.maximum(samples, LEAST))


class Encoder:
    """Ours, on the peer's weights.

    Attributes:
      buckets: Shapes of batches.
    """

    def __init__(
        self, kind: Any, size: Any, folder: pathlib.Path, buckets: BucketConfig
    ):
        """Reads the weights that the peer left in `folder`, or draws some."""
        self.buckets = buckets
        if (folder / "weights").exists():
            weights = read_speech(folder / "weights")
            config, params = weights.config, weights.params
        else:
            config = speech_size(kind, size)
            init = SpeechEncoder(config).init
            x = np.zeros((1, LEAST), np.float32)
            params = jax.jit(init)(jax.random.key(0), x)["params"]
        self.params = jax.device_put(params)
        self.layers, self.width = config.depth + 1, config.width
        model = SpeechEncoder(config)
        self._moments = jax.jit(
            lambda params, x, samples: model.apply(
                {"params": params}, x, samples, method=SpeechEncoder.layer_moments
            )
        )

    def features(self, clips: list[np.ndarray]) -> np.ndarray:
        """Float32 `[n, l, 2 d]`; devices work while the host fills the next batches."""
        plans = plan([len(clip) for clip in clips], self.buckets)
        made = [
            self._moments(self.params, _filled(batch, clips), batch.samples)
            for batch in plans
        ]
        found = np.zeros((len(clips), self.layers, 2 * self.width), np.float32)
        merger = ChunkMerger()
        for batch, moments in zip(plans, made, strict=True):
            for number, features in merger.add(
                batch.row, batch.chunk, batch.chunks, moments
            ):
                found[number] = features
        return found


def _filled(batch: BatchPlan, clips: list[np.ndarray]) -> np.ndarray:
    wave = np.zeros((len(batch.row), batch.width), np.float32)
    for at, (row, start, count) in enumerate(
        zip(batch.row, batch.start, batch.samples, strict=True)
    ):
        if row >= 0:
            wave[at, :count] = clips[row][start : start + count]
    return wave


def _compared(
    case: str,
    kind: str,
    clips: list[np.ndarray],
    encoder: Encoder,
    peer: torch_peer.Peer | None,
    folder: pathlib.Path,
    repeats: int,
) -> dict[str, Any]:
    sound_s = sum(map(len, clips)) / RATE_HZ
    plans = plan([len(clip) for clip in clips], encoder.buckets)
    extras: dict[str, Any] = {
        "sound_s": round(sound_s, 1),
        "shapes": len({(batch.width, len(batch.row)) for batch in plans}),
        "padding": round(padding_share(plans), 3),
    }
    start = time.perf_counter()
    ours = encoder.features(clips)  # and compiles
    extras["first_s"] = float(f"{time.perf_counter() - start:.3g}")
    if peer is not None:
        peer.run(f"features {case}")
        theirs = np.load(folder / f"{case}_features.npy")
        error = np.abs(ours - theirs).mean() / theirs.std()
        extras |= {**peer.about, "difference": float(f"{error:.1e}")}
    line = harness.measure(
        harness.Case(
            name="encoder",
            case=f"{kind}, {case}, {len(clips)} clips",
            ours=lambda: _nothing(encoder.features(clips)),
            peer=torch_peer.side(peer, case),
            unit="clips/s",
            work=len(clips),
            extras=extras,
        ),
        device=training_step.device(),
        repeats=repeats,
        warmup=0,  # both have run
    )
    for side in ("ours", "peer"):
        line[f"{side}_times_real"] = float(f"{line[side] * sound_s / len(clips):.3g}")
    if peer is None:
        line |= {"peer": None, "ratio": None, "peer_times_real": None}
    return line


def _nothing(features: np.ndarray) -> None:
    del features


def lines(args: Any) -> Iterator[dict[str, Any]]:
    """A line for each encoder and case."""
    lengths = {
        "equal": np.full(args.clips, round(args.seconds * RATE_HZ)),
        "mix": mixed_lengths(args.calls),
    }
    random = np.random.default_rng(2)
    for kind in args.kinds.split(","):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            sounds = {
                case: [
                    random.normal(0, 0.1, n).astype(np.float32) for n in lengths[case]
                ]
                for case in args.cases.split(",")
            }
            for case, clips in sounds.items():
                np.save(folder / f"{case}_lengths.npy", lengths[case])
                np.save(folder / f"{case}_waves.npy", np.concatenate(clips))
            buckets = BucketConfig(budget=args.budget)
            about = {"kind": kind, "longest": buckets.longest, "chunk": buckets.chunk}
            about |= _sizes(kind, args.size)
            (folder / "about.json").write_text(json.dumps(about))
            peer = torch_peer.start(
                "benchmarks.encoder_peer", [folder], args.peer_python
            )
            encoder = Encoder(kind, args.size, folder, buckets)
            for case, clips in sounds.items():
                yield _compared(case, kind, clips, encoder, peer, folder, args.repeats)
            if peer is not None:
                peer.close()


def _sizes(kind: Any, size: Any) -> dict[str, Any]:
    """Fields of transformers' configuration."""
    c = speech_size(kind, size)
    return {
        "config": {
            "hidden_size": c.width,
            "num_hidden_layers": c.depth,
            "num_attention_heads": c.heads,
            "intermediate_size": c.mlp,
            "conv_dim": c.conv_dim,
            "num_conv_pos_embeddings": c.pos_taps,
        }
    }


def main() -> None:
    """Measures all encoders and cases."""
    flags = harness.parser(__doc__)
    gpu = jax.default_backend() == "gpu"
    flags.set_defaults(repeats=3)
    flags.add_argument("--kinds", default="hubert,wavlm")
    flags.add_argument("--cases", default="equal,mix")
    flags.add_argument("--size", default="base", help="nano for a trial")
    flags.add_argument("--clips", type=int, default=64 if gpu else 4, help="of equal")
    flags.add_argument("--seconds", type=float, default=10.0, help="of clips of equal")
    flags.add_argument("--calls", type=int, default=2048 if gpu else 200, help="of mix")
    flags.add_argument(
        "--budget", type=int, default=5_120_000 if gpu else 640_000, help="samples"
    )
    flags.add_argument("--peer_python", help="a Python with torch and transformers")
    args = flags.parse_args()
    harness.report(lines(args), out=args.out)


if __name__ == "__main__":
    main()
