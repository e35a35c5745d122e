"""Ground truth of each year as the organisers publish it, of clips made up here."""

import csv
import dataclasses
import pathlib

import numpy as np

from sigjax.evals import dcase_years


@dataclasses.dataclass
class Clips:
    """Columns of a year's evaluation clips: what is hidden, and what is not."""

    year: int
    machine: np.ndarray
    section: np.ndarray
    domain: np.ndarray
    label: np.ndarray
    name: np.ndarray
    true_name: np.ndarray

    @property
    def of_file(self):
        """The part of file names that tells machine, section and in 2021 domain."""
        word = "id" if self.year == 2020 else "section"
        domain = [f"_{d}" if self.year == 2021 else "" for d in self.domain]
        test = "" if self.year == 2020 else "_test"
        return np.array(
            [
                f"{m}_{word}_{s}{d}{test}"
                for m, s, d in zip(self.machine, self.section, domain, strict=True)
            ]
        )


def clips(year, *, n=4, seed=0):
    """A few clips of each machine and section, in random order."""
    rng = np.random.default_rng(seed)
    rows = []
    for machine, section in sorted(dcase_years.EVALUATION[year]):
        here = [
            (domain, label)
            for domain in (("",) if year == 2020 else ("source", "target"))
            for label in (0, 1)
            for _ in range(n)
        ]
        numbers = {"source": 0, "target": 0, "": 0}
        # Since 2025 true names count by themselves.
        true_numbers = rng.permutation(len(here)) if year >= 2025 else None
        for i in rng.permutation(len(here)):
            domain, label = here[i]
            counter = domain if year == 2021 else ""
            number = numbers[counter]
            numbers[counter] += 1
            true = number if true_numbers is None else true_numbers[number]
            names = _names(year, section, domain, label, number, true)
            rows.append((machine, section, domain, label, *names))
    rows = [rows[i] for i in rng.permutation(len(rows))]
    machine, section, domain, label, name, true = zip(*rows, strict=True)
    return Clips(
        year,
        *map(np.array, (machine, section, domain, label, name, true)),
    )


def _names(year, section, domain, label, number, true_number):
    condition = ("normal", "anomaly")[label]
    if year == 2020:
        hidden = f"id_{section}_{number:08d}"
        return f"{hidden}.wav", f"{condition}_{hidden}.wav"
    if year == 2021:
        start = f"section_{section}_{domain}_test"
        return f"{start}_{number:04d}.wav", f"{start}_{condition}_{number:04d}.wav"
    first = int(year == 2024)  # Which counts from 1.
    true = f"section_{section}_{domain}_test_{condition}_{true_number + first:04d}"
    return f"section_{section}_{number + first:04d}.wav", f"{true}_vel_{label}.wav"


def write_evaluator(folder: pathlib.Path, made: Clips):
    """`ground_truth_data` and its neighbours; of 2020 the list of evaluation data."""
    root = folder / f"dcase{made.year}_task2_evaluator"
    if made.year == 2020:
        return write_list(root / "eval_data_list.csv", made)
    domain = np.where(made.domain == "source", "0", "1")
    stem = np.array([name.removesuffix(".wav") for name in made.true_name])
    tables = {"ground_truth_data": made.label.astype(str)}
    if made.year > 2021:
        tables["ground_truth_domain"] = domain
    if made.year > 2022:
        tables["ground_truth_attributes"] = stem
    for table, values in tables.items():
        for which in np.unique(made.of_file):
            rows = made.of_file == which
            path = root / table / f"ground_truth_{which}.csv"
            write(path, zip(made.name[rows], values[rows], strict=True))
    return root


def write_list(path: pathlib.Path, made: Clips):
    """`eval_data_list_YYYY.csv`: machines' names alone, then names in pairs."""
    rows = []
    for machine in np.unique(made.machine):
        here = made.machine == machine
        rows.append([machine])
        columns = [made.name[here], made.true_name[here]]
        if made.year == 2020:
            columns.append(made.label[here])
        rows += zip(*columns, strict=True)
    return write(path, rows)


def write(path: pathlib.Path, rows):
    """A CSV without header."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path
