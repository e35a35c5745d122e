"""Peer of `benchmarks.autoencoders`: the same training step in PyTorch.

The network is built of torch's own layers from the description of ours, and starts from
our weights; its losses on the batch before and after one step are told, to be compared.
Fused Adam; on GPU compiled. Both sides multiply in full float32.
"""

import argparse
import json
import math
import pathlib
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_peer import serve_steps

_ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


class Reshape(nn.Module):
    """A vector as a picture, its channels first."""

    def __init__(self, shape: tuple[int, ...]):
        """`shape` has the channels last, as ours."""
        super().__init__()
        self.shape = (shape[-1], *shape[:-1])

    def forward(self, x):
        """`[b, d]` to `[b, c, h, w]`."""
        return x.reshape(len(x), *self.shape)


def stack(layers: list[dict[str, Any]], shape: tuple[int, ...], weights: Any):
    """Layers of ours as torch's, with their weights; and what they make of `shape`.

    Shapes have the channels last, without the batch.
    """
    parts: list[nn.Module] = []
    before = shape  # what was made flat
    flat = False
    for i, layer in enumerate(layers):
        kind, given = layer["kind"], weights.get(f"layer{i}", {})
        spatial = {n: layer[n] for n in ("stride", "padding")}
        kernel = torch.from_numpy(given["kernel"]) if given else None
        if kind == "dense":
            made = nn.Linear(math.prod(shape), layer["width"], bias=layer["bias"])
            weight = kernel.T  # pyright: ignore
            if flat:  # Our pixels have their channels last.
                apart = weight.reshape(len(weight), *before)
                weight = apart.permute(0, 3, 1, 2).reshape(len(weight), -1)
                flat = False
            made.weight.data.copy_(weight)
            shape = (layer["width"],)
        elif kind in ("conv", "transposed_conv"):
            several = {"output_padding": layer["output_padding"]}
            build, extra = nn.Conv2d, {}
            if kind == "transposed_conv":
                build, extra = nn.ConvTranspose2d, several
            width, taps = layer["width"], layer["taps"]
            made = build(shape[-1], width, taps, bias=layer["bias"], **spatial, **extra)
            made.weight.data.copy_(kernel.permute(3, 2, 0, 1))  # pyright: ignore
            shape = (*_sizes(made, shape), width)
        elif kind == "max_pool":
            made = nn.MaxPool2d(layer["taps"], **spatial)
            shape = (*_sizes(made, shape), shape[-1])
        elif kind == "flatten":
            before, flat, shape = shape, True, (math.prod(shape),)
            made = nn.Flatten()
        else:
            assert kind == "reshape", kind
            # The dense layer before gives channels last: its rows are put in order.
            _channels_first(parts, tuple(layer["shape"]))
            shape = tuple(layer["shape"])
            made = Reshape(shape)
        if given and layer["bias"]:
            made.bias.data.copy_(torch.from_numpy(given["bias"]))  # pyright: ignore
        parts.append(made)
        if layer["norm"] == "batch":
            build = nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d
            parts.append(build(shape[-1]))
        if layer["activation"] != "identity":
            parts.append(_ACTIVATIONS[layer["activation"]]())
    return nn.Sequential(*parts), shape


def _sizes(made: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...]:
    with torch.no_grad():
        return tuple(made(torch.zeros(1, shape[-1], *shape[:-1])).shape[2:])


def _channels_first(parts: list[nn.Module], shape: tuple[int, ...]) -> None:
    """Puts a dense layer's outputs into the order of channels first."""
    dense = next(p for p in reversed(parts) if isinstance(p, nn.Linear))
    with torch.no_grad():
        order = torch.arange(math.prod(shape)).reshape(shape).permute(2, 0, 1).flatten()
        dense.weight.copy_(dense.weight[order].clone())
        dense.bias.copy_(dense.bias[order].clone())


class Training:
    """Network, optimizer and one batch."""

    def __init__(self, folder: pathlib.Path, device: str):
        """Reads what our side wrote there."""
        told = json.loads((folder / "network.json").read_text())
        model, self.vae = told["model"], told["model"]["code"] == "gaussian"
        with np.load(folder / "weights.npz") as saved:
            weights: dict[str, Any] = {"encoder": {}, "decoder": {}}
            for name in saved.files:
                part, layer, value = name.split("/", 2)
                weights[part].setdefault(layer, {})[value] = saved[name]
        x = np.load(folder / "batch.npy")
        shape = tuple(model["input_shape"])
        encoder, coded = stack(model["encoder"], shape, weights["encoder"])
        if self.vae:
            coded = (coded[0] // 2,)
        decoder, _ = stack(model["decoder"], coded, weights["decoder"])
        self.network = nn.ModuleDict({"encoder": encoder, "decoder": decoder})
        self.network.to(device).train()
        batch = torch.from_numpy(x).to(device)
        if batch.ndim == 4:
            batch = batch.permute(0, 3, 1, 2).contiguous()
            if told["channels_last"]:
                self.network.to(memory_format=torch.channels_last)  # pyright: ignore
                batch = batch.contiguous(memory_format=torch.channels_last)
        self.batch = batch
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-3, fused=True)
        self.loss = torch.compile(self._loss) if device == "cuda" else self._loss

    def _loss(self, noise: torch.Tensor | None = None) -> torch.Tensor:
        x, found = self.batch, self.network["encoder"](self.batch)
        if not self.vae:
            return F.mse_loss(self.network["decoder"](found), x)
        mean, log_variance = found.chunk(2, dim=1)
        noise = torch.randn_like(mean) if noise is None else noise
        code = mean + torch.exp(0.5 * log_variance) * noise
        logits = self.network["decoder"](code)
        entropy = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        terms = mean.square() + log_variance.exp() - 1 - log_variance
        return (entropy + 0.5 * terms.sum()) / len(x)

    def step(self) -> torch.Tensor:
        """One update; the loss before it."""
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss()
        loss.backward()
        self.optimizer.step()
        return loss


def main() -> None:
    """Serves timed steps."""
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--folder", type=pathlib.Path, required=True)
    flags.add_argument("--steps", type=int, required=True)
    args = flags.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.backends.cudnn.allow_tf32 = False
    torch.manual_seed(0)
    training = Training(args.folder, device)
    losses = [training.step().item() for _ in range(2)]
    count = sum(p.numel() for p in training.network.parameters())
    serve_steps(
        training,
        steps=args.steps,
        device=device,
        about={"parameters": count, "losses": losses},
    )


if __name__ == "__main__":
    main()
