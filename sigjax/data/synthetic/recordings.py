"""Simulates a study: a folder of CWA files of several people."""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
from etils import epath

from sigjax.data.formats import cwa_layout as layout
from sigjax.data.synthetic import wrist
from sigjax.data.synthetic.clock import SampleClock
from sigjax.data.synthetic.cwa import CwaDevice, Interruption, stored_runs, write_cwa
from sigjax.data.synthetic.damage import DAMAGE, Damage
from sigjax.data.synthetic.schedule import DAY_S, Span
from sigjax.data.synthetic.truth import RecordingTruth

# Part of every file's fingerprint: raise it when equal parameters give other bytes.
_SIMULATOR_VERSION = 2

_NOTE = """These recordings are SIMULATED: no person wore a device.

They exercise and test software. Nothing measured on them says anything about people.

people: {people}
recordings per person: {recordings_per_person}
days per recording: {days}
seed: {seed}
simulator version: {version}

NAME.cwa is an Axivity {model} file at a nominal {rate_hz:g} Hz; the subject's code
is in its header. NAME.truth.json holds the activities (seconds since the recording
began) and the device's gain and offset (measured = gain * acceleration + offset),
when samples were taken, which of them are in the file and which blocks are damaged.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conditions:
    """How far a study's devices are from ideal.

    Attributes:
      model: `"AX3"` (packed samples) or `"AX6"` (16 bit, with a gyroscope).
      nominal_rate_hz: Configured rate, 3200 over a power of two.
      rate_per_c: Relative change of the sampling rate per degree C.
      temp_error_g_per_c: See `WristSimulation`.
      restarts: Stops of up to half an hour, after which block numbers begin again.
      clocks_set_back: Stops at which the clock is set back by 10 to 60 minutes.
      bad_blocks: Damaged blocks, of every kind in turn.
      truncated: The file ends within a block.
    """

    model: str = "AX3"
    nominal_rate_hz: float = 100.0
    rate_per_c: float = 0.0
    temp_error_g_per_c: float = 0.0
    restarts: int = 0
    clocks_set_back: int = 0
    bad_blocks: int = 0
    truncated: bool = False


IDEAL = Conditions()


def simulate_recordings(
    folder: epath.PathLike,
    people: int,
    days: float,
    seed: int,
    recordings_per_person: int = 1,
    *,
    conditions: Conditions = IDEAL,
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
      conditions: What the devices are and what happens to them.

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
            simulation = _simulation(person, number, days, seed, conditions)
            paths.append(path)
            if not _is_there(path, _mark(simulation, conditions)):
                missing.append((path, f"P{person:03d}", simulation))
    # Only now, lest a folder of real recordings be called simulated.
    folder.mkdir(parents=True, exist_ok=True)
    note = _NOTE.format(
        people=people,
        recordings_per_person=recordings_per_person,
        days=days,
        seed=seed,
        version=_SIMULATOR_VERSION,
        model=conditions.model,
        rate_hz=conditions.nominal_rate_hz,
    )
    if conditions != IDEAL:
        note = f"{note}\n{conditions}\n"
    (folder / "SIMULATED.txt").write_text(note)
    for path, subject, simulation in missing:
        _write(path, subject, simulation, conditions)
    return paths


def write_recording(
    path: epath.PathLike,
    simulation: wrist.WristSimulation,
    device: CwaDevice,
    *,
    damage: Sequence[Damage] = (),
    interruptions: Sequence[Interruption] = (),
    truncated_bytes: int = 0,
) -> RecordingTruth:
    """Writes `NAME.truth.json` and then the CWA file; see `write_cwa`.

    Raises:
      ValueError: If device and simulation disagree on the rate of the samples.
    """
    if device.rate_hz != simulation.rate_hz:
        raise ValueError(
            f"the device takes {device.rate_hz} samples per second, the simulation "
            f"makes {simulation.rate_hz}"
        )
    errors = simulation.truth()
    clock = device.clock or SampleClock.steady(device.rate_hz)
    truth = RecordingTruth(
        start=device.start,
        spans=_on_clock(errors.spans, clock, device),
        gain=errors.gain,
        offset_g=errors.offset_g,
        temp_coeff_g_per_c=errors.temp_coeff_g_per_c,
        clock=clock,
        samples_per_block=device.samples_per_block,
        runs=stored_runs(simulation.num_samples, device, interruptions),
        damage=tuple(damage),
        truncated_bytes=truncated_bytes,
        simulation=dataclasses.asdict(simulation),
    )
    path = epath.Path(path)
    # Before the recording, whose presence means that both are complete.
    truth.save(path.with_suffix(".truth.json"))
    write_cwa(
        path,
        simulation.chunks(gyroscope=device.axes > 3),
        device,
        temperature_c=simulation.temperature_c,
        damage=damage,
        interruptions=interruptions,
        truncated_bytes=truncated_bytes,
    )
    return truth


def _on_clock(
    spans: Sequence[Span], clock: SampleClock, device: CwaDevice
) -> tuple[Span, ...]:
    """Spans in seconds of the device's clock instead of samples at its mean rate."""
    if device.clock is None:
        return tuple(spans)
    ends = [0.0, *(span.end_s for span in spans)]
    times = clock.seconds_at(np.array(ends) * device.rate_hz)
    return tuple(
        Span(activity=span.activity, start_s=float(first), end_s=float(last))
        for span, first, last in zip(spans, times[:-1], times[1:], strict=True)
    )


def _simulation(
    person: int, number: int, days: float, seed: int, conditions: Conditions
) -> wrist.WristSimulation:
    person_seed, own_seed = (
        int(np.random.SeedSequence(words).generate_state(1)[0])
        for words in ([seed, person], [seed, person, number])
    )
    rng = np.random.default_rng([own_seed, 4])
    # A person's recordings are half a year apart, people start a week apart.
    weeks = 26 * (number - 1) + (person - 1) % 26
    delay_s = round(rng.uniform(0, 3600), 3)
    share = conditions.nominal_rate_hz / 100.0
    return wrist.WristSimulation(
        seed=own_seed,
        person_seed=person_seed,
        days=days,
        # Real AX3 loggers set to 100 Hz were seen to run at 97.6 to 99.0 Hz.
        rate_hz=round(rng.uniform(97.6, 100.4) * share, 2),
        start=wrist.WristSimulation.start + 7 * DAY_S * weeks + delay_s,
        temp_error_g_per_c=conditions.temp_error_g_per_c,
    )


# What a simulation consisted of when its mark was first written into headers.
_MARKED = (
    "seed",
    "days",
    "person_seed",
    "rate_hz",
    "start",
    "noise_g",
    "gain_error",
    "offset_error_g",
    "schedule",
)


def _mark(simulation: wrist.WristSimulation, conditions: Conditions) -> str:
    """What the header's notes say, so that a later run knows its own files."""
    fields = ", ".join(f"{name}={getattr(simulation, name)!r}" for name in _MARKED)
    parameters = f"WristSimulation({fields}) {_SIMULATOR_VERSION}"
    if conditions != IDEAL:
        parameters += f" {conditions}"
    return f"simulated {hashlib.sha256(parameters.encode()).hexdigest()[:16]}"


def _write(
    path: epath.Path,
    subject: str,
    simulation: wrist.WristSimulation,
    conditions: Conditions,
) -> None:
    rng = np.random.default_rng([simulation.seed, 5])
    clock = None
    if conditions.rate_per_c:
        clock = SampleClock.drifting(
            simulation.rate_hz,
            simulation.days * DAY_S,
            simulation.temperature_c,
            per_c=conditions.rate_per_c,
        )
    wide = conditions.model == "AX6"
    device = CwaDevice(
        start=simulation.start,
        rate_hz=simulation.rate_hz,
        nominal_rate_hz=conditions.nominal_rate_hz,
        model=conditions.model,
        packed=not wide,
        axes=6 if wide else 3,
        device_id=int(rng.integers(10_000, 60_000)),
        session_id=int(rng.integers(1, 1_000_000)),
        clock=clock,
        annotation={
            "_sc": subject,
            "_p": "wrist",
            "_sn": _mark(simulation, conditions),
        },
    )
    damage, stops = _mishaps(simulation, device, conditions)
    write_recording(
        path,
        simulation,
        device,
        damage=damage,
        interruptions=stops,
        truncated_bytes=200 if conditions.truncated else 0,
    )


def _mishaps(
    simulation: wrist.WristSimulation, device: CwaDevice, conditions: Conditions
) -> tuple[list[Damage], list[Interruption]]:
    """Draws where the recording stops and which blocks are damaged."""
    rng = np.random.default_rng([simulation.seed, 7])
    blocks = simulation.num_samples // device.samples_per_block
    stops = conditions.restarts + conditions.clocks_set_back
    longest_s = min(1800.0, 0.1 * simulation.days * DAY_S / max(stops, 1))
    # The last tenth may not be reached: samples are lost before it.
    last = max(int(0.8 * blocks), 2)
    number = min(stops + conditions.bad_blocks, last - 1)
    places = 1 + rng.choice(last - 1, number, replace=False)
    interruptions = [
        Interruption(
            block=int(block),
            lost_s=float(rng.uniform(0.1, 1.0) * longest_s),
            clock_shift_s=-float(rng.uniform(600, 3600))
            if place < conditions.clocks_set_back
            else 0.0,
            new_session=place < conditions.clocks_set_back,
        )
        for place, block in enumerate(places[:stops])
    ]
    damage = [
        Damage(block=int(block), kind=DAMAGE[place % len(DAMAGE)])
        for place, block in enumerate(places[stops:])
    ]
    return damage, sorted(interruptions, key=lambda stop: stop.block)


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
