"""Probes over every layer of speech encoders, trained all at once.

    features = layers_of("hubert", values)            # float32 [n, l, w]
    found = sweep(features, label, classes, [fold_of(split)], protocol("default"))
    found.chosen("hubert"), found.oracle("hubert")

`results` has scores, fusion and the choice of a layer; `report` writes tables and
figures.
"""

from sigjax.evals.layer_probes.folds import Fold, fold_of
from sigjax.evals.layer_probes.protocol import PROTOCOLS, ProbeProtocol, protocol
from sigjax.evals.layer_probes.results import Probed, Sweep, fused, score
from sigjax.evals.layer_probes.sweep import LayerFeatures, layers_of, sweep

__all__ = [
    "PROTOCOLS",
    "Fold",
    "LayerFeatures",
    "ProbeProtocol",
    "Probed",
    "Sweep",
    "fold_of",
    "fused",
    "layers_of",
    "protocol",
    "score",
    "sweep",
]
