"""Simulates a year of the DCASE challenge's Task 2: machine sounds, some anomalous.

Seven types of machine, each section a machine of its own, a target domain that differs
in speed, load, background or microphone, and anomalies of several kinds and strengths
of which all is known. The layout is that of the 2021 challenge (Kawaguchi et al.,
arXiv:2106.04492) or of those from 2022 on.
"""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, cast

from etils import epath

from sigjax.data.synthetic import machine_layout as layouts
from sigjax.data.synthetic import machine_record as recorder
from sigjax.data.synthetic import machine_signals as signals
from sigjax.data.synthetic.marked import claim, replace, write_wav

MACHINES = tuple(recorder.MACHINES)
SECTIONS = ("00", "01", "02", "03", "04", "05")
_SIMULATOR_VERSION = 1  # raise it when equal parameters give other bytes
_CHUNK = 4  # clips that a worker makes at a time
_MIN_RATE_HZ = 8000
_NOTE = """These sounds are SIMULATED: no machine made them.

They have the layout of the data of the DCASE challenge, Task 2, {layout}, and none of
its sounds. They exercise and test software. Nothing measured on them says anything
about machines.

machines: {machines}
sections: {sections}
clips of a section: {counts}
seconds per clip: {clip_s:g}
sampling rate in Hz: {rate_hz}
seed: {seed}
simulator version: {version}

truth.json holds the traits of every machine and, for each clip, how the machine ran,
how it was recorded, and what was wrong with it, how strongly and when.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Job:
    """Some clips of a section; workers draw them again rather than be sent them."""

    folder: str
    counts: layouts.Counts
    layout: str
    clip_s: float
    rate_hz: int
    seed: int
    machine: str = ""
    section: str = ""
    first: int = 0
    last: int = 0


def write_machine_sounds(
    folder: epath.PathLike,
    *,
    machines: Sequence[str] = MACHINES,
    sections: Sequence[str] = SECTIONS,
    train_source: int = 1000,
    train_target: int = 3,
    test_normal: int = 100,
    test_anomaly: int = 100,
    clip_s: float = 10.0,
    rate_hz: int = 16_000,
    layout: str = "2021",
    seed: int,
    workers: int = 1,
    progress: Callable[..., Iterable[int]] | None = None,
) -> epath.Path:
    """Writes `dev_data`, `eval_data` and ground truth as a challenge publishes them.

    Sections 00 to 02 are in `dev_data`, 03 and up in `eval_data`; WAV, mono, 16 bits.
    Equal parameters give equal bytes, with any number of workers. Files that are there
    from the same simulation are kept, so a run that was stopped goes on.

    Args:
      folder: Created if missing.
      machines: Types, of `MACHINES`.
      sections: Two digits each.
      train_source: Normal clips of the source domain per section.
      train_target: Normal clips of the target domain per section.
      test_normal: Normal clips to test on per section and domain.
      test_anomaly: Anomalous clips to test on per section and domain.
      clip_s: Length of each clip.
      rate_hz: Sampling rate.
      layout: "2021", or "2022" for that of 2022 and later: one `test` folder, no domain
        in names of evaluation clips, attributes in names and tables.
      seed: Of everything.
      workers: Processes.
      progress: Called with an iterable of numbers of clips and `total=`; iterated in
        its place (`tqdm.tqdm` fits).

    Returns:
      The folder.

    Raises:
      ValueError: If a parameter makes no sense.
      FileExistsError: If sounds are there that are not of this simulation.
      sigjax.data.wearable.pool.WorkerError: If a worker is killed; what was written
        stays.
    """
    counts = layouts.Counts(
        train_source=train_source,
        train_target=train_target,
        test_normal=test_normal,
        test_anomaly=test_anomaly,
    )
    job = _Job(
        folder=str(folder),
        counts=counts,
        layout=layout,
        clip_s=clip_s,
        rate_hz=rate_hz,
        seed=seed,
    )
    _check(machines, sections, job)
    folder = epath.Path(folder)
    claim(folder, _note(machines, sections, job), ("dev_data", "eval_data"))
    jobs = [
        dataclasses.replace(job, machine=machine, section=section)
        for machine in machines
        for section in sections
    ]
    # Before the sounds, which they tell of.
    _write_tables(folder, jobs)
    jobs = [chunk for job in jobs for chunk in _chunks(job)]
    total = sum(job.last - job.first for job in jobs)
    # Closed at once when something is raised, which ends the workers.
    with contextlib.closing(_run(jobs, workers)) as done:
        for _ in progress(done, total=total) if progress else done:
            pass
    return folder


def _note(machines: Sequence[str], sections: Sequence[str], job: _Job) -> str:
    counts = dataclasses.asdict(job.counts).items()
    return _NOTE.format(
        layout=job.layout if job.layout == "2021" else f"{job.layout} and later",
        machines=", ".join(machines),
        sections=", ".join(sections),
        counts=", ".join(f"{name} {count}" for name, count in counts),
        clip_s=job.clip_s,
        rate_hz=job.rate_hz,
        seed=job.seed,
        version=_SIMULATOR_VERSION,
    )


def _check(machines: Sequence[str], sections: Sequence[str], job: _Job) -> None:
    unknown = [machine for machine in machines if machine not in MACHINES]
    if unknown or not machines or len(set(machines)) < len(machines):
        raise ValueError(
            f"machines must be different ones of {', '.join(MACHINES)}, got {machines}"
        )
    odd = [s for s in sections if not (len(s) == 2 and s.isascii() and s.isdigit())]
    if odd or not sections or len(set(sections)) < len(sections):
        raise ValueError(
            f'sections must be different, two digits each ("00"), got {sections}'
        )
    for name, count in dataclasses.asdict(job.counts).items():
        if not 0 <= count <= 9999:
            raise ValueError(f"{name} must be 0 to 9999 (four digits), got {count}")
    if not recorder.MIN_CLIP_S <= job.clip_s < float("inf"):
        raise ValueError(
            f"clip_s must be at least {recorder.MIN_CLIP_S:g}: a shorter clip may hold"
            f" no click of a valve; got {job.clip_s}"
        )
    if job.rate_hz < _MIN_RATE_HZ:
        raise ValueError(f"rate_hz must be at least {_MIN_RATE_HZ}, got {job.rate_hz}")
    if job.layout not in layouts.LAYOUTS:
        raise ValueError(f"layout must be one of {layouts.LAYOUTS}, got {job.layout!r}")


def _write_tables(folder: epath.Path, jobs: Sequence[_Job]) -> None:
    if (folder / "truth.json").exists():  # the last of them
        return
    traits, clips = {}, {}
    for job in jobs:
        section, found = _entries(job)
        traits[f"{job.machine}/{job.section}"] = layouts.rounded(
            {
                "place": dataclasses.asdict(section.place),
                "traits": section.machine.traits(),
                "faults": {
                    kind: dataclasses.asdict(fault)
                    for kind, fault in section.machine.faults.items()
                },
            }
        )
        for entry in found:
            clips[entry.path] = layouts.truth(section, entry, job.clip_s)
        for path, text in layouts.tables(section, found, job.layout).items():
            replace(folder / path, text.encode())
    # A line for each clip: a year has 59,000.
    lines = [
        f" {json.dumps(path)}: {json.dumps(known)}" for path, known in clips.items()
    ]
    text = (
        f'{{"simulated": true,\n"seed": {jobs[0].seed},\n'
        f'"sections": {json.dumps(traits, indent=1)},\n"clips": {{\n'
    )
    replace(folder / "truth.json", (text + ",\n".join(lines) + "\n}}\n").encode())


@functools.lru_cache(maxsize=2)
def _drawn(job: _Job) -> tuple[recorder.Section, list[layouts.Entry]]:
    section = recorder.section(job.seed, job.machine, job.section)
    return section, layouts.entries(
        section, job.counts, layout=job.layout, clip_s=job.clip_s, seed=job.seed
    )


def _entries(job: _Job) -> tuple[recorder.Section, list[layouts.Entry]]:
    return _drawn(dataclasses.replace(job, first=0, last=0))


def _chunks(job: _Job) -> Iterator[_Job]:
    counts = job.counts
    total = counts.train_source + counts.train_target
    total += 2 * (counts.test_normal + counts.test_anomaly)
    for first in range(0, total, _CHUNK):
        yield dataclasses.replace(job, first=first, last=min(first + _CHUNK, total))


def _run(jobs: Sequence[_Job], workers: int) -> Generator[int, None, None]:
    """Does the jobs; yields a number for each clip."""
    number = 0
    if workers <= 1:
        for job in jobs:
            for _ in range(_write_clips(job)):
                number += 1
                yield number
        return
    from sigjax.data.wearable import pool  # slow to import

    running = pool.run(_write_clips, jobs, workers=workers)
    with contextlib.closing(cast(Generator[Any, None, None], running)) as done:
        for count in done:
            if isinstance(count, pool.Died):
                raise pool.WorkerError(f"{count.job}: {count.reason}")
            for _ in range(count):
                number += 1
                yield number


def _write_clips(job: _Job) -> int:
    """Writes those of a job's clips that are not there; returns how many it has."""
    section, found = _entries(job)
    grid = signals.Grid(rate_hz=job.rate_hz, samples=round(job.clip_s * job.rate_hz))
    for entry in found[job.first : job.last]:
        path = epath.Path(job.folder) / entry.path
        if path.exists():
            continue
        wave = recorder.record(section, entry.clip, grid)
        write_wav(path, wave, job.rate_hz)
    return job.last - job.first
