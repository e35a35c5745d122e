"""Which section of which machine a clip is of: the auxiliary task of anomaly detection.

"Self-supervised Anomalous Sound Detection for Machine Condition Monitoring", eq. 1-3
and 6: cross-entropy over the sections, and the center loss. The paper sums over the
batch and weighs the cross-entropy; here the loss of an example is its cross-entropy
plus `centre_weight` times its center loss, and the batch's is their mean.

Mixup (Zhang et al. 2018, arXiv 1710.09412) mixes waves, each example with another of
the batch. Labels are mixed alike, and the center loss pulls to both classes' centres
by their shares.

Collections besides `params` (the model's under `model`, the loss's head under `margin`)
and `batch_stats`:

  statistics   `mean` and `std` of the training clips' log-mel, scalars in dB; given at
               initialisation (`input_statistics`) and never changed
  centres      `value` `[v, d]`, moved by Wen et al.'s rule, not by the optimizer
  margin       AdaCos: `scale` if dynamic, `centres` if they are not trained
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.losses import margin
from sigjax.losses.center import center_loss, update_centres
from sigjax.models.mobilenet import MobileNetV2, MobileNetV2Config
from sigjax.models.section_classifier import (
    SectionClassifier,
    SectionClassifierConfig,
    SectionOutput,
)
from sigjax.models.spectral_branches import SpectralBranches, SpectralBranchesConfig
from sigjax.signal.mel import MelConfig, frame_count, log_mel
from sigjax.signal.mixup import Mixed, mix, mixed_target
from sigjax.tasks.sound_input import dequantised, input_statistics
from sigjax.typing import Array, Batch, Float, LossOutput, PRNGKey, PyTree

__all__ = [
    "ModelConfig",
    "SectionIdConfig",
    "SectionIdentification",
    "backbone",
    "input_statistics",
]

ModelConfig = SectionClassifierConfig | MobileNetV2Config | SpectralBranchesConfig

_MODULES: Mapping[type, Any] = {
    SectionClassifierConfig: SectionClassifier,
    MobileNetV2Config: MobileNetV2,
    SpectralBranchesConfig: SpectralBranches,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SectionIdConfig:
    """What the model sees of a clip and what it is trained with.

    Attributes:
      mel: How the spectrogram is computed, the high-pass too; None for a model that
        takes waves.
      clip_s: Length of what a model sees at once, seconds.
      patch_hop: Frames from one patch to the next, for a model that takes patches of a
        clip's spectrogram; 0 for one that takes it whole.
      training_patches: Patches drawn of each clip and step; 0 for all.
      loss: `"softmax"` of the model's head, or `"adacos"` on its embedding.
      subcentres: Of each class, for `"adacos"`; with 1 it is AdaCos.
      train_centres: Whether AdaCos's centres are trained, or stay as they were drawn.
      scale: AdaCos's, `"fixed"` or `"dynamic"`.
      centre_weight: Of the center loss; 0 for none.
      centre_rate: How fast its centres move.
      mixup: Share of examples that are mixed.
      mixup_alpha: Of the Beta distribution of an example's own share; 1 is uniform.
    """

    mel: MelConfig | None = None
    clip_s: float = 10.0
    patch_hop: int = 0
    training_patches: int = 0
    loss: Literal["softmax", "adacos"] = "softmax"
    subcentres: int = 16
    train_centres: bool = True
    scale: Literal["fixed", "dynamic"] = "fixed"
    centre_weight: float = 0.0
    centre_rate: float = 0.5
    mixup: float = 0.5
    mixup_alpha: float = 1.0

    def __post_init__(self):
        """Refuses values without meaning."""
        if not 0 <= self.mixup <= 1 or not self.mixup_alpha > 0:
            raise ValueError(
                f"mixup must be in [0, 1] and mixup_alpha above 0, got {self.mixup} and"
                f" {self.mixup_alpha}"
            )
        if self.centre_weight < 0 or not 0 <= self.centre_rate <= 1:
            raise ValueError(
                "centre_weight must be >= 0 and centre_rate in [0, 1], got"
                f" {self.centre_weight} and {self.centre_rate}"
            )
        if min(self.patch_hop, self.training_patches) < 0 or self.clip_s <= 0:
            raise ValueError(f"patch_hop, training_patches or clip_s < 0: {self}")
        if self.training_patches and not self.patch_hop:
            raise ValueError("training_patches needs a patch_hop")


class SectionIdentification:
    """Task: tell sections apart; the embedding is what anomalies are scored by.

    Batches hold `wave` int16 `[b, s]` and `label` int32 `[b]`, the section's class.
    """

    def __init__(self, model: ModelConfig, config: SectionIdConfig):
        """Checks that model and clips fit.

        Raises:
          ValueError: They do not, or the loss has no scale for so few classes.
        """
        if model.classes < 1:
            raise ValueError(f"a classifier needs classes, got {model.classes}")
        self.classes, self.config = model.classes, config
        self._first_scale = 0.0
        if config.loss == "adacos":
            self._first_scale = margin.fixed_scale(self.classes, config.subcentres)
            model = dataclasses.replace(model, classes=0)
        self.model_config = model
        self.model = _MODULES[type(model)](model)
        self.samples, self.frames = _sizes(model, config)

    @property
    def patches(self) -> int:
        """Patches that a whole clip has; 1 if the model takes it whole."""
        c, m = self.config, self.model_config
        if not c.patch_hop or isinstance(m, SpectralBranchesConfig):
            return 1
        return (self.frames - m.frames) // c.patch_hop + 1

    def init(self, key: PRNGKey, batch: Batch) -> Mapping[str, PyTree]:
        """Variables; no value of the batch matters."""
        c = self.config
        model_key, centre_key = jax.random.split(key)
        shape = (1, self.samples)
        if not isinstance(self.model_config, SpectralBranchesConfig):
            shape = (1, self.model_config.frames, self.model_config.mels)
        made = dict(self.model.init(model_key, jnp.zeros(shape)))
        params, variables = {"model": made.pop("params")}, made
        if c.mel is not None:
            variables["statistics"] = {"mean": jnp.zeros(()), "std": jnp.ones(())}
        width = self.model_config.embedding
        if c.centre_weight:
            # Where batch norm puts the mean of the embeddings.
            variables["centres"] = {"value": jnp.zeros((self.classes, width))}
        if c.loss == "adacos":
            centres = margin.initial_centres(
                centre_key, self.classes, c.subcentres, width
            )
            state = {"scale": jnp.float32(self._first_scale)}
            if c.scale == "fixed":
                state = {}
            if c.train_centres:
                params["margin"] = {"centres": centres}
            else:
                state["centres"] = centres
            if state:
                variables["margin"] = state
        return {"params": params, **variables}

    def loss(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> LossOutput:
        """Cross-entropy and center loss of each clip, mixed."""
        c, label = self.config, batch["label"]
        mix_key, patch_key, dropout_key = jax.random.split(key, 3)
        wave = dequantised(batch["wave"])
        mixed = Mixed(wave, label, jnp.ones(len(wave)))
        if c.mixup:
            mixed = mix(mix_key, wave, label, probability=c.mixup, alpha=c.mixup_alpha)
        x = self._patched(self._input(variables, mixed.wave), patch_key)
        out, changed = self.model.apply(
            _of_model(variables),
            x.reshape(-1, *x.shape[2:]),
            True,
            mutable=["batch_stats"],
            rngs={"dropout": dropout_key},
        )
        state = {k: v for k, v in variables.items() if k != "params"} | dict(changed)
        repeats = x.shape[1]
        target = self._target(label, mixed)
        target = jnp.repeat(target, repeats, axis=0)
        entropy = -(target * self._log_probability(variables, out)).sum(axis=-1)
        loss = entropy
        metrics = {"cross_entropy": _by_clip(entropy, repeats)}
        if c.loss == "adacos" and c.scale == "dynamic":
            state["margin"] = {
                **state["margin"],
                "scale": self._adapted(variables, out, target),
            }
        if c.centre_weight:
            pull, centres = self._pull(
                state["centres"]["value"], out.embedding, label, mixed, repeats
            )
            loss = loss + c.centre_weight * pull
            metrics["center"] = _by_clip(pull, repeats)
            state["centres"] = {"value": centres}
        return LossOutput(_by_clip(loss, repeats), metrics, state)

    def evaluate(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> Mapping[str, Array]:
        """Loss `[b]` without Mixup, and accuracy `[b]`, 1 where the class is right."""
        c, label = self.config, batch["label"]
        out, repeats = self._apply(variables, batch["wave"])
        log_p = self._log_probability(variables, out)
        target = jnp.repeat(jax.nn.one_hot(label, self.classes), repeats, axis=0)
        loss = -(target * log_p).sum(axis=-1)
        if c.centre_weight:
            centres = variables["centres"]["value"]
            pull = center_loss(out.embedding, centres, jnp.repeat(label, repeats))
            loss = loss + c.centre_weight * pull
        chosen = _by_clip(log_p, repeats).argmax(axis=-1)
        return {
            "loss": _by_clip(loss, repeats),
            "accuracy": (chosen == label).astype(jnp.float32),
        }

    def embed(self, variables: Mapping[str, PyTree], wave: Array) -> SectionOutput:
        """Embedding and class scores of clips; a pure function, to be jitted.

        Args:
          variables: As trained.
          wave: Int16 `[b, s]`, or float32 in units of full scale; `s` is `samples`.

        Returns:
          Embedding float32 `[b, d]`, of a clip in patches their mean, and log
          probabilities float32 `[b, v]`, in patches `[b, n, v]`: equation 4 is a mean
          over the patches' scores.

        Raises:
          ValueError: For clips of another length.
        """
        out, repeats = self._apply(variables, wave)
        log_p = self._log_probability(variables, out)
        if self.config.patch_hop:
            log_p = log_p.reshape(-1, repeats, self.classes)
        return SectionOutput(_by_clip(out.embedding, repeats), log_p)

    def _apply(self, variables, wave) -> tuple[SectionOutput, int]:
        x = self._patched(self._input(variables, dequantised(wave)), None)
        out = self.model.apply(_of_model(variables), x.reshape(-1, *x.shape[2:]))
        return out, x.shape[1]

    def _input(self, variables, wave: Array) -> Array:
        """What the model sees of clips: normalised log-mel `[b, t, f]`, or waves."""
        if wave.shape[-1] != self.samples:
            raise ValueError(
                f"the task takes clips of {self.samples} samples"
                f" ({self.config.clip_s:g} s), got {wave.shape[-1]}: crop, tile or cut"
                " them into segments"
            )
        if self.config.mel is None:
            return wave
        statistics = variables["statistics"]
        x = log_mel(wave, self.config.mel)
        return (x - statistics["mean"]) / statistics["std"]

    def _patched(self, x: Array, key: PRNGKey | None) -> Array:
        """Patches `[b, n, ...]`, drawn if there is a key; else all of them."""
        c, m = self.config, self.model_config
        if not c.patch_hop or isinstance(m, SpectralBranchesConfig):
            return x[:, None]
        first = np.arange(self.patches)[None]
        if key is not None and c.training_patches:
            shape = (len(x), c.training_patches)
            first = jax.random.randint(key, shape, 0, self.patches)
        index = first[..., None] * c.patch_hop + np.arange(m.frames)
        return x[np.arange(len(x))[:, None, None], index]

    def _target(self, label: Array, mixed: Mixed) -> Float[Array, "b v"]:
        own, other = (jax.nn.one_hot(y, self.classes) for y in (label, mixed.other))
        return mixed_target(own, other, mixed.share)

    def _centres(self, variables) -> Array:
        trained = variables["params"].get("margin")
        return (trained or variables["margin"])["centres"]

    def _scale(self, variables) -> Array | float:
        if self.config.scale == "dynamic":
            return variables["margin"]["scale"]
        return self._first_scale

    def _log_probability(self, variables, out: SectionOutput) -> Array:
        if self.config.loss == "softmax":
            return jax.nn.log_softmax(out.logits)
        cosine = margin.cosines(out.embedding, self._centres(variables))
        return margin.class_log_probability(cosine, self._scale(variables))

    def _adapted(self, variables, out: SectionOutput, target: Array) -> Array:
        cosine = margin.cosines(out.embedding, self._centres(variables))
        return margin.adapted_scale(cosine, target, self._scale(variables))

    def _pull(self, centres, x, label, mixed, repeats) -> tuple[Array, Array]:
        """Center loss of each patch, and the centres after this batch."""
        own, other = jnp.repeat(label, repeats), jnp.repeat(mixed.other, repeats)
        share = jnp.repeat(mixed.share, repeats)
        pull = share * center_loss(x, centres, own)
        pull = pull + (1 - share) * center_loss(x, centres, other)
        moved = update_centres(
            centres,
            jnp.concatenate([x, x]),
            jnp.concatenate([own, other]),
            jnp.concatenate([share, 1 - share]),
            self.config.centre_rate,
        )
        return pull, moved


def _sizes(model: ModelConfig, config: SectionIdConfig) -> tuple[int, int]:
    """Samples and frames of a clip, as model and task agree; 0 frames of a wave.

    Raises:
      ValueError: They do not agree.
    """
    if isinstance(model, SpectralBranchesConfig):
        if config.mel is not None or config.patch_hop:
            raise ValueError("a model of waves takes neither mel nor patch_hop")
        if model.clip_s != config.clip_s:
            raise ValueError(
                f"model.clip_s is {model.clip_s:g}, task.clip_s {config.clip_s:g}"
            )
        return model.samples, 0
    if config.mel is None:
        raise ValueError("a model of spectrograms needs task.mel")
    if config.mel.n_mels != model.mels:
        raise ValueError(
            f"model.mels is {model.mels}, task.mel.n_mels {config.mel.n_mels}"
        )
    samples = round(config.clip_s * config.mel.rate_hz)
    frames = frame_count(samples, config.mel)
    if config.patch_hop and frames < model.frames:
        raise ValueError(
            f"a clip of {config.clip_s:g} s has {frames} frames, fewer than a patch of"
            f" model.frames={model.frames}"
        )
    if not config.patch_hop and frames != model.frames:
        raise ValueError(
            f"a clip of {config.clip_s:g} s has {frames} frames, but model.frames is"
            f" {model.frames}: set it, or task.patch_hop to take patches"
        )
    return samples, frames


def _of_model(variables: Mapping[str, PyTree]) -> Mapping[str, PyTree]:
    return {
        "params": variables["params"]["model"],
        "batch_stats": variables["batch_stats"],
    }


def _by_clip(values: Array, repeats: int) -> Array:
    """Means of each clip's patches: `[b * n, ...]` to `[b, ...]`."""
    if repeats == 1:
        return values
    return values.reshape(-1, repeats, *values.shape[1:]).mean(axis=1)


def backbone(variables: Mapping[str, PyTree]) -> dict[str, PyTree]:
    """What a classifier of other sections can start from: all but the heads.

    Args:
      variables: Of a trained task.

    Returns:
      The `given` of `train.step.make_init`: the model without its head, its batch
      statistics, and the statistics of the input that its weights expect.
    """
    model = {k: v for k, v in variables["params"]["model"].items() if k != "head"}
    kept = {k: variables[k] for k in ("batch_stats", "statistics") if k in variables}
    return {"params": {"model": model}, **kept}
