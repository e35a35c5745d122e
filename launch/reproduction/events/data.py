"""The sets of audio events that tables run on: given, or simulated once."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from etils import epath

from launch import claims
from launch.reproduction.cells import Source
from launch.reproduction.events.cells import GivenSet
from launch.reproduction.events.sheets import DATASETS, VERBS_AND_NOUNS, Scale
from sigjax.config import ConfigError
from sigjax.data.audio_events.simulated import simulate_set
from sigjax.data.audio_events.sounds import EventSet
from sigjax.data.audio_events.stream_config import EventDataConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What is said of a set wherever numbers from it are shown.

    Attributes:
      dataset: In whose place it stands, of `DATASETS`.
      name: Its own.
      path: Where it lies.
      fingerprint: Of its content.
      clips: How many.
      classes: How many of each head.
      hours: Of all clips.
      rate_hz: Sampling rate.
      simulated: Whether they are simulated.
      reported: In words, which clips are.
      overrides: Of configs, to that end.
    """

    dataset: str
    name: str
    path: str
    fingerprint: str
    clips: int
    classes: tuple[int, ...]
    hours: float
    rate_hz: int
    simulated: bool
    reported: str
    overrides: Mapping[str, Any]

    @property
    def given(self) -> GivenSet:
        """As plans take it."""
        return GivenSet(Source(self.path, self.fingerprint), self.overrides)

    def line(self) -> str:
        """All of it in one line."""
        mark = "SIMULATED " if self.simulated else ""
        classes = " and ".join(map(str, self.classes))
        return (
            f"in place of {DATASETS[self.dataset]}: {mark}{self.name}, {self.clips:,}"
            f" clips of {classes} classes, {self.hours:,.1f} h at {self.rate_hz:,} Hz,"
            f" fingerprint {self.fingerprint}, {self.path}; {self.reported} is reported"
        )


def of_set(path: str, dataset: str) -> Facts:
    """Opens a set, and sees whether tables can be made of it.

    Raises:
      sigjax.data.datasets.folders.DatasetError: There is none.
      ConfigError: It is of another kind, or has nothing to report.
    """
    opened = EventSet.open(path)
    kind = "verb_noun" if dataset in VERBS_AND_NOUNS else "single"
    if opened.kind != kind:
        raise ConfigError(
            f"--{dataset}={path}: the set is of the kind {opened.kind!r},"
            f" {DATASETS[dataset]}'s tables take {kind!r}"
        )
    reported, divided = _reported(opened)
    if not reported:
        raise ConfigError(
            f"--{dataset}={path}: nothing to report: it has the splits"
            f" {', '.join(opened.splits)} and no folds"
        )
    return Facts(
        dataset=dataset,
        name=opened.name,
        path=path,
        fingerprint=opened.fingerprint,
        clips=len(opened),
        classes=tuple(len(names) for names in opened.classes.values()),
        hours=float(opened.samples.sum()) / opened.rate_hz / 3600,
        rate_hz=opened.rate_hz,
        simulated=opened.simulated,
        reported=reported,
        overrides=divided,
    )


def _reported(opened: EventSet) -> tuple[str, dict[str, Any]]:
    """Which clips are reported, in words, and overrides that divide the set so."""
    if "test" in opened.splits:
        return "the split test", {}
    if len(opened.folds) > 1:
        return f"fold {opened.folds[0]}", {"data.test_fold": opened.folds[0]}
    if "validation" in opened.splits:
        # EPIC-Kitchens-100 has no labels of its test split.
        splits = {"data.test_splits": ("validation",), "data.validation_splits": ()}
        return "the split validation", splits
    return "", {}


def simulate(
    workdir: epath.Path, scale: Scale, dataset: str, say: Callable[[str], None]
) -> str:
    """Writes simulated events and builds a set of them, once per folder.

    Returns:
      The set's folder.

    Raises:
      ConfigError: The scale simulates nothing in this data set's place.
    """
    wanted = (scale.simulated or {}).get(dataset)
    if wanted is None:
        raise ConfigError(
            f"--scale={scale.key} needs --{dataset}=SET (launch.build_events); without"
            " data, try --scale=small"
        )
    folder = workdir / "data" / f"{dataset}-{scale.key}"
    with claims.claim(workdir / "claims", f"data-{dataset}-{scale.key}", wait=True):
        say(
            f"SIMULATED data in {folder}: {wanted.classes} classes,"
            f" {wanted.clips} clips {'each' if wanted.layout == 'esc50' else 'a split'}"
            f" of {wanted.clip_s:g} s, in place of {DATASETS[dataset]}"
        )
        config = EventDataConfig(dataset="", batch_size=1, simulate=wanted)
        return str(simulate_set(config, folder))
