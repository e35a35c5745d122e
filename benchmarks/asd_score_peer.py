"""Peer of `benchmarks.asd_score`: soundfile, librosa, PyTorch and scikit-learn."""

import pathlib
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import librosa
import numpy as np
import soundfile
import torch
from sklearn.neighbors import NearestNeighbors
from torch import nn

from benchmarks.asd_step_torch import Network
from benchmarks.torch_peer import serve

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
RATE_HZ, N_FFT, HOP, MELS, FRAMES = 16_000, 1024, 512, 128, 5
WIDTHS = (640, 128, 128, 128, 128, 8, 128, 128, 128, 128)


def autoencoder() -> nn.Module:
    """640-128x4-8-128x4-640."""
    layers: list[nn.Module] = []
    for before, after in zip(WIDTHS[:-1], WIDTHS[1:], strict=True):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTHS[-1], WIDTHS[0]))


def log_mel(wave: np.ndarray) -> np.ndarray:
    """`[s]` to `[t, f]` in dB, as the baselines call librosa."""
    mel = librosa.feature.melspectrogram(
        y=wave, sr=RATE_HZ, n_fft=N_FFT, hop_length=HOP, n_mels=MELS, power=2.0
    )
    return 10 * np.log10(np.maximum(mel, 2.2e-16)).T


class Scoring:
    """Files, models and what lies between the stages."""

    def __init__(self, folder: pathlib.Path, batch: int, bank: int, tiny: bool):
        """Builds the models and fits the back-end."""
        sizes: dict[str, Any] = {"stem": 8, "channels": 8, "wide": 16} if tiny else {}
        self.paths, self.batch = sorted(folder.glob("*.wav")), batch
        network = Network(42, linear_branch="dwpw", **sizes).eval().to(DEVICE)
        self.network = network.to(memory_format=torch.channels_last)  # pyright: ignore
        self.autoencoder = autoencoder().eval().to(DEVICE)
        rows = np.random.default_rng(0).normal(size=(bank, 128))
        self.neighbours = NearestNeighbors(n_neighbors=1, metric="cosine").fit(rows)
        self.embeddings = rows[: len(self.paths)]
        self.waves = self.read()
        self.mels = self.features(self.waves)

    def read(self) -> list[np.ndarray]:
        """All files."""
        return [soundfile.read(path, dtype="float32")[0] for path in self.paths]

    def features(self, waves: list[np.ndarray]) -> list[np.ndarray]:
        """Spectrograms of all clips."""
        return [log_mel(wave) for wave in waves]

    def embed(self, mels: list[np.ndarray]) -> np.ndarray:
        """Embeddings of all clips."""
        found = [self.network(x)[0].cpu().numpy() for x in self._batches(mels)]
        return np.concatenate(found)

    def reconstruct(self, mels: list[np.ndarray]) -> np.ndarray:
        """Mean squared errors of all clips."""
        found = []
        for x in self._batches(mels):
            count = x.shape[1] - FRAMES + 1
            parts = [x[:, i : i + count] for i in range(FRAMES)]
            rows = torch.cat(parts, dim=2).flatten(0, 1)
            error = (self.autoencoder(rows) - rows).square()
            found.append(error.reshape(len(x), -1).mean(1).cpu().numpy())
        return np.concatenate(found)

    def score(self, embeddings: np.ndarray) -> np.ndarray:
        """Distances to the nearest."""
        return self.neighbours.kneighbors(embeddings)[0].mean(axis=1)

    def _batches(self, mels: list[np.ndarray]):
        for first in range(0, len(mels), self.batch):
            stacked = np.stack(mels[first : first + self.batch]).astype(np.float32)
            yield torch.from_numpy(stacked).to(DEVICE)

    def stages(self) -> Mapping[str, Callable[[], Any]]:
        """What can be timed, by name."""
        return {
            "section classifier": lambda: self.score(
                self.embed(self.features(self.read()))
            ),
            "autoencoder": lambda: self.reconstruct(self.features(self.read())),
            "read": self.read,
            "log-mel": lambda: self.features(self.waves),
            "network": lambda: self.embed(self.mels),
            "autoencoder's network": lambda: self.reconstruct(self.mels),
            "back-end": lambda: self.score(self.embeddings),
        }


def main() -> None:
    """Serves: `FOLDER BATCH BANK [tiny]`."""
    batch, bank = map(int, sys.argv[2:4])
    scoring = Scoring(pathlib.Path(sys.argv[1]), batch, bank, "tiny" in sys.argv[4:])
    stages = scoring.stages()

    def run(what: str) -> float:
        start = time.perf_counter()
        stages[what]()
        return time.perf_counter() - start

    about = {"torch": torch.__version__, "torch_threads": torch.get_num_threads()}
    with torch.inference_mode():
        serve(about, run)


if __name__ == "__main__":
    main()
