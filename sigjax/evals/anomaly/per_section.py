"""One back-end for each section (or machine), and what to do with unknown ones."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from sigjax.evals.anomaly.backend import (
    Backend,
    BackendError,
    State,
    checked_domains,
)
from sigjax.evals.anomaly.confidence import ConfidenceConfig
from sigjax.evals.anomaly.fusion import (
    MinZConfig,
    held_out_scores,
    input_of,
    part_of,
)
from sigjax.evals.anomaly.registry import (
    Description,
    backend_of,
    configure,
    describe,
)

_INPUTS = ("embedding", "logits", "residual")


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Bank:
    """What a model said of clips, for back-ends to fit or score.

    Attributes:
      section: Text `[n]`.
      domain: Text `[n]`: `"source"`, `"target"` or `""`; `None` if all are unknown.
      machine: Text `[n]`; `None` for one machine.
      embedding: Float `[n d]`.
      logits: Float `[n v]`, or `[n b v]` with `b` segments to a clip.
      residual: Float `[n t f]` of a frame autoencoder.
      class_index: Int `[n]`, the section's class in the logits; `None` to learn it.
    """

    section: Sequence[str] | np.ndarray
    domain: Sequence[str] | np.ndarray | None = None
    machine: Sequence[str] | np.ndarray | None = None
    embedding: np.ndarray | None = None
    logits: np.ndarray | None = None
    residual: np.ndarray | None = None
    class_index: np.ndarray | None = None

    def __post_init__(self):
        """Refuses columns of unequal length."""
        section = np.asarray(self.section, np.str_)
        count = len(section)
        machine = [""] * count if self.machine is None else self.machine
        object.__setattr__(self, "section", section)
        object.__setattr__(self, "machine", np.asarray(machine, np.str_))
        object.__setattr__(self, "domain", checked_domains(self.domain, count))
        for field in dataclasses.fields(self):
            column = getattr(self, field.name)
            if column is not None and len(column) != count:
                raise BackendError(
                    f"bank of {count} clips, but {len(column)} of {field.name}"
                )

    def __len__(self) -> int:
        """Number of clips."""
        return len(self.section)

    @property
    def inputs(self) -> dict[str, np.ndarray]:
        """What back-ends may read, by name."""
        named = {name: getattr(self, name) for name in _INPUTS}
        return {name: column for name, column in named.items() if column is not None}

    @property
    def domains(self) -> np.ndarray:
        """Text `[n]`."""
        return np.asarray(self.domain)

    def take(self, rows: np.ndarray) -> "Bank":
        """The clips of an index or a mask."""
        columns: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            column = getattr(self, field.name)
            columns[field.name] = None if column is None else column[rows]
        return Bank(**columns)


class SectionScores(NamedTuple):
    """Scores of a bank's clips.

    Attributes:
      score: Float64 `[m]`; NaN where the input is not finite.
      machine: Text `[m]`, whose model gave the score.
      section: Text `[m]`, likewise.
      known: Bool `[m]`: the clip's own section was trained on.
    """

    score: np.ndarray
    machine: np.ndarray
    section: np.ndarray
    known: np.ndarray


class PerSection:
    """A back-end fitted for each section, and scoring the clips of that section.

    A clip of a section that was not trained on is scored by each model of its machine
    (of all machines, where the machine is unknown too). The least score is its score,
    that model its nearest section by that back-end, and `known` is false: scores of two
    sections' models are on two scales, so it is an answer to "which is it most like"
    before it is one to "is it normal".
    """

    def __init__(
        self,
        description: Description | Any,
        *,
        scope: Literal["section", "machine"] = "section",
    ):
        """Not fitted yet.

        Args:
          description: Of the back-end, as `registry.make` takes, or its config.
          scope: `"machine"` fits one model on all sections of a machine, whose clips
            then are `known` whatever their section. Its section is `""`.
        """
        plain = isinstance(description, Mapping | str)
        self.config = configure(description) if plain else description
        backend_of(self.config)
        if scope not in ("section", "machine"):
            raise ValueError(f"scope must be 'section' or 'machine', got {scope!r}")
        if scope == "machine" and _wants_class(self.config):
            raise ValueError(
                "classifier confidence is of a section's class: scope 'machine' has"
                " none"
            )
        self.scope = scope
        self.models: dict[tuple[str, str], Backend] = {}

    def fit(self, bank: Bank) -> Self:
        """Fits a model on the clips of each section.

        Raises:
          BackendError: Naming the section, where its clips allow no fit or have more
            than one `class_index`.
        """
        self.models = {}
        for (machine, section), rows in self._groups(bank).items():
            clips = bank.take(rows)
            try:
                config = _for_class(self.config, clips.class_index)
                backend = backend_of(config)
                backend.fit(input_of(backend, clips.inputs), clips.domains)
            except BackendError as error:
                name = f"{machine} section {section}".strip()
                raise BackendError(f"{name}: {error}") from error
            self.models[machine, section] = backend
        return self

    def score(self, bank: Bank) -> SectionScores:
        """Scores clips, each by its own section's model, or by the nearest."""
        if not self.models:
            raise BackendError("PerSection is not fitted: call fit first")
        score, count = np.full(len(bank), np.nan), len(bank)
        best: list[tuple[str, str]] = [("", "")] * count
        known = np.zeros(count, bool)
        for own, rows in self._groups(bank).items():
            clips = bank.take(rows)
            candidates = self._candidates(own)
            columns = []
            for candidate in candidates:
                model = self.models[candidate]
                given = input_of(model, clips.inputs)
                columns.append(model.score(given, clips.domains))
            value = np.stack(columns, axis=1)
            # Where one is NaN all are: the input is not finite.
            least = np.where(np.isnan(value), np.inf, value).argmin(axis=1)
            score[rows] = value[np.arange(len(rows)), least]
            known[rows] = own in self.models
            for row, i in zip(rows, least, strict=True):
                best[row] = candidates[i]
        machine, section = np.asarray(best, np.str_).reshape(-1, 2).T
        return SectionScores(score, machine, section, known)

    def held_out(self, bank: Bank, *, folds: int | None = 10) -> np.ndarray:
        """Scores of normal clips by models that were fitted without them.

        What a threshold is taken from: of its own training clips a model thinks too
        well. Nothing is fitted that stays.

        Args:
          bank: Normal clips.
          folds: Of each section's clips; `None` for leave-one-out.

        Returns:
          Float64 `[n]`; NaN for a clip that is not finite, or alone in its section.
        """
        score = np.full(len(bank), np.nan)
        for rows in self._groups(bank).values():
            clips = bank.take(rows)
            config = _for_class(self.config, clips.class_index)
            given = input_of(backend_of(config), clips.inputs)
            score[rows] = held_out_scores(
                functools.partial(backend_of, config), given, clips.domains, folds=folds
            )
        return score

    def description(self) -> dict[str, Any]:
        """The back-end and the scope, in values that JSON can hold."""
        return {"backend": describe(self.config), "scope": self.scope}

    def state(self) -> State:
        """Arrays alone; those of model `i` are named `i/NAME`."""
        if not self.models:
            raise BackendError("PerSection is not fitted: call fit first")
        names = np.asarray(list(self.models), np.str_).reshape(-1, 2)
        state = {"machine": names[:, 0].copy(), "section": names[:, 1].copy()}
        for i, model in enumerate(self.models.values()):
            state |= {f"{i}/{name}": a for name, a in model.state().items()}
        return state

    @classmethod
    def from_state(
        cls, description: Mapping[str, Any], state: Mapping[str, np.ndarray]
    ) -> Self:
        """The fitted models again, from `description` and `state`."""
        wrapper = cls(description["backend"], scope=description["scope"])
        missing = {"machine", "section"} - set(state)
        if missing:
            raise BackendError(f"state of sections lacks {', '.join(sorted(missing))}")
        pairs = zip(state["machine"].tolist(), state["section"].tolist(), strict=True)
        kind = type(backend_of(wrapper.config))
        for i, pair in enumerate(pairs):
            # The class of each section is in its model's state.
            wrapper.models[pair] = kind.from_state(
                wrapper.config, part_of(state, str(i))
            )
        return wrapper

    def _groups(self, bank: Bank) -> dict[tuple[str, str], np.ndarray]:
        """Rows of each machine and section, sorted by name."""
        found: dict[tuple[str, str], list[int]] = {}
        names = zip(np.asarray(bank.machine), np.asarray(bank.section), strict=True)
        for i, (machine, section) in enumerate(names):
            own = str(section) if self.scope == "section" else ""
            found.setdefault((str(machine), own), []).append(i)
        return {key: np.asarray(found[key], np.int64) for key in sorted(found)}

    def _candidates(self, own: tuple[str, str]) -> list[tuple[str, str]]:
        if own in self.models:
            return [own]
        same = [key for key in self.models if key[0] == own[0]]
        return same or list(self.models)


def _wants_class(config: Any) -> bool:
    members = config.members if isinstance(config, MinZConfig) else (config,)
    return any(isinstance(member, ConfidenceConfig) for member in members)


def _for_class(config: Any, class_index: np.ndarray | None) -> Any:
    """The config of one section: its class, where it is told and wanted."""
    if class_index is None or not _wants_class(config):
        return config
    found = np.unique(class_index).tolist()
    if len(found) != 1:
        raise BackendError(f"clips of one section have class_index {found}")
    if isinstance(config, MinZConfig):
        members = tuple(_for_class(m, class_index) for m in config.members)
        return dataclasses.replace(config, members=members)
    return dataclasses.replace(config, class_index=int(found[0]))
