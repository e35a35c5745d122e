"""Reads what Capture-24 keeps beside its recordings: label schemes and participants.

Chan Chang et al. 2021, Capture-24 (ORA, uuid:99d7c092-d865-4a19-b096-cc16440cd001).
`annotation-label-dictionary.csv` has a column `annotation`, the text that a person
gave a moment, and one column `label:SCHEME` for each way to sum the annotations up
in a few classes. `metadata.csv` has `pid,age,sex`.
"""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from etils import epath

from sigjax.data.formats.source import Source
from sigjax.data.recording import FormatError

_PREFIX = "label:"
_LARGEST_BYTES = 1 << 24  # The real dictionary has 206 rows and 30 kB.


class Scheme(NamedTuple):
    """A set of classes for the annotations.

    Attributes:
      classes: Names in alphabetical order, as `numpy.unique` and scikit-learn number
        them, so that confusion matrices agree with those that others publish.
      table: Int16 `[a]`: the class of each of `LabelDictionary.annotations`; -1 where
        the scheme leaves an annotation out.
    """

    classes: tuple[str, ...]
    table: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LabelDictionary:
    """All label schemes of an `annotation-label-dictionary.csv`.

    Attributes:
      name: Of the file, for messages.
      annotations: Their texts, in the file's order.
      labels: Class name of each annotation (`""` for none), by scheme:
        `WillettsSpecific2018`, `WillettsMET2018`, `DohertySpecific2018`,
        `Willetts2018`, `Doherty2018` and `Walmsley2020` in the published file.
    """

    name: str
    annotations: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]

    @property
    def schemes(self) -> tuple[str, ...]:
        """Names of the schemes, in the file's order."""
        return tuple(self.labels)

    def scheme(self, name: str) -> Scheme:
        """Returns one scheme: its classes and the class of each annotation.

        Raises:
          ValueError: There is no such scheme; the message lists those that are.
        """
        if name not in self.labels:
            raise ValueError(
                f"{self.name}: no label scheme {name!r}; it has"
                f" {', '.join(self.labels)}"
            )
        classes = tuple(sorted({label for label in self.labels[name] if label}))
        code = {label: index for index, label in enumerate(classes)} | {"": -1}
        table = np.array([code[label] for label in self.labels[name]], np.int16)
        return Scheme(classes, table)

    def encode(self, name: str, annotations: Sequence[str]) -> np.ndarray:
        """Returns the class of each of `annotations`, int16, -1 for none.

        Args:
          name: Of the scheme.
          annotations: Such as a recording's `metadata["labels"]`: what is returned
            then turns the codes of its `label` channel into classes.

        Raises:
          ValueError: There is no such scheme.
          FormatError: The dictionary does not have an annotation; the message says
            which.
        """
        table = self.scheme(name).table
        place = {text: index for index, text in enumerate(self.annotations)}
        unknown = [text for text in annotations if text not in place]
        if unknown:
            raise FormatError(
                f"{self.name}: {len(unknown)} of {len(annotations)} annotations are not"
                f" in the dictionary, the first is {unknown[0]!r}"
            )
        return table[np.array([place[text] for text in annotations], np.intp)]


class Participant(NamedTuple):
    """A row of `metadata.csv`.

    Attributes:
      age: Group in years: `"18-29"`, `"30-37"`, `"38-52"` or `"53+"`.
      sex: `"F"` or `"M"`.
    """

    age: str
    sex: str


def read_dictionary(
    source: epath.PathLike | bytes | Source, *, name: str = ""
) -> LabelDictionary:
    """Reads an `annotation-label-dictionary.csv`.

    Raises:
      FormatError: It has no column `annotation`, no column `label:...`, a row of
        another length, or an annotation twice.
      FileNotFoundError: If there is no such file.
    """
    source = Source(source, name)
    header, rows = _table(source)
    schemes = [c.removeprefix(_PREFIX) for c in header if c.startswith(_PREFIX)]
    if header[0] != "annotation" or not schemes or len(set(header)) != len(header):
        raise FormatError(
            f"{source.name}: not an annotation dictionary: expected the columns"
            f" 'annotation' and 'label:NAME', each once; found"
            f" {','.join(header)[:70]!r}"
        )
    annotations = tuple(row[0] for row in rows)
    if len(set(annotations)) != len(annotations):
        twice = next(a for a in annotations if annotations.count(a) > 1)
        raise FormatError(f"{source.name}: annotation {twice!r} is there twice")
    labels = {
        scheme: tuple(row[header.index(_PREFIX + scheme)].strip() for row in rows)
        for scheme in schemes
    }
    return LabelDictionary(name=source.name, annotations=annotations, labels=labels)


def read_participants(
    source: epath.PathLike | bytes | Source, *, name: str = ""
) -> dict[str, Participant]:
    """Reads a `metadata.csv`: who each `P001` is.

    Raises:
      FormatError: The columns are not `pid,age,sex`, or a person is there twice.
      FileNotFoundError: If there is no such file.
    """
    source = Source(source, name)
    header, rows = _table(source)
    if header != ["pid", "age", "sex"]:
        raise FormatError(
            f"{source.name}: expected the columns 'pid,age,sex', found"
            f" {','.join(header)[:80]!r}"
        )
    found = {row[0]: Participant(age=row[1], sex=row[2]) for row in rows}
    if len(found) != len(rows):
        raise FormatError(f"{source.name}: a pid is there more than once")
    return found


def _table(source: Source) -> tuple[list[str], list[list[str]]]:
    with source.open() as stream:
        raw = stream.read_all(limit=_LARGEST_BYTES)
    try:
        reader = csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""))
        rows = [row for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{source.name}: not a CSV table: {error}") from error
    if not rows:
        raise FormatError(f"{source.name}: the file is empty")
    header = [column.strip() for column in rows[0]]
    for number, row in enumerate(rows[1:], start=2):
        if len(row) != len(header):
            raise FormatError(
                f"{source.name}: row {number} has {len(row)} columns, not {len(header)}"
            )
    return header, rows[1:]
