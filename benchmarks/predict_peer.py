"""The peer of `benchmarks.predict`: actipy, the same network in PyTorch, pandas.

    python -m benchmarks.predict_peer TASK FILE

Reads and prepares with actipy, runs the same encoder and a linear head over 50-minute
windows of wear, and writes the same rows as CSV; no picture, no hours by day. Needs
`pip install actipy torch` and Java.
"""

import sys
import tempfile
import time

import actipy
import numpy as np
import pandas as pd
import torch

from benchmarks import prepare_child
from benchmarks.mae_step_torch import WIDTH, Mae
from benchmarks.prepare_peer import PAPER

_LABELS = ("bicycling", "mixed", "sit-stand", "sleep", "vehicle", "walking")
_BATCH = 4


class Classifier(torch.nn.Module):
    """Encoder and linear head, in evaluation."""

    def __init__(self):
        """Draws the weights."""
        super().__init__()
        self.encoder = Mae()
        self.classes = torch.nn.Linear(WIDTH, len(_LABELS))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Probabilities `[b, n, v]` of `[b, n, p]`."""
        tokens = self.encoder.embed(x)
        tables = (self.encoder.get_buffer(name) for name in ("cos", "sin"))
        cos, sin = (table[: x.shape[1]] for table in tables)
        for block in self.encoder.blocks:
            tokens = block(tokens, cos, sin)
        return self.classes(self.encoder.norm(tokens)).softmax(-1)


def _classify(network: Classifier, patches: np.ndarray) -> np.ndarray:
    """`[n, p]` to `[n, v]`: windows of 300, the last one as long as it is."""
    whole = len(patches) // 300 * 300
    parts = list(patches[:whole].reshape(-1, 300, patches.shape[1]))
    batches = [np.stack(parts[i : i + _BATCH]) for i in range(0, len(parts), _BATCH)]
    if whole < len(patches):
        batches.append(patches[None, whole:])
    with torch.inference_mode():
        found = [network(torch.from_numpy(batch)).numpy() for batch in batches]
    return np.concatenate([f.reshape(-1, len(_LABELS)) for f in found])


def predict(path: str) -> dict:
    """From the device file to a CSV file of rows."""
    began = time.perf_counter()
    data, _ = actipy.read_device(path, verbose=False, **PAPER)
    signal = data[["x", "y", "z"]].to_numpy(np.float32)
    ready = time.perf_counter()
    network = Classifier().eval()
    worn = np.isfinite(signal).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], worn, [False]])))
    starts, found = [], []
    for first, stop in zip(edges[::2], edges[1::2], strict=True):
        count = (stop - first) // 300
        if count:
            patches = signal[first : first + 300 * count].reshape(count, 300, 3)
            found.append(_classify(network, patches.reshape(count, 900)))
            starts.append(first + 300 * np.arange(count))
    classified = time.perf_counter()
    start = np.concatenate(starts)
    probability = np.concatenate(found)
    table = pd.DataFrame(probability.round(4), columns=[f"p_{k}" for k in _LABELS])
    table.insert(0, "label", np.array(_LABELS)[probability.argmax(1)])
    table.insert(0, "time", data.index[start])
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        table.to_csv(file.name, index=False)
    parts = {
        "prepare": ready - began,
        "model": classified - ready,
        "write": time.perf_counter() - classified,
    }
    return {"parts": parts, "rows": len(table)}


def model(path: str) -> dict:
    """The network alone, on a week of noise."""
    del path
    network = Classifier().eval()
    patches = np.random.default_rng(0).normal(size=(7 * 8640, 900)).astype(np.float32)
    _classify(network, patches[:2400])
    cpu, began = time.process_time(), time.perf_counter()
    rows = len(_classify(network, patches))
    spent = time.perf_counter() - began
    return {"model_s": spent, "model_cpu_s": time.process_time() - cpu, "rows": rows}


if __name__ == "__main__":
    prepare_child.run({"predict": predict, "model": model}[sys.argv[1]], sys.argv[2])
