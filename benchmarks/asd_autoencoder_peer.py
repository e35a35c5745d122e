"""Peer of `benchmarks.asd_autoencoder`: the baseline's recipe in librosa and PyTorch.

Written anew from what the DCASE Task 2 baselines publish of themselves: log-mel without
normalisation, runs of five frames, 640-128x4-8-128x4-640 with batch norm (momentum
0.01, epsilon 1e-3) and ReLU, mean squared error, Adam at 1e-3, the vectors of all clips
shuffled in batches of 512, a tenth of them held back.
"""

import argparse
import pathlib
import re
import time
from typing import Any

import librosa
import numpy as np
import torch
from torch import nn

FRAMES, MELS, CODE, WIDTH, DEPTH, BATCH = 5, 128, 8, 128, 4, 512
_NAME = re.compile(r"section_(\d\d)_(source|target)_")


def vectors(path: pathlib.Path) -> np.ndarray:
    """Float32 `[n, 640]` of a file: 309 for 10 s."""
    y, rate_hz = librosa.load(path, sr=None)
    power = librosa.feature.melspectrogram(
        y=y, sr=rate_hz, n_fft=1024, hop_length=512, n_mels=MELS, power=2.0
    )
    db = 10 * np.log10(np.maximum(power, 2.0**-52)).T.astype(np.float32)
    count = len(db) - FRAMES + 1
    return np.concatenate([db[i : i + count] for i in range(FRAMES)], axis=1)


def autoencoder() -> nn.Sequential:
    """The network."""
    layers: list[nn.Module] = []
    before = FRAMES * MELS
    for width in (*[WIDTH] * DEPTH, CODE, *[WIDTH] * DEPTH):
        norm = nn.BatchNorm1d(width, momentum=0.01, eps=1e-3)
        layers += [nn.Linear(before, width), norm, nn.ReLU()]
        before = width
    return nn.Sequential(*layers, nn.Linear(before, FRAMES * MELS))


def train(x: torch.Tensor, epochs: int) -> nn.Sequential:
    """Trains on nine tenths of the vectors `[n, 640]`."""
    model = autoencoder().train()
    kept = x[torch.randperm(len(x))[: len(x) * 9 // 10]]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(kept)).split(BATCH):
            batch = kept[rows]
            optimizer.zero_grad()
            nn.functional.mse_loss(model(batch), batch).backward()
            optimizer.step()
    return model.eval()


def residuals(model: nn.Sequential, x: np.ndarray) -> np.ndarray:
    """Float64 `[n * 5, 128]` of one clip."""
    with torch.no_grad():
        batch = torch.from_numpy(x)
        return (batch - model(batch)).double().numpy().reshape(-1, MELS)


def score(model: nn.Sequential, train_files, test_files) -> dict[str, np.ndarray]:
    """Both scores of the test files."""
    rows: dict[tuple[str, str], list[np.ndarray]] = {}
    for path in train_files:
        section, domain = _NAME.match(path.name).groups()  # pyright: ignore
        rows.setdefault((section, domain), []).append(residuals(model, vectors(path)))
    inverse = {
        key: np.linalg.inv(np.cov(np.concatenate(parts), rowvar=False))
        for key, parts in rows.items()
    }
    squared, mahalanobis = [], []
    for path in test_files:
        found = residuals(model, vectors(path))
        squared.append(np.square(found).mean())
        mean, section = found.mean(axis=0), _NAME.match(path.name).group(1)  # pyright: ignore
        mahalanobis.append(
            min(mean @ m @ mean for (of, _), m in inverse.items() if of == section)
        )
    return {"mse": np.array(squared), "selective_mahalanobis": np.array(mahalanobis)}


def main() -> None:
    """Trains on one machine's folder and writes scores by file name."""
    flags = argparse.ArgumentParser()
    flags.add_argument("--machine", type=pathlib.Path)
    flags.add_argument("--seed", type=int)
    flags.add_argument("--epochs", type=int)
    flags.add_argument("--output", type=pathlib.Path)
    args = flags.parse_args()
    torch.manual_seed(args.seed)
    train_files = sorted((args.machine / "train").glob("*.wav"))
    test_files = sorted(args.machine.glob("*test/*.wav"))
    began = time.perf_counter()
    x = torch.from_numpy(np.concatenate([vectors(p) for p in train_files]))
    model = train(x, args.epochs)
    seconds = time.perf_counter() - began
    count = sum(p.numel() for p in model.parameters())
    found: dict[str, Any] = {**score(model, train_files, test_files)}
    names = [path.name for path in test_files]
    np.savez(args.output, name=names, seconds=seconds, parameters=count, **found)


if __name__ == "__main__":
    main()
