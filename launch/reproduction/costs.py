"""What tables cost before they are run."""

from collections import Counter
from collections.abc import Iterable

from launch.reproduction.cells import NOTHING, Cell, Given, Plan, Source, make_plan
from launch.reproduction.sheets import Paper, Scale, load, papers


def counts(cells: Iterable[Cell]) -> Counter[str]:
    """Cells of each kind."""
    return Counter(cell.kind for cell in cells)


def cost(scale: Scale, counted: Counter[str]) -> float | None:
    """In the scale's unit; None where nobody knows."""
    if scale.cost is None:
        return None
    each = {"pretrain": scale.cost.pretrain, "finetune": scale.cost.finetune}
    return sum(each[kind] * number for kind, number in counted.items())


def line(scale: Scale, counted: Counter[str]) -> str:
    """Cells and cost in words."""
    text = f"{counted['pretrain']} pretrainings, {counted['finetune']} finetunings"
    total = cost(scale, counted)
    if scale.cost is None or total is None:
        return text
    return f"{text}: about {_round(total)} {scale.cost.unit}, {scale.cost.source}"


def _round(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def listing(given: Given) -> str:
    """Every paper's sheets with their cells and cost."""
    return "\n\n".join(_paper(load(key), given) for key in papers())


def _paper(paper: Paper, given: Given) -> str:
    # All rows, also those that wait for weights.
    if not given.harnet.path:
        given = Given(harnet=Source("HARNET", "HARNET"))
    first, every = paper.scales[0], {}
    priced = [scale for scale in paper.scales if scale.cost is not None]
    heads = ["sheet", "pretrainings", "finetunings"]
    heads += [f"{s.key}: {s.cost.unit}" for s in priced if s.cost]
    rows = []
    for sheet in paper.sheets:
        plan = make_plan(paper, sheet, first, paper.protocols[0], given)
        every |= plan.cells
        rows.append([sheet.key, *_cells(plan.cells.values(), priced), sheet.title])
    total = _cells(every.values(), priced)
    rows.append(["together", *total, "cells that tables share are run once"])
    widths = [max(len(row[i]) for row in [heads, *rows]) for i, _ in enumerate(heads)]

    def show(row: list[str]) -> str:
        cells = [row[0].ljust(widths[0])]
        cells += [t.rjust(w) for t, w in zip(row[1:], widths[1:], strict=False)]
        return "  " + "  ".join([*cells, *row[len(widths) :]])

    lines = [f"paper {paper.key}: {paper.title}", f"  its data: {paper.data}", ""]
    lines += [show(heads), *map(show, rows), ""]
    lines += [f"  --scale={s.key}: {s.says}{_each(s)}" for s in paper.scales]
    lines += [f"  --protocol={p.key}: {p.says}" for p in paper.protocols]
    return "\n".join(lines)


def _cells(cells: Iterable[Cell], priced: list[Scale]) -> list[str]:
    counted = counts(cells)
    prices = [_round(cost(scale, counted) or 0.0) for scale in priced]
    return [str(counted["pretrain"]), str(counted["finetune"]), *prices]


def _each(scale: Scale) -> str:
    c = scale.cost
    if c is None:
        return ""
    return (
        f"; {c.pretrain:g} {c.unit} a pretraining, {c.finetune:g} a finetuning,"
        f" {c.source}"
    )


def dry_run(plan: Plan) -> str:
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
