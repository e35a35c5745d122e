"""Distance to the nearest training clips, the lesser of source and target.

What the strongest public systems score with: embeddings of length one, mean distance to
the k nearest clips of each domain, minimum over the domains.
"""

import dataclasses
from typing import Literal

import numpy as np

from sigjax.evals.anomaly.backend import (
    SOURCE,
    TARGET,
    ArrayBackend,
    State,
    own_or_least,
)
from sigjax.evals.anomaly.distances import cosine, directions, nearest
from sigjax.evals.anomaly.target_bank import mem_mixup, smote


@dataclasses.dataclass(frozen=True, kw_only=True)
class KnnConfig:
    """Distance, neighbours and the target's bank.

    Attributes:
      k: Neighbours in each domain; all of them where a domain has fewer.
      metric: `"cosine"` (1 - cos) or `"euclidean"`. Cosine does not see length: it is
        for networks that were trained to tell classes by angles. A clip that differs
        from the mean as others do but further (standardised statistics of a sound that
        nobody learned) is normal to it.
      domain: `"min"` takes the nearest domain even where the clip's is known, as all
        peers do; `"own"` its own domain then.
      target_bank: `"plain"`, `"smote"`, or `"mem_mixup"`.
      smote_ratio: Target rows for each source clip.
      smote_neighbors: Of SMOTE.
      mix_share: Of the target clip, of MemMixup.
      mix_neighbors: Source clips for each target clip, of MemMixup.
      z_normalise: Each domain's distances in standard deviations from their mean. Both
        come from training clips, each left out of the bank in turn; nothing of the test
        data is used (GenRep's domain normalisation takes it from the test clips, which
        a detector that judges one clip at a time cannot do).
      fewest: Clips that a domain needs for statistics of its own; with fewer it gets
        those of all training clips.
      seed: Of SMOTE's draw.
    """

    k: int = 1
    metric: Literal["cosine", "euclidean"] = "cosine"
    domain: Literal["min", "own"] = "min"
    target_bank: Literal["plain", "smote", "mem_mixup"] = "plain"
    smote_ratio: float = 0.2
    smote_neighbors: int = 2
    mix_share: float = 0.9
    mix_neighbors: int = 990
    z_normalise: bool = False
    fewest: int = 10
    seed: int = 0

    def __post_init__(self):
        """Refuses numbers that no neighbour fits."""
        for name in ("k", "smote_neighbors", "mix_neighbors"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.fewest < 2:
            raise ValueError(f"fewest must be 2 or more, got {self.fewest}")
        if self.metric not in ("cosine", "euclidean"):
            raise ValueError(f"unknown metric {self.metric!r}")
        if self.domain not in ("own", "min"):
            raise ValueError(f"domain must be 'own' or 'min', got {self.domain!r}")
        if self.target_bank not in ("plain", "smote", "mem_mixup"):
            raise ValueError(f"unknown target_bank {self.target_bank!r}")
        if self.smote_ratio < 0 or not 0 <= self.mix_share <= 1:
            raise ValueError("smote_ratio must be 0 or more, mix_share in [0, 1]")


class Knn(ArrayBackend[KnnConfig]):
    """Nearest neighbours; training clips and invented target rows are its memory.

    Duplicates count as neighbours. With one target clip the target's distance is that
    to it; without any, the source's counts.
    """

    config_type = KnnConfig
    _names = ("bank", "bank_group", "group", "offset", "scale")

    def _fit(self, x: np.ndarray, domain: np.ndarray) -> State:
        rows = self._rows(x)
        group = np.unique(domain)
        parts = {str(name): rows[domain == name] for name in group}
        banks = {name: self._bank(name, part, parts) for name, part in parts.items()}
        offset, scale = np.zeros(len(group)), np.ones(len(group))
        if self.config.z_normalise:
            offset, scale = self._statistics(parts)
        return {
            "bank": np.concatenate(list(banks.values())),
            "bank_group": np.repeat(group, [len(bank) for bank in banks.values()]),
            "group": group,
            "offset": offset,
            "scale": scale,
        }

    def _score(self, state: State, x: np.ndarray, domain: np.ndarray) -> np.ndarray:
        rows, bank, group = self._rows(x), state["bank"], state["group"]
        columns = [
            self._distance(rows, bank[state["bank_group"] == name]) for name in group
        ]
        value = (np.stack(columns, axis=1) - state["offset"]) / state["scale"]
        return own_or_least(value, group, domain, own=self.config.domain == "own")

    def _rows(self, x: np.ndarray) -> np.ndarray:
        return directions(x) if self.config.metric == "cosine" else x

    def _distance(self, rows: np.ndarray, bank: np.ndarray, *, leave_self=False):
        found, _ = nearest(rows, bank, self.config.k, leave_self=leave_self)
        found = cosine(found) if self.config.metric == "cosine" else found
        return found.mean(axis=1)

    def _bank(
        self, name: str, own: np.ndarray, parts: dict[str, np.ndarray]
    ) -> np.ndarray:
        """The rows of one domain's bank, those of `own` first."""
        c, source = self.config, parts.get(SOURCE)
        if name != TARGET or source is None or c.target_bank == "plain":
            return own
        if c.target_bank == "smote":
            # The nearest whole number: 0.2 * 1000 is 200.00000000000003 in floats.
            count = round(c.smote_ratio * len(source))
            bank = smote(own, count, neighbors=c.smote_neighbors, seed=c.seed)
        else:
            share, k = c.mix_share, c.mix_neighbors
            bank = mem_mixup(own, source, share=share, neighbors=k)
        if c.metric == "cosine":
            # A chord runs inside the sphere: its points are shorter than one.
            length = np.linalg.norm(bank, axis=1, keepdims=True)
            bank = bank / np.where(length == 0, 1, length)
        return bank

    def _statistics(
        self, parts: dict[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of left-out distances, one for each domain."""
        left_out = {name: self._left_out(name, parts) for name in parts}
        pooled = np.concatenate(list(left_out.values()))
        offset, scale = [], []
        for distance in left_out.values():
            own = distance if len(distance) >= self.config.fewest else pooled
            mean, sd = (own.mean(), own.std()) if len(own) >= 2 else (0.0, 0.0)
            offset.append(mean)
            scale.append(sd if sd > 0 else 1.0)
        return np.asarray(offset), np.asarray(scale)

    def _left_out(self, name: str, parts: dict[str, np.ndarray]) -> np.ndarray:
        """Each clip's distance to its own domain without it; none for a single clip."""
        own = parts[name]
        if len(own) < 2:
            return np.empty(0)
        if self.config.target_bank == "plain" or name != TARGET or SOURCE not in parts:
            return self._distance(own, own, leave_self=True)
        # Rows that were invented from a clip must go with it.
        found = []
        for i in range(len(own)):
            bank = self._bank(name, np.delete(own, i, axis=0), parts)
            found.append(self._distance(own[i : i + 1], bank)[0])
        return np.asarray(found)
