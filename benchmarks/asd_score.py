"""Hours of sound scored per minute, from files, beside soundfile, librosa and PyTorch.

    python -m benchmarks.asd_score [--clips=48] [--devices=2] [--peer_python=PYTHON]

A folder of WAV files (simulated: 10 s of noise, 16 kHz, 16 bits) becomes a score for
each; both sides have networks of the same sizes with random weights. Figures are hours
of sound per minute, files in the page cache. Cases:

- `section classifier`: read, log-mel, dual-block network (Table 1 of paper 001),
  distance to the nearest of 1000 other clips (kNN, cosine).
- `autoencoder`: read, log-mel, the autoencoder of the DCASE baselines, mean squared
  error.

and every stage of them alone: `read`, `log-mel`, `network`, `autoencoder's network`,
`back-end`. The peer is what such programs usually do: `soundfile.read`,
`librosa.feature.melspectrogram`, PyTorch, `sklearn.neighbors.NearestNeighbors`, one
after another. Ours reads the next files while the device computes; on CPU, JAX gets a
device for each core (`--devices`), which share a batch. `read, built set` is what
training reads, without a peer.

Extras of the whole cases: `bound`, the stage that takes longest when alone, and its
share of all stages' time (`bound_share`). Of reading: clips per second and core
(`clips_per_s_core`), and the cores that keep a trainer of 1000 clips per second fed
(`cores_for_1000`).
"""

import concurrent.futures
import functools
import itertools
import math
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import soundfile

from benchmarks import harness, torch_peer
from sigjax.data import audio
from sigjax.data.datasets import machine_sound
from sigjax.data.machine_sound.folder import folder_manifest
from sigjax.data.machine_sound.sounds import SoundSet
from sigjax.evals.anomaly.knn import Knn
from sigjax.evals.sound_embedding import on_all_devices
from sigjax.models.frame_autoencoder import FrameAutoencoderConfig
from sigjax.models.section_classifier import SectionClassifierConfig
from sigjax.signal.mel import MelConfig, log_mel
from sigjax.tasks.frame_reconstruction import (
    FrameReconstruction,
    FrameReconstructionConfig,
    stack_frames,
)
from sigjax.tasks.section_id import SectionIdConfig, SectionIdentification

RATE_HZ, CLIP_S, CLASSES, BANK = 16_000, 10, 42, 1000
TINY: dict[str, Any] = {"stem": 8, "channels": 8, "wide": 16}
# Stages that a whole case is made of.
STAGES = {
    "section classifier": ("read", "log-mel", "network", "back-end"),
    "autoencoder": ("read", "log-mel", "autoencoder's network"),
}


def write_clips(folder: pathlib.Path, clips: int) -> None:
    """Files of noise, each its own."""
    for number in range(clips):
        random = np.random.default_rng(number)
        wave = random.normal(0, 3000, RATE_HZ * CLIP_S).astype(np.int16)
        soundfile.write(folder / f"normal_{number:05}.wav", wave, RATE_HZ)


class Scoring:
    """Our side: models, back-end, and what each stage takes."""

    def __init__(self, folder: pathlib.Path, batch: int, tiny: bool):
        """Initialises both models and fits the back-end."""
        mel = MelConfig(rate_hz=RATE_HZ)
        sizes = TINY if tiny else {}
        sections = SectionIdentification(
            SectionClassifierConfig(classes=CLASSES, **sizes), SectionIdConfig(mel=mel)
        )
        frames = FrameReconstruction(
            FrameAutoencoderConfig(), FrameReconstructionConfig(mel=mel)
        )
        self.batch, self.manifest = batch, folder_manifest(folder)[0]
        key, empty = jax.random.key(0), {"wave": jnp.zeros((1, 1))}
        self._sections = jax.jit(lambda: sections.init(key, empty))()
        self._frames = jax.jit(lambda: frames.init(key, empty))()
        given = {"params": self._sections["params"]["model"]}
        given["batch_stats"] = self._sections["batch_stats"]
        self._model_only = given

        def autoencoder(variables: Any, x: jax.Array) -> jax.Array:
            vectors = stack_frames(x, frames.model_config.frames)
            rows = vectors.reshape(-1, vectors.shape[-1])
            found: Any = frames.model.apply(variables, rows)
            return jnp.square(found - rows).reshape(len(x), -1).mean(axis=1)

        self._embed = on_all_devices(lambda v, x: sections.embed(v, x).embedding)
        self._score = on_all_devices(frames.score)
        self._log_mel = on_all_devices(lambda _, x: log_mel(x, mel))
        self._network = on_all_devices(lambda v, x: sections.model.apply(v, x)[0])
        self._autoencoder = on_all_devices(autoencoder)
        self.waves = list(self.read())
        self.mels = [self._log_mel({}, wave) for wave in self.waves]
        bank = np.random.default_rng(0).normal(size=(BANK, 128))
        self.back_end = Knn().fit(bank, np.repeat("source", BANK))
        self.embeddings = bank[: len(self.manifest.clips)]

    def read(self) -> Iterator[np.ndarray]:
        """Float32 batches `[b, s]` from the files, with every check, in threads."""
        root = pathlib.Path(self.manifest.root)
        paths = [root / clip.path for clip in self.manifest.clips]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            waves = pool.map(lambda path: audio.read(path, rate_hz=RATE_HZ)[0], paths)
            for _ in range(0, len(paths), self.batch):
                yield np.stack(list(itertools.islice(waves, self.batch)))

    def stages(self) -> Mapping[str, Callable[[], Any]]:
        """What can be timed, by name."""

        def each(function: Callable[..., Any], variables: Any, batches: Any) -> Any:
            # Dispatched one after another: the next is read meanwhile.
            return jax.device_get([function(variables, batch) for batch in batches])

        def classifier() -> Any:
            found = each(self._embed, self._sections, self.read())
            return self.back_end.score(np.concatenate(found))

        return {
            "section classifier": classifier,
            "autoencoder": lambda: each(self._score, self._frames, self.read()),
            "read": lambda: sum(len(wave) for wave in self.read()),
            "log-mel": lambda: each(self._log_mel, {}, self.waves),
            "network": lambda: each(self._network, self._model_only, self.mels),
            "autoencoder's network": lambda: each(
                self._autoencoder, self._frames, self.mels
            ),
            "back-end": lambda: self.back_end.score(self.embeddings),
        }


def built_set(scoring: Scoring, folder: pathlib.Path) -> Callable[[], Any]:
    """Reads all clips of a set that is built of the same files, batch by batch."""
    manifest, report = folder_manifest(pathlib.Path(scoring.manifest.root))
    path, _ = machine_sound.build(manifest, report, folder)
    sounds = SoundSet.open(path)

    def read() -> None:
        for first in range(0, len(sounds), scoring.batch):
            sounds.read_many(range(first, first + scoring.batch))

    return read


def lines(
    scoring: Scoring,
    peer: torch_peer.Peer | None,
    options: Any,
    extra: Mapping[str, Callable[[], Any]],
) -> Iterator[dict[str, Any]]:
    """A line for every stage, then one for each whole case."""
    kind = jax.devices()[0].device_kind
    if jax.default_backend() == "cpu":
        kind = f"{harness.cpu()} x{os.cpu_count()}"
    clips, hours = options.clips, options.clips * CLIP_S / 3600

    def measured(name: str, ours: Callable[[], Any], peer: Any) -> dict[str, Any]:
        def run() -> None:
            ours()

        line = harness.measure(
            harness.Case(
                name="asd_score",
                case=f"{'tiny, ' * options.tiny}{name}",
                ours=run,
                peer=torch_peer.side(peer, name),
                unit="h/min",
                work=hours * 60,
                extras={"devices": jax.device_count()},
            ),
            device=f"{jax.default_backend()}:{kind} jax {jax.__version__}",
            repeats=options.repeats,
        )
        if peer is None:
            line |= {"peer": None, "ratio": None}
        clips_per_s = line["ours"] * clips / hours / 60
        line["clips_per_s"] = float(f"{clips_per_s:.4g}")
        return line

    stages, alone = scoring.stages(), {}
    for name in sorted({name for parts in STAGES.values() for name in parts}):
        line = measured(name, stages[name], peer)
        alone[name] = line["clips_per_s"]
        yield line | (_cores(line, os.cpu_count() or 1) if name == "read" else {})
    for name, function in extra.items():
        yield (line := measured(name, function, None)) | _cores(line, 1)
    for name, parts in STAGES.items():
        bound = min(parts, key=lambda part: alone[part])
        share = 1 / alone[bound] / sum(1 / alone[part] for part in parts)
        line = measured(name, stages[name], peer)
        yield {**line, "bound": bound, "bound_share": round(share, 3)}


def _cores(line: Mapping[str, Any], cores: int) -> dict[str, float]:
    each = line["clips_per_s"] / cores
    return {
        "clips_per_s_core": float(f"{each:.3g}"),
        "cores_for_1000": float(f"{1000 / each:.2g}"),
    }


def main() -> None:
    """Measures all cases."""
    flags = harness.parser(__doc__, devices=True)
    flags.set_defaults(repeats=3)
    flags.add_argument("--clips", type=int, default=48, help="a multiple of --batch")
    flags.add_argument("--batch", type=int, default=8)
    flags.add_argument("--tiny", action="store_true", help="a few channels, to try it")
    flags.add_argument("--peer_python", help="a Python that has torch and librosa")
    options = flags.parse_args()
    if options.clips % options.batch or options.clips > BANK:
        flags.error(f"--clips must be a multiple of --batch and at most {BANK}")
    # As many as divide a batch: it could not be shared otherwise.
    devices = options.devices or math.gcd(options.batch, os.cpu_count() or 1)
    jax.config.update("jax_num_cpu_devices", devices)
    with tempfile.TemporaryDirectory() as folder:
        files, sets = pathlib.Path(folder) / "files", pathlib.Path(folder) / "sets"
        files.mkdir()
        write_clips(files, options.clips)
        arguments = [files, options.batch, BANK] + ["tiny"] * options.tiny
        start = functools.partial(torch_peer.start, "benchmarks.asd_score_peer")
        peer = start(arguments, options.peer_python)
        scoring = Scoring(files, options.batch, options.tiny)
        extra = {"read, built set": built_set(scoring, sets)}
        harness.report(lines(scoring, peer, options, extra), out=options.out)
        if peer is not None:
            peer.close()


if __name__ == "__main__":
    main()
