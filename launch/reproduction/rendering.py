"""How every table is written: for a terminal, as Markdown, CSV and JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from etils import epath

from sigjax.train.writer import replace_file


class Page(NamedTuple):
    """A table and what is said around it.

    Attributes:
      above: Lines; the first is the title.
      names: Of the columns; `", "` is where a long one may be broken.
      rows: Cells of each row, as text.
      labels: How many columns come first that are no numbers.
      below: Lines.
    """

    above: Sequence[str]
    names: Sequence[str]
    rows: Sequence[Sequence[str]]
    labels: int
    below: Sequence[str]


def header_lines(
    table: Mapping[str, Any], data: Sequence[str], *, about: str
) -> list[str]:
    """What a reader must know before the numbers.

    Args:
      table: With the keys of a command's header, and a title.
      data: What is said of the data.
      about: What simulated data say nothing about.
    """
    lines = [f"{table['paper_title']}. {table['title']}"]
    lines += [f"{name}: {table[name]}" for name in ("scale", "protocol")]
    lines += [*data, f"the paper's data: {table['paper_data']}"]
    if table["simulated"]:
        lines += [
            f"SIMULATED: these scores say nothing about {about}, nor about the paper"
        ]
    if table["overrides"]:
        lines += [f"overrides: {table['overrides']}"]
    lines += [f"command: {table['command']}", f"made with: {table['made_with']}"]
    return lines


def made_with(results: Sequence[Mapping[str, Any]]) -> str:
    """Versions, devices and revisions of the cells, in one line.

    Of revisions the first few; every cell's own result has its own.
    """

    def every(values: Iterable[str], most: int | None = None) -> str:
        names = list(dict.fromkeys(values))
        if most is not None and len(names) > most:
            names[most:] = [f"{len(names) - most} others"]
        return " and ".join(names) or "nothing has run"

    names = ("sigjax", "jax", "python")
    versions = every(
        ", ".join(f"{name} {r['versions'][name]}" for name in names) for r in results
    )
    devices = every(f"{len(r['devices'])} x {r['devices'][0]}" for r in results)
    return f"{versions}; {devices}; git {every((r['git'] for r in results), 3)}"


def as_text(page: Page) -> str:
    """For a terminal; columns aligned, long headings over several lines."""
    heads = [name.split(", ") for name in page.names]
    depth = max(len(head) for head in heads)
    top = [[""] * (depth - len(head)) + head for head in heads]
    every = [[head[level] for head in top] for level in range(depth)]
    every += [list(row) for row in page.rows]
    widths = [max(len(line[i]) for line in every) for i in range(len(page.names))]

    def show(line: Sequence[str]) -> str:
        cells = [
            text.ljust(width) if place < page.labels else text.rjust(width)
            for place, (text, width) in enumerate(zip(line, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    rule = "  ".join("-" * width for width in widths)
    body = [*map(show, every[:depth]), rule, *map(show, every[depth:])]
    return "\n".join([*page.above, "", *body, "", *page.below])


def as_markdown(page: Page) -> str:
    """For a page."""
    head, *facts = page.above
    marks = ["---"] * page.labels + ["--:"] * (len(page.names) - page.labels)
    lines = [f"# {head}", "", *(f"- {fact}" for fact in facts), ""]
    lines += [f"| {' | '.join(cells)} |" for cells in (page.names, marks, *page.rows)]
    return "\n".join([*lines, "", *(f"- {s}" for s in page.below), ""])


def write(
    folder: epath.Path, table: Mapping[str, Any], *, markdown: str, rows: str
) -> None:
    """Writes `KEY.md`, `KEY.csv` and `KEY.json`.

    Args:
      folder: Created if missing.
      table: All that the table tells, JSON-able; its key is `sheet`.
      markdown: The first file.
      rows: The second.
    """
    folder.mkdir(parents=True, exist_ok=True)
    key = table["sheet"]
    replace_file(folder / f"{key}.md", markdown.encode())
    replace_file(folder / f"{key}.csv", rows.encode())
    text = json.dumps(table, indent=1) + "\n"
    replace_file(folder / f"{key}.json", text.encode())
