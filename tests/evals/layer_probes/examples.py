"""Features whose layers differ in how much they tell, and a small protocol."""

import numpy as np

from sigjax.evals.layer_probes import Fold, fold_of, protocol

CLASSES = ("a", "b", "c")
CLIPS, LAYERS, WIDTH = 80, 3, 6


def values_and_labels(seed=0):
    """Layer 1 tells the class, layer 0 and 2 are noise."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, CLIPS)
    values = rng.normal(size=(CLIPS, LAYERS, WIDTH))
    values[:, 1, :3] += 4 * np.eye(3)[label]
    return (10 * values + 3).astype(np.float32), label


def two_folds():
    """Of different sizes: 3 and 2 steps."""
    first = fold_of(["train"] * 40 + ["valid"] * 20 + ["test"] * 20, "first")
    rows = np.arange(CLIPS)
    second = Fold(
        name="second", train=rows[50:], validation=rows[:15], test=rows[15:50]
    )
    return [first, second]


def small(**changes):
    """A protocol that takes a moment."""
    settings = dict(hidden=(8, 4), batch=16, epochs=12, patience=4, seeds=(0, 5))
    return protocol("default", **{**settings, "learning_rate": 3e-2, **changes})
