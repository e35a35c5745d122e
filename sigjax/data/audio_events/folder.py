"""Any folder of audio files whose folders are called as their classes, or a manifest.

train/dog bark/1.wav        a split may be above
fold1/dog bark/1.wav        and so may a fold
"""

import pathlib
import re

from etils import epath

from sigjax.data.audio_events.clips import (
    EventClip,
    EventManifest,
    ManifestError,
    Report,
    read_manifest,
)
from sigjax.data.audio_events.listing import Listing

_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "validation"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}
_FOLD = re.compile(r"fold[ _-]?(\d+)", re.IGNORECASE)


def scan(root: epath.PathLike) -> tuple[EventManifest, Report]:
    """Lists audio files; the folder that a file lies in is its class.

    Returns:
      Clips by path, classes in alphabetical order, and what was left out: files that
      lie in no folder, or in one that is a split or fold.

    Raises:
      ManifestError: There is no audio, or no file lies in a folder of a class.
      FileNotFoundError: There is no such folder.
    """
    listing = Listing(root)
    labels: set[str] = set()
    for path in listing.files.paths:
        folders = pathlib.PurePosixPath(path).parts[:-1]
        folds = [int(m[1]) for part in folders if (m := _FOLD.fullmatch(part))]
        splits = [_SPLITS[f.lower()] for f in folders if f.lower() in _SPLITS]
        own = [
            f for f in folders if f.lower() not in _SPLITS and not _FOLD.fullmatch(f)
        ]
        if not own:
            continue
        labels.add(own[-1])
        listing.add(
            EventClip(
                path=path,
                labels=(own[-1],),
                split=splits[-1] if splits else "train",
                fold=folds[-1] if folds else 0,
            )
        )
    return listing.finished("single", {"label": tuple(sorted(labels))})


def scan_manifest(
    root: epath.PathLike,
    manifest: epath.PathLike,
    *,
    multi_label: bool | None = None,
) -> tuple[EventManifest, Report]:
    """Lists the clips of a manifest whose paths are relative to a folder.

    Args:
      root: The folder.
      manifest: CSV; see `clips.read_manifest`.
      multi_label: See `clips.read_manifest`.

    Raises:
      ManifestError: The manifest is wrong, or there is no audio.
      FileNotFoundError: There is no such folder or manifest.
    """
    given = read_manifest(manifest, root, multi_label=multi_label)
    listing = Listing(root)
    there = set(listing.files.paths)
    absent = 0
    for clip in given.clips:
        if clip.path in there:
            listing.add(clip)
        else:
            absent += 1
            listing.leave_out(clip.path, "no such audio file below the folder")
    if absent == len(given.clips):
        raise ManifestError(
            f"{manifest}: none of its {absent} files is in {root}, the first is"
            f" {given.clips[0].path if absent else 'none'}; paths are relative to the"
            " folder that is given"
        )
    return listing.finished(given.kind, given.classes)
