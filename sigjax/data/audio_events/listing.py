"""What the readers of published sets have in common: files found, rows not used."""

import collections
import csv
import fnmatch
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from etils import epath

from sigjax.data.audio_events.clips import (
    HEADS,
    Classes,
    EventClip,
    EventManifest,
    Kind,
    LeftOut,
    ManifestError,
    Report,
)
from sigjax.data.audio_files import AudioIndex

# A share of missing files that makes a score another one than the published.
_MANY = 0.01


class Listing:
    """Clips of a set while its tables are read; `finished` makes a manifest of them.

    Attributes:
      root: The folder.
      files: Audio files in it.
      counts: Of what is worth a number, by what it is.
      warnings: What a user should read before trusting a score.
    """

    def __init__(self, root: epath.PathLike):
        """Lists the folder.

        Raises:
          FileNotFoundError: It is not there.
          ManifestError: There is no audio in it.
        """
        self.root = pathlib.Path(root).expanduser().resolve()
        if not self.root.is_dir():
            raise FileNotFoundError(f"{root}: no such folder")
        self.files = AudioIndex(self.root)
        if not self.files.paths:
            raise ManifestError(
                f"{root}: no WAV, FLAC or OGG file in it, but {len(self.files.others)}"
                " others; take the sound out of videos first, as with `ffmpeg -i"
                " clip.mp4 -vn -ac 1 -ar 16000 clip.wav`"
            )
        self.counts: collections.Counter[str] = collections.Counter()
        self.warnings: list[str] = []
        self._clips: dict[tuple[str, float, float | None], EventClip] = {}
        self._left_out: list[LeftOut] = []
        self._asked: collections.Counter[str] = collections.Counter()
        self._missing: collections.Counter[str] = collections.Counter()
        self._named: set[str] = set()

    def tables(self, *patterns: str) -> list[pathlib.Path]:
        """Files of the first of several names that there is, anywhere in the folder."""
        for pattern in patterns:
            found = [
                path
                for path in self.files.others
                if fnmatch.fnmatch(pathlib.PurePosixPath(path).name, pattern)
            ]
            if found:
                return [self.root / path for path in found]
        return []

    def table(self, *patterns: str, what: str) -> pathlib.Path:
        """The one CSV of the first of several patterns that matches.

        Raises:
          ManifestError: There is none, or there are several.
        """
        found = self.tables(*patterns)
        if len(found) == 1:
            return found[0]
        if found:
            raise ManifestError(
                f"{self.root}: several files {found[0].name}:"
                f" {', '.join(str(p.relative_to(self.root)) for p in found)}"
            )
        raise ManifestError(
            f"{self.root}: no file {' or '.join(patterns)} in it: {what}"
        )

    def find(
        self, row: str, stems: Sequence[str], *, split: str, below: Sequence[str] = ()
    ) -> str | None:
        """The file of a table's row; one that is missing is counted.

        Args:
          row: What the row is of, for the report.
          stems: Names that its file may have, without suffix.
          split: Of the row.
          below: Folders in which it is looked for first.
        """
        self._asked[split] += 1
        found = self.files.find(stems, below)
        if not found:
            self._missing[split] += 1
            self._left_out.append(LeftOut(row, "no audio file of this name"))
            return None
        if len(found) > 1:
            self.counts["files of a name that another has, not used"] += len(found) - 1
        self._named.update(found)
        return found[0]

    def leave_out(self, row: str, reason: str) -> None:
        """Lists a row that is not used."""
        self._left_out.append(LeftOut(row, reason))

    def add(self, clip: EventClip) -> None:
        """Takes a clip; of several of one stretch the first."""
        self._named.add(clip.path)
        key = clip.path, clip.start_s, clip.end_s
        before = self._clips.setdefault(key, clip)
        if before is clip:
            return
        if all(before.named(h) == clip.named(h) for h in ("label", "verb", "noun")):
            self.counts["rows that are there twice"] += 1
        else:
            told = [c.labels or (c.verb, c.noun) for c in (before, clip)]
            self.leave_out(clip.path, f"given twice, as {told[0]} and {told[1]}")

    def finished(self, kind: Kind, classes: Classes) -> tuple[EventManifest, Report]:
        """The manifest, and what is not in it.

        Raises:
          ManifestError: There is no clip.
        """
        clips = tuple(self._clips.values())
        unnamed = [path for path in self.files.paths if path not in self._named]
        self._left_out += [LeftOut(p, "not in the tables of the set") for p in unnamed]
        if not clips:
            some = "".join(f"; {path}: {why}" for path, why in self._left_out[:3])
            raise ManifestError(
                f"{self.root}: no clip in it ({len(self.files.paths)} audio files)"
                f"{some}"
            )
        for split, missing in self._missing.items():
            asked = self._asked[split]
            if missing > _MANY * asked:
                self.warnings.append(
                    f"{missing:,} of {asked:,} clips of the split {split!r} have no"
                    " audio: scores are not those of the whole set"
                )
        empty = {
            head: set(names) - {name for clip in clips for name in clip.named(head)}
            for head, names in classes.items()
        }
        for head in HEADS[kind]:
            if empty[head]:
                self.warnings.append(
                    f"{len(empty[head])} of {len(classes[head])} classes of {head!r}"
                    " have no clip"
                )
        report = Report(
            files=len(self.files.paths),
            clips=len(clips),
            left_out=tuple(self._left_out),
            counts={"other files": len(self.files.others), **self.counts},
            warnings=tuple(self.warnings),
        )
        manifest = EventManifest(
            root=epath.Path(self.root), clips=clips, kind=kind, classes=classes
        )
        return manifest, report


def plain_rows(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    """Rows of a CSV without header, with their line's number.

    Lines that begin with `#`, and empty ones, are left out; blanks around values too.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        table = csv.reader(file, skipinitialspace=True)
        for row in table:
            values = [value.strip() for value in row]
            if any(values) and not values[0].startswith("#"):
                yield table.line_num, values


def number_of(path: pathlib.Path, line: int, name: str, value: Any) -> float:
    """A number of a table.

    Raises:
      ManifestError: It is none; the message names the place.
    """
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ManifestError(
            f"{path}, row {line}: {name} {value!r} is no number"
        ) from None
