"""Entries of nested dicts and lists, such as a checkpoint's tree, by their keys."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax


def entry(tree: Any, keys: Sequence[str]) -> Any:
    """What is under `keys`; of a list they are numbers."""
    for key in keys:
        tree = tree[key if isinstance(tree, Mapping) else int(key)]
    return tree


def alone(tree: Any, keys: Sequence[str], skipped: Any) -> Any:
    """The tree with one entry alone, and all on the way to it.

    Args:
      tree: Of dicts and lists.
      keys: Of the entry; none leaves the tree as it is.
      skipped: Takes the place of each leaf of a list's other entries, which cannot be
        left out: they are counted.
    """
    if not keys:
        return tree
    below = alone(entry(tree, keys[:1]), keys[1:], skipped)
    if isinstance(tree, Mapping):
        return {keys[0]: below}
    found = jax.tree.map(lambda _: skipped, list(tree))
    found[int(keys[0])] = below
    return found


def find(tree: Any, name: str) -> tuple[str, ...] | None:
    """The keys of the first entry of a name, depth first; None if there is none."""
    if isinstance(tree, list | tuple):
        tree = {str(place): value for place, value in enumerate(tree)}
    if not isinstance(tree, Mapping):
        return None
    if name in tree:
        return (name,)
    for key, value in tree.items():
        rest = find(value, name)
        if rest is not None:
            return (key, *rest)
    return None
