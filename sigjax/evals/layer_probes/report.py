"""Tables of a sweep: scores of each layer, the chosen layers, classes, confusions.

The table of chosen layers is Table III of "Comparing Self-Supervised Learning Models
Pre-Trained on Human Speech and Animal Vocalizations for Bioacoustics Processing"
(Sarkar and Magimai.-Doss), with the difference that validation chooses; the paper's own
choice, on test, stands beside it as `oracle`.
"""

import dataclasses
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
    "oracle_layer",
    "oracle_uar",
    "paper_uar",
)


def summary(
    found: Sweep, *, paper: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """All figures of a sweep, JSON-able, None where one is undefined.

    Args:
      found: The sweep.
      paper: By model (`"fusion"` too) the paper's UAR in [0, 1], to stand beside ours.

    Returns:
      `layers`: for each probed layer `model`, `layer`, `validation` and `test` (each as
      `results.score` has it), `best_epoch` (mean, from 1), `constant`, `diverged`, and
      `weights` by layer or `neighbours` by fold where there are such.
      `models`: for each model `model`, `layer` (the chosen one; several with folds that
      chose differently, in the folds' order), `test`, `oracle_layer`, `oracle`,
      `paper`; with several models at last `"fusion"` of them.
      `per_class`: for each model and the fusion, by class `recall` (mean over seeds
      and folds that have the class) and `support` (test clips of all folds).
      `absent`: classes that a split lacks, by fold; `clips` by fold and split.
      `classes`, `folds`, `protocol`.
    """
    paper = paper or {}
    reported = _reported(found)
    models = [_model(found, name, paper) for name in found.models]
    if FUSION in reported:
        test = score(found.test_uar(reported[FUSION]))
        none = {"layer": "", "oracle_layer": "", "oracle": None}
        told = paper.get(FUSION)
        models.append({"model": FUSION, **none, "test": test, "paper": told})
    return {
        "layers": [_layer(found, probed) for probed in found.probed],
        "models": models,
        "per_class": {k: per_class(found, p) for k, p in reported.items()},
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


def confusions(found: Sweep) -> dict[str, np.ndarray]:
    """By model, and of the fusion: counts `[v, v]` of all folds and seeds."""
    return {
        name: found.confusion(probability).sum(axis=(0, 1))
        for name, probability in _reported(found).items()
    }


def write(
    folder: epath.PathLike, found: Sweep, *, paper: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Writes a sweep's tables; `metrics.json` comes last, so with it the rest is whole.

    Args:
      folder: Made if it is not there. Gets `metrics.json` (what `summary` returns),
        `layers.csv`, `models.csv`, `per_class.csv` and `confusion.csv` (counts over all
        folds and seeds; for each model and the fusion a row for each true class).
      found: The sweep.
      paper: See `summary`.

    Returns:
      What `summary` does.
    """
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    told = summary(found, paper=paper)
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
        for model, matrix in confusions(found).items()
        for truth, counts in zip(found.classes, matrix.tolist(), strict=True)
    ]
    header = ("model", "truth \\ predicted", *found.classes)
    write_csv(folder / "confusion.csv", header, rows)
    text = json.dumps(told, indent=1, allow_nan=False) + "\n"
    replace_file(folder / "metrics.json", text.encode())
    return told


def table(told: Mapping[str, Any]) -> str:
    """The chosen layers as Markdown: UAR in per cent with its interval over seeds.

    Args:
      told: What `summary` returned.
    """
    with_paper = any(model["paper"] is not None for model in told["models"])
    header = ["model", "layer (validation)", "UAR %", "oracle layer (test)", "oracle %"]
    header += ["paper %"] if with_paper else []
    lines = [header, ["---"] * len(header)]
    for model in told["models"]:
        oracle = model["oracle"]
        line = [model["model"], model["layer"], _percent(model["test"])]
        line += [model["oracle_layer"], _percent(oracle) if oracle else ""]
        if with_paper:
            paper = model["paper"]
            line.append("" if paper is None else f"{100 * paper:.2f}")
        lines.append(line)
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _reported(found: Sweep) -> dict[str, tuple[np.ndarray, ...]]:
    """Posteriors by model, of its chosen layer, and of several models' fusion."""
    chosen = {model: found.chosen_probability(model) for model in found.models}
    if len(chosen) > 1:
        chosen[FUSION] = fused(list(chosen.values()))
    return chosen


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
        "test": score(found.test_uar(found.chosen_probability(name))),
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
        model["oracle_layer"],
        oracle.get("value"),
        model["paper"],
    ]


def _percent(scored: Mapping[str, Any]) -> str:
    if scored["value"] is None:
        return "undefined"
    text = f"{100 * scored['value']:.2f}"
    if scored["low"] is None:
        return text
    return f"{text} [{100 * scored['low']:.2f}, {100 * scored['high']:.2f}]"
