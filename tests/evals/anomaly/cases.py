"""Every back-end with its input made from rows of 16 numbers, for the contract."""

import numpy as np

from sigjax.evals.anomaly.backend import Backend
from sigjax.evals.anomaly.registry import make

WIDTH = 16
CASES: dict[str, dict] = {
    "confidence": {},
    "confidence bracket": {"formula": "misplaced_bracket"},
    "confidence class": {"class_index": 0},
    "mahalanobis": {},
    "mahalanobis empirical": {"covariance": "empirical", "domain": "min"},
    "mahalanobis shrunk": {"covariance": "shrunk"},
    "selective_mahalanobis": {},
    "selective_mahalanobis frames": {"form": "per_frame"},
    "knn": {},
    "knn 5": {"k": 5, "domain": "own"},
    "knn euclidean": {"metric": "euclidean", "k": 2},
    "knn smote": {"target_bank": "smote"},
    "knn mixup": {"target_bank": "mem_mixup", "mix_neighbors": 20},
    "knn z": {"z_normalise": True, "k": 2},
    "knn z smote": {"z_normalise": True, "target_bank": "smote"},
    "kmeans": {"clusters": 4},
    "gmm": {},
    "gmm diag": {"covariance": "diag", "normalise": False, "components": 1},
    "lof": {},
    "lof euclidean": {"metric": "euclidean", "neighbors": 5},
    "local_density": {},
    "local_density euclidean": {"metric": "euclidean"},
    "min_z": {"members": ["mahalanobis", "knn", "lof"], "folds": 5},
    "min_z inputs": {"members": ["confidence", "knn"], "folds": 5},
    "distance_to_mean": {},
    "one_number": {},
    "one_number column": {"number": "column", "column": 1, "tail": "high"},
}


def build(case: str) -> Backend:
    return make({"name": case.split()[0], **CASES[case]})


def given(backend: Backend, x: np.ndarray):
    """What a back-end reads, of rows `[n 16]`."""
    inputs = {"embedding": x, "logits": x}
    if "residual" in backend.reads:
        wave = np.sin(np.arange(5)[:, None] * np.arange(1, WIDTH + 1))
        inputs["residual"] = (x[:, None, :] + wave).astype(x.dtype)
    if len(backend.reads) > 1:
        return {name: inputs[name] for name in backend.reads}
    return inputs[backend.reads[0]]


def clips(source=80, target=6, seed=0):
    """Rows around (10, 0, 0 ...), the target's a little off; and their domains."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(source + target, WIDTH))
    x[:, 0] += 10
    x[source:, 3] += 2
    return x, np.repeat(["source", "target"], [source, target])
