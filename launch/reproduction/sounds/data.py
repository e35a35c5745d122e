"""The set of machine sounds that tables run on: given, or simulated once."""

import dataclasses
from collections.abc import Callable

from etils import epath

from launch import claims
from launch.reproduction.cells import Source
from launch.reproduction.sounds.sheets import Paper, Scale
from sigjax.config import ConfigError
from sigjax.data.machine_sound.names import UNKNOWN
from sigjax.data.machine_sound.simulated import simulate_set
from sigjax.data.machine_sound.sounds import SoundSet
from sigjax.data.machine_sound.stream import SoundDataConfig

# Where labelled clips must be, to choose and to report.
_SPLITS = {"dev": "development", "eval": "evaluation"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What is said of the set wherever numbers from it are shown.

    Attributes:
      name: Of the set.
      path: Where it lies.
      fingerprint: Of its content.
      machines: Those of the paper that it holds.
      clips: How many, of these.
      hours: Of them.
      rate_hz: Sampling rate.
      simulated: Whether they are simulated.
    """

    name: str
    path: str
    fingerprint: str
    machines: tuple[str, ...]
    clips: int
    hours: float
    rate_hz: int
    simulated: bool

    @property
    def source(self) -> Source:
        """Path and fingerprint."""
        return Source(self.path, self.fingerprint)

    def line(self) -> str:
        """All of it in one line."""
        mark = "SIMULATED " if self.simulated else ""
        return (
            f"{mark}{self.name}, {' '.join(self.machines)}, {self.clips:,} clips,"
            f" {self.hours:,.1f} h at {self.rate_hz:,} Hz, fingerprint"
            f" {self.fingerprint}, {self.path}"
        )


def of_set(path: str, paper: Paper) -> Facts:
    """Opens a set, and sees whether tables can be made of it.

    Raises:
      sigjax.data.datasets.builder.DatasetError: There is none.
      ConfigError: It lacks the paper's year or machines, or labelled clips of a side.
    """
    dataset = SoundSet.open(path)
    machines = {c.machine for c in dataset.clips if c.year == paper.year}
    chosen = tuple(m for m in paper.machines if m in machines)
    if not chosen:
        there = sorted({(c.year, c.machine) for c in dataset.clips})[:10]
        raise ConfigError(
            f"--sounds={path}: paper {paper.key} is of {', '.join(paper.machines)} of"
            f" DCASE {paper.year}, and the set has none of them but {there}"
        )
    clips = [c for c in dataset.clips if c.year == paper.year and c.machine in chosen]
    for split, side in _SPLITS.items():
        judged = {
            c.machine
            for c in clips
            if c.side == "test" and c.split == split and c.label != UNKNOWN
        }
        missing = [m for m in chosen if m not in judged]
        if missing:
            raise ConfigError(
                f"--sounds={path}: no labelled test clip of the {side} sections of"
                f" {', '.join(missing)}; build the set with --truth=FOLDER, the"
                " organisers' ground truth (launch.build_sounds)"
            )
    selected = dataset.select(list(chosen), year=paper.year)
    return Facts(
        name=dataset.name,
        path=path,
        fingerprint=dataset.fingerprint,
        machines=chosen,
        clips=len(clips),
        hours=float(dataset.samples[selected].sum()) / dataset.rate_hz / 3600,
        rate_hz=dataset.rate_hz,
        simulated=dataset.simulated,
    )


def simulate(workdir: epath.Path, scale: Scale, say: Callable[[str], None]) -> str:
    """Writes simulated machine sounds and builds a set of them, once per folder.

    Returns:
      The set's folder.

    Raises:
      ConfigError: The scale simulates nothing.
    """
    wanted = scale.simulated
    if wanted is None:
        raise ConfigError(
            f"--scale={scale.key} needs --sounds=SET (launch.build_sounds); without"
            " data, try --scale=small"
        )
    folder = workdir / "data" / f"sounds-{scale.key}"
    with claims.claim(workdir / "claims", f"data-{scale.key}", wait=True):
        say(
            f"SIMULATED data in {folder}: {len(wanted.machines)} machines of"
            f" {len(wanted.sections)} sections, clips of {wanted.clip_s:g} s"
        )
        config = SoundDataConfig(dataset="", batch_size=1, simulate=wanted)
        return str(simulate_set(config, folder))
