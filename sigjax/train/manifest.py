"""Sizes and checksums of a checkpoint's files, to tell a damaged one before reading.

Orbax notices a file that is missing or short, but a flipped bit inside an array comes
back as a wrong number without a word. So a list of all files is written into every
checkpoint before it gets its name, and read before the checkpoint is.
"""

import json
import zlib
from collections.abc import Iterator
from typing import Any

from etils import epath

NAME = "files.json"
_CHUNK = 1 << 22


def write(directory: epath.Path) -> None:
    """Lists the files in the folders of `directory` in its `files.json`.

    Files directly in `directory` are left out: they hold no data, and Orbax still
    rewrites them while it commits.
    """
    text = json.dumps({name: _describe(path) for name, path in _files(directory)})
    (directory / NAME).write_text(text)


def find_damage(directory: epath.Path) -> str | None:
    """The first file that is not as it was written and how, or None if all are."""
    try:
        expected = json.loads((directory / NAME).read_text())
    except (OSError, ValueError) as error:
        return f"{NAME} cannot be read ({error})"
    found = dict(_files(directory))
    for name, wanted in expected.items():
        if name not in found:
            return f"{name} is missing"
        now = _describe(found[name])
        if now["bytes"] != wanted["bytes"]:
            return f"{name} has {now['bytes']} bytes instead of {wanted['bytes']}"
        if now != wanted:
            return f"{name} does not match its checksum"
    return None


def _describe(path: epath.Path) -> dict[str, Any]:
    size = checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            size += len(chunk)
            checksum = zlib.crc32(chunk, checksum)
    return {"bytes": size, "crc32": f"{checksum:08x}"}


def _files(directory: epath.Path) -> Iterator[tuple[str, epath.Path]]:
    for folder in sorted(directory.iterdir()):
        if folder.is_dir():
            yield from _below(folder, folder.name)


def _below(folder: epath.Path, name: str) -> Iterator[tuple[str, epath.Path]]:
    for path in sorted(folder.iterdir()):
        inner = f"{name}/{path.name}"
        if path.is_dir():
            yield from _below(path, inner)
        else:
            yield inner, path
