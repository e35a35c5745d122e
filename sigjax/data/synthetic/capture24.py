"""Simulates a labelled study in the layout in which Capture-24 is published.

`P001.csv.gz` and so on: `time,x,y,z,annotation` at exactly 100 Hz, calibrated, a third
of the samples without annotation; `annotation-label-dictionary.csv`, which maps
annotations to the classes of each label scheme; `metadata.csv` with age group and sex.
"""

import csv
import dataclasses
import gzip
import io
import json

import numpy as np
import pyarrow as pa
from etils import epath
from pyarrow import csv as pa_csv

from sigjax.data.synthetic import wrist
from sigjax.data.synthetic.capture24_labels import ANNOTATIONS, SCHEMES, annotations_of
from sigjax.data.synthetic.schedule import Span

RATE_HZ = 100.0
UNLABELLED = 1 / 3  # of the samples
_MOST_OF_SPAN = 0.6  # that is left without annotation
_SIMULATOR_VERSION = 2
_AGES = ("18-29", "30-37", "38-52", "53+")
_NOTE = """These recordings are SIMULATED: no person wore a device.

They have the layout of the Capture-24 data set and none of its data. They exercise and
test software. Nothing measured on them says anything about people.

people: {people}
hours per recording: {hours}
seed: {seed}
simulator version: {version}

NAME.truth.json holds the activities and the annotations that were given, in seconds
since the recording began.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnnotatedSpan:
    """One annotation ("" for none) of the samples in `[start_s, end_s)`."""

    annotation: str
    start_s: float
    end_s: float


def write_capture24(
    folder: epath.PathLike, *, people: int, hours: float, seed: int
) -> list[epath.Path]:
    """Writes a folder as Capture-24 is published, with the truth beside it.

    Recordings shorter than a day are a day played fast, so that every activity comes
    up in each. Files that are there from the same simulation are kept.

    Args:
      folder: Created if missing.
      people: How many, P001 onwards.
      hours: Length of each recording.
      seed: Of everything.

    Returns:
      The paths of the recordings, sorted.

    Raises:
      FileExistsError: If recordings are there that are not of this simulation.
    """
    if people < 1 or not hours > 0:
        raise ValueError(
            f"people must be at least 1 and hours positive, got {people} and {hours}"
        )
    folder = epath.Path(folder)
    note = _NOTE.format(
        people=people, hours=hours, seed=seed, version=_SIMULATOR_VERSION
    )
    marker = folder / "SIMULATED.txt"
    paths = [folder / f"P{person:03d}.csv.gz" for person in range(1, people + 1)]
    known = marker.exists() and marker.read_text() == note
    if folder.exists() and not known and any(folder.glob("P*.csv.gz")):
        raise FileExistsError(
            f"{folder} holds recordings that are not of this simulation; choose an "
            "empty folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text(note)
    _write_rows(folder / "annotation-label-dictionary.csv", _dictionary())
    rng = np.random.default_rng([seed, 8])
    persons = [["pid", "age", "sex"]]
    for path in paths:
        sex = "F" if rng.random() < 2 / 3 else "M"
        persons.append([path.name[:4], _AGES[rng.integers(len(_AGES))], sex])
    _write_rows(folder / "metadata.csv", persons)
    for person, path in enumerate(paths, start=1):
        if not path.exists():
            _write_person(path, _simulation(person, hours, seed))
    return paths


def _dictionary() -> list[list[str]]:
    header = ["annotation", *(f"label:{scheme}" for scheme in SCHEMES)]
    return [header, *([text, *labels] for text, (labels, _) in ANNOTATIONS.items())]


def _write_rows(path: epath.Path, rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    path.write_text(text.getvalue())


def _simulation(person: int, hours: float, seed: int) -> wrist.WristSimulation:
    words = np.random.SeedSequence([seed, person, 24]).generate_state(2)
    rng = np.random.default_rng([int(words[0]), 4])
    # The published times are randomised too: some minute of the end of 2016.
    start = 1_475_280_000 + 60 * int(rng.integers(0, 90 * 24 * 60))
    simulation = wrist.WristSimulation(
        seed=int(words[0]),
        person_seed=int(words[1]),
        days=max(hours / 24, 1.0),
        rate_hz=RATE_HZ,
        start=float(start),
        gain_error=0.0,
        offset_error_g=0.0,
    )
    if hours >= 24:
        return simulation
    return dataclasses.replace(
        simulation, days=hours / 24, schedule=_faster(simulation, hours)
    )


def _faster(day: wrist.WristSimulation, hours: float) -> tuple[Span, ...]:
    """A day's schedule in fewer hours, on whole samples."""
    spans = day.truth().spans
    ends = [round(span.end_s * hours / 24 * RATE_HZ) / RATE_HZ for span in spans]
    # Rounding must not leave the recording's end uncovered.
    ends[-1] = max(ends[-1], hours * 3600.0)
    return tuple(
        Span(activity=span.activity, start_s=start, end_s=end)
        for span, start, end in zip(spans, [0.0, *ends[:-1]], ends, strict=True)
    )


def annotate(simulation: wrist.WristSimulation) -> tuple[AnnotatedSpan, ...]:
    """Gives every span one of its activity's annotations, then takes a third away."""
    rng = np.random.default_rng([simulation.seed, 9])
    end = simulation.num_samples
    spans = []
    for span in simulation.truth().spans:
        first = min(round(span.start_s * RATE_HZ), end)
        last = min(round(span.end_s * RATE_HZ), end)
        if last > first:
            known = annotations_of(span.activity)
            spans.append(
                [first, last, known[rng.integers(len(known))] if known else ""]
            )
    missing = round(UNLABELLED * end) - sum(b - a for a, b, text in spans if not text)
    # Nobody annotates what the camera did not see. Something of each span stays, so
    # that no activity goes missing from a short recording.
    for place in rng.permutation(len(spans)):
        first, last, text = spans[place]
        if not text or missing <= 0:
            continue
        cut = min(round(_MOST_OF_SPAN * (last - first)), missing)
        missing -= cut
        spans[place] = [first + cut, last, text]
    annotated, cursor = [], 0
    for first, last, text in [*spans, [end, end, ""]]:
        if first > cursor:
            annotated.append((cursor, first, ""))
        if last > first:
            annotated.append((first, last, text))
        cursor = max(cursor, last)
    return tuple(
        AnnotatedSpan(annotation=text, start_s=a / RATE_HZ, end_s=b / RATE_HZ)
        for a, b, text in annotated
    )


def _write_person(path: epath.Path, simulation: wrist.WristSimulation) -> None:
    annotated = annotate(simulation)
    described = {
        "simulation": dataclasses.asdict(simulation),
        "spans": [dataclasses.asdict(span) for span in simulation.truth().spans],
        "annotated": [dataclasses.asdict(span) for span in annotated],
    }
    # Before the recording, whose presence means that both are complete.
    truth = path.with_name(path.name.removesuffix(".csv.gz") + ".truth.json")
    truth.write_text(json.dumps(described, indent=1))
    partial = path.with_name(path.name + ".tmp")
    with (
        partial.open("wb") as raw,
        # Without a time inside, equal parameters give equal bytes.
        gzip.GzipFile(
            filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=3
        ) as packed,
    ):
        packed.write(b"time,x,y,z,annotation\n")
        first = 0
        for chunk in simulation.chunks():
            packed.write(_rows(chunk, first, simulation.start, annotated))
            first += len(chunk)
    partial.replace(path)


def _rows(
    chunk: np.ndarray, first: int, start: float, annotated: tuple[AnnotatedSpan, ...]
) -> bytes:
    """CSV rows of samples `[first, first + s)`."""
    index = first + np.arange(len(chunk))
    microseconds = round(start * 1e6) + index * round(1e6 / RATE_HZ)
    ends = np.array([round(span.end_s * RATE_HZ) for span in annotated])
    texts = [span.annotation or None for span in annotated]
    codes = np.searchsorted(ends, index, side="right").astype(np.int32)
    table = pa.table(
        {
            "time": pa.array(microseconds, pa.timestamp("us")),
            **{axis: chunk[:, column] for column, axis in enumerate("xyz")},
            "annotation": pa.array(texts, pa.string()).take(pa.array(codes)),
        }
    )
    sink = pa.BufferOutputStream()
    options = pa_csv.WriteOptions(include_header=False, quoting_style="none")
    pa_csv.write_csv(table, sink, options)
    return sink.getvalue().to_pybytes()
