"""Builds sets of clips as TensorFlow Datasets, without TensorFlow.

    OUTPUT/NAME/1.0.0/NAME-SPLIT.array_record-00000-of-00001
    OUTPUT/NAME/1.0.0/metadata.json         clips, settings, what was left out and why
    OUTPUT/NAME/1.0.0/dataset_info.json, features.json                    of TFDS

A record is a clip: 16-bit sound of one channel at one rate, as long as the clip is.
What is known of clips, and which are a split of the TFDS set, is said by a `ClipKind`:
`machine_sound` and `audio_events` have one each. `ShardBasedBuilder` keeps the order of
the manifest.
"""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypedDict, Unpack

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from sigjax.data import audio, clip_reading
from sigjax.data.clips import Report, Stretch
from sigjax.data.datasets.folders import DatasetError, build_set, differences

SOUND_COLUMNS = ("samples", "at_limit", "silent", "digest")
# Clips of 10 s at 16 kHz then take 6 GB; a split of more goes on in another.
MOST_IN_FILE = 20_000
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


class BuildOptions(TypedDict, total=False):
    """How a set is built.

    Attributes:
      threads: Clips read at once; by default one.
      overwrite: Replace a set that is there; by default not.
      progress: Wraps the list of clips, as `tqdm.tqdm` does.
    """

    threads: int
    overwrite: bool
    progress: Progress


class ClipManifest(Protocol):
    """Clips below a folder: `root`, and `clips` in their order."""

    @property
    def root(self) -> epath.Path: ...  # noqa: D102

    @property
    def clips(self) -> Sequence[Stretch]: ...  # noqa: D102


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipKind:
    """What sets of one kind of clips have in common.

    Attributes:
      description: In words.
      format: Number of this layout of metadata.
      columns: Fields of a clip that are kept in the metadata.
      values: A clip's values of these columns, as JSON has them.
      split_key: What clips of one split share; splits are in the order of their keys.
      split_name: A split's name of its key and the names that are taken.
      features: Of TFDS, beside the wave, the clip's number and its path.
      record: Values of these features.
    """

    description: str
    format: int
    columns: tuple[str, ...]
    values: Callable[[Any], Sequence[Any]]
    split_key: Callable[[Any], Any]
    split_name: Callable[[Any, Sequence[str]], str]
    features: Callable[[], Mapping[str, Any]] = dict
    record: Callable[[Any], Mapping[str, Any]] = lambda clip: {}


class ClipsBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """Builds a set of clips; `build` names it."""

    VERSION = tfds.core.Version("1.0.0")
    # As `builder.LabelledBuilder`: TFDS would look for it with a package that it does
    # not require.
    code_path = epath.Path(__file__)

    def __init__(
        self,
        *,
        kind: ClipKind,
        manifest: ClipManifest,
        report: Report,
        settings: SoundSettings,
        facts: Mapping[str, Any],
        threads: int = 1,
        progress: Progress = iter,
        **kwargs: Any,
    ):
        """For building; a set that is finished is opened with a `ClipSet`.

        Args:
          kind: Of the clips.
          manifest: Which clips.
          report: What was left out before.
          settings: What is stored of them.
          facts: More metadata, such as the classes.
          threads: Clips read at once.
          progress: Wraps the list of clips, as `tqdm.tqdm` does.
          **kwargs: Of TFDS, such as `data_dir`.
        """
        self._kind = kind
        self._manifest, self._report = manifest, report
        self._settings, self._facts = settings, facts
        self._threads = threads
        self._progress = progress
        super().__init__(file_format="array_record", **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        wave = tfds.features.Tensor(shape=(None,), dtype=np.int16, encoding="bytes")
        return tfds.core.DatasetInfo(
            builder=self,
            description=self._kind.description,
            features=tfds.features.FeaturesDict(
                {
                    "wave": wave,
                    "clip": tfds.features.Scalar(np.int32),
                    "path": tfds.features.Text(),
                    **self._kind.features(),
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
            format=self._kind.format,
            rate_hz=self._settings.rate_hz,
            settings=dataclasses.asdict(self._settings),
            source=source_digest(self._kind, self._manifest, self._facts),
            root=str(self._manifest.root),
            simulated=simulated(self._manifest),
            **self._facts,
            clips={name: [] for name in (*self._kind.columns, *SOUND_COLUMNS)},
            splits=[],
            file_rates_hz={},
            file_channels={},
            left_out=[list(entry) for entry in self._report.left_out],
            counts=dict(self._report.counts),
            warnings=list(self._report.warnings),
        )
        return _Splits(
            kind=self._kind,
            manifest=self._manifest,
            settings=self._settings,
            facts=self._facts,
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

    kind: ClipKind
    manifest: ClipManifest
    settings: SoundSettings
    facts: Mapping[str, Any]
    metadata: dict[str, Any]
    threads: int
    progress: Progress

    def items(self) -> Iterator[tuple[str, list[Callable[[], Iterator[Any]]]]]:
        # Stable, so that clips of a split stay in the manifest's order.
        clips = sorted(self.manifest.clips, key=self.kind.split_key)
        sounds = clip_reading.read_clips(
            self.manifest.root,
            self.progress(clips),
            rate_hz=self.settings.rate_hz,
            channel=self.settings.channel,
            threads=self.threads,
        )
        used = (sound for sound in sounds if self._usable(sound))
        groups = itertools.groupby(used, key=lambda s: self.kind.split_key(s.clip))
        for key, group in groups:
            for part in _parts(group):
                name = self.kind.split_name(key, self.metadata["splits"])
                self.metadata["splits"].append(name)
                # TFDS takes all rows before it asks for the next split.
                yield name, [functools.partial(self._rows, part)]
        if not self.metadata["splits"]:
            raise DatasetError(self._nothing())
        self.metadata["fingerprint"] = _fingerprint(self.metadata, self.facts)

    def _usable(self, sound: clip_reading.Sound) -> bool:
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

    def _rows(self, sounds: Iterable[clip_reading.Sound]) -> Iterator[tuple[int, Any]]:
        table = self.metadata["clips"]
        for number, sound in enumerate(sounds):
            clip = sound.clip
            known = zip(self.kind.columns, self.kind.values(clip), strict=True)
            values = len(sound.wave), sound.at_limit, sound.silent, sound.digest
            for name, value in (*known, *zip(SOUND_COLUMNS, values, strict=True)):
                table[name].append(value)
            yield (
                number,
                {
                    "wave": sound.wave,
                    "clip": len(table["path"]) - 1,
                    "path": clip.path,
                    **self.kind.record(clip),
                },
            )

    def _nothing(self) -> str:
        told = [f"  {path}: {why}" for path, why in self.metadata["left_out"]]
        return "\n".join(
            [f"{self.manifest.root}: no clip is usable ({len(told)} left out)"]
            + told[:10]
        )


def build_clips(
    kind: ClipKind,
    manifest: ClipManifest,
    report: Report,
    output: epath.PathLike,
    *,
    name: str,
    settings: SoundSettings | None = None,
    facts: Mapping[str, Any] | None = None,
    **options: Unpack[BuildOptions],
) -> tuple[epath.Path, bool]:
    """Builds a set, or finds it built.

    It is written beside its place and moved there when it is complete, so one that was
    killed halfway leaves nothing that looks finished.

    Args:
      kind: Of the clips.
      manifest: Clips.
      report: What was left out of it; it is kept in the set.
      output: Folder of sets; this one is `output/NAME/VERSION`.
      name: Of the set: small letters, digits and underscores.
      settings: What is stored of each clip; by default 16 kHz, the first channel.
      facts: More metadata; other facts make another set.
      **options: See `BuildOptions`.

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
    settings, facts = settings or SoundSettings(), facts or {}
    named = type(
        "ClipsBuilder", (ClipsBuilder,), {"name": name}, skip_registration=True
    )
    made = named(
        kind=kind,
        manifest=manifest,
        report=report,
        settings=settings,
        facts=facts,
        threads=options.get("threads", 1),
        progress=options.get("progress", iter),
        data_dir=str(epath.Path(output).expanduser()),
    )

    def different() -> list[str]:
        before = made.metadata
        found = differences(before.get("settings"), dataclasses.asdict(settings))
        if before.get("source") != source_digest(kind, manifest, facts):
            found.append(f"from other clips, {len(before['clips']['path'])} of them")
        return found

    return build_set(made, different, overwrite=options.get("overwrite", False))


def source_digest(
    kind: ClipKind, manifest: ClipManifest, facts: Mapping[str, Any]
) -> str:
    """Short hash of the clips that a manifest names, and of their files' sizes.

    A set that is there is taken for this one's if it is equal: what a file holds is
    not looked at again.
    """
    digest = hashlib.blake2b(digest_size=8)
    if facts:
        digest.update(json.dumps(facts, sort_keys=True).encode())
    sizes: dict[str, int] = {}
    for clip in manifest.clips:
        if clip.path not in sizes:
            with contextlib.suppress(OSError):
                sizes[clip.path] = os.stat(manifest.root / clip.path).st_size
        row = [*kind.values(clip), sizes.get(clip.path)]
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def simulated(manifest: ClipManifest) -> bool:
    """Whether a file SIMULATED.txt lies in the root or between it and a clip."""
    folders = {parent for c in manifest.clips for parent in epath.Path(c.path).parents}
    return any((manifest.root / at / "SIMULATED.txt").exists() for at in folders)


def _parts(sounds: Iterator[clip_reading.Sound]) -> Iterator[Iterator[Any]]:
    """As many at a time as a file should hold; each part is used up before the next."""
    for first in sounds:
        yield itertools.chain([first], itertools.islice(sounds, MOST_IN_FILE - 1))


def _fingerprint(metadata: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    """Of sound, labels and names, wherever the files were."""
    parts = [metadata["rate_hz"], metadata["clips"], *([facts] if facts else [])]
    text = json.dumps(parts, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
