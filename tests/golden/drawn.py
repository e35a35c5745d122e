"""Arrays by name, the same in every version of NumPy: inputs of golden values."""

import zlib

import numpy as np


def drawn(name: str, shape: tuple[int, ...], purpose: str = "weight") -> np.ndarray:
    """An array of its name: weights that keep a network's activations about 1."""
    seed = zlib.crc32(f"{purpose} {name}".encode())
    values = np.random.RandomState(seed).standard_normal(shape)
    if purpose != "weight":
        return values
    if name.endswith("norm.weight"):
        return 1 + 0.2 * values
    if len(shape) == 1:
        return 0.2 * values
    if name.endswith(("table", "rpb")):
        return values
    return values / np.sqrt(np.prod(shape[1:]))
