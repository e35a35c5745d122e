"""The study's cells: an encoder and its features, probes of them, or a set of bars.

They are cells of `launch.reproduction`: each is run once, several processes may share
the folder, one that was stopped goes on, and one that failed is told.
"""

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from launch.calls.study_data import StudyCalls
from launch.calls.study_sizes import Size
from launch.reproduction.cells import Cell, Source, told

# What is run: bars, encoders with random weights, encoders that were trained, probes.
PLAIN, RANDOM, PRETRAINED, PROBE = "plain", "random", "pretrained", "probe"
PARTS = (PLAIN, RANDOM, PRETRAINED)
# Raise it when equal settings come to give other results.
_FORMAT = 1


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StudyCell(Cell):
    """Work on one set.

    Attributes:
      calls: Of which set.
      size: How much is spent.
      unit: Speaker or fold that is tested; `""` for random weights, which know none.
      seed: Of the weights.
    """

    NOUNS: ClassVar[Mapping[str, str]] = {
        PLAIN: "fit",
        RANDOM: "extraction",
        PRETRAINED: "pre-training",
        PROBE: "probing",
    }

    calls: str
    size: Size
    unit: str
    seed: int

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """What decides the result."""
        own: dict[str, Any] = {}
        if self.kind == RANDOM:
            own["model"] = told(self.check().model)
        elif self.kind == PRETRAINED:
            config = told(self.check())
            for name in ("workers", "read_threads", "prefetch_batches"):
                config["data"].pop(name, None)  # How fast, not what.
            for name in ("keep", "log_every", "checkpoint_every", "evaluate_every"):
                config["train"].pop(name, None)
            config.pop("mesh", None)
            own["config"] = config
        else:
            own["probe"] = told(self.size.probes[self.calls])
        return {
            "format": _FORMAT,
            "kind": self.kind,
            **own,
            "calls": self.calls,
            "unit": self.unit,
            "seed": self.seed,
            "data": self.data.fingerprint,
            "parent": self.parent.key if self.parent else "",
        }


def make_cells(
    sets: Sequence[tuple[StudyCalls, str]],
    size: Size,
    *,
    parts: Sequence[str] = PARTS,
    seeds: int = 3,
    trainings: int = 1,
    units: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, StudyCell]:
    """All cells by key, each after the one it starts from.

    What is cheap comes first; then training by training, so that what is stopped early
    is even.

    Args:
      sets: Calls, and where they lie.
      size: Of `study_sizes.SIZES`.
      parts: Of `PARTS`.
      seeds: Of random weights.
      trainings: Of each encoder that is pre-trained.
      units: Which are tested, by set; all without it.
    """
    found: dict[str, StudyCell] = {}

    def add(which: tuple[StudyCalls, str], kind: str, **own: Any) -> StudyCell:
        cell = _cell(*which, size, kind, **own)
        return found.setdefault(cell.key, cell)

    every = [
        (which, unit)
        for which in sets
        for unit in (units or {}).get(which[0].name, which[0].units)
    ]
    counts = {PLAIN: 1, RANDOM: seeds, PRETRAINED: trainings}
    for kind in [part for part in PARTS if part in parts]:
        for seed, (which, unit) in itertools.product(range(counts[kind]), every):
            if kind == PLAIN:
                add(which, PLAIN, unit=unit)
                continue
            # Random weights are the same whoever is tested.
            own = {} if kind == RANDOM else {"unit": unit}
            encoder = add(which, kind, seed=seed, **own)
            add(which, PROBE, unit=unit, seed=seed, parent=encoder)
    return found


def _cell(
    calls: StudyCalls,
    source: str,
    size: Size,
    kind: str,
    *,
    unit: str = "",
    seed: int = 0,
    parent: StudyCell | None = None,
) -> StudyCell:
    what = {RANDOM: "random weights, "}.get(parent.kind if parent else kind, "")
    where = f"tested on {unit}, " if unit else ""
    return StudyCell(
        kind=kind,
        file="speech_encoder",
        variant=size.variant,
        overrides={**size.overrides[calls.name], "seed": seed},
        data=Source(source, calls.fingerprint),
        parent=parent,
        title=f"{calls.name}, {what}{where}seed {seed}",
        calls=calls.name,
        size=size,
        unit=unit,
        seed=seed,
    )
