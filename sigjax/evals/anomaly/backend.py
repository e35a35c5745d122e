"""The one interface of all scoring back-ends, and what they share.

A back-end learns what normal clips of one section look like and scores clips: higher
is more anomalous.

    backend = make({"name": "knn", "k": 1}).fit(embeddings, domains)
    score = backend.score(test_embeddings)

What holds for each of them:

- A row with a value that is not finite is left out of `fit`, and counted in the
  state's `left_out`; `score` gives it NaN and nobody else. A fit without any finite
  row is an error.
- The order of the training rows does not matter: they are sorted by their content
  first, so that random methods draw the same.
- The domains are `"source"`, `"target"` and `""` (unknown). Training clips of unknown
  domain are a group of their own. A test clip whose domain is unknown, or one that
  the section was not trained on, is scored against the nearest group.
- Arithmetic is float64, whatever comes in. The same clip in another batch has the same
  score but for the last digits of matrix products.
- `state()` holds arrays alone, without pickles. `from_state` scores bit for bit alike.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, runtime_checkable

import numpy as np

SOURCE, TARGET, UNKNOWN = "source", "target", ""
_DOMAINS = (SOURCE, TARGET, UNKNOWN)

C = TypeVar("C")
State = dict[str, np.ndarray]
Inputs = np.ndarray | Mapping[str, np.ndarray]
Domains = Sequence[str] | np.ndarray


class BackendError(ValueError):
    """Embeddings, domains or a state that a back-end cannot use."""


@runtime_checkable
class Backend(Protocol):
    """What scores clips.

    Attributes:
      config: Its frozen dataclass.
      reads: Names of what it is given, fields of
        `sigjax.evals.anomaly.per_section.Bank`. With several, `embeddings` is a
        mapping of them; with one, the array.
    """

    @property
    def config(self) -> Any:
        """Its frozen dataclass."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """What it is given."""
        ...

    def fit(self, embeddings: Any, domains: Domains) -> Self:
        """Learns from normal clips.

        Args:
          embeddings: Float `[n d]` for most; what `reads` says.
          domains: Text `[n]`.

        Returns:
          Itself.

        Raises:
          BackendError: For shapes or domains that cannot be, or without a finite row.
        """
        ...

    def score(self, embeddings: Any, domains: Domains | None = None) -> np.ndarray:
        """Scores clips.

        Args:
          embeddings: As in `fit`, `[m d]`.
          domains: Text `[m]`; `None` if all are unknown.

        Returns:
          Float64 `[m]`, higher is more anomalous; NaN where the input is not finite.

        Raises:
          BackendError: Before `fit`, or for another width than it saw.
        """
        ...

    def state(self) -> State:
        """What was learnt: arrays of numbers or text."""
        ...

    @classmethod
    def from_state(cls, config: Any, state: Mapping[str, np.ndarray]) -> Self:
        """The fitted back-end again."""
        ...


class ArrayBackend(Generic[C]):
    """A back-end whose input is one array and whose state is a dict of arrays.

    A subclass says what it learns (`_fit`) and how it scores (`_score`); checks, rows
    that are not finite, order and the state are done here.
    """

    reads: ClassVar[tuple[str, ...]] = ("embedding",)
    config_type: ClassVar[type]
    _ranks: ClassVar[tuple[int, ...]] = (2,)
    _names: ClassVar[tuple[str, ...]]

    def __init__(self, config: C | None = None):
        """Not fitted yet. Without a config its defaults stand."""
        self.config: C = self.config_type() if config is None else config
        self._state: State | None = None

    def fit(self, embeddings: np.ndarray, domains: Domains) -> Self:
        """See `Backend.fit`."""
        x = self._checked(embeddings)
        domain = checked_domains(domains, len(x))
        good = np.flatnonzero(finite_rows(x))
        if not len(good):
            raise BackendError(
                f"{type(self).__name__}.fit needs one clip at least whose"
                f" {self.reads[0]} is finite; of {len(x)} clips none is"
            )
        good = good[canonical_order([x[good]], domain[good])]
        learnt = self._fit(x[good], domain[good])
        counts = {"width": x.shape[-1], "clips": len(good), "left_out": len(x)}
        counts["left_out"] -= len(good)
        self._state = {k: np.asarray(v, np.int64) for k, v in counts.items()} | learnt
        return self

    def score(
        self, embeddings: np.ndarray, domains: Domains | None = None
    ) -> np.ndarray:
        """See `Backend.score`."""
        state = self._fitted()
        x = self._checked(embeddings)
        if x.shape[-1] != int(state["width"]):
            raise BackendError(
                f"{type(self).__name__} was fitted on width {int(state['width'])},"
                f" got {x.shape[-1]}: embeddings of another model?"
            )
        domain = checked_domains(domains, len(x))
        good = finite_rows(x)
        score = np.full(len(x), np.nan)
        if good.any():
            score[good] = self._score(state, x[good], domain[good])
        return score

    def state(self) -> State:
        """See `Backend.state`."""
        return dict(self._fitted())

    @classmethod
    def from_state(cls, config: C, state: Mapping[str, np.ndarray]) -> Self:
        """See `Backend.from_state`."""
        missing = {"width", "clips", "left_out", *cls._names} - set(state)
        if missing:
            raise BackendError(
                f"state of {cls.__name__} lacks {', '.join(sorted(missing))}"
            )
        backend = cls(config)
        backend._state = {name: np.asarray(array) for name, array in state.items()}
        return backend

    def _fit(self, x: np.ndarray, domain: np.ndarray) -> State:
        """Arrays learnt from finite rows, in canonical order."""
        raise NotImplementedError

    def _score(self, state: State, x: np.ndarray, domain: np.ndarray) -> np.ndarray:
        """Float64 `[m]` of finite rows."""
        raise NotImplementedError

    def _fitted(self) -> State:
        if self._state is None:
            raise BackendError(f"{type(self).__name__} is not fitted: call fit first")
        return self._state

    def _checked(self, embeddings: Any) -> np.ndarray:
        x = np.asarray(embeddings)
        if x.ndim not in self._ranks or x.dtype.kind not in "fiu" or not x.shape[-1]:
            ranks = " or ".join(str(rank) for rank in self._ranks)
            raise BackendError(
                f"{type(self).__name__} takes {self.reads[0]}s as numbers of rank"
                f" {ranks}, got {x.dtype} {list(x.shape)}"
            )
        # Residuals of many frames stay small until they are used.
        return x if x.ndim == 3 else x.astype(np.float64)


def checked_domains(domains: Domains | None, count: int) -> np.ndarray:
    """Text `[count]` of known names; all unknown for `None`.

    Raises:
      BackendError: For another length or another name.
    """
    if domains is None:
        return np.full(count, UNKNOWN)
    domain = np.asarray(domains, dtype=np.str_)
    if domain.shape != (count,):
        raise BackendError(f"{count} clips but domains of shape {list(domain.shape)}")
    odd = sorted(set(domain.tolist()) - set(_DOMAINS))
    if odd:
        raise BackendError(f"domain must be one of {_DOMAINS}, got {odd}")
    return domain


def finite_rows(x: np.ndarray) -> np.ndarray:
    """Bool `[n]`: rows of which each value is finite."""
    return np.asarray(np.isfinite(x).all(axis=tuple(range(1, x.ndim))))


def canonical_order(inputs: Sequence[np.ndarray], domain: np.ndarray) -> np.ndarray:
    """An order of rows that depends on their content alone.

    Args:
      inputs: Arrays with `n` rows each.
      domain: Text `[n]`.

    Returns:
      Int `[n]`: by domain, and by a digest of the row within it.
    """

    def key(i: int) -> tuple[str, bytes]:
        digest = hashlib.blake2b(digest_size=16)
        for x in inputs:
            # -0.0 and 0.0 are one number but two byte strings.
            digest.update((np.asarray(x[i], np.float64) + 0.0).tobytes())
        return str(domain[i]), digest.digest()

    return np.asarray(sorted(range(len(domain)), key=key), np.int64)


def own_or_least(
    value: np.ndarray, groups: np.ndarray, domain: np.ndarray, *, own: bool
) -> np.ndarray:
    """One value per clip out of one per group.

    Args:
      value: Float `[m g]`, the distance to each group.
      groups: Text `[g]`, the domains trained on.
      domain: Text `[m]` of the clips.
      own: Whether a clip of known domain is held against its own domain alone.

    Returns:
      Float `[m]`: the own domain's value where it is known and trained on (and `own`),
      the least elsewhere.
    """
    least = value.min(axis=1)
    if not own:
        return least
    same = domain[:, None] == groups
    known = same.any(axis=1) & (domain != UNKNOWN)
    return np.where(known, value[np.arange(len(value)), same.argmax(axis=1)], least)
