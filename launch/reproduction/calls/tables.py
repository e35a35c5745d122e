"""Numbers of calls as text, Markdown, CSV and JSON: the paper's beside ours."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from launch.reproduction import rendering
from launch.reproduction.calls import scores
from launch.reproduction.calls.cells import Plan
from launch.reproduction.calls.scores import Found
from launch.reproduction.calls.sheets import DATASETS, KINDS
from sigjax.evals.layer_probes import Sweep, score

_SCORED = ("curves", "scores", "confusion")


def content(plan: Plan, found: Found, header: Mapping[str, Any]) -> dict[str, Any]:
    """All that a sheet tells, JSON-able; UAR are fractions of one."""
    sheet = plan.sheet
    used = {row.dataset for row in sheet.rows if row.dataset}
    if sheet.kind == "pipeline":
        used = {*header["sets"]}
    sets = {name: line for name, line in header["sets"].items() if name in used}
    aside = ("sets", "simulated_sets", "encoders")
    return {
        **{k: v for k, v in header.items() if k not in aside},
        "simulated": bool(used & {*header["simulated_sets"]}),
        "sheet": sheet.key,
        "kind": sheet.kind,
        "title": sheet.title,
        "data": sets,
        "encoders": header["encoders"] if _uses_encoders(plan) else "",
        "random": plan.random and _uses_encoders(plan),
        "columns": list(sheet.columns),
        "choice": plan.protocol.choice,
        "seeds": len(plan.seeds),
        "rows": [
            {
                "name": row.title,
                "labels": list(row.labels),
                "dataset": row.dataset,
                "checkpoint": row.checkpoint,
                "paper": dict(row.paper),
                "facts": dict(own.facts),
                "ours": own.chosen._asdict() if own.chosen else None,
                "other_choice": own.other._asdict() if own.other else None,
                "fusion_of": list(own.members),
                "why_not": own.failed,
                "cells": list(plan.places.get(place, {}).values()),
            }
            for place, (row, own) in enumerate(zip(sheet.rows, found.rows, strict=True))
        ],
        "divided": {
            name: _divided(sweep, found.told[name])
            for name, sweep in found.sweeps.items()
        },
        "layers": {name: layers(sweep) for name, sweep in found.sweeps.items()},
        "notes": list(sheet.notes),
        "open": list(plan.paper.open) if sheet.kind in _SCORED else [],
    }


def _uses_encoders(plan: Plan) -> bool:
    return plan.sheet.kind in (*_SCORED, "pipeline")


def layers(found: Sweep) -> list[dict[str, Any]]:
    """Scores of every layer of every encoder."""
    return [
        {
            "model": probed.model,
            "layer": probed.layer,
            "validation": score(probed.validation_uar),
            "test": score(found.test_uar(probed.probability)),
        }
        for probed in found.probed
    ]


def _divided(found: Sweep, told: Mapping[str, Any]) -> dict[str, Any]:
    """Calls, groups and classes of a set's splits."""
    groups = list(told["groups"].values())
    absent = [own.get("test", ()) for own in found.absent().values()]
    return {
        "calls": scores.calls_of(found),
        "groups": {s: sum(own[s] for own in groups) for s in groups[0]},
        "folds": len(found.folds),
        "classes": len(found.classes),
        "not_tested": sorted({name for own in absent for name in own}),
        "warnings": list(told["warnings"]),
        "counts": dict(told["counts"]),
    }


def page(table: Mapping[str, Any]) -> rendering.Page:
    """A sheet and what is said around it."""
    kind = table["kind"]
    if kind == "scores":
        names, rows = _scores(table)
    elif kind == "curves":
        names, rows = _curves(table)
    elif kind == "confusion":
        names, rows = _fusions(table)
    elif kind == "pipeline":
        names, rows = _pipeline(table)
    else:
        names, rows = _facts(table)
    data = [f"data: {line}" for line in table["data"].values()]
    data += [f"encoders: {table['encoders']}"] if table["encoders"] else []
    above = rendering.header_lines(table, data, about="animals")
    if table["random"]:
        above.append(
            "RANDOM WEIGHTS: these encoders have learned nothing and are none of the"
            " paper's, whose names they stand in for"
        )
    return rendering.Page(above, names, rows, len(table["columns"]), _below(table))


def _scores(table: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    other = {"validation": "oracle", "test": "by validation"}[table["choice"]]
    names = [*table["columns"], "PAPER", "OURS", f"95 %, {table['seeds']} seeds"]
    names += ["layer", f"OURS, {other}", "its layer", "remark"]
    rows = []
    for row in table["rows"]:
        ours, beside = row["ours"] or {}, row["other_choice"] or {}
        cells = [*row["labels"], _percent(row["paper"].get("uar"))]
        cells += [_value(ours), _interval(ours), ours.get("layer") or "-"]
        cells += [_value(beside), beside.get("layer") or "-", _remark(row)]
        rows.append(cells)
    return names, rows


def _curves(table: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    by = {
        (dataset, one["model"], one["layer"]): one["test"]
        for dataset, every in table["layers"].items()
        for one in every
    }
    found = list(dict.fromkeys(layer for _, _, layer in by))
    rows = []
    for row in table["rows"]:
        mine = (row["dataset"], row["checkpoint"])
        own = {layer: by.get((*mine, layer)) for layer in found}
        marked = (row["ours"] or {}).get("layer", "").split(", ")
        cells = [
            _percent(one["value"] if one else None) + "*" * (layer in marked)
            for layer, one in own.items()
        ]
        rows.append([*row["labels"], *cells, _remark(row)])
    return [*table["columns"], *found, "remark"], rows


def _fusions(table: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    names = [*table["columns"], "OURS", f"95 %, {table['seeds']} seeds"]
    names += ["classes", "tested", "remark"]
    rows = []
    for row in table["rows"]:
        ours, own = row["ours"] or {}, table["divided"].get(row["dataset"])
        classes = tested = "-"
        if own:
            classes = str(own["classes"])
            tested = str(own["classes"] - len(own["not_tested"]))
        cells = [_value(ours), _interval(ours), classes, tested, _remark(row)]
        rows.append([*row["labels"], *cells])
    return names, rows


def _facts(table: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    metrics = KINDS[table["kind"]] or KINDS["datasets"]
    names = list(table["columns"])
    for name in metrics.values():
        names += (
            [f"{name}, PAPER", f"{name}, OURS"]
            if table["kind"] != "lengths"
            else [name]
        )
    rows = []
    for row in table["rows"]:
        cells = list(row["labels"])
        for metric in metrics:
            ours = _number(metric, row["facts"].get(metric))
            printed = _number(metric, row["paper"].get(metric))
            cells += [ours] if table["kind"] == "lengths" else [printed, ours]
        rows.append([*cells, _remark(row)])
    return [*names, "remark"], rows


def _pipeline(table: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    told = ("of", "call", "layer")
    rows = [
        [*row["labels"], *(row["facts"].get(name, "-") for name in told), _remark(row)]
        for row in table["rows"]
    ]
    return [*table["columns"], *told, "remark"], rows


def _remark(row: Mapping[str, Any]) -> str:
    if row["why_not"]:
        return row["why_not"]
    return f"of {len(row['fusion_of'])} encoders" if row["fusion_of"] else ""


def _number(metric: str, value: float | None) -> str:
    if value is None:
        return "-"
    if metric == "parameters_m":
        return f"{value:.2f}"
    whole = value >= 100 or metric in ("calls", "classes", "width", "blocks")
    return f"{value:,.0f}" if whole else f"{value:,.1f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.2f}"


def _value(choice: Mapping[str, Any]) -> str:
    return _percent(choice["uar"]["value"]) if choice else "-"


def _interval(choice: Mapping[str, Any]) -> str:
    if not choice or choice["uar"]["low"] is None:
        return "-"
    return f"{100 * choice['uar']['low']:.2f} to {100 * choice['uar']['high']:.2f}"


def _below(table: Mapping[str, Any]) -> list[str]:
    """What is told under the numbers."""
    lines = []
    if table["kind"] in _SCORED:
        lines += _of_scores(table)
        for dataset, own in table["divided"].items():
            lines += _of_splits(str(DATASETS.get(dataset, dataset)), own)
    lines += table["notes"]
    return lines + [f"the paper: {text}" for text in table["open"]]


def _of_scores(table: Mapping[str, Any]) -> list[str]:
    over = "one seed" if table["seeds"] == 1 else f"means over {table['seeds']} seeds"
    lines = [
        f"UAR in per cent, {over} of the probes; intervals (Student's) say nothing of"
        " other calls"
    ]
    if table["kind"] == "curves":
        chose = "test" if table["choice"] == "test" else "validation"
        lines.append(f"*: the layer that {chose} calls chose; a figure each layer")
    if table["kind"] == "scores":
        lines.append(
            "PAPER: printed in the paper, of its data and weights, one run, the best"
            " layer on its test calls"
        )
    if table["choice"] == "test":
        lines.append("OURS: TEST calls chose the layer, as in the paper: they flatter")
    elif table["kind"] == "scores":
        lines.append(
            "OURS: validation calls chose the layer; oracle: the layer that is best on"
            " test calls, as the paper chooses: it flatters"
        )
    if table["simulated"] or table["random"]:
        what = ["SIMULATED calls"] * table["simulated"]
        what += ["RANDOM weights"] * table["random"]
        lines.append(
            f"OURS are of {' and '.join(what)}: no order of the rows says anything of"
            " the paper's"
        )
    return lines


def _of_splits(name: str, own: Mapping[str, Any]) -> Iterator[str]:
    def three(of: Mapping[str, int]) -> str:
        return " / ".join(f"{n:,}" for n in of.values())

    folds = f" in {own['folds']} folds together" if own["folds"] > 1 else ""
    yield (
        f"{name}: {three(own['calls'])} calls of {three(own['groups'])} callers or"
        f" recordings to train, validate and test{folds}"
    )
    left = [f"{n:,} {why}" for why, n in own["counts"].items() if n and why != "used"]
    if left:
        yield f"{name}: left out {', '.join(left)}"
    missing = own["not_tested"]
    if missing and own["folds"] == 1:
        share = f"{own['classes'] - len(missing)}/{own['classes']}"
        yield (
            f"{name}: {len(missing)} classes without a test call do not count"
            f" ({', '.join(missing[:6])}{'...' if len(missing) > 6 else ''}); with a"
            f" recall of 0 for them, as some software has it, UAR is times {share}"
        )
    for text in own["warnings"]:
        yield f"{name}: {text}"


def as_csv(table: Mapping[str, Any], confusions: Mapping[str, Any]) -> str:
    """With full digits: a line per row and metric, layer, or cell of a confusion."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    if table["kind"] == "curves":
        rows.writerows(_layer_lines(table))
    elif table["kind"] == "confusion":
        rows.writerow(["data set", "truth", "predicted", "calls", "simulated"])
        for dataset, (matrix, classes) in confusions.items():
            for truth, counts in zip(classes, matrix.tolist(), strict=True):
                for name, count in zip(classes, counts, strict=True):
                    rows.writerow([dataset, truth, name, count, table["simulated"]])
    elif table["kind"] == "scores":
        rows.writerows(_score_lines(table))
    else:
        names = list(KINDS[table["kind"]] or KINDS["datasets"])
        head = [x for name in names for x in (f"{name} paper", name)]
        rows.writerow([*table["columns"], *head, "simulated", "why_not"])
        for row in table["rows"]:
            both = [x.get(n) for n in names for x in (row["paper"], row["facts"])]
            rows.writerow([*row["labels"], *both, table["simulated"], row["why_not"]])
    return text.getvalue()


def _layer_lines(table: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    yield ["data set", "features", "layer", "validation", "test", "low", "high"] + [
        "seeds",
        "simulated",
        "random_weights",
    ]
    marks = [table["simulated"], table["random"]]
    for dataset, every in table["layers"].items():
        for one in every:
            test, validation = one["test"], one["validation"]["value"]
            figures = [validation, test["value"], test["low"], test["high"]]
            name = DATASETS.get(dataset, dataset)
            seeds = len(test["seeds"])
            yield [name, one["model"], one["layer"], *figures, seeds, *marks]


def _score_lines(table: Mapping[str, Any]) -> Iterator[Sequence[Any]]:
    yield [*table["columns"], "paper", "uar", "low", "high", "seeds", "layer"] + [
        "other_uar",
        "other_layer",
        "fusion_of",
        "simulated",
        "random_weights",
        "why_not",
    ]
    for row in table["rows"]:
        ours, beside = row["ours"] or {}, row["other_choice"] or {}
        uar, other = ours.get("uar", {}), beside.get("uar", {})
        figures = [uar.get(name) for name in ("value", "low", "high")]
        figures += [len(uar.get("seeds", ())), ours.get("layer")]
        yield [*row["labels"], row["paper"].get("uar"), *figures] + [
            other.get("value"),
            beside.get("layer"),
            " ".join(row["fusion_of"]),
            table["simulated"],
            table["random"],
            row["why_not"],
        ]


def write(
    folder: epath.Path, table: Mapping[str, Any], confusions: Mapping[str, Any]
) -> str:
    """Writes `KEY.md`, `KEY.csv` and `KEY.json`; returns the text for a terminal."""
    found = page(table)
    markdown = rendering.as_markdown(found)
    rows = as_csv(table, confusions)
    rendering.write(folder, table, markdown=markdown, rows=rows)
    return rendering.as_text(found)
