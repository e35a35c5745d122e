"""The study's tables in Markdown, and what its figure shows."""

import collections
from collections.abc import Mapping, Sequence
from typing import Any

from launch.sounds.study_cells import MOTORS, READINGS, SHIPPED
from launch.sounds.study_tables import CONTRASTS, LEVELS, Row
from sigjax.evals.sound_study_figures import Mark, Panel

_METRICS = {"auc": "AUC", "pauc": "pAUC"}
_GROUPS = {
    "common": "trained on one motor; a classifier tells its speeds apart",
    "motors": "trained on all three motors; a classifier tells them apart",
}
_STATES = (", trained", ", untrained")
_READINGS = {
    "machine": "The class is the machine, the nine others are anomalies",
    "open": "The nine others are known, the class is the anomaly",
}
# What the figure's lines are.
_LINES = ("log-mel, kNN", "kurtosis")
# Nothing to train comes first.
_ORDER = (
    *("log-mel", "PCA", "kurtosis", "crest", "raw", "level"),
    *("AE", "conv AE", "VAE", "denoising AE"),
    *("classifier", "multi-resolution", SHIPPED),
)


def markdown(found: Mapping[str, Any]) -> str:
    """All tables of what `sound_study.collect` found."""
    lines: list[str] = []
    if found["motors"]:
        lines += _motors(found["motors"])
    if found["environment"]:
        lines += _environment(found["environment"])
    lines += _training(found["training"])
    return "\n".join(lines)


def _motors(rows: Sequence[Row]) -> list[str]:
    lines = ["### Brushless motors", ""]
    for contrast, says in CONTRASTS.items():
        for level in LEVELS:
            for metric, title in _METRICS.items():
                first = (contrast, level) == (next(iter(CONTRASTS)), LEVELS[0])
                own = [
                    row
                    for row in rows
                    if (row["contrast"], row["level"]) == (contrast, level)
                    and row["group"] != "plain"
                ]
                name = f"{title} of {level}s: {says}"
                lines += _folded(name, _by_motor(own, metric), folded=not first)
    lines += _folded(
        "AUC of segments less that of log-mel and kNN, and less the untrained"
        f" network's: {next(iter(CONTRASTS.values()))}",
        _differences(rows),
        folded=True,
    )
    lines += ["**The same without networks, 20 random splits, AUC of recordings**", ""]
    return lines + _plain(rows)


def _folded(title: str, table: list[str], *, folded: bool) -> list[str]:
    if not folded:
        return [f"**{title}**", "", *table, ""]
    start = ["<details>", f"<summary>{title}</summary>", ""]
    return [*start, *table, "", "</details>", ""]


def _by_motor(rows: Sequence[Row], metric: str) -> list[str]:
    head = ["detector"]
    head += [f"{m}{s}" for m in MOTORS for s in ("", ", not trained")]
    lines = [_row(head), _row(["---"] * len(head))]
    for group, says in _GROUPS.items():
        own = [row for row in rows if row["group"] == group]
        lines += [_row([f"*{says}*", "", "", "", ""])] if own else []
        for name in _names(own):
            cells = [name]
            for motor in MOTORS:
                for state in _STATES:
                    cells.append(_cell(_find(own, name, state, motor=motor), metric))
            lines.append(_row(cells))
    return lines


def _names(rows: Sequence[Row]) -> list[str]:
    """Detectors, trained or not, those without training first."""
    names = dict.fromkeys(_plain_name(row["detector"]) for row in rows)

    def place(name: str) -> int:
        return [name.startswith(family) for family in _ORDER].index(True)

    return sorted(names, key=place)


def _plain_name(name: str) -> str:
    for state in _STATES:
        name = name.removesuffix(state)
    return name


def _find(rows: Sequence[Row], name: str, state: str, **where: Any) -> Row | None:
    """A detector's row; of what has no state that of `trained`."""
    wanted = [f"{name}{state}"] + ([name] if state == _STATES[0] else [])
    for row in rows:
        if row["detector"] in wanted and all(row[k] == v for k, v in where.items()):
            return row
    return None


def _cell(row: Row | None, metric: str, sign: str = "") -> str:
    if row is None or metric not in row:
        return ""
    own = row[metric]
    return f"{own['value']:{sign}.3f} [{own['low']:{sign}.2f}, {own['high']:{sign}.2f}]"


def _differences(rows: Sequence[Row]) -> list[str]:
    head = ["detector"]
    head += [f"{m}, less {what}" for m in MOTORS for what in ("kNN", "untrained")]
    lines = [_row(head), _row(["---"] * len(head))]
    own = [
        row
        for row in rows
        if row["contrast"] == next(iter(CONTRASTS))
        and row["level"] == "segment"
        and row["group"] == "common"
        and not row["detector"].endswith(_STATES[1])
        and row["detector"] != _LINES[0]
    ]
    for name in _names(own):
        cells = [name]
        for motor in MOTORS:
            row = _find(own, name, _STATES[0], motor=motor)
            for metric in ("auc_less_knn", "auc_less_untrained"):
                cells.append(_cell(row, metric, "+"))
        lines.append(_row(cells))
    return lines


def _plain(rows: Sequence[Row]) -> list[str]:
    own = [r for r in rows if r["group"] == "plain" and r["level"] == LEVELS[0]]
    head = ["detector"]
    head += [f"{motor}: {contrast}" for motor in MOTORS for contrast in CONTRASTS]
    lines = [_row(head), _row(["---"] * len(head))]
    for name in dict.fromkeys(row["detector"] for row in own):
        cells = [name]
        for motor in MOTORS:
            for contrast in CONTRASTS:
                row = _find(own, name, _STATES[0], motor=motor, contrast=contrast)
                cells.append("" if row is None else f"{row['auc']['value']:.3f}")
        lines.append(_row(cells))
    return [*lines, ""]


def _environment(rows: Sequence[Row]) -> list[str]:
    lines = ["### ESC-10", ""]
    head = ["detector"]
    head += [f"{t}{s}" for t in _METRICS.values() for s in ("", ", not trained")]
    head += ["AUC less that of log-mel, kNN"]
    for reading in READINGS:
        own = [row for row in rows if row["reading"] == reading]
        table = [_row(head), _row(["---"] * len(head))]
        splits = max(row["splits"] for row in own)
        for name in _names(own):
            trained = _find(own, name, _STATES[0])
            count = splits if trained is None else trained["splits"]
            cells = [name if count == splits else f"{name} ({count} cells)"]
            for metric in _METRICS:
                for state in _STATES:
                    cells.append(_cell(_find(own, name, state), metric))
            table.append(_row([*cells, _cell(trained, "auc_less_knn", "+")]))
        title = f"{_READINGS[reading]}: means over {splits} cells"
        lines += _folded(title, table, folded=False)
        lines += _folded(f"{title}, AUC by class", _by_class(own), folded=True)
    return lines


def _by_class(rows: Sequence[Row]) -> list[str]:
    classes = list(rows[0]["by_class"])
    lines = [_row(["detector", *classes]), _row(["---"] * (len(classes) + 1))]
    for row in rows:
        values = [
            f"{row['by_class'][c]:.2f}" if c in row["by_class"] else "" for c in classes
        ]
        lines.append(_row([row["detector"], *values]))
    return lines


def _training(told: Sequence[Mapping[str, Any]]) -> list[str]:
    by_kind: dict[tuple[str, str], list[Mapping[str, Any]]] = collections.defaultdict(
        list
    )
    for one in told:
        by_kind[one["part"], one["kind"]].append(one)
    lines = [_row(["data", "network", "trained", "loss, first tenth", "last tenth"])]
    lines = ["### Training", "", *lines, _row(["---"] * 5)]
    for (part, kind), each in by_kind.items():
        first, last = ([one["loss"][i] for one in each] for i in (0, 1))
        spans = [f"{min(v):.2f} to {max(v):.2f}" for v in (first, last)]
        lines.append(_row([part, kind, str(len(each)), *spans]))
    return [*lines, ""]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def marks(found: Mapping[str, Any]) -> list[Panel]:
    """Panels of the figure: what is to be found above, what not to be flagged below."""
    panels = []
    contrasts = list(CONTRASTS)
    for contrast, reading in zip(contrasts[:2], READINGS, strict=True):
        for motor in MOTORS:
            own = [
                row
                for row in found["motors"]
                if row["group"] == "common"
                and row["level"] == "segment"
                and (row["motor"], row["contrast"]) == (motor, contrast)
            ]
            if own:
                says = CONTRASTS[contrast].replace(" against ", "\nagainst ")
                aim = 1.0 if contrast == contrasts[0] else 0.5
                panels.append(_panel(f"{motor}: {says}", aim, own))
        own = [row for row in found["environment"] if row["reading"] == reading]
        # A mean over fewer classes does not compare.
        most = max((row["splits"] for row in own), default=0)
        own = [row for row in own if row["splits"] == most]
        if own:
            says = _READINGS[reading].replace(", ", ",\n")
            panels.append(_panel(f"ESC-10: {says}", 1.0, own))
    return panels


def _panel(title: str, aim: float, rows: Sequence[Row]) -> Panel:
    drawn, order = [], _names(rows)
    for row in sorted(rows, key=lambda row: order.index(_plain_name(row["detector"]))):
        state = "nothing to train"
        for ending in _STATES:
            if row["detector"].endswith(ending):
                state = ending.removeprefix(", ")
        value = row["auc"]
        name = _plain_name(row["detector"])
        drawn.append(Mark(name, state, value["value"], value["low"], value["high"]))
    lines = {m.name: m.value for m in drawn if m.name in _LINES}
    return Panel(title, aim, lines, drawn)
