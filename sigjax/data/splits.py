"""Who is trained on and who is kept apart."""

import hashlib
import math
from collections.abc import Sequence

from sigjax.data.store import Entry


def split_people(
    entries: Sequence[Entry], *, validation_fraction: float, seed: int
) -> tuple[tuple[Entry, ...], tuple[Entry, ...]]:
    """Splits recordings by person: nobody is on both sides.

    Who is chosen depends on the seed and each person's name alone, so a person who
    joins moves at most one other across.

    Args:
      entries: Of one store or several.
      validation_fraction: Of the people, in [0, 1), rounded up; 0 for none.
      seed: Another seed, another split.

    Returns:
      Training and validation entries, each in the order given.

    Raises:
      ValueError: The fraction is out of range, or a side that was asked for is empty.
    """
    if not 0 <= validation_fraction < 1:
        raise ValueError(f"validation_fraction {validation_fraction} is not in [0, 1)")

    def rank(person: str) -> bytes:
        return hashlib.blake2b(f"{seed}:{person}".encode()).digest()

    people = sorted({entry.person for entry in entries}, key=rank)
    # Rounded first: 0.07 * 100 is 7.000000000000001 in floating point.
    held_out = math.ceil(round(validation_fraction * len(people), 9))
    if held_out >= len(people):
        raise ValueError(
            f"a validation_fraction of {validation_fraction} of {len(people)} people"
            " leaves nobody to train on; add people or lower the fraction"
        )
    chosen = set(people[:held_out])
    train = tuple(entry for entry in entries if entry.person not in chosen)
    validation = tuple(entry for entry in entries if entry.person in chosen)
    return train, validation
