"""Scores of DCASE Task 2 as JSON, as CSV and as a table for the terminal."""

import csv
import io
import math
from collections.abc import Mapping
from typing import Any

from sigjax.evals.dcase import DcaseScores, NotScored
from sigjax.evals.dcase_years import DECISIONS, domains_of, rule_of
from sigjax.evals.detection_intervals import LEVEL, Interval

Intervals = Mapping[str, Mapping[str, Interval]]
_MOST_MISSING = 5
_HEADS = {
    2020: (("", ("AUC", "auc")), ("", ("pAUC", "pauc"))),
    2021: (
        ("source", ("AUC", "auc_source")),
        ("", ("pAUC", "pauc_source")),
        ("target", ("AUC", "auc_target")),
        ("", ("pAUC", "pauc_target")),
    ),
    2022: (
        ("AUC", ("source", "auc_source")),
        ("", ("target", "auc_target")),
        ("", ("pAUC", "pauc")),
    ),
}


def as_dict(scores: DcaseScores, intervals: Intervals | None = None) -> dict[str, Any]:
    """All of it, JSON-able; fractions, and None where a figure does not exist.

    Args:
      scores: Of a system.
      intervals: Of `detection_intervals.bootstrap_scores`, or none.
    """
    machines: dict[str, Any] = {}
    for machine in scores.machines:
        machines[machine] = {**_numbers(scores.mean(machine)), "sections": {}}
    for machine, section in scores.sections:
        means = _numbers(scores.mean(machine, section))
        counts = scores.counts(machine, section)
        machines[machine]["sections"][section] = {**means, **counts}
    found = {
        "year": scores.year,
        "data": scores.data,
        "clips": len(scores.clips),
        "official": scores.official,
        "mean": scores.kind,
        "terms": scores.count,
        "terms_missing": scores.missing,
        "total": _numbers(scores.mean()),
        "total_arithmetic": _numbers(scores.mean(harmonic=False)),
        "machines": machines,
        "not_scored": [entry._asdict() for entry in scores.not_scored],
    }
    if intervals is not None:
        found["intervals"] = {
            name: {column: _numbers(i._asdict()) for column, i in columns.items()}
            for name, columns in intervals.items()
        }
    return found


def as_csv(scores: DcaseScores) -> str:
    """A row for each section, then for each machine, then for all.

    Fractions in full precision, empty where there is no figure; then numbers of clips.
    """
    columns = list(scores.mean())
    counts = list(scores.counts(*scores.sections[0]))
    text = io.StringIO()
    writer = csv.DictWriter(
        text, ["machine", "section", *columns, *counts], lineterminator="\n"
    )
    writer.writeheader()

    def write(machine: str, section: str, means: Mapping[str, float], **more: int):
        row = {"machine": machine, "section": section, **_numbers(means), **more}
        writer.writerow(row)

    for machine, section in scores.sections:
        means = scores.mean(machine, section)
        write(machine, section, means, **scores.counts(machine, section))
    for machine in scores.machines:
        write(machine, f"{scores.kind} mean", scores.mean(machine))
    write("all", f"{scores.kind} mean", scores.mean())
    if scores.kind == "harmonic":
        write("all", "arithmetic mean", scores.mean(harmonic=False))
    return text.getvalue()


def as_text(scores: DcaseScores, intervals: Intervals | None = None) -> str:
    """A table for the terminal, in percent: a row for each machine, then the total.

    Args:
      scores: Of a system.
      intervals: Of `detection_intervals.bootstrap_scores`, or none.
    """
    sections, machines = len(scores.sections), len(scores.machines)
    lines = [
        f"DCASE Task 2, rule of {_rule(scores.year)}, on {scores.data}",
        f"{len(scores.clips):,} clips, {_count(sections, 'section')} of"
        f" {_count(machines, 'machine')}; % ({scores.kind} means)",
        "",
        *_areas(scores, intervals),
    ]
    if any(not term.official for term in scores.terms):
        lines += ["", *_decisions(scores)]
    lines += ["", *_verdict(scores, intervals)]
    return "\n".join(line.rstrip() for line in lines)


def _rule(year: int) -> str:
    return "2022 to 2026" if rule_of(year) == 2022 else str(year)


def _areas(scores: DcaseScores, intervals: Intervals | None) -> list[str]:
    heads = _HEADS[rule_of(scores.year)]
    width = max(15, *(len(machine) + 2 for machine in scores.machines))
    above = "".join(f"{group:>8}" for group, _ in heads)
    below = "".join(f"{name:>8}" for _, (name, _) in heads)
    lines = [" " * width + above] if above.strip() else []
    over = f"  {100 * LEVEL:.0f} % interval" if intervals else ""
    lines.append(f"{'machine':<{width}}{below}{'mean':>9}{over}")

    def row(name: str, means: Mapping[str, float], key: str = "") -> str:
        figures = "".join(f"{_percent(means[column]):>8}" for _, (_, column) in heads)
        text = f"{name:<{width}}{figures}{_percent(means['mean']):>9}"
        interval = (intervals or {}).get(key, {}).get("mean")
        return text + ("" if interval is None else f"  {_range(interval)}")

    lines += [
        row(machine, scores.mean(machine), machine) for machine in scores.machines
    ]
    lines.append(row(f"{scores.kind} mean", scores.mean(), "total"))
    if scores.kind == "harmonic":
        lines.append(row("arithmetic mean", scores.mean(harmonic=False)))
    return lines


def _decisions(scores: DcaseScores) -> list[str]:
    domains = domains_of(scores.year)
    width = max(15, *(len(machine) + 2 for machine in scores.machines))
    titles = ("precision", "recall", "F1")
    above = "".join(f"{title:>{8 * len(domains)}}" for title in titles)
    if len(domains) == 1:
        lines = [f"{'decisions':<{width}}" + "".join(f"{t:>10}" for t in titles)]
        cell = 10
    else:
        lines = [
            f"{'decisions':<{width}}{above}",
            " " * width + "".join(f"{d:>8}" for _ in titles for d in domains),
        ]
        cell = 8
    columns = [f"{m}_{d}".rstrip("_") for m in DECISIONS for d in domains]
    names = [*scores.machines, ""]
    for machine in names:
        means = scores.mean(machine)
        figures = "".join(f"{_percent(means[column]):>{cell}}" for column in columns)
        lines.append(f"{machine or scores.kind + ' mean':<{width}}{figures}")
    return lines


def _verdict(scores: DcaseScores, intervals: Intervals | None) -> list[str]:
    """The one number, and why it is not official where it is not."""
    total = scores.mean()["mean"]
    first = rule_of(scores.year) == 2020
    name = "mean over machines" if first else "score"
    if scores.official is not None and not first:
        name = "official score"
    text = f"{name}: {_percent(total)}"
    interval = (intervals or {}).get("total", {}).get("mean")
    if interval is not None:
        text += f" {_range(interval)}"
    lines = [f"{text}, {scores.kind} mean of {scores.count - scores.missing} figures"]
    if first:
        lines.append("(the challenge of 2020 ranked teams by their ranks per machine)")
    if interval is not None:
        lines.append("intervals: clips resampled within section, domain and label")
    if scores.official is None:
        lines.append(f"This is not the challenge's score: it is of {scores.data}.")
    if scores.not_scored:
        lines += _not_scored(scores)
    return lines


def _not_scored(scores: DcaseScores) -> list[str]:
    """What does not exist and why, a line for each section."""
    sections: dict[str, list[NotScored]] = {}
    for entry in scores.not_scored:
        where = f"{entry.machine} section {entry.section}"
        sections.setdefault(where, []).append(entry)
    lines = [f"{scores.missing} of {scores.count} figures do not exist:"]
    for where, entries in list(sections.items())[:_MOST_MISSING]:
        names = ", ".join(dict.fromkeys(entry.metric for entry in entries))
        domains = {entry.domain for entry in entries}
        of = f" of {min(domains)}" if len(domains) == 1 and domains != {""} else ""
        lines += [f"  {where}: no {names}{of}:", f"    {entries[0].reason}"]
    if len(sections) > _MOST_MISSING:
        lines.append(f"  and in {len(sections) - _MOST_MISSING} sections more")
    return lines


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {k: None if math.isnan(v) else float(v) for k, v in values.items()}


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.2f}"


def _range(interval: Interval) -> str:
    if math.isnan(interval.low):
        return ""
    return f"[{100 * interval.low:.2f}, {100 * interval.high:.2f}]"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
