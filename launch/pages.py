"""Pages of text whose tables a command replaces."""

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
