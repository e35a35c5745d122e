"""Peer of `benchmarks.probe_sweep`: a probe for each layer and seed, in PyTorch.

The loop as one plainly writes it: for each layer and seed a network, Adam,
`ReduceLROnPlateau` on the validation loss, validation UAR after each epoch, the best
epoch's weights kept, posteriors of the test rows. Rows of a batch are indexed in one
tensor; `"loader"` has them from a `DataLoader` instead, as most public code does.
"""

import argparse
import copy
import dataclasses
import time
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.torch_peer import serve


def make_probe(width: int, hidden: tuple[int, ...], classes: int) -> nn.Sequential:
    """Blocks of [Linear, LayerNorm, ReLU], and a linear layer."""
    layers: list[nn.Module] = []
    for units in hidden:
        layers += [nn.Linear(width, units), nn.LayerNorm(units), nn.ReLU()]
        width = units
    return nn.Sequential(*layers, nn.Linear(width, classes))


@dataclasses.dataclass
class Fitting:
    """Training of one probe.

    Attributes:
      probe: The network.
      learning_rate: Of Adam.
      patience: Epochs without a better validation UAR.
      plateau_patience: Of the schedule.
      plateau_factor: Of the schedule.
    """

    probe: nn.Module
    learning_rate: float
    patience: int
    plateau_patience: int
    plateau_factor: float

    def __post_init__(self):
        """Makes the optimizer and its schedule."""
        self.optimizer = torch.optim.Adam(
            self.probe.parameters(), lr=self.learning_rate
        )
        self.schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer,
            factor=self.plateau_factor,
            patience=self.plateau_patience,
        )
        self.history: list[dict[str, float]] = []
        self.best, self.best_epoch, self.best_uar = {}, -1, -1.0

    def epoch(self, batches: Any, validation: Any) -> bool:
        """One epoch; returns whether another follows."""
        x, label = validation
        total = rows = 0.0
        for some, truth in batches:
            loss = F.cross_entropy(self.probe(some), truth)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(some)
            rows += len(some)
        with torch.no_grad():
            logits = self.probe(x)
            loss = F.cross_entropy(logits, label).item()
            uar = recall(logits.argmax(dim=-1), label)
        rate = self.optimizer.param_groups[0]["lr"]
        self.history.append(
            {
                "train_loss": total / rows,
                "validation_loss": loss,
                "validation_uar": uar,
                "learning_rate": rate,
            }
        )
        self.schedule.step(loss)
        if uar > self.best_uar:
            self.best = copy.deepcopy(self.probe.state_dict())
            self.best_epoch, self.best_uar = len(self.history) - 1, uar
        return len(self.history) - 1 - self.best_epoch < self.patience

    def posteriors(self, x: torch.Tensor) -> torch.Tensor:
        """By the best epoch's weights."""
        self.probe.load_state_dict(self.best)
        with torch.no_grad():
            return self.probe(x).softmax(dim=-1)


def recall(predicted: torch.Tensor, label: torch.Tensor) -> float:
    """Mean recall over the classes that occur."""
    right = (predicted == label).double()
    return float(np.mean([right[label == one].mean().item() for one in label.unique()]))


class Sweep:
    """Probes of layers and seeds, one after another."""

    def __init__(self, args: argparse.Namespace):
        """Reads features, labels and splits."""
        with np.load(args.data) as saved:
            self.values = torch.tensor(saved["values"])
            self.label = torch.tensor(saved["label"]).long()
            self.rows = [torch.tensor(saved[name]) for name in ("train", "val", "test")]
        self.classes = int(self.label.max()) + 1
        self.hidden = tuple(int(units) for units in args.hidden.split(","))
        self.batch, self.epochs, self.seeds = args.batch, args.epochs, args.seeds
        self.timed = args.timed

    def run(self, what: str) -> float:
        """Seconds of all probes; `what` is `"THREADS|index"` or `"THREADS|loader"`."""
        threads, how = what.split("|")
        torch.set_num_threads(int(threads))
        probes = [
            (layer, seed)
            for seed in range(self.seeds)
            for layer in range(self.values.shape[1])
        ]
        start = time.perf_counter()
        for layer, seed in probes[: self.timed]:
            self.fit(layer, seed, how)
        spent = time.perf_counter() - start
        return spent * len(probes) / len(probes[: self.timed])

    def fit(self, layer: int, seed: int, how: str) -> torch.Tensor:
        """One probe from features to posteriors."""
        torch.manual_seed(seed)
        x = self.values[:, layer]
        train, validation, test = self.rows
        mean, deviation = x[train].mean(dim=0), x[train].std(dim=0)
        x = (x - mean) / (deviation + 1e-10)
        fitting = Fitting(
            make_probe(x.shape[1], self.hidden, self.classes),
            learning_rate=1e-3,
            patience=self.epochs,
            plateau_patience=10,
            plateau_factor=0.1,
        )
        held = x[validation], self.label[validation]
        data = TensorDataset(x[train], self.label[train])
        loader = DataLoader(data, self.batch, shuffle=True)
        for _ in range(self.epochs):
            if how == "loader":
                fitting.epoch(loader, held)
                continue
            order = train[torch.randperm(len(train))].split(self.batch)
            fitting.epoch(((x[rows], self.label[rows]) for rows in order), held)
        return fitting.posteriors(x[test])


def main() -> None:
    """Serves timed sweeps."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--data", required=True, help="npz file of our side")
    flags.add_argument("--hidden", required=True)
    for name in ("batch", "epochs", "seeds", "timed"):
        flags.add_argument(f"--{name}", type=int, required=True)
    sweep = Sweep(flags.parse_args())
    about = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    serve(about, sweep.run)


if __name__ == "__main__":
    main()
