"""All back-ends by name, and their descriptions in plain values.

    backend = make({"name": "knn", "k": 1, "target_bank": "smote"})
    backend = make({"name": "min_z", "members": ["mahalanobis", "knn"]})

A description and a state are all that a bundle keeps: `make(describe(backend.config))`
is the same back-end before `fit`, `restore(description, state)` after.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sigjax.evals.anomaly.backend import Backend
from sigjax.evals.anomaly.clusters import Gmm, KMeans
from sigjax.evals.anomaly.confidence import Confidence
from sigjax.evals.anomaly.controls import DistanceToMean, OneNumber
from sigjax.evals.anomaly.density import LocalDensity, Lof
from sigjax.evals.anomaly.fusion import MinZ, MinZConfig
from sigjax.evals.anomaly.knn import Knn
from sigjax.evals.anomaly.mahalanobis import Mahalanobis
from sigjax.evals.anomaly.selective import Selective

# Each class names its config's dataclass: BACKENDS["knn"].config_type is KnnConfig.
BACKENDS: dict[str, Any] = {
    "confidence": Confidence,
    "mahalanobis": Mahalanobis,
    "selective_mahalanobis": Selective,
    "knn": Knn,
    "kmeans": KMeans,
    "gmm": Gmm,
    "lof": Lof,
    "local_density": LocalDensity,
    "min_z": MinZ,
    "distance_to_mean": DistanceToMean,
    "one_number": OneNumber,
}

Description = str | Mapping[str, Any]


def configure(description: Description) -> Any:
    """The config that a description means.

    Args:
      description: A name of `BACKENDS`, or a mapping with `name` and fields of its
        config.

    Raises:
      ValueError: For an unknown name or field, or a value that the config refuses.
    """
    if isinstance(description, str):
        description = {"name": description}
    settings = dict(description)
    name = settings.pop("name", None)
    if name not in BACKENDS:
        raise ValueError(f"no back-end {name!r}: there are {', '.join(BACKENDS)}")
    kind = BACKENDS[name].config_type
    known = {field.name for field in dataclasses.fields(kind)}
    odd = sorted(set(settings) - known)
    if odd:
        raise ValueError(
            f"back-end {name!r} has no {', '.join(odd)}: it has"
            f" {', '.join(sorted(known))}"
        )
    if name == "min_z" and isinstance(settings.get("members"), Sequence):
        settings["members"] = tuple(settings["members"])
    return kind(**settings)


def backend_of(config: Any) -> Backend:
    """The back-end of a config, not fitted."""
    for kind in BACKENDS.values():
        if type(config) is kind.config_type:
            return kind(config)
    raise ValueError(f"{type(config).__name__} is the config of no back-end")


def make(description: Description) -> Backend:
    """The back-end that a description means, not fitted; see `configure`."""
    return backend_of(configure(description))


def describe(config: Any) -> dict[str, Any]:
    """Name and settings of a back-end in values that JSON can hold."""
    kind = type(backend_of(config))
    name = next(name for name, known in BACKENDS.items() if known is kind)
    fields = dataclasses.fields(config)
    settings = {field.name: getattr(config, field.name) for field in fields}
    if isinstance(config, MinZConfig):
        settings["members"] = [describe(member) for member in config.members]
    return {"name": name, **settings}


def restore(description: Description, state: Mapping[str, np.ndarray]) -> Backend:
    """A fitted back-end out of its description and its state."""
    config = configure(description)
    return type(backend_of(config)).from_state(config, state)
