"""Labelled sets, opened: people, stretches of wear, label schemes and records."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from sigjax.data import splits
from sigjax.data.datasets.builder import FORMAT
from sigjax.data.datasets.folders import DatasetError, open_set
from sigjax.data.datasets.records import from_timeline
from sigjax.data.wearable.labels import MISSING, WindowLabels

# The scheme that every set has.
ANNOTATION = "annotation"


class LabelledSegment(NamedTuple):
    """A stretch of wear.

    Attributes:
      person: Whose wrist.
      recording: Name.
      segment: Which stretch of the recording.
      start: Seconds since 1970-01-01 of its first sample, on the device's clock.
      samples: Length.
      first: Its first record, counted over the set.
      records: How many it has.
      labels: Annotation of each label window; codes into `LabelledSet.annotations`.
    """

    person: str
    recording: str
    segment: int
    start: float
    samples: int
    first: int
    records: int
    labels: WindowLabels


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Scheme:
    """Classes.

    Attributes:
      name: As in the set.
      classes: Names, in alphabetical order.
      table: Int16 `[a + 1]`, the class of each annotation, -1 for none; the last is
        that of code -1.
    """

    name: str
    classes: tuple[str, ...]
    table: np.ndarray


class LabelledSet:
    """A finished set. Pickles.

    Attributes:
      path: Its folder.
      name: Of the builder, such as `"capture24"`.
      rate_hz: Sampling rate.
      record_s: Length of a record.
      label_s: Length of a label window.
      annotations: What was annotated; the codes of the records index it.
      schemes: Names of the label schemes; `"annotation"` makes each its own class.
      people: Those of whom there are records, and what is known of each.
      segments: Stretches of wear.
      simulated: Whether simulated recordings are among its sources.
      metadata: All of it, as the builder wrote it.
      fingerprint: Short hash of samples, labels and schemes: equal means the same data.
    """

    def __init__(self, path: epath.Path, metadata: Mapping[str, Any], source: Any):
        """Use `LabelledSet.open`."""
        self.path = path
        self.metadata = metadata
        self.name = source.dataset_info.name
        self.rate_hz = float(metadata["rate_hz"])
        self.record_s = float(metadata["settings"]["record_s"])
        self.label_s = float(metadata["settings"]["label_s"])
        self.annotations = tuple(metadata["annotations"])
        self.schemes = (*metadata["schemes"], ANNOTATION)
        self.people = {n: p for n, p in metadata["people"].items() if p["records"]}
        self.segments = tuple(_segments(metadata, self.record_samples))
        self.fingerprint = metadata["fingerprint"]
        # Sets of before this was noted are taken for real ones.
        self.simulated = bool(metadata.get("simulated", False))
        self._source = source

    @classmethod
    def open(cls, path: epath.PathLike) -> "LabelledSet":
        """Opens a set through `tfds.builder_from_directory`.

        Args:
          path: Its folder, or one above it that holds no other set.

        Raises:
          DatasetError: There is no finished set, there are several, or it is none of
            ours.
        """
        found = open_set(path, "launch.build_dataset")
        if found.metadata.get("format") != FORMAT:
            raise DatasetError(
                f"{found.path}: not a labelled set of this version (format"
                f" {found.metadata.get('format')!r}, not {FORMAT}); build it again"
            )
        return cls(found.path, found.metadata, found.source())

    @property
    def record_samples(self) -> int:
        """Samples of a record."""
        return round(self.record_s * self.rate_hz)

    @property
    def preprocessing(self) -> dict[str, Any]:
        """How its recordings were prepared and read, as a store describes it.

        Without the column of labels: recordings to be classified have none.
        """
        settings = self.metadata["settings"]
        csv = settings["options"]["csv"]
        read = {
            "tz": settings["options"]["tz"],
            "csv": None if csv is None else {**csv, "label": ""},
        }
        return {**settings["prepare"], "read": read}

    def side(self, split: str, side: str) -> tuple[str, ...]:
        """People on one side of a division, as far as the set has them.

        Args:
          split: Name or path; see `splits.person_split`.
          side: Such as `"train"`.

        Raises:
          DatasetError: The division has no such side, or nobody on it is in the set.
        """
        sides = splits.person_split(split, dataset=self.name)
        if side not in sides:
            raise DatasetError(
                f"the division {split!r} has no side {side!r}; it has"
                f" {', '.join(sides)}"
            )
        people = tuple(person for person in sides[side] if person in self.people)
        if not people:
            raise DatasetError(
                f"{self.path}: none of the {len(sides[side])} people of {side!r} in"
                f" {split!r} is in the set"
            )
        return people

    def absent(self, split: str) -> dict[str, tuple[str, ...]]:
        """People whom a division names and the set does not have, by side."""
        sides = splits.person_split(split, dataset=self.name)
        return {
            side: tuple(person for person in people if person not in self.people)
            for side, people in sides.items()
        }

    def scheme(self, name: str) -> Scheme:
        """Returns a label scheme.

        Classes are all that the scheme has, used or not, so that they are numbered
        alike in every build.

        Raises:
          DatasetError: The set has none of that name; the message lists its schemes.
        """
        if name not in self.schemes:
            raise DatasetError(
                f"{self.path}: no label scheme {name!r}; it has"
                f" {', '.join(self.schemes)}"
            )
        own = {annotation: annotation for annotation in self.annotations}
        class_of = own if name == ANNOTATION else self.metadata["schemes"][name]
        classes = tuple(sorted({label for label in class_of.values() if label}))
        number = {label: index for index, label in enumerate(classes)}
        labels = [class_of.get(annotation, "") for annotation in self.annotations]
        table = [number.get(label, MISSING) for label in labels] + [MISSING]
        return Scheme(name=name, classes=classes, table=np.array(table, np.int16))

    @property
    def default_scheme(self) -> str:
        """`"Willetts2018"`, six classes, where the set has it, else the first."""
        return "Willetts2018" if "Willetts2018" in self.schemes else self.schemes[0]

    def counts(self, scheme: str) -> dict[str, np.ndarray]:
        """Label windows of each person: int64 `[v + 1]`, by class, last those of none.

        Raises:
          DatasetError: There is no such scheme.
        """
        found = self.scheme(scheme)
        none = len(found.classes)
        counts = {person: np.zeros(none + 1, np.int64) for person in self.people}
        for segment in self.segments:
            label = found.table[segment.labels.code]
            label = np.where(label == MISSING, none, label)
            counts[segment.person] += np.bincount(label, minlength=none + 1)
        return counts

    def read(self, indices: Sequence[int]) -> list[dict[str, Any]]:
        """Reads records by their number in the set.

        Raises:
          DatasetError: They are missing or damaged.
        """
        try:
            return list(self._source.__getitems__(list(indices)))
        except Exception as error:  # ArrayRecord raises no type of its own.
            raise DatasetError(
                f"{self.path}: cannot read {self._first_bad(indices)}: {error}."
                " Build the set again."
            ) from error

    def _first_bad(self, indices: Sequence[int]) -> str:
        """Which of these records cannot be read, in words."""
        for index in indices:
            try:
                self._source[index]
            except Exception:
                for s in self.segments:
                    if s.first <= index < s.first + s.records:
                        return (
                            f"record {index - s.first} of {s.recording!r} ({s.person})"
                        )
        return f"records {min(indices)} to {max(indices)}"


def _segments(metadata: Mapping[str, Any], record_samples: int):
    first = 0
    for row in metadata["segments"]:
        records = math.ceil(row["samples"] / record_samples)
        yield LabelledSegment(
            person=row["person"],
            recording=row["recording"],
            segment=row["segment"],
            start=row["start"],
            samples=row["samples"],
            first=first,
            records=records,
            labels=from_timeline(row["labels"]),
        )
        first += records
