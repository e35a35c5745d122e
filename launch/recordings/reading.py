"""Sound files that inputs name, and each as windows: no more than some in memory."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from etils import epath

from sigjax.data import audio, pcm_stream
from sigjax.data.wearable import plan
from sigjax.inference.sounds.rolling import REST, Rolling, Window

_BLOCK_S = 10.0
# Windows kept until they are scored together.
_MOST_WAITING = 32
_OTHER_AUDIO = (".mp3", ".m4a", ".aac", ".wma", ".opus", ".aif", ".aiff", ".w64")

# A stretch of a wave, float32 `[s]`, and the windows that it ends.
Stretch = tuple[np.ndarray, list[Window]]


class Found(NamedTuple):
    """What inputs name.

    Attributes:
      paths: WAV, FLAC and OGG files.
      unsupported: Path and reason of sounds of other kinds.
    """

    paths: list[str]
    unsupported: list[tuple[str, str]]


class Listener(Protocol):
    """What is shown all of a wave, such as `sigjax.evals.sound_strip.Strip`."""

    def feed(self, wave: np.ndarray, /) -> None:
        """Takes the next stretch of it, float32 `[s]`."""
        ...


def find(inputs: Sequence[str], output: str, start_time: str = "") -> Found:
    """The sound files that inputs name, but for those among the results.

    Args:
      inputs: Files and folders; these are searched with all that is below them.
      output: Folder of the results, which may lie among the files.
      start_time: When a recording began; empty for no clock.

    Raises:
      FileNotFoundError: An input does not exist.
      ValueError: A start time is given for several recordings.
    """
    results = plan.absolute(output).rstrip("/") + "/"
    found, others = [], []
    for where in inputs:
        path = epath.Path(where).expanduser()
        if not path.exists():
            raise FileNotFoundError(f"{where}: no such file or folder")
        if not path.is_dir():
            found.append(plan.absolute(where))
            continue
        for at, below, names in os.walk(path, followlinks=True):
            below[:] = sorted(name for name in below if not name.startswith("."))
            for name in sorted(name for name in names if not name.startswith(".")):
                own = plan.absolute(os.path.join(at, name))
                if audio.is_audio(name):
                    found.append(own)
                elif name.lower().endswith(_OTHER_AUDIO):
                    others.append((own, "is not WAV, FLAC or OGG: convert it"))
    paths = [p for p in dict.fromkeys(found) if not p.startswith(results)]
    if start_time and len(paths) > 1:
        raise ValueError(
            f"--start_time={start_time} is of one recording, there are"
            f" {len(paths)}: name one file"
        )
    return Found(paths, others)


def windows_of(
    path: str,
    *,
    rate_hz: int,
    channel: audio.Channel,
    window_s: float,
    hop_s: float,
    rest: float = REST,
) -> Iterator[Stretch]:
    """Reads a file block by block, of any rate.

    Args:
      path: WAV, FLAC or OGG.
      rate_hz: Of the windows.
      channel: Which, of several.
      window_s: Length of a window.
      hop_s: From one to the next.
      rest: See `Rolling`.

    Yields:
      A stretch of its wave, float32 `[s]` at `rate_hz`, and the windows that it ends.

    Raises:
      AudioError: The file is damaged, or has no such channel.
    """
    source_hz = audio.probe(path).rate_hz
    reader = pcm_stream.Channel(source_hz=source_hz, rate_hz=rate_hz, channel=channel)
    rolling = Rolling(
        rate_hz=rate_hz,
        source_hz=source_hz,
        window_s=window_s,
        hop_s=hop_s,
        rest=rest,
    )
    for frames in pcm_stream.file_blocks(path, block_s=_BLOCK_S):
        block = reader.feed(frames)
        yield block.wave, rolling.push(block)
    block = reader.close()
    yield block.wave, rolling.close(block)


def unfit(window: Window) -> str:
    """Why nothing can be heard in a window; empty if something can."""
    if window.damaged > 0.5:
        return "more than half of its samples are no numbers"
    return "no sound: every sample is the same" if window.constant else ""


def batches(
    stretches: Iterable[Stretch],
    listener: Listener,
    *,
    fit: Callable[[Window], bool] = lambda window: True,
) -> Iterator[list[Window]]:
    """Windows as they are scored together, some dozens at a time.

    Args:
      stretches: Of `windows_of`.
      listener: Is fed with all of the wave.
      fit: Whether a window is wanted.
    """
    waiting: list[Window] = []
    for wave, windows in stretches:
        listener.feed(wave)
        waiting += filter(fit, windows)
        if len(waiting) >= _MOST_WAITING:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
