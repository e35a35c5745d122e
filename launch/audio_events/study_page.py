"""The ESC-10 study's tables in Markdown, and what its figure shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from launch.audio_events.study_plain import SVM, TRIVIAL
from launch.audio_events.study_tables import REFERENCE, Row
from sigjax.evals.event_study_figures import Mark

# Variants in the order of tables, as they are called there.
NAMES: Mapping[str, str] = {
    "without": "without deformable",
    "with": "with deformable",
    "gaussian": "deformable + N(0, 0.005)",
    "laplace": "deformable + L(0, 0.005)",
    "adaptor_0.2": "deformable + adaptor, λ = 0.2",
    "adaptor_0.005": "deformable + adaptor, λ = 0.005",
    "ast": "AST",
    SVM: SVM,
    TRIVIAL: TRIVIAL,
}
# Top-1 on Kinetics-Sounds, per cent: Table 4 of the paper, AST's of its Table 1.
PAPER: Mapping[str, float] = {
    "without": 69.4,
    "with": 70.5,
    "gaussian": 70.2,
    "laplace": 70.5,
    "adaptor_0.2": 70.5,
    "adaptor_0.005": 71.5,
    "ast": 52.6,
}


def paper_less(variant: str) -> float | None:
    """The paper's difference to `REFERENCE`, on its own data; None if it has none."""
    if variant not in PAPER or variant == REFERENCE:
        return None
    return (PAPER[variant] - PAPER[REFERENCE]) / 100


def markdown(found: Mapping[str, Any]) -> str:
    """All tables of what `event_study.collect` found."""
    rows, folds = found["rows"], found["folds"]
    lines = [_about(found), "", *_accuracies(rows, folds), ""]
    if any("less" in row for row in rows):
        lines += [*_differences(rows, folds), ""]
    lines += _folded("Accuracy by class", _classes(rows))
    lines += _folded("Training", _training(rows))
    lines += [f"made with: {found['made_with']}", ""]
    return "\n".join(lines)


def _about(found: Mapping[str, Any]) -> str:
    inner = (
        " INNER VALIDATION: trained on three folds, scored on the named one; the fold"
        " before it, which these networks would be tested on, is not used."
    )
    return (
        f"Size `{found['size']}`: {found['size_says']}. {found['recipe_says']}."
        f"{inner if found['validate'] else ''}"
    )


def _accuracies(rows: Sequence[Row], folds: Sequence[int]) -> list[str]:
    head = ["model", *(f"fold {n}" for n in folds)]
    head += ["mean [95 %]", "sd of seeds", "runs"]
    lines = [_row(head), _row(["---"] * len(head))]
    for row in rows:
        own = row["accuracy"]
        sd = "" if own["sd"] is None else f"{own['sd']:.3f}"
        each = [f"{value:.3f}" for value in row["folds"]]
        cells = [_name(row), *each, _interval(own), sd, str(row["runs"])]
        lines.append(_row(cells))
    return lines


def _differences(rows: Sequence[Row], folds: Sequence[int]) -> list[str]:
    head = [f"less `{NAMES[REFERENCE]}`", *(f"fold {n}" for n in folds)]
    head += ["mean [95 %]", "ahead, level, behind"]
    head += ["PAPER, on Kinetics-Sounds"]
    lines = [_row(head), _row(["---"] * len(head))]
    for row in rows:
        if "less" not in row:
            continue
        own, pairs = row["less"], row["less"]["pairs"]
        printed = paper_less(row["variant"])
        cells = [_name(row), *(f"{value:+.3f}" for value in own["folds"])]
        cells += [_interval(own, "+")]
        cells += [f"{pairs['ahead']}, {pairs['level']}, {pairs['behind']}"]
        cells += ["" if printed is None else f"{printed:+.3f}"]
        lines.append(_row(cells))
    return lines


def _classes(rows: Sequence[Row]) -> list[str]:
    names = list(rows[0]["classes"])
    lines = [_row(["model", *names]), _row(["---"] * (len(names) + 1))]
    for row in rows:
        each = [f"{row['classes'][name]:.2f}" for name in names]
        lines.append(_row([_name(row), *each]))
    return lines


_FACTS = {
    "parameters": ("parameters", ",.0f"),
    "train_accuracy": ("accuracy on the clips trained on", ".3f"),
    "loss_first": ("loss, first tenth", ".2f"),
    "loss_last": ("last tenth", ".2f"),
    "seconds": ("seconds a run", ".0f"),
}


def _training(rows: Sequence[Row]) -> list[str]:
    head = ["model", *(name for name, _ in _FACTS.values())]
    lines = [_row(head), _row(["---"] * len(head))]
    for row in rows:
        facts = row["facts"]
        cells = [
            f"{facts[key]:{style}}" if key in facts else ""
            for key, (_, style) in _FACTS.items()
        ]
        lines.append(_row([_name(row), *cells]))
    return lines


def _folded(title: str, table: Sequence[str]) -> list[str]:
    start = ["<details>", f"<summary>{title}</summary>", ""]
    return [*start, *table, "", "</details>", ""]


def _name(row: Row) -> str:
    return NAMES.get(row["variant"], row["variant"])


def _interval(own: Mapping[str, Any], sign: str = "") -> str:
    ends = f"[{own['low']:{sign}.3f}, {own['high']:{sign}.3f}]"
    return f"{own['value']:{sign}.3f} {ends}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def marks(rows: Sequence[Row]) -> tuple[list[Mark], list[Mark], dict[str, float]]:
    """What the figure shows: accuracies, differences, and lines of what is plain."""
    scores, differences, lines = [], [], {}
    for row in rows:
        own, name = row["accuracy"], _name(row)
        ends = own["value"], own["low"], own["high"]
        if row["variant"] in (SVM, TRIVIAL):
            lines[name] = own["value"]
        scores.append(Mark(name, *ends, tuple(row["folds"]), None))
        if "less" in row and row["variant"] not in (SVM, TRIVIAL):
            less = row["less"]
            ends = less["value"], less["low"], less["high"]
            printed = paper_less(row["variant"])
            differences.append(Mark(name, *ends, tuple(less["folds"]), printed))
    return scores, differences, lines
