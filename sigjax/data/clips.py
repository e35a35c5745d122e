"""Tables of clips: manifests as CSV, what was left out, and how it is told."""

import collections
import csv
import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from etils import epath


class ManifestError(ValueError):
    """Clips cannot be listed; the message says where, why and what to do."""


class Stretch(Protocol):
    """An audio file, or a stretch of one.

    Attributes:
      path: Relative to the root of its manifest, with forward slashes.
      start_s: Where the stretch begins.
      end_s: Where it ends; None for the file's end.
    """

    @property
    def path(self) -> str: ...  # noqa: D102

    @property
    def start_s(self) -> float: ...  # noqa: D102

    @property
    def end_s(self) -> float | None: ...  # noqa: D102


def check_stretch(clip: Stretch) -> None:
    """Refuses stretches that end before they begin.

    Raises:
      ManifestError: It is none.
    """
    if clip.start_s < 0 or (clip.end_s is not None and clip.end_s <= clip.start_s):
        raise ManifestError(
            f"{clip.path}: from {clip.start_s} s to {clip.end_s} s is no stretch"
        )


class LeftOut(NamedTuple):
    """A file or clip that is not used.

    Attributes:
      path: Which.
      reason: Why.
    """

    path: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What was found and what was not used.

    Attributes:
      files: Audio files that were found.
      clips: Clips made of them.
      left_out: Audio files without a clip, and why.
      counts: Other things worth a number, by what they are.
      warnings: What a user should read before trusting a score.
    """

    files: int
    clips: int
    left_out: tuple[LeftOut, ...] = ()
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def reasons(self) -> dict[str, list[str]]:
        """Paths that were left out, by reason."""
        found: dict[str, list[str]] = collections.defaultdict(list)
        for path, reason in self.left_out:
            found[reason].append(path)
        return dict(found)

    def lines(self) -> list[str]:
        """The report as lines of text."""
        lines = [f"{self.files:>8,} audio files", f"{self.clips:>8,} clips"]
        for reason, paths in sorted(self.reasons().items()):
            lines.append(f"{len(paths):>8,} left out: {reason}; {paths[0]}")
        lines += [f"{n:>8,} {what}" for what, n in self.counts.items() if n]
        return lines + [f"warning: {text}" for text in self.warnings]


def read_rows(
    path: epath.Path, columns: Sequence[str], *, needed: Sequence[str] = ("path",)
) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV with a header, with their line's number; empty ones left out.

    Args:
      path: The CSV.
      columns: Those that are known, for the message.
      needed: Those that there must be.

    Raises:
      ManifestError: A needed column is missing, or a row has more values than columns.
      FileNotFoundError: The file is not there.
    """
    rows = []
    with path.open() as file:
        # A table saved by a spreadsheet begins with a byte order mark.
        table = csv.DictReader(line.removeprefix("\ufeff") for line in file)
        names = [name.strip() for name in table.fieldnames or ()]
        for absent in [name for name in needed if name not in names]:
            raise ManifestError(
                f"{path}: has no column {absent!r}; its first row must name the"
                f" columns, and begins {','.join(names)[:80]!r}. Known columns:"
                f" {', '.join(columns)}"
            )
        table.fieldnames = names
        for row in table:
            if row.pop(None, None) is not None:  # pyright: ignore
                raise ManifestError(
                    f"{path}, row {table.line_num}: has more values than the first row"
                    " has names; write values with a comma in quotes"
                )
            plain = {name: (value or "").strip() for name, value in row.items()}
            if any(plain.values()):
                rows.append((table.line_num, plain))
    return rows


def write_rows(
    path: epath.PathLike,
    columns: Sequence[str],
    root: epath.PathLike,
    rows: Iterable[Sequence[Any]],
) -> None:
    """Writes a manifest as CSV; paths become relative to the CSV's folder.

    Args:
      path: The CSV.
      columns: Names; the first is that of the paths.
      root: What the paths in `rows` are relative to.
      rows: Values in the order of the columns; None is written as nothing.
    """
    path = epath.Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    here = os.path.relpath(root, path.parent)
    part = path.parent / f"{path.name}.part"
    with part.open("w") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        for own, *values in rows:
            relative = os.path.normpath(os.path.join(here, own)).replace(os.sep, "/")
            plain = ["" if value is None else value for value in values]
            table.writerow([relative, *plain])
    part.replace(path)  # Never a half-written table under its name.
