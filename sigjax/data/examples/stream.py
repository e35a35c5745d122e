"""Batches of examples: to train on, and held out."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from sigjax.data.clip_stream import spec_of
from sigjax.data.crops import Batch
from sigjax.data.examples import division
from sigjax.data.examples.arrays import arrays
from sigjax.data.examples.config import READ_FROM, ExampleDataConfig
from sigjax.data.examples.digits import digits
from sigjax.data.examples.example_set import ExampleError, ExampleSet, digest
from sigjax.data.examples.loaded import Loaded
from sigjax.data.examples.points import points
from sigjax.data.pipeline import SourceData, steps_per_epoch

__all__ = [
    "ExampleData",
    "ExampleDataConfig",
    "ExampleError",
    "ExampleSet",
    "Examples",
    "load_examples",
    "open_example_data",
]


class Examples:
    """Grain random-access source of examples; its elements are their indices.

    Attributes:
      examples: Which.
    """

    def __init__(self, examples: ExampleSet):
        """Copies nothing."""
        self.examples = examples

    def __len__(self) -> int:
        """How many there are."""
        return len(self.examples.x)

    def __getitem__(self, index: int) -> int:
        """The element is its index."""
        return range(len(self))[index]

    def plan(self, index: int, rng: np.random.Generator) -> int:
        """The example: nothing is drawn here."""
        del rng
        return index

    def fixed_plan(self, index: int, seed: int) -> int:
        """The example."""
        del seed
        return index

    def read(self, plans: Sequence[int]) -> Batch:
        """Reads examples into a batch.

        Returns:
          x: `[b, *raw]`, uint8, int16 or float32.
          label: Int32 `[b]`; -1 where it is not known or not shown.
        """
        rows = np.array(plans, np.int64)
        return {"x": self.examples.x[rows], "label": self.examples.label[rows]}


class ExampleData(SourceData[Examples]):
    """Batches of examples; see `Examples.read` for what is in them.

    Attributes:
      config: As given.
      train_set: Examples to train on; labels that are not shown are -1.
      held_out_set: Those held out, with all their labels; there may be none.
      classes: Names.
      remarks: What the data is, and what of it is not used, in words.
    """

    def __init__(self, loaded: Loaded, config: ExampleDataConfig):
        """Divides the examples.

        Raises:
          ExampleError: A group, split or class is not there, or a side would be empty.
        """
        self.config, self.reader = config, config
        everything = loaded.examples
        held = division.held_out(loaded, config)
        used = ~held & division.trained(everything, config.trained_classes)
        if not used.any():
            raise ExampleError(
                f"{everything.origin}: nothing to train on among"
                f" trained_classes={', '.join(config.trained_classes)}"
            )
        self.train_set = division.with_labels_shown(
            everything.rows(used), config.labelled, config.seed
        )
        self.held_out_set = everything.rows(held)
        self.classes = everything.classes
        self.train_source = Examples(self.train_set)
        self.validation_source = Examples(self.held_out_set) if held.any() else None
        self.remarks = [
            *self._told(int(np.count_nonzero(~held & ~used))),
            *loaded.remarks,
        ]
        self._check_classes()

    def _told(self, unused: int) -> list[str]:
        found, held = self.train_set, self.held_out_set
        groups = f" of {len(set(found.group))} groups" if found.group.any() else ""
        shape = " x ".join(str(size) for size in found.shape)
        told = (
            f"data: {found.origin}: {len(found.x)} examples of {shape}"
            f" {found.x.dtype.name}{groups} to train on, {len(held.x)} held out"
        )
        remarks = [told]
        if unused:
            remarks.append(f"{unused} examples of other classes are not trained on")
        if self.config.labelled < 1:
            shown = np.count_nonzero(found.label >= 0)
            remarks.append(f"{shown} of the training examples show their label")
        return remarks

    def _check_classes(self) -> None:
        missing = division.missing_classes(self.train_set, self.config.trained_classes)
        if not missing:
            return
        told = f"no labelled example to train on has the class {', '.join(missing)}"
        if self.config.missing_classes == "error":
            raise ExampleError(
                f"{self.train_set.origin}: {told}; hold out less, or set"
                " missing_classes='ignore'"
            )
        self.remarks.append(told)

    @property
    def steps_per_epoch(self) -> int:
        """Batches until every training example was seen."""
        return steps_per_epoch(self.train_source, self.config.batch_size)

    @property
    def simulated(self) -> bool:
        """Whether the examples are simulated."""
        return "SIMULATED" in self.train_set.origin

    @property
    def spec(self) -> Mapping[str, np.ndarray]:
        """Shapes and dtypes of a global batch, as arrays that take no memory."""
        x, b = self.train_set.x, self.config.batch_size
        return spec_of(
            {"x": ((b, *x.shape[1:]), x.dtype), "label": ((b,), np.dtype(np.int32))}
        )

    @functools.cached_property
    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the content and order of batches."""
        return {
            "train": digest(self.train_set),
            "held_out": digest(self.held_out_set),
            "classes": list(self.classes),
            "batch_size": self.config.batch_size,
            "seed": self.config.seed,
        }


def load_examples(config: ExampleDataConfig, *, build: bool = True) -> Loaded:
    """Reads all examples of a config's source.

    Args:
      config: Of the data.
      build: Whether to fetch and build what is not there. Of several processes one
        alone may.

    Raises:
      ExampleError: They do not fit; so for other errors of input.
      FileNotFoundError: A file is not there.
    """
    if config.source in READ_FROM and not config.path:
        raise ExampleError(
            f"data.source={config.source!r} needs data.path: {READ_FROM[config.source]}"
        )
    readers: dict[str, Callable[[], Loaded]] = {
        "digits": digits,
        "points": lambda: points(config.points),
        "arrays": lambda: arrays(config.path),
    }
    if config.source in readers:
        return readers[config.source]()
    # Each brings libraries that the others do without.
    if config.source == "mnist":
        from sigjax.data.examples import mnist

        if build:
            mnist.build_mnist(config.path)
        return mnist.mnist(config.path)
    if config.source == "clips":
        from sigjax.data.examples.clips import clips

        return clips(config)
    from sigjax.data.examples.windows import windows

    return windows(config)


def open_example_data(
    config: ExampleDataConfig, workdir: epath.PathLike = "", *, build: bool = True
) -> ExampleData:
    """Reads and divides a config's examples.

    Args:
      config: Of the data.
      workdir: Of the run; nothing is written there.
      build: See `load_examples`.

    Raises:
      ExampleError: They do not fit.
      ValueError: Likewise, of the readers that this uses.
      FileNotFoundError: A file is not there.
    """
    del workdir
    return ExampleData(load_examples(config, build=build), config)
