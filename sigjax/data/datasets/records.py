"""What a labelled set consists of: records of equal length, in the order of time.

A record is `record_s` of one stretch of wear, so a window of any whole number of
records is a run of neighbours: overlapping windows cost no space on disk, and reading
one touches nothing else. The last record of a stretch is filled up with zeros and says
how many of its samples are real: nothing is left out.
"""

import dataclasses
import math
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from sigjax.data import formats, store
from sigjax.data import recording as rec
from sigjax.data.wearable import labels, names, prepare, resample


@dataclasses.dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """From which files a set is built, and how.

    Attributes:
      input: Folder, file or pattern of raw files; see `formats.find_recordings`.
      prepare: How they are prepared.
      record_s: Length of a record, seconds; whole label windows.
      label_s: Length of the windows that get one label each, seconds.
      options: How to read the files. Labels are kept in any case.
      person_regex: Where a path names the person; see `names.person_of`.
    """

    input: str
    prepare: prepare.PrepareConfig
    record_s: float
    label_s: float
    options: formats.ReadOptions = formats.ReadOptions()
    person_regex: str = ""

    def __post_init__(self):
        """Refuses lengths that no grid has, before hours of work."""
        names.checked_regex(self.person_regex)
        for name in ("record_s", "label_s"):
            samples = getattr(self, name) * self.prepare.rate_hz
            if samples < 1 or abs(samples - round(samples)) > 1e-6:
                raise ValueError(
                    f"{name}={getattr(self, name):g} is not a whole number of samples"
                    f" at {self.prepare.rate_hz:g} Hz"
                )
        if self.record_samples % self.label_samples:
            raise ValueError(
                f"record_s={self.record_s:g} is not a multiple of"
                f" label_s={self.label_s:g}"
            )

    @property
    def record_samples(self) -> int:
        """Samples of a record."""
        return round(self.record_s * self.prepare.rate_hz)

    @property
    def label_samples(self) -> int:
        """Samples of a label window."""
        return round(self.label_s * self.prepare.rate_hz)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LabelledSegment:
    """A stretch of wear.

    Attributes:
      start: Seconds since 1970-01-01 of sample 0, on the device's clock.
      counts: Int16 `[s, 3]`, `store.SCALE` g each.
      annotation: Int16 `[n]`, the majority label of each label window, the last of
        which may be shorter; codes into `LabelledRecording.annotations`, -1 for none.
      purity: Float32 `[n]`, the share of raw samples that have it.
    """

    start: float
    counts: np.ndarray
    annotation: np.ndarray
    purity: np.ndarray


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class LabelledRecording:
    """One file, prepared.

    Attributes:
      name: Unique in its set.
      person: Whose wrist; `""` if the file could not be read.
      source: Its path.
      annotations: What its codes stand for.
      segments: Stretches of wear; none if the file was excluded.
      quality: JSON-able, as of `prepare_recording`; `status` is `"used"`,
        `"dropped: ..."` or, with nothing else, `"unreadable: ..."`. `clipped_values`
        do not fit in int16.
    """

    name: str
    person: str
    source: str
    annotations: tuple[str, ...]
    segments: tuple[LabelledSegment, ...]
    quality: Mapping[str, Any]


class Job(NamedTuple):
    """A file to prepare.

    Attributes:
      path: Where it is.
      name: Of the recording.
      settings: How.
    """

    path: str
    name: str
    settings: BuildSettings


def prepare_labelled(job: Job) -> LabelledRecording:
    """Reads and prepares one file.

    What cannot be read is returned without segments and with its reason: one odd file
    must not end the building of a set.
    """
    try:
        return _prepare(job)
    except (rec.FormatError, OSError) as error:
        return unread(job, str(error).removeprefix(f"{job.path}: "))
    except Exception as error:
        at = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{epath.Path(at.filename).name}:{at.lineno}"
        return unread(job, f"{type(error).__name__} at {where}: {error}")


def unread(job: Job, reason: str) -> LabelledRecording:
    """A file of which nothing is known but why."""
    return LabelledRecording(
        name=job.name,
        person="",
        source=job.path,
        annotations=(),
        segments=(),
        quality={"status": f"unreadable: {reason}"},
    )


def _prepare(job: Job) -> LabelledRecording:
    settings = job.settings
    channels = tuple({*settings.options.channels, "label"})
    options = dataclasses.replace(settings.options, channels=channels)
    recording = formats.read_recording(job.path, options)
    if not any("label" in s.channels for s in recording.segments):
        raise rec.FormatError("has no labels; name their column")
    found = prepare.prepare_recording(
        recording,
        settings.prepare,
        name=job.name,
        person=names.person_of(job.path, recording, settings.person_regex),
    )
    nominal = recording.nominal_rate_hz
    raw = [s for s in recording.segments if resample.usable(s, nominal)]
    pairs = [_labelled(raw, wear, settings) for wear in found.segments]
    return LabelledRecording(
        name=found.name,
        person=found.person,
        source=job.path,
        annotations=tuple(map(str, recording.metadata["labels"])),
        segments=tuple(segment for segment, _ in pairs),
        quality={**found.quality, "clipped_values": sum(lost for _, lost in pairs)},
    )


def records(
    recording: LabelledRecording, settings: BuildSettings
) -> Iterator[dict[str, Any]]:
    """Cuts a recording into records; codes stay those of the recording.

    Yields:
      counts: Int16 `[s, 3]`, zeros after the last sample of the stretch.
      scale: Float, g per count.
      samples: How many of `s` are real.
      annotation: Int16 `[n]`, -1 after the last sample.
      purity: Float32 `[n]`.
      person: Text.
      recording: Text.
      segment: Which stretch of the recording.
      index: Which record of the stretch.
      start: Seconds since 1970-01-01 of its first sample.
    """
    size = settings.record_samples
    per_record = size // settings.label_samples
    for number, segment in enumerate(recording.segments):
        for index in range(math.ceil(len(segment.counts) / size)):
            counts = segment.counts[index * size : (index + 1) * size]
            codes = slice(index * per_record, (index + 1) * per_record)
            yield {
                "counts": _filled(counts, size, 0),
                "scale": store.SCALE,
                "samples": len(counts),
                "annotation": _filled(
                    segment.annotation[codes], per_record, labels.MISSING
                ),
                "purity": _filled(segment.purity[codes], per_record, 0),
                "person": recording.person,
                "recording": recording.name,
                "segment": number,
                "index": index,
                "start": segment.start + index * size / settings.prepare.rate_hz,
            }


def _labelled(
    raw: list[rec.Segment], wear: rec.WearSegment, settings: BuildSettings
) -> tuple[LabelledSegment, int]:
    """Labels a stretch and rounds it to counts; returns it and what was clipped."""
    total, step = len(wear.acceleration), settings.label_samples
    ends = np.minimum(np.arange(math.ceil(total / step) + 1) * step, total)
    found = labels.majority_labels(raw, wear.start + ends / settings.prepare.rate_hz)
    exact = np.rint(wear.acceleration * np.float32(1 / store.SCALE))
    limits = np.iinfo(np.int16)
    clipped = int(np.sum((exact < limits.min) | (exact > limits.max)))
    segment = LabelledSegment(
        start=wear.start,
        counts=np.clip(exact, limits.min, limits.max).astype(np.int16),
        annotation=found.code,
        purity=found.purity,
    )
    return segment, clipped


def _filled(values: np.ndarray, length: int, fill: int) -> np.ndarray:
    if len(values) == length:
        return values
    out = np.full((length, *values.shape[1:]), fill, values.dtype)
    out[: len(values)] = values
    return out


def timeline(code: np.ndarray, purity: np.ndarray) -> list[list[float]]:
    """Writes labels as runs `[code, purity, windows]`: bouts last for many windows."""
    if not len(code):
        return []
    rounded = np.round(purity.astype(float), 4)
    changes = (np.diff(code) != 0) | (np.diff(rounded) != 0)
    first = np.concatenate([[0], np.flatnonzero(changes) + 1])
    lengths = np.diff([*first, len(code)])
    return [
        [int(code[at]), float(rounded[at]), int(length)]
        for at, length in zip(first, lengths, strict=True)
    ]


def from_timeline(runs: list[list[float]]) -> labels.WindowLabels:
    """Reads what `timeline` wrote."""
    code, purity, lengths = zip(*runs, strict=True) if runs else ((), (), ())
    times = np.array(lengths, np.int64)
    return labels.WindowLabels(
        np.repeat(np.array(code, np.int16), times),
        np.repeat(np.array(purity, np.float32), times),
    )
