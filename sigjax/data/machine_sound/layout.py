"""Finds the clips of any year of DCASE Task 2 below a user's folder.

    [dcase2021t2/]{dev_data,eval_data}/[raw/]fan/{train,test,...}/section_00_....wav

Any level may be the folder that is given, and several years may lie side by side. The
organisers' audio is neither downloaded nor changed.
"""

import collections
import csv
import dataclasses
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from etils import epath

from sigjax.data import audio
from sigjax.data.machine_sound import joining, names, years
from sigjax.data.machine_sound.clips import (
    Clip,
    LeftOut,
    Manifest,
    ManifestError,
    Report,
)
from sigjax.data.machine_sound.truth import read_truth

# Folders of a machine: side of the clips, and their domain where the folder says it.
_FOLDERS = {
    "train": ("train", ""),
    "test": ("test", ""),
    "source_test": ("test", "source"),
    "target_test": ("test", "target"),
    "supplemental": ("supplemental", ""),
}


class MachineFolder(NamedTuple):
    """A folder that holds the clips of a machine.

    Attributes:
      path: Relative to the folder that is scanned; `.` for that folder itself.
      machine: Its name.
      sides: Names of the folders in it that hold clips.
    """

    path: pathlib.PurePath
    machine: str
    sides: tuple[str, ...]


def machine_folders(folder: epath.PathLike) -> list[MachineFolder]:
    """Folders below (or at) `folder` with `train`, `test`... in them, sorted."""
    root = pathlib.Path(folder).expanduser().resolve()
    found = []
    for at, below, _ in os.walk(root, followlinks=True):
        below[:] = sorted(name for name in below if not name.startswith("."))
        sides = tuple(name for name in below if name in _FOLDERS)
        if sides:
            here = pathlib.Path(at)
            found.append(MachineFolder(here.relative_to(root), here.name, sides))
            below[:] = []
    return found


def scan(
    folder: epath.PathLike,
    *,
    truth: epath.PathLike | None = None,
    year: int | None = None,
) -> tuple[Manifest, Report]:
    """Lists the clips of a folder, of any year's layout.

    Args:
      folder: Holds years, `dev_data`..., machines, or is one machine's folder.
      truth: Folder (or one CSV) of the organisers' ground truth, from which labels,
        domains and hidden attributes are joined by name; see `joining.join`.
      year: Of DCASE, where names of folders do not say it and machines do not tell.

    Returns:
      Clips, by path; and what was found, what was left out and why.

    Raises:
      ManifestError: There is no machine folder, or no clip in them.
      TruthError: The ground truth does not fit the clips.
      FileNotFoundError: There is no such folder.
    """
    root = pathlib.Path(folder).expanduser().resolve()
    if not root.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    found = machine_folders(root)
    if not found:
        raise ManifestError(
            f"{folder}: no folder of a machine, which has 'train' or 'test' in it; for"
            " other layouts list the files in a manifest (a CSV with a column 'path')"
        )
    scanned = _Scan(root, year)
    for group in _groups(found):
        scanned.add(group)
    clips, counts, warnings = scanned.clips, scanned.counts, scanned.warnings
    if not clips:
        reasons = {entry.reason: entry.path for entry in scanned.left_out}
        told = "; ".join(
            f"{reason}, such as {path}" for reason, path in reasons.items()
        )
        raise ManifestError(
            f"{folder}: no clip in {len(found)} machine folders. {told}"
        )
    joined = joining.join(clips, read_truth([root], [truth] if truth else []))
    counts.update(joined.counts)
    report = Report(
        files=len(clips) + len(scanned.left_out),
        clips=len(clips),
        left_out=tuple(scanned.left_out),
        counts=dict(counts),
        warnings=(*warnings, *joined.warnings),
    )
    return Manifest(root=epath.Path(root), clips=joined.clips), report


def _groups(found: Sequence[MachineFolder]) -> Iterator[list[MachineFolder]]:
    """Machine folders of one year's set: siblings but for dev, eval and raw."""
    groups: dict[tuple[str, ...], list[MachineFolder]] = collections.defaultdict(list)
    for machine in found:
        above = list(machine.path.parts[:-1])
        if above and above[-1] == "raw":
            above.pop()
        if above and years.split_in(above[-1:]):
            above.pop()
        groups[tuple(above)].append(machine)
    yield from groups.values()


class _File(NamedTuple):
    path: str
    machine: str
    folder: str
    split: str
    name: names.Name


@dataclasses.dataclass(eq=False)
class _Scan:
    """What was found so far."""

    root: pathlib.Path
    year: int | None
    clips: list[Clip] = dataclasses.field(default_factory=list)
    left_out: list[LeftOut] = dataclasses.field(default_factory=list)
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def add(self, group: list[MachineFolder]) -> None:
        """Adds the machine folders of one set."""
        files = [file for machine in group for file in self._files(machine)]
        year = self._year_of(group, files)
        tables = {m.path: self._attributes(m) for m in group}
        table = {stem: row for rows in tables.values() for stem, row in rows.items()}
        for file in files:
            self._add(file, year, table.get((file.machine, names.stem(file.path))))

    def _files(self, machine: MachineFolder) -> Iterator[_File]:
        # Above the folder that is given, `dev` may be anybody's word for anything.
        above = [p.name for p in (self.root.parent.parent, self.root.parent, self.root)]
        above = [name for name in above if name in ("dev_data", "eval_data")]
        split = years.split_in((*above, *machine.path.parts[:-1]))
        for folder in machine.sides:
            where = self.root / machine.path / folder
            for entry in sorted(os.scandir(where), key=lambda e: e.name):
                path = str(pathlib.PurePosixPath(machine.path, folder, entry.name))
                if entry.is_dir():
                    self.counts["folders inside train, test... (not looked into)"] += 1
                elif audio.is_audio(entry.name) and not entry.name.startswith("."):
                    name = names.parse(entry.name)
                    if name is None:
                        self._leave_out(path, "its name is none of DCASE Task 2")
                    else:
                        yield _File(path, machine.machine, folder, split, name)
                else:
                    self.counts["other files among the clips"] += 1

    def _leave_out(self, path: str, reason: str) -> None:
        self.left_out.append(LeftOut(path, reason))

    def _year_of(self, group: list[MachineFolder], files: list[_File]) -> int:
        if self.year is not None:
            return self.year
        said = years.year_in((self.root.name, *group[0].path.parts))
        if said:
            return said
        fit = years.guess_year(
            {m.machine for m in group},
            ids=any(f.name.kind == "id" for f in files),
            sections={f.name.section for f in files},
            folders={side for m in group for side in m.sides},
        )
        if len(fit) == 1:
            return fit[0]
        could = " or ".join(map(str, fit)) or "none that is known"
        self.warnings.append(
            f"{self.root / group[0].path}: the year cannot be told (it could be"
            f" {could}); give it, or name a folder such as dcase2024"
        )
        return 0

    def _attributes(self, machine: MachineFolder) -> dict[tuple[str, str], dict]:
        """Rows of `attributes_SS.csv`, by machine and stem of the file."""
        found = {}
        for path in sorted((self.root / machine.path).glob("attributes_*.csv")):
            if "correspondence" in path.name:
                continue  # Hidden attributes: `truth` reads them.
            with path.open() as file:
                rows = csv.reader(line.removeprefix("\ufeff") for line in file)
                for row in rows:
                    if not row or row[0].strip() == "file_name":
                        continue
                    key = machine.machine, names.stem(row[0])
                    found[key] = names.attributes_of_row(row[1:])
                    self.counts["rows of attribute tables"] += 1
        return found

    def _add(self, file: _File, year: int, attributes: dict | None) -> None:
        name = file.name
        side, domain = _FOLDERS[file.folder]
        if name.side and name.side != side:
            reason = f"its name says {name.side!r}, its folder {side!r}"
            return self._leave_out(file.path, reason)
        if name.domain and domain and name.domain != domain:
            reason = f"its name says {name.domain!r}, its folder {domain!r}"
            return self._leave_out(file.path, reason)
        label, domain = name.label, name.domain or domain
        split = file.split or years.guess_split(year, file.machine, name.section)
        if side == "test" and label != names.UNKNOWN and file.folder == "test":
            if years.labels_known_wrong(year, file.machine, name.section, ""):
                # Only 2022's lists give these clips such names.
                label, domain, attributes = names.UNKNOWN, "", {}
                name = dataclasses.replace(name, attributes={})
                self._warn_renamed(file)
        self.clips.append(
            Clip(
                path=file.path,
                year=year,
                split=split,
                machine=file.machine,
                section=name.section,
                side=side,
                domain=domain,
                label=label,
                # Tables have the attributes that tell domains apart, names have all.
                attributes={**name.attributes, **(attributes or {})},
            )
        )

    def _warn_renamed(self, file: _File) -> None:
        self.counts["labels in names that are known to be wrong, not used"] += 1
        text = (
            f"2022 {file.machine}: evaluation clips were renamed by a list that is"
            " known to be wrong for ToyCar and ToyTrain; their labels and domains are"
            " not used. Take the clips with their published names"
            " (section_03_0000.wav)"
        )
        if text not in self.warnings:
            self.warnings.append(text)
