"""Builds sets of audio events as TensorFlow Datasets, without TensorFlow.

Each split, and each fold of a split, is a split of the TFDS set. See `sound_clips` for
the files of a set.
"""

import re
from collections.abc import Sequence
from typing import Unpack

from etils import epath

from sigjax.data.audio_events.clips import (
    COLUMNS,
    EventClip,
    EventManifest,
    clip_values,
)
from sigjax.data.clips import Report
from sigjax.data.datasets import sound_clips
from sigjax.data.datasets.sound_clips import BuildOptions, ClipKind, SoundSettings

FORMAT = 1
# What a frame of a spectrogram takes: shorter clips have none.
MIN_S = 0.025


def build(
    manifest: EventManifest,
    report: Report,
    output: epath.PathLike,
    *,
    name: str = "audio_events",
    settings: SoundSettings | None = None,
    **options: Unpack[BuildOptions],
) -> tuple[epath.Path, bool]:
    """Builds a set, or finds it built; see `sound_clips.build_clips`.

    Args:
      manifest: Clips and classes, as of `audio_events.layouts.scan`.
      report: What was left out of it; it is kept in the set.
      output: Folder of sets; this one is `output/NAME/VERSION`.
      name: Of the set: small letters, digits and underscores.
      settings: What is stored of each clip; by default 16 kHz, the first channel, of
        clips of at least one frame of 25 ms.
      **options: See `sound_clips.BuildOptions`.

    Returns:
      The set's folder, and whether it was built now.

    Raises:
      DatasetError: As in `sound_clips.build_clips`.
      ValueError: TFDS allows no such name.
    """
    classes = {head: list(names) for head, names in manifest.classes.items()}
    return sound_clips.build_clips(
        _KIND,
        manifest,
        report,
        output,
        name=name,
        settings=settings or SoundSettings(min_s=MIN_S),
        facts={"kind": manifest.kind, "classes": classes},
        **options,
    )


def _split_key(clip: EventClip) -> tuple[str, int]:
    return clip.split, clip.fold


def _split_name(key: tuple[str, int], taken: Sequence[str]) -> str:
    """`train`, or `train_fold1` where there are folds."""
    split, fold = key
    name = re.sub(r"[^A-Za-z0-9_]", "_", f"{split}_fold{fold}" if fold else split)
    used = {other.lower() for other in taken} | {"all"}
    names = [name, *(f"{name}_{number}" for number in range(2, len(used) + 3))]
    return next(name for name in names if name.lower() not in used)


_KIND = ClipKind(
    description="Audio events: clips with classes.",
    format=FORMAT,
    columns=COLUMNS,
    values=lambda clip: clip_values(clip, list(clip.labels)),
    split_key=_split_key,
    split_name=_split_name,
)
