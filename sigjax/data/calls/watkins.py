"""Watkins Marine Mammal Sound Database, the "best of" cuts (Sayigh et al. 2017).

    data/annotations.csv: path,species
    data/.../61025001.wav

as archived for BEANS (Hagiwara et al. 2023): species are the classes.
"""

import pathlib
import re

from etils import epath

from sigjax.data.calls.listing import CallListing
from sigjax.data.calls.manifest import Call, CallManifest
from sigjax.data.clips import Report

# Two digits of the year, three of the tape, and the cut.
_RECORD = re.compile(r"(\d{5})[0-9A-Za-z]{3}")


def tape_of(path: str) -> str:
    """The tape that a cut is of, by its record number; `""` if the name is none."""
    found = _RECORD.fullmatch(pathlib.PurePosixPath(path).stem)
    return f"tape {found[1]}" if found else ""


def scan(root: epath.PathLike) -> tuple[CallManifest, Report]:
    """Lists the cuts of a folder that holds `annotations.csv`.

    Returns:
      Calls in the order of the table, classes in the order in which they begin there,
      the tape as group, and what was left out.

    Raises:
      ManifestError: The table is missing or wrong, or there is no audio.
      FileNotFoundError: There is no such folder.
    """
    listing = CallListing(root)
    _, rows = listing.rows(
        "annotations.csv",
        needed=("path", "species"),
        what="the table of the Watkins set is needed",
    )
    classes: dict[str, None] = {}
    for _, row in rows:
        classes.setdefault(row["species"])
        path = listing.find(row["path"])
        if path is not None:
            listing.add(
                Call(id=path, path=path, label=row["species"], group=tape_of(path))
            )
    return listing.finished([name for name in classes if name])
