"""Calls and their manifests: which stretch of which file is whose call of which class.

    id,path,start,end,label,split,group
    a17,twin_1/rec.wav,12.31,12.44,Phee,train,marmoset 3

A manifest is CSV, or JSON lines with the same keys. Only `path` is required. Times are
in seconds; without them a call is its whole file. Names of classes, in their order, are
those of `STEM_classes.csv` (column `name`) if that is there, else those that occur.
"""

import csv
import dataclasses
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from sigjax.data.clips import ManifestError, check_stretch, read_rows

COLUMNS: tuple[str, ...] = ("id", "path", "start", "end", "label", "split", "group")
SPLITS = ("train", "validation", "test")
# What others call these splits.
_OTHER_NAMES = {
    "training": "train",
    **dict.fromkeys(("val", "valid", "dev"), "validation"),
    **dict.fromkeys(("testing", "eval", "evaluation"), "test"),
}
# Begins the name of a part of a cross-validation.
FOLD = "fold"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """An audio file, or a stretch of one, with what is known of it.

    Attributes:
      id: Unique in its manifest.
      path: Relative to the manifest's root, with forward slashes.
      label: Name of its class; `""` if it is not known.
      split: `"train"`, `"validation"`, `"test"`, the name of a fold (`"fold1"`), or
        `""`: not divided.
      group: Caller, or recording, that it shares with others: those of one group sound
        alike for other reasons than their class. `""` if it is not known.
      start_s: Where the stretch begins.
      end_s: Where it ends; None for the file's end.
    """

    id: str
    path: str
    label: str = ""
    split: str = ""
    group: str = ""
    start_s: float = 0.0
    end_s: float | None = None

    def __post_init__(self):
        """Refuses what cannot be read."""
        if not self.id or not self.path:
            raise ManifestError(f"call {self.id!r} of file {self.path!r}: one is empty")
        for value in (self.start_s, self.end_s):
            if value is not None and not math.isfinite(value):
                raise ManifestError(f"call {self.id!r}: {value} s is no time")
        check_stretch(self)

    @property
    def source(self) -> str:
        """Its group; the file, where that is not known."""
        return self.group or self.path


@dataclasses.dataclass(frozen=True, kw_only=True)
class CallManifest:
    """Calls below a folder, and their classes.

    Attributes:
      root: The folder.
      calls: In the order of the set's tables, or of a sorted listing.
      classes: Names, in the order of their numbers.
    """

    root: epath.Path
    calls: tuple[Call, ...]
    classes: tuple[str, ...]

    def __post_init__(self):
        """Refuses ids and classes that are there twice, and labels that are none."""
        for what, names in (
            ("id", [c.id for c in self.calls]),
            ("class", self.classes),
        ):
            if len(set(names)) < len(names):
                seen: set[str] = set()
                twice = next(n for n in names if n in seen or seen.add(n))
                raise ManifestError(f"{what} {twice!r} is there twice")
        known = set(self.classes)
        for call in self.calls:
            if call.label and call.label not in known:
                raise ManifestError(
                    f"call {call.id!r}: {call.label!r} is none of the"
                    f" {len(self.classes)} classes ({', '.join(self.classes[:5])}...)"
                )

    @property
    def labels(self) -> np.ndarray:
        """Int32 `[n]`, number of each call's class; -1 where it has none."""
        number = {name: index for index, name in enumerate(self.classes)}
        return np.array([number.get(c.label, -1) for c in self.calls], np.int32)

    def write(self, path: epath.PathLike) -> None:
        """Writes the calls as CSV, or JSON lines if the name ends in `.jsonl`.

        The names of the classes go beside it. Paths become relative to its folder.
        """
        path = epath.Path(path).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        here = os.path.relpath(self.root, path.parent)
        rows = [_values(call, here) for call in self.calls]
        part = path.parent / f"{path.name}.part"
        with part.open("w") as file:
            if path.suffix == ".jsonl":
                file.writelines(
                    json.dumps(row, ensure_ascii=False) + "\n" for row in rows
                )
            else:
                table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
                table.writeheader()
                table.writerows(rows)
        names = path.parent / f"{path.stem}_classes.csv.part"
        with names.open("w") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerows([("name",), *((name,) for name in self.classes)])
        # Never a half-written table under its name; the calls last, which need both.
        names.replace(_classes_of(path))
        part.replace(path)


def _values(call: Call, here: str) -> dict[str, Any]:
    relative = os.path.normpath(os.path.join(here, call.path)).replace(os.sep, "/")
    return {
        "id": call.id,
        "path": relative,
        # A whole file has no times.
        "start": call.start_s or None,
        "end": call.end_s,
        "label": call.label,
        "split": call.split,
        "group": call.group,
    }


def read_calls(
    path: epath.PathLike, root: epath.PathLike | None = None
) -> CallManifest:
    """Reads a manifest: what `CallManifest.write` wrote, or a user's own.

    Args:
      path: CSV, or JSON lines if the name ends in `.jsonl`.
      root: What its paths are relative to; by default its folder.

    Raises:
      ManifestError: A column or value is missing or wrong, or an id is there twice; the
        message names the row.
      FileNotFoundError: It is not there.
    """
    path = epath.Path(path).expanduser()
    rows = _json_rows(path) if path.suffix == ".jsonl" else read_rows(path, COLUMNS)
    calls: list[Call] = []
    lines: dict[str, int] = {}
    for line, row in rows:
        unknown = [name for name in row if name not in COLUMNS]
        if unknown:
            raise ManifestError(
                f"{path}, row {line}: column {unknown[0]!r} is none of"
                f" {', '.join(COLUMNS)}"
            )
        try:
            call = call_of(row)
        except ValueError as error:
            raise ManifestError(f"{path}, row {line}: {error}") from error
        if call.id in lines:
            raise ManifestError(
                f"{path}, row {line}: id {call.id!r} is that of row {lines[call.id]},"
                " too; give each call its own, or leave out the column"
            )
        lines[call.id] = line
        calls.append(call)
    if not calls:
        raise ManifestError(f"{path}: has no rows")
    beside = _classes_of(path)
    if beside.exists():
        given = read_rows(beside, ("name",), needed=("name",))
        classes = tuple(row["name"] for _, row in given)
    else:
        classes = occurring(calls)
    try:
        return CallManifest(
            root=epath.Path(root or path.parent), calls=tuple(calls), classes=classes
        )
    except ManifestError as error:
        raise ManifestError(f"{path}, {beside.name}: {error}") from error


def call_of(row: Mapping[str, str]) -> Call:
    """A call of the values of `COLUMNS`, as text; those that are empty are left out.

    Without an id it is the path, with the times of a stretch.

    Raises:
      ManifestError: A value is missing or wrong.
    """
    path = row.get("path", "").replace("\\", "/")
    if not path:
        raise ManifestError("no path")
    times: dict[str, float | None] = {}
    for name in ("start", "end"):
        text = row.get(name, "")
        try:
            times[name] = float(text) if text else None
        except ValueError:
            raise ManifestError(f"{name}: {text!r} is no number") from None
    split = row.get("split", "")
    return Call(
        id=row.get("id", "") or stretch_id(path, times["start"], times["end"]),
        path=path,
        label=row.get("label", ""),
        split=_OTHER_NAMES.get(split.lower(), split),
        group=row.get("group", ""),
        start_s=times["start"] or 0.0,
        end_s=times["end"],
    )


def stretch_id(path: str, start_s: float | None, end_s: float | None) -> str:
    """An id that names the stretch: `path`, or `path@start-end`."""
    if start_s is None and end_s is None:
        return path
    return f"{path}@{start_s or 0:g}-{'' if end_s is None else format(end_s, 'g')}"


def occurring(calls: Iterable[Call]) -> tuple[str, ...]:
    """Classes that occur, in alphabetical order."""
    return tuple(sorted({call.label for call in calls} - {""}))


def with_splits(manifest: CallManifest, splits: Sequence[str]) -> CallManifest:
    """The same calls with other splits, one for each."""
    calls = (
        dataclasses.replace(call, split=split)
        for call, split in zip(manifest.calls, splits, strict=True)
    )
    return dataclasses.replace(manifest, calls=tuple(calls))


def _classes_of(path: epath.Path) -> epath.Path:
    return path.parent / f"{path.stem}_classes.csv"


def _json_rows(path: epath.Path) -> list[tuple[int, dict[str, str]]]:
    """Rows of JSON lines with their number; values as text."""
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ManifestError(f"{path}, row {number}: no JSON: {error}") from error
        plain = isinstance(row, dict) and all(
            value is None or isinstance(value, (str, int, float))
            for value in row.values()
        )
        if not plain:
            raise ManifestError(
                f"{path}, row {number}: not an object of texts and numbers with the"
                f" keys {', '.join(COLUMNS)}"
            )
        text = {k: "" if v is None else str(v).strip() for k, v in row.items()}
        rows.append((number, text))
    return rows
