"""Which labelled data a classifier is trained on, and who is kept apart."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from etils import epath

from sigjax.data import splits
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.labelled import LabelledSet
from sigjax.data.reader_config import ReaderConfig
from sigjax.data.windows import Tail


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulatedLabelsConfig:
    """Simulated people with labels, for trying things out without data.

    Attributes:
      people: How many.
      hours: Length of each recording.
      seed: Another seed, other people.
    """

    people: int
    hours: float
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class HarDataConfig(ReaderConfig):
    """Which labels, how people are divided and which windows are cut.

    Attributes:
      dataset: Folder of a labelled set (`launch.build_dataset`). With `simulate`, and
        if empty, one that is built under `WORKDIR/sets`.
      scheme: Its label scheme.
      split: A division of people that a file fixes, by name or path; see
        `splits.person_split`. Empty to divide by `test_fraction`.
      train: Side to train on, several separated by commas; empty for all but `test`
        and `validation`.
      test: Side to report on, or several; empty for nobody.
      validation: Side to choose the step with, or several; empty for nobody. The same
        as `test` chooses on the people who are reported, as paper 000 does.
      validation_fraction: Share of the training people held out instead, to choose
        the step with.
      train_fraction: Share of the remaining training people who are used, at least
        one. Smaller shares are part of larger ones, and an epoch keeps its steps.
      test_fraction: Share of all people tested on, where no `split` is given.
      window_s: Length of a window, seconds.
      stride_s: From one training window to the next, seconds.
      batch_size: Windows in a global batch.
      seed: Of who is held out, of the order, and of what is drawn for each window.
      tail: What becomes of the rest of a stretch in training; see `WindowConfig`.
      min_purity: A label counts if at least this share of its raw samples has it.
      missing_classes: `"error"` refuses a scheme of which no training person has some
        class; `"ignore"` trains without it.
      simulate: Simulate raw files and build a set of them first; None for real data.
      in_memory: Keep what was read: windows that overlap are decoded once.
      workers: Reader processes; 0 reads in threads.
      read_threads: Batches read at once.
      prefetch_batches: Batches kept ready on the host.
    """

    dataset: str
    scheme: str
    split: str
    window_s: float
    stride_s: float
    train: str = "train"
    test: str = "test"
    validation: str = ""
    validation_fraction: float = 0.0
    train_fraction: float = 1.0
    test_fraction: float = 0.0
    tail: Tail = "reach_back"
    min_purity: float = 0.0
    missing_classes: Literal["error", "ignore"] = "error"
    simulate: SimulatedLabelsConfig | None = None
    in_memory: bool = True

    def __post_init__(self):
        """Refuses sizes without meaning and divisions that contradict each other."""
        super().__post_init__()
        for name in ("validation_fraction", "test_fraction"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} {getattr(self, name)} is not in [0, 1)")
        if not 0 < self.train_fraction <= 1:
            raise ValueError(f"train_fraction {self.train_fraction} is not in (0, 1]")
        if self.missing_classes not in ("error", "ignore"):
            raise ValueError(
                "missing_classes must be 'error' or 'ignore', got"
                f" {self.missing_classes!r}"
            )
        if self.validation and self.validation_fraction:
            raise ValueError(
                f"validation={self.validation!r} and validation_fraction="
                f"{self.validation_fraction} both say who chooses the step; give one"
            )
        if self.split and self.test_fraction:
            raise ValueError(
                f"split={self.split!r} and test_fraction={self.test_fraction} both say"
                " who is tested on; give one"
            )


def divide(dataset: LabelledSet, config: HarDataConfig) -> dict[str, tuple[str, ...]]:
    """Whom a config trains on, chooses the step with and tests on.

    Returns:
      People by `"train"` (before `train_fraction`), `"validation"` and `"test"`, in the
      set's order. Nobody is trained on and on another side; validation and test are
      the same people or share none.

    Raises:
      DatasetError: A side is not in the division, or nobody on it is in the set.
      FileNotFoundError: There is no such division.
      ValueError: Someone would be on two sides, or nobody is left to train on.
    """
    c = config
    if c.split:
        sides = splits.person_split(c.split, dataset=dataset.name)
        held = {*_names(c.test), *_names(c.validation)}
        train = _names(c.train) or [side for side in sides if side not in held]
        found = {
            "train": _on(dataset, c.split, train),
            "validation": _on(dataset, c.split, _names(c.validation)),
            "test": _on(dataset, c.split, _names(c.test)),
        }
    else:
        test = _held_out(dataset.people, c.test_fraction, c.seed, "test_fraction")
        found = {"train": {*dataset.people} - test, "validation": set(), "test": test}
        if c.validation:
            raise ValueError(
                f"validation={c.validation!r} is a side of a split, and none is given;"
                " give one, or validation_fraction"
            )
    if c.validation_fraction:
        held = c.validation_fraction, c.seed, "validation_fraction"
        found["validation"] = _held_out(found["train"], *held)
        found["train"] = found["train"] - found["validation"]
    _check_apart(found)
    if not found["train"]:
        raise ValueError(f"split={c.split!r}, train={c.train!r}: nobody to train on")
    return {s: tuple(p for p in dataset.people if p in found[s]) for s in found}


def _names(sides: str) -> list[str]:
    return [side.strip() for side in sides.split(",") if side.strip()]


def _on(dataset: LabelledSet, split: str, sides: Sequence[str]) -> set[str]:
    return {person for side in sides for person in dataset.side(split, side)}


def _held_out(
    people: Sequence[str] | set[str] | Mapping[str, Any],
    fraction: float,
    seed: int,
    name: str,
) -> set[str]:
    try:
        return set(splits.held_out(people, fraction=fraction, seed=seed))
    except ValueError as error:
        raise ValueError(str(error).replace("validation_fraction", name)) from error


def _check_apart(people: Mapping[str, set[str]]) -> None:
    for one, other in (
        ("train", "test"),
        ("train", "validation"),
        ("validation", "test"),
    ):
        both = people[one] & people[other]
        if both and (one == "train" or people[one] != people[other]):
            some = ", ".join(sorted(both)[:5]) + (", ..." if len(both) > 5 else "")
            raise ValueError(
                f"{len(both)} people would be on both sides, {one} and {other}: {some};"
                " give sides that share nobody"
            )


def open_set(config: HarDataConfig, workdir: epath.PathLike) -> LabelledSet:
    """Opens a config's set; a simulated one must have been built by `simulate_set`.

    Raises:
      DatasetError: There is none.
    """
    if not config.dataset and config.simulate is None:
        raise DatasetError(
            "no data: build a labelled set with `python -m launch.build_dataset` and"
            " give its folder as data.dataset, or try the variant 'demo' of the config"
        )
    return LabelledSet.open(config.dataset or epath.Path(workdir) / "sets")


def simulate_set(
    config: HarDataConfig, workdir: epath.PathLike, *, label_s: float = 10.0
) -> epath.Path:
    """Writes simulated recordings as Capture-24 is published, and builds a set of them.

    What is there already is kept; from one process alone.

    Args:
      config: With `simulate`.
      workdir: `WORKDIR/simulated_labels` gets the raw files, `WORKDIR/sets` (or
        `config.dataset`) the set.
      label_s: Length of a label window, seconds.

    Returns:
      The set's folder.

    Raises:
      DatasetError: A set is there that was built otherwise.
      ValueError: A window is no whole number of label windows.
    """
    # Simulation and preparation are slow to import, and most sets are there.
    from sigjax.data.datasets import builder, capture24
    from sigjax.data.synthetic.capture24 import write_capture24

    simulate = config.simulate
    if simulate is None:
        raise ValueError("simulate is None: this config is of real data")
    root = epath.Path(workdir)
    raw = root / "simulated_labels"
    write_capture24(
        raw, people=simulate.people, hours=simulate.hours, seed=simulate.seed
    )
    settings = capture24.settings(
        str(raw), record_s=_record_s(config, label_s), label_s=label_s
    )
    # A short recording may hold less than the hour of wear that a study asks for.
    wear_h = min(settings.prepare.min_wear_h, config.window_s / 3600)
    prepare = dataclasses.replace(settings.prepare, min_wear_h=wear_h)
    folder, _ = builder.build(
        capture24.Capture24,
        dataclasses.replace(settings, prepare=prepare),
        config.dataset or str(root / "sets"),
    )
    return folder


def _record_s(config: HarDataConfig, label_s: float) -> float:
    """The longest record of which both window and stride are whole numbers."""
    counts = [config.window_s / label_s, config.stride_s / label_s]
    if any(count < 1 or abs(count - round(count)) > 1e-6 for count in counts):
        raise ValueError(
            f"window_s={config.window_s:g} and stride_s={config.stride_s:g} must be"
            f" whole numbers of labels of {label_s:g} s"
        )
    return math.gcd(*(round(count) for count in counts)) * label_s
