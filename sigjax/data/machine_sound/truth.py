"""The organisers' ground truth, read; `joining` joins it to clips.

Evaluation clips have no label in their names. What tells it, by year, all CSV:

    eval_data_list_YYYY.csv     a row with the machine, then `hidden,true name[,0 or 1]`
                                (2020's ground truth, and the baselines' lists)
    ground_truth_data/ground_truth_MACHINE_section_SS[_DOMAIN]_test.csv
                                `hidden,0 or 1`
    ground_truth_domain/...     `hidden,0 (source) or 1 (target)`
    ground_truth_attributes/... `hidden,true name`
    ground_truth_attributes/MACHINE/attributes_SS.csv
                                `path,word,value[,word,value...]`, in 2022 also
                                with a column `file_name_with_[full_]attributes`
    .../MACHINE/attributes_SS_{train,test}_correspondence.csv
                                `true name,published name` of any clip
"""

import csv
import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Sequence
from typing import Any

from etils import epath

from sigjax.data.machine_sound import names, years
from sigjax.data.machine_sound.clips import ManifestError

# Year (0 if the truth's folders do not say it), machine, and the hidden name's key.
Key = tuple[int, str, tuple[str, str, int]]
_FILE = re.compile(
    r"ground_truth_(?P<machine>.+)_(?:section|id)_(?P<section>\d+)"
    r"(?:_(?P<domain>source|target))?(?:_test)?\.csv"
)
_DOMAINS = {"0": "source", "1": "target", "source": "source", "target": "target"}


class TruthError(ManifestError):
    """Ground truth contradicts itself or does not fit the clips."""


@dataclasses.dataclass(kw_only=True, eq=False)
class Entry:
    """What is known of a hidden clip.

    Attributes:
      label: 0, 1 or -1.
      domain: `"source"`, `"target"` or `""`.
      true_name: The name that it had, or `""`.
      attributes: From a table of attributes.
      source: The file that says so.
    """

    label: int = names.UNKNOWN
    domain: str = ""
    true_name: str = ""
    attributes: dict[str, str] = dataclasses.field(default_factory=dict)
    source: str = ""


@dataclasses.dataclass(kw_only=True, eq=False)
class Truth:
    """Ground truth of some machines.

    Attributes:
      entries: By hidden clip.
      true_names: Names that attributes were hidden of, by year, machine and the
        published name's stem.
      not_understood: CSV files that are none of the forms above.
      wrong_lists: Rows of lists that are known to be wrong, not used.
    """

    entries: dict[Key, Entry] = dataclasses.field(default_factory=dict)
    true_names: dict[tuple[int, str, str], str] = dataclasses.field(
        default_factory=dict
    )
    not_understood: list[str] = dataclasses.field(default_factory=list)
    wrong_lists: list[str] = dataclasses.field(default_factory=list)


def read_truth(
    beside: Sequence[epath.PathLike], given: Sequence[epath.PathLike] = ()
) -> Truth:
    """Reads ground truth.

    Args:
      beside: Folders of clips: lists that lie among them are read as well.
      given: Folders or CSV files of ground truth.

    Raises:
      TruthError: Two files contradict each other, or a row is none.
      FileNotFoundError: What is given is not there.
    """
    truth = Truth()
    for folder in given:
        path = pathlib.Path(folder).expanduser().resolve()
        if not path.exists():
            raise FileNotFoundError(f"{folder}: no such folder or file of ground truth")
        for table in [path] if path.is_file() else _tables(path):
            if not _read(truth, table, _parts(path, table)):
                truth.not_understood.append(str(table))
    for folder in beside:
        root = pathlib.Path(folder)
        for table in _tables(root):
            _read(truth, table, _parts(root, table))
    return truth


def _tables(folder: pathlib.Path) -> list[pathlib.Path]:
    found = []
    for at, below, files in os.walk(folder, followlinks=True):
        below[:] = sorted(name for name in below if not name.startswith("."))
        found += [pathlib.Path(at, name) for name in sorted(files)]
    return [path for path in found if path.suffix.lower() == ".csv"]


def _parts(root: pathlib.Path, path: pathlib.Path) -> tuple[str, ...]:
    """Names that may say the year and the kind of a table."""
    return (root.parent.name, root.name, *path.relative_to(root).parts)


def _read(truth: Truth, path: pathlib.Path, parts: tuple[str, ...]) -> bool:
    """Reads a table into `truth`; returns whether it is one of ground truth."""
    year = years.year_in(parts)
    with path.open() as file:
        lines = csv.reader(line.removeprefix("\ufeff") for line in file)
        rows = [[cell.strip() for cell in row] for row in lines if any(row)]
    if not rows:
        return False
    named = _FILE.fullmatch(path.name)
    if rows[0][:2] == ["source_file_name", "target_file_name"]:
        _read_correspondence(truth, path, year, rows[1:])
    elif rows[0][-1].startswith("file_name_with_"):  # `..._[full_]attributes`
        # Rows are as long as a clip has attributes; the name is last.
        pairs = [(row[0], row[-1]) for row in rows[1:]]
        _read_names(truth, path, year, path.parent.name, pairs)
    elif rows[0][0] == "file_name" and "ground_truth_attributes" in parts:
        _read_attributes(truth, path, year, rows[1:])
    elif named is not None:
        _read_values(truth, path, year, parts, named["machine"], rows)
    elif len(rows[0]) == 1 and len(rows) > 1 and names.parse(rows[1][0]):
        _read_list(truth, path, year, rows)
    else:
        return False
    return True


def _read_correspondence(
    truth: Truth, path: pathlib.Path, year: int, rows: list[list[str]]
) -> None:
    for row in rows:
        true_name, published = row[:2]
        key = year, path.parent.name, names.stem(published)
        truth.true_names[key] = names.stem(true_name)


def _known_wrong(year: int, machine: str, published: names.Name) -> bool:
    # 2020 has ToyCar id_05 to id_07, without domains too.
    return published.kind != "id" and years.labels_known_wrong(
        year, machine, published.section, published.domain
    )


def _read_attributes(
    truth: Truth, path: pathlib.Path, year: int, rows: list[list[str]]
) -> None:
    machine = path.parent.name
    for row in rows:
        published = names.parse(row[0])
        if published is None:
            raise TruthError(f"{path}: {row[0]!r} is no name of a clip")
        if _known_wrong(year, machine, published):
            truth.wrong_lists.append(f"{machine},{row[0]}")
            continue
        entry = _entry(truth, year, machine, published)
        entry.attributes = names.attributes_of_row(row[1:])
        entry.source = entry.source or str(path)


def _read_list(
    truth: Truth, path: pathlib.Path, year: int, rows: list[list[str]]
) -> None:
    machine = ""
    for row in rows:
        if len(row) == 1 or not row[1]:
            machine = row[0]
            continue
        _read_names(truth, path, year, machine, [(row[0], row[1])])
        said = names.parse(row[1])
        if len(row) > 2 and said is not None and row[2] != str(said.label):
            raise TruthError(
                f"{path}: {machine} {row[0]} has label {row[2]!r} and name {row[1]!r}"
            )


def _read_names(
    truth: Truth,
    path: pathlib.Path,
    year: int,
    machine: str,
    pairs: Iterable[tuple[str, str]],
) -> None:
    for hidden, true_name in pairs:
        published, said = names.parse(hidden), names.parse(true_name)
        if published is None or said is None:
            raise TruthError(f"{path}: {hidden!r}, {true_name!r} are no clips' names")
        if _known_wrong(year, machine, published):
            truth.wrong_lists.append(f"{machine},{hidden}")
            continue
        entry = _entry(truth, year, machine, published)
        _say(entry, path, hidden, "label", said.label, names.UNKNOWN)
        _say(entry, path, hidden, "domain", said.domain, "")
        entry.true_name, entry.source = true_name, str(path)


def _read_values(
    truth: Truth,
    path: pathlib.Path,
    year: int,
    parts: tuple[str, ...],
    machine: str,
    rows: list[list[str]],
) -> None:
    about = next((p for p in reversed(parts[:-1]) if p.startswith("ground_truth_")), "")
    for row in rows:
        hidden, value = (row + ["", ""])[:2]
        published = names.parse(hidden)
        if published is None:
            raise TruthError(f"{path}: {hidden!r} is no name of a clip")
        if about == "ground_truth_attributes":
            _read_names(truth, path, year, machine, [(hidden, value)])
            continue
        entry = _entry(truth, year, machine, published)
        entry.source = entry.source or str(path)
        if about == "ground_truth_domain":
            if value not in _DOMAINS:
                raise TruthError(f"{path}: domain {value!r} of {hidden} is not 0 or 1")
            _say(entry, path, hidden, "domain", _DOMAINS[value], "")
        elif value in ("0", "1"):
            _say(entry, path, hidden, "label", int(value), names.UNKNOWN)
        else:
            raise TruthError(f"{path}: label {value!r} of {hidden} is not 0 or 1")


def _entry(truth: Truth, year: int, machine: str, published: names.Name) -> Entry:
    return truth.entries.setdefault((year, machine, published.key), Entry())


def _say(
    entry: Entry, path: pathlib.Path, hidden: str, what: str, value: Any, unknown: Any
) -> None:
    before = getattr(entry, what)
    if value != unknown and before not in (unknown, value):
        raise TruthError(
            f"{path}: {what} {value!r} of {hidden} contradicts {before!r} in"
            f" {entry.source}; give one of the two"
        )
    if value != unknown:
        setattr(entry, what, value)
        entry.source = str(path)
