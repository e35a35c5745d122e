"""FSDD and ESC-10 for the study: calls, and who is left out of what.

A unit is what must not be on two sides: a speaker of FSDD, an official fold of ESC-10.
Each is tested once. The unit after it, in the order of their names, chooses epochs and
layers; the others are learned from, without labels and with them.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from etils import epath

from sigjax.data import audio
from sigjax.data.calls import layouts
from sigjax.data.calls.manifest import CallManifest, with_splits

FSDD, ESC10 = "fsdd", "esc10"
SETS = (FSDD, ESC10)
RATE_HZ = 16_000


class StudyError(ValueError):
    """The data are not those that the study is of; says what is missing."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class StudyCalls:
    """A set of calls.

    Attributes:
      name: Of `SETS`.
      manifest: The calls, of no split.
      unit: Text `[n]`, speaker or fold.
      units: Their names, in order.
      fingerprint: Of names, labels, units and files' sizes.
    """

    name: str
    manifest: CallManifest
    unit: np.ndarray
    units: tuple[str, ...]
    fingerprint: str

    @property
    def label(self) -> np.ndarray:
        """Int32 `[n]`."""
        return self.manifest.labels

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.manifest.classes

    def paths(self) -> list[epath.Path]:
        """The calls' files."""
        return [self.manifest.root / call.path for call in self.manifest.calls]

    def sides(self, test: str) -> "Sides":
        """Who is on which side where a unit is tested.

        Raises:
          KeyError: There is no such unit.
        """
        if test not in self.units:
            raise KeyError(f"{self.name} has no {test!r}: {', '.join(self.units)}")
        place = self.units.index(test)
        validation = self.units[(place + 1) % len(self.units)]
        rest = (self.unit != test) & (self.unit != validation)
        return Sides(
            validation,
            np.flatnonzero(rest),
            np.flatnonzero(self.unit == validation),
            np.flatnonzero(self.unit == test),
        )

    def divided(self, test: str) -> CallManifest:
        """The calls with their splits where a unit is tested."""
        sides = self.sides(test)
        split = np.full(len(self.unit), "train", object)
        split[sides.validation], split[sides.test] = "validation", "test"
        return with_splits(self.manifest, split.tolist())


class Sides(NamedTuple):
    """One division.

    Attributes:
      chooser: Name of the unit that chooses.
      train: Int64, rows.
      validation: Likewise, of that unit.
      test: Likewise.
    """

    chooser: str
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def read_fsdd(folder: epath.PathLike) -> StudyCalls:
    """Lists the Free Spoken Digit Dataset; units are speakers.

    Raises:
      StudyError: It has fewer than three of them.
      sigjax.data.clips.ManifestError: It is another set.
      FileNotFoundError: There is no such folder.
    """
    manifest, _ = layouts.scan(folder, FSDD)
    return _calls(FSDD, manifest, [call.group for call in manifest.calls])


def read_esc10(folder: epath.PathLike) -> StudyCalls:
    """Lists ESC-10 as it was first published; units are its folds.

    Raises:
      StudyError: It has fewer than three of them.
      sigjax.data.clips.ManifestError: It is another set.
      FileNotFoundError: There is no such folder.
    """
    manifest, _ = layouts.scan(folder, ESC10)
    return _calls(ESC10, manifest, [call.split for call in manifest.calls])


def _calls(name: str, manifest: CallManifest, unit: Sequence[str]) -> StudyCalls:
    units = tuple(sorted(set(unit)))
    if len(units) < 3 or "" in units:
        raise StudyError(
            f"{manifest.root}: {len(units)} speakers or folds"
            f" ({', '.join(units[:3])}); {name} needs three at least: to learn from, to"
            " choose by, to test"
        )
    rows = []
    for call, own in zip(manifest.calls, unit, strict=True):
        info = audio.probe(manifest.root / call.path)
        rows.append((call.id, call.label, own, info.frames, info.rate_hz))
    digest = hashlib.blake2b(repr(rows).encode(), digest_size=8)
    return StudyCalls(
        name=name,
        manifest=with_splits(manifest, [""] * len(rows)),
        unit=np.array(unit),
        units=units,
        fingerprint=digest.hexdigest(),
    )
