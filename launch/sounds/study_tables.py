"""What the study's cells come to: figures with intervals, and the page's tables."""

import collections
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from launch.sounds.study_cells import MOTORS, READINGS, Cell
from launch.sounds.study_data import Recording
from sigjax.evals.detection_intervals import (
    Scored,
    bootstrap_mean,
    difference,
    interval,
    resample,
)
from sigjax.metrics.detection import MAX_FPR

RESAMPLES = 1000
METRICS = {"auc": 1.0, "pauc": MAX_FPR}
# The least that each can be; see `metrics.detection`.
_LEAST = {"auc": 0.0, "pauc": (1 - MAX_FPR) / (2 - MAX_FPR)}
# What a motor's detector is asked; what is called normal stands first.
CONTRASTS = {
    "fault, other healthy": "propeller fault against other healthy motors",
    "other healthy, own healthy": "other healthy motors against its own healthy",
    "fault, own healthy": "propeller fault against its own healthy",
}
LEVELS = ("recording", "segment")
REFERENCE = "log-mel, kNN"
Row = dict[str, Any]
_Parts = dict[tuple[str, str], list[Scored]]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Units:
    """Resamples of recordings."""

    weight: np.ndarray

    @classmethod
    def of(cls, stratum: Sequence[str], group: Sequence[str]) -> "_Units":
        drawn = resample(
            np.array(stratum), group=np.array(group), resamples=RESAMPLES, seed=0
        )
        return cls(weight=drawn)


def motor_rows(
    recordings: Sequence[Recording], made: Sequence[tuple[str, Cell]]
) -> list[Row]:
    """A row for each detector, motor, contrast and level."""
    units = _Units.of(
        [f"{r.machine} {r.fault}" for r in recordings], [r.group for r in recordings]
    )
    numbers = dict(made).get("numbers", {}).get("scores", {})
    found: list[Row] = []
    for machine in MOTORS:
        for contrast in CONTRASTS:
            for level in LEVELS:
                parts: dict[tuple[str, str], list[Scored]] = collections.defaultdict(
                    list
                )
                for kind, cell in made:
                    if not cell or kind == "numbers":
                        continue
                    if kind != "motors" and cell["machine"] != machine:
                        continue
                    scores = _of_motor(cell["scores"], machine)
                    if kind in ("plain", "common"):
                        scores = {**scores, **numbers}
                    for name, value in scores.items():
                        if level not in value:
                            continue
                        asked = _asked(
                            recordings, machine, contrast, cell["train"],
                            np.asarray(value[level]),
                        )  # fmt: skip
                        group = kind if kind in ("plain", "motors") else "common"
                        parts[group, name].append(asked)
                where = {"motor": machine, "contrast": contrast, "level": level}
                found += _rows(parts, units, where)
    return found


def _of_motor(scores: Mapping[str, Any], machine: str) -> dict[str, Any]:
    """Names without `@MOTOR`; those of other motors are left out."""
    found = {}
    for name, value in scores.items():
        plain, _, own = name.partition("@")
        if own in ("", machine):
            found[plain] = value
    return found


def _asked(
    recordings: Sequence[Recording],
    machine: str,
    contrast: str,
    train: Sequence[int],
    score: np.ndarray,
) -> Scored:
    """The sounds that a contrast compares."""
    unit = np.repeat(np.arange(len(recordings)), len(score) // len(recordings))
    own = np.array([r.machine == machine for r in recordings])[unit]
    fault = np.array([r.fault for r in recordings])[unit]
    tested = ~np.isin(unit, train)
    sets = {
        "fault": own & fault,
        "own healthy": own & ~fault & tested,
        "other healthy": ~own & ~fault & tested,
    }
    high, low = (sets[name] for name in contrast.split(", "))
    used = high | low
    return Scored(high[used].astype(int), score[used], unit[used])


def environment_rows(
    recordings: Sequence[Recording], made: Sequence[tuple[str, Cell]]
) -> list[Row]:
    """A row for each detector and reading, over classes and folds; and by class."""
    units = _Units.of(
        [f"{r.machine} {r.fold}" for r in recordings], [r.group for r in recordings]
    )
    numbers = dict(made).get("numbers", {}).get("scores", {})
    parts: dict[tuple[str, str], list[Scored]] = collections.defaultdict(list)
    classes: dict[tuple[str, str], dict[str, list[Scored]]] = {}
    machine = np.array([r.machine for r in recordings])
    for kind, cell in made:
        if not cell or kind == "numbers":
            continue
        rows = np.array(cell["tested"])
        is_own = machine[rows] == cell["machine"]
        scores = dict(cell["scores"])
        if kind == "common":
            for name, value in numbers.items():
                for reading in READINGS:
                    scores[f"{reading}: {name}"] = np.asarray(value)[rows]
        for name, value in scores.items():
            reading, _, plain = name.partition(": ")
            label = is_own if reading == "open" else ~is_own
            one = Scored(label.astype(int), np.asarray(value), rows)
            parts[reading, plain].append(one)
            by_class = classes.setdefault((reading, plain), {})
            by_class.setdefault(cell["machine"], []).append(one)
    found = []
    for reading in READINGS:
        own = {("common", n): p for (r, n), p in parts.items() if r == reading}
        rows = _rows(own, units, {"reading": reading})
        for row in rows:
            each = classes[reading, row["detector"]]
            row["by_class"] = {
                name: bootstrap_mean(some, units.weight[:1]).value
                for name, some in each.items()
            }
        found += rows
    return found


def _rows(
    parts: Mapping[tuple[str, str], Sequence[Scored]],
    units: _Units,
    where: Mapping[str, str],
) -> list[Row]:
    found: list[Row] = []
    drawn = {
        key: {
            m: bootstrap_mean(some, units.weight, max_fpr=p) for m, p in METRICS.items()
        }
        for key, some in parts.items()
        if key[0] != "plain"
    }
    for (group, name), some in parts.items():
        row: Row = {**where, "group": group, "detector": name, "splits": len(some)}
        found.append(row)
        if group == "plain":  # To be compared with others' figures, which have none.
            for metric, p in METRICS.items():
                value = bootstrap_mean(some, units.weight[:1], max_fpr=p).value
                row[metric] = {"value": value}
            continue
        own = drawn[group, name]
        for metric, value in own.items():
            row[metric] = interval(value, least=_LEAST[metric])._asdict()
        reference = "common", REFERENCE
        if where.get("level") == "recording":
            continue
        same = len(parts.get(reference, ())) == len(some)
        if same and name != REFERENCE:
            less = difference(own["auc"], drawn[reference]["auc"])
            row["auc_less_knn"] = less._asdict()
        twin = group, name.removesuffix(", trained") + ", untrained"
        if name.endswith(", trained") and twin in drawn:
            less = difference(own["auc"], drawn[twin]["auc"])
            row["auc_less_untrained"] = less._asdict()
    return found
