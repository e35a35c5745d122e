"""The recordings of the study on real sound, read and cut, with nothing learned yet."""

import dataclasses
import pathlib
from typing import NamedTuple

import numpy as np
from etils import epath

from sigjax.data import audio
from sigjax.data.machine_sound.clips import Clip
from sigjax.data.machine_sound.folder import folder_manifest
from sigjax.data.segments import fitted

RATE_HZ = 16_000
_RMS = 0.1  # Of what is normalised: far from the floor of the logarithm.
_MOTOR_S, _SEGMENT_S, _CLIP_S = 10.0, 1.0, 5.0


class StudyError(ValueError):
    """The data are not those that the study is of; says what is missing."""


class Recording(NamedTuple):
    """A file.

    Attributes:
      path: Below the folder.
      machine: Motor, or class of sound.
      fault: Whether it is of a motor with a fault.
      group: Recordings of one source.
      fold: Of ESC-10; 0 elsewhere.
      wave: Float32 `[s]` as recorded, of one channel at 16 kHz.
    """

    path: str
    machine: str
    fault: bool
    group: str
    fold: int
    wave: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Sounds:
    """Equally long sounds of some recordings.

    Attributes:
      recordings: Their files.
      wave: Float32 `[n s]`, each of the same root mean square.
      raw: Float32 `[n s]`, as loud as recorded.
      row: Int `[n]`, which recording each is of.
    """

    recordings: tuple[Recording, ...]
    wave: np.ndarray
    raw: np.ndarray
    row: np.ndarray

    def mean(self, value: np.ndarray) -> np.ndarray:
        """Means over the sounds of each recording, float64 `[recordings]`."""
        total = np.bincount(self.row, weights=value, minlength=len(self.recordings))
        return total / np.bincount(self.row, minlength=len(self.recordings))


def motors(folder: epath.PathLike) -> tuple[Sounds, Sounds]:
    """The brushless motors M1 to M3, healthy and with a propeller fault.

    Args:
      folder: That of the data set, or one above it.

    Returns:
      Their first 10 s, and these in segments of 1 s, ten of each recording.

    Raises:
      StudyError: They are not there, or shorter.
    """
    root = _below(folder, "bldc_motor_audio", "Healthy")
    manifest, _ = folder_manifest(
        root,
        machine="motor",
        pattern=r"(?P<condition>\w+)/(?P<section>M\d)/(?P<rpm>\d+)",
        anomaly=("propeller", "bearing"),
    )
    # The fault of the bearing was recorded of one motor, which has no healthy sound.
    kept = [clip for clip in manifest.clips if not clip.path.startswith("Bearing")]
    recordings = tuple(
        _recording(root, clip, clip.section, group=clip.path) for clip in kept
    )
    samples = round(_MOTOR_S * RATE_HZ)
    for recording in recordings:
        if len(recording.wave) < samples:
            raise StudyError(f"{root / recording.path}: shorter than {_MOTOR_S:g} s")
    whole = _sounds(recordings, np.stack([r.wave[:samples] for r in recordings]))
    return whole, _sounds(
        recordings, whole.raw.reshape(-1, round(_SEGMENT_S * RATE_HZ))
    )


def environment(folder: epath.PathLike) -> Sounds:
    """ESC-10: 400 clips, cut or repeated to 5 s.

    Raises:
      StudyError: They are not there.
    """
    root = _below(folder, "esc10", "001 - Dog bark")
    manifest, _ = folder_manifest(
        root,
        machine="sound",
        pattern=r"\d+ - (?P<section>[^/]+)/(?P<fold>\d)-(?P<source>\d+)-\w+\.ogg",
    )
    recordings = tuple(
        _recording(
            *(root, clip, clip.section),
            group=clip.attributes["source"],
            fold=int(clip.attributes["fold"]),
        )
        for clip in manifest.clips
    )
    samples = round(_CLIP_S * RATE_HZ)
    return _sounds(
        recordings, np.stack([fitted(r.wave, 0, samples) for r in recordings])
    )


def normalised(raw: np.ndarray) -> np.ndarray:
    """Float32 `[... s]`, each wave of the same root mean square; silence stays."""
    rms = np.sqrt(np.mean(np.square(raw, dtype=np.float64), axis=-1, keepdims=True))
    return (raw * (_RMS / np.where(rms > 0, rms, 1))).astype(np.float32)


def _sounds(recordings: tuple[Recording, ...], raw: np.ndarray) -> Sounds:
    row = np.repeat(np.arange(len(recordings)), len(raw) // len(recordings))
    return Sounds(recordings=recordings, wave=normalised(raw), raw=raw, row=row)


def _recording(
    root: pathlib.Path, clip: Clip, machine: str, *, group: str, fold: int = 0
) -> Recording:
    wave, _ = audio.read(root / clip.path, rate_hz=RATE_HZ, channel="mean")
    return Recording(clip.path, machine, clip.label == 1, group, fold, wave)


def _below(folder: epath.PathLike, name: str, known: str) -> pathlib.Path:
    """The folder that holds `known`: the one given, or in it or in `name`."""
    given = pathlib.Path(folder).expanduser()
    tried = [given, given / "dataset", given / name, given / name / "dataset"]
    for path in tried:
        if (path / known).is_dir():
            return path
    places = ", ".join(map(str, tried))
    raise StudyError(f"no folder '{known}' in any of {places}: give --data={name}'s")
