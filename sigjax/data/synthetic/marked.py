"""Folders of simulated files: marked as such, never half written, never mixed up."""

import io
from collections.abc import Iterable

import numpy as np
from etils import epath

MARKER = "SIMULATED.txt"


def claim(folder: epath.Path, note: str, contents: Iterable[str]) -> None:
    """Writes SIMULATED.txt unless the folder holds something else.

    Args:
      folder: Made if it is not there.
      note: What the files are and all that they depend on.
      contents: Names that a simulation writes into the folder.

    Raises:
      FileExistsError: Some are there that are not of this simulation.
    """
    marker = folder / MARKER
    if marker.exists() and marker.read_text() == note:
        return
    there = (folder / name for name in (*contents, MARKER))
    if any(path.exists() for path in there):
        raise FileExistsError(
            f"{folder} holds sounds that are not of this simulation; choose an empty"
            " folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    replace(marker, note.encode())


def replace(path: epath.Path, content: bytes) -> None:
    """Writes a file that is never seen half written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".tmp")
    partial.write_bytes(content)
    partial.replace(path)


def write_wav(path: epath.Path, wave: np.ndarray, rate_hz: int) -> None:
    """Writes int16 `[s]` as a WAV file."""
    import soundfile  # where a command would otherwise pay for it

    file = io.BytesIO()
    soundfile.write(file, wave, rate_hz, format="WAV", subtype="PCM_16")
    replace(path, file.getvalue())
