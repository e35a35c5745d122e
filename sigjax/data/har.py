"""Labelled windows of people to train on, to choose the step with and to test on."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from etils import epath

from sigjax.data import splits
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.har_config import (
    HarDataConfig,
    SimulatedLabelsConfig,
    divide,
    open_set,
    simulate_set,
)
from sigjax.data.labelled import LabelledSet
from sigjax.data.pipeline import SourceData, steps_per_epoch
from sigjax.data.windows import LabelledWindows, Tail, WindowConfig

__all__ = [
    "HarData",
    "HarDataConfig",
    "Side",
    "SimulatedLabelsConfig",
    "divide",
    "open_har_data",
    "open_set",
    "simulate_set",
    "window_spec",
]

Side = Literal["train", "validation", "test"]


class HarData(SourceData[LabelledWindows]):
    """Batches of labelled windows; see `LabelledWindows.read` for what is in them.

    Training windows advance by `stride_s`. Those of the validation people do not
    overlap, and give each label once.

    Attributes:
      dataset: Where the windows are read from.
      config: As given.
      classes: Names of the label scheme; `label` in a batch is an index into it.
      class_counts: Int64 `[v]`, label windows of each class of the people trained on.
      people: Those of `"train"` (who are used), `"validation"` and `"test"`.
      all_training_people: Those of `"train"` if `train_fraction` were 1.
      unused: People of the set who are on none of the sides.
    """

    def __init__(self, dataset: LabelledSet, config: HarDataConfig):
        """Divides the people and lays the windows; reads nothing yet.

        Raises:
          DatasetError: A side, a scheme or a window is not there, or nobody who is
            trained on has one of the classes.
          FileNotFoundError: There is no such division.
          ValueError: Someone would be on two sides, or a side is left empty.
        """
        self.dataset, self.config = dataset, config
        self.reader = config
        divided = divide(dataset, config)
        self.all_training_people = divided.pop("train")
        used = splits.share_of(
            self.all_training_people, fraction=config.train_fraction, seed=config.seed
        )
        self.people: dict[Side, tuple[str, ...]] = {
            "train": tuple(p for p in self.all_training_people if p in used),
            "validation": divided["validation"],
            "test": divided["test"],
        }
        sides = {*self.all_training_people, *divided["validation"], *divided["test"]}
        self.unused = tuple(p for p in dataset.people if p not in sides)
        everyone = self._lay(self.all_training_people, config.stride_s, config.tail)
        self.steps_per_epoch = steps_per_epoch(everyone, config.batch_size)
        self.train_source = everyone
        if self.people["train"] != self.all_training_people:
            self.train_source = self.windows("train")
        self.validation_source = None
        if self.people["validation"]:
            self.validation_source = self.windows("validation")
        self.classes = self.train_source.classes
        self.class_counts = self.train_source.class_counts
        self._check_classes()

    def _check_classes(self) -> None:
        missing = [
            name
            for name, count in zip(self.classes, self.class_counts, strict=True)
            if not count
        ]
        if missing and self.config.missing_classes == "error":
            raise DatasetError(
                f"{self.dataset.path}: none of the {len(self.people['train'])} people"
                f" trained on has {', '.join(missing)} of {self.config.scheme!r}; train"
                " on more people, choose another scheme, or set"
                " missing_classes='ignore' to train without"
            )

    @property
    def rate_hz(self) -> float:
        """Sampling rate."""
        return self.dataset.rate_hz

    @property
    def label_s(self) -> float:
        """Length of a label window, seconds."""
        return self.dataset.label_s

    @property
    def simulated(self) -> bool:
        """Whether simulated recordings are among the data."""
        return self.dataset.simulated

    @property
    def preprocessing(self) -> Mapping[str, Any]:
        """How the recordings were prepared, for the bundle."""
        return self.dataset.preprocessing

    @property
    def selects_on_test(self) -> bool:
        """Whether the people who choose the step are those who are reported."""
        people = self.people
        return bool(people["test"]) and set(people["validation"]) == set(people["test"])

    def windows(
        self,
        side: Side,
        *,
        stride_s: float | None = None,
        tail: Tail | None = None,
        unlabelled: bool = False,
    ) -> LabelledWindows:
        """Windows of one side's people.

        Args:
          side: Whose.
          stride_s: From one to the next; by default that of training for `"train"`,
            and the length of a window for the others.
          tail: By default that of training for `"train"`, else `"reach_back"`.
          unlabelled: With windows in which no label counts.

        Raises:
          ValueError: Nobody is on that side.
          DatasetError: Nobody on it has a window.
        """
        if not self.people[side]:
            raise ValueError(f"nobody is on the side {side!r}; see the config's split")
        if stride_s is None:
            train = side == "train"
            stride_s = self.config.stride_s if train else self.config.window_s
        if tail is None:
            tail = self.config.tail if side == "train" else "reach_back"
        return self._lay(self.people[side], stride_s, tail, unlabelled)

    def _lay(
        self, people: Sequence[str], stride_s: float, tail: Tail, unlabelled=False
    ) -> LabelledWindows:
        config = WindowConfig(
            scheme=self.config.scheme,
            window_s=self.config.window_s,
            stride_s=stride_s,
            tail=tail,
            min_purity=self.config.min_purity,
            unlabelled=unlabelled,
            in_memory=self.config.in_memory,
        )
        return LabelledWindows(self.dataset, people, config)

    @property
    def spec(self) -> Mapping[str, np.ndarray]:
        """Shapes and dtypes of a global batch, as arrays that take no memory."""
        return window_spec(
            batch_size=self.config.batch_size,
            samples=self.train_source.samples,
            labels=self.train_source.labels,
        )

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the content and order of batches."""
        c = self.config
        return {
            "dataset": self.dataset.fingerprint,
            "scheme": c.scheme,
            **{f"{side}_people": _digest(self.people[side]) for side in self.people},
            "window_s": c.window_s,
            "stride_s": c.stride_s,
            "tail": c.tail,
            "min_purity": c.min_purity,
            "batch_size": c.batch_size,
            "seed": c.seed,
        }


def open_har_data(
    config: HarDataConfig, workdir: epath.PathLike, *, build: bool = True
) -> HarData:
    """Opens a config's data; simulates them first if it says so.

    Args:
      config: As of `HarData`.
      workdir: Where simulated data go.
      build: Whether to simulate what is not there. Of several processes one alone may;
        the others wait for it.

    Raises:
      DatasetError: There is no set, or it does not fit; see `HarData`.
      FileNotFoundError: There is no such division.
      ValueError: People or lengths do not fit.
    """
    if config.simulate is not None and build:
        simulate_set(config, workdir)
    return HarData(open_set(config, workdir), config)


def _digest(people: Sequence[str]) -> str:
    text = json.dumps(sorted(people))
    return f"{len(people)}:{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"


def window_spec(
    *, batch_size: int, samples: int, labels: int
) -> Mapping[str, np.ndarray]:
    """Shape and dtype of every entry of a batch, as arrays that take no memory."""

    def empty(shape: tuple[int, ...], dtype: type) -> np.ndarray:
        return np.broadcast_to(np.zeros((), dtype), shape)

    b = batch_size
    return {
        "counts": empty((b, samples, 3), np.int16),
        "scale": empty((b,), np.float32),
        "valid": empty((b,), np.int32),
        "label": empty((b, labels), np.int32),
        "seed": empty((b,), np.uint32),
        "person": empty((b,), np.int32),
        "window": empty((b,), np.int32),
    }
