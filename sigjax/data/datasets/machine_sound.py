"""Builds sets of machine sounds as TensorFlow Datasets, without TensorFlow.

    OUTPUT/NAME/1.0.0/NAME-fan_00_train.array_record-00000-of-00001
    OUTPUT/NAME/1.0.0/metadata.json         clips, settings, what was left out and why
    OUTPUT/NAME/1.0.0/dataset_info.json, features.json                    of TFDS

Each machine, section and side is a split of the TFDS set, so any part is a union that
is chosen on reading. A record is a clip: 16-bit sound of one channel at one rate, as
long as the clip is. `ShardBasedBuilder` keeps the order of the manifest.
"""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from sigjax.data import audio
from sigjax.data.datasets.folders import DatasetError, build_set, differences
from sigjax.data.machine_sound import reading
from sigjax.data.machine_sound.clips import Clip, Manifest, Report, write_attributes

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
SOUND_COLUMNS = ("samples", "at_limit", "silent", "digest")
Progress = Callable[[Iterable[Any]], Iterable[Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoundSettings:
    """What is stored of each clip.

    Attributes:
      rate_hz: All clips are resampled to it.
      channel: Of files with several: an index, or `"mean"`.
      min_s: Shorter clips are left out.
    """

    rate_hz: int = 16000
    channel: audio.Channel = 0
    min_s: float = 0.1

    def __post_init__(self):
        """Refuses a rate or channel that is none."""
        if self.rate_hz < 1:
            raise ValueError(f"rate_hz must be at least 1, got {self.rate_hz}")
        audio.checked_channel(self.channel)


class MachineSounds(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Sounds of machines, normal and anomalous; `build` names it."""

    VERSION = tfds.core.Version("1.0.0")
    # As `builder.LabelledBuilder`: TFDS would look for it with a package that it does
    # not require.
    code_path = epath.Path(__file__)

    def __init__(
        self,
        *,
        manifest: Manifest,
        report: Report,
        settings: SoundSettings,
        threads: int = 1,
        progress: Progress = iter,
        **kwargs: Any,
    ):
        """For building; a set that is finished is opened with `SoundSet.open`.

        Args:
          manifest: Which clips.
          report: What was left out before.
          settings: What is stored of them.
          threads: Clips read at once.
          progress: Wraps the list of clips, as `tqdm.tqdm` does.
          **kwargs: Of TFDS, such as `data_dir`.
        """
        self._manifest, self._report = manifest, report
        self._settings = settings
        self._threads = threads
        self._progress = progress
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Sounds of machines, normal and anomalous.",
            features=tfds.features.FeaturesDict(
                {
                    "wave": tfds.features.Tensor(
                        shape=(None,), dtype=np.int16, encoding="bytes"
                    ),
                    "clip": tfds.features.Scalar(np.int32),
                    "path": tfds.features.Text(),
                    "domain": tfds.features.Text(),
                    "label": tfds.features.Scalar(np.int32),
                }
            ),
            metadata=tfds.core.MetadataDict({}),
        )

    @property
    def metadata(self) -> dict[str, Any]:
        """What the set says of itself."""
        metadata = self.info.metadata
        assert isinstance(metadata, tfds.core.MetadataDict)  # As `_info` made it.
        return metadata

    def _shard_iterators_per_split(self, dl_manager: Any) -> Any:
        del dl_manager
        metadata = self.metadata
        metadata.clear()
        metadata.update(
            format=FORMAT,
            rate_hz=self._settings.rate_hz,
            settings=described(self._settings),
            source=source_digest(self._manifest),
            root=str(self._manifest.root),
            simulated=simulated(self._manifest),
            clips={name: [] for name in (*CLIP_COLUMNS, *SOUND_COLUMNS)},
            splits=[],
            file_rates_hz={},
            file_channels={},
            left_out=[list(entry) for entry in self._report.left_out],
            counts=dict(self._report.counts),
            warnings=list(self._report.warnings),
        )
        return _Splits(
            manifest=self._manifest,
            settings=self._settings,
            metadata=metadata,
            threads=self._threads,
            progress=self._progress,
        )


@dataclasses.dataclass(kw_only=True, eq=False)
class _Splits:
    """Splits by name, made as they are asked for.

    TFDS goes through `items` once and writes each split before it takes the next, so a
    few clips are in memory. A split of which no clip can be read is not begun: TFDS
    cannot open one without records.
    """

    manifest: Manifest
    settings: SoundSettings
    metadata: dict[str, Any]
    threads: int
    progress: Progress

    def items(self) -> Iterator[tuple[str, list[Callable[[], Iterator[Any]]]]]:
        # Stable, so that clips of a split stay in the manifest's order.
        clips = sorted(self.manifest.clips, key=_split_key)
        bar = self.progress(clips)
        sounds = reading.read_clips(
            self.manifest.root,
            bar,
            rate_hz=self.settings.rate_hz,
            channel=self.settings.channel,
            threads=self.threads,
        )
        used = (sound for sound in sounds if self._usable(sound))
        for key, group in itertools.groupby(used, key=lambda s: _split_key(s.clip)):
            name = _split_name(key, self.metadata["splits"])
            self.metadata["splits"].append(name)
            # TFDS takes all rows before it asks for the next split.
            yield name, [functools.partial(self._rows, group)]
        if not self.metadata["splits"]:
            raise DatasetError(self._nothing())
        self.metadata["fingerprint"] = _fingerprint(self.metadata)

    def _usable(self, sound: reading.Sound) -> bool:
        """Counts what its file is like; lists a clip that is not used."""
        for name, value in (
            ("file_rates_hz", sound.file_rate_hz),
            ("file_channels", sound.channels),
        ):
            if value:
                counts = self.metadata[name]
                counts[str(value)] = counts.get(str(value), 0) + 1
        reason = sound.reason
        length_s = len(sound.wave) / self.settings.rate_hz
        if not reason and length_s < self.settings.min_s:
            reason = f"shorter than {self.settings.min_s:g} s"
        if reason:
            self.metadata["left_out"].append([sound.clip.path, reason])
        return not reason

    def _rows(self, sounds: Iterable[reading.Sound]) -> Iterator[tuple[int, Any]]:
        table = self.metadata["clips"]
        for number, sound in enumerate(sounds):
            clip = sound.clip
            for name in CLIP_COLUMNS:
                table[name].append(getattr(clip, name))
            table["attributes"][-1] = write_attributes(clip.attributes)
            values = len(sound.wave), sound.at_limit, sound.silent, sound.digest
            for name, value in zip(SOUND_COLUMNS, values, strict=True):
                table[name].append(value)
            yield (
                number,
                {
                    "wave": sound.wave,
                    "clip": len(table["path"]) - 1,
                    "path": clip.path,
                    "domain": clip.domain,
                    "label": clip.label,
                },
            )

    def _nothing(self) -> str:
        told = [f"  {path}: {why}" for path, why in self.metadata["left_out"]]
        return "\n".join(
            [f"{self.manifest.root}: no clip is usable ({len(told)} left out)"]
            + told[:10]
        )


def build(
    manifest: Manifest,
    report: Report,
    output: epath.PathLike,
    *,
    name: str = "machine_sounds",
    settings: SoundSettings | None = None,
    threads: int = 1,
    overwrite: bool = False,
    progress: Progress = iter,
) -> tuple[epath.Path, bool]:
    """Builds a set, or finds it built.

    It is written beside its place and moved there when it is complete, so one that was
    killed halfway leaves nothing that looks finished.

    Args:
      manifest: Clips, as of `layout.scan` or `folder.folder_manifest`.
      report: What these left out; it is kept in the set.
      output: Folder of sets; this one is `output/NAME/VERSION`.
      name: Of the set: small letters, digits and underscores.
      settings: What is stored of each clip; by default 16 kHz, the first channel.
      threads: Clips read at once.
      overwrite: Replace a set that is there.
      progress: Wraps the list of clips, as `tqdm.tqdm` does.

    Returns:
      The set's folder, and whether it was built now.

    Raises:
      DatasetError: No clip is usable, or a set that was built otherwise is there.
      ValueError: TFDS allows no such name.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(
            f"name {name!r} must be small letters, digits and underscores, and begin"
            " with a letter"
        )
    settings = settings or SoundSettings()
    kind = type(
        "MachineSounds", (MachineSounds,), {"name": name}, skip_registration=True
    )
    made = kind(
        manifest=manifest,
        report=report,
        settings=settings,
        threads=threads,
        progress=progress,
        data_dir=str(epath.Path(output).expanduser()),
    )
    return build_set(
        made,
        lambda: _differences(made.metadata, manifest, settings),
        overwrite=overwrite,
    )


def described(settings: SoundSettings) -> dict[str, Any]:
    """Settings as JSON gives them back."""
    return dataclasses.asdict(settings)


def source_digest(manifest: Manifest) -> str:
    """Short hash of the clips that a manifest names, and of their files' sizes.

    A set that is there is taken for this one's if it is equal: what a file holds is
    not looked at again.
    """
    digest = hashlib.blake2b(digest_size=8)
    sizes: dict[str, int] = {}
    for clip in manifest.clips:
        if clip.path not in sizes:
            with contextlib.suppress(OSError):
                sizes[clip.path] = os.stat(manifest.root / clip.path).st_size
        row = [getattr(clip, name) for name in CLIP_COLUMNS]
        row[CLIP_COLUMNS.index("attributes")] = write_attributes(clip.attributes)
        digest.update(json.dumps([*row, sizes.get(clip.path)]).encode())
    return digest.hexdigest()


def simulated(manifest: Manifest) -> bool:
    """Whether a file SIMULATED.txt lies in the root or between it and a clip."""
    folders = {parent for c in manifest.clips for parent in epath.Path(c.path).parents}
    return any((manifest.root / at / "SIMULATED.txt").exists() for at in folders)


def _split_key(clip: Clip) -> tuple[int, str, str, str, str]:
    return clip.year, clip.split, clip.machine, clip.section, clip.side


def _split_name(key: tuple[int, str, str, str, str], taken: list[str]) -> str:
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


def _fingerprint(metadata: dict[str, Any]) -> str:
    """Of sound, labels and names, wherever the files were."""
    text = json.dumps([metadata["rate_hz"], metadata["clips"]], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _differences(
    before: dict[str, Any], manifest: Manifest, settings: SoundSettings
) -> list[str]:
    found = differences(before.get("settings"), described(settings))
    if before.get("source") != source_digest(manifest):
        found.append(f"from other clips, {len(before['clips']['path'])} of them")
    return found
