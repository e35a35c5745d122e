"""A classifier of examples out of its bundle: classes, their probabilities, codes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from sigjax.inference.base import BundleError
from sigjax.inference.example_model import ExampleModel
from sigjax.models.code_classifier import CodeClassifierConfig
from sigjax.tasks.code_classification import (
    CodeClassification,
    CodeClassificationConfig,
)


class Classes(NamedTuple):
    """What examples are taken for.

    Attributes:
      label: Name of the likeliest class of each, str `[b]`.
      probability: Float32 `[b, v]`, columns in the order of the model's `labels`.
    """

    label: np.ndarray
    probability: np.ndarray


class CodeClassifierModel(ExampleModel):
    """A trained encoder and its linear head, ready for use.

    Examples go in raw, as the run read them: `[b, *raw_shape]` in `signal.units`.
    Images are grey levels, windows of a wrist g, sounds int16 counts of 32768, or,
    where the model takes a spectrogram, floats of full scale 1. A longer signal is cut
    by `windows_of`.

    Attributes:
      params: Float32 parameters.
      config: Architecture.
      task: What it was trained to do.
      signal: Rate, channels and units of what it takes in.
      raw_shape: Of an example.
      labels: Names of the classes `[v]`, in the order of the logits.
      info: The whole of `bundle.json`; `info["extra"]` says which labels it learnt.
    """

    kinds = {
        "code_classification": (
            lambda model, config: CodeClassification(
                model, config, np.ones(model.classes, np.float32)
            ),
            CodeClassifierConfig,
            CodeClassificationConfig,
        )
    }

    def __init__(
        self,
        params: Any,
        info: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
    ):
        """Builds what `info` describes.

        Raises:
          BundleError: It describes no classifier, or has not a name for each class.
        """
        super().__init__(params, info, state)
        if len(self.labels) != self.config.classes:
            raise BundleError(
                f"{len(self.labels)} labels for {self.config.classes} classes"
            )
        self._logits = jax.jit(self.task.logits)
        self._probabilities = jax.jit(self.task.probabilities)
        self._codes = jax.jit(self.task.codes)

    def __repr__(self) -> str:
        """One line: what goes in and what comes out."""
        return self._described("classify", ", ".join(self.labels))

    def logits(self, x: np.ndarray | jax.Array) -> jax.Array:
        """Class scores, float32 `[b, v]`, of `[b, *raw_shape]`; compiled once a shape.

        Raises:
          BundleError: The shape does not fit.
        """
        return self._logits(self._variables, self._checked(x))

    def probabilities(self, x: np.ndarray | jax.Array) -> jax.Array:
        """Their softmax, float32 `[b, v]`.

        Raises:
          BundleError: The shape does not fit.
        """
        return self._probabilities(self._variables, self._checked(x))

    def classify(self, x: np.ndarray | jax.Array) -> Classes:
        """The likeliest class of each example `[b, *raw_shape]`, with probabilities.

        Raises:
          BundleError: The shape does not fit.
        """
        return self.named(np.asarray(self.probabilities(x)))

    def named(self, probability: np.ndarray) -> Classes:
        """Probabilities `[b, v]` with the name of the highest; the first of equals."""
        return Classes(np.array(self.labels)[probability.argmax(axis=1)], probability)

    def codes(self, x: np.ndarray | jax.Array) -> jax.Array:
        """What the head is given, float32 `[b, *config.code_shape]`.

        Raises:
          BundleError: The shape does not fit.
        """
        return self._codes(self._variables, self._checked(x))
