"""Peer of `benchmarks.har_finetune`: a head on a frozen encoder, in PyTorch.

The loop as one would plainly write it: every epoch, each batch of windows goes through
the encoder without gradients and then through the head. `"cached"` is the same with
the tokens of all windows computed first.
"""

import argparse
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import mae_step_torch as mae
from benchmarks.harnet_torch import Network
from benchmarks.torch_peer import serve

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class MaeEncoder(mae.Mae):
    """The paper's encoder without mask and reconstruction."""

    def __init__(self):
        """Builds the layers that an encoder has."""
        super().__init__()
        del self.head

    def forward(self, x):
        """`[b, s, c]` to tokens `[b, n, d]`."""
        x = self.embed(x.reshape(len(x), -1, mae.PATCH))
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        return self.norm(x)


class HarNetEncoder(nn.Module):
    """HARNet10 on every patch of a window."""

    def __init__(self):
        """Builds the network."""
        super().__init__()
        self.network = Network()

    def forward(self, x):
        """`[b, s, c]` to tokens `[b, n, d]`."""
        patches = x.reshape(-1, 300, 3).transpose(1, 2)
        return self.network(patches).reshape(len(x), -1, 1024)


class Lstm(nn.Module):
    """Two LSTM layers and a linear one."""

    def __init__(self, width: int, hidden: int, classes: int):
        """Builds the layers."""
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, num_layers=2, batch_first=True)
        self.classes = nn.Linear(hidden, classes)

    def forward(self, x):
        """`[b, n, d]` to `[b, n, v]`."""
        return self.classes(self.lstm(x)[0])


def make_head(kind: str, width: int, hidden: int, classes: int) -> nn.Module:
    """A linear layer, an MLP with one hidden layer, or an LSTM."""
    if kind == "linear":
        return nn.Linear(width, classes)
    if kind == "mlp":
        return nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, classes)
        )
    return Lstm(width, hidden, classes)


class Finetuning:
    """Encoder, head and all windows in memory."""

    def __init__(self, args: argparse.Namespace):
        """Builds both, and reads the windows."""
        torch.manual_seed(0)
        with np.load(args.windows) as saved:
            self.x = torch.tensor(saved["counts"] * saved["scale"])
            self.label = torch.tensor(saved["label"]).long()
            self.weight = torch.tensor(saved["weight"], device=DEVICE)
        self.batch, self.epochs = args.batch, args.epochs
        encoder = {"mae": MaeEncoder, "harnet10": HarNetEncoder}[args.encoder]()
        width = {"mae": mae.WIDTH, "harnet10": 1024}[args.encoder]
        self.encoder = encoder.to(DEVICE).eval().requires_grad_(False)
        head = make_head(args.head, width, args.hidden, len(self.weight))
        self.head = head.to(DEVICE)
        self.optimizer = torch.optim.AdamW(
            self.head.parameters(), lr=1e-3, weight_decay=0.0
        )

    @torch.no_grad()
    def encode(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens of a batch of windows."""
        with torch.autocast(DEVICE, torch.bfloat16, enabled=DEVICE == "cuda"):
            return self.encoder(x.to(DEVICE)).float()

    def step(self, tokens: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        """One update of the head."""
        logits = self.head(tokens)
        loss = F.cross_entropy(
            logits.flatten(0, 1),
            label.to(DEVICE).flatten(),
            self.weight,
            ignore_index=-1,
        )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss

    def epoch(self, tokens: torch.Tensor | None) -> float:
        """All windows once, from their tokens if there are any; the last loss."""
        loss = torch.zeros(())
        for rows in torch.randperm(len(self.x)).split(self.batch):
            made = self.encode(self.x[rows]) if tokens is None else tokens[rows]
            loss = self.step(made.to(DEVICE), self.label[rows])
        return loss.item()  # and waits

    def run(self, what: str) -> float:
        """Seconds per epoch: of one `"plain"` epoch, or of a whole `"cached"` run."""
        start = time.perf_counter()
        if what == "plain":
            self.epoch(None)  # each costs the same
            return time.perf_counter() - start
        parts = [self.encode(x).cpu() for x in self.x.split(self.batch)]
        tokens = torch.cat(parts)
        for _ in range(self.epochs):
            self.epoch(tokens)
        return (time.perf_counter() - start) / self.epochs


def main() -> None:
    """Serves timed epochs."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--windows", required=True, help="npz file of our side")
    flags.add_argument("--encoder", choices=("mae", "harnet10"), required=True)
    flags.add_argument("--head", choices=("linear", "mlp", "lstm"), required=True)
    for name in ("batch", "epochs", "hidden"):
        flags.add_argument(f"--{name}", type=int, required=True)
    finetuning = Finetuning(flags.parse_args())

    def count(module: nn.Module) -> int:
        # torch's LSTM has two biases where one is needed.
        return sum(
            p.numel() for n, p in module.named_parameters() if "bias_hh" not in n
        )

    about = {
        "torch": torch.__version__,
        "encoder": count(finetuning.encoder),
        "head": count(finetuning.head),
    }
    serve(about, finetuning.run)


if __name__ == "__main__":
    main()
