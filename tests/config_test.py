import dataclasses
from typing import Literal

import ml_collections
import pytest

from sigjax.config import ConfigError, build


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner:
    rate_hz: float
    names: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outer:
    width: int
    kind: Literal["a", "b"]
    inner: Inner
    steps: int | None = None
    rules: tuple[tuple[str, tuple[str | None, ...]], ...] = ()

    def __post_init__(self):
        if self.width < 1:
            raise ValueError(f"width must be positive, got {self.width}")


GOOD = {"width": 3, "kind": "a", "inner": {"rate_hz": 30, "names": ["x"]}}


def test_sections_become_nested_dataclasses_with_tuples_and_floats():
    config = ml_collections.ConfigDict(GOOD | {"rules": [["w", [None, "data"]]]})
    outer = build(Outer, config)
    assert outer.inner == Inner(rate_hz=30.0, names=("x",))
    assert type(outer.inner.rate_hz) is float
    assert outer.rules == (("w", (None, "data")),)
    assert outer.steps is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widht": 3}, "unknown config key 'widht'"),
        ({"inner": {"rate_hz": 30.0, "rate": 1}}, "unknown config key 'inner.rate'"),
        ({"inner": {}}, "missing config key 'inner.rate_hz'"),
        ({"inner": {"rate_hz": "30"}}, "'inner.rate_hz' must be float, got str '30'"),
        ({"inner": {"rate_hz": 1.0, "names": [1]}}, r"'inner.names\[0\]' must be str"),
        ({"inner": {"rate_hz": 1.0, "names": "ab"}}, "'inner.names' must be a list"),
        ({"width": 1.5}, "'width' must be int, got float 1.5"),
        ({"width": True}, "'width' must be int, got bool True"),
        ({"width": 0}, "width must be positive"),
        ({"kind": "c"}, "'kind' must be one of 'a', 'b', got 'c'"),
        ({"steps": "many"}, "'steps' must be int"),
        ({"rules": [["w", [3]]]}, r"'rules\[0\]\[1\]\[0\]' must be str"),
        ({"rules": [["w"]]}, r"'rules\[0\]' must have 2 entries, got 1"),
        ({"inner": 3}, "config section 'inner' must be a dict"),
    ],
)
def test_mistakes_are_errors_that_name_the_key(change, message):
    with pytest.raises(ConfigError, match=message):
        build(Outer, GOOD | change)
