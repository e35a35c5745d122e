"""What recordings are called in a store, and whose they are."""

import itertools
import re
import zlib
from collections.abc import Sequence

from etils import epath

from sigjax.data import recording as rec


def checked_regex(person_regex: str) -> str:
    """`person_regex`, if a person can be found with it.

    Raises:
      ValueError: It is no regular expression or has no group named `person`.
    """
    try:
        groups = re.compile(person_regex).groupindex
    except re.error as error:
        raise ValueError(f"person_regex={person_regex!r}: {error}") from error
    if person_regex and "person" not in groups:
        raise ValueError(
            f"person_regex={person_regex!r} has no group named person; "
            r"for example '(?P<person>S\d+)/ACC.csv'"
        )
    return person_regex


def person_in(path: epath.PathLike, person_regex: str) -> str:
    """The person that a path names.

    Raises:
      FormatError: The pattern is not in the path. To guess instead could put one
        person on both sides of a split.
    """
    match = re.search(person_regex, str(path))
    if match is None or not match["person"]:
        raise rec.FormatError(f"{path}: no match for person_regex {person_regex!r}")
    return match["person"]


def person_of(
    path: epath.PathLike, recording: rec.Recording, person_regex: str = ""
) -> str:
    """Whose wrist a recording is from.

    Args:
      path: Of its file.
      recording: As read.
      person_regex: Regular expression with a group named `person`, searched in the
        path. Without one: the subject code in the file's header; for an Empatica E4,
        whose files are all named alike, its folder; else the file's name.

    Raises:
      FormatError: The pattern is not in the path.
    """
    path = epath.Path(path)
    if person_regex:
        return person_in(path, person_regex)
    subject = str(recording.metadata.get("subject_code", "")).strip()
    if subject:
        return subject
    if recording.device == "E4" and path.parent.name:
        return path.parent.name
    return _stem(path.name)


def unique_names(
    paths: Sequence[epath.PathLike], root: epath.PathLike | None = None
) -> list[str]:
    """Names recordings by their paths below `root`, joined by underscores.

    Where two would be named alike (`a.cwa` beside `a.bin`) all but the first carry a
    short hash of their path as well. `root` is the deepest folder that holds all
    paths by default.
    """
    parts_of = [epath.Path(path).parts for path in paths]
    base = epath.Path(root).parts if root is not None else _common_folder(parts_of)
    taken: set[str] = set()
    names = []
    for parts in parts_of:
        below = parts[len(base) :] if parts[: len(base)] == base else parts[-1:]
        text = "_".join([*below[:-1], _stem(below[-1])])
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip(".") or "recording"
        if name.lower() in taken:
            name = with_hash(name, "/".join(below))
        taken.add(name.lower())
        names.append(name)
    return names


def with_hash(name: str, path: str) -> str:
    """`name` with a short hash of `path`: for files that would be named alike."""
    return f"{name}-{zlib.crc32(path.encode(errors='surrogateescape')):08x}"


def _common_folder(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    columns = zip(*(parts[:-1] for parts in paths), strict=False)
    same = itertools.takewhile(lambda column: len(set(column)) == 1, columns)
    return tuple(column[0] for column in same)


def _stem(name: str) -> str:
    """A file name without its ending, the one before `.gz` included."""
    for ending in (".gz", ".zip"):
        name = name.removesuffix(ending)
    return epath.Path(name).stem
