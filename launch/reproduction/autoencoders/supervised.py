"""What is measured with labels: anomalies, classes of few labels, masks of events."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.ensemble import IsolationForest

from launch.reproduction.autoencoders.opened import Measured, Opened
from sigjax.evals import bootstrap
from sigjax.evals.autoencoders import linear
from sigjax.evals.thresholds import conformal
from sigjax.inference.anomaly_detector import AutoencoderDetector
from sigjax.metrics.detection import roc_auc

_RESAMPLES = 500


def anomaly(opened: Opened, method: str, settings: Mapping[str, Any]) -> Measured:
    """How well a method that has seen normal examples alone tells the others from them.

    Methods: `"detector"` (`AutoencoderDetector` with `settings["detector"]`), `"pca"`
    (residual beyond `code` components), `"mahalanobis"` (covariance shrunk as Ledoit
    and Wolf do), `"forest"` (isolation forest), `""`: the trained network's own score.

    Returns:
      Numbers `auc` (with an interval over recordings of the examples), `false_alarms`
      and `found`: shares of normal and other held-out examples beyond the threshold
      that a fifth of the training examples sets for `rate` false alarms.
    """
    train, held = opened.inputs("train"), opened.examples("held_out")
    x, known = opened.inputs("held_out"), held.label >= 0
    normal = [held.classes.index(name) for name in opened.data.config.trained_classes]
    odd = ~np.isin(held.label, normal)
    if method == "":

        def own(x):
            return opened.task.score(opened.variables, x)

        # Scores of what was trained on flatter: the threshold is too low.
        rest = opened.mapped(own, opened.data.train_set.x)
        score = opened.mapped(own, held.x)
    else:
        kept = _kept(opened.data.train_set.group, len(train))
        score_of = _fitted(method, train[~kept], settings)
        rest, score = score_of(train[kept]), score_of(x)
    score, odd, group = score[known], odd[known], held.group[known]
    threshold = conformal(rest, settings["rate"]).value
    numbers = {
        "auc": float(roc_auc(odd.astype(int), score)),
        "false_alarms": float((score[~odd] > threshold).mean()),
        "found": float((score[odd] > threshold).mean()),
    }
    low, high = _interval(odd, score, group)
    return Measured(
        numbers=numbers,
        facts={
            "intervals": {"auc": [low, high]},
            "normal": int((~odd).sum()),
            "odd": int(odd.sum()),
        },
        pictures={"score": score, "odd": odd},
    )


def _kept(group: np.ndarray, n: int) -> np.ndarray:
    """Bool `[n]`: whole groups, a fifth or so, that set the threshold."""
    names = np.unique(group)
    if len(names) >= 5:
        return np.isin(group, names[::5])
    return np.arange(n) % 5 == 0


def _fitted(method: str, x: np.ndarray, settings: Mapping[str, Any]):
    """A function from examples to anomaly scores."""
    seed = settings.get("seed", 0)
    if method == "detector":
        found = AutoencoderDetector(
            **settings["detector"],
            epochs=settings["epochs"],
            held_out=0.0,
            random_state=seed,
        ).fit(x)
        return lambda rows: -found.score_samples(rows)
    flat = linear.flat(x)
    mean, sd = flat.mean(axis=0), flat.std(axis=0)
    sd = np.where(sd > 0, sd, 1.0)

    def scaled(rows):
        return (linear.flat(rows) - mean) / sd

    if method == "pca":
        size = min(settings["code"], len(flat) - 1, flat.shape[1] - 1)
        pca = linear.fit_pca(scaled(x), size)
        return lambda rows: linear.squared_error(
            scaled(rows), pca.reconstruct(scaled(rows))
        )
    if method == "mahalanobis":
        cloud = LedoitWolf().fit(scaled(x))
        return lambda rows: cloud.mahalanobis(scaled(rows))
    if method == "forest":
        forest = IsolationForest(random_state=seed).fit(scaled(x))
        return lambda rows: -forest.score_samples(scaled(rows))
    raise ValueError(f"no method is named {method!r}")


def _interval(
    odd: np.ndarray, score: np.ndarray, group: np.ndarray
) -> tuple[float | None, float | None]:
    """95 % of the AUC over recordings, drawn within normal and other ones."""
    names = np.array([f"{o}{g}" for o, g in zip(odd, group, strict=True)])
    unit, own = np.unique(names, return_inverse=True)
    if len(unit) < 4:
        unit, own = np.arange(len(odd)), np.arange(len(odd))
    side = np.array([odd[own == u][0] for u in range(len(unit))])
    weight = np.zeros((_RESAMPLES, len(odd)))
    for kind in (False, True):
        rows = np.flatnonzero(side == kind)
        drawn = bootstrap.resamples(len(rows), _RESAMPLES, seed=int(kind))
        whole = np.zeros((_RESAMPLES, len(unit)))
        whole[:, rows] = drawn
        weight += whole[:, own]
    drawn = roc_auc(odd.astype(int), score, weight=weight)
    found = bootstrap.interval(0.0, drawn, len(unit))
    return found["low"], found["high"]


def labels(opened: Opened, method: str, settings: Mapping[str, Any]) -> Measured:
    """Scores of a classifier that was shown a share of the labels, as it wrote them."""
    del method, settings
    assert opened.run is not None
    found = json.loads((opened.run / "result.json").read_text())["test"]
    names = ("accuracy", "balanced_accuracy", "macro_f1")
    scores = {name: found[name]["value"] for name in names if name in found}
    return Measured(numbers=scores)


def segments(opened: Opened, method: str, settings: Mapping[str, Any]) -> Measured:
    """Masks of events against the known ones, as the run's evaluation found them."""
    del method
    assert opened.run is not None
    folder = opened.run / "eval" / "test"
    found = json.loads((folder / "metrics.json").read_text())
    result = json.loads((opened.run / "result.json").read_text())
    near = {round(1000 * one["tolerance_s"]): one for one in found["boundaries"]}
    numbers = {f"boundary_f1_{ms}": one["f1"] for ms, one in near.items()}
    numbers |= {"iou": found["cells"]["iou"], "frame_f1": found["frames"]["f1"]}
    numbers["parameters"] = result["model"]["parameters"]
    picture = folder / "examples.png"
    facts = {"mixtures": found["mixtures"], "tolerances_ms": sorted(near)}
    if settings.get("pictures", True) and picture.exists():
        facts["picture"] = str(picture)
    return Measured(numbers=numbers, facts=facts)
