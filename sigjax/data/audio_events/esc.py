"""ESC-50 and ESC-10 as they are published (Piczak 2015).

    ESC-50      meta/esc50.csv: filename,fold,target,category,esc10,src_file,take
                audio/1-100032-A-0.wav
    ESC-10      001 - Dog bark/1-30226-A.ogg        of before it became a part of ESC-50

Names are `FOLD-SOURCE-TAKE[-TARGET]`; clips of one upload to Freesound (`SOURCE`) are
in one fold.
"""

import pathlib
import re

from etils import epath

from sigjax.data.audio_events.clips import (
    EventClip,
    EventManifest,
    ManifestError,
    Report,
)
from sigjax.data.audio_events.listing import Listing, number_of
from sigjax.data.clips import read_rows

_META = ("filename", "fold", "target", "category", "esc10", "src_file", "take")
_FOLDER = re.compile(r"(\d+) - (.+)")
_NAME = re.compile(r"(\d+)-(\d+)-[A-Z](?:-\d+)?")


def scan_esc50(
    root: epath.PathLike, *, esc10: bool = False
) -> tuple[EventManifest, Report]:
    """Lists the clips of ESC-50, with their folds.

    Args:
      root: Of the repository, or of what is in it: looked through for `esc50.csv`.
      esc10: Take only the ten classes that are flagged as ESC-10.

    Returns:
      Clips of the split `"train"` in folds 1 to 5, classes in the order of `target`,
      and what was left out.

    Raises:
      ManifestError: The table is missing or wrong, or there is no audio.
      FileNotFoundError: There is no such folder.
    """
    listing = Listing(root)
    table = listing.table("esc50.csv", what="the table of ESC-50 is needed")
    names: dict[int, str] = {}
    for line, row in read_rows(epath.Path(table), _META, needed=_META[:6]):
        if esc10 and row["esc10"].lower() != "true":
            listing.counts["clips of ESC-50 that are not of ESC-10"] += 1
            continue
        target = int(number_of(table, line, "target", row["target"]))
        fold = int(number_of(table, line, "fold", row["fold"]))
        category = row["category"].replace("_", " ")
        if names.setdefault(target, category) != category:
            raise ManifestError(
                f"{table}, row {line}: target {target} is {names[target]!r} and"
                f" {category!r}"
            )
        stem = pathlib.PurePosixPath(row["filename"]).stem
        path = listing.find(row["filename"], [stem], split="train", below=("audio",))
        if path is not None:
            source = row["src_file"]
            listing.add(
                EventClip(path=path, labels=(category,), fold=fold, group=source)
            )
    classes = {"label": tuple(names[target] for target in sorted(names))}
    return listing.finished("single", classes)


def scan_esc10(root: epath.PathLike) -> tuple[EventManifest, Report]:
    """Lists the clips of ESC-10 in folders `001 - Dog bark`, with their folds.

    Returns:
      Clips of the split `"train"` in folds 1 to 5, classes in the order of the folders'
      numbers, and what was left out.

    Raises:
      ManifestError: No folder is called so, or there is no audio.
      FileNotFoundError: There is no such folder.
    """
    listing = Listing(root)
    names: dict[int, str] = {}
    for path in listing.files.paths:
        place = pathlib.PurePosixPath(path)
        folder = _FOLDER.fullmatch(place.parent.name)
        name = _NAME.fullmatch(place.stem)
        if folder is None or name is None:
            continue
        number, label = int(folder[1]), folder[2].strip()
        if names.setdefault(number, label) != label:
            raise ManifestError(
                f"{listing.root}: two folders begin with {folder[1]}:"
                f" {names[number]!r} and {label!r}"
            )
        listing.add(
            EventClip(path=path, labels=(label,), fold=int(name[1]), group=name[2])
        )
    classes = {"label": tuple(names[number] for number in sorted(names))}
    return listing.finished("single", classes)
