"""What tables cost before they are run."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from launch.reproduction.cells import NOTHING, Cell
from launch.reproduction.papers import load, papers, study_of


def counts(cells: Iterable[Cell]) -> Counter[str]:
    """Cells of each kind."""
    return Counter(cell.kind for cell in cells)


def cost(scale: Any, counted: Mapping[str, int]) -> float | None:
    """In the scale's unit; None where nobody knows."""
    if scale.cost is None:
        return None
    return sum(scale.cost.each[kind] * number for kind, number in counted.items())


def line(nouns: Mapping[str, str], scale: Any, counted: Mapping[str, int]) -> str:
    """Cells and cost in words.

    Args:
      nouns: Kinds of cells, and one of each in words.
      scale: Whose cost.
      counted: Cells of each kind.
    """
    parts = [
        f"{counted[kind]} {noun}{'' if counted[kind] == 1 else 's'}"
        for kind, noun in nouns.items()
        if counted.get(kind)
    ]
    text = ", ".join(parts) or "no cells"
    total = cost(scale, counted)
    if scale.cost is None or total is None:
        return text
    return f"{text}: about {_round(total)} {scale.cost.unit}, {scale.cost.source}"


def _round(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def listing(given: Any) -> str:
    """Every paper's sheets with their cells and cost.

    Args:
      given: What the command line adds, of which `seeds` counts for all studies.
    """
    return "\n\n".join(_paper(key, given) for key in papers())


def _paper(key: str, given: Any) -> str:
    paper, (_, study) = load(key), study_of(key)
    given = study.everything(given)
    priced = [scale for scale in paper.scales if scale.cost is not None]
    heads = ["sheet", *(f"{noun}s" for noun in study.nouns.values())]
    heads += [f"{s.key}: {s.cost.unit}" for s in priced]

    def row(name: str, found: Sequence[Mapping[str, Cell]], title: str) -> list[str]:
        # Of each scale its own cells: a small one may leave some out.
        counted = [counts(cells.values()) for cells in found]
        numbers = [str(counted[0][kind]) for kind in study.nouns]
        prices = [
            _round(cost(scale, own) or 0.0)
            for scale, own in zip(paper.scales, counted, strict=True)
            if scale.cost is not None
        ]
        return [name, *numbers, *prices, title]

    rows = []
    every = [{} for _ in paper.scales]
    for sheet in paper.sheets:
        plans = [
            study.make_plan(paper, sheet, scale, paper.protocols[0], given).cells
            for scale in paper.scales
        ]
        every = [a | b for a, b in zip(every, plans, strict=True)]
        rows.append(row(sheet.key, plans, sheet.title))
    rows.append(row("together", every, "cells that tables share are run once"))
    lines = [f"paper {paper.key}: {paper.title}", f"  its data: {paper.data}", ""]
    lines += [*_aligned([heads, *rows]), ""]
    lines += [
        f"  --scale={s.key}: {s.says}{_each(s, study.nouns)}" for s in paper.scales
    ]
    lines += [f"  --protocol={p.key}: {p.says}" for p in paper.protocols]
    return "\n".join(lines)


def _aligned(rows: list[list[str]]) -> list[str]:
    """Columns of the first row's number; what is beyond them stays as it is."""
    widths = [max(len(row[i]) for row in rows) for i, _ in enumerate(rows[0])]

    def show(row: list[str]) -> str:
        cells = [row[0].ljust(widths[0])]
        cells += [t.rjust(w) for t, w in zip(row[1:], widths[1:], strict=False)]
        return "  " + "  ".join([*cells, *row[len(widths) :]])

    return [show(row) for row in rows]


def _each(scale: Any, nouns: Mapping[str, str]) -> str:
    c = scale.cost
    if c is None:
        return ""
    each = [(value, nouns[kind]) for kind, value in c.each.items()]
    (value, noun), *others = each
    texts = [f"{value:g} {c.unit} {_a(noun)}"]
    texts += [f"{value:g} {_a(noun)}" for value, noun in others]
    return f"; {', '.join(texts)}, {c.source}"


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0].lower() in "aeiou" else f"a {noun}"


def dry_run(plan: Any) -> str:
    """A sheet's cells, one on a line."""
    lines = [f"{plan.sheet.title}"]
    for cell in plan.cells.values():
        parent = f" from {cell.parent.key}" if cell.parent else ""
        if cell.weights != NOTHING:
            parent = f" from {cell.weights.path}"
        shown = ", ".join(f"{k}={v}" for k, v in cell.overrides.items())
        lines.append(f"  {cell.key}  {cell.title}{parent}: {shown}")
    for place, why in plan.not_run.items():
        lines.append(f"  {plan.sheet.rows[place].title}: {why}")
    return "\n".join(lines)
