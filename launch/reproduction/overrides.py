"""Overrides of configs, as a command line gives them."""

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from sigjax.config import ConfigError


def overrides(text: Sequence[str] | None) -> Mapping[str, Any]:
    """`["a.b=1", "c=x"]` as overrides; values as Python writes them, else as text.

    Raises:
      ConfigError: One has no `=`.
    """
    found: dict[str, Any] = {}
    for item in text or ():
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"an override is KEY=VALUE, got {item!r}")
        try:
            found[key] = ast.literal_eval(value)
        except (SyntaxError, ValueError):
            found[key] = value
    return found
