"""Which clips a probe learns from, is chosen by and is tested on."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from sigjax.metrics import recall

SPLITS = ("train", "validation", "test")
# How data sets and manifests spell them.
_SPELLINGS = {"valid": "validation", "val": "validation", "dev": "validation"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fold:
    """One division of the clips.

    Attributes:
      name: Told in results, such as the caller that is left out.
      train: Int64, rows to learn from.
      validation: Rows that choose epoch and layer.
      test: Rows to report.
    """

    name: str = "all"
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def __post_init__(self):
        """Refuses rows that are in two splits or twice in one."""
        rows = np.concatenate([getattr(self, split) for split in SPLITS])
        if len(np.unique(rows)) < len(rows):
            raise ValueError(f"fold {self.name!r}: a row is in it more than once")


def fold_of(split: Sequence[str] | np.ndarray, name: str = "all") -> Fold:
    """A fold from each row's split by name; `""` and `"unused"` are in none.

    Raises:
      ValueError: A name that is no split's.
    """
    named = np.array([_SPELLINGS.get(str(s), str(s)) for s in split], object)
    unknown = sorted(set(named) - {*SPLITS, "", "unused"})
    if unknown:
        raise ValueError(
            f"unknown splits {', '.join(unknown)}: name them {', '.join(SPLITS)}"
        )
    train, validation, test = (np.flatnonzero(named == s) for s in SPLITS)
    return Fold(name=name, train=train, validation=validation, test=test)


def check(folds: Sequence[Fold], label: np.ndarray, classes: Sequence[str]) -> None:
    """Refuses folds that nothing can be learned from.

    Raises:
      ValueError: No folds, names twice, a row beyond the data, an empty split, a label
        out of range (names the row), or fewer than two classes to learn.
    """
    names = [fold.name for fold in folds]
    if not folds or len(set(names)) < len(names):
        raise ValueError(f"folds must be named differently, got {names}")
    for fold in folds:
        for split in SPLITS:
            rows = getattr(fold, split)
            if not len(rows):
                raise ValueError(
                    f"fold {fold.name!r} has no {split} clips: a probe needs all of"
                    f" {', '.join(SPLITS)}"
                )
            if rows.min() < 0 or rows.max() >= len(label):
                raise ValueError(
                    f"fold {fold.name!r}: {split} row {rows.max()} of {len(label)}"
                )
            wrong = rows[(label[rows] < 0) | (label[rows] >= len(classes))]
            if len(wrong):
                raise ValueError(
                    f"row {wrong[0]} ({split}) has label {label[wrong[0]]}, not in"
                    f" [0, {len(classes)}); {len(wrong)} such rows: leave them out"
                )
        if len(np.unique(label[fold.train])) < 2:
            raise ValueError(f"fold {fold.name!r}: one class alone in training")


def absent_classes(
    fold: Fold, label: np.ndarray, classes: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Names of the classes that a split lacks, by split.

    A class that training lacks is never found; one that test lacks does not count.
    """
    return {s: recall.absent(label[getattr(fold, s)], classes) for s in SPLITS}
