"""How probes are trained: the paper's protocol and our default.

What "Comparing Self-Supervised Learning Models Pre-Trained on Human Speech and Animal
Vocalizations for Bioacoustics Processing" (Sarkar and Magimai.-Doss) says, section III:
MLP 128-64-32, cross-entropy, Adam, 30 epochs, stopped after 10 without improvement, a
schedule that multiplies the learning rate by 0.1 after 10 such epochs. What it leaves
open is set as its public code has it: learning rate 1e-3, batches of 16 with the last
smaller one kept, the schedule watches the validation loss, stopping and the choice of
the epoch watch the validation UAR, features are standardised by their training rows,
and there is one seed.

`default` differs in three things: batches of 128, up to 100 epochs since an epoch has
fewer steps then, and five seeds, since one says nothing of how much a number means.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from sigjax.models.probe import ProbeConfig

Kind = Literal["mlp", "linear", "weighted", "knn"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProbeProtocol:
    """One way to probe.

    Attributes:
      kind: `"mlp"` and `"linear"` probe each layer alone; `"weighted"` is one MLP on a
        learned weighting of all layers; `"knn"` asks the nearest training clips.
      hidden: Units of the MLP's blocks.
      batch: Clips of a step; the last step of an epoch has what is left.
      learning_rate: Of Adam, to begin with.
      epochs: At most.
      patience: Epochs without a better validation UAR before a probe stops; the best
        epoch's weights are kept in any case.
      plateau_patience: Epochs without a lower validation loss before the learning rate
        falls.
      plateau_factor: What it is multiplied by then.
      seeds: A probe each; a seed sets the initial weights and the order of clips, the
        same for every layer and model.
      neighbours: Numbers of neighbours that are tried; validation UAR chooses.
    """

    kind: Kind = "mlp"
    hidden: tuple[int, ...] = (128, 64, 32)
    batch: int = 128
    learning_rate: float = 1e-3
    epochs: int = 100
    patience: int = 10
    plateau_patience: int = 10
    plateau_factor: float = 0.1
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    neighbours: tuple[int, ...] = (1, 3, 5, 10, 20, 50)

    def __post_init__(self):
        """Refuses numbers without meaning."""
        for name in ("batch", "epochs", "patience", "plateau_patience"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, got {getattr(self, name)}"
                )
        if self.learning_rate <= 0 or not 0 < self.plateau_factor <= 1:
            raise ValueError(
                "learning_rate must be above 0 and plateau_factor in (0, 1], got"
                f" {self.learning_rate} and {self.plateau_factor}"
            )
        for name in ("seeds", "neighbours"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} must be distinct, got {values}")
        if min(self.seeds) < 0 or min(self.neighbours) < 1:
            raise ValueError("seeds must be at least 0, neighbours at least 1")

    def network(self, classes: int, layers: int = 0) -> ProbeConfig:
        """The probe that is trained, for `"weighted"` on that many layers."""
        hidden = () if self.kind == "linear" else self.hidden
        weighted = layers if self.kind == "weighted" else 0
        return ProbeConfig(classes=classes, hidden=hidden, layers=weighted)


PROTOCOLS: Mapping[str, ProbeProtocol] = {
    "paper": ProbeProtocol(batch=16, epochs=30, seeds=(12345,)),
    "default": ProbeProtocol(),
}


def protocol(name: str, **changes: Any) -> ProbeProtocol:
    """A protocol by its name, with changes.

    Raises:
      ValueError: There is none of this name.
    """
    if name not in PROTOCOLS:
        raise ValueError(
            f"no probe protocol {name!r}; there are {', '.join(PROTOCOLS)}"
        )
    return dataclasses.replace(PROTOCOLS[name], **changes)
