"""Reads the clips of a manifest as 16-bit sound of one rate, several at once."""

import collections
import concurrent.futures
import dataclasses
import hashlib
import itertools
from collections.abc import Iterable, Iterator

import numpy as np
from etils import epath

from sigjax.data import audio
from sigjax.data.clips import Stretch


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Sound:
    """A clip that was read.

    Attributes:
      clip: Which.
      wave: Int16 `[s]`; empty if it could not be read.
      at_limit: Samples at the ends of the 16-bit range; see `audio.to_int16`.
      file_rate_hz: Rate of its file; 0 if it could not be read.
      channels: Channels of its file.
      silent: Whether all samples are alike: a microphone that was off.
      digest: Short hash of the wave.
      reason: Why it could not be read, or `""`.
    """

    clip: Stretch
    wave: np.ndarray
    at_limit: int = 0
    file_rate_hz: int = 0
    channels: int = 0
    silent: bool = False
    digest: str = ""
    reason: str = ""


def read_clip(
    root: epath.PathLike, clip: Stretch, *, rate_hz: int, channel: audio.Channel
) -> Sound:
    """Reads a clip; what cannot be read is returned with its reason."""
    path = epath.Path(root) / clip.path
    duration_s = None if clip.end_s is None else clip.end_s - clip.start_s
    try:
        info = audio.probe(path)
        wave, _ = audio.read(
            path,
            start_s=clip.start_s,
            duration_s=duration_s,
            rate_hz=rate_hz,
            channel=channel,
        )
    except (audio.AudioError, OSError) as error:
        reason = str(error).removeprefix(f"{path}: ")
        return Sound(clip=clip, wave=np.zeros(0, np.int16), reason=reason)
    counts, at_limit = audio.to_int16(wave)
    return Sound(
        clip=clip,
        wave=counts,
        at_limit=at_limit,
        file_rate_hz=info.rate_hz,
        channels=info.channels,
        silent=not len(counts) or bool(counts.min() == counts.max()),
        digest=hashlib.blake2b(counts.data, digest_size=8).hexdigest(),
    )


def read_clips(
    root: epath.PathLike,
    clips: Iterable[Stretch],
    *,
    rate_hz: int,
    channel: audio.Channel,
    threads: int,
) -> Iterator[Sound]:
    """Reads clips in threads and yields them in their order.

    libsndfile and SoX let go of the interpreter's lock. A few clips per thread are in
    memory at a time.
    """
    waiting = iter(clips)
    ready: collections.deque[concurrent.futures.Future[Sound]] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        try:
            while True:
                for clip in itertools.islice(waiting, max(0, 4 * threads - len(ready))):
                    task = pool.submit(
                        read_clip, root, clip, rate_hz=rate_hz, channel=channel
                    )
                    ready.append(task)
                if not ready:
                    return
                yield ready.popleft().result()
        finally:
            for task in ready:
                task.cancel()
