"""ESC-10 for the study: clips of five folds in memory, with nothing learned yet."""

import dataclasses
import hashlib
import pathlib

import numpy as np
from etils import epath

from sigjax.data import audio
from sigjax.data.audio_events.esc import scan_esc10, scan_esc50
from sigjax.data.segments import fitted

RATE_HZ, CLIP_S, FOLDS = 16_000, 5.0, 5


class StudyError(ValueError):
    """The data are not those that the study is of; says what is missing."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class EventClips:
    """Clips with folds.

    Attributes:
      path: Files.
      name: Names of the classes.
      label: Int32 `[n]`, of `name`.
      fold: Int `[n]`, from 1.
      source: Text `[n]`, recordings that clips were cut from; none crosses folds.
      wave: Int16 `[n s]` at 16 kHz, cut or repeated to 5 s.
      fingerprint: Of all of this.
    """

    path: tuple[str, ...]
    name: tuple[str, ...]
    label: np.ndarray
    fold: np.ndarray
    source: np.ndarray
    wave: np.ndarray
    fingerprint: str

    def __len__(self) -> int:
        """How many clips there are."""
        return len(self.path)


def read_esc10(folder: epath.PathLike) -> EventClips:
    """Reads ESC-10, as it was first published or as a part of ESC-50.

    Args:
      folder: That of the set, or one above it in which it is called `esc10`.

    Raises:
      StudyError: It has no five folds.
      sigjax.data.clips.ManifestError: It is not there.
      FileNotFoundError: There is no such folder.
    """
    given = pathlib.Path(folder).expanduser()
    root = given / "esc10" if (given / "esc10").is_dir() else given
    if any(root.rglob("esc50.csv")):
        manifest, _ = scan_esc50(root, esc10=True)
    else:
        manifest, _ = scan_esc10(root)
    names, clips = manifest.classes["label"], manifest.clips
    folds = np.array([clip.fold for clip in clips])
    if sorted(set(folds.tolist())) != list(range(1, FOLDS + 1)):
        raise StudyError(
            f"{root}: {len(clips)} clips of folds {sorted(set(folds.tolist()))};"
            f" ESC-10 has folds 1 to {FOLDS}"
        )
    paths = [pathlib.Path(manifest.root) / clip.path for clip in clips]
    samples = round(CLIP_S * RATE_HZ)
    waves = [audio.read(path, rate_hz=RATE_HZ, channel="mean")[0] for path in paths]
    cut = np.stack([fitted(wave, 0, samples) for wave in waves])
    wave = np.clip(np.round(cut * 32768), -32768, 32767).astype(np.int16)
    label = np.array([names.index(clip.labels[0]) for clip in clips], np.int32)
    digest = hashlib.blake2b(wave.tobytes(), digest_size=8)
    digest.update(repr((names, label.tolist(), folds.tolist())).encode())
    return EventClips(
        path=tuple(map(str, paths)),
        name=names,
        label=label,
        fold=folds,
        source=np.array([clip.source for clip in clips]),
        wave=wave,
        fingerprint=digest.hexdigest(),
    )
