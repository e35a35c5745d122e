"""Device files in, `Recording`s out: choosing a reader and finding what it reads."""

import fnmatch

from etils import epath

from sigjax.data.formats.cwa import read_cwa
from sigjax.data.formats.empatica import parse_header, read_e4
from sigjax.data.recording import FormatError, Recording

__all__ = ["SUPPORTED", "find_recordings", "read_cwa", "read_e4", "read_recording"]

# What `read_recording` accepts, as shown to users.
SUPPORTED = (
    "Axivity AX3 and AX6 (.cwa)",
    "Empatica E4 accelerometer (ACC.csv)",
)

_READERS = {"cwa": read_cwa, "e4": read_e4}

# Files that hold, or could hold, raw device data: worth a word when not readable.
_RAW_SUFFIXES = (".cwa", ".bin", ".gt3x", ".csv")
_COMPRESSED = (".gz", ".zip")
_SNIFF_BYTES = 512


def read_recording(path: epath.PathLike) -> Recording:
    """Reads a device file of any supported kind, told by its name and content.

    Args:
      path: A local path or one in a bucket (`gs://`, `s3://`).

    Raises:
      FormatError: If the type is not supported (the message lists those that are)
        or the file is not what its name says.
      FileNotFoundError: If there is no such file.
    """
    path = epath.Path(path)
    kind, reason = _kind(path)
    if kind is None:
        raise FormatError(f"{path}: {reason}; supported: {'; '.join(SUPPORTED)}")
    return _READERS[kind](path)


def find_recordings(
    where: epath.PathLike,
) -> tuple[list[epath.Path], list[tuple[epath.Path, str]]]:
    """Finds the device files in a folder and below, in a glob, or one file.

    Args:
      where: A file, a folder (searched recursively), or a pattern with `*`, `?` or
        `[` whose folder part before the first of these exists. `*` also crosses
        folders.

    Returns:
      Readable paths, sorted, and `(path, reason)` of the files that look like raw
      data but cannot be read. Other files are not mentioned.

    Raises:
      FileNotFoundError: If `where` does not exist or the pattern matches nothing.
    """
    readable, skipped = [], []
    for path in sorted(_candidates(epath.Path(where)), key=str):
        kind, reason = _kind(path)
        if kind is not None:
            readable.append(path)
        elif _looks_raw(path):
            skipped.append((path, reason))
    return readable, skipped


def _candidates(where: epath.Path) -> list[epath.Path]:
    if where.is_dir():
        return _files_below(where)
    if where.exists():
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


def _looks_raw(path: epath.Path) -> bool:
    name = path.name.lower()
    for ending in _COMPRESSED:
        name = name.removesuffix(ending)
    return name.endswith(_RAW_SUFFIXES)


def _kind(path: epath.Path) -> tuple[str | None, str]:
    """A key of `_READERS`, or None and the reason."""
    suffix = path.suffix.lower()
    if suffix == ".cwa":
        return "cwa", ""
    if suffix in _COMPRESSED:
        return None, "compressed; unpack it first"
    if suffix != ".csv":
        return None, f"files of type {suffix or '(no extension)'} are not supported"
    head = _head(path)
    rows = head.decode("utf-8-sig", errors="replace").split("\n", 2)
    if len(rows) > 1 and parse_header(rows[0], rows[1]) is not None:
        return "e4", ""
    first = rows[0].strip()[:60]
    return None, f"CSV in a layout that is not supported (starts with {first!r})"


def _head(path: epath.Path) -> bytes:
    with path.open("rb") as handle:
        return handle.read(_SNIFF_BYTES)
