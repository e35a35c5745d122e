"""AudioSet as it is published: tables of segments, and sound that others fetched.

    balanced_train_segments.csv, unbalanced_train_segments.csv, eval_segments.csv
        # Segments csv created Sun Mar  5 10:54:31 2017
        # num_ytids=22160, ...
        # YTID, start_seconds, end_seconds, positive_labels
        --PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"
    class_labels_indices.csv
        index,mid,display_name
        0,/m/09x0r,"Speech"

Google publishes no sound; whoever fetched it named the files. Known are `YTID`, with
the start (`YTID_30.000`, `YTID_30`, `YTID_000030`), with start and end in seconds or
milliseconds (`YTID_30.000_40.000`, `YTID_30_40`, `YTID_30000_40000`), all with or
without a `Y` in front, in any folders. A file is taken for the segment itself; where
whole videos were kept, say so. (Gemmeke et al., "Audio Set: an ontology and
human-labeled dataset for audio events", 2017.)
"""

import csv
import pathlib

from etils import epath

from sigjax.data.audio_events.clips import (
    Classes,
    EventClip,
    EventManifest,
    ManifestError,
    Report,
)
from sigjax.data.audio_events.listing import Listing, number_of, plain_rows

# Split of each table.
TABLES = {
    "balanced_train_segments.csv": "balanced",
    "unbalanced_train_segments.csv": "unbalanced",
    "eval_segments.csv": "eval",
}
_FOLDERS = {
    "balanced": ("balanced_train_segments", "balanced_train", "bal_train", "balanced"),
    "unbalanced": ("unbalanced_train_segments", "unbalanced_train", "unbalanced"),
    "eval": ("eval_segments", "eval", "evaluation", "test"),
}


def scan(
    root: epath.PathLike, *, whole_videos: bool = False
) -> tuple[EventManifest, Report]:
    """Lists the clips of a folder that holds tables and sound.

    Labels are the display names, in the order of `class_labels_indices.csv`. A label
    that it does not have is counted, and a clip without any other left out.

    Args:
      root: Looked through with all folders in it.
      whole_videos: Whether files named by the video alone are the whole sound of it,
        to be cut; else they are the segment.

    Returns:
      Clips of the splits `"balanced"`, `"unbalanced"` and `"eval"`, as far as their
      tables are there, and what was left out.

    Raises:
      ManifestError: Tables are missing or wrong, or there is no audio.
      FileNotFoundError: There is no such folder.
    """
    listing = Listing(root)
    names = _names(
        listing.table(
            "class_labels_indices.csv", what="AudioSet's table of classes is needed"
        )
    )
    tables = [t for t in listing.tables("*_segments.csv") if t.name in TABLES]
    if not tables:
        raise ManifestError(
            f"{listing.root}: none of {', '.join(TABLES)} is in it: AudioSet's tables"
            " of segments are needed"
        )
    for table in tables:
        _add(listing, table, TABLES[table.name], names, whole_videos)
    classes: Classes = {"target": tuple(names.values())}
    return listing.finished("multi", classes)


def _names(path: pathlib.Path) -> dict[str, str]:
    """Display names by machine identifier, in the order of their numbers."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"index", "mid", "display_name"} <= rows[0].keys():
        raise ManifestError(f"{path}: expected the columns index,mid,display_name")
    numbers = [
        int(number_of(path, n + 2, "index", r["index"])) for n, r in enumerate(rows)
    ]
    if sorted(numbers) != list(range(len(rows))):
        raise ManifestError(f"{path}: the index does not count from 0 without gaps")
    ordered = sorted(zip(numbers, rows, strict=True), key=lambda pair: pair[0])
    return {row["mid"]: row["display_name"] for _, row in ordered}


def _add(
    listing: Listing,
    table: pathlib.Path,
    split: str,
    names: dict[str, str],
    whole_videos: bool,
) -> None:
    for line, row in plain_rows(table):
        if len(row) != 4:
            raise ManifestError(
                f"{table}, row {line}: {len(row)} values, not YTID, start_seconds,"
                " end_seconds and quoted labels"
            )
        video = row[0]
        start = number_of(table, line, "start_seconds", row[1])
        end = number_of(table, line, "end_seconds", row[2])
        mids = dict.fromkeys(mid.strip() for mid in row[3].split(",") if mid.strip())
        known = tuple(names[mid] for mid in mids if mid in names)
        if len(known) < len(mids):
            listing.counts["labels that are not in the table of classes"] += len(
                mids
            ) - len(known)
        if not known:
            listing.leave_out(video, "none of its labels is in the table of classes")
            continue
        path = listing.find(
            video, _stems(video, start, end), split=split, below=_FOLDERS[split]
        )
        if path is None:
            continue
        stem = pathlib.PurePosixPath(path).stem
        cut = whole_videos and stem in (video, f"Y{video}")
        listing.add(
            EventClip(
                path=path,
                labels=known,
                split=split,
                group=video,
                start_s=start if cut else 0.0,
                end_s=end if cut else None,
            )
        )


def _stems(video: str, start: float, end: float) -> list[str]:
    first, last = round(start * 1000), round(end * 1000)
    endings = [
        f"_{first}_{last}",
        f"_{start:.3f}_{end:.3f}",
        f"_{start:g}_{end:g}",
        f"_{start:.1f}_{end:.1f}",
        f"_{int(start):06d}_{int(end):06d}",
        f"_{start:.3f}",
        f"_{start:.1f}",
        f"_{int(start):06d}",
        f"_{start:g}",
        "",
    ]
    return [f"{y}{video}{ending}" for ending in endings for y in ("", "Y")]
