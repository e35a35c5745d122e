"""Kinetics-Sounds: the classes of Kinetics-400 that can be heard.

    label,youtube_id,time_start,time_end,split[,is_cc]
    playing guitar,-3B32lodo2M,59,69,train
    train/playing guitar/-3B32lodo2M_000059_000069.wav

Tables are those of Kinetics-400 (Kay et al. 2017), one for each split. The subset has
no list of its own that all agree on. Arandjelovic and Zisserman ("Look, listen and
learn", 2017) chose 34 classes of an early version; `CLASSES` are the 32 that
Kinetics-400 has under names that changed little, as Xiao et al. ("Audiovisual SlowFast
networks for video recognition", 2020) and others use them. Others have 31, without
"strumming guitar". Kinetics holds 50 clips of a class for validation: 1,600 of 32
classes, of which the 1,585 that studies test on are those that could still be had; its
test split is larger and rarely used.
"""

import csv
import pathlib
from collections.abc import Sequence

from etils import epath

from sigjax.data.audio_events.clips import (
    EventClip,
    EventManifest,
    ManifestError,
    Report,
)
from sigjax.data.audio_events.listing import Listing, number_of

CLASSES = (
    "blowing nose", "blowing out candles", "bowling", "chopping wood",
    "dribbling basketball", "laughing", "mowing lawn", "playing accordion",
    "playing bagpipes", "playing bass guitar", "playing clarinet", "playing drums",
    "playing guitar", "playing harmonica", "playing keyboard", "playing organ",
    "playing piano", "playing saxophone", "playing trombone", "playing trumpet",
    "playing violin", "playing xylophone", "ripping paper", "shoveling snow",
    "shuffling cards", "singing", "stomping grapes", "strumming guitar", "tap dancing",
    "tapping guitar", "tapping pen", "tickling",
)  # fmt: skip
_COLUMNS = {"label", "youtube_id", "time_start", "time_end", "split"}
_SPLITS = {
    "train": "train",
    **dict.fromkeys(("val", "validate", "validation"), "validation"),
    "test": "test",
}
# Names of Kinetics-400's folders for its splits.
_FOLDERS = {
    "train": ("train", "train_256", "kinetics_400_train"),
    "validation": ("val", "validate", "validation", "val_256", "kinetics_400_val"),
    "test": ("test", "kinetics_400_test"),
}


def scan(
    root: epath.PathLike, *, classes: Sequence[str] = CLASSES
) -> tuple[EventManifest, Report]:
    """Lists the clips of some classes of Kinetics-400.

    With tables, every row of these classes is looked for. Without, each folder called
    as a class (blanks or underscores) is taken, within one called as a split.

    Args:
      root: Looked through for tables and sound.
      classes: Names, in the order of their numbers.

    Returns:
      Clips of the splits `"train"`, `"validation"` and `"test"`, and what was left out.

    Raises:
      ManifestError: Tables are wrong, no row or folder is of the classes, or there is
        no audio.
      FileNotFoundError: There is no such folder.
    """
    listing = Listing(root)
    tables = [t for t in listing.tables("*.csv") if _is_table(t)]
    for table in tables:
        _add_table(listing, table, set(classes))
    if not tables:
        _add_folders(listing, set(classes))
    return listing.finished("single", {"label": tuple(classes)})


def _is_table(path: pathlib.Path) -> bool:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        return _COLUMNS <= set(next(csv.reader(file), ()))


def _add_table(listing: Listing, table: pathlib.Path, classes: set[str]) -> None:
    with table.open(newline="", encoding="utf-8-sig") as file:
        rows = csv.DictReader(file)
        for row in rows:
            label = _plain(row["label"] or "")
            if label not in classes:
                listing.counts["rows of other classes"] += 1
                continue
            split = _SPLITS.get(row["split"] or "")
            if split is None:
                raise ManifestError(
                    f"{table}, row {rows.line_num}: split {row['split']!r} is none of"
                    f" {', '.join(_SPLITS)}"
                )
            video, line = row["youtube_id"], rows.line_num
            start = int(number_of(table, line, "time_start", row["time_start"]))
            end = int(number_of(table, line, "time_end", row["time_end"]))
            stems = (
                f"{video}_{start:06d}_{end:06d}",
                f"{video}_{start}_{end}",
                f"{video}_{start:06d}",
                video,
            )
            path = listing.find(stems[0], stems, split=split, below=_FOLDERS[split])
            if path is not None:
                listing.add(
                    EventClip(path=path, labels=(label,), split=split, group=video)
                )


def _add_folders(listing: Listing, classes: set[str]) -> None:
    folder_of = {name: split for split, names in _FOLDERS.items() for name in names}
    for path in listing.files.paths:
        *above, folder, name = ("", *pathlib.PurePosixPath(path).parts)
        label = _plain(folder)
        splits = [folder_of[part] for part in above if part in folder_of]
        if label in classes:
            # Ids hold underscores and hyphens, and are 11 letters long.
            video = name[:11]
            split = splits[-1] if splits else "train"
            listing.add(EventClip(path=path, labels=(label,), split=split, group=video))


def _plain(label: str) -> str:
    return label.replace("_", " ").strip().lower()
