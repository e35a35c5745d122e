"""A machine that nobody knew, from minutes of its normal sound, without training."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sigjax.evals.anomaly.controls import OneNumberConfig
from sigjax.evals.anomaly.per_section import Bank, PerSection
from sigjax.evals.anomaly.registry import backend_of, configure
from sigjax.inference.base import BundleError
from sigjax.inference.sounds.alarm_thresholds import alarm_threshold, minutes_needed
from sigjax.inference.sounds.known_machines import (
    KnownSection,
    MachineModel,
    references,
)
from sigjax.inference.sounds.network import Embedded, SoundNetwork, Space
from sigjax.inference.sounds.waves import Waves, checked

# Parts of the sound that are scored by a back-end fitted on the rest, and from how many
# recordings on none of them is divided.
_BLOCKS = 10
_RECORDINGS = 4
_FEWEST = 2


class Windows(NamedTuple):
    """Recordings cut into clips that do not overlap.

    Attributes:
      wave: `[samples]` each, in the order of time.
      recording: Int64 `[n]`, which recording each is of.
      left_out: Seconds that are not used, by why.
      clipped: Clips with samples at full scale.
    """

    wave: tuple[np.ndarray, ...]
    recording: np.ndarray
    left_out: Mapping[str, float]
    clipped: int


def cut(waves: Waves, *, rate_hz: float, samples: int) -> Windows:
    """Clips of normal recordings. They do not overlap: one that shares sound with
    another says nothing new of how scores spread.

    A recording that is shorter than a clip is one; what is left at the end of a longer
    one is not used, neither are clips whose samples are all alike.

    Raises:
      sigjax.data.audio.AudioError: See `sigjax.inference.sounds.waves.checked`.
    """
    rows, _ = checked(waves, rate_hz=rate_hz, samples=samples)
    found: list[np.ndarray] = []
    number: list[int] = []
    left_out = {"silent": 0.0, "ends of recordings": 0.0}
    for i, wave in enumerate(rows):
        whole = max(1, len(wave) // samples)
        left_out["ends of recordings"] += max(0, len(wave) - whole * samples) / rate_hz
        for k in range(whole):
            piece = wave[k * samples : (k + 1) * samples]
            if piece.min() == piece.max():
                left_out["silent"] += len(piece) / rate_hz
                continue
            found.append(piece)
            number.append(i)
    remarks = checked(found, rate_hz=rate_hz, samples=samples)[1] if found else ()
    return Windows(
        tuple(found),
        np.array(number, np.int64),
        {name: seconds for name, seconds in left_out.items() if seconds},
        sum("clipped" in remark for remark in remarks),
    )


def fit_section(
    network: SoundNetwork,
    waves: Waves,
    *,
    machine: str,
    section: str,
    domain: str | Sequence[str],
    backend: str | Mapping[str, Any],
    features: str,
    false_alarms_per_day: float,
    hop_s: float,
    scaling: np.ndarray | None = None,
) -> tuple[MachineModel, KnownSection]:
    """Fits a back-end and a threshold; see `SoundDetector.fit`.

    Statistics of a spectrum are standardised: some bands vary by a tenth of a decibel
    and others by ten. The sections of a machine share one scale (`scaling`).
    """
    windows = cut(waves, rate_hz=network.rate_hz, samples=network.samples)
    count = len(windows.wave)
    needed = minutes_needed(false_alarms_per_day, hop_s, network.clip_s)
    if count < _FEWEST:
        raise BundleError(
            f"{machine}: {count} clips of {network.clip_s:g} s are too few to fit on"
            f"{_said(windows.left_out)}; the least is {_FEWEST}, and"
            f" {false_alarms_per_day:g} false alarms a day need {needed:,.0f} minutes"
        )
    config, space = configured(backend, features, network)
    reads = backend_of(config).reads
    normal = _Normal(
        said=network.embed(windows.wave, also={space, *reads}),
        domain=_domains(domain, windows.recording),
        machine=machine,
        section=section,
        config=config,
        space=space,
        scaling=scaling,
    )
    block = blocks(windows.recording)
    held_out, fitted = normal.held_out(block), normal.fit(np.ones(count, bool))
    threshold = alarm_threshold(
        held_out,
        false_alarms_per_day=false_alarms_per_day,
        hop_s=hop_s,
        clip_s=network.clip_s,
    )
    known = KnownSection(
        machine=machine,
        section=section,
        threshold=threshold,
        held_out=held_out,
        false_alarms_per_day=false_alarms_per_day,
        hop_s=hop_s,
        clips=count,
        level=_level(network, normal.said, windows, space),
        facts=_facts(network, windows, needed),
        **references(*fitted.place(normal.said, network), block=block),
    )
    return fitted, known


def blocks(recording: np.ndarray) -> np.ndarray:
    """Which clips are held out together, int64 `[n]`: ten blocks at most.

    Clips of one recording are alike, and so are neighbours in time: drawn at random,
    those that are held out would look more normal than those of another day. Four
    recordings and more are kept whole; fewer are divided in the order of time.

    Args:
      recording: Int `[n]`, ascending: which recording each clip is of.
    """
    names, rank = np.unique(recording, return_inverse=True)
    if len(names) < _RECORDINGS:
        names, rank = recording, np.arange(len(recording))
    return rank * min(_BLOCKS, len(names)) // len(names)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Normal:
    """Normal clips of a section, and what is to be fitted on them."""

    said: Embedded
    domain: np.ndarray
    machine: str
    section: str
    config: Any
    space: Space
    scaling: np.ndarray | None

    def fit(self, rows: np.ndarray) -> MachineModel:
        """A back-end on some of the clips, bool `[n]`."""
        scaling = None
        if self.space == "spectrum":
            scaling = self.scaling
            if scaling is None:
                scaling = _scaling(self.said.columns["spectrum"][rows])
        models = PerSection(self.config).fit(self._bank(rows, scaling))
        return MachineModel(models, self.space, scaling)

    def held_out(self, block: np.ndarray) -> np.ndarray:
        """Float64 `[n]`: scores of each block by a back-end fitted on the others."""
        score = np.full(len(block), np.nan)
        for name in np.unique(block):
            own = block == name
            rest = self.fit(~own)
            score[own] = rest.models.score(self._bank(own, rest.scaling)).score
        return score

    def _bank(self, rows: np.ndarray, scaling: np.ndarray | None) -> Bank:
        return self.said.take(rows).bank(
            self.machine,
            self.section,
            self.domain[rows],
            space=self.space,
            scaling=scaling,
        )


def _facts(network: SoundNetwork, windows: Windows, needed: float) -> dict[str, Any]:
    return {
        "fitted": "without training",
        "recordings": len(np.unique(windows.recording)),
        "minutes": sum(len(w) for w in windows.wave) / network.rate_hz / 60,
        "left_out_s": dict(windows.left_out),
        "clipped_clips": windows.clipped,
        "minutes_needed": needed,
    }


def configured(
    backend: str | Mapping[str, Any], features: str, network: SoundNetwork
) -> tuple[Any, Space]:
    """A back-end's config, and what it reads as the embedding.

    Given by its name alone, it has the distance that suits what it reads.

    Raises:
      BundleError: There is no such back-end, or there are no such features.
    """
    if features not in ("spectrum", "network"):
        raise BundleError(f"features must be spectrum or network, got {features!r}")
    try:
        config = configure(backend)
    except (TypeError, ValueError) as error:
        raise BundleError(f"backend: {error}") from error
    space: Space = "spectrum" if features == "spectrum" else network.space
    if "embedding" not in backend_of(config).reads:
        space = network.space
    elif isinstance(config, OneNumberConfig) and network.is_autoencoder:
        space = "embedding"  # The clip's error is one number already.
    if isinstance(backend, str) and hasattr(config, "metric"):
        metric = "euclidean" if space == "spectrum" else network.metric
        config = dataclasses.replace(config, metric=metric)
    return config, space


def _level(
    network: SoundNetwork, said: Embedded, windows: Windows, space: Space
) -> np.ndarray:
    """What maps compare a sound with; see `KnownSection`."""
    if space != "spectrum":
        return network.levels(windows.wave).mean(axis=0)
    mean, spread = np.split(said.columns["spectrum"], 2, axis=1)
    # Within windows and between them.
    every = np.sqrt((spread**2).mean(axis=0) + mean.var(axis=0))
    return np.concatenate([mean.mean(axis=0), every]).astype(np.float32)


def _domains(domain: str | Sequence[str], recording: np.ndarray) -> np.ndarray:
    if isinstance(domain, str):
        return np.full(len(recording), domain)
    given = np.asarray(domain, np.str_)
    if recording.max(initial=0) >= len(given):
        raise BundleError(
            f"{len(given)} domains for {recording.max() + 1} recordings: give one each"
        )
    return given[recording]


def _scaling(rows: np.ndarray) -> np.ndarray:
    """Mean and standard deviation, of a value that hardly varies a tenth of others'."""
    spread = rows.std(axis=0)
    least = 0.1 * float(np.median(spread))
    return np.stack([rows.mean(axis=0), np.maximum(spread, least or 1.0)])


def _said(left_out: Mapping[str, float]) -> str:
    said = ", ".join(f"left out: {s:.1f} s {why}" for why, s in left_out.items())
    return f" ({said})" if said else ""


__all__ = ["Windows", "configured", "cut", "fit_section"]
