"""Which events are heard in a clip: one class, any number of them, or verb and noun.

The recipe is AST's (Gong et al. 2021, arXiv 2104.01778), which "DATAR: Deformable Audio
Transformer for Audio Event Recognition" (Zhu) follows: waves are mixed, their filter
banks masked (SpecAugment) and normalised, and a backbone's features go to one linear
head, or to two on EPIC-Kitchens, whose losses are added.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.losses.events import binary_cross_entropy, soft_cross_entropy
from sigjax.models.audio_classifier import AudioClassifier, AudioClassifierConfig
from sigjax.signal.fbank import (
    FbankConfig,
    fbank,
    fit_frames,
    normalise,
    valid_frames,
)
from sigjax.signal.mixup import mix, mixed_target
from sigjax.signal.spec_augment import spec_augment
from sigjax.tasks.sound_input import dequantised, pooled
from sigjax.typing import Array, Batch, Float, Int, LossOutput, PRNGKey, PyTree

Target = Literal["single", "multi", "verb_noun"]

HEADS: Mapping[str, tuple[str, ...]] = {
    "single": ("label",),
    "multi": ("target",),
    "verb_noun": ("verb", "noun"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class AudioEventsConfig:
    """What the model sees of a clip and what it is trained with.

    Attributes:
      target: `"single"`: one class a clip; `"multi"`: any number; `"verb_noun"`: one of
        each of two kinds, and an action is right where both are.
      fbank: How the spectrogram is computed.
      window_s: Length of what a model sees at once, seconds. Shorter clips are padded.
      frames: Of the spectrogram: the window's are cut or padded to so many.
      mean: Of the filter banks of the training set; None to take it from the data.
      std: Likewise. Both or neither.
      mixup: Share of examples that are mixed with another.
      mixup_alpha: An example's own share is drawn from Beta(alpha, alpha).
      time_mask: Widest mask in time of SpecAugment, frames; 0 for none.
      band_mask: Widest mask in frequency, bands; 0 for none.
      masks: Of each kind.
      label_smoothing: Share of the target that is spread over all classes, or for
        `"multi"` moved towards 0.5.
    """

    target: Target
    fbank: FbankConfig = FbankConfig()
    window_s: float = 10.0
    frames: int = 1024
    mean: float | None = None
    std: float | None = None
    mixup: float = 0.5
    mixup_alpha: float = 10.0
    time_mask: int = 192
    band_mask: int = 48
    masks: int = 1
    label_smoothing: float = 0.0

    def __post_init__(self):
        """Refuses values without meaning."""
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std are given both or neither")
        if self.std is not None and not self.std > 0:
            raise ValueError(f"std must be above 0, got {self.std}")
        if not 0 <= self.mixup <= 1 or not self.mixup_alpha > 0:
            raise ValueError(
                f"mixup must be in [0, 1] and mixup_alpha above 0, got {self.mixup} and"
                f" {self.mixup_alpha}"
            )
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing={self.label_smoothing} is no share")
        if self.samples < self.fbank.frame_samples:
            raise ValueError(
                f"window_s={self.window_s:g} is shorter than a frame of"
                f" {self.fbank.frame_ms:g} ms"
            )
        if not 0 <= self.time_mask <= self.frames:
            raise ValueError(
                f"time_mask={self.time_mask} is not within the {self.frames} frames"
            )
        if not 0 <= self.band_mask <= self.fbank.n_mels:
            raise ValueError(
                f"band_mask={self.band_mask} is not within {self.fbank.n_mels} bands"
            )

    @property
    def samples(self) -> int:
        """Samples of a window."""
        return round(self.window_s * self.fbank.expected_hz)

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads."""
        return HEADS[self.target]


class AudioEvents:
    """Task: recognise the events of clips.

    Batches hold `wave` int16 `[b, s]`, `valid` int32 `[b]` (real samples, the rest is
    padding), and by the name of the head `label` int32 `[b]`, or `target` float32
    `[b, v]` for several classes, or `verb` and `noun` int32 `[b]`.
    """

    def __init__(self, model: AudioClassifierConfig, config: AudioEventsConfig):
        """Checks that heads and spectrograms fit.

        Raises:
          ValueError: They do not.
        """
        names = tuple(name for name, _ in model.heads)
        if names != config.heads:
            raise ValueError(
                f"target={config.target!r} needs the heads {', '.join(config.heads)};"
                f" the model has {', '.join(names) or 'none'}"
            )
        given, own = (config.frames, config.fbank.n_mels), model.ast
        # DAT takes maps of any size.
        if own is not None and (own.frames, own.bands) != given:
            raise ValueError(
                f"the backbone takes {own.frames} frames of {own.bands} bands, the task"
                f" gives {given[0]} of {given[1]}"
            )
        self.model_config, self.config = model, config
        self.model = AudioClassifier(model)
        self._classes = dict(model.heads)

    def init(self, key: PRNGKey, batch: Batch) -> Mapping[str, PyTree]:
        """Variables; no value of the batch matters."""
        c = self.config
        made = dict(self.model.init(key, jnp.zeros((1, c.frames, c.fbank.n_mels))))
        mean, std = (0.0, 1.0) if c.mean is None or c.std is None else (c.mean, c.std)
        made["statistics"] = {"mean": jnp.float32(mean), "std": jnp.float32(std)}
        return made

    def spectrogram(
        self,
        variables: Mapping[str, PyTree],
        wave: Array,
        valid: Int[Array, " b"],
        key: PRNGKey | None = None,
    ) -> Float[Array, "b t f"]:
        """What the backbone sees of waves.

        Args:
          variables: With `statistics`.
          wave: Int16 `[b, s]`, or float32 in units of full scale.
          valid: Int `[b]`, real samples; frames that reach beyond are padding.
          key: Draws the masks of SpecAugment; None for none.

        Returns:
          Float32 `[b, frames, bands]`, normalised.

        Raises:
          ValueError: Waves have another length than a window.
        """
        c = self.config
        if wave.shape[-1] != c.samples:
            raise ValueError(
                f"the task takes windows of {c.samples} samples ({c.window_s:g} s at"
                f" {c.fbank.expected_hz:g} Hz), got {wave.shape[-1]}"
            )
        x = fbank(dequantised(wave), c.fbank)
        x = fit_frames(x, c.frames, valid_frames(valid, c.fbank))
        if key is not None and (c.time_mask or c.band_mask):
            x = spec_augment(
                x,
                key,
                time_width=c.time_mask,
                band_width=c.band_mask,
                masks=c.masks,
            )
        statistics = variables["statistics"]
        return normalise(x, statistics["mean"], statistics["std"])

    def loss(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> LossOutput:
        """Cross-entropy of each mixed clip; of two heads the sum."""
        c = self.config
        mix_key, mask_key, *drop_keys = jax.random.split(key, 5)
        wave = dequantised(batch["wave"])
        targets = self._targets(batch)
        if c.mixup:
            # Rows for labels: each head has its own.
            rows = jnp.arange(len(wave))
            mixed = mix(mix_key, wave, rows, probability=c.mixup, alpha=c.mixup_alpha)
            wave = mixed.wave
            targets = {
                name: mixed_target(y, y[mixed.other], mixed.share)
                for name, y in targets.items()
            }
        x = self.spectrogram(variables, wave, batch["valid"], mask_key)
        streams = ("dropout", "drop_path", "noise")
        logits: Any = self.model.apply(
            {"params": variables["params"]},
            x,
            True,
            rngs=dict(zip(streams, drop_keys, strict=True)),
        )
        losses = {
            name: self._entropy(logits[name], self._smoothed(y))
            for name, y in targets.items()
        }
        total = sum(losses.values(), jnp.zeros(len(wave)))
        parts = {f"{name}_loss": v for name, v in losses.items()}
        state = {name: v for name, v in variables.items() if name != "params"}
        return LossOutput(total, parts if len(parts) > 1 else {}, state)

    def evaluate(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> Mapping[str, Array]:
        """Figures of each window, float32 `[b]`.

        Of single classes `top1` and `top5`, 1 where the class is among so many of the
        highest scores; of verb and noun the same each, and `action`, 1 where the
        highest of both are right; of several classes `ranking`, the label ranking
        average precision. The mean average precision is no mean over clips: see
        `sigjax.evals.audio_events`.
        """
        logits = self.scores(variables, batch["wave"], batch["valid"])
        targets = self._targets(batch)
        loss = sum(
            (self._entropy(logits[name], y) for name, y in targets.items()),
            jnp.zeros(len(batch["wave"])),
        )
        if self.config.target == "multi":
            (name,) = targets
            return {"loss": loss, "ranking": ranking(logits[name], targets[name])}
        place = {n: _place(logits[n], batch[n]) for n in targets}
        if self.config.target == "single":
            return {"loss": loss, **_top(place["label"])}
        found = {f"{n}_{k}": v for n, at in place.items() for k, v in _top(at).items()}
        action = (place["verb"] < 1) & (place["noun"] < 1)
        return {"loss": loss, **found, "action": action.astype(jnp.float32)}

    def scores(
        self, variables: Mapping[str, PyTree], wave: Array, valid: Int[Array, " b"]
    ) -> dict[str, Float[Array, "b _"]]:
        """Logits of windows by head; a pure function, to be jitted.

        Args:
          variables: As trained.
          wave: See `spectrogram`.
          valid: See `spectrogram`.
        """
        x = self.spectrogram(variables, wave, valid)
        return dict(self.model.apply({"params": variables["params"]}, x))  # type: ignore

    def features(
        self, variables: Mapping[str, PyTree], wave: Array, valid: Int[Array, " b"]
    ) -> Float[Array, "b d"]:
        """What the heads see of windows; see `scores`."""
        x = self.spectrogram(variables, wave, valid)
        found: Any = self.model.apply(
            {"params": variables["params"]}, x, method=AudioClassifier.features
        )
        return found

    def probabilities(self, logits: Float[Array, "*a v"]) -> Float[Array, "*a v"]:
        """Of each class on its own for several a clip, else of one of them."""
        if self.config.target == "multi":
            return jax.nn.sigmoid(logits)
        return jax.nn.softmax(logits)

    def _targets(self, batch: Batch) -> dict[str, Array]:
        """Targets `[b, v]` of each head."""
        return {
            head: batch[head].astype(jnp.float32)
            if self.config.target == "multi"
            else jax.nn.one_hot(batch[head], count)
            for head, count in self._classes.items()
        }

    def _smoothed(self, target: Array) -> Array:
        share = self.config.label_smoothing
        if not share:
            return target
        even = 0.5 if self.config.target == "multi" else 1 / target.shape[-1]
        return (1 - share) * target + share * even

    def _entropy(self, logits: Array, target: Array) -> Array:
        if self.config.target == "multi":
            return binary_cross_entropy(logits, target)
        return soft_cross_entropy(logits, target)


def _place(logits: Float[Array, "b v"], label: Int[Array, " b"]) -> Int[Array, " b"]:
    """How many classes have a higher score than the true one."""
    own = jnp.take_along_axis(logits, label[:, None], axis=-1)
    return (logits > own).sum(axis=-1)


def _top(place: Int[Array, " b"]) -> dict[str, Array]:
    return {f"top{k}": (place < k).astype(jnp.float32) for k in (1, 5)}


def ranking(
    logits: Float[Array, "b v"], target: Float[Array, "b v"]
) -> Float[Array, " b"]:
    """Label ranking average precision of each clip; 1 where there is no class.

    Over a clip's classes the mean of: of those ranked as high or higher, the share that
    are its classes. Among equal scores the order is that of the classes.
    """
    order = jnp.argsort(-logits, axis=-1)
    true = jnp.take_along_axis(target > 0.5, order, axis=-1)
    precision = true.cumsum(axis=-1) / jnp.arange(1, logits.shape[-1] + 1)
    count = true.sum(axis=-1)
    mean = (true * precision).sum(axis=-1) / jnp.maximum(count, 1)
    return jnp.where(count > 0, mean, 1.0)


def fbank_statistics(
    batches: Iterable[Mapping[str, Any]], config: FbankConfig
) -> dict[str, np.ndarray]:
    """Mean and standard deviation of the filter banks of clips, padding left out.

    Args:
      batches: Each with `wave` int16 `[b, s]`, `valid` int32 `[b]` and, if some rows
        are padding, `weight` `[b]`, 0 there.
      config: How filter banks are computed.

    Returns:
      `mean` and `std`, float32 scalars: the `statistics` of `given`.

    Raises:
      ValueError: There are no frames, or they never change: silence.
    """

    @jax.jit
    def moments(wave, valid, weight):
        x = fbank(dequantised(wave), config)
        counted = jnp.arange(x.shape[1]) < valid_frames(valid, config)[:, None]
        counted = (counted & (weight > 0)[:, None])[..., None]
        values = counted.sum() * x.shape[2]
        mean = jnp.where(counted, x, 0.0).sum() / values
        error = jnp.where(counted, jnp.square(x - mean), 0.0).sum() / values
        return values, mean, error

    def parts() -> Iterator[tuple[int, float, float]]:
        for batch in batches:
            weight = batch.get("weight", np.ones(len(batch["wave"]), np.float32))
            found = jax.device_get(moments(batch["wave"], batch["valid"], weight))
            if found[0]:
                yield int(found[0]), float(found[1]), float(found[2])

    return pooled(parts(), what="filter banks", unit="")
