"""What a manifest of calls holds, and what a user should know before trusting a score.

Classes that one split lacks, calls of one animal on both sides, lengths.
"""

import collections
from collections.abc import Sequence

import numpy as np

from sigjax.data.calls.manifest import FOLD, SPLITS, CallManifest
from sigjax.data.calls.reading import Survey
from sigjax.data.calls.splits import shared_groups

# As many names as a line lists one by one.
_MANY = 8
_MANY_CLASSES = 60
_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def class_counts(manifest: CallManifest) -> dict[str, collections.Counter[str]]:
    """Calls of each class by split, for all classes, whether they occur or not."""
    found: dict[str, collections.Counter[str]] = {
        name: collections.Counter() for name in manifest.classes
    }
    for call in manifest.calls:
        if call.label:
            found[call.label][call.split] += 1
    return found


def absent_classes(manifest: CallManifest) -> dict[str, tuple[str, ...]]:
    """Classes that occur, but not in a split, by split; not those that have all."""
    counts = class_counts(manifest)
    absent = {
        split: tuple(
            name for name, own in counts.items() if own.total() and not own[split]
        )
        for split in split_names(manifest)
    }
    return {split: names for split, names in absent.items() if names}


def split_names(manifest: CallManifest) -> list[str]:
    """Splits that occur: training first, then by name."""
    order = {name: at for at, name in enumerate(SPLITS)}
    names = {call.split for call in manifest.calls} - {""}
    return sorted(names, key=lambda name: (order.get(name, len(order)), name))


def warnings(manifest: CallManifest) -> list[str]:
    """What a user should read before trusting a score."""
    counts = class_counts(manifest)
    found = []

    def told(names: Sequence[str], what: str) -> None:
        if names:
            found.append(f"{what}: {_listed(names)}")

    told([n for n, own in counts.items() if not own.total()], "classes without a call")
    told(
        [name for name, own in counts.items() if own.total() == 1],
        "classes with one call, which cannot be both trained on and tested on",
    )
    for split, names in absent_classes(manifest).items():
        told(names, f"classes that are not in {split!r}")
    unlabelled = sum(not call.label for call in manifest.calls)
    if unlabelled:
        found.append(f"{unlabelled:,} calls have no label")
    undivided = sum(not call.split for call in manifest.calls)
    if 0 < undivided < len(manifest.calls):
        found.append(f"{undivided:,} calls are in no split")
    shared = shared_groups(manifest.calls)
    if shared:
        known = sum(bool(call.group) for call in manifest.calls)
        what = "groups" if known else "files"
        examples = [f"{name} in {' and '.join(both)}" for name, both in shared.items()]
        found.append(
            f"{len(shared):,} {what} are in several splits"
            f" ({_listed(examples, 2, '; ')}): a"
            " score then tells how well callers or recordings are recognised, too;"
            " --split=grouped or leave_one_group_out keep each on one side"
        )
    elif split_names(manifest) and not any(call.group for call in manifest.calls):
        found.append(
            "callers and recordings are not known: whether one is in several splits"
            " cannot be told"
        )
    return found


def lines(manifest: CallManifest, survey: Survey) -> list[str]:
    """Calls, lengths, splits and classes as lines of text, and the warnings.

    Args:
      manifest: Of calls that can be read.
      survey: Of the same calls.
    """
    calls = manifest.calls
    found = [
        f"{len(calls):>8,} calls, {np.nansum(survey.seconds) / 60:,.1f} minutes, of"
        f" {len({call.path for call in calls}):,} files"
    ]
    groups = {call.group for call in calls} - {""}
    if groups:
        found.append(f"{len(groups):>8,} groups (callers or recordings)")
    for what, ids in survey.remarks.items():
        found.append(f"{len(ids):>8,} {what}; {ids[0]}")
    seconds = survey.seconds[np.isfinite(survey.seconds)]
    if len(seconds):
        values = np.quantile(seconds, _QUANTILES)
        texts = [f"{q:.0%} {v:.3f}" for q, v in zip(_QUANTILES, values, strict=True)]
        found.append(f"quantiles of length in seconds: {', '.join(texts)}")
    splits = split_names(manifest)
    sizes = collections.Counter(call.split for call in calls)
    for split in splits:
        kind = "" if split.startswith(FOLD) else " split"
        found.append(
            f"{sizes[split]:>8,} {split}{kind}, {sizes[split] / len(calls):.1%}"
        )
    found += _class_lines(manifest, splits)
    return found + [f"warning: {text}" for text in warnings(manifest)]


def _class_lines(manifest: CallManifest, splits: Sequence[str]) -> list[str]:
    counts = class_counts(manifest)
    found = [f"{len(counts):>8,} classes"]
    if len(counts) > _MANY_CLASSES:
        ends = sorted(counts, key=lambda name: -counts[name].total())
        counts = {name: counts[name] for name in (*ends[:3], *ends[-3:])}
    for name, own in counts.items():
        parts = " / ".join(f"{own[split]:,}" for split in splits)
        divided = f" ({parts})" if 0 < len(splits) <= _MANY else ""
        found.append(f"{own.total():>16,} {name}{divided}")
    return found


def _listed(names: Sequence[str], most: int = _MANY, between: str = ", ") -> str:
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return f"{between.join(names[:most])}{more}"
