"""Classify examples by an encoder and a linear layer, from scratch or from weights."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.losses.classification import weighted_cross_entropy
from sigjax.metrics.classification import METRICS
from sigjax.metrics.recall import unweighted_average_recall
from sigjax.models.code_classifier import CodeClassifier, CodeClassifierConfig
from sigjax.tasks.classification import confusions
from sigjax.tasks.example_input import ExampleInputConfig, example_input
from sigjax.typing import Array, Batch, Float, LossOutput, Num, PRNGKey, PyTree


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodeClassificationConfig:
    """The objective.

    Attributes:
      input: What the model is given; as in the autoencoder's training.
      weighting: `"balanced"`: a class counts by its inverse prevalence among the labels
        that are shown; `"none"`: every label counts alike.
    """

    input: ExampleInputConfig = ExampleInputConfig()
    weighting: Literal["balanced", "none"] = "balanced"

    def __post_init__(self):
        """Refuses other weightings."""
        if self.weighting not in ("balanced", "none"):
            raise ValueError(
                f"weighting must be 'balanced' or 'none', got {self.weighting!r}"
            )


class CodeClassification:
    """Task: cross-entropy of the classes.

    Batches hold `x` `[b, ...]` (uint8, int16 or float32) and `label` int32 `[b]` in
    `[0, v)`; an example with -1 has no loss and no gradient.
    """

    def __init__(
        self,
        model: CodeClassifierConfig,
        config: CodeClassificationConfig,
        weight: np.ndarray,
        *,
        frozen: bool = False,
    ):
        """Takes each class's weight `[v]`.

        Args:
          model: The network.
          config: The objective.
          weight: Of each class in the loss.
          frozen: The encoder is used as it is; see `CodeClassifier`.

        Raises:
          ValueError: There are not as many weights as classes.
        """
        if len(weight) != model.classes:
            raise ValueError(
                f"{len(weight)} weights of classes for {model.classes} classes"
            )
        self.model_config, self.config, self.frozen = model, config, frozen
        self.weight = jnp.asarray(weight, jnp.float32)
        self.model = CodeClassifier(model)

    def init(self, key: PRNGKey, batch: Batch) -> Mapping[str, PyTree]:
        """Variables; no value of the batch matters."""
        del batch
        return dict(
            self.model.init(key, jnp.zeros((1, *self.model_config.input_shape)))
        )

    def input(self, x: Num[Array, "b *a"]) -> Float[Array, "b *c"]:
        """Raw examples as the model takes them; see `example_input`."""
        return example_input(x, self.config.input, self.model_config.input_shape)

    def loss(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> LossOutput:
        """Weighted cross-entropy of each example, float32 `[b]`."""
        state = [name for name in variables if name != "params"]
        logits, changed = self.model.apply(
            variables,
            self.input(batch["x"]),
            True,
            self.frozen,
            mutable=state,
            rngs={"dropout": key},
        )
        loss = weighted_cross_entropy(logits, batch["label"], self.weight)
        kept = {name: variables[name] for name in state}
        return LossOutput(loss, {}, {**kept, **changed})

    def evaluate(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> Mapping[str, Array]:
        """Loss `[b]` and confusion matrix `[b, v, v]` of each example."""
        del key
        logits = self.logits(variables, batch["x"])
        return {
            "loss": weighted_cross_entropy(logits, batch["label"], self.weight),
            "confusion": confusions(logits[:, None], batch["label"][:, None]),
        }

    def summarise(self, means: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Loss, and a whole split's figures; `uar` is the balanced accuracy."""
        confusion = means["confusion"]
        found = {name: float(metric(confusion)) for name, metric in METRICS.items()}
        uar = float(unweighted_average_recall(confusion))
        return {"loss": float(means["loss"]), **found, "uar": uar}

    def logits(
        self, variables: Mapping[str, PyTree], x: Num[Array, "b *a"]
    ) -> Float[Array, "b v"]:
        """Class scores of raw examples, float32 `[b, v]`; to be jitted."""
        found: Any = self.model.apply(variables, self.input(x))
        return found

    def probabilities(
        self, variables: Mapping[str, PyTree], x: Num[Array, "b *a"]
    ) -> Float[Array, "b v"]:
        """Their softmax."""
        return jax.nn.softmax(self.logits(variables, x))

    def codes(
        self, variables: Mapping[str, PyTree], x: Num[Array, "b *a"]
    ) -> Float[Array, "b *k"]:
        """What the head is given, of raw examples: `[b, *code_shape]`."""
        found: Any = self.model.apply(variables, self.input(x), method="encode")
        return found
