"""Groups of parameters, each with an AdamW of its own.

Two networks against each other learn at their own rates and with their own moments, in
one step of the one loop. A group may also rest: `every=5` leaves its parameters and
moments as they are for four steps and moves them in the fifth.
"""

import dataclasses
import re
from collections.abc import Callable, Hashable
from typing import Literal

import jax
import optax

from sigjax.typing import PyTree

# What a parameter that no group takes is labelled with.
REST = "rest"
Ungrouped = Literal["error", "base"]


class OptimError(ValueError):
    """Settings of the optimizer that do not fit the model; says which."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class GroupConfig:
    """An AdamW for some parameters.

    Attributes:
      pattern: A regex; the group takes the parameters in whose slash-separated name it
        is found, unless an earlier group has taken them. `"^critic/"`.
      learning_rate: Peak, on the schedule of the whole; None for that of the whole.
      b1: Decay of the first moment; None for that of the whole.
      b2: Of the second moment; None for that of the whole.
      every: Steps for one update, the last of them: 5 with the critic in another group
        is five steps of the critic for one of the generator (Goodfellow et al. 2014,
        algorithm 1). What is not updated keeps its moments.
    """

    pattern: str
    learning_rate: float | None = None
    b1: float | None = None
    b2: float | None = None
    every: int = 1

    def __post_init__(self):
        """Refuses values without meaning."""
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"groups: {self.pattern!r}: {error}") from error
        if self.every < 1:
            raise ValueError(f"groups: {self.pattern!r}: every={self.every} is below 1")
        if self.learning_rate is not None and self.learning_rate < 0:
            raise ValueError(
                f"groups: {self.pattern!r}: learning_rate={self.learning_rate} is"
                " below 0"
            )
        for name in ("b1", "b2"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(
                    f"groups: {self.pattern!r}: {name}={value} is not in [0, 1)"
                )


def names(params: PyTree) -> PyTree:
    """A tree like the parameters, of their slash-separated names."""

    def name(path, _) -> str:
        return jax.tree_util.keystr(path, simple=True, separator="/")

    return jax.tree_util.tree_map_with_path(name, params)


def check_patterns(patterns: tuple[str, ...], params: PyTree, setting: str) -> None:
    """Refuses a pattern that is found in no parameter's name.

    Raises:
      OptimError: Naming it, the setting and the first parameter.
    """
    found = jax.tree.leaves(names(params))
    for pattern in patterns:
        if not any(re.search(pattern, name) for name in found):
            raise OptimError(
                f"{setting}: {pattern!r} is found in the name of no parameter; the"
                f" first of them is {found[0]!r}"
            )


def label(groups: tuple[GroupConfig, ...], name: str) -> str:
    """`"group0"` for the first group that takes a parameter, `"rest"` if none does."""
    for i, group in enumerate(groups):
        if re.search(group.pattern, name):
            return f"group{i}"
    return REST


def labels(
    groups: tuple[GroupConfig, ...], ungrouped: Ungrouped, params: PyTree
) -> PyTree:
    """A tree like the parameters, of `label`.

    Raises:
      OptimError: A group takes nothing, or nobody takes a parameter.
    """
    found = jax.tree.map(lambda name: label(groups, name), names(params))
    check_patterns(tuple(g.pattern for g in groups), params, "optim.groups")
    taken = set(jax.tree.leaves(found))
    for i, group in enumerate(groups):
        if f"group{i}" not in taken:
            raise OptimError(
                f"optim.groups: {group.pattern!r} takes no parameter: earlier groups"
                " take all in whose names it is found"
            )
    if ungrouped == "error" and REST in taken:
        pairs = zip(jax.tree.leaves(found), jax.tree.leaves(names(params)), strict=True)
        left = [name for group, name in pairs if group == REST]
        raise OptimError(
            f"optim.groups: no group takes {left[0]!r}"
            + (f" and {len(left) - 1} more" if len(left) > 1 else "")
            + "; name them, or set optim.ungrouped='base' to give them to the"
            " optimizer of the whole"
        )
    return found


def in_groups(
    groups: tuple[GroupConfig, ...],
    ungrouped: Ungrouped,
    make: Callable[[GroupConfig], optax.GradientTransformation],
    rest: optax.GradientTransformation,
) -> optax.GradientTransformation:
    """Each group's own transformation on its own parameters.

    Args:
      groups: In the order in which they take parameters.
      ungrouped: What becomes of those that none takes.
      make: A group's transformation.
      rest: That of the whole, for what no group takes.

    Returns:
      A transformation whose `init` raises `OptimError`; see `labels`.
    """
    inner: dict[Hashable, optax.GradientTransformation] = {
        f"group{i}": _every(make(group), group.every) for i, group in enumerate(groups)
    }
    if ungrouped == "base":
        inner[REST] = rest
    return optax.partition(inner, lambda params: labels(groups, ungrouped, params))


def _every(
    tx: optax.GradientTransformation, every: int
) -> optax.GradientTransformation:
    """Updates in the last of every so many steps, zeros in the others."""
    if every == 1:
        return tx

    def due(step, **_):
        return (step + 1) % every == 0

    return optax.transforms.conditionally_mask(tx, due)
