"""What the study found, as text."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from launch.vibration.comparison import RATE


def rounded(value: Any) -> Any:
    """Numbers to four digits after the point, at any depth."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {name: rounded(each) for name, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list) else value


def as_text(found: Mapping[str, Sequence[Any]]) -> str:
    """JSON with a row on each line."""
    parts = []
    for name, rows in found.items():
        lines = [json.dumps(row, allow_nan=False) for row in rows]
        parts.append(f'"{name}": [\n' + ",\n".join(lines) + "\n]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def in_short(row: Mapping[str, Any]) -> str:
    """A detector's AUCs in a line."""
    found = ", ".join(f"{auc:.3f} at {depth:g}" for depth, auc, *_ in row["auc"])
    return f"{row['detector']} of {row['seen']}: {found}"


def markdown(found: Mapping[str, Any]) -> str:
    """All tables."""
    (told,) = found["simulated"]
    lines = [
        f"SIMULATED: {told['recordings']} healthy recordings to train on and"
        f" {told['recordings']} for thresholds, {told['tested']} healthy ones and"
        f" {told['tested']} of each depth to test; {told['epochs']} epochs of windows,"
        f" seed {told['seed']}.",
        "",
    ]
    for name in dict.fromkeys(row["condition"] for row in found["rows"]):
        rows = [row for row in found["rows"] if row["condition"] == name]
        lines += [*_aucs(name, rows), "", *_alarms(name, rows), ""]
    return "\n".join([*lines, *_calibrations(found["calibrations"])])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", "| --- |" + " --: |" * (len(head) - 1)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


def _aucs(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ["detector"] + [f"depth {depth:g}" for depth, *_ in rows[0]["auc"]]
    body = [
        [_called(row)] + [f"{v:.3f} [{a:.2f}, {b:.2f}]" for _, v, a, b in row["auc"]]
        for row in rows
    ]
    title = f"### {name[0].upper()}{name[1:]}: AUC of recordings"
    return [title, "", *_table(head, body)]


def _alarms(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ["detector", "false alarms, windows", "false alarms, recordings"]
    head += [f"found at {depth:g}" for depth, _ in rows[0]["found"]]
    body = []
    for row in rows:
        cells = [_percent(row.get(part)) for part in ("windows", "recordings")]
        cells += [f"{100 * share:.0f}" for _, share in row["found"]]
        body.append([_called(row), *cells])
    title = (
        f"### {name[0].upper()}{name[1:]}: alarms at thresholds for {100 * RATE:g} %"
        " false ones, in % of windows or recordings"
    )
    return [title, "", *_table(head, body)]


def _called(row: Mapping[str, Any]) -> str:
    return f"{row['detector']} ({row['seen']})"


def _percent(share: Sequence[float] | None) -> str:
    if share is None:
        return "-"
    value, low, high = (100 * each for each in share)
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


def _calibrations(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    head = ["AE of", "recordings", "false alarms, %", "promised on average, %"]
    head += ["95 % bound if windows were independent, %", "above it, % of draws"]
    body = [
        [
            f"{row['seen']}, {row['condition']}",
            str(row["recordings"]),
            _percent([row["mean"], row["low"], row["high"]]),
            f"{100 * row['promised']:.1f}",
            f"{100 * row['at_most']:.1f}",
            f"{100 * row['above']:.0f}",
        ]
        for row in rows
    ]
    title = (
        "### False alarms of windows by how many recordings made the threshold for"
        f" {100 * RATE:g} %: mean and [95 % of draws]"
    )
    return [title, "", *_table(head, body)]
