"""Classification of every label window of a signal, from signals or from tokens.

Lorenzen et al. 2025 (arXiv 2502.17477), eq. 8: cross-entropy weighted by the inverse of
each class's prevalence; label windows without a label do not count.

The paper does not say how patches are averaged. Here the weights' mean over all counted
labels of training is 1, and a window's loss is the sum over its label windows divided
by how many it could hold. So each labelled one weighs the same wherever it is, however
many of its window have no label, and however windows are spread over devices.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.losses.classification import weighted_cross_entropy
from sigjax.metrics.classification import figures
from sigjax.models.heads import Head, HeadConfig
from sigjax.models.window_classifier import WindowClassifier, WindowClassifierConfig
from sigjax.signal.patches import dequantise
from sigjax.signal.rotation import random_rotations
from sigjax.typing import Array, Batch, Float, Int, LossOutput, PRNGKey, PyTree

Augmentation = Literal["none", "rotate"]

# The figures of a confusion matrix that are single numbers.
FIGURES = ("balanced_accuracy", "kappa", "macro_f1", "accuracy")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassificationConfig:
    """What a labelled window is.

    Attributes:
      rate_hz: Sampling rate of the labelled set.
      channels: Channels of the signal.
      patch_s: Length of a patch (a token).
      label_s: Length of a label window: one patch or several.
      classes: Names, in the order of the set's scheme; empty for all that it has.
      augmentation: `"rotate"` turns each window of training about the origin, by a
        rotation drawn uniformly: a device may sit on the wrist in any way.
    """

    rate_hz: float
    channels: int
    patch_s: float
    label_s: float
    classes: tuple[str, ...] = ()
    augmentation: Augmentation = "none"

    def __post_init__(self):
        """Refuses lengths that do not divide."""
        _whole(self.patch_s * self.rate_hz, "patch_s", "samples")
        _whole(self.label_s / self.patch_s, "label_s", "patches of patch_s")

    @property
    def patch_samples(self) -> int:
        """Samples per patch."""
        return round(self.patch_s * self.rate_hz)

    @property
    def pool(self) -> int:
        """Patches per label window."""
        return round(self.label_s / self.patch_s)

    @property
    def label_samples(self) -> int:
        """Samples per label window."""
        return self.patch_samples * self.pool


def _whole(count: float, name: str, what: str) -> None:
    if count < 0.5 or abs(count - round(count)) > 1e-6:
        raise ValueError(f"{name} must be a whole number of {what}, got {count:g}")


def window_loss(
    logits: Float[Array, "b n v"], label: Int[Array, "b n"], weight: Float[Array, " v"]
) -> Float[Array, " b"]:
    """Eq. 8 averaged over a window; see the module docstring. Float32 `[b]`."""
    return weighted_cross_entropy(logits, label, weight).mean(axis=-1)


def confusions(
    logits: Float[Array, "b n v"], label: Int[Array, "b n"]
) -> Float[Array, "b v v"]:
    """Confusion matrix of each window, rows the truth; label -1 does not count."""
    classes = logits.shape[-1]
    truth = jax.nn.one_hot(label, classes)  # of -1: zeros
    chosen = jax.nn.one_hot(logits.argmax(axis=-1), classes)
    return jnp.einsum("bnv,bnu->bvu", truth, chosen)


class _Classification:
    """What both tasks share: loss, evaluation and figures from logits and labels."""

    def __init__(self, weight: np.ndarray):
        self.weight = jnp.asarray(weight, jnp.float32)

    def _logits(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey, train: bool
    ) -> tuple[Array, PyTree]:
        """Logits, and the collections that this changed."""
        raise NotImplementedError

    def loss(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> LossOutput:
        """Weighted cross-entropy of each window."""
        logits, state = self._logits(variables, batch, key, True)
        loss = window_loss(logits, batch["label"], self.weight)
        return LossOutput(loss, {}, state)

    def evaluate(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> Mapping[str, Array]:
        """Loss `[b]` and confusion matrix `[b, v, v]` of each window."""
        logits, _ = self._logits(variables, batch, key, False)
        return {
            "loss": window_loss(logits, batch["label"], self.weight),
            "confusion": confusions(logits, batch["label"]),
        }

    def summarise(self, means: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Loss, balanced accuracy, kappa, macro-F1 and accuracy of a whole split."""
        found = figures(means["confusion"])
        return {"loss": float(means["loss"])} | {k: float(found[k]) for k in FIGURES}


class WindowClassification(_Classification):
    """Task: label the windows of a signal; encoder and head are trained.

    Batches hold `counts` int16 `[b, s, c]`, `scale` float32 `[b]` (g per count),
    `valid` int32 `[b]` (real samples), `label` int32 `[b, n]` (-1 for none) and `seed`
    uint32 `[b]`.
    """

    def __init__(
        self,
        model: WindowClassifierConfig,
        config: ClassificationConfig,
        weight: np.ndarray,
    ):
        """Checks that model and windows fit; `weight` `[v]` is each class's."""
        super().__init__(weight)
        if (model.patch_samples, model.pool) != (config.patch_samples, config.pool):
            raise ValueError("the model's patches are not those of the task")
        self.model, self.config = WindowClassifier(model), config

    def init(self, key: PRNGKey, batch: Batch) -> Mapping[str, PyTree]:
        """Variables; one label window decides all shapes."""
        c = self.config
        x = jnp.zeros((1, c.label_samples, c.channels))
        return self.model.init(key, x, jnp.ones(1, jnp.int32))

    def signal(
        self, batch: Batch, key: PRNGKey, augment: bool
    ) -> tuple[Float[Array, "b s c"], Int[Array, " b"]]:
        """Windows in g, turned if asked for, and how many of their labels are real."""
        x = dequantise(batch["counts"], batch["scale"])
        if augment and self.config.augmentation == "rotate":
            x = jnp.einsum("bsc,bce->bse", x, random_rotations(key, batch["seed"]))
        return x, batch["valid"] // self.config.label_samples

    def _logits(self, variables, batch, key, train):
        key, dropout = jax.random.split(key)
        x, length = self.signal(batch, key, train)
        state = [name for name in variables if name != "params"]
        changing = state if train else []
        logits, changed = self.model.apply(
            variables, x, length, train, mutable=changing, rngs={"dropout": dropout}
        )
        return logits, {**{k: variables[k] for k in state}, **changed}


class HeadClassification(_Classification):
    """Task: train a head on tokens that a frozen encoder has made.

    Batches hold `tokens` `[b, n, d]`, `length` int32 `[b]` (real tokens) and `label`
    int32 `[b, n]` (-1 for none).
    """

    def __init__(self, head: HeadConfig, weight: np.ndarray):
        """A head for `weight` `[v]`, each class's weight."""
        super().__init__(weight)
        self.model = Head(head)

    def init(self, key: PRNGKey, batch: Batch) -> Mapping[str, PyTree]:
        """Variables of the head alone."""
        width = batch["tokens"].shape[-1]
        return self.model.init(key, jnp.zeros((1, 1, width)))

    def _logits(self, variables, batch, key, train):
        logits: Any = self.model.apply(
            variables, batch["tokens"], batch["length"], train, rngs={"dropout": key}
        )
        return logits, {k: v for k, v in variables.items() if k != "params"}
