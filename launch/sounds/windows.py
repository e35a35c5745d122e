"""Normal sound to fit on: which windows of which files, and what is left out."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tqdm

from sigjax.data import audio
from sigjax.data.machine_sound.clips import Clip, LeftOut
from sigjax.data.machine_sound.folder import folder_manifest
from sigjax.data.machine_sound.names import ANOMALY


class Place(NamedTuple):
    """A window of a file.

    Attributes:
      path: The file.
      start_s: Where it begins.
      duration_s: Its length.
    """

    path: pathlib.Path
    start_s: float
    duration_s: float


class Found(NamedTuple):
    """What was read.

    Attributes:
      waves: Float32 `[s]`, one for each file: its windows one after another.
      left_out: Files and windows that are not used, and why.
      unused_s: Seconds beyond the limit that were not read.
      rates_hz: Sampling rates of the files.
      channels: Most channels that a file has.
    """

    waves: list[np.ndarray]
    left_out: list[LeftOut]
    unused_s: float
    rates_hz: tuple[int, ...]
    channels: int


def read_windows(
    given: pathlib.Path,
    *,
    machine: str,
    window_s: float,
    rate_hz: int,
    channel: audio.Channel = 0,
    minutes: float | None = None,
) -> Found:
    """Reads windows that do not overlap, of one file or of all files in a folder.

    Args:
      given: File or folder. In a folder, files under one that is called fault, anomaly
        or the like are left out; see `folder_manifest`.
      machine: For messages.
      window_s: Length of a window. A shorter file is one window.
      rate_hz: To resample to.
      channel: Of files with several.
      minutes: At most so much sound, spread evenly over all there is.

    Raises:
      sigjax.data.machine_sound.clips.ManifestError: There is no audio in the folder.
      FileNotFoundError: There is no such file or folder.
    """
    root, clips, left_out = _listed(given, machine)
    places: list[Place] = []
    rates, channels = {}, 0
    for clip in clips:
        path = root / clip.path
        try:
            info = audio.probe(path)
        except audio.AudioError as error:
            left_out.append(_reason(clip.path, path, error))
            continue
        rates[info.rate_hz] = None
        channels = max(channels, info.channels)
        whole = max(1, int(info.duration_s / window_s + 1e-6))
        length_s = min(window_s, info.duration_s)
        places += [Place(path, i * window_s, length_s) for i in range(whole)]
    used = _spread(places, window_s, minutes)
    unused_s = sum(p.duration_s for p in places) - sum(p.duration_s for p in used)
    by_file: dict[pathlib.Path, list[np.ndarray]] = {}
    for place in tqdm.tqdm(used, desc=machine, unit="window", leave=False):
        try:
            wave, _ = audio.read(
                place.path,
                start_s=place.start_s,
                duration_s=place.duration_s,
                rate_hz=rate_hz,
                channel=channel,
            )
        except audio.AudioError as error:
            name = f"{place.path.name} at {place.start_s:g} s"
            left_out.append(_reason(name, place.path, error))
            continue
        by_file.setdefault(place.path, []).append(wave)
    waves = [np.concatenate(windows) for windows in by_file.values()]
    return Found(waves, left_out, unused_s, tuple(rates), channels)


def _listed(
    given: pathlib.Path, machine: str
) -> tuple[pathlib.Path, Sequence[Clip], list[LeftOut]]:
    """Folder, its clips and what is none."""
    if not given.is_dir():
        clip = Clip(path=given.name, machine=machine, section="00", side="train")
        return given.parent, [clip], []
    manifest, report = folder_manifest(given, machine=machine)
    left_out = list(report.left_out)
    clips = []
    for clip in manifest.clips:
        if clip.label == ANOMALY:
            left_out.append(LeftOut(clip.path, "its folder says that it is an anomaly"))
        else:
            clips.append(clip)
    return pathlib.Path(manifest.root), clips, left_out


def _reason(name: str, path: pathlib.Path, error: Exception) -> LeftOut:
    return LeftOut(name, str(error).removeprefix(f"{path}: "))


def _spread(places: list[Place], window_s: float, minutes: float | None) -> list[Place]:
    """As many as the limit allows, evenly over all."""
    if minutes is None:
        return places
    most = max(1, int(60 * minutes / window_s + 1e-6))
    if len(places) <= most:
        return places
    chosen = np.linspace(0, len(places) - 1, most).round().astype(np.int64)
    return [places[i] for i in chosen]
