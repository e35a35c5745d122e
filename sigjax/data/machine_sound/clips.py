"""Clips and manifests: which stretch of which file is what, as a table."""

import collections
import dataclasses
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from etils import epath

from sigjax.data.clips import (
    LeftOut,
    ManifestError,
    Report,
    check_stretch,
    read_rows,
    write_rows,
)
from sigjax.data.machine_sound.names import ANOMALY, NORMAL, UNKNOWN

__all__ = [
    "COLUMNS",
    "Clip",
    "LeftOut",
    "Manifest",
    "ManifestError",
    "Report",
    "clip_of",
    "count",
    "label_in",
    "label_of",
    "read_attributes",
    "read_manifest",
    "read_rows",
    "write_attributes",
]

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
        check_stretch(self)


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

        def row(clip: Clip) -> list[Any]:
            row = [getattr(clip, name) for name in COLUMNS[1:-1]]
            return [*row, write_attributes(clip.attributes)]

        write_rows(path, COLUMNS, self.root, ((c.path, *row(c)) for c in self.clips))


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
    rows = read_rows(path, COLUMNS)
    clips = []
    for number, row in rows:
        try:
            clips.append(clip_of(row))
        except ValueError as error:
            raise ManifestError(f"{path}, row {number}: {error}") from error
    return Manifest(root=epath.Path(root or path.parent), clips=tuple(clips))


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
