"""What a detector keeps of the machines that it knows; which one a sound is like."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from sigjax.evals.anomaly import distances
from sigjax.evals.anomaly.fusion import part_of
from sigjax.evals.anomaly.per_section import PerSection
from sigjax.evals.thresholds import Threshold, ThresholdError, conformal
from sigjax.inference.base import BundleError
from sigjax.inference.sounds.alarm_thresholds import TRAINED_ON, alarm_threshold
from sigjax.inference.sounds.network import Embedded, SoundNetwork, Space

# Share of a known machine's own clips that may be called unknown.
OPEN_SET_RATE = 0.05
_MOST_REFERENCES = 64


class Nearest(NamedTuple):
    """Which known machine waves sound most like.

    Attributes:
      machine: Text `[n]`.
      section: Text `[n]`.
      distance: Float64 `[n]`, to the nearest normal clip of that section, in units of
        what 95 % of its own normal clips keep to.
      open_set: Bool `[n]`: beyond that (`distance` above 1), so that it is probably
        none of the known machines.
    """

    machine: np.ndarray
    section: np.ndarray
    distance: np.ndarray
    open_set: np.ndarray


class MachineModel(NamedTuple):
    """What scores a machine's clips.

    Attributes:
      models: A fitted back-end for each section, or one for all of them.
      space: What it gets as the embedding.
      scaling: Float64 `[2 d]`: what is subtracted from that first, and what it is then
        divided by; None for neither.
    """

    models: PerSection
    space: Space
    scaling: np.ndarray | None = None

    def place(self, said: Embedded, network: SoundNetwork) -> tuple[np.ndarray, str]:
        """Rows `[n d]` in the space of its references, and the distance there."""
        if self.scaling is None:
            return said.columns[network.space], network.metric
        offset, scale = self.scaling
        return (said.columns[self.space] - offset) / scale, "euclidean"

    def beside(
        self, before: "MachineModel", machine: str, others: Collection[tuple[str, str]]
    ) -> "MachineModel":
        """With what scored the machine's other sections before.

        Raises:
          BundleError: That was another back-end, or on something else.
        """
        ours, theirs = self.models.description(), before.models.description()
        if ours != theirs or self.space != before.space:
            raise BundleError(
                f"{machine} has sections scored by {theirs['backend']} on the"
                f" {before.space}; one by {ours['backend']} on the {self.space} does"
                " not compare with them: ask for the same, or give the machine another"
                " name"
            )
        kept = {key: before.models.models[key] for key in others}
        self.models.models = {**kept, **self.models.models}
        return self


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class KnownSection:
    """A section that a back-end was fitted on.

    Attributes:
      machine: Its machine.
      section: Its name.
      threshold: Above which a score is an anomaly.
      held_out: Float64 `[n]`, scores that the threshold is made of.
      false_alarms_per_day: That the threshold was asked for.
      hop_s: Seconds between scored clips that this is for.
      clips: Normal clips that the back-end was fitted on.
      reference: Float32 `[r d]`, some of these clips as `MachineModel.place` has them.
      apart: Float64 `[k]`, distances of normal clips to the nearest of these, itself
        left out; NaN where there is none.
      level: Float32 `[f]`, mean spectrum of its normal clips as the network sees them;
        of a back-end on the spectrum `[2 f]`, mean and standard deviation of frames.
      facts: Whatever else is worth knowing, in values that JSON can hold.
    """

    machine: str
    section: str
    threshold: Threshold
    held_out: np.ndarray
    false_alarms_per_day: float
    hop_s: float
    clips: int
    reference: np.ndarray
    apart: np.ndarray
    level: np.ndarray
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    _ARRAYS = ("held_out", "reference", "apart", "level")

    @property
    def key(self) -> tuple[str, str]:
        """Machine and section."""
        return self.machine, self.section

    def entry(self) -> dict[str, Any]:
        """What JSON can hold of it."""
        named = ("section", "false_alarms_per_day", "hop_s", "clips")
        entry = {name: getattr(self, name) for name in named}
        return entry | {
            "threshold": self.threshold.as_dict(),
            "facts": dict(self.facts),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        """The rest."""
        return {name: getattr(self, name) for name in self._ARRAYS}

    @classmethod
    def restore(
        cls, machine: str, entry: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
    ) -> "KnownSection":
        """What `entry` and `arrays` gave.

        Raises:
          KeyError: Something is missing.
          ThresholdError: The threshold is none.
        """
        values: dict[str, Any] = {name: arrays[name] for name in cls._ARRAYS}
        values |= {**entry, "threshold": Threshold.from_dict(entry["threshold"])}
        return cls(machine=machine, **values)

    def with_alarms(
        self, false_alarms_per_day: float, hop_s: float, clip_s: float
    ) -> "KnownSection":
        """The same with a threshold for other false alarms or another hop.

        Raises:
          ThresholdError: There are fewer clips a day than false alarms.
        """
        asked = {"false_alarms_per_day": false_alarms_per_day, "hop_s": hop_s}
        remark = TRAINED_ON if TRAINED_ON in self.threshold.remark else ""
        threshold = alarm_threshold(
            self.held_out, clip_s=clip_s, remark=remark, **asked
        )
        return dataclasses.replace(self, threshold=threshold, **asked)


def references(
    embedding: np.ndarray,
    metric: str,
    *,
    block: np.ndarray | None = None,
    new: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """`reference` and `apart` of a section's normal clips.

    Args:
      embedding: `[n d]`; rows that are not finite are left out.
      metric: `"cosine"` or `"euclidean"`.
      block: Int `[n]`: clips of one block were recorded together, and their distances
        to each other do not count. By default each is of its own.
      new: `[k d]`, of normal clips that the network was not trained on: their distances
        stand then.
    """
    block = np.arange(len(embedding)) if block is None else block
    rows = np.flatnonzero(np.isfinite(embedding).all(axis=1))
    if len(rows) > _MOST_REFERENCES:
        chosen = np.linspace(0, len(rows) - 1, _MOST_REFERENCES).round()
        rows = rows[chosen.astype(np.int64)]
    kept = embedding[rows].astype(np.float32)
    if new is not None:
        return {"reference": kept, "apart": _distance(new, kept, metric)}
    apart = np.full(len(rows), np.nan)
    for name in np.unique(block[rows]):
        own = block[rows] == name
        if not own.all():
            apart[own] = _distance(kept[own], kept[~own], metric)
    return {"reference": kept, "apart": apart}


def nearest_known(
    distance: np.ndarray, sections: Sequence[KnownSection], kinds: Sequence[str]
) -> Nearest:
    """The section of the nearest reference clip, and whether that is near.

    What a section's back-end remembers decides in which space distances to it are
    taken, so they are compared in units of the distances of its own clips, each left
    out in turn. A section of too few clips for that takes those of all of its kind.

    Args:
      distance: Float64 `[n k]` of each wave to each section; see `distances_to`.
      sections: The `k`.
      kinds: In which space each one's distances are.
    """
    limit = np.empty(len(sections))
    for i, section in enumerate(sections):
        alike = zip(sections, kinds, strict=True)
        pooled = [s.apart for s, kind in alike if kind == kinds[i]]
        limit[i] = _limit(section.apart, np.concatenate(pooled))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(distance > 0, distance / limit, distance)
    # A wave whose embedding is not finite is near to none.
    least = np.where(np.isnan(share), np.inf, share).argmin(axis=1)
    found = share[np.arange(len(share)), least]
    names = np.array([s.key for s in sections], np.str_)[least]
    return Nearest(names[:, 0], names[:, 1], found, ~(found <= 1))


def distances_to(section: KnownSection, x: np.ndarray, metric: str) -> np.ndarray:
    """Float64 `[n]`: of rows `[n d]` to a section's nearest reference."""
    return _distance(x, section.reference, metric)


def _limit(own: np.ndarray, pooled: np.ndarray) -> float:
    for apart in (own, pooled):
        try:
            return conformal(apart, OPEN_SET_RATE).value
        except ThresholdError:
            continue
    return float(np.max(pooled[np.isfinite(pooled)], initial=0.0))


def _distance(x: np.ndarray, bank: np.ndarray, metric: str) -> np.ndarray:
    """Float64 `[m]` to the nearest row of a bank."""
    x, bank = np.asarray(x, np.float64), np.asarray(bank, np.float64)
    if metric == "cosine":
        x, bank = distances.directions(x), distances.directions(bank)
    found = distances.nearest(x, bank, 1)[0][:, 0]
    return distances.cosine(found) if metric == "cosine" else found


def check(
    sections: Collection[tuple[str, str]], models: Mapping[str, MachineModel]
) -> None:
    """Refuses sections without a back-end, and back-ends without a section.

    Raises:
      BundleError: Naming them.
    """
    bare = [
        f"{machine}/{section}"
        for machine, section in sections
        if machine not in models
        or not {(machine, section), (machine, "")} & set(models[machine].models.models)
    ]
    known = {machine for machine, _ in sections}
    unused = [machine for machine in models if machine not in known]
    if bare or unused or not models:
        raise BundleError(
            "every machine needs sections and each of them a back-end: none for"
            f" {bare}, no section of {unused}"
        )


def pack(
    sections: Collection[KnownSection], models: Mapping[str, MachineModel]
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """What is known as a bundle keeps it: in values that JSON can hold, and arrays.

    Args:
      sections: Any order.
      models: By machine.
    """
    entries, arrays = [], {}
    for i, (name, (fitted, space, scaling)) in enumerate(models.items()):
        state = fitted.state()
        if scaling is not None:
            arrays[f"{i}/scaling"] = scaling
        arrays |= {f"{i}/models/{key}": array for key, array in state.items()}
        own = [section for section in sections if section.machine == name]
        for j, section in enumerate(own):
            arrays |= {f"{i}/{j}/{key}": a for key, a in section.arrays().items()}
        entry = {"machine": name, "space": space, **fitted.description()}
        entries.append(entry | {"sections": [section.entry() for section in own]})
    return entries, arrays


def unpack(
    entries: Iterable[Mapping[str, Any]], arrays: Mapping[str, np.ndarray]
) -> tuple[list[KnownSection], dict[str, MachineModel]]:
    """What `pack` gave.

    Raises:
      KeyError: Something is missing.
      ValueError: A back-end or a threshold is none.
    """
    sections, models = [], {}
    for i, entry in enumerate(entries):
        name = entry["machine"]
        fitted = PerSection.from_state(entry, part_of(arrays, f"{i}/models"))
        scaling = arrays.get(f"{i}/scaling")
        if entry["space"] == "spectrum" and scaling is None:
            raise KeyError(f"{i}/scaling")
        models[name] = MachineModel(fitted, entry["space"], scaling)
        for j, own in enumerate(entry["sections"]):
            columns = part_of(arrays, f"{i}/{j}")
            sections.append(KnownSection.restore(name, own, columns))
    return sections, models
