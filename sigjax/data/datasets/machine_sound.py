"""Builds sets of machine sounds as TensorFlow Datasets, without TensorFlow.

Each machine, section and side is a split of the TFDS set, so any part is a union that
is chosen on reading. See `sound_clips` for the files of a set.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from sigjax.data.clips import Report
from sigjax.data.datasets import sound_clips
from sigjax.data.datasets.sound_clips import BuildOptions, ClipKind, SoundSettings
from sigjax.data.machine_sound.clips import Clip, Manifest, write_attributes

__all__ = ["CLIP_COLUMNS", "FORMAT", "SoundSettings", "build"]

FORMAT = 1
# Columns of the table of clips; `Clip` has those in front.
CLIP_COLUMNS = (
    "path",
    "machine",
    "section",
    "side",
    "year",
    "split",
    "domain",
    "label",
    "attributes",
    "start_s",
    "end_s",
)


def build(
    manifest: Manifest,
    report: Report,
    output: epath.PathLike,
    *,
    name: str = "machine_sounds",
    settings: SoundSettings | None = None,
    **options: Unpack[BuildOptions],
) -> tuple[epath.Path, bool]:
    """Builds a set, or finds it built; see `sound_clips.build_clips`.

    Args:
      manifest: Clips, as of `layout.scan` or `folder.folder_manifest`.
      report: What these left out; it is kept in the set.
      output: Folder of sets; this one is `output/NAME/VERSION`.
      name: Of the set: small letters, digits and underscores.
      settings: What is stored of each clip; by default 16 kHz, the first channel.
      **options: See `sound_clips.BuildOptions`.

    Returns:
      The set's folder, and whether it was built now.

    Raises:
      DatasetError: As in `sound_clips.build_clips`.
      ValueError: TFDS allows no such name.
    """
    return sound_clips.build_clips(
        _KIND,
        manifest,
        report,
        output,
        name=name,
        settings=settings,
        **options,
    )


def _values(clip: Clip) -> list[Any]:
    row = [getattr(clip, name) for name in CLIP_COLUMNS]
    row[CLIP_COLUMNS.index("attributes")] = write_attributes(clip.attributes)
    return row


def _features() -> Mapping[str, Any]:
    text, number = tfds.features.Text(), tfds.features.Scalar(np.int32)
    return {"domain": text, "label": number}


def _split_key(clip: Clip) -> tuple[int, str, str, str, str]:
    return clip.year, clip.split, clip.machine, clip.section, clip.side


def _split_name(key: tuple[int, str, str, str, str], taken: Sequence[str]) -> str:
    """`fan_00_train`; with year, or dev and eval, where that is taken."""
    year, split, *short = key
    used = {name.lower() for name in taken} | {"all"}
    candidates = [tuple(short), (str(year), *short), (str(year), split, *short)]
    candidates += [(*short, str(number)) for number in range(2, len(used) + 3)]
    for parts in candidates:
        name = re.sub(r"[^A-Za-z0-9_]", "_", "_".join(parts))
        if name.lower() not in used:
            return name
    raise AssertionError("more candidates than names that are taken")


_KIND = ClipKind(
    description="Sounds of machines, normal and anomalous.",
    format=FORMAT,
    columns=CLIP_COLUMNS,
    values=_values,
    split_key=_split_key,
    split_name=_split_name,
    features=_features,
    record=lambda clip: {"domain": clip.domain, "label": clip.label},
)
