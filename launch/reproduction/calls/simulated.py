"""Simulated calls of animals in published layouts: for trying, and for nothing else.

A call is a few harmonics that glide: a class sets the glide, the beat and the noise, an
animal its pitch, its microphone and its background. So a split that ignores animals is
easier than one that does not, as with real ones.
"""

import csv
import dataclasses
import io
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from etils import epath

from sigjax.data.calls import marmosets, mescalina
from sigjax.data.synthetic import marked

_HARMONICS = 4
_PAUSE_S = 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulatedCalls:
    """What is written.

    Attributes:
      classes: How many.
      animals: How many; each makes calls of all classes.
      calls: Of each animal and class.
      seconds: Median length.
      spread: Standard deviation of the length's logarithm.
      rate_hz: Sampling rate.
      seed: Of everything.
    """

    classes: int
    animals: int
    calls: int
    seconds: float
    spread: float = 0.0
    rate_hz: int = 16000
    seed: int = 0

    def __post_init__(self):
        """Refuses what cannot be divided or heard."""
        if self.classes < 2 or self.animals < 3 or self.calls < 1:
            raise ValueError(
                "needs at least 2 classes, 3 animals and a call of each, got"
                f" {self.classes}, {self.animals} and {self.calls}"
            )
        if self.seconds <= 0 or self.spread < 0 or self.rate_hz < 1000:
            raise ValueError(
                "seconds must be above 0, spread at least 0 and rate_hz at least 1000,"
                f" got {self.seconds}, {self.spread} and {self.rate_hz}"
            )


class _Made(NamedTuple):
    """A call: int16 `[s]`, whose, of which class, and how manieth of that."""

    wave: np.ndarray
    animal: int
    kind: int
    number: int


def write(folder: epath.Path, dataset: str, wanted: SimulatedCalls) -> None:
    """Writes a set in its published layout; what is there already stays.

    Args:
      folder: Made if it is not there.
      dataset: `"marmosets"`, `"watkins"` or `"mescalina"`.
      wanted: What is in it.

    Raises:
      FileExistsError: The folder holds something else.
    """
    note = f"Simulated calls, of no animal, in the layout of {dataset}: {wanted}\n"
    marked.claim(folder, note, ("data",))
    {"marmosets": _marmosets, "watkins": _watkins, "mescalina": _mescalina}[dataset](
        folder, wanted
    )


def _made(wanted: SimulatedCalls) -> Iterator[_Made]:
    for animal in range(wanted.animals):
        for kind, number in itertools.product(
            range(wanted.classes), range(wanted.calls)
        ):
            wave = _call(wanted, animal, kind, number)
            yield _Made(np.round(32767 * wave).astype(np.int16), animal, kind, number)


def _call(wanted: SimulatedCalls, animal: int, kind: int, number: int) -> np.ndarray:
    """Float `[s]` within 0.9 of full scale."""
    of_class = np.random.default_rng([wanted.seed, 1, kind])
    own = np.random.default_rng([wanted.seed, 2, animal])
    take = np.random.default_rng([wanted.seed, 3, animal, kind, number])
    seconds = wanted.seconds * np.exp(wanted.spread * take.standard_normal())
    count = max(16, round(seconds * wanted.rate_hz))
    t, place = np.arange(count) / wanted.rate_hz, np.linspace(0, 1, count)
    most_hz = 0.45 * min(wanted.rate_hz, 16000)
    low_hz = most_hz * 0.08 * 2 ** of_class.uniform(0, 2) * 2 ** own.normal(0, 0.15)
    glide, bend = of_class.uniform(-1, 1), of_class.uniform(-1.2, 1.2)
    pitch = low_hz * 2 ** (glide * place + 4 * bend * place * (1 - place))
    phase = 2 * np.pi * np.cumsum(pitch * 2 ** take.normal(0, 0.05)) / wanted.rate_hz
    sizes = of_class.dirichlet(np.ones(_HARMONICS)) * own.uniform(0.5, 1, _HARMONICS)
    wave = np.zeros(count)
    for harmonic, size in enumerate(sizes, 1):
        wave += size * np.sin(harmonic * phase) * (harmonic * pitch < most_hz)
    beat_hz = of_class.uniform(3, 30)
    wave *= 1 - of_class.uniform(0, 0.8) * np.sin(np.pi * beat_hz * t) ** 2
    wave *= np.sin(np.pi * place) ** 0.5
    wave += of_class.uniform(0, 0.1) * take.standard_normal(count)
    wave += own.uniform(0.01, 0.05) * take.standard_normal(count)
    return wave * (take.uniform(0.2, 0.9) / np.abs(wave).max())


def _save(path: epath.Path, wave: np.ndarray, rate_hz: int) -> None:
    if not path.exists():
        marked.write_wav(path, wave, rate_hz)


def _table(path: epath.Path, rows: list[tuple]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    marked.replace(path, text.getvalue().encode())


def _watkins(folder: epath.Path, wanted: SimulatedCalls) -> None:
    """A species each class, a tape each animal."""
    rows: list[tuple] = [("path", "species")]
    for made in _made(wanted):
        cut = made.kind * wanted.calls + made.number
        name = f"{60001 + made.animal}{cut:03d}.wav"
        _save(folder / "data" / name, made.wave, wanted.rate_hz)
        rows.append((f"data/{name}", f"species_{made.kind:02d}"))
    _table(folder / "data" / "annotations.csv", rows)


def _marmosets(folder: epath.Path, wanted: SimulatedCalls) -> None:
    """A long recording of each animal, two of which are twins."""
    heads = ("filename", "start", "end", "duration", "calltype", "caller")
    rows: list[tuple] = [heads]
    pause = np.zeros(round(_PAUSE_S * wanted.rate_hz), np.int16)
    found = itertools.groupby(_made(wanted), key=lambda made: made.animal)
    for animal, calls in found:
        twin, who = animal // 2 + 1, animal % 2 + 1
        name = f"twin_{twin}/20000101_Twin{twin}_marmoset{who}.wav"
        parts, at = [pause], len(pause)
        for made in calls:
            start_s, end_s = (x / wanted.rate_hz for x in (at, at + len(made.wave)))
            kind = made.kind % len(marmosets.CALL_TYPES)
            times = [f"{x:.6f}" for x in (start_s, end_s, end_s - start_s)]
            rows.append((name, *times, kind, animal))
            parts += [made.wave, pause]
            at += len(made.wave) + len(pause)
        _save(folder / "data" / name, np.concatenate(parts), wanted.rate_hz)
    _table(folder / "data" / "labels.csv", rows)


def _mescalina(folder: epath.Path, wanted: SimulatedCalls) -> None:
    """A folder of each dog, with one of each call type."""
    names = [name for name in mescalina.CALL_TYPES if name != "S"]
    for made in _made(wanted):
        place = f"INDIVIDUAL_{made.animal}/{names[made.kind % len(names)]}"
        path = folder / "data" / place / f"{made.number:04d}.wav"
        _save(path, made.wave, wanted.rate_hz)
