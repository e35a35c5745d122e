"""Examples to learn classes from: a share of the labels, a validation and a test side.

What is held out is the test side, the same as of a run that learns without labels. The
rest is what such a run learns from; here a part of it chooses the step (validation) and
of another the labels that are shown are learnt.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from sigjax.data import splits
from sigjax.data.examples import division
from sigjax.data.examples.config import ExampleDataConfig
from sigjax.data.examples.example_set import ExampleError, ExampleSet, digest
from sigjax.data.examples.loaded import Loaded
from sigjax.data.examples.stream import ExampleData, Examples, load_examples


@dataclasses.dataclass(frozen=True, kw_only=True)
class SupervisedDataConfig(ExampleDataConfig):
    """`ExampleDataConfig`, and what labels need.

    Attributes:
      validation: Share of what is not held out that chooses the step: of the groups
        (persons, speakers) where they are known, else of the examples; chosen by a hash
        of names and `seed`.
      validation_groups: Or the groups themselves.
      label_seed: Another one shows other labels; what is held out or chooses the step
        stays.
    """

    validation: float = 0.0
    validation_groups: tuple[str, ...] = ()
    label_seed: int = 0

    def __post_init__(self):
        """Refuses sides that contradict each other."""
        super().__post_init__()
        if not 0 <= self.validation < 1:
            raise ValueError(f"validation {self.validation} is not in [0, 1)")
        if self.validation and self.validation_groups:
            raise ValueError("validation and validation_groups: give one")
        if self.trained_classes:
            raise ValueError("trained_classes: a classifier learns all of them")


class SupervisedData(ExampleData):
    """Batches of labelled examples; see `Examples.read` for what is in them.

    Attributes:
      train_set: Training examples whose label is shown; no other is ever read.
      validation_set: Those that choose the step, with all their labels.
      held_out_set: The test side, with all its labels.
      unlabelled: How many training examples show no label.
      class_counts: Int64 `[v]`, labels shown of each class.
    """

    def __init__(self, loaded: Loaded, config: SupervisedDataConfig):
        """Divides the examples.

        Raises:
          ExampleError: A group is not there, a side is empty, or there are no classes.
        """
        whole = dataclasses.replace(config, labelled=1.0, missing_classes="ignore")
        super().__init__(loaded, whole)
        self.config = config
        everything = self.train_set
        if len(self.classes) < 2:
            raise ExampleError(
                f"{everything.origin}: {len(self.classes)} classes; a classifier needs"
                " labels of two"
            )
        chooses = _choosers(everything, config)
        self.validation_set = _labelled(everything.rows(chooses))
        shown = division.with_labels_shown(
            everything.rows(~chooses), config.labelled, config.label_seed
        )
        self.train_set = _labelled(shown)
        self.unlabelled = len(shown.x) - len(self.train_set.x)
        if not len(self.train_set.x):
            raise ExampleError(f"{everything.origin}: no training example has a label")
        label = self.train_set.label
        self.class_counts = np.bincount(label, minlength=len(self.classes))
        self.train_source = Examples(self.train_set)
        own = len(self.validation_set.x)
        self.validation_source = Examples(self.validation_set) if own else None
        self.remarks = [
            *self.remarks,
            f"of them {len(label)} show their label and are learnt from,"
            f" {self.unlabelled} do not, {own} choose the step",
        ]
        self._check_classes()
        self.remarks = list(dict.fromkeys(self.remarks))

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What decides the content and order of batches."""
        return {
            "train": digest(self.train_set),
            "validation": digest(self.validation_set),
            "classes": list(self.classes),
            "batch_size": self.config.batch_size,
            "seed": self.config.seed,
        }


def _labelled(found: ExampleSet) -> ExampleSet:
    return found.rows(found.label >= 0)


def _choosers(found: ExampleSet, config: SupervisedDataConfig) -> np.ndarray:
    """Which examples choose the step, bool `[n]`.

    Raises:
      ExampleError: A group is not there, or nothing is left to learn from.
    """
    if config.validation_groups:
        wanted, name = config.validation_groups, "validation_groups"
        chosen = division.of_names(found.group, wanted, name, found.origin)
    elif not config.validation:
        return np.zeros(len(found.x), bool)
    else:
        names = found.group if (found.group != "").all() else found.ids
        order = splits.ranked(sorted(set(names.tolist())), seed=config.seed)
        count = max(1, round(config.validation * len(order)))
        chosen = np.isin(names, order[:count])
    if chosen.all():
        raise ExampleError(
            f"{found.origin}: all that is not held out would choose the step; leave"
            " some to learn from"
        )
    return chosen


def open_supervised_data(
    config: SupervisedDataConfig, *, build: bool = True
) -> SupervisedData:
    """Reads and divides a config's examples; see `stream.open_example_data`."""
    return SupervisedData(load_examples(config, build=build), config)
