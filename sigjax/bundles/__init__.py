"""Bundles that come with the package.

  detector = sigjax.load(sigjax.bundles.path("machine_sounds"))

machine_sounds   A small classifier of the sections of SIMULATED machines
                 (`configs/asd_sections.py:shipped`), so that a detector can be fitted
                 on minutes of normal sound of any machine without training anything.
"""

import pathlib

_HERE = pathlib.Path(__file__).parent


def names() -> tuple[str, ...]:
    """Those that there are."""
    return tuple(sorted(file.parent.name for file in _HERE.glob("*/bundle.json")))


def path(name: str) -> pathlib.Path:
    """The folder of one, for `sigjax.load`.

    Raises:
      ValueError: There is none of that name.
    """
    if name not in names():
        raise ValueError(
            f"no bundle {name!r} comes with sigjax: there are {', '.join(names())}"
        )
    return _HERE / name
