"""Scores of machine sounds as text, Markdown, CSV and JSON: the paper's beside ours.

A row is a system on a machine. OURS is what the protocol reports, with its interval
over clips; the other choice stands beside it under its own name.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from launch.reproduction import rendering
from launch.reproduction.sounds.cells import Plan
from launch.reproduction.sounds.scores import SELECTIONS, TOTAL, SystemScore
from launch.reproduction.sounds.sheets import METRICS, Candidate, Sheet, System

_TOTAL_NAME = "harmonic mean"


def content(
    plan: Plan, scores: Sequence[SystemScore], header: Mapping[str, Any]
) -> dict[str, Any]:
    """All that a table tells, JSON-able; figures are fractions of one."""
    sheet, rows = plan.sheet, []
    for system, found in zip(sheet.systems, scores, strict=True):
        printed = printed_figures(sheet, system, plan.paper.machines)
        for machine in (*plan.paper.machines, TOTAL):
            if machine in (*plan.machines, *printed, TOTAL):
                figures = printed.get(machine, {})
                rows.append(_row(plan, system, found, machine, figures))
    return {
        **header,
        "sheet": sheet.key,
        "title": sheet.title,
        "kind": sheet.kind,
        "metrics": list(sheet.metrics),
        "seeds": plan.seeds,
        "year": plan.paper.year,
        "reported": plan.protocol.selection,
        "machines": list(plan.machines),
        "machines_of_the_paper": list(plan.paper.machines),
        "choice": any(found.choice for found in scores),
        "varies": {
            system.name: _varies(plan, number)
            for number, system in enumerate(sheet.systems)
        },
        "rows": rows,
        "left_out": {k: v for found in scores for k, v in found.left_out.items()},
        "notes": list(sheet.notes),
    }


def _row(
    plan: Plan,
    system: System,
    found: SystemScore,
    machine: str,
    printed: Mapping[str, float | None],
) -> dict[str, Any]:
    metrics = plan.sheet.metrics
    ours = {
        selection: {name: dict(figures[machine][name]) for name in metrics}
        for selection, figures in found.figures.items()
        if machine in figures
    }
    chosen = {
        selection: [_told(c) for c in found.chosen[selection].get(machine, ())]
        for selection in SELECTIONS
    }
    setting = plan.paper.settings.get(machine)
    return {
        "system": system.name,
        "machine": machine,
        "paper": {name: printed.get(name) for name in metrics},
        "paper_setting": list(setting) if setting else None,
        "ours": ours or None,
        "chosen": chosen,
        "candidates": found.candidates.get(machine, 0),
        "development": found.development.get(machine),
        "why_not": found.failed.get(machine, ""),
    }


def _varies(plan: Plan, number: int) -> list[str]:
    """In which fields the candidates of a system differ."""
    every = {
        candidate
        for (place, _, _), found in plan.candidates.items()
        if place == number
        for candidate in found
    }
    fields = Candidate._fields
    return [f for f in fields if len({getattr(c, f) for c in every}) > 1]


def _told(candidate: Candidate) -> dict[str, Any]:
    return {**candidate._asdict(), "title": candidate.title}


def printed_figures(
    sheet: Sheet, system: System, machines: Sequence[str]
) -> dict[str, dict[str, float | None]]:
    """What the paper prints, by machine, and as `TOTAL` the harmonic means of it.

    The paper's `mean` is its harmonic mean of AUC and pAUC, over machines too. A total
    that it prints itself stands as printed.
    """
    found: dict[str, dict[str, float | None]] = {}
    for machine, values in system.paper.items():
        named = dict(zip(sheet.printed, values, strict=True))
        found[machine] = {**named, "mean": _harmonic(list(named.values()))}
    if not found:
        return {}
    total = {
        name: _harmonic([found.get(m, {}).get(name) for m in machines])
        for name in (*sheet.printed, "mean")
    }
    given = dict(zip(sheet.metrics, system.total, strict=False))
    found[TOTAL] = total | {k: v for k, v in given.items() if v is not None}
    return found


def _harmonic(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value]
    if not values or len(there) < len(values):
        return None
    return len(there) / sum(1 / value for value in there)


def page(table: Mapping[str, Any]) -> rendering.Page:
    """The table and what is said around it."""
    grid = {"scores": _scores, "settings": _settings}[table["kind"]]
    names, labels, rows = grid(table)
    data = [f"machine sounds: {table['sounds']}"]
    above = rendering.header_lines(table, data, about="machines")
    return rendering.Page(above, names, rows, labels, _below(table))


def _other(table: Mapping[str, Any]) -> str:
    (other,) = {*SELECTIONS} - {table["reported"]}
    return other


def _figures_names(table: Mapping[str, Any], metric: str) -> list[str]:
    name, reported = METRICS[metric], table["reported"]
    ours = f"OURS {reported}" if table["choice"] else "OURS"
    names = [f"{name}, PAPER", f"{name}, {ours}", f"{name}, 95 % interval"]
    names += [f"{name}, sd of {table['seeds']} seeds"] * (table["seeds"] > 1)
    return names + [f"{name}, {_other(table)}"] * table["choice"]


def _figures(table: Mapping[str, Any], row: Mapping[str, Any], metric: str):
    ours = (row["ours"] or {}).get(table["reported"], {}).get(metric)
    other = (row["ours"] or {}).get(_other(table), {}).get(metric)
    cells = [_percent(row["paper"][metric])]
    cells += [_percent(ours and ours["value"]), _interval(ours)]
    cells += [_percent(ours and ours["sd"])] * (table["seeds"] > 1)
    return cells + [_percent(other and other["value"])] * table["choice"]


def _scores(table: Mapping[str, Any]) -> tuple[list[str], int, list[list[str]]]:
    names = ["system", "machine"]
    for metric in table["metrics"]:
        names += _figures_names(table, metric)
    if table["choice"]:
        names += [f"{s}'s choice" for s in (table["reported"], _other(table))]
    rows = []
    for row in table["rows"]:
        cells = [row["system"], _machine(row)]
        for metric in table["metrics"]:
            cells += _figures(table, row, metric)
        if table["choice"]:
            cells += _choices(table, row)
        rows.append(cells)
    return names, 2, rows


def _choices(table: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    """What each selection chose, in the words in which candidates differ."""
    varies, cells = table["varies"][row["system"]], []
    for selection in (table["reported"], _other(table)):
        if row["candidates"] < 2:
            cells.append("-" if row["machine"] == TOTAL else "")
            continue
        chosen = []
        for c in row["chosen"][selection]:
            words = Candidate(*(c[f] for f in Candidate._fields)).words()
            chosen.append(", ".join(words[f] for f in varies if f in words))
        cells.append(" / ".join(dict.fromkeys(chosen)) or "-")
    return cells


def _settings(table: Mapping[str, Any]) -> tuple[list[str], int, list[list[str]]]:
    """What the paper chose, what each selection chose, and what comes of it."""
    reported, other = table["reported"], _other(table)
    names = ["machine"]
    for what in ("center loss", "f_min (Hz)"):
        names += [f"{what}, PAPER", f"{what}, {reported}", f"{what}, {other}"]
    names += [f"score, {reported}", f"score, {other}"]
    if any(c["model"] != "specific" for c in _chosen(table)):
        names += [f"model, {reported}", f"model, {other}"]
    labels = len(names)
    for metric in table["metrics"]:
        names += _figures_names(table, metric)
    rows = []
    for row in table["rows"]:
        setting = row["paper_setting"]
        cells = [_machine(row)]
        for field, show in (("centre", _yes), ("cutoff_hz", _hertz)):
            own = setting[field == "centre"] if setting else None
            cells += ["" if own is None else show(own)]
            cells += [_each(row, s, field, show) for s in (reported, other)]
        cells += [_each(row, s, "score", str) for s in (reported, other)]
        if "model, " + reported in names:
            cells += [_each(row, s, "model", str) for s in (reported, other)]
        for metric in table["metrics"]:
            cells += _figures(table, row, metric)
        rows.append(cells)
    return names, labels, rows


def _chosen(table: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [c for row in table["rows"] for s in SELECTIONS for c in row["chosen"][s]]


def _each(row: Mapping[str, Any], selection: str, field: str, show: Any) -> str:
    """A choice in words; of several seeds every one that was made."""
    told = [show(c[field]) for c in row["chosen"][selection]]
    return " / ".join(dict.fromkeys(told)) or ("" if row["machine"] == TOTAL else "-")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _hertz(value: float) -> str:
    return f"{value:g}"


def _machine(row: Mapping[str, Any]) -> str:
    return _TOTAL_NAME if row["machine"] == TOTAL else row["machine"]


def _percent(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{100 * value:.2f}"


def _interval(found: Mapping[str, Any] | None) -> str:
    if not found or found["low"] is None:
        return "-"
    return f"{100 * found['low']:.1f} to {100 * found['high']:.1f}"


def _below(table: Mapping[str, Any]) -> list[str]:
    """What is told under the numbers."""
    lines = [
        f"{row['system']}, {row['machine']}: {row['why_not']}"
        for row in table["rows"]
        if row["why_not"]
    ]
    lines += [f"left out: {what}: {why}" for what, why in table["left_out"].items()]
    lines += _of_choices(table)
    missing = [m for m in table["machines_of_the_paper"] if m not in table["machines"]]
    if missing:
        lines.append(
            f"not run here: {', '.join(missing)}; so OURS over machines is of"
            f" {len(table['machines'])} of them, the PAPER's of all"
        )
    over = f"; means over {table['seeds']} seeds" if table["seeds"] > 1 else ""
    lines.append(
        f"per cent by the rule of {table['year']}: AUC and pAUC (p = 0.1) are harmonic"
        " means over sections and domains, and `mean` is of AUC and pAUC, of all"
        " machines the official score. 95 % intervals by bootstrap over clips, of the"
        f" chosen system as it stands{over}. PAPER: printed in the paper, on the"
        " paper's data; its `mean` is computed from what it prints"
    )
    return lines + list(table["notes"])


def _of_choices(table: Mapping[str, Any]) -> list[str]:
    if not table["choice"]:
        return []
    lines = [
        "honest: chosen on the development sections 00-02, reported on the evaluation"
        " sections 03-05. oracle: chosen on the very sections that are reported, as the"
        " paper does, an upper bound and no result"
    ]
    if table["reported"] == "oracle":
        lines.append("OURS is the ORACLE here, so it flatters: --protocol=honest")
    if table["kind"] == "settings" and table["reported"] == "honest":
        reported = table["reported"]
        for place, field, name in (
            (1, "centre", "center loss"),
            (0, "cutoff_hz", "f_min"),
        ):
            rows = [r for r in table["rows"] if r["chosen"][reported]]
            rows = [r for r in rows if r["paper_setting"]]
            same = [
                r
                for r in rows
                if all(
                    c[field] == r["paper_setting"][place] for c in r["chosen"][reported]
                )
            ]
            lines.append(f"{name} as in the paper: {len(same)} of {len(rows)} machines")
    return lines


def as_csv(table: Mapping[str, Any]) -> str:
    """One line per row, metric and selection, with full digits."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    figures = ("value", "low", "high", "sd")
    rows.writerow(
        ["system", "machine", "metric", "paper", "selection", *figures, "chosen"]
        + ["candidates", "simulated", "why_not"]
    )
    for row in table["rows"]:
        for metric in table["metrics"]:
            for selection in SELECTIONS:
                own = (row["ours"] or {}).get(selection, {}).get(metric, {})
                chosen = [c["title"] for c in row["chosen"][selection]]
                rows.writerow(
                    [row["system"], row["machine"], metric, row["paper"][metric]]
                    + [selection, *(own.get(name) for name in figures)]
                    + [" / ".join(dict.fromkeys(chosen)), row["candidates"]]
                    + [table["simulated"], row["why_not"]]
                )
    return text.getvalue()


def write(folder: epath.Path, table: Mapping[str, Any]) -> str:
    """Writes `KEY.md`, `KEY.csv` and `KEY.json`; returns the text for a terminal."""
    found = page(table)
    markdown = rendering.as_markdown(found)
    rendering.write(folder, table, markdown=markdown, rows=as_csv(table))
    return rendering.as_text(found)
