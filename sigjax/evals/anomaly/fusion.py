"""The least anomalous opinion of several back-ends, on one scale.

Back-ends differ more than networks do, and which is best cannot be known without
anomalies. A clip that one of them finds normal is normal: the minimum of z-normalised
scores. Mean and standard deviation come from training clips that the scoring back-end
was not fitted on, never from test clips, so that one clip can be scored by itself.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Self

import numpy as np

from sigjax.evals.anomaly.backend import (
    Backend,
    BackendError,
    Domains,
    Inputs,
    State,
    canonical_order,
    checked_domains,
    finite_rows,
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MinZConfig:
    """Which back-ends.

    Attributes:
      members: Their configs, or descriptions of them as `make` takes.
      folds: Into which the training clips are cut; each is scored by members fitted on
        the rest. With no more clips of a domain than folds, each of them is left out
        alone. `None` for leave-one-out of all, which fits every member once per clip.
    """

    members: tuple[Any, ...]
    folds: int | None = 10

    def __post_init__(self):
        """Builds members from descriptions; refuses what gives no statistics."""
        from sigjax.evals.anomaly.registry import configure

        members = tuple(
            configure(m) if isinstance(m, Mapping | str) else m for m in self.members
        )
        object.__setattr__(self, "members", members)
        if not members or any(isinstance(m, MinZConfig) for m in members):
            raise ValueError("min_z needs one member at least, and none that is min_z")
        if self.folds is not None and self.folds < 2:
            raise ValueError(f"folds must be 2 or more, got {self.folds}")


class MinZ:
    """Minimum over members of (score - mean) / standard deviation.

    With one training clip, or where a member scores all left-out clips alike, that
    member's mean is taken off (if there is one), and its scale stays.
    """

    config_type = MinZConfig

    def __init__(self, config: MinZConfig):
        """Not fitted yet."""
        self.config = config
        self._members: list[Backend] | None = None
        self._offset = self._scale = np.empty(0)

    @property
    def reads(self) -> tuple[str, ...]:
        """What its members are given, each once."""
        return tuple(dict.fromkeys(r for m in self._fresh() for r in m.reads))

    def fit(self, embeddings: Inputs, domains: Domains) -> Self:
        """See `Backend.fit`."""
        embeddings = input_of(self, embeddings)
        members, offset, scale = self._fresh(), [], []
        for i, member in enumerate(members):
            own = input_of(member, embeddings)
            member.fit(own, domains)
            left_out = held_out_scores(
                lambda i=i: self._fresh()[i], own, domains, folds=self.config.folds
            )
            left_out = left_out[np.isfinite(left_out)]
            mean, sd = (left_out.mean(), left_out.std()) if len(left_out) else (0, 0)
            # Scores that differ by rounding alone have no scale.
            flat = sd <= 1e-12 * max(abs(mean), 1e-300)
            offset.append(mean)
            scale.append(1.0 if flat else sd)
        self._members = members
        self._offset, self._scale = np.asarray(offset, float), np.asarray(scale, float)
        return self

    def score(self, embeddings: Inputs, domains: Domains | None = None) -> np.ndarray:
        """See `Backend.score`; NaN where a member's is."""
        return self.scores(embeddings, domains).min(axis=0)

    def scores(self, embeddings: Inputs, domains: Domains | None = None) -> np.ndarray:
        """Float64 `[members m]`: each member's z-normalised score."""
        if self._members is None:
            raise BackendError("MinZ is not fitted: call fit first")
        members, embeddings = self._members, input_of(self, embeddings)
        value = [m.score(input_of(m, embeddings), domains) for m in members]
        return (np.stack(value) - self._offset[:, None]) / self._scale[:, None]

    def state(self) -> State:
        """See `Backend.state`; a member's arrays are named `INDEX/NAME`."""
        if self._members is None:
            raise BackendError("MinZ is not fitted: call fit first")
        state = {"offset": self._offset, "scale": self._scale}
        for i, member in enumerate(self._members):
            state |= {f"{i}/{name}": a for name, a in member.state().items()}
        return state

    @classmethod
    def from_state(cls, config: MinZConfig, state: Mapping[str, np.ndarray]) -> Self:
        """See `Backend.from_state`."""
        backend = cls(config)
        missing = {"offset", "scale"} - set(state)
        if missing:
            raise BackendError(f"state of MinZ lacks {', '.join(sorted(missing))}")
        backend._offset = np.asarray(state["offset"])
        backend._scale = np.asarray(state["scale"])
        backend._members = [
            type(member).from_state(member.config, part_of(state, str(i)))
            for i, member in enumerate(backend._fresh())
        ]
        return backend

    def _fresh(self) -> list[Backend]:
        from sigjax.evals.anomaly.registry import backend_of

        return [backend_of(config) for config in self.config.members]


def input_of(backend: Backend, embeddings: Inputs) -> Any:
    """What a back-end reads, out of an array or a mapping of several.

    Raises:
      BackendError: If it is not there.
    """
    reads: tuple[str, ...] = backend.reads
    if not isinstance(embeddings, Mapping):
        if len(reads) > 1:
            raise BackendError(
                f"{type(backend).__name__} reads {', '.join(reads)}: give a mapping"
            )
        return embeddings
    missing = [name for name in reads if embeddings.get(name) is None]
    if missing:
        raise BackendError(
            f"{type(backend).__name__} reads {', '.join(missing)}, which is missing"
        )
    found = {name: embeddings[name] for name in reads}
    return found if len(found) > 1 else found.popitem()[1]


def part_of(state: Mapping[str, np.ndarray], prefix: str) -> State:
    """The arrays of a state below a prefix, without it."""
    start = f"{prefix}/"
    return {n.removeprefix(start): a for n, a in state.items() if n.startswith(start)}


def held_out_scores(
    fresh: Callable[[], Backend],
    embeddings: Inputs,
    domains: Domains,
    *,
    folds: int | None = None,
) -> np.ndarray:
    """Scores of training clips by back-ends that were fitted without them.

    The folds depend on the clips' content alone, and spread each domain. What is the
    distribution of scores of normal clips, for a threshold or a scale, is learnt here:
    a back-end's scores of its own training clips are too low (0 for the nearest
    neighbour).

    Args:
      fresh: Gives a back-end that is not fitted.
      embeddings: Float `[n d]`, or what it reads: a mapping for several.
      domains: Text `[n]`.
      folds: How many; `None` for leave-one-out.

    Returns:
      Float64 `[n]`; NaN for a row that is not finite, and everywhere with fewer than
      two finite rows.
    """
    several = isinstance(embeddings, Mapping)
    parts = dict(embeddings) if several else {"": np.asarray(embeddings)}

    def take(rows: np.ndarray) -> Any:
        chosen = {name: array[rows] for name, array in parts.items()}
        return chosen if several else chosen[""]

    domain = checked_domains(domains, len(domains))
    score = np.full(len(domain), np.nan)
    good = np.flatnonzero(np.all([finite_rows(a) for a in parts.values()], axis=0))
    if len(good) < 2:
        return score
    arrays = [array[good] for array in parts.values()]
    order = good[canonical_order(arrays, domain[good])]
    count = len(order) if folds is None else min(folds, len(order))
    fold = np.arange(len(order)) % count
    for f in range(count):
        rest, out = order[fold != f], order[fold == f]
        backend = fresh().fit(take(rest), domain[rest])
        score[out] = backend.score(take(out), domain[out])
    return score
