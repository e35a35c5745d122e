"""Simulates a study: a folder of CWA files of several people."""

import dataclasses
import hashlib
import json

import numpy as np
from etils import epath

from sigjax.data.formats import cwa_layout as layout
from sigjax.data.synthetic import wrist
from sigjax.data.synthetic.cwa import CwaDevice, write_cwa

# Part of every file's fingerprint: raise it when equal parameters give other bytes.
_SIMULATOR_VERSION = 1

_NOTE = """These recordings are SIMULATED: no person wore a device.

They exercise and test software. Nothing measured on them says anything about people.

people: {people}
recordings per person: {recordings_per_person}
days per recording: {days}
seed: {seed}
simulator version: {version}

NAME.cwa is an Axivity AX3 file at a nominal 100 Hz; the subject's code is in its
header. NAME.truth.json holds the activities (seconds since the recording began) and
the device's gain and offset (measured = gain * acceleration + offset).
"""


def simulate_recordings(
    folder: epath.PathLike,
    people: int,
    days: float,
    seed: int,
    recordings_per_person: int = 1,
) -> list[epath.Path]:
    """Writes `P001.cwa`, `P002.cwa`... with their `.truth.json`.

    Several recordings of a person are named `P001_1.cwa`, `P001_2.cwa`... A file
    that is there already from the same simulation is kept, so a run that was
    stopped goes on where it was; a file is never seen half written.

    Args:
      folder: Created if missing.
      people: How many.
      days: Length of each recording.
      seed: Of everything.
      recordings_per_person: All of a person share traits, not devices.

    Returns:
      The paths of the recordings, sorted.

    Raises:
      FileExistsError: If a file of that name is there and is not of this simulation.
    """
    if people < 1 or recordings_per_person < 1:
        raise ValueError(
            "people and recordings_per_person must be at least 1, "
            f"got {people} and {recordings_per_person}"
        )
    folder = epath.Path(folder)
    missing, paths = [], []
    for person in range(1, people + 1):
        for number in range(1, recordings_per_person + 1):
            suffix = f"_{number}" if recordings_per_person > 1 else ""
            path = folder / f"P{person:03d}{suffix}.cwa"
            simulation = _simulation(person, number, days, seed)
            paths.append(path)
            if not _is_there(path, _mark(simulation)):
                missing.append((path, f"P{person:03d}", simulation))
    # Only now, lest a folder of real recordings be called simulated.
    folder.mkdir(parents=True, exist_ok=True)
    note = _NOTE.format(
        people=people,
        recordings_per_person=recordings_per_person,
        days=days,
        seed=seed,
        version=_SIMULATOR_VERSION,
    )
    (folder / "SIMULATED.txt").write_text(note)
    for path, subject, simulation in missing:
        _write(path, subject, simulation)
    return paths


def _simulation(
    person: int, number: int, days: float, seed: int
) -> wrist.WristSimulation:
    person_seed, own_seed = (
        int(np.random.SeedSequence(words).generate_state(1)[0])
        for words in ([seed, person], [seed, person, number])
    )
    rng = np.random.default_rng([own_seed, 4])
    # A person's recordings are half a year apart, people start a week apart.
    weeks = 26 * (number - 1) + (person - 1) % 26
    delay_s = round(rng.uniform(0, 3600), 3)
    return wrist.WristSimulation(
        seed=own_seed,
        person_seed=person_seed,
        days=days,
        # Real AX3 loggers set to 100 Hz were seen to run at 97.6 to 99.0 Hz.
        rate_hz=round(rng.uniform(97.6, 100.4), 2),
        start=wrist.WristSimulation.start + 7 * 86_400 * weeks + delay_s,
    )


def _mark(simulation: wrist.WristSimulation) -> str:
    """What the header's notes say, so that a later run knows its own files."""
    parameters = f"{simulation} {_SIMULATOR_VERSION}".encode()
    return f"simulated {hashlib.sha256(parameters).hexdigest()[:16]}"


def _write(path: epath.Path, subject: str, simulation: wrist.WristSimulation) -> None:
    truth = simulation.truth()
    described = {
        "simulation": dataclasses.asdict(simulation),
        "gain": truth.gain.tolist(),
        "offset_g": truth.offset_g.tolist(),
        "spans": [dataclasses.asdict(span) for span in truth.spans],
    }
    # Before the recording, whose presence means that both are complete.
    path.with_suffix(".truth.json").write_text(json.dumps(described, indent=1))
    rng = np.random.default_rng([simulation.seed, 5])
    device = CwaDevice(
        start=simulation.start,
        rate_hz=simulation.rate_hz,
        device_id=int(rng.integers(10_000, 60_000)),
        session_id=int(rng.integers(1, 1_000_000)),
        annotation={"_sc": subject, "_p": "wrist", "_sn": _mark(simulation)},
    )
    write_cwa(path, simulation.chunks(), device, temperature_c=simulation.temperature_c)


def _is_there(path: epath.Path, mark: str) -> bool:
    """Whether `path` is a complete file of the simulation called `mark`."""
    if not path.exists():
        return False
    with path.open("rb") as handle:
        head = handle.read(layout.HEADER_BYTES)
    found = ""
    if len(head) == layout.HEADER_BYTES:
        found = layout.parse_header(head).metadata.get("subject_notes", "")
    if found == mark:
        return True
    if found.startswith("simulated "):
        raise FileExistsError(
            f"{path} comes from a simulation with other parameters; "
            "choose an empty folder or delete its recordings"
        )
    raise FileExistsError(f"{path} is not a simulated recording; choose another folder")
