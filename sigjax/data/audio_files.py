"""Audio files of a folder, and how to find one by its name."""

import collections
import os
import pathlib
from collections.abc import Iterable, Sequence

from sigjax.data import audio


def audio_files(root: pathlib.Path) -> tuple[list[str], list[str]]:
    """WAV, FLAC and OGG files below a folder, hidden ones left out.

    Returns:
      Relative paths with forward slashes, sorted; and those of all other files.
    """
    found: list[str] = []
    others: list[str] = []
    for at, below, files in os.walk(root, followlinks=True):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in files:
            if name.startswith("."):
                continue
            path = pathlib.Path(at, name).relative_to(root).as_posix()
            (found if audio.is_audio(name) else others).append(path)
    return sorted(found), sorted(others)


class AudioIndex:
    """Audio files of a folder by their names without suffix, wherever they lie in it.

    Attributes:
      paths: Relative paths with forward slashes, sorted.
      others: Those of all other files.
    """

    def __init__(self, root: pathlib.Path):
        """Lists the folder."""
        self.paths, self.others = audio_files(root)
        self._by_stem: dict[str, list[str]] = collections.defaultdict(list)
        for path in self.paths:
            self._by_stem[pathlib.PurePosixPath(path).stem].append(path)

    def find(self, stems: Iterable[str], below: Sequence[str] = ()) -> list[str]:
        """Files of the first of several names that there is.

        Args:
          stems: Names without suffix, the likeliest first.
          below: Names of folders: where there are several files of one name, those in
            such a folder come first.

        Returns:
          Relative paths; none if there is no such file.
        """
        for stem in stems:
            if found := self._by_stem.get(stem):
                return sorted(found, key=lambda path: not _in(path, below))
        return []


def _in(path: str, folders: Sequence[str]) -> bool:
    parts = pathlib.PurePosixPath(path).parts[:-1]
    return any(folder in parts for folder in folders)
