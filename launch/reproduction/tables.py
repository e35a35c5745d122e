"""Scores of people as text, Markdown, CSV and JSON: the paper's beside ours."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from launch.reproduction import rendering
from launch.reproduction.cells import Plan
from launch.reproduction.scores import RowScore

NAMES = {
    "balanced_accuracy": "balanced accuracy",
    "kappa": "Cohen's kappa",
    "macro_f1": "macro-F1",
}


def content(
    plan: Plan,
    rows: Sequence[RowScore],
    differences: Sequence[Mapping[str, Any]],
    header: Mapping[str, Any],
) -> dict[str, Any]:
    """All that a table tells, JSON-able."""
    sheet = plan.sheet
    return {
        **header,
        "sheet": sheet.key,
        "title": sheet.title,
        "columns": list(sheet.columns),
        "metrics": list(sheet.metrics),
        "reconstruction": list(sheet.reconstruction),
        "seeds": plan.seeds,
        "folds": list(sheet.folds),
        "rows": [
            {
                "name": row.title,
                "labels": list(row.labels),
                "paper": dict(row.paper),
                "ours": {name: dict(found.metrics[name]) for name in sheet.metrics}
                if found.metrics
                else None,
                "reconstruction": dict(found.reconstruction),
                "people": len({*found.runs[0].person}) if found.runs else None,
                "selected_on": found.selected_on,
                "why_not": found.failed,
                "pretrain_validation": [dict(p) for p in found.pretrain],
                "cells": [
                    key for (place, _, _), key in plan.places.items() if place == number
                ],
            }
            for number, (row, found) in enumerate(zip(sheet.rows, rows, strict=True))
        ],
        "differences": list(differences),
        "notes": list(sheet.notes),
    }


def _number(value: float | None, digits: int = 3) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.{digits}f}"


def _interval(found: Mapping[str, Any]) -> str:
    if found["low"] is None:
        return "-"
    return f"{_number(found['low'])} to {_number(found['high'])}"


def grid(table: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Column names and cells of a table, as text."""
    several = table["seeds"] > 1
    printed = any(row["paper"] for row in table["rows"])
    names = list(table["columns"])
    for metric in table["metrics"]:
        short = NAMES[metric]
        names += [f"{short}, PAPER"] * printed
        names += [f"{short}, OURS", "95 % of people"]
        names += [f"sd of {table['seeds']} seeds"] * several
    names += [f"reconstruction, {name}" for name in table["reconstruction"]]
    rows = []
    for row in table["rows"]:
        cells = list(row["labels"])
        for metric in table["metrics"]:
            cells += [_number(row["paper"].get(metric))] * printed
            ours = (row["ours"] or {}).get(metric)
            if ours is None:
                cells += ["-"] * (2 + several)
                continue
            cells += [_number(ours["value"]), _interval(ours)]
            cells += [_number(ours["sd"])] * several
        cells += [
            _number(row["reconstruction"].get(n)) for n in table["reconstruction"]
        ]
        rows.append(cells)
    return names, rows


def lines_of_header(table: Mapping[str, Any]) -> list[str]:
    """What a reader must know before the numbers."""
    data = [f"unlabelled data: {text}" for text in table["unlabelled"]]
    data += [f"labelled data: {table['labelled']}"]
    return rendering.header_lines(table, data, about="people")


def lines_below(table: Mapping[str, Any]) -> list[str]:
    """What is told under the numbers."""
    lines = [
        f"{' '.join(row['labels'])}: {row['why_not']}"
        for row in table["rows"]
        if row["why_not"]
    ]
    flattered = [
        " ".join(row["labels"])
        for row in table["rows"]
        if row["selected_on"] == "the reported people"
    ]
    if flattered:
        lines.append(
            "SELECTED ON THE PEOPLE WHO ARE REPORTED, so ours are optimistic:"
            f" {', '.join(flattered)}"
        )
    for entry in table["differences"]:
        text = f"{entry['first']} less {entry['second']}: "
        if "failed" in entry:
            lines.append(f"{text}{entry['failed']}")
            continue
        parts = [
            f"{NAMES[m]} {entry[m]['value']:+.3f} [{_interval(entry[m])}]"
            for m in table["metrics"]
        ]
        lines.append(text + ", ".join(parts) + " (paired by person)")
    counted = {row["people"] for row in table["rows"] if row["people"]}
    if counted:
        people = "/".join(str(n) for n in sorted(counted))
        over = f"mean over {table['seeds']} seeds, " if table["seeds"] > 1 else ""
        lines.append(
            f"ours: {over}{people} people reported, 95 % intervals by bootstrap over"
            " people; PAPER: printed in the paper, on the paper's data"
        )
    for entry in table.get("correlations", ()):
        lines.append(correlation_line(entry))
    return lines + list(table["notes"])


def correlation_line(entry: Mapping[str, Any]) -> str:
    """One association, ours and the paper's."""
    text = f"{entry['loss']} against {NAMES[entry['metric']]}: "
    ours = f"r {_number(entry['r'], 2)}, p {_number(entry['p'], 2)}"
    text += f"OURS {ours} over {entry['points']} runs"
    if entry.get("paper"):
        r, p = entry["paper"]
        text += f"; PAPER r {r:.2f}, p {p:.2f}"
    return text


def as_text(table: Mapping[str, Any]) -> str:
    """For a terminal; columns aligned, long headings over two lines."""
    return rendering.as_text(_page(table))


def as_markdown(table: Mapping[str, Any]) -> str:
    """For a page."""
    return rendering.as_markdown(_page(table))


def _page(table: Mapping[str, Any]) -> rendering.Page:
    names, rows = grid(table)
    above, below = lines_of_header(table), lines_below(table)
    return rendering.Page(above, names, rows, len(table["columns"]), below)


def as_csv(table: Mapping[str, Any]) -> str:
    """One line per row, metric and source, with full digits."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(
        [*table["columns"], "metric", "paper", "ours", "low", "high", "sd", "seeds"]
        + ["people", "simulated", "why_not"]
    )
    for row in table["rows"]:
        for metric in table["metrics"]:
            ours = (row["ours"] or {}).get(metric) or {}
            rows.writerow(
                [*row["labels"], metric, row["paper"].get(metric)]
                + [ours.get(name) for name in ("value", "low", "high", "sd")]
                + [len(ours.get("seeds", ())), row["people"]]
                + [table["simulated"], row["why_not"]]
            )
    return text.getvalue()


def write(folder: epath.Path, table: Mapping[str, Any]) -> None:
    """Writes `KEY.md`, `KEY.csv` and `KEY.json`."""
    rendering.write(folder, table, markdown=as_markdown(table), rows=as_csv(table))
