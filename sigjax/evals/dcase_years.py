"""What each year of DCASE Task 2 scores: its rule, and its machines and sections."""

from collections.abc import Iterable, Mapping

from sigjax.data.machine_sound.years import MACHINES

DOMAINS = ("source", "target")
YEARS = tuple(range(2020, 2027))
# Figures of decisions; no part of an official score.
DECISIONS = ("precision", "recall", "f1")
# By the first year of a rule: a table's column to the figure and domain that it
# averages, None for both domains.
COLUMNS: Mapping[int, Mapping[str, tuple[str, str | None]]] = {
    2020: {"auc": ("auc", ""), "pauc": ("pauc", "")},
    2021: {
        "auc": ("auc", None),
        "pauc": ("pauc", None),
        "auc_source": ("auc", "source"),
        "pauc_source": ("pauc", "source"),
        "auc_target": ("auc", "target"),
        "pauc_target": ("pauc", "target"),
    },
    2022: {
        "auc": ("auc", None),
        "auc_source": ("auc", "source"),
        "auc_target": ("auc", "target"),
        "pauc": ("pauc", ""),
    },
}


class DcaseError(ValueError):
    """Clips cannot be scored by a year's rule; says which and why."""


def rule_of(year: int) -> int:
    """First year of the rule that holds in a year: 2020, 2021 or 2022.

    Raises:
      DcaseError: There was no task in that year, or none that is known here.
    """
    if year not in YEARS:
        known = f"{YEARS[0]} to {YEARS[-1]}"
        raise DcaseError(f"no rule of the year {year!r}; DCASE years are {known}")
    return min(year, 2022)


def domains_of(year: int) -> tuple[str, ...]:
    """Domains that a year tells apart; `("",)` where it does not."""
    return DOMAINS if rule_of(year) > 2020 else ("",)


def _pairs(machines: str, sections: str) -> frozenset[tuple[str, str]]:
    return frozenset((m, s) for m in machines.split() for s in sections.split())


def _by_side(side: int, sections: str) -> dict[int, frozenset[tuple[str, str]]]:
    """Since 2023 there is one section, 00."""
    return {
        year: _pairs(" ".join(machines[side]), "00" if year > 2022 else sections)
        for year, machines in MACHINES.items()
    }


_MIMII = "fan pump slider valve"
# Machine and section (2020: ID) of each year's data.
EVALUATION: Mapping[int, frozenset[tuple[str, str]]] = {
    **_by_side(1, "03 04 05"),
    2020: _pairs(_MIMII, "01 03 05")
    | _pairs("ToyCar", "05 06 07")
    | _pairs("ToyConveyor", "04 05 06"),
}
DEVELOPMENT: Mapping[int, frozenset[tuple[str, str]]] = {
    **_by_side(0, "00 01 02"),
    2020: _pairs(_MIMII, "00 02 04 06")
    | _pairs("ToyCar", "01 02 03 04")
    | _pairs("ToyConveyor", "01 02 03"),
}


def years_of(sections: Iterable[tuple[str, str]]) -> list[int]:
    """Years whose data have these sections: exactly if there are such, else among more.

    Args:
      sections: Machine and section each.
    """
    here = frozenset(sections)
    sides = (EVALUATION, DEVELOPMENT)
    exact = [year for year in YEARS if any(here == side[year] for side in sides)]
    return exact or [y for y in YEARS if any(here <= side[y] for side in sides)]


def coverage(year: int, sections: Iterable[tuple[str, str]]) -> str:
    """Which part of a year's data these sections are, in words."""
    here = frozenset(sections)
    sides = (("evaluation", EVALUATION[year]), ("development", DEVELOPMENT[year]))
    for name, known in sides:
        if here == known:
            return f"the whole {name} set of {year}"
    for name, known in sides:
        if here < known:
            return f"{len(here)} of {len(known)} sections of the {name} set of {year}"
    return f"other data than that of {year}"
