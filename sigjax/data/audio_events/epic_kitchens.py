"""EPIC-KITCHENS-100 as it is published (Damen et al. 2022).

    EPIC_100_train.csv, EPIC_100_validation.csv
        narration_id, participant_id, video_id, ..., start_timestamp, stop_timestamp,
        ..., verb, verb_class, noun, noun_class, ...
    EPIC_100_verb_classes.csv, EPIC_100_noun_classes_v2.csv: id, key, ...

Only videos are published. Their sound is one long file for each video, called after it
(`P01_101.wav`, in any folder), of which actions are stretches; they overlap. HDF5 files
of some repositories are to be written as such files first.
"""

import csv
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

_TIME = re.compile(r"(\d+):(\d{1,2}):(\d{1,2}(?:\.\d+)?)")
_NEEDED = (
    "narration_id",
    "video_id",
    "start_timestamp",
    "stop_timestamp",
    "verb_class",
    "noun_class",
)
_TABLES = {
    "train": "EPIC_100_train.csv",
    "validation": "EPIC_100_validation.csv",
}


def scan(root: epath.PathLike) -> tuple[EventManifest, Report]:
    """Lists the actions of a folder that holds the annotations and the videos' sound.

    Classes are those of the tables of verbs (97) and nouns (300), in the order of their
    ids; `EventDataConfig.classes="trained"` leaves out those without an action to train
    on. A video is the group of its actions.

    Returns:
      Clips of the splits `"train"` and `"validation"`, and what was left out.

    Raises:
      ManifestError: Tables are missing or wrong, or there is no audio.
      FileNotFoundError: There is no such folder.
    """
    listing = Listing(root)
    needed = "EPIC-KITCHENS-100's annotations are needed"
    verbs = _names(
        listing.table("EPIC_100_verb_classes.csv", "verb_classes.csv", what=needed)
    )
    nouns = _names(
        listing.table(
            "EPIC_100_noun_classes_v2.csv",
            "EPIC_100_noun_classes.csv",
            "noun_classes.csv",
            what=needed,
        )
    )
    tables = {
        split: found[0]
        for split, name in _TABLES.items()
        if (found := listing.tables(name))
    }
    if not tables:
        raise ManifestError(
            f"{listing.root}: none of {', '.join(_TABLES.values())} is in it: {needed}"
        )
    for split, table in tables.items():
        _add(listing, table, split, verbs, nouns)
    classes = {"verb": tuple(verbs.values()), "noun": tuple(nouns.values())}
    return listing.finished("verb_noun", classes)


def seconds(timestamp: str) -> float:
    """Seconds of `HH:MM:SS.sss`.

    Raises:
      ValueError: It is none.
    """
    match = _TIME.fullmatch(timestamp.strip())
    if match is None:
        raise ValueError(f"{timestamp!r} is no time HH:MM:SS.sss")
    hours, minutes, rest = match.groups()
    return 3600 * int(hours) + 60 * int(minutes) + float(rest)


def _names(path: pathlib.Path) -> dict[int, str]:
    """Keys by id, in the order of the ids."""
    # Read as CSV by hand: some rows quote their lists of instances and some do not.
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.reader(file))
    if not rows or rows[0][:2] != ["id", "key"]:
        raise ManifestError(f"{path}: expected the columns id,key,...")
    found = {
        int(number_of(path, line, "id", row[0])): row[1]
        for line, row in enumerate(rows[1:], 2)
        if row
    }
    if sorted(found) != list(range(len(found))):
        raise ManifestError(f"{path}: ids do not count from 0 without gaps")
    return {number: found[number] for number in sorted(found)}


def _add(
    listing: Listing,
    table: pathlib.Path,
    split: str,
    verbs: dict[int, str],
    nouns: dict[int, str],
) -> None:
    for line, row in read_rows(epath.Path(table), _NEEDED, needed=_NEEDED):
        action, video = row["narration_id"], row["video_id"]
        try:
            start, stop = (
                seconds(row[f"{end}_timestamp"]) for end in ("start", "stop")
            )
        except ValueError as error:
            raise ManifestError(f"{table}, row {line}: {error}") from None
        numbers = [
            int(number_of(table, line, name, row[name]))
            for name in ("verb_class", "noun_class")
        ]
        if numbers[0] not in verbs or numbers[1] not in nouns:
            listing.leave_out(action, "its verb or noun is not in the table of classes")
            continue
        path = listing.find(action, [video], split=split)
        if path is None:
            continue
        if stop <= start:
            listing.leave_out(action, "ends before it begins")
            continue
        listing.add(
            EventClip(
                path=path,
                verb=verbs[numbers[0]],
                noun=nouns[numbers[1]],
                split=split,
                group=video,
                start_s=start,
                end_s=stop,
            )
        )
