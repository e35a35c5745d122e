"""Clips of audio events and their manifests: which stretch of which file is what.

A set is of one of three kinds, by what is said of a clip:

  * `"single"`: one of the classes of the head `"label"` (ESC-50, VGGSound);
  * `"multi"`: any number of those of the head `"target"` (AudioSet);
  * `"verb_noun"`: one of the head `"verb"` and one of `"noun"` (EPIC-Kitchens).

In a manifest several labels are separated by `|`, since names of AudioSet's classes
hold commas and semicolons do not separate anything in a spreadsheet.
"""

import collections
import csv
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from etils import epath

from sigjax.data.clips import (
    LeftOut,
    ManifestError,
    Report,
    check_stretch,
    read_rows,
    write_rows,
)

Kind = Literal["single", "multi", "verb_noun"]
Classes = Mapping[str, tuple[str, ...]]
HEADS: Mapping[Kind, tuple[str, ...]] = {
    "single": ("label",),
    "multi": ("target",),
    "verb_noun": ("verb", "noun"),
}
SEPARATOR = "|"
COLUMNS = (
    "path",
    "start_s",
    "end_s",
    "labels",
    "verb",
    "noun",
    "split",
    "fold",
    "group",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EventClip:
    """An audio file, or a stretch of one.

    Attributes:
      path: Relative to the manifest's root, with forward slashes.
      labels: Names of its classes; none if they are not known, or, in a set of several
        labels a clip, if none of them sounds.
      verb: Name of its verb's class, of a set of verbs and nouns.
      noun: Name of its noun's class.
      split: As published, such as `"train"`, `"validation"` or `"test"`.
      fold: Of a cross-validation, from 1; 0 for none.
      group: What it was cut from (a video, an upload): clips of one group are kept on
        one side where this package divides. Empty for the file itself.
      start_s: Where the stretch begins.
      end_s: Where it ends; None for the file's end.
    """

    path: str
    labels: tuple[str, ...] = ()
    verb: str = ""
    noun: str = ""
    split: str = "train"
    fold: int = 0
    group: str = ""
    start_s: float = 0.0
    end_s: float | None = None

    def __post_init__(self):
        """Refuses what cannot be written into a manifest or read."""
        bad = [name for name in self.labels if not name or SEPARATOR in name]
        if bad:
            raise ManifestError(
                f"{self.path}: label {bad[0]!r} is empty or holds {SEPARATOR!r}"
            )
        if len(set(self.labels)) < len(self.labels):
            raise ManifestError(f"{self.path}: a label is given twice: {self.labels}")
        if not self.split:
            raise ManifestError(f"{self.path}: the split is empty")
        if self.fold < 0:
            raise ManifestError(f"{self.path}: fold {self.fold} is negative")
        check_stretch(self)

    @property
    def source(self) -> str:
        """Its group; the file, where that is not known."""
        return self.group or self.path

    def named(self, head: str) -> tuple[str, ...]:
        """Its classes of a head; none if they are not known."""
        if head in ("verb", "noun"):
            name = getattr(self, head)
            return (name,) if name else ()
        return self.labels


@dataclasses.dataclass(frozen=True, kw_only=True)
class EventManifest:
    """Clips below a folder, and their classes.

    Attributes:
      root: The folder.
      clips: In the order of the set's tables, or of a sorted listing.
      kind: What is said of a clip.
      classes: Names by head, in the order of their numbers; see `HEADS`.
    """

    root: epath.Path
    clips: tuple[EventClip, ...]
    kind: Kind
    classes: Classes

    def __post_init__(self):
        """Refuses classes that are none or several of one name, and unknown labels."""
        if tuple(self.classes) != HEADS[self.kind]:
            raise ManifestError(
                f"a set of the kind {self.kind!r} has the heads"
                f" {', '.join(HEADS[self.kind])}, got {', '.join(self.classes)}"
            )
        for head, names in self.classes.items():
            twice = [n for n, count in collections.Counter(names).items() if count > 1]
            if twice or not names:
                raise ManifestError(
                    f"classes of {head!r}: {twice[0]!r} is there twice"
                    if twice
                    else f"there are no classes of {head!r}: no clip has a label"
                )
            known = set(names)
            for clip in self.clips:
                for name in clip.named(head):
                    if name not in known:
                        raise ManifestError(
                            f"{clip.path}: {name!r} is none of the {len(names)} classes"
                            f" of {head!r} ({', '.join(names[:5])}...)"
                        )

    def write(self, path: epath.PathLike) -> None:
        """Writes the clips as CSV, and the classes beside it as `STEM_classes.csv`."""
        path = epath.Path(path).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.parent / f"{path.stem}_classes.csv.part"
        with part.open("w") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(("head", "name"))
            for head, names in self.classes.items():
                table.writerows((head, name) for name in names)
        part.replace(_classes_of(path))
        rows = (clip_values(clip, SEPARATOR.join(clip.labels)) for clip in self.clips)
        write_rows(path, COLUMNS, self.root, rows)


def clip_values(clip: EventClip, labels: Any) -> list[Any]:
    """A clip's values of `COLUMNS`, its labels as given."""
    row = [getattr(clip, name) for name in COLUMNS]
    row[COLUMNS.index("labels")] = labels
    return row


def read_manifest(
    path: epath.PathLike,
    root: epath.PathLike | None = None,
    *,
    multi_label: bool | None = None,
) -> EventManifest:
    """Reads a manifest: what `EventManifest.write` wrote, or a user's own CSV.

    Only the column `path` is required, and `labels` or `verb` and `noun`. Without
    `STEM_classes.csv` the classes are those that occur, in alphabetical order.

    Args:
      path: The CSV.
      root: What its paths are relative to; by default the CSV's folder.
      multi_label: Whether a clip may have any number of labels; None to tell from the
        table of classes, or from whether one has several.

    Raises:
      ManifestError: A column or value is missing or wrong; the message names the row.
      FileNotFoundError: It is not there.
    """
    path = epath.Path(path).expanduser()
    clips = []
    for number, row in read_rows(path, COLUMNS):
        unknown = [name for name in row if name not in COLUMNS]
        if unknown:
            raise ManifestError(
                f"{path}: column {unknown[0]!r} is none of {', '.join(COLUMNS)}"
            )
        try:
            clips.append(_clip_of(row))
        except ValueError as error:
            raise ManifestError(f"{path}, row {number}: {error}") from error
    beside = _classes_of(path)
    if beside.exists():
        classes = _read_classes(beside)
        kind: Kind | None = None
        for name, heads in HEADS.items():
            kind = name if heads == tuple(classes) else kind
        if kind is None:
            raise ManifestError(
                f"{beside}: heads {', '.join(classes)} are those of no kind of set"
                f" ({'; '.join(', '.join(heads) for heads in HEADS.values())})"
            )
    else:
        kind = _kind_of(clips, multi_label)
        classes = occurring(clips, kind)
    return EventManifest(
        root=epath.Path(root or path.parent),
        clips=tuple(clips),
        kind=kind,
        classes=classes,
    )


def occurring(clips: Iterable[EventClip], kind: Kind) -> Classes:
    """Classes that occur, in alphabetical order, by head."""
    clips = list(clips)
    return {
        head: tuple(sorted({name for clip in clips for name in clip.named(head)}))
        for head in HEADS[kind]
    }


def _kind_of(clips: Sequence[EventClip], multi_label: bool | None) -> Kind:
    if any(clip.verb or clip.noun for clip in clips):
        return "verb_noun"
    several = any(len(clip.labels) > 1 for clip in clips)
    if multi_label is None:
        multi_label = several
    if several and not multi_label:
        first = next(clip for clip in clips if len(clip.labels) > 1)
        raise ManifestError(
            f"{first.path}: has {len(first.labels)} labels in a set of one label each"
        )
    return "multi" if multi_label else "single"


def _classes_of(path: epath.Path) -> epath.Path:
    return path.parent / f"{path.stem}_classes.csv"


def _read_classes(path: epath.Path) -> Classes:
    found: dict[str, list[str]] = {}
    for _, row in read_rows(path, ("head", "name"), needed=("head", "name")):
        found.setdefault(row["head"], []).append(row["name"])
    return {head: tuple(names) for head, names in found.items()}


def _clip_of(row: Mapping[str, str]) -> EventClip:
    given: dict[str, Any] = {name: value for name, value in row.items() if value}
    if "path" not in given:
        raise ManifestError("no path")
    for name, kind in (("start_s", float), ("end_s", float), ("fold", int)):
        if name in given:
            try:
                given[name] = kind(given[name])
            except ValueError:
                raise ManifestError(f"{name}: {given[name]!r} is no number") from None
    labels = given.pop("labels", "").split(SEPARATOR)
    given["labels"] = tuple(name.strip() for name in labels if name.strip())
    given["path"] = given["path"].replace("\\", "/")
    return EventClip(**given)


__all__ = [
    "COLUMNS",
    "HEADS",
    "Classes",
    "EventClip",
    "EventManifest",
    "Kind",
    "LeftOut",
    "ManifestError",
    "Report",
    "clip_values",
    "occurring",
    "read_manifest",
]
