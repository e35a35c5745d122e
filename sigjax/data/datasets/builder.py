"""Builds labelled sets as TensorFlow Datasets, without TensorFlow.

    OUTPUT/capture24/1.0.0/capture24-P001.array_record-00000-of-00001    one per person
    OUTPUT/capture24/1.0.0/metadata.json         annotations, label schemes, settings
    OUTPUT/capture24/1.0.0/dataset_info.json, features.json                    of TFDS

Each person is a split of the TFDS set, so any side of any division of people is a
union chosen on reading, `tfds.data_source("capture24", split="P001+P007")`, and two
divisions need no two copies. What is stored is the annotation; classes come from a
label scheme in the metadata and are chosen on reading too.

`ShardBasedBuilder` is the only builder of TFDS that neither shuffles through
TensorFlow's file system nor reorders records, and neighbours must stay neighbours.
"""

import collections
import dataclasses
import functools
import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from etils import epath

from sigjax.data import formats
from sigjax.data.datasets.folders import DatasetError, build_set, differences
from sigjax.data.datasets.records import (
    BuildSettings,
    Job,
    LabelledRecording,
    prepare_labelled,
    records,
    timeline,
    unread,
)
from sigjax.data.recording import FormatError
from sigjax.data.wearable import names, pool

FORMAT = 1


class LabelledBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):
    """A labelled set of wrist recordings; subclasses name it and its schemes."""

    VERSION = tfds.core.Version("1.0.0")
    # TFDS would look for it with a package (importlib_resources) that it does not
    # require, only to find checksums of downloads, of which there are none.
    code_path = epath.Path(__file__)
    # Tables beside the recordings: not worth a word for not being one.
    BESIDE: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        settings: BuildSettings | None = None,
        workers: int = 1,
        progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
        **kwargs: Any,
    ):
        """For building; a set that is finished is opened with `LabelledSet.open`.

        Args:
          settings: Where the raw files are, and what to make of them.
          workers: Processes that prepare files.
          progress: Wraps the list of files, as `tqdm.tqdm` does.
          **kwargs: Of TFDS, such as `data_dir`.
        """
        self._settings = settings
        self._workers = workers
        self._progress = progress
        super().__init__(file_format="array_record", **kwargs)

    def schemes(self, settings: BuildSettings) -> dict[str, dict[str, str]]:
        """By name: the class of each annotation, `""` for none."""
        raise NotImplementedError(f"{type(self).__name__} names no label schemes")

    def about_people(self, settings: BuildSettings) -> dict[str, dict[str, str]]:
        """What is known of people, such as their age; may leave people out."""
        del settings
        return {}

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=(type(self).__doc__ or "").splitlines()[0],
            features=None if self._settings is None else _features(self._settings),
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
        settings = self._settings
        if settings is None:
            raise DatasetError(f"{self.name}: building a set needs settings")
        found, others = formats.find_recordings(settings.input, settings.options)
        jobs = _jobs(found, settings)
        metadata = self.metadata
        metadata.clear()
        metadata.update(
            format=FORMAT,
            rate_hz=settings.prepare.rate_hz,
            settings=described(settings),
            simulated=simulated(found),
            schemes=self.schemes(settings),
            annotations=[],
            people={},
            splits=[],
            segments=[],
            recordings=[],
            not_read=[[str(p), why] for p, why in others if p.name not in self.BESIDE],
        )
        return _People(
            settings=settings,
            about=self.about_people(settings),
            metadata=metadata,
            prepared=_in_order(jobs, self._workers, self._progress),
        )


@dataclasses.dataclass(kw_only=True, eq=False)
class _People:
    """Splits by name, made as they are asked for.

    TFDS goes through `items` once and writes each split before it takes the next, so
    one person is in memory while the next ones are prepared. Someone of whom nothing
    is left gets no split: TFDS cannot open one without records.
    """

    settings: BuildSettings
    about: dict[str, dict[str, str]]
    metadata: dict[str, Any]
    prepared: Iterable[LabelledRecording]

    def items(self) -> Iterator[tuple[str, list[Callable[[], Iterator[Any]]]]]:
        people, order = self.metadata["people"], self.metadata["splits"]
        read = (recording for recording in self.prepared if self._note(recording))
        for person, group in itertools.groupby(read, key=lambda r: r.person):
            rows = [row for recording in group for row in self._add(recording)]
            known = {**self.about.get(person, {}), "records": 0, "splits": []}
            here = people.setdefault(person, known)
            here["records"] += len(rows)
            if rows:
                split = _split_name(person, order)
                here["splits"].append(split)
                order.append(split)
                yield split, [functools.partial(_numbered, rows)]
        if not order:
            raise DatasetError(self._nothing())
        self.metadata["fingerprint"] = _fingerprint(self.metadata)

    def _note(self, recording: LabelledRecording) -> bool:
        """Lists a file in the metadata; returns whether it could be read."""
        self.metadata["recordings"].append(
            {
                "name": recording.name,
                "person": recording.person,
                "source": recording.source,
                "quality": dict(recording.quality),
            }
        )
        return bool(recording.person)

    def _add(self, recording: LabelledRecording) -> list[dict[str, Any]]:
        """Lists its segments; returns its records in the codes of the set."""
        annotations = self.metadata["annotations"]
        annotations += [a for a in recording.annotations if a not in annotations]
        table = [annotations.index(a) for a in recording.annotations] + [-1]
        codes = np.array(table, np.int16)  # The last is that of -1.
        segments = tuple(
            dataclasses.replace(s, annotation=codes[s.annotation])
            for s in recording.segments
        )
        self.metadata["segments"] += [
            {
                "person": recording.person,
                "recording": recording.name,
                "segment": number,
                "start": segment.start,
                "samples": len(segment.counts),
                "digest": hashlib.blake2b(
                    segment.counts.data, digest_size=8
                ).hexdigest(),
                "labels": timeline(segment.annotation, segment.purity),
            }
            for number, segment in enumerate(segments)
        ]
        recording = dataclasses.replace(recording, segments=segments)
        return list(records(recording, self.settings))

    def _nothing(self) -> str:
        told = [
            f"  {r['source']}: {r['quality']['status']}"
            for r in self.metadata["recordings"]
        ]
        told += [f"  {path}: {why}" for path, why in self.metadata["not_read"]]
        return "\n".join(
            [f"{self.settings.input}: no recording is usable ({len(told)} files)"]
            + told[:10]
        )


def build(
    builder: type[LabelledBuilder],
    settings: BuildSettings,
    output: epath.PathLike,
    *,
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[Iterable[Any]], Iterable[Any]] = iter,
) -> tuple[epath.Path, bool]:
    """Builds a set, or finds it built.

    It is written beside its place and moved there when it is complete, so one that
    was killed halfway leaves nothing that looks finished.

    Args:
      builder: Which set.
      settings: How to build it.
      output: Folder of sets; this one is `output/NAME/VERSION`.
      workers: Processes that prepare files.
      overwrite: Replace a set that is there.
      progress: Wraps the list of files, as `tqdm.tqdm` does.

    Returns:
      The set's folder, and whether it was built now.

    Raises:
      DatasetError: No recording is usable, or a set that was built otherwise is there.
      FileNotFoundError: There is no input.
    """
    made = builder(
        settings=settings, workers=workers, progress=progress, data_dir=str(output)
    )
    return build_set(
        made,
        lambda: differences(made.metadata.get("settings"), described(settings)),
        overwrite=overwrite,
    )


def simulated(paths: Iterable[epath.Path]) -> bool:
    """Whether a folder of these recordings says that it holds simulated ones."""
    folders = dict.fromkeys(path.parent for path in paths)
    return any((folder / "SIMULATED.txt").exists() for folder in folders)


def described(settings: BuildSettings) -> dict[str, Any]:
    """Settings as JSON gives them back."""
    plain = dataclasses.asdict(settings)
    plain["options"]["channels"] = list(settings.options.channels)
    return plain


def _fingerprint(metadata: dict[str, Any]) -> str:
    """Of samples and labels alone, wherever the raw files were."""
    keys = ("rate_hz", "annotations", "schemes", "segments")
    text = json.dumps([metadata[key] for key in keys], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _numbered(rows: list[Any]) -> Iterator[tuple[int, Any]]:
    return iter(enumerate(rows))


def _jobs(paths: list[epath.Path], settings: BuildSettings) -> list[Job]:
    """A person's recordings side by side, as far as paths tell."""
    where = epath.Path(settings.input)
    called = names.unique_names(paths, where if where.is_dir() else None)
    jobs = [
        Job(path=str(path), name=name, settings=settings)
        for path, name in zip(paths, called, strict=True)
    ]
    if settings.person_regex:
        jobs.sort(key=lambda job: (_person(job), job.name))
    return jobs


def _person(job: Job) -> str:
    try:
        return names.person_in(job.path, job.settings.person_regex)
    except FormatError:
        return ""  # Reading it says so again.


def _in_order(jobs: list[Job], workers: int, progress: Any) -> Iterator[Any]:
    """Prepares all, in their order: the same files give the same set."""
    bar = iter(progress(jobs))
    if workers <= 1:
        yield from map(prepare_labelled, bar)
        return
    done: dict[str, LabelledRecording] = {}
    waiting = collections.deque(jobs)
    for result in pool.run(prepare_labelled, jobs, workers=workers):
        next(bar, None)
        if isinstance(result, pool.Died):
            result = unread(result.job, result.reason)
        done[result.name] = result
        while waiting and waiting[0].name in done:
            yield done.pop(waiting.popleft().name)
    next(bar, None)  # Ends it.


def _split_name(person: str, taken: list[str]) -> str:
    """What TFDS allows: letters, digits, `_` and `-`, and not `all`."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", person) or "_"
    used = {"all", *map(str.lower, taken)}
    numbered = (f"{plain}-{n}" for n in itertools.count(2))
    return next(n for n in itertools.chain([plain], numbered) if n.lower() not in used)


def _features(settings: BuildSettings) -> tfds.features.FeaturesDict:
    windows = settings.record_samples // settings.label_samples

    def tensor(shape: tuple[int, ...], dtype: type) -> tfds.features.Tensor:
        # ArrayRecord compresses: "bytes" reads twice as fast as "zlib", at its size.
        return tfds.features.Tensor(shape=shape, dtype=dtype, encoding="bytes")

    return tfds.features.FeaturesDict(
        {
            "counts": tensor((settings.record_samples, 3), np.int16),
            "scale": tfds.features.Scalar(np.float32),
            "samples": tfds.features.Scalar(np.int32),
            "annotation": tensor((windows,), np.int16),
            "purity": tensor((windows,), np.float32),
            "person": tfds.features.Text(),
            "recording": tfds.features.Text(),
            "segment": tfds.features.Scalar(np.int32),
            "index": tfds.features.Scalar(np.int32),
            # A scalar would be stored as float32, which is off by a minute.
            "start": tensor((), np.float64),
        }
    )
