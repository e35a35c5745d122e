"""Labelled sets small enough for tests: raw files, and records without raw files."""

import dataclasses
import gzip
import pathlib

import numpy as np

from sigjax.data.datasets import builder, capture24, records
from sigjax.data.wearable import prepare

DICTIONARY = """annotation,label:Willetts2018,label:Walmsley2020
sleeping,sleep,sleep
sitting;reading,sit-stand,sedentary
walking;to work,walking,light
cycling,bicycling,moderate-vigorous
cleaning,mixed,
"""
ANNOTATIONS = ("sleeping", "sitting;reading", "walking;to work", "cycling", "cleaning")
START = 1_480_000_000.0


def acceleration(seconds):
    """In g, of slow movement: the low-pass and the coarser grid change nothing."""
    turn = 2 * np.pi * np.asarray(seconds)[:, None] / np.array([40.0, 60.0, 90.0])
    return 0.5 * np.sin(turn) + [0.0, 0.0, 0.5]


def annotation_at(seconds, person):
    """Bouts of 45 s, one in six without annotation."""
    return (np.asarray(seconds, float) // 45 + person).astype(int) % 6


def write_capture24(folder: pathlib.Path, people: int, minutes: float):
    """A folder in Capture-24's layout; annotations 0 to 4, 5 for none."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / capture24.DICTIONARY).write_text(DICTIONARY)
    rows = [f"P{n:03d},18-29,{'FM'[n % 2]}\n" for n in range(1, people + 1)]
    (folder / capture24.PARTICIPANTS).write_text("pid,age,sex\n" + "".join(rows))
    for person in range(1, people + 1):
        write_person(folder / f"P{person:03d}.csv.gz", person, minutes)


def write_person(path: pathlib.Path, person: int, minutes: float):
    index = np.arange(round(minutes * 6000))
    texts = np.array([*ANNOTATIONS, ""])[annotation_at(index / 100, person)]
    stamps = np.datetime64(int(START * 1000), "ms") + index * np.timedelta64(10, "ms")
    columns = (np.char.replace(stamps.astype(str), "T", " "), texts)
    lines = [
        f"{time},{x:.6f},{y:.6f},{z:.6f},{text}"
        for time, (x, y, z), text in zip(
            columns[0], acceleration(index / 100), columns[1], strict=True
        )
    ]
    body = "time,x,y,z,annotation\n" + "\n".join(lines) + "\n"
    with gzip.open(path, "wt", compresslevel=1) as out:
        out.write(body)


def counting(job, *, lengths):
    """In place of `prepare_labelled`: axes tell person, stretch and sample.

    Labels count up through the annotations, five windows each; -1 every seventh.
    """
    person = int(job.name[1:])
    segments = []
    for number, length in enumerate(lengths(person)):
        counts = np.zeros((length, 3), np.int16)
        counts[:, 0], counts[:, 1] = person, number
        counts[:, 2] = np.arange(length)
        windows = np.arange(-(-length // 10))
        code = np.where(windows % 7 == 6, -1, (windows // 5 + person) % 5)
        segments.append(
            records.LabelledSegment(
                start=START + 1e5 * number,
                counts=counts,
                annotation=code.astype(np.int16),
                purity=np.where(windows % 3 == 0, 0.6, 1.0).astype(np.float32),
            )
        )
    return records.LabelledRecording(
        name=job.name,
        person=job.name,
        source=job.path,
        annotations=ANNOTATIONS,
        segments=tuple(segments),
        quality={"status": "used", "hours": {"used": 1.0}},
    )


def build_counting(folder, monkeypatch, *, people, lengths, record_s):
    """Builds a set of 1 Hz, of `counting` recordings; returns its folder."""
    raw = folder / "raw"
    raw.mkdir()
    (raw / capture24.DICTIONARY).write_text(DICTIONARY)
    for person in range(1, people + 1):
        (raw / f"P{person:03d}.csv").write_text("time,x,y,z,annotation\n")
    grid = dataclasses.replace(prepare.PRESETS["paper"], rate_hz=1.0)
    settings = capture24.settings(str(raw), record_s=record_s, prepare=grid)
    with monkeypatch.context() as patch:
        patch.setattr(
            builder, "prepare_labelled", lambda job: counting(job, lengths=lengths)
        )
        built, _ = builder.build(capture24.Capture24, settings, folder / "sets")
    return built
