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
    pixels = None  # the shape of what was made flat
    for i, layer in enumerate(layers):
        kind, given = layer["kind"], weights.get(f"layer{i}", {})
        if kind == "dense":
            made = _dense(layer, math.prod(shape), given, pixels)
            shape, pixels = (layer["width"],), None
        elif kind == "flatten":
            pixels, shape = shape, (math.prod(shape),)
            made = nn.Flatten()
        elif kind == "reshape":
            shape = tuple(layer["shape"])
            # The dense layer before gives channels last: its rows are put in order.
            _channels_first(parts, shape)
            made = Reshape(shape)
        else:
            made = _spatial(layer, shape[-1], given)
            shape = (*_sizes(made, shape), layer["width"] or shape[-1])
        parts.append(made)
        if layer["norm"] == "batch":
            build = nn.BatchNorm1d if len(shape) == 1 else nn.BatchNorm2d
            parts.append(build(shape[-1]))
        if layer["activation"] != "identity":
            parts.append(_ACTIVATIONS[layer["activation"]]())
    return nn.Sequential(*parts), shape


def _dense(layer: Any, before: int, given: Any, pixels: tuple[int, ...] | None):
    made = nn.Linear(before, layer["width"])
    weight = torch.from_numpy(given["kernel"]).T
    if pixels:  # Ours have their channels last.
        apart = weight.reshape(len(weight), *pixels)
        weight = apart.permute(0, 3, 1, 2).reshape(len(weight), -1)
    made.weight.data.copy_(weight)
    made.bias.data.copy_(torch.from_numpy(given["bias"]))
    return made


def _spatial(layer: Any, before: int, given: Any) -> nn.Module:
    """A convolution, its transpose or a pooling."""
    taps, step = layer["taps"], {n: layer[n] for n in ("stride", "padding")}
    if layer["kind"] == "max_pool":
        return nn.MaxPool2d(taps, **step)
    if layer["kind"] == "conv":
        made = nn.Conv2d(before, layer["width"], taps, **step)
    else:
        more = layer["output_padding"]
        made = nn.ConvTranspose2d(
            before, layer["width"], taps, output_padding=more, **step
        )
    made.weight.data.copy_(torch.from_numpy(given["kernel"]).permute(3, 2, 0, 1))
    assert made.bias is not None
    made.bias.data.copy_(torch.from_numpy(given["bias"]))
    return made


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
        torch.set_flush_denormal(told["flush_denormals"])
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
