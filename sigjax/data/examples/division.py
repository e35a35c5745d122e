"""Which examples are held out, and whose labels are shown."""

import numpy as np

from sigjax.data import splits
from sigjax.data.examples.config import ExampleDataConfig
from sigjax.data.examples.example_set import UNKNOWN, ExampleError, ExampleSet
from sigjax.data.examples.loaded import Loaded


def held_out(loaded: Loaded, config: ExampleDataConfig) -> np.ndarray:
    """Which examples are held out, bool `[n]`.

    Raises:
      ExampleError: A group or split is not there, or nothing is left on a side.
    """
    found, count = loaded.examples, len(loaded.examples.x)
    if config.held_out_groups:
        held = of_names(
            found.group, config.held_out_groups, "held_out_groups", found.origin
        )
    elif config.held_out_splits:
        held = of_names(
            loaded.split, config.held_out_splits, "held_out_splits", found.origin
        )
    else:
        order = splits.ranked(found.ids.tolist(), seed=config.seed)
        held = np.isin(found.ids, order[: round(config.held_out * count)])
    if held.all() or (config.held_out and not held.any()):
        raise ExampleError(
            f"{found.origin}: {np.count_nonzero(held)} of {count} examples would be"
            " held out; leave some on either side"
        )
    return held


def of_names(
    own: np.ndarray, wanted: tuple[str, ...], name: str, origin: str
) -> np.ndarray:
    """Which examples have one of these names, bool `[n]`.

    Args:
      own: Text `[n]`: groups or splits.
      wanted: Names.
      name: Of the setting, for messages.
      origin: Of the examples.

    Raises:
      ExampleError: A name is not there.
    """
    there = sorted(set(own.tolist()))
    absent = [value for value in wanted if value not in there]
    if absent:
        some = ", ".join(repr(value) for value in there[:8])
        more = f" and {len(there) - 8} more" if len(there) > 8 else ""
        raise ExampleError(
            f"{origin}: data.{name} has {absent[0]!r}; there are {some}{more}"
        )
    return np.isin(own, wanted)


def trained(found: ExampleSet, classes: tuple[str, ...]) -> np.ndarray:
    """Which examples are of classes that are trained on, bool `[n]`.

    Raises:
      ExampleError: There is no such class.
    """
    if not classes:
        return np.ones(len(found.x), bool)
    absent = [name for name in classes if name not in found.classes]
    if absent:
        raise ExampleError(
            f"{found.origin}: no class {absent[0]!r}; it has"
            f" {', '.join(found.classes) or 'none'}"
        )
    return np.isin(found.label, [found.classes.index(name) for name in classes])


def with_labels_shown(found: ExampleSet, share: float, seed: int) -> ExampleSet:
    """The same examples with a share of each class's labels, at least one.

    Whose is shown depends on the seed and the examples' ids: what a smaller share
    shows, a larger one shows, too.
    """
    if share == 1:
        return found
    label = np.full_like(found.label, UNKNOWN)
    for number in np.unique(found.label[found.label >= 0]).tolist():
        ids = found.ids[found.label == number].tolist()
        # Rounded first: 0.07 * 100 is 7.000000000000001 in floating point.
        shown = max(1, round(round(share * len(ids), 9)))
        order = splits.ranked(ids, seed=seed)[:shown]
        label[np.isin(found.ids, order)] = number
    return found._replace(label=label)


def missing_classes(found: ExampleSet, wanted: tuple[str, ...]) -> list[str]:
    """Names of classes without a label among these examples."""
    counts = np.bincount(found.label[found.label >= 0], minlength=len(found.classes))
    return [
        name
        for name, count in zip(found.classes, counts, strict=True)
        if not count and (not wanted or name in wanted)
    ]
