"""Device files in, `Recording`s out: choosing a reader and finding what it reads.

To add a format: a file in this folder with a function `read_NAME(source, *, name,
options) -> Recording`, and one line in `FORMATS`.
"""

import fnmatch
from collections.abc import Callable
from typing import NamedTuple

from etils import epath

from sigjax.data.formats import (
    actigraph_csv,
    capture24,
    cwa,
    empatica,
    geneactiv,
    gt3x,
    npy_windows,
    table_csv,
)
from sigjax.data.formats.actigraph_csv import read_actigraph_csv
from sigjax.data.formats.capture24 import read_capture24
from sigjax.data.formats.cwa import read_cwa
from sigjax.data.formats.empatica import read_e4
from sigjax.data.formats.geneactiv import read_geneactiv
from sigjax.data.formats.gt3x import read_gt3x
from sigjax.data.formats.npy_windows import read_npy_windows
from sigjax.data.formats.options import (
    DEFAULT,
    CsvLayout,
    ReadOptions,
    with_time_zone,
)
from sigjax.data.formats.source import Source
from sigjax.data.formats.table_csv import read_table
from sigjax.data.recording import FormatError, Recording

__all__ = [
    "FORMATS",
    "CsvLayout",
    "ReadOptions",
    "find_recordings",
    "read_actigraph_csv",
    "read_capture24",
    "read_cwa",
    "read_e4",
    "read_geneactiv",
    "read_gt3x",
    "read_npy_windows",
    "read_recording",
    "read_table",
]


class Format(NamedTuple):
    """A line of the table.

    Attributes:
      name: As shown to users.
      recognises: Whether a file is of this format, by `Source.kind` (its name) and,
        only where that leaves doubt, `Source.head` (its content).
      read: The reader.
      members: Paths of the recordings in a file that holds many; see `Source.member`.
    """

    name: str
    recognises: Callable[[Source], bool]
    read: Callable[..., Recording]
    members: Callable[[Source], list[epath.Path]] | None = None


# In this order: the first that recognises a file reads it.
FORMATS = (
    Format("Axivity AX3 and AX6 (.cwa)", cwa.recognises, read_cwa),
    Format("GENEActiv (.bin)", geneactiv.recognises, read_geneactiv),
    Format("ActiGraph (.gt3x)", gt3x.recognises, read_gt3x),
    Format("ActiGraph (RAW CSV)", actigraph_csv.recognises, read_actigraph_csv),
    Format("Empatica E4 (ACC.csv)", empatica.recognises, read_e4),
    Format("Capture-24 (.csv.gz)", capture24.recognises, read_capture24),
    Format(
        "windows of ssl-wearables (X.npy)",
        npy_windows.recognises,
        read_npy_windows,
        npy_windows.members,
    ),
)

# What a `CsvLayout` claims: every text table that is in none of these.
_TABLE = Format(
    "text table, its columns named with --csv",
    lambda source: source.kind.endswith(".csv"),
    read_table,
)

# Files that hold, or could hold, raw device data: worth a word when not readable.
_RAW_SUFFIXES = (".cwa", ".bin", ".gt3x", ".csv", ".npy")


def read_recording(path: epath.PathLike, options: ReadOptions = DEFAULT) -> Recording:
    """Reads a device file of any supported kind, told by its name and content.

    Args:
      path: A local path or one in a bucket (`gs://`, `s3://`); `.gz` and `.zip` are
        unpacked on the way.
      options: What to keep beside acceleration, and what the file does not say.

    Raises:
      FormatError: If the type is not supported (the message lists those that are)
        or the file is not what its name says.
      FileNotFoundError: If there is no such file.
    """
    source = Source(path)
    found = _format(source, options)
    if isinstance(found, str):
        supported = "; ".join(f.name for f in FORMATS)
        raise FormatError(f"{path}: {found}; supported: {supported}")
    recording = found.read(source, options=options)
    return with_time_zone(recording, options.tz)


def find_recordings(
    where: epath.PathLike, options: ReadOptions = DEFAULT
) -> tuple[list[epath.Path], list[tuple[epath.Path, str]]]:
    """Finds the device files in a folder and below, in a glob, or one file.

    Args:
      where: A file, a folder (searched recursively), or a pattern with `*`, `?` or
        `[` whose folder part before the first of these exists. `*` also crosses
        folders.
      options: As they will be read with: a `csv` layout claims every `.csv` that is
        in no device's format and has its columns.

    Returns:
      Readable paths, sorted (of a file that holds many recordings, `FILE/MEMBER` for
      each), and `(path, reason)` of the files that look like raw
      data but cannot be read. Other files are not mentioned.

    Raises:
      FileNotFoundError: If `where` does not exist or the pattern matches nothing.
    """
    readable, skipped = [], []
    for path in sorted(_candidates(epath.Path(where)), key=str):
        source = Source(path)
        if npy_windows.is_beside_windows(path):
            continue
        found = _format(source, options)
        if isinstance(found, str):
            if source.kind.endswith(_RAW_SUFFIXES):
                skipped.append((path, found))
        elif found.members is None or source.member:
            readable.append(path)
        else:
            readable += found.members(source)
    return readable, skipped


def _format(source: Source, options: ReadOptions) -> Format | str:
    """The format of a file, or why it has none."""
    try:
        for known in FORMATS:
            if known.recognises(source):
                return known
        if options.csv is not None and _TABLE.recognises(source):
            # Beside recordings often lie tables of other things.
            table_csv.check_columns(source, options.csv)
            return _TABLE
        if not source.kind.endswith(".csv"):
            if source.kind.endswith(_RAW_SUFFIXES):
                return f"no known device writes this ({source.head[:16]!r})"
            suffix = epath.Path(source.kind).suffix or "(no extension)"
            return f"files of type {suffix} are not supported"
        first = source.first_rows[0].strip()[:60] if source.first_rows else ""
    except FormatError as error:
        return str(error).removeprefix(f"{source.name}: ")
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        return f"cannot be opened: {error.strerror or error}"
    return (
        f"CSV in a layout that is not supported (starts with {first!r}); "
        "name its columns with --csv"
    )


def _candidates(where: epath.Path) -> list[epath.Path]:
    if where.is_dir():
        return _files_below(where)
    file = Source(where).path
    if file is not None and file.exists():
        return [where]
    text = str(where)
    wild = min((text.find(char) for char in "*?[" if char in text), default=-1)
    if wild >= 0:
        root = epath.Path(text[:wild].rpartition("/")[0] or ".")
        pattern = text if "/" in text[:wild] else f"./{text}"
        files = _files_below(root) if root.is_dir() else []
        prefix = "" if str(root) != "." else "./"
        found = [f for f in files if fnmatch.fnmatchcase(f"{prefix}{f}", pattern)]
        if found:
            return found
    raise FileNotFoundError(
        f"{where}: no such file or folder, and no file matches it as a pattern"
    )


def _files_below(folder: epath.Path) -> list[epath.Path]:
    return [root / name for root, _, names in folder.walk() for name in names]
