"""Clips and manifests: which stretch of which file is what, as a table."""

import collections
import csv
import dataclasses
import json
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from etils import epath

from sigjax.data.machine_sound.names import ANOMALY, NORMAL, UNKNOWN

COLUMNS = (
    "path",
    "start_s",
    "end_s",
    "year",
    "split",
    "machine",
    "section",
    "side",
    "domain",
    "label",
    "attributes",
)
_LABEL_WORDS = {
    **dict.fromkeys(("", "-1", "unknown"), UNKNOWN),
    **dict.fromkeys(("0", "normal", "healthy", "good", "ok"), NORMAL),
    **dict.fromkeys(
        ("1", "anomaly", "anomalous", "abnormal", "fault", "faulty", "broken", "bad"),
        ANOMALY,
    ),
}
_DOMAINS = ("", "source", "target")
_SPLITS = ("", "dev", "eval")
_SIDES = ("train", "test", "supplemental")


class ManifestError(ValueError):
    """Clips cannot be listed; the message says where, why and what to do."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Clip:
    """An audio file, or a stretch of one.

    Attributes:
      path: Relative to the manifest's root, with forward slashes.
      machine: Type, such as `"fan"`.
      section: Two digits in DCASE; any text elsewhere.
      side: `"train"`, `"test"` or `"supplemental"`.
      year: Of DCASE; 0 for none, or not known.
      split: `"dev"`, `"eval"`, or `""`.
      domain: `"source"`, `"target"`, or `""` if unknown.
      label: 0 normal, 1 anomaly, -1 unknown.
      attributes: By word; see `names.parse_attributes`.
      start_s: Where the stretch begins.
      end_s: Where it ends; None for the file's end.
    """

    path: str
    machine: str
    section: str
    side: str
    year: int = 0
    split: str = ""
    domain: str = ""
    label: int = UNKNOWN
    attributes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    start_s: float = 0.0
    end_s: float | None = None

    def __post_init__(self):
        """Refuses what is none of the words above."""
        for name, allowed in (
            ("split", _SPLITS),
            ("side", _SIDES),
            ("domain", _DOMAINS),
            ("label", (NORMAL, ANOMALY, UNKNOWN)),
        ):
            if getattr(self, name) not in allowed:
                raise ManifestError(
                    f"{self.path}: {name} {getattr(self, name)!r} is none of"
                    f" {', '.join(map(repr, allowed))}"
                )
        if not self.machine:
            raise ManifestError(f"{self.path}: no machine is given")
        if self.start_s < 0 or (self.end_s is not None and self.end_s <= self.start_s):
            raise ManifestError(
                f"{self.path}: from {self.start_s} s to {self.end_s} s is no stretch"
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Manifest:
    """Clips below a folder.

    Attributes:
      root: The folder.
      clips: In the order of a sorted listing.
    """

    root: epath.Path
    clips: tuple[Clip, ...]

    def write(self, path: epath.PathLike) -> None:
        """Writes the clips as CSV; paths become relative to the CSV's folder."""
        path = epath.Path(path).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        here = os.path.relpath(self.root, path.parent)
        part = path.parent / f"{path.name}.part"
        with part.open("w") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(COLUMNS)
            for clip in self.clips:
                relative = os.path.normpath(os.path.join(here, clip.path))
                row = [getattr(clip, name) for name in COLUMNS[1:-1]]
                row = ["" if value is None else value for value in row]
                attributes = write_attributes(clip.attributes)
                table.writerow([relative.replace(os.sep, "/"), *row, attributes])
        part.replace(path)  # Never a half-written table under its name.


def read_manifest(path: epath.PathLike, root: epath.PathLike | None = None) -> Manifest:
    """Reads what `Manifest.write` wrote.

    Args:
      path: The CSV.
      root: What its paths are relative to; by default the CSV's folder.

    Raises:
      ManifestError: A column or value is missing or wrong; the message names the row.
      FileNotFoundError: It is not there.
    """
    path = epath.Path(path).expanduser()
    rows = read_rows(path)
    clips = []
    for number, row in rows:
        try:
            clips.append(clip_of(row))
        except ValueError as error:
            raise ManifestError(f"{path}, row {number}: {error}") from error
    return Manifest(root=epath.Path(root or path.parent), clips=tuple(clips))


def read_rows(path: epath.Path) -> list[tuple[int, dict[str, str]]]:
    """Rows of a CSV with a header, with their line's number; empty ones left out.

    Raises:
      ManifestError: There is no column `path`, or a row has more values than columns.
      FileNotFoundError: The file is not there.
    """
    rows = []
    with path.open() as file:
        # A table saved by a spreadsheet begins with a byte order mark.
        table = csv.DictReader(line.removeprefix("\ufeff") for line in file)
        names = [name.strip() for name in table.fieldnames or ()]
        if "path" not in names:
            raise ManifestError(
                f"{path}: has no column 'path'; its first row must name the columns,"
                f" and begins {','.join(names)[:80]!r}. Known columns:"
                f" {', '.join(COLUMNS)}"
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


def clip_of(row: Mapping[str, str], **defaults: Any) -> Clip:
    """Makes a clip of a row of text.

    Args:
      row: By column; columns that are none of `COLUMNS` become attributes.
      **defaults: Fields of the clip where the row has nothing.

    Raises:
      ValueError: A value is wrong; the message says which.
    """
    given: dict[str, Any] = {n: v for n, v in row.items() if n in COLUMNS and v}
    for name, kind in (("start_s", float), ("end_s", float), ("year", int)):
        if name in given:
            try:
                given[name] = kind(given[name])
            except ValueError:
                raise ManifestError(f"{name}: {given[name]!r} is no number") from None
    if "label" in given:
        given["label"] = label_of(given["label"])
    if "path" not in given:
        raise ManifestError("no path")
    given["path"] = given["path"].replace("\\", "/")
    others = {n: v for n, v in row.items() if n not in COLUMNS and v}
    given["attributes"] = {**read_attributes(given.get("attributes", "")), **others}
    filled = {"section": "00", "side": "train", **defaults, **given}
    if "machine" not in filled:
        raise ManifestError("no machine: give a column 'machine', or one for all")
    return Clip(**filled)


def label_of(text: str) -> int:
    """0, 1 or -1 of a number or word such as `"normal"` or `"fault"`.

    Raises:
      ManifestError: It is no such word.
    """
    label = _LABEL_WORDS.get(text.strip().lower())
    if label is None:
        raise ManifestError(
            f"label {text!r} is none of 0, 1, -1,"
            f" {', '.join(word for word in _LABEL_WORDS if word.isalpha())}"
        )
    return label


def label_in(word: str) -> int | None:
    """The label that a folder's name stands for, or None."""
    word = word.strip().lower()
    return _LABEL_WORDS.get(word) if word.isalpha() else None


def write_attributes(attributes: Mapping[str, str]) -> str:
    """As `vel=21;loc=B`, or as JSON where that would be ambiguous."""
    plain = ";".join(f"{name}={value}" for name, value in attributes.items())
    ambiguous = plain.startswith("{") or _read_plain(plain) != dict(attributes)
    return json.dumps(dict(attributes)) if ambiguous else plain


def read_attributes(text: str) -> dict[str, str]:
    """Reads what `write_attributes` wrote.

    Raises:
      ManifestError: It is neither form.
    """
    if text.startswith("{"):
        try:
            return {str(n): str(v) for n, v in json.loads(text).items()}
        except ValueError as error:
            raise ManifestError(f"attributes: {error}: {text!r}") from error
    return _read_plain(text)


def _read_plain(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in re.split(r";", text) if part.strip()]
    return {name.strip(): value.strip() for name, _, value in pairs}


def count(clips: Iterable[Clip]) -> dict[tuple[str, str, str], collections.Counter]:
    """By machine, section and side: how many normal, anomalous and unknown clips."""
    table: dict[tuple[str, str, str], collections.Counter] = {}
    for clip in clips:
        key = clip.machine, clip.section, clip.side
        table.setdefault(key, collections.Counter())[clip.label] += 1
    return table
