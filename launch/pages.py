"""Pages of text whose tables a command replaces."""

import json
from collections.abc import Mapping
from typing import Any

from etils import epath

from sigjax.train.writer import replace_file

# Stands before and after the tables.
MARK = "<!-- tables -->"


def into_page(page: str, tables: str) -> str:
    """A page with what stands between its two marks replaced.

    Raises:
      ValueError: It has not two marks.
    """
    parts = page.split(MARK)
    if len(parts) != 3:
        raise ValueError(f"the page must have two lines {MARK}, not {len(parts) - 1}")
    return f"{parts[0]}{MARK}\n\n{tables}\n{MARK}{parts[2]}"


def publish(
    output: str, found: Mapping[str, Any], tables: str, text: str | None = None
) -> str:
    """Writes OUTPUT.json, and the tables into OUTPUT.md if there is such a page.

    Args:
      output: Path without an ending.
      found: What a study found; JSON-able.
      tables: Markdown of it.
      text: In place of `found` as JSON.

    Returns:
      What to tell the user: which page has them, or the tables.

    Raises:
      ValueError: The page has not two marks.
    """
    text = text or json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    replace_file(epath.Path(f"{output}.json"), text.encode())
    page = epath.Path(f"{output}.md")
    if not page.exists():
        return tables
    replace_file(page, into_page(page.read_text(), tables).encode())
    return f"{page} has the tables"
