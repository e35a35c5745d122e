"""VGGSound as it is published (Chen et al. 2020).

    vggsound.csv, without header: YouTube id, start in seconds, label, train or test
        glLQrEijrKg,300,playing hammond organ,test

The sound is fetched by everybody for themselves; files are called `ID_000300`, the
start with six digits. Also known are `ID_300`, `ID_300_310`, `ID_300000_310000`
(milliseconds), and `ID` alone, with or without `Y` in front. A file is taken for the
segment itself.
"""

from etils import epath

from sigjax.data.audio_events.clips import (
    EventClip,
    EventManifest,
    ManifestError,
    Report,
)
from sigjax.data.audio_events.listing import Listing, number_of, plain_rows

_LENGTH_S = 10
_SPLITS = ("train", "test")


def scan(root: epath.PathLike) -> tuple[EventManifest, Report]:
    """Lists the clips of a folder that holds `vggsound.csv` and sound.

    Classes are all of the table, in alphabetical order, whether there is sound or not.

    Returns:
      Clips of the splits `"train"` and `"test"`, and what was left out.

    Raises:
      ManifestError: The table is missing or wrong, or there is no audio.
      FileNotFoundError: There is no such folder.
    """
    listing = Listing(root)
    table = listing.table("vggsound.csv", what="the table of VGGSound is needed")
    names: set[str] = set()
    for line, row in plain_rows(table):
        if line == 1 and len(row) > 1 and not row[1].replace(".", "", 1).isdigit():
            continue  # A header that somebody added.
        if len(row) != 4 or row[3] not in _SPLITS:
            raise ManifestError(
                f"{table}, row {line}: {','.join(row)[:80]!r} is not an id, a start, a"
                " label and train or test"
            )
        video, label, split = row[0], row[2], row[3]
        start = int(number_of(table, line, "start", row[1]))
        names.add(label)
        endings = (
            f"_{start:06d}",
            f"_{start}_{start + _LENGTH_S}",
            f"_{start * 1000}_{(start + _LENGTH_S) * 1000}",
            f"_{start}",
            "",
        )
        stems = [f"{y}{video}{ending}" for ending in endings for y in ("", "Y")]
        path = listing.find(f"{video}_{start:06d}", stems, split=split, below=(split,))
        if path is not None:
            listing.add(EventClip(path=path, labels=(label,), split=split, group=video))
    return listing.finished("single", {"label": tuple(sorted(names))})
