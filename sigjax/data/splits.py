"""Who is trained on and who is kept apart."""

import csv
import hashlib
import io
import math
from collections.abc import Iterable, Mapping, Sequence

from etils import epath

from sigjax.data.store import Entry

# Divisions that are fixed by a file of this package.
FOLDER = epath.Path(__file__).parent / "datasets" / "splits"


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
    chosen = held_out(
        {entry.person for entry in entries}, fraction=validation_fraction, seed=seed
    )
    train = tuple(entry for entry in entries if entry.person not in chosen)
    validation = tuple(entry for entry in entries if entry.person in chosen)
    return train, validation


def held_out(people: Iterable[str], *, fraction: float, seed: int) -> frozenset[str]:
    """Chooses people by a hash of the seed and each one's name.

    Args:
      people: To choose from.
      fraction: In [0, 1), rounded up.
      seed: Another seed, other people.

    Raises:
      ValueError: The fraction is out of range or leaves nobody else.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"validation_fraction {fraction} is not in [0, 1)")
    found = ranked(people, seed=seed)
    count = _share(fraction, len(found))
    if count >= len(found):
        raise ValueError(
            f"a validation_fraction of {fraction} of {len(found)} people"
            " leaves nobody to train on; add people or lower the fraction"
        )
    return frozenset(found[:count])


def share_of(people: Iterable[str], *, fraction: float, seed: int) -> frozenset[str]:
    """Chooses the people of a smaller study: a smaller share is part of a larger one.

    Args:
      people: To choose from.
      fraction: In (0, 1], rounded up.
      seed: Another seed, other people.

    Raises:
      ValueError: The fraction is out of range.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"train_fraction {fraction} is not in (0, 1]")
    found = ranked(people, seed=seed)
    return frozenset(found[: _share(fraction, len(found))])


def ranked(people: Iterable[str], *, seed: int) -> list[str]:
    """People in an order that depends on the seed and each one's name alone."""

    def rank(person: str) -> bytes:
        return hashlib.blake2b(f"{seed}:{person}".encode()).digest()

    return sorted(set(people), key=rank)


def _share(fraction: float, count: int) -> int:
    # Rounded first: 0.07 * 100 is 7.000000000000001 in floating point.
    return math.ceil(round(fraction * count, 9))


def names(dataset: str) -> list[str]:
    """Names of the divisions that this package has for a set."""
    found = sorted(path.stem for path in FOLDER.glob(f"{dataset}_*.csv"))
    return [name.removeprefix(f"{dataset}_") for name in found]


def person_split(name: str, *, dataset: str = "") -> dict[str, tuple[str, ...]]:
    """Reads a division of people that a file fixes, one row for each person.

    The file has the columns `person` and `side`; lines that start with `#` say where
    it comes from.

    Args:
      name: Path of such a file, or the name of one of this package, such as
        `"capture24_standard"`.
      dataset: Prefix that may be left out of the name: `"capture24"` has `"standard"`
        and `"paper_80_20"`.

    Returns:
      People by side (`"train"`, `"test"`...), in the file's order.

    Raises:
      FileNotFoundError: There is no such file or name; the message lists the names.
      ValueError: The file has other columns, or has a person twice.
    """
    path = epath.Path(name)
    if path.suffix != ".csv":
        candidates = [FOLDER / f"{dataset}_{name}.csv", FOLDER / f"{name}.csv"]
        found = [candidate for candidate in candidates if candidate.exists()]
        if not found:
            known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.csv")))
            raise FileNotFoundError(
                f"no division of people is named {name!r}; known are {known}, or give"
                " the path of a .csv file with the columns person,side"
            )
        path = found[0]
    lines = [line for line in path.read_text().splitlines() if line[:1] != "#"]
    rows = csv.DictReader(io.StringIO("\n".join(lines)))
    if list(rows.fieldnames or ()) != ["person", "side"]:
        raise ValueError(f"{path}: expected the columns person,side")
    sides: dict[str, list[str]] = {}
    seen: set[str] = set()
    for row in rows:
        person, side = row["person"], row["side"]
        if not person or not side or person in seen:
            raise ValueError(
                f"{path}: person {person!r}, side {side!r}: each person is named once,"
                " with a side"
            )
        seen.add(person)
        sides.setdefault(side, []).append(person)
    return {side: tuple(people) for side, people in sides.items()}


def write_person_split(
    path: epath.PathLike, sides: Mapping[str, Iterable[str]], *, comment: str
) -> None:
    """Writes a file that `person_split` reads, people in alphabetical order.

    Args:
      path: Of the file.
      sides: People by side.
      comment: How they were chosen.

    Raises:
      ValueError: A person is on two sides.
    """
    rows = sorted((person, side) for side, people in sides.items() for person in people)
    people = [person for person, _ in rows]
    twice = sorted({person for person in people if people.count(person) > 1})
    if twice:
        raise ValueError(f"{path}: {', '.join(twice)} would be on two sides")
    text = io.StringIO(newline="")
    text.writelines(f"# {line}\n" for line in comment.splitlines())
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([("person", "side"), *rows])
    epath.Path(path).write_text(text.getvalue())
