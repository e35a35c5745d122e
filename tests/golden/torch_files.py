"""Writes the PyTorch files beside it, and what is in them; needs torch.

    python tests/golden/torch_files.py

weights_zip.pt, weights_legacy.pt   a training checkpoint, nested, with tensors of every
                                    layout in memory
weights.safetensors                 the same tensors
weights.npz                         their values by numpy
harnet_tiny.pt                      a state dict with HARNet's names, few channels wide
harnet_tiny.npz                     an input, and its features by torch
"""

import argparse
import collections
import json
import pathlib
import struct

import numpy as np
import torch
from torch.nn import functional as F

HERE = pathlib.Path(__file__).parent
WIDTHS, BLOCKS, FACTORS, ORDERS = (2, 3, 2), (1, 0, 1), (5, 2, 3), (1, 2, 1)
SAMPLES = 30


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    base = torch.arange(20.0)
    return {
        "plain": torch.randn(3, 4),
        "transposed": torch.randn(2, 3, 5).transpose(0, 2),
        "slice": base[3:9],
        "column": base.view(4, 5)[:, 1:3],
        "every_fourth": base[::4],
        "expanded": torch.ones(1).expand(3, 2),
        "half": torch.randn(5).half(),
        "bfloat16": torch.randn(5).bfloat16(),
        "double": torch.randn(2).double(),
        "count": torch.tensor(7),
        "small": torch.tensor([-3, 100], dtype=torch.int8),
        "mask": torch.tensor([True, False, True]),
        "empty": torch.zeros(0, 3),
    }


def write_weights() -> None:
    state = collections.OrderedDict(tensors())
    moments = {0: {"step": torch.tensor(2.0), "exp_avg": state["plain"] / 2}}
    checkpoint = {
        "model": collections.OrderedDict((f"module.{k}", v) for k, v in state.items()),
        "optimizer": {"state": moments, "param_groups": [{"lr": 0.1, "params": [0]}]},
        "args": argparse.Namespace(lr=0.1, name="golden"),
        "epoch": 3,
        "best": np.float64(0.75),
        "history": np.arange(6.0).reshape(2, 3).T,
        "shape": state["plain"].shape,
    }
    torch.save(checkpoint, HERE / "weights_zip.pt")
    torch.save(
        checkpoint,
        HERE / "weights_legacy.pt",
        _use_new_zipfile_serialization=False,
    )
    write_safetensors(state)
    values = {
        k: v.float().numpy() if k == "bfloat16" else v.numpy() for k, v in state.items()
    }
    np.savez_compressed(HERE / "weights.npz", **values)


def write_safetensors(state: dict[str, torch.Tensor]) -> None:
    names = {
        torch.float32: "F32",
        torch.float16: "F16",
        torch.bfloat16: "BF16",
        torch.float64: "F64",
        torch.int64: "I64",
        torch.int8: "I8",
        torch.bool: "BOOL",
    }
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, value in state.items():
        flat = value.contiguous().flatten()
        raw = flat.view(torch.uint8).numpy().tobytes() if len(flat) else b""
        header[name] = {
            "dtype": names[value.dtype],
            "shape": list(value.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    (HERE / "weights.safetensors").write_bytes(
        struct.pack("<Q", len(text)) + text + data
    )


def norm_state(name: str, width: int) -> dict[str, torch.Tensor]:
    return {
        f"{name}.weight": 0.5 + torch.rand(width),
        f"{name}.bias": 0.4 + 0.2 * torch.randn(width),
        f"{name}.running_mean": 0.3 * torch.randn(width),
        f"{name}.running_var": 0.5 + torch.rand(width),
        f"{name}.num_batches_tracked": torch.tensor(9),
    }


def tiny_harnet() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    state, before = {}, 3
    for i, (width, blocks, factor, order) in enumerate(
        zip(WIDTHS, BLOCKS, FACTORS, ORDERS, strict=True), 1
    ):
        layer = f"feature_extractor.layer{i}"
        state[f"{layer}.0.weight"] = 0.4 * torch.randn(width, before, 5)
        for j in range(1, blocks + 1):
            for half in (1, 2):
                state |= norm_state(f"{layer}.{j}.bn{half}", width)
                weight = 0.4 * torch.randn(width, width, 5)
                state[f"{layer}.{j}.conv{half}.weight"] = weight
        state |= norm_state(f"{layer}.{blocks + 1}", width)
        kernel = np.ones(factor)
        for _ in range(order):
            kernel = np.convolve(kernel, np.ones(factor))
        kernel = torch.tensor(kernel / kernel.sum(), dtype=torch.float32)
        state[f"{layer}.{blocks + 3}.kernel"] = kernel.repeat(width, 1, 1)
        before = width
    state["aot_h.linear1.weight"] = torch.randn(2, before)
    state["aot_h.linear1.bias"] = torch.randn(2)
    return state


def features(state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    def norm(x, name):
        found = (
            f"{name}.{n}" for n in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, *(state[n] for n in found)).relu()

    def convolve(x, name):
        return F.conv1d(F.pad(x, (2, 2), mode="circular"), state[f"{name}.weight"])

    for i, (blocks, factor, order) in enumerate(
        zip(BLOCKS, FACTORS, ORDERS, strict=True), 1
    ):
        layer = f"feature_extractor.layer{i}"
        x = convolve(x, f"{layer}.0")
        for j in range(1, blocks + 1):
            inner = convolve(norm(x, f"{layer}.{j}.bn1"), f"{layer}.{j}.conv1")
            x = x + convolve(norm(inner, f"{layer}.{j}.bn2"), f"{layer}.{j}.conv2")
        kernel = state[f"{layer}.{blocks + 3}.kernel"]
        pad, groups = order * (factor - 1) // 2, len(kernel)
        x = F.conv1d(
            norm(x, f"{layer}.{blocks + 1}"), kernel, None, factor, pad, groups=groups
        )
    return x[..., 0]


def main() -> None:
    write_weights()
    state = tiny_harnet()
    torch.save({f"module.{k}": v for k, v in state.items()}, HERE / "harnet_tiny.pt")
    x = torch.randn(4, SAMPLES, 3)
    np.savez_compressed(
        HERE / "harnet_tiny.npz", x=x, features=features(state, x.transpose(1, 2))
    )


if __name__ == "__main__":
    main()
