"""Tables of a sweep: scores of each layer, the chosen layers, classes, confusions.

The table of chosen layers is Table III of "Comparing Self-Supervised Learning Models
Pre-Trained on Human Speech and Animal Vocalizations for Bioacoustics Processing"
(Sarkar and Magimai.-Doss), with the difference that validation chooses; the paper's own
choice, on test, stands beside it as `oracle`.
"""

import collections
import csv
import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from sigjax.evals.bootstrap import number
from sigjax.evals.layer_probes.folds import SPLITS
from sigjax.evals.layer_probes.results import FUSION, Probed, Sweep, fused, score
from sigjax.evals.tables import write_csv
from sigjax.metrics import classification
from sigjax.train.writer import replace_file

_LAYER_HEADER = (
    "model",
    "layer",
    "validation_uar",
    "test_uar",
    "test_low",
    "test_high",
    "seeds",
    "folds",
    "best_epoch",
    "constant_features",
    "diverged",
)
_MODEL_HEADER = (
    "model",
    "layer",
    "uar",
    "low",
    "high",
    "pooled_uar",
    "oracle_layer",
    "oracle_uar",
    "paper_uar",
)

# What `write` writes.
FILES = ("metrics.json", "layers.csv", "models.csv", "per_class.csv", "confusion.csv")
# Models of which every two are fused, too.
_PAIRED = (3, 4)


def summary(
    found: Sweep, *, paper: Mapping[str, float] | None = None, fuse: bool = True
) -> dict[str, Any]:
    """All figures of a sweep, JSON-able, None where one is undefined.

    Args:
      found: The sweep.
      paper: By model (`"fusion"` too) the paper's UAR in [0, 1], to stand beside ours.
      fuse: Whether several models are fused.

    Returns:
      `layers`: for each probed layer `model`, `layer`, `validation` and `test` (each as
      `results.score` has it), `best_epoch` (mean, from 1), `constant`, `diverged`, and
      `weights` by layer or `neighbours` by fold where there are such.
      `models`: for each model `model`, `layer` (the chosen one; several with folds that
      chose differently, in the folds' order), `test`, `pooled` (of all folds' test
      clips together; None of one fold), `oracle_layer`, `oracle`, `paper`; with several
      models at last `"fusion"` of them.
      `pairs`: with three or four models, of every two fused: `models` and `test`.
      `per_class`: for each model and the fusion, by class `recall` (mean over seeds
      and folds that have the class) and `support` (test clips of all folds).
      `absent`: classes that a split lacks, by fold; `clips` by fold and split.
      `classes`, `folds`, `protocol`.
    """
    paper = paper or {}
    of = reported(found, fuse=fuse)
    models = [_model(found, name, paper) for name in found.models]
    if FUSION in of:
        none = {"layer": "", "oracle_layer": "", "oracle": None}
        told = _scores(found, of[FUSION]) | {"paper": paper.get(FUSION)}
        models.append({"model": FUSION, **none, **told})
    return {
        "layers": [_layer(found, probed) for probed in found.probed],
        "models": models,
        "pairs": _pairs(found) if fuse else [],
        "per_class": {k: per_class(found, p) for k, p in of.items()},
        "absent": {
            fold: {split: list(names) for split, names in splits.items()}
            for fold, splits in found.absent().items()
        },
        "clips": {
            fold.name: {split: len(getattr(fold, split)) for split in SPLITS}
            for fold in found.folds
        },
        "classes": list(found.classes),
        "folds": [fold.name for fold in found.folds],
        "protocol": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(found.protocol).items()
        },
    }


def per_class(
    found: Sweep, probability: Sequence[np.ndarray]
) -> dict[str, dict[str, Any]]:
    """By class its `recall`, the mean over seeds and folds that have it, and `support`.

    The recall is None for a class that no fold tests.
    """
    confusion = found.confusion(probability)
    recall = classification.per_class(confusion).recall
    support = confusion[:, 0].sum(axis=(0, 2))
    return {
        name: {
            "recall": number(np.nanmean(recall[..., i])) if support[i] else None,
            "support": int(support[i]),
        }
        for i, name in enumerate(found.classes)
    }


def confusions(found: Sweep, *, fuse: bool = True) -> dict[str, np.ndarray]:
    """By model, and of the fusion: counts `[v, v]` of all folds and seeds."""
    return {
        name: found.confusion(probability).sum(axis=(0, 1))
        for name, probability in reported(found, fuse=fuse).items()
    }


def read_confusions(folder: epath.PathLike) -> dict[str, np.ndarray]:
    """What `confusions` found, from the tables that `write` wrote."""
    counts = collections.defaultdict(list)
    with (epath.Path(folder) / "confusion.csv").open() as file:
        for model, _, *row in itertools.islice(csv.reader(file), 1, None):
            counts[model].append([int(n) for n in row])
    return {model: np.array(rows) for model, rows in counts.items()}


def write(
    folder: epath.PathLike,
    found: Sweep,
    *,
    paper: Mapping[str, float] | None = None,
    fuse: bool = True,
) -> dict[str, Any]:
    """Writes a sweep's tables; `metrics.json` comes last, so with it the rest is whole.

    Args:
      folder: Made if it is not there. Gets `metrics.json` (what `summary` returns),
        `layers.csv`, `models.csv`, `per_class.csv` and `confusion.csv` (counts over all
        folds and seeds; for each model and the fusion a row for each true class).
      found: The sweep.
      paper: See `summary`.
      fuse: Likewise.

    Returns:
      What `summary` does.
    """
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    told = summary(found, paper=paper, fuse=fuse)
    rows = [_layer_row(layer) for layer in told["layers"]]
    write_csv(folder / "layers.csv", _LAYER_HEADER, rows)
    rows = [_model_row(model) for model in told["models"]]
    write_csv(folder / "models.csv", _MODEL_HEADER, rows)
    rows = [
        [model, name, of_class["recall"], of_class["support"]]
        for model, classes in told["per_class"].items()
        for name, of_class in classes.items()
    ]
    header = ("model", "class", "recall", "test_clips")
    write_csv(folder / "per_class.csv", header, rows)
    rows = [
        [model, truth, *counts]
        for model, matrix in confusions(found, fuse=fuse).items()
        for truth, counts in zip(found.classes, matrix.tolist(), strict=True)
    ]
    header = ("model", "truth \\ predicted", *found.classes)
    write_csv(folder / "confusion.csv", header, rows)
    text = json.dumps(told, indent=1, allow_nan=False) + "\n"
    replace_file(folder / "metrics.json", text.encode())
    return told


def table(*told: Mapping[str, Any]) -> str:
    """The chosen layers as Markdown: UAR in per cent with its interval over seeds.

    Of several folds UAR is the mean over them, beside its standard deviation over them
    and the UAR of all their test clips together. `legend` says so below it.

    Args:
      *told: What `summary` returned, for each kind of probe.
    """
    shown = _shown(told)
    header = ["probe"] if shown["probe"] else []
    header += ["model", "layer", "UAR %"]
    header += ["sd", "pooled %"] if shown["folds"] else []
    header += ["oracle", "oracle %"]
    header += ["paper %"] if shown["paper"] else []
    lines = [
        _line(one["protocol"]["kind"], model, shown)
        for one in told
        for model in (*one["models"], *map(_as_model, one["pairs"]))
    ]
    widths = [max(map(len, column)) for column in zip(header, *lines, strict=True)]
    lines = [header, ["-" * width for width in widths], *lines]
    padded = (map(str.ljust, line, widths) for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in padded)


def legend(*told: Mapping[str, Any]) -> list[str]:
    """What the columns of `table` mean, a line each."""
    shown = _shown(told)
    lines = ["layer: the one that validation chose"]
    if shown["folds"]:
        lines[0] += ", in how many folds"
    lines.append("UAR: mean over seeds and folds [95 % interval over seeds]")
    if shown["folds"]:
        lines.append("sd: standard deviation over folds")
        lines.append("pooled: UAR of the test clips of all folds together")
    return [*lines, "oracle: the layer that is best on test, by which it is too good"]


def _shown(told: Sequence[Mapping[str, Any]]) -> dict[str, bool]:
    """Which columns there are."""
    return {
        "probe": len(told) > 1,
        "folds": any(len(one["folds"]) > 1 for one in told),
        "paper": any(m["paper"] is not None for one in told for m in one["models"]),
    }


def _as_model(pair: Mapping[str, Any]) -> dict[str, Any]:
    none = {"layer": "", "oracle_layer": "", "oracle": None, "paper": None}
    return {**none, **pair, "model": " + ".join(pair["models"])}


def _line(kind: str, model: Mapping[str, Any], shown: Mapping[str, bool]) -> list[str]:
    test = model["test"]
    line = [kind] if shown["probe"] else []
    line += [model["model"], _counted(model["layer"]), _percent(test)]
    if shown["folds"]:
        folds = [x for x in test["folds"] if x is not None]
        pooled = model["pooled"]
        line.append(f"{100 * np.std(folds, ddof=1):.2f}" if len(folds) > 1 else "")
        line.append(_percent(pooled, interval=False) if pooled else "")
    # A weighting of all layers leaves nothing to choose.
    oracle = model["oracle"] if kind != "weighted" else None
    line.append(model["oracle_layer"] if oracle else "")
    line.append(_percent(oracle, interval=False) if oracle else "")
    if shown["paper"]:
        paper = model["paper"]
        line.append("" if paper is None else f"{100 * paper:.2f}")
    return line


def _counted(layers: str) -> str:
    """Layers that folds chose, with how many chose each."""
    count = collections.Counter(layers.split(", "))
    if len(count) == 1:
        return layers
    return ", ".join(f"{layer} ({n})" for layer, n in count.most_common())


def reported(found: Sweep, *, fuse: bool = True) -> dict[str, tuple[np.ndarray, ...]]:
    """Posteriors by model, of its chosen layer, and of several models' fusion."""
    chosen = {model: found.chosen_probability(model) for model in found.models}
    if len(chosen) > 1 and fuse:
        chosen[FUSION] = fused(list(chosen.values()))
    return chosen


def _pairs(found: Sweep) -> list[dict[str, Any]]:
    """Every two models fused, where these are more than all and not too many."""
    if len(found.models) not in _PAIRED:
        return []
    return [
        {
            "models": list(pair),
            **_scores(found, fused([found.chosen_probability(m) for m in pair])),
        }
        for pair in itertools.combinations(found.models, 2)
    ]


def _scores(found: Sweep, probability: Sequence[np.ndarray]) -> dict[str, Any]:
    """`test`, the mean over folds, and `pooled`."""
    several = len(found.folds) > 1
    pooled = found.pooled_uar(probability)[None] if several else None
    return {
        "test": score(found.test_uar(probability)),
        "pooled": None if pooled is None else score(pooled),
    }


def _layer(found: Sweep, probed: Probed) -> dict[str, Any]:
    told = {
        "model": probed.model,
        "layer": probed.layer,
        "validation": score(probed.validation_uar),
        "test": score(found.test_uar(probed.probability)),
        "best_epoch": float(probed.best_epoch.mean()) + 1,
        "constant": probed.constant,
        "diverged": probed.diverged,
    }
    if probed.weights is not None:
        mean = probed.weights.mean(axis=(0, 1)).tolist()
        told["weights"] = dict(zip(probed.weighted, mean, strict=True))
    if probed.neighbours is not None:
        told["neighbours"] = probed.neighbours.tolist()
    return told


def _model(found: Sweep, name: str, paper: Mapping[str, float]) -> dict[str, Any]:
    chosen, oracle = [p.layer for p in found.chosen(name)], found.oracle(name)
    same = len(set(chosen)) == 1
    return {
        "model": name,
        "layer": chosen[0] if same else ", ".join(chosen),
        **_scores(found, found.chosen_probability(name)),
        "oracle_layer": oracle.layer,
        "oracle": score(found.test_uar(oracle.probability)),
        "paper": paper.get(name),
    }


def _layer_row(layer: Mapping[str, Any]) -> list[Any]:
    test = layer["test"]
    return [
        layer["model"],
        layer["layer"],
        layer["validation"]["value"],
        test["value"],
        test["low"],
        test["high"],
        len(test["seeds"]),
        len(test["folds"]),
        layer["best_epoch"],
        layer["constant"],
        layer["diverged"],
    ]


def _model_row(model: Mapping[str, Any]) -> list[Any]:
    test, oracle = model["test"], model["oracle"] or {}
    return [
        model["model"],
        model["layer"],
        test["value"],
        test["low"],
        test["high"],
        (model["pooled"] or {}).get("value"),
        model["oracle_layer"],
        oracle.get("value"),
        model["paper"],
    ]


def _percent(scored: Mapping[str, Any], *, interval: bool = True) -> str:
    if scored["value"] is None:
        return "undefined"
    text = f"{100 * scored['value']:.2f}"
    if scored["low"] is None or not interval:
        return text
    return f"{text} [{100 * scored['low']:.2f}, {100 * scored['high']:.2f}]"
