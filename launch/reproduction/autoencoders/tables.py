"""Experiments as text, Markdown, CSV and JSON."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from launch.reproduction import rendering
from launch.reproduction.autoencoders.cells import Plan
from launch.reproduction.autoencoders.scores import RowScore
from launch.reproduction.autoencoders.sheets import Metric


def content(
    plan: Plan, rows: Sequence[RowScore], header: Mapping[str, Any]
) -> dict[str, Any]:
    """All that a table tells, JSON-able."""
    sheet, data = plan.sheet, header["sets"]
    used = [name for name in sheet.data if name in data]
    return {
        **{k: v for k, v in header.items() if k not in ("sets", "simulated_sets")},
        "simulated": any(name in header["simulated_sets"] for name in used),
        "sheet": sheet.key,
        "title": sheet.title,
        "deck": sheet.deck,
        "data": [data[name] for name in used],
        "columns": list(sheet.columns),
        "metrics": {
            name: {"name": m.name, "better": m.better, "digits": m.digits}
            for name, m in sheet.metrics.items()
        },
        "seeds": plan.seeds,
        "open": plan.paper.open,
        "rows": [
            {
                "name": row.title,
                "labels": list(row.labels),
                "data": row.data,
                "against": row.against,
                "bar": sheet.bar(row),
                "ours": {name: dict(own) for name, own in found.metrics.items()},
                "difference": found.difference and dict(found.difference),
                "facts": dict(found.facts),
                "why_not": found.failed,
                "cells": [
                    key for (place, _), key in plan.places.items() if place == number
                ],
            }
            for number, (row, found) in enumerate(zip(sheet.rows, rows, strict=True))
            if not row.hidden
        ],
        "notes": list(sheet.notes),
    }


def page(table: Mapping[str, Any], metrics: Mapping[str, Metric]) -> rendering.Page:
    """The table and what is said around it."""
    first = next(iter(metrics))
    compared = any(row["difference"] for row in table["rows"])
    names = [*table["columns"], *_heads(table, metrics)]
    names += [f"{metrics[first].name}, less its bar, [95 %]"] * compared
    rows = []
    for row in table["rows"]:
        cells = [*row["labels"], *_cells(table, row, metrics)]
        cells += [_span(row["difference"], metrics[first], "+")] * compared
        rows.append(cells)
    data = [f"data: {line}" for line in table["data"]]
    above = rendering.header_lines(table, data, about="real signals")
    above.insert(1, f"of the lecture: {table['deck']}")
    return rendering.Page(
        above, names, rows, len(table["columns"]), _below(table, metrics)
    )


def _heads(table: Mapping[str, Any], metrics: Mapping[str, Metric]) -> list[str]:
    names = []
    for key, metric in metrics.items():
        names.append(f"{metric.name}, [95 %]" if _ends(table, key) else metric.name)
        names += [f"{metric.name}, sd of seeds"] * _spreads(table, key)
    return names


def _ends(table: Mapping[str, Any], key: str) -> bool:
    return any(
        (row["ours"].get(key) or {}).get("low") is not None for row in table["rows"]
    )


def _spreads(table: Mapping[str, Any], key: str) -> bool:
    """Whether the spread of seeds is told beside an interval that is over examples."""
    found = [row["ours"].get(key) or {} for row in table["rows"]]
    return any(
        one.get("sd") is not None and "seeds" not in one["over"] for one in found
    )


def _cells(
    table: Mapping[str, Any], row: Mapping[str, Any], metrics: Mapping[str, Metric]
) -> list[str]:
    cells = []
    for key, metric in metrics.items():
        own = row["ours"].get(key)
        cells.append(_span(own, metric))
        if _spreads(table, key):
            cells.append(_number((own or {}).get("sd"), metric))
    return cells


def _span(own: Mapping[str, Any] | None, metric: Metric, sign: str = "") -> str:
    if not own or own["value"] is None:
        return "-"
    text = _number(own["value"], metric, sign)
    if own["low"] is None:
        return text
    low, high = (_number(own[end], metric, sign) for end in ("low", "high"))
    return f"{text} [{low}, {high}]"


def _number(value: float | None, metric: Metric, sign: str = "") -> str:
    if value is None:
        return "-"
    return f"{metric.factor * value:{sign},.{metric.digits}f}"


def _below(table: Mapping[str, Any], metrics: Mapping[str, Metric]) -> list[str]:
    lines = [
        f"{row['name']}: {row['why_not']}" for row in table["rows"] if row["why_not"]
    ]
    better = [f"{m.name}: {m.better}er is better" for m in metrics.values() if m.better]
    lines += ["; ".join(better)] if better else []
    overs = dict.fromkeys(
        own["over"] for row in table["rows"] for own in row["ours"].values()
    )
    told = " or ".join(over for over in overs if over)
    if told:
        lines.append(
            f"numbers are means over {table['seeds']} seeds of trainings (methods"
            f" without chance: one); 95 % intervals are over {told}"
        )
    if any(row["difference"] for row in table["rows"]):
        bars = dict.fromkeys(r["bar"] for r in table["rows"] if r["difference"])
        overs = [(r["difference"] or {}).get("over", "") for r in table["rows"]]
        pairs = {"seed" if "seeds" in over else "example" for over in overs if over}
        more = f"; differences are paired by {' or '.join(sorted(pairs))}" * bool(pairs)
        lines.append(f"bars: {' or '.join(bars)}, all else the same{more}")
    chosen = {r["name"]: r["facts"].get("filter") for r in table["rows"]}
    chosen = {name: text for name, text in chosen.items() if text}
    if chosen:
        lines.append(
            "chosen on training examples: "
            + "; ".join(f"{name}: {text}" for name, text in chosen.items())
        )
    if table["simulated"]:
        lines.append("numbers are of SIMULATED signals")
    return [*lines, *table["notes"], table["open"]]


def as_csv(table: Mapping[str, Any]) -> str:
    """One line per row and metric, with full digits."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    figures = ("value", "low", "high", "sd")
    rows.writerow(
        [*table["columns"], "metric", *figures, "over", "seeds", "simulated", "why_not"]
    )
    for row in table["rows"]:
        for metric in table["metrics"]:
            ours = row["ours"].get(metric) or {}
            rows.writerow(
                [*row["labels"], metric, *(ours.get(name) for name in figures)]
                + [ours.get("over"), len(ours.get("seeds", ())), table["simulated"]]
                + [row["why_not"]]
            )
    return text.getvalue()


def write(
    folder: epath.Path, table: Mapping[str, Any], metrics: Mapping[str, Metric]
) -> str:
    """Writes `KEY.md`, `KEY.csv` and `KEY.json`; returns the text for a terminal."""
    found = page(table, metrics)
    markdown = rendering.as_markdown(found)
    rendering.write(folder, table, markdown=markdown, rows=as_csv(table))
    return rendering.as_text(found)
