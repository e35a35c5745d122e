"""The study's cells: one training each of a variant, a seed and a fold.

They are cells of `launch.reproduction`: each is run once, several processes may share
the folder, and one that failed is told.
"""

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import numpy as np
from etils import epath

from launch import runtime
from launch.audio_events import study_plain, study_training
from launch.audio_events.study_data import FOLDS, EventClips
from launch.audio_events.study_sizes import PLAIN, Size
from launch.audio_events.study_tables import Runs
from launch.reproduction.cells import Cell, Source, told
from launch.reproduction.runner import Outcome

# Raise it when equal settings come to give other results.
_FORMAT = 1


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StudyCell(Cell):
    """A variant, trained on all folds but one and scored on that one.

    Attributes:
      size: Of the network; None of what is plain.
      seed: Of the training.
      fold: That is held out, from 1.
      validate: The next fold is scored instead; neither is trained on.
    """

    NOUNS: ClassVar[Mapping[str, str]] = {"esc10": "training", PLAIN: "fit"}

    size: Size | None
    seed: int
    fold: int
    validate: bool

    @property
    def scored_fold(self) -> int:
        """The fold that is scored."""
        return self.fold % FOLDS + 1 if self.validate else self.fold

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What decides the result."""
        sized = None
        if self.size is not None:
            own, classes = self.size, 2  # However many there are is of the data.
            model = told(own.model(self.variant, classes))
            sized = {"model": model, "task": told(own.task), "recipe": told(own.recipe)}
        return {
            "format": _FORMAT,
            "kind": self.kind,
            "variant": self.variant,
            "settings": sized,
            "seed": self.seed,
            "fold": self.fold,
            "validate": self.validate,
            "data": self.data.fingerprint,
            "parent": "",
        }


def make_cells(
    clips: EventClips,
    source: str,
    size: Size,
    *,
    variants: Iterable[str],
    seeds: int,
    folds: int,
    validate: bool = False,
) -> dict[str, StudyCell]:
    """All cells by key: seed by seed, so that what is stopped early is even."""
    data, found = Source(source, clips.fingerprint), {}
    chosen = tuple(variants)
    for seed in range(seeds):
        for fold in range(1, folds + 1):
            for variant in chosen:
                plain = variant == PLAIN
                if plain and seed:
                    continue  # Nothing in it is drawn.
                title = f"{variant}, fold {fold}, seed {seed}"
                cell = StudyCell(
                    kind=PLAIN if plain else "esc10",
                    file="",
                    variant=variant,
                    overrides={},
                    data=data,
                    title=f"fold {fold}" if plain else title,
                    size=None if plain else size,
                    seed=seed,
                    fold=fold,
                    validate=validate,
                )
                found[cell.key] = cell
    return found


class Work:
    """Does a cell's work."""

    def __init__(self, clips: EventClips):
        """Remembers the clips."""
        self._clips = clips
        self._features = functools.cache(lambda: study_plain.features(clips))

    def __call__(self, cell: Any, folder: epath.Path) -> dict[str, Any]:
        """Trains, and tells the clips that were scored and their classes.

        Returns:
          `tested` (numbers of clips), `predicted` by variant (classes of these),
          `facts` by variant, and of networks `score`, their log probabilities.
        """
        del folder
        clips = self._clips
        held_out = {cell.fold, cell.scored_fold}
        train = ~np.isin(clips.fold, list(held_out))
        tested = np.flatnonzero(clips.fold == cell.scored_fold)
        result: dict[str, Any] = {"tested": tested.tolist()}
        if cell.size is None:
            said = study_plain.predict(clips, self._features(), train)
            facts = {name: {} for name in said}
        else:
            rows = np.flatnonzero(train)
            made = study_training.train(
                cell.size, cell.variant, clips, rows, seed=cell.seed
            )
            said = {cell.variant: made.score.argmax(axis=1)}
            first, last = made.loss
            own = {"parameters": made.parameters, "loss_first": first}
            facts = {cell.variant: {**own, "loss_last": last}}
            result["score"] = made.score[tested].astype(float).round(3).tolist()
        for name, value in said.items():
            right = value == clips.label
            facts[name] = {**facts[name], "train_accuracy": float(right[train].mean())}
        result["predicted"] = {n: v[tested].tolist() for n, v in said.items()}
        return {**result, "facts": facts, **runtime.provenance()}


def runs_of(
    clips: EventClips,
    cells: Mapping[str, StudyCell],
    outcomes: Mapping[str, Outcome],
    folds: int,
) -> dict[str, Runs]:
    """Runs by variant, of the seeds that have all folds, in order."""
    right: dict[str, dict[int, np.ndarray]] = {}
    facts: dict[str, list[Mapping[str, float]]] = {}
    there: dict[str, dict[int, int]] = {}
    for key, cell in cells.items():
        outcome = outcomes[key]
        if outcome.result is None:
            continue
        rows = outcome.result["tested"]
        for name, said in outcome.result["predicted"].items():
            empty = np.full(len(clips), np.nan)
            own = right.setdefault(name, {}).setdefault(cell.seed, empty)
            own[rows] = np.array(said) == clips.label[rows]
            count = there.setdefault(name, {})
            count[cell.seed] = count.get(cell.seed, 0) + 1
            told_of = {**outcome.result["facts"][name]}
            if cell.size is not None:
                told_of["seconds"] = outcome.record["seconds"]
            facts.setdefault(name, []).append(told_of)
    found = {}
    for name, by_seed in right.items():
        whole = [s for s, count in sorted(there[name].items()) if count == folds]
        # Pairs are of the same seeds: none after one that is not whole.
        whole = [s for place, s in enumerate(whole) if s == place]
        if whole:
            every = facts[name]
            means = {k: float(np.mean([f[k] for f in every])) for k in every[0]}
            found[name] = Runs(np.stack([by_seed[s] for s in whole]), means)
    return found
