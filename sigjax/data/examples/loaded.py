"""What every source of examples gives: a set, its splits, and remarks."""

from typing import NamedTuple

import numpy as np

from sigjax.data.examples.example_set import ExampleSet


class Loaded(NamedTuple):
    """Examples as they were read.

    Attributes:
      examples: All of them.
      split: Text `[n]`, the split of each that the source knows; `""` for none.
      remarks: What was left out or changed, in words.
    """

    examples: ExampleSet
    split: np.ndarray
    remarks: tuple[str, ...] = ()


def undivided(examples: ExampleSet) -> Loaded:
    """Of a source without splits."""
    return Loaded(examples, np.full(len(examples.x), ""))
