"""An evaluation as text for the terminal."""

from collections.abc import Mapping
from typing import Any

_NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "kappa": "Cohen's kappa",
    "macro_f1": "macro-F1",
}
_MOST_PEOPLE = 5


def table(found: Mapping[str, Any], about: Mapping[str, Any]) -> str:
    """Figures with intervals, per class, and the people with the lowest figures.

    Args:
      found: What `sigjax.evals.classification.score` returned.
      about: What `launch.evaluate` knows of data and model; see `metrics.json`.
    """
    lines = ["", *_header(found, about), "", *_figures(found), "", *_classes(found)]
    worst = found["per_person"][:_MOST_PEOPLE]
    if len(found["per_person"]) > 1:
        some = ", ".join(
            f"{p['person']} {_short(p['balanced_accuracy'])}" for p in worst
        )
        lines += ["", f"lowest balanced accuracy: {some}"]
    return "\n".join(lines)


def _header(found: Mapping[str, Any], about: Mapping[str, Any]) -> list[str]:
    data = about["dataset"]
    lines = [
        f"{data['name']} ({data['fingerprint']}), label scheme {about['scheme']}"
        + ("; SIMULATED data" if data["simulated"] else "")
    ]
    people = f"{about['side']}: {_count(found['people'], 'person', 'people')}"
    if found["people_without_labels"]:
        people += f" (and {found['people_without_labels']} without labels)"
    people += f", {found['labels']:,} labels"
    if found["labels_missing"]:
        people += f" ({found['labels_missing']:,} label windows have none)"
    return [*lines, people, *about["remarks"]]


def _figures(found: Mapping[str, Any]) -> list[str]:
    level = f"{100 * found['level']:.0f} % interval"
    lines = [f"{'':<20}{'all labels pooled':<28}mean of people"]
    for key, name in _NAMES.items():
        pooled = _interval(found[key])
        mean = found["mean_of_people"][key]
        text = _interval(mean)
        if mean["people"] != found["people"]:
            text += f" of {mean['people']}"
        lines.append(f"  {name:<18}{pooled:<28}{text}")
    if found["people"] < 2:
        lines.append("  no intervals: they are over people, and there is one")
    else:
        lines.append(f"  [{level} over people, {found['bootstrap']:,} resamples]")
    return lines


def _classes(found: Mapping[str, Any]) -> list[str]:
    width = max(len("class"), *(len(name) for name in found["per_class"])) + 2
    lines = [
        f"  {'class':<{width}}{'precision':>9}{'recall':>9}{'F1':>9}{'labels':>11}"
    ]
    for name, row in found["per_class"].items():
        values = "".join(f"{_short(row[k]):>9}" for k in ("precision", "recall", "f1"))
        lines.append(f"  {name:<{width}}{values}{row['support']:>11,}")
    return lines


def _interval(figure: Mapping[str, float | None]) -> str:
    text = _short(figure["value"])
    if figure["low"] is not None and figure["high"] is not None:
        text += f" [{figure['low']:.3f}, {figure['high']:.3f}]"
    return text


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
