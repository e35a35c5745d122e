"""Which clips are trained on, choose the step, and are reported."""

import collections
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from sigjax.data.audio_events.clips import HEADS, Classes, EventClip
from sigjax.data.audio_events.sounds import EventSet
from sigjax.data.audio_events.stream_config import EventDataConfig
from sigjax.data.datasets.folders import DatasetError

SIDES = ("train", "validation", "test")


class Sides(NamedTuple):
    """Numbers of clips, int64 `[n]` each, ascending.

    Attributes:
      train: Trained on; every one has a class of each head.
      validation: To choose the step with; so have these.
      test: To report on.
      classes: Names by head that are numbered.
      left_out: How many clips are on no side, by why.
      shared: Groups with clips on the sides `"train"` and `"test"`.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    classes: Classes
    left_out: dict[str, int]
    shared: int


def divide(dataset: EventSet, config: EventDataConfig) -> Sides:
    """Divides a set as a config says.

    Raises:
      DatasetError: The set has no such fold or split, nothing is left to train on, or
        a fraction leaves a class without a clip to train on.
    """
    sides, left_out = _published(dataset, config)
    clips, is_labelled = dataset.clips, _labelled(dataset.classes)
    for name in SIDES[:2]:
        labelled = [i for i in sides[name] if is_labelled(clips[i])]
        left_out[f"without a label ({name})"] += len(sides[name]) - len(labelled)
        sides[name] = labelled
    if not sides["train"]:
        raise DatasetError(
            f"{dataset.path}: no clip to train on (splits {', '.join(dataset.splits)},"
            f" folds {', '.join(map(str, dataset.folds)) or 'none'};"
            f" {dict(+left_out) or 'nothing left out'})"
        )
    if config.validation_fraction:
        train = np.array(sides["train"], np.int64)
        strata = None
        if dataset.kind == "single":
            strata = [clips[i].labels[0] for i in train]
        chosen = held_out(
            [clips[i].source for i in train],
            strata,
            fraction=config.validation_fraction,
            seed=config.seed,
        )
        if chosen.all():
            raise DatasetError(
                f"{dataset.path}: validation_fraction {config.validation_fraction}"
                " leaves nothing to train on"
            )
        sides["train"] = train[~chosen].tolist()
        sides["validation"] = sorted({*sides["validation"], *train[chosen].tolist()})
    classes = dataset.classes
    if config.classes == "trained":
        classes = _trained(dataset, sides["train"])
        is_known = _labelled(classes)
        for name in SIDES[1:]:
            known = [
                i
                for i in sides[name]
                if is_known(clips[i]) or not is_labelled(clips[i])
            ]
            left_out[f"of classes not trained on ({name})"] += len(sides[name]) - len(
                known
            )
            sides[name] = known
    groups = [{clips[i].source for i in sides[name]} for name in ("train", "test")]
    return Sides(
        **{name: np.array(sorted(sides[name]), np.int64) for name in SIDES},
        classes=classes,
        left_out=dict(+left_out),
        shared=len(groups[0] & groups[1]),
    )


def held_out(
    groups: Sequence[str],
    strata: Sequence[str] | None = None,
    *,
    fraction: float,
    seed: int,
) -> np.ndarray:
    """Which clips are held out, bool `[n]`: whole groups, chosen by a hash of each.

    Which group comes first depends on the seed and its name alone, so a set that grows
    keeps most of what was held out.

    Args:
      groups: Of each clip.
      strata: Class of each clip: the fraction is then of each class, at least one clip
        of it where it has two groups, and never all of them.
      fraction: In [0, 1), of the clips.
      seed: Another seed, other groups.
    """
    strata = strata if strata is not None else [""] * len(groups)
    total = collections.Counter(strata)
    # Clips of each group, by class.
    members: dict[str, collections.Counter[str]] = collections.defaultdict(
        collections.Counter
    )
    for group, stratum in zip(groups, strata, strict=True):
        members[group][stratum] += 1
    quota = {name: max(1, round(fraction * n)) for name, n in total.items()}
    held: collections.Counter[str] = collections.Counter()
    chosen = set()
    if fraction:
        for group in sorted(members, key=lambda name: _drawn(name, seed)):
            own = members[group].items()
            wanted = all(held[name] < quota[name] for name, _ in own)
            if wanted and all(held[name] + n < total[name] for name, n in own):
                held.update(members[group])
                chosen.add(group)
    return np.array([group in chosen for group in groups], bool)


def _published(
    dataset: EventSet, config: EventDataConfig
) -> tuple[dict[str, list[int]], collections.Counter[str]]:
    """Sides by fold or by split, and what is on none."""
    side_of: dict[object, str] = {}
    if config.test_fold:
        wanted = {"validation": config.validation_fold, "test": config.test_fold}
        absent = [fold for fold in wanted.values() if fold not in {0, *dataset.folds}]
        if absent:
            raise DatasetError(
                f"{dataset.path}: no fold {absent[0]}; it has"
                f" {', '.join(map(str, dataset.folds)) or 'none: choose by split'}"
            )
        side_of = dict.fromkeys(dataset.folds, "train")
        side_of |= {fold: side for side, fold in wanted.items() if fold}
    else:
        splits = (config.train_splits, config.validation_splits, config.test_splits)
        for side, names in zip(SIDES, splits, strict=True):
            for name in names:
                if name in side_of:
                    raise DatasetError(
                        f"the split {name!r} is on the sides {side_of[name]!r} and"
                        f" {side!r}"
                    )
                side_of[name] = side
        absent = [name for name in config.train_splits if name not in dataset.splits]
        if absent:
            raise DatasetError(
                f"{dataset.path}: no split {', '.join(map(repr, absent))} to train on;"
                f" it has {', '.join(dataset.splits)}"
            )
    sides: dict[str, list[int]] = {name: [] for name in SIDES}
    left_out: collections.Counter[str] = collections.Counter()
    for index, clip in enumerate(dataset.clips):
        key = clip.fold if config.test_fold else clip.split
        if key in side_of:
            sides[side_of[key]].append(index)
        else:
            left_out["of no fold" if config.test_fold else f"of split {key}"] += 1
    return sides, left_out


def _labelled(classes: Classes) -> Callable[[EventClip], bool]:
    """Tells whether a class of each head is known; of several labels, all are."""
    known = {head: frozenset(names) for head, names in classes.items()}
    if "target" in known:
        return lambda clip: True
    return lambda clip: all(
        not names.isdisjoint(clip.named(head)) for head, names in known.items()
    )


def _trained(dataset: EventSet, train: Iterable[int]) -> Classes:
    """Classes with a clip to train on, in their order."""
    clips = [dataset.clips[index] for index in train]
    found = {
        head: {name for clip in clips for name in clip.named(head)}
        for head in HEADS[dataset.kind]
    }
    return {
        head: tuple(name for name in names if name in found[head])
        for head, names in dataset.classes.items()
    }


def _drawn(group: str, seed: int) -> bytes:
    """A number that the seed gives this group, whatever else is in the set."""
    return hashlib.blake2b(f"{seed} {group}".encode(), digest_size=8).digest()
