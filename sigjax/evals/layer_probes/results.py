"""What probes of all layers found: scores, the choice of a layer, fusion."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sigjax.evals.bootstrap import number
from sigjax.evals.layer_probes.folds import Fold, absent_classes
from sigjax.evals.layer_probes.protocol import ProbeProtocol
from sigjax.evals.paper_figures import half_width
from sigjax.metrics import classification
from sigjax.metrics.recall import unweighted_average_recall

# Beside the models' names.
FUSION = "fusion"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Probed:
    """The probes of one layer, or of one weighting of layers.

    Attributes:
      model: Whose layer.
      layer: Its name, such as `"cnn"`, `"0"`, `"12"`, or `"weighted"`.
      validation_uar: Float `[f, s]`, of the epoch that was kept.
      best_epoch: Int `[f, s]`, from 0; -1 for probes without epochs.
      epochs: Int `[f, s]`, how many ran.
      probability: Of each fold, float32 `[s, q, v]`: posteriors of its test rows.
      constant: Features that are the same in all training rows.
      diverged: Probes whose loss became infinite or NaN.
      history: Float `[f, s, e]` each: losses, validation UAR, learning rate by epoch.
      weights: Of `"weighted"`, float `[f, s, l]`: how much each layer counts.
      weighted: Names of those layers.
      neighbours: Of `"knn"`, int `[f]`: the number that validation chose.
      params: Weights of the probes `[f, s, ...]`, if they were kept.
    """

    model: str
    layer: str
    validation_uar: np.ndarray
    best_epoch: np.ndarray
    epochs: np.ndarray
    probability: tuple[np.ndarray, ...]
    constant: int = 0
    diverged: int = 0
    history: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
    weights: np.ndarray | None = None
    weighted: tuple[str, ...] = ()
    neighbours: np.ndarray | None = None
    params: Any = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sweep:
    """All probes of a comparison.

    Attributes:
      protocol: How they were trained.
      classes: Names, `v`.
      folds: Splits, `f`.
      label: Int `[n]`.
      probed: A layer each, models and their layers in order.
    """

    protocol: ProbeProtocol
    classes: tuple[str, ...]
    folds: tuple[Fold, ...]
    label: np.ndarray
    probed: tuple[Probed, ...]

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in order."""
        return tuple(dict.fromkeys(p.model for p in self.probed))

    def of(self, model: str) -> tuple[Probed, ...]:
        """The layers of a model.

        Raises:
          KeyError: There is no such model.
        """
        found = tuple(p for p in self.probed if p.model == model)
        if not found:
            raise KeyError(f"no model {model!r}; there are {', '.join(self.models)}")
        return found

    def confusion(self, probability: Sequence[np.ndarray]) -> np.ndarray:
        """Counts `[f, s, v, v]` of posteriors `[s, q, v]` of each fold's test rows."""
        v = len(self.classes)
        return np.stack(
            [
                [
                    classification.confusion_matrix(
                        self.label[fold.test], of_seed.argmax(axis=-1), v
                    )
                    for of_seed in of_fold
                ]
                for fold, of_fold in zip(self.folds, probability, strict=True)
            ]
        )

    def test_uar(self, probability: Sequence[np.ndarray]) -> np.ndarray:
        """UAR `[f, s]` of posteriors."""
        return unweighted_average_recall(self.confusion(probability))

    def pooled_uar(self, probability: Sequence[np.ndarray]) -> np.ndarray:
        """UAR `[s]` of all folds' test clips together.

        The mean over folds weighs each fold alike, and in it a class that few clips of
        a fold have counts as much as others; here each class counts once.
        """
        return unweighted_average_recall(self.confusion(probability).sum(axis=0))

    def chosen(self, model: str) -> tuple[Probed, ...]:
        """Of each fold, the layer with the best validation UAR, on average over seeds.

        The first of equals. The test rows have no say.
        """
        layers = self.of(model)
        uar = np.stack([p.validation_uar.mean(axis=1) for p in layers])
        return tuple(layers[i] for i in uar.argmax(axis=0))

    def oracle(self, model: str) -> Probed:
        """The layer with the best test UAR, on average over folds and seeds.

        That is how the paper chooses (Table III, "on the best feature layer, on
        Test"): its score is too good by the choice.
        """
        layers = self.of(model)
        uar = [self.test_uar(p.probability).mean() for p in layers]
        return layers[int(np.argmax(uar))]

    def chosen_probability(self, model: str) -> tuple[np.ndarray, ...]:
        """Posteriors by the layer that each fold's validation chose."""
        chosen = self.chosen(model)
        return tuple(p.probability[fold] for fold, p in enumerate(chosen))

    def absent(self) -> dict[str, dict[str, tuple[str, ...]]]:
        """Names of the classes that a fold's splits lack, where they lack any."""
        found = {
            f.name: absent_classes(f, self.label, self.classes) for f in self.folds
        }
        return {
            name: {split: names for split, names in splits.items() if names}
            for name, splits in found.items()
            if any(splits.values())
        }


def fused(members: Sequence[Sequence[np.ndarray]]) -> tuple[np.ndarray, ...]:
    """Mean of posteriors (section II.B of the paper).

    Args:
      members: Of each member, its posteriors `[s, q, v]` of each fold.

    Raises:
      ValueError: No members, or they are not of the same seeds and rows.
    """
    if not members:
        raise ValueError("a fusion needs a member at least")
    found = []
    for of_fold in zip(*members, strict=True):
        if len({p.shape for p in of_fold}) > 1:
            raise ValueError(
                "members of a fusion differ in seeds, rows or classes:"
                f" {', '.join(str(list(p.shape)) for p in of_fold)}"
            )
        found.append(np.mean(of_fold, axis=0))
    return tuple(found)


def score(uar: np.ndarray) -> dict[str, Any]:
    """A figure of folds and seeds.

    Args:
      uar: `[f, s]`.

    Returns:
      `value`, the mean over folds and seeds; `low` and `high`, Student's 95 % interval
      over seeds of the mean over folds, cut to [0, 1], None with one seed; `seeds`,
      that mean of each seed; `folds`, the mean over seeds of each fold. None where
      undefined.
    """
    seeds = uar.mean(axis=0)
    value, width = float(seeds.mean()), half_width(seeds.tolist())
    known = math.isfinite(width)
    return {
        "value": number(value),
        "low": max(value - width, 0.0) if known else None,
        "high": min(value + width, 1.0) if known else None,
        "seeds": [number(x) for x in seeds],
        "folds": [number(x) for x in uar.mean(axis=1)],
    }
