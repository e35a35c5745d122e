"""Audio files of a folder, and how to find one by its name."""

import os
import pathlib

from sigjax.data import audio


def audio_files(root: pathlib.Path) -> tuple[list[str], int]:
    """WAV, FLAC and OGG files below a folder, hidden ones left out.

    Returns:
      Relative paths with forward slashes, sorted; and how many other files there are.
    """
    found, others = [], 0
    for at, below, files in os.walk(root, followlinks=True):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in files:
            if name.startswith("."):
                continue
            if audio.is_audio(name):
                found.append(pathlib.Path(at, name).relative_to(root).as_posix())
            else:
                others += 1
    return sorted(found), others
