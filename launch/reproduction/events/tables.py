"""Scores of audio events as text, Markdown, CSV and JSON: the paper's beside ours."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from launch.reproduction import rendering
from launch.reproduction.events import scores
from launch.reproduction.events.cells import Plan
from launch.reproduction.events.scores import RowScore
from launch.reproduction.events.sheets import COUNTS, METRICS

_NAMES = {**METRICS, **COUNTS}


def content(
    plan: Plan, rows: Sequence[RowScore], header: Mapping[str, Any]
) -> dict[str, Any]:
    """All that a table tells, JSON-able; shares are fractions of one."""
    sheet = plan.sheet
    data = header["sets"].get(sheet.dataset, "")
    return {
        **{k: v for k, v in header.items() if k not in ("sets", "simulated_sets")},
        "simulated": sheet.dataset in header["simulated_sets"],
        "sheet": sheet.key,
        "title": sheet.title,
        "data": data,
        "dataset": sheet.dataset,
        "paper_clips": sheet.clips,
        "columns": list(sheet.columns),
        "metrics": list(sheet.metrics),
        "seeds": plan.seeds,
        "scratch": plan.scratch and bool(sheet.dataset),
        "open": plan.paper.open if sheet.dataset else "",
        "flatters": plan.protocol.flatters,
        "rows": [
            {
                "name": row.title,
                "labels": list(row.labels),
                "paper": dict(row.paper),
                "ours": {
                    name: dict(found.metrics[name])
                    for name in sheet.metrics
                    if name in found.metrics
                }
                or None,
                "clips": len(found.runs[0]) if found.runs else None,
                "sources": len({*found.runs[0].group}) if found.runs else None,
                "weights": found.told.get("encoder", {}).get("weights", ""),
                "parameters_m": found.told.get("parameters_m"),
                "why_not": found.failed,
                "cells": [
                    key for (place, _), key in plan.places.items() if place == number
                ],
            }
            for number, (row, found) in enumerate(zip(sheet.rows, rows, strict=True))
        ],
        "differences": scores.differences(plan, rows),
        "notes": list(sheet.notes),
    }


def page(table: Mapping[str, Any]) -> rendering.Page:
    """The table and what is said around it."""
    grid = _shares if table["dataset"] else _counts
    names, rows = grid(table)
    data = [f"data: {table['data']}"] if table["data"] else []
    above = rendering.header_lines(table, data, about="sounds")
    return rendering.Page(above, names, rows, len(table["columns"]), _below(table))


def _shares(table: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    several = table["seeds"] > 1
    names = list(table["columns"])
    for metric in table["metrics"]:
        short = _NAMES[metric]
        names += [f"{short}, PAPER", f"{short}, OURS", f"{short}, 95 % interval"]
        names += [f"{short}, sd of {table['seeds']} seeds"] * several
    rows = []
    for row in table["rows"]:
        cells = list(row["labels"])
        for metric in table["metrics"]:
            ours = (row["ours"] or {}).get(metric) or {}
            cells += [_percent(row["paper"].get(metric)), _percent(ours.get("value"))]
            cells += [_interval(ours)] + [_percent(ours.get("sd"))] * several
        rows.append(cells)
    return names, rows


def _counts(table: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    names = list(table["columns"])
    for metric in table["metrics"]:
        names += [f"{_NAMES[metric]}, PAPER", f"{_NAMES[metric]}, OURS"]
    names += ["parameters, 10^6"]
    rows = []
    for row in table["rows"]:
        cells = list(row["labels"])
        for metric in table["metrics"]:
            ours = (row["ours"] or {}).get(metric) or {}
            cells += [_number(row["paper"].get(metric)), _number(ours.get("value"))]
        rows.append([*cells, _number(row["parameters_m"])])
    return names, rows


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _percent(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{100 * value:{sign}.1f}"


def _interval(found: Mapping[str, Any], sign: str = "") -> str:
    if found.get("low") is None:
        return "-"
    return f"{100 * found['low']:{sign}.1f} to {100 * found['high']:{sign}.1f}"


def _below(table: Mapping[str, Any]) -> list[str]:
    """What is told under the numbers."""
    lines = [
        f"{row['name']}: {row['why_not']}" for row in table["rows"] if row["why_not"]
    ]
    if table["dataset"]:
        lines += _of_shares(table)
    return [*lines, *table["notes"]]


def _of_shares(table: Mapping[str, Any]) -> list[str]:
    lines = []
    printed = [r["name"] for r in table["rows"] if not (r["cells"] or r["why_not"])]
    if printed:
        lines.append(f"printed only, not repeated here: {', '.join(printed)}")
    lines += [_difference(table, entry) for entry in table["differences"]]
    if table["scratch"]:
        lines.append(
            "OURS start FROM SCRATCH at this scale; the paper's start from weights of"
            " ImageNet-1k"
        )
    if table["flatters"]:
        lines.append("the REPORTED clips chose something: OURS flatter")
    if table["simulated"]:
        lines.append(
            "OURS are of SIMULATED sounds: no order of the rows says anything of the"
            " paper's"
        )
    counted = {(r["clips"], r["sources"]) for r in table["rows"] if r["clips"]}
    for clips, sources in sorted(counted):
        over = f"means over {table['seeds']} seeds; " if table["seeds"] > 1 else ""
        lines.append(
            f"per cent of {clips:,} test clips of {sources:,} sources; {over}95 %"
            " intervals by bootstrap over sources, which say nothing of other"
            " trainings; PAPER: printed in the paper, on the paper's data, one run"
        )
        if clips != table["paper_clips"]:
            lines.append(
                f"PAPER is of {table['paper_clips']:,} test clips and OURS of"
                f" {clips:,}: OTHER DATA, so a figure beside a figure is no comparison"
            )
    return [*lines, table["open"]]


def _difference(table: Mapping[str, Any], entry: Mapping[str, Any]) -> str:
    text = f"{entry['first']} less {entry['second']}: "
    parts = []
    for metric in table["metrics"]:
        ours = entry.get("ours", {}).get(metric)
        told = f"PAPER {_percent(entry['paper'].get(metric), '+')}"
        if ours:
            told = (
                f"OURS {_percent(ours['value'], '+')} [{_interval(ours, '+')}], {told}"
            )
        parts.append(f"{_NAMES[metric]} {told}")
    return text + "; ".join(parts) + (" (paired by clip)" if "ours" in entry else "")


def as_csv(table: Mapping[str, Any]) -> str:
    """One line per row and metric, with full digits."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    figures = ("value", "low", "high", "sd")
    rows.writerow(
        [*table["columns"], "metric", "paper", *figures, "seeds", "clips", "simulated"]
        + ["why_not"]
    )
    for row in table["rows"]:
        for metric in table["metrics"]:
            ours = (row["ours"] or {}).get(metric) or {}
            rows.writerow(
                [*row["labels"], metric, row["paper"].get(metric)]
                + [ours.get(name) for name in figures]
                + [len(ours.get("seeds", ())), row["clips"], table["simulated"]]
                + [row["why_not"]]
            )
    return text.getvalue()


def write(folder: epath.Path, table: Mapping[str, Any]) -> str:
    """Writes `KEY.md`, `KEY.csv` and `KEY.json`; returns the text for a terminal."""
    found = page(table)
    markdown = rendering.as_markdown(found)
    rendering.write(folder, table, markdown=markdown, rows=as_csv(table))
    return rendering.as_text(found)
