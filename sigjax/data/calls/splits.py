"""How calls are divided into training, validation and test; folds.

A division that ignores callers and recordings puts the same animal, microphone and
background on both sides, and a score then tells how well those are recognised, too.
`grouped` and `leave_one_group_out` keep each group on one side.
"""

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from sigjax.data import splits as people
from sigjax.data.calls.manifest import FOLD, SPLITS, Call
from sigjax.data.calls.random_split import PAPER_SEED, paper
from sigjax.data.clips import ManifestError

Method = Literal["paper", "stratified", "grouped", "folds", "leave_one_group_out"]
METHODS: tuple[Method, ...] = (
    "paper",
    "stratified",
    "grouped",
    "folds",
    "leave_one_group_out",
)
FRACTIONS = (0.7, 0.2, 0.1)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Division:
    """Who is trained on, and who is kept apart; calls that are in none are not used.

    Attributes:
      name: Of the fold; `""` if there is one division only.
      train: Int64 `[n]`, numbers of calls.
      validation: Int64, as above.
      test: Int64, as above.
    """

    name: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def stratified(
    labels: Sequence[str],
    *,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
) -> list[str]:
    """Divides each class by itself, at random.

    Of a class of one call, it is trained on; of two, one is tested on; of three and
    more, each split has at least one.

    Args:
      labels: Name of each call's class.
      fractions: Of training, validation and test.
      seed: Another seed, another split.

    Returns:
      A split for each.

    Raises:
      ValueError: The fractions are no three shares that add up to 1.
    """
    shares = _checked(fractions)
    found = np.empty(len(labels), object)
    for name in sorted(set(labels)):
        rows = np.flatnonzero([label == name for label in labels])
        # By name, so that a class that joins changes no other.
        rng = np.random.default_rng([seed, *name.encode()])
        counts = _counts(len(rows), shares)
        parts = np.split(rng.permutation(rows), np.cumsum(counts)[:-1])
        for split, part in zip(SPLITS, parts, strict=True):
            found[part] = split
    return found.tolist()


def grouped(
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
) -> list[str]:
    """Divides whole groups, so that nobody is on two sides.

    Groups are taken from the largest on, each to the split that then comes closest to
    its share of every class.

    Args:
      labels: Name of each call's class.
      groups: Caller or recording of each.
      fractions: Of training, validation and test.
      seed: Another seed breaks ties between equal groups otherwise.

    Returns:
      A split for each.

    Raises:
      ValueError: The fractions are no three shares that add up to 1.
      ManifestError: There are fewer groups than splits with a share.
    """
    shares = _checked(fractions)
    return _assigned(labels, groups, dict(zip(SPLITS, shares, strict=True)), seed)


def folds(
    labels: Sequence[str], groups: Sequence[str], *, count: int = 5, seed: int = 0
) -> list[str]:
    """Divides whole groups into folds of about equal size and shares of the classes.

    Args:
      labels: Name of each call's class.
      groups: Caller or recording of each.
      count: Of folds, at least 3: one to test on, one to validate, one to train on.
      seed: As in `grouped`.

    Returns:
      `"fold1"` and so on, for each call.

    Raises:
      ValueError: There would be fewer than three folds.
      ManifestError: There are fewer groups than folds.
    """
    if count < 3:
        raise ValueError(
            f"{count} folds: at least 3 are needed, to train, validate and test"
        )
    width = len(str(count))
    names = [f"{FOLD}{number:0{width}d}" for number in range(1, count + 1)]
    return _assigned(labels, groups, dict.fromkeys(names, 1 / count), seed)


def leave_one_group_out(groups: Sequence[str]) -> list[str]:
    """Makes a fold of each group, called `"fold "` and its name.

    Raises:
      ManifestError: There are fewer than three groups, or more than a hundred: then
        `folds` is meant.
    """
    names = sorted(set(groups))
    if not 3 <= len(names) <= 100:
        raise ManifestError(
            f"{len(names)} groups ({', '.join(names[:3])}...) are not 3 to 100 to leave"
            " out one by one; 'folds' puts several groups in a fold"
        )
    return [f"{FOLD} {name}" for name in groups]


def divide(
    calls: Sequence[Call],
    method: Method,
    *,
    fractions: Sequence[float] = FRACTIONS,
    seed: int | None = None,
    count: int = 5,
) -> list[str]:
    """A split for each call, by one of `METHODS`.

    Args:
      calls: In the order of the set's table, on which `paper` depends.
      method: Which.
      fractions: Of `stratified` and `grouped`.
      seed: Of `paper` by default 42, else 0.
      count: Of `folds`.

    Raises:
      ValueError: The method is none, or as the methods say.
      ManifestError: As the methods say.
    """
    labels = [call.label for call in calls]
    groups = [call.source for call in calls]
    if method == "paper":
        return paper(len(calls), seed=PAPER_SEED if seed is None else seed)
    if method == "stratified":
        return stratified(labels, fractions=fractions, seed=seed or 0)
    if method == "grouped":
        return grouped(labels, groups, fractions=fractions, seed=seed or 0)
    if method == "folds":
        return folds(labels, groups, count=count, seed=seed or 0)
    if method == "leave_one_group_out":
        return leave_one_group_out(groups)
    raise ValueError(f"split {method!r} is none of {', '.join(METHODS)}")


def divisions(calls: Sequence[Call]) -> list[Division]:
    """What the splits of calls mean: one division, or one for each fold.

    Of folds, each is tested on once while the following one, in the order of their
    names, is validated on.

    Raises:
      ManifestError: There are neither splits nor folds, or both, or no training or test
        calls.
    """
    rows: dict[str, list[int]] = collections.defaultdict(list)
    for row, call in enumerate(calls):
        rows[call.split].append(row)
    parts = {name: np.array(found, np.int64) for name, found in rows.items()}
    parts.pop("", None)
    none = np.zeros(0, np.int64)
    named = sorted(name for name in parts if name.startswith(FOLD))
    others = sorted(set(parts) - set(named))
    if named and others:
        raise ManifestError(
            f"splits {', '.join(others)} beside the folds {', '.join(named[:3])}: a"
            " manifest has one or the other"
        )
    if len(named) >= 3:
        following = [*named[1:], named[0]]
        return [
            Division(
                name=test,
                train=np.sort(
                    np.concatenate([parts[n] for n in named if n not in two])
                ),
                validation=parts[validation],
                test=parts[test],
            )
            for test, validation in zip(named, following, strict=True)
            for two in [(test, validation)]
        ]
    unknown = sorted(set(parts) - set(SPLITS))
    absent = [name for name in ("train", "test") if name not in parts]
    if unknown or absent:
        raise ManifestError(
            f"splits are {', '.join(sorted(parts)) or 'not given'}; needed are train,"
            " test and best validation, or three or more folds called fold1, fold2..."
            " Divide the calls with `python -m launch.build_calls --split=grouped`"
        )
    train, validation, test = (parts.get(name, none) for name in SPLITS)
    return [Division(name="", train=train, validation=validation, test=test)]


def with_validation(
    division: Division, calls: Sequence[Call], *, fraction: float = 0.2, seed: int = 0
) -> Division:
    """Takes validation calls out of those to train on, where there are none.

    Whole groups, if at least five are trained on, else a share of each class.

    Args:
      division: Of the calls.
      calls: All of them.
      fraction: Of the training calls.
      seed: Another seed, other calls.
    """
    if len(division.validation):
        return division
    own = [calls[row] for row in division.train]
    enough = len({call.source for call in own}) >= 5
    shares = (1 - fraction, fraction, 0.0)
    method: Method = "grouped" if enough else "stratified"
    splits = np.array(divide(own, method, fractions=shares, seed=seed))
    return dataclasses.replace(
        division,
        train=division.train[splits == "train"],
        validation=division.train[splits == "validation"],
    )


def shared_groups(calls: Sequence[Call]) -> dict[str, tuple[str, ...]]:
    """Groups that are in several splits, by name, with these splits.

    Training comes first, as in `SPLITS`.
    """
    order = {name: at for at, name in enumerate(SPLITS)}
    found: dict[str, set[str]] = collections.defaultdict(set)
    for call in calls:
        if call.split:
            found[call.source].add(call.split)
    return {
        name: tuple(sorted(own, key=lambda split: (order.get(split, 3), split)))
        for name, own in sorted(found.items())
        if len(own) > 1
    }


def _checked(fractions: Sequence[float]) -> tuple[float, ...]:
    shares = tuple(float(share) for share in fractions)
    inside = all(0 <= share < 1 for share in shares)
    if len(shares) != 3 or not inside or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise ValueError(
            f"fractions {shares} are not three shares (train, validation, test) in"
            " [0, 1) that add up to 1"
        )
    return shares


def _counts(n: int, shares: Sequence[float]) -> list[int]:
    """How many of `n` each split gets, by the largest remainder."""
    if n < 3:
        # Of two calls, a class is better tested on than validated on.
        return [1, 0, n - 1] if shares[2] else [n, 0, 0]
    exact = np.array(shares) * n
    counts = np.floor(exact + 1e-9).astype(int)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: n - counts.sum()]] += 1
    for split, share in enumerate(shares):
        if share and not counts[split]:
            counts[int(np.argmax(counts))] -= 1
            counts[split] += 1
    return counts.tolist()


def _assigned(
    labels: Sequence[str],
    groups: Sequence[str],
    shares: Mapping[str, float],
    seed: int,
) -> list[str]:
    """A split for each call: whole groups, greedily."""
    splits = [name for name, share in shares.items() if share > 0]
    names, group_of = np.unique(np.array(groups, str), return_inverse=True)
    if len(names) < len(splits):
        raise ManifestError(
            f"{len(names)} groups ({', '.join(names[:3])}) cannot be divided into"
            f" {len(splits)} splits; give each call its caller or recording in the"
            " column 'group', or use 'stratified'"
        )
    classes, class_of = np.unique(np.array(labels, str), return_inverse=True)
    table = np.zeros((len(names), len(classes)))
    np.add.at(table, (group_of, class_of), 1)
    totals = table.sum(0)
    wanted = np.array([shares[name] for name in splits])[:, None] * totals
    have = np.zeros_like(wanted)
    rank = {name: at for at, name in enumerate(people.ranked(names, seed=seed))}
    order = sorted(range(len(names)), key=lambda g: (-table[g].sum(), rank[names[g]]))
    chosen = np.empty(len(names), int)
    taken = np.zeros(len(splits), int)
    for position, group in enumerate(order):
        # How much nearer to its shares each split comes, each class weighing the same.
        gain = table[group] * (2 * (wanted - have) - table[group]) / totals
        score = gain.sum(1)
        if len(order) - position <= np.count_nonzero(taken == 0):
            score[taken > 0] = -np.inf  # No split stays empty.
        split = int(np.argmax(score))
        chosen[group] = split
        have[split] += table[group]
        taken[split] += 1
    return [splits[at] for at in chosen[group_of]]
