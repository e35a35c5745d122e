"""What the readers of published sets of calls have in common."""

import collections
import dataclasses
import pathlib
from collections.abc import Sequence

from etils import epath

from sigjax.data.audio_events.listing import Listing
from sigjax.data.calls.manifest import Call, CallManifest, occurring
from sigjax.data.clips import LeftOut, ManifestError, Report, read_rows

# A share of missing files that makes a score another one than the published.
_MANY = 0.01


class CallListing:
    """Calls of a set while its tables are read; `finished` makes a manifest of them.

    Attributes:
      root: The folder.
      paths: Audio files in it, relative to it, sorted.
      counts: Of what is worth a number, by what it is.
      warnings: What a user should read before trusting a score.
    """

    def __init__(self, root: epath.PathLike):
        """Lists the folder.

        Raises:
          FileNotFoundError: It is not there.
          ManifestError: There is no audio in it.
        """
        self._files = Listing(root)
        self.root = self._files.root
        self.paths = self._files.files.paths
        self.counts: collections.Counter[str] = collections.Counter()
        self.warnings: list[str] = []
        self._there = set(self.paths)
        self._calls: dict[str, Call] = {}
        self._left_out: list[LeftOut] = []
        self._asked = self._missing = 0
        self._named: set[str] = set()

    def rows(
        self, name: str, *, needed: Sequence[str], what: str
    ) -> tuple[pathlib.Path, list[tuple[int, dict[str, str]]]]:
        """The one table of a name, wherever it lies in the folder, and its rows.

        Names of columns are taken in small letters.

        Raises:
          ManifestError: There is none, there are several, or a column is missing.
        """
        table = self._files.table(name, what=what)
        with table.open(encoding="utf-8-sig") as file:
            heads = file.readline().strip().split(",")
        # `read_rows` knows columns by their names as they are written.
        written = {head.strip().strip('"').lower(): head.strip() for head in heads}
        asked = [written.get(column, column) for column in needed]
        rows = read_rows(epath.Path(table), needed, needed=asked)
        return table, [
            (line, {key.lower(): value for key, value in row.items()})
            for line, row in rows
        ]

    def has(self, name: str) -> bool:
        """Whether there is a table of this name."""
        return bool(self._files.tables(name))

    def find(self, path: str) -> str | None:
        """The file that a table means; one that is missing is counted and listed.

        Tables name paths from where their authors' scripts ran, so folders in front are
        left out one by one; a file of the same name alone is the last resort, as when
        sound was converted to FLAC.

        Args:
          path: As the table has it.
        """
        self._asked += 1
        parts = pathlib.PurePosixPath(path.replace("\\", "/")).parts
        for first in range(len(parts)):
            candidate = "/".join(parts[first:])
            if candidate in self._there:
                return candidate
        found = self._files.files.find([pathlib.PurePosixPath(path).stem])
        if len(found) == 1:
            return found[0]
        self._missing += 1
        self._left_out.append(
            LeftOut(path, "several files of this name" if found else "no such file")
        )
        return None

    def leave_out(self, row: str, reason: str) -> None:
        """Lists a row, or file, that is not used."""
        self._left_out.append(LeftOut(row, reason))
        self._named.add(row)

    def add(self, call: Call) -> None:
        """Takes a call; another of the same id is called `ID#2`."""
        self._named.add(call.path)
        name, number = call.id, 1
        while call.id in self._calls:
            number += 1
            call = dataclasses.replace(call, id=f"{name}#{number}")
        if number > 1:
            self.counts["calls of a stretch that another row has, too"] += 1
        self._calls[call.id] = call

    def finished(
        self, classes: Sequence[str] | None = None
    ) -> tuple[CallManifest, Report]:
        """The manifest, and what is not in it.

        Args:
          classes: Names, in the order of their numbers; by default those that occur, in
            alphabetical order.

        Raises:
          ManifestError: There is no call.
        """
        calls = tuple(self._calls.values())
        unnamed = [path for path in self.paths if path not in self._named]
        self._left_out += [LeftOut(p, "not in the tables of the set") for p in unnamed]
        if not calls:
            some = "".join(f"; {path}: {why}" for path, why in self._left_out[:3])
            raise ManifestError(
                f"{self.root}: no call in it ({len(self.paths)} audio files){some}"
            )
        if self._missing > _MANY * self._asked:
            self.warnings.append(
                f"{self._missing:,} of {self._asked:,} calls have no audio: scores are"
                " not those of the whole set"
            )
        manifest = CallManifest(
            root=epath.Path(self.root),
            calls=calls,
            classes=tuple(classes) if classes is not None else occurring(calls),
        )
        report = Report(
            files=len(self.paths),
            clips=len(calls),
            left_out=tuple(self._left_out),
            counts={"other files": len(self._files.files.others), **self.counts},
            warnings=tuple(self.warnings),
        )
        return manifest, report
