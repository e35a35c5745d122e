"""What the study's cells come to: UAR by unit and seed, intervals, differences."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from launch.calls import study_plain
from launch.calls.study_cells import PLAIN, PRETRAINED, PROBE, RANDOM, StudyCell
from launch.calls.study_data import StudyCalls
from launch.reproduction.runner import Outcome
from sigjax.evals.bootstrap import number
from sigjax.evals.paper_figures import half_width
from sigjax.metrics import classification
from sigjax.metrics.recall import unweighted_average_recall

Row = dict[str, Any]
# Kinds of rows, in the order of tables.
BAR, CONTROL, PROBED, ENCODER, FUSION = "bar", "control", "probe", "encoder", "fusion"
NAMES = {RANDOM: "encoder, random weights", PRETRAINED: "encoder, pre-trained"}
# Fitted on what probes learn from, without the unit that chooses for them.
_FEWER = ", fewer calls"


class Member(NamedTuple):
    """One model's answers on a tested unit.

    Attributes:
      kind: Of its row.
      predicted: Int `[s, q]`, classes by seed.
      posterior: Float `[s, q, v]`; None of what has none.
      layers: Of encoders, by layer: `[s]` UAR of validation, int `[s, q]` predicted.
      chosen: The layer whose probes these are; `""` of what has none.
      weights: How many draws of the encoder's weights the seeds are of: the first
        seeds are of the first.
    """

    kind: str
    predicted: np.ndarray
    posterior: np.ndarray | None = None
    layers: Mapping[str, tuple[np.ndarray, np.ndarray]] = {}
    chosen: tuple[str, ...] = ()
    weights: int = 1


# Of a set: by row's name and by unit.
Members = dict[str, dict[str, Member]]


def members_of(
    calls: StudyCalls,
    cells: Mapping[str, StudyCell],
    outcomes: Mapping[str, Outcome],
) -> Members:
    """What every model said of every unit that it was tested on.

    Encoders of several seeds are one model: a unit counts once all of them are there
    that any unit has.
    """
    found: Members = collections.defaultdict(dict)
    own = [cell for cell in cells.values() if cell.calls == calls.name]
    encoders: dict[tuple[str, str], list[Mapping[str, Any]]]
    encoders = collections.defaultdict(list)
    for cell in own:
        result = outcomes[cell.key].result
        if result is None:
            continue
        if cell.kind == PLAIN:
            for name, member in _bars(calls, result):
                found[name][cell.unit] = member
        elif cell.kind == PROBE:
            assert cell.parent is not None
            told = result["probes"]["encoder"]
            encoders[cell.parent.kind, cell.unit].append(told)
    for kind, name in NAMES.items():
        several = {u: told for (k, u), told in encoders.items() if k == kind}
        most = max(map(len, several.values()), default=0)
        for unit, told in several.items():
            if len(told) == most:
                found[name][unit] = _joined(told)
    _fuse(calls, found)
    return dict(found)


def _bars(calls: StudyCalls, result: Mapping[str, Any]):
    for name, said in result["machines"].items():
        trivial = name == study_plain.TRIVIAL[calls.name]
        yield name, Member(CONTROL if trivial else BAR, np.array([said]))
    for name, said in result["machines_without_chooser"].items():
        if name != study_plain.TRIVIAL[calls.name]:
            yield name + _FEWER, Member(BAR, np.array([said]))
    for name, told in result["probes"].items():
        yield f"{name}: MLP", _joined([told])._replace(kind=PROBED, layers={})


def _joined(several: Sequence[Mapping[str, Any]]) -> Member:
    """Probes of encoders of several seeds, one after the other."""
    posterior = np.concatenate([told["posterior"] for told in several])
    layers = {
        name: (
            np.concatenate([told["layers"][name]["validation"] for told in several]),
            np.concatenate([told["layers"][name]["predicted"] for told in several]),
        )
        for name in several[0]["layers"]
    }
    chosen = tuple(told["chosen"] for told in several)
    return Member(
        *(ENCODER, posterior.argmax(axis=-1), posterior, layers, chosen),
        weights=len(several),
    )


def _fuse(calls: StudyCalls, found: Members) -> None:
    """Adds fusions: means of posteriors, of the first weights of each encoder."""
    bar = f"{study_plain.RICH[calls.name]}: MLP"
    short = {bar: "MFCC", NAMES[RANDOM]: "random", NAMES[PRETRAINED]: "pre-trained"}
    for chosen in (
        (NAMES[RANDOM], bar),
        (NAMES[PRETRAINED], bar),
        (NAMES[RANDOM], NAMES[PRETRAINED]),
        (NAMES[RANDOM], NAMES[PRETRAINED], bar),
    ):
        if not all(name in found for name in chosen):
            continue
        name = "fusion: " + " + ".join(short[each] for each in chosen)
        for unit in calls.units:
            if all(unit in found[each] for each in chosen):
                parts = [found[each][unit].posterior for each in chosen]
                few = min(len(part) for part in parts if part is not None)
                mean = np.mean([part[:few] for part in parts if part is not None], 0)
                found[name][unit] = Member(FUSION, mean.argmax(axis=-1), mean)


def _confusion(calls: StudyCalls, unit: str, predicted: np.ndarray) -> np.ndarray:
    """Counts `[s, v, v]` of one unit's calls."""
    label = calls.label[calls.sides(unit).test]
    count = len(calls.classes)
    matrices = [classification.confusion_matrix(label, own, count) for own in predicted]
    return np.stack(matrices)


def over_units(
    value: Mapping[str, float], lowest: float = 0.0
) -> dict[str, float | None]:
    """Mean of units, with Student's 95 % interval over them, cut to [lowest, 1]."""
    values = list(value.values())
    mean, width = float(np.mean(values)), half_width(values)
    low, high = np.clip([mean - width, mean + width], lowest, 1.0)
    return {"value": mean, "low": number(low), "high": number(high)}


def rows(calls: StudyCalls, members: Members) -> list[Row]:
    """A row for each model, kind by kind.

    Returns:
      `set`, `name`, `kind`; `uar` (`value`, `low`, `high`: Student's interval over
      units, of means over seeds), `units` (by name), `seeds` (how many),
      `sd_weights` (standard deviation over draws of the encoder's weights) and
      `sd_probes` (of probes of the same weights), None where there is one; `chosen`
      (by unit, a layer for each draw of weights); `curve`, by layer `uar`,
      `validation`, and `units`; `confusion`, shares `[v, v]` of all units and seeds.
    """
    found = []
    for name, own in members.items():
        matrices = {u: _confusion(calls, u, m.predicted) for u, m in own.items()}
        uar = {u: unweighted_average_recall(m) for u, m in matrices.items()}
        units = {u: float(uar[u].mean()) for u in calls.units if u in uar}
        first = next(iter(own.values()))
        seeds = np.mean(list(uar.values()), axis=0).reshape(first.weights, -1)
        total = sum(m.mean(axis=0) for m in matrices.values())
        whole = np.asarray(total)
        row: Row = {
            "set": calls.name,
            "name": name,
            "kind": first.kind,
            "uar": over_units(units),
            "units": units,
            "seeds": seeds.size,
            "sd_weights": _sd(seeds.mean(axis=1)),
            "sd_probes": _sd(seeds, axis=1),
            "confusion": (whole / whole.sum(axis=1, keepdims=True)).tolist(),
        }
        if first.layers:
            row["chosen"] = {u: list(own[u].chosen) for u in units}
            row["curve"] = {
                layer: _of_layer(calls, layer, own) for layer in first.layers
            }
        found.append(row)
    order = (CONTROL, BAR, PROBED, ENCODER, FUSION)
    return sorted(found, key=lambda row: order.index(row["kind"]))


def _sd(values: np.ndarray, axis: int = 0) -> float | None:
    if values.shape[axis] < 2:
        return None
    return float(values.std(axis=axis, ddof=1).mean())


def _of_layer(calls: StudyCalls, layer: str, own: Mapping[str, Member]) -> Row:
    units = {
        unit: float(
            unweighted_average_recall(
                _confusion(calls, unit, member.layers[layer][1])
            ).mean()
        )
        for unit, member in own.items()
    }
    validation = {u: float(m.layers[layer][0].mean()) for u, m in own.items()}
    return {
        "uar": over_units(units),
        "validation": float(np.mean(list(validation.values()))),
        "units": units,
    }


def differences(
    calls: StudyCalls, found: Sequence[Row], pairs: Sequence[tuple[str, str]]
) -> list[Row]:
    """Differences of rows by name, on the units that both have.

    Returns:
      `set`, `name`, `less`; `uar`, `units` as of `rows`, and how many units are
      `ahead`.
    """
    by = {row["name"]: row for row in found}
    told = []
    for one, other in pairs:
        if one not in by or other not in by:
            continue
        shared = [u for u in by[one]["units"] if u in by[other]["units"]]
        units = {u: by[one]["units"][u] - by[other]["units"][u] for u in shared}
        if units:
            told.append(
                {
                    "set": calls.name,
                    "name": one,
                    "less": other,
                    "uar": over_units(units, -1.0),
                    "units": units,
                    "ahead": sum(value > 0 for value in units.values()),
                }
            )
    return told


def pairs_of(calls: StudyCalls) -> list[tuple[str, str]]:
    """What is compared with what."""
    bar = study_plain.RICH[calls.name]
    pretrained, random = NAMES[PRETRAINED], NAMES[RANDOM]
    whole = "fusion: random + pre-trained + MFCC"
    plain = [study_plain.machine(bar) + _FEWER, f"{bar}: MLP"]
    if bar == study_plain.SEGMENTS:
        plain.append(f"{study_plain.MOMENTS}: MLP")
    return [
        (pretrained, random),
        *((pretrained, name) for name in plain),
        ("fusion: pre-trained + MFCC", f"{bar}: MLP"),
        ("fusion: pre-trained + MFCC", "fusion: random + MFCC"),
        (whole, study_plain.machine(bar)),
    ]


def trainings(
    calls: StudyCalls,
    cells: Mapping[str, StudyCell],
    outcomes: Mapping[str, Outcome],
) -> list[Row]:
    """Of each pre-training what it predicts of calls of somebody that it never heard.

    Returns:
      `set`, `unit`, `chooser` (whose calls they are), `seed`, `steps`, and the held-out
      figures of `sigjax.tasks.masked_prediction`.
    """
    told = []
    for cell in cells.values():
        outcome = outcomes[cell.key]
        if cell.calls != calls.name or cell.kind != PRETRAINED or not outcome.result:
            continue
        figures = outcome.result["validation"]
        names = ("masked_accuracy", "copied_accuracy", "most_frequent", "loss")
        told.append(
            {
                "set": calls.name,
                "unit": cell.unit,
                "chooser": calls.sides(cell.unit).chooser,
                "seed": cell.seed,
                "steps": outcome.result["steps"],
                **{name: float(figures[name]) for name in names},
                "unigram_loss": float(figures["unigram_loss"]),
            }
        )
    return told
