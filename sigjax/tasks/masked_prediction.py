"""Masked prediction of clusters: hide stretches of sound, tell what was there.

HuBERT (Hsu et al. 2021, arXiv 2106.07447). Clusters are those of k-means on frames of
cepstra (the paper's first iteration) or of a layer of an earlier encoder (the second).
What to predict is computed on the device, of the same crop that the encoder sees.

A batch may hold clips of any length; frames count alike, not clips.

Collections beside `params`, which no step changes: `clusters` (`centre` [v, p] of
standardised frames; `mean`, `scale` [p] that standardise) and, of an earlier encoder,
`teacher`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.losses.masked_prediction import (
    frame_cross_entropy,
    frame_means,
    frame_sums,
)
from sigjax.models.cluster_predictor import ClusterPredictor, Prediction
from sigjax.models.speech_encoder import (
    SpeechEncoder,
    SpeechEncoderConfig,
    frame_count,
)
from sigjax.nn.attention import valid_tokens
from sigjax.nn.precision import ComputeDtype
from sigjax.signal.cepstra import CepstraConfig, cepstra
from sigjax.signal.masking import random_span_mask
from sigjax.typing import Array, Batch, Bool, Float, Int, LossOutput, PRNGKey, PyTree

# Where no frame is visible on a side: farther than any.
_FAR = 2**30


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskedPredictionConfig:
    """What is predicted, and what is hidden.

    Attributes:
      clusters: How many; the paper has 100 of cepstra, 500 of a layer.
      targets: What the clusters are of: `"cepstra"`, or `"layer"`, one of an earlier
        encoder's.
      cepstra: Of those; the paper's by default.
      layer: Of the earlier encoder, from 0; the paper's second iteration takes 6.
      mask_rate: Spans that begin, for each frame (the paper's 8 %).
      mask_length: Frames of a span (the paper's 10, 0.2 s); shorter in short clips, see
        `random_span_mask`.
      visible_weight: Of the loss of frames that are not hidden. The paper's loss is
        alpha L_m + (1 - alpha) L_u, with alpha 1: 0.
      code_width: Of the clusters' codes.
      temperature: Of the logits.
      cnn_penalty: Weight of the mean square of `cnn`, which keeps the convolutions from
        growing; 10 is what the authors' code trains with.
      dtype: What the encoder computes in; see `SpeechEncoder`.
    """

    clusters: int = 100
    targets: Literal["cepstra", "layer"] = "cepstra"
    cepstra: CepstraConfig = CepstraConfig()
    layer: int = 6
    mask_rate: float = 0.08
    mask_length: int = 10
    visible_weight: float = 0.0
    code_width: int = 256
    temperature: float = 0.1
    cnn_penalty: float = 10.0
    dtype: ComputeDtype = "auto"

    def __post_init__(self):
        """Refuses numbers without meaning."""
        if self.clusters < 2 or self.mask_length < 1 or self.code_width < 1:
            raise ValueError(
                f"clusters {self.clusters} must be at least 2, mask_length"
                f" {self.mask_length} and code_width {self.code_width} at least 1"
            )
        if not 0 < self.mask_rate < 1 or not self.temperature > 0:
            raise ValueError(
                f"mask_rate {self.mask_rate} must be in (0, 1), temperature"
                f" {self.temperature} above 0"
            )
        if min(self.visible_weight, self.cnn_penalty) < 0:
            raise ValueError("visible_weight and cnn_penalty must not be negative")


class MaskedPrediction:
    """Task: predict the clusters of hidden frames.

    Batches hold `wave` float32 `[b, s]` at 16 kHz, normalised, zeros behind each clip;
    `samples` int32 `[b]`, how many are real; and `row` int32 `[b]`, the clip's number.
    A clip's mask depends on the step's key and its number alone, not on its place.
    """

    def __init__(
        self,
        model: SpeechEncoderConfig,
        config: MaskedPredictionConfig,
        teacher: SpeechEncoderConfig | None = None,
    ):
        """Checks that the sections fit together.

        Args:
          model: Of the encoder to train.
          config: What is predicted.
          teacher: Of the encoder whose layer is predicted.

        Raises:
          ValueError: Naming the keys that do not fit.
        """
        if not model.mask_embedding:
            raise ValueError("masked prediction needs model.mask_embedding=True")
        if (config.targets == "layer") != (teacher is not None):
            raise ValueError(
                "an earlier encoder is needed for task.targets='layer', and for nothing"
                " else"
            )
        if teacher is not None:
            _check_teacher(model, teacher, config.layer)
        else:
            _check_frames(model, config.cepstra)
        self.model_config, self.config, self.teacher_config = model, config, teacher
        self.model = ClusterPredictor(
            *(model, config.clusters, config.code_width, config.temperature),
            dtype=config.dtype,
        )
        self.teacher = None
        if teacher is not None:
            # Its frames decide clusters: the same whatever the student computes in.
            self.teacher = SpeechEncoder(teacher, "float32")

    @property
    def values(self) -> int:
        """Numbers of a frame that is clustered."""
        if self.teacher_config is not None:
            return self.teacher_config.width
        return self.config.cepstra.values

    def init(self, key: PRNGKey, batch: Batch) -> Mapping[str, PyTree]:
        """Variables. Clusters are zeros: fitted ones are given."""
        del batch
        c = self.config
        samples = self.model_config.min_samples
        wave, count = jnp.zeros((1, samples)), jnp.full(1, samples)
        mask = jnp.zeros((1, 1), bool)
        key, other = jax.random.split(key)
        found = dict(self.model.init(key, wave, count, mask=mask))
        found["clusters"] = {
            "centre": jnp.zeros((c.clusters, self.values)),
            "mean": jnp.zeros(self.values),
            "scale": jnp.ones(self.values),
        }
        if self.teacher is not None:
            found["teacher"] = self.teacher.init(other, wave, count)["params"]
        return found

    def frames(
        self, variables: Mapping[str, PyTree], batch: Batch
    ) -> tuple[Float[Array, "b t p"], Int[Array, " b"]]:
        """What is clustered of each of the encoder's frames, and how many are real.

        The encoder's frame `j` sees 400 samples from `320 j` on; cepstra are of the
        same ones, at every second of the filter bank's frames.
        """
        wave, samples = batch["wave"], batch["samples"]
        count = frame_count(samples, self.model_config)
        if self.teacher is not None:
            found: Any = self.teacher.apply(
                {"params": variables["teacher"]}, wave, samples
            )
            return found.layers[self.config.layer], count
        every = self.model_config.hop // self.config.cepstra.fbank.shift_samples
        found = cepstra(wave, samples, self.config.cepstra)[:, ::every]
        return found[:, : frame_count(wave.shape[1], self.model_config)], count

    def targets(
        self, variables: Mapping[str, PyTree], batch: Batch
    ) -> tuple[Int[Array, "b t"], Bool[Array, "b t"]]:
        """Each frame's cluster, and which frames are no padding."""
        x, count = self.frames(variables, batch)
        clusters = variables["clusters"]
        found = nearest((x - clusters["mean"]) * clusters["scale"], clusters["centre"])
        return found, valid_tokens(x.shape[1], count)

    def mask(
        self, batch: Batch, own: Bool[Array, "b t"], key: PRNGKey
    ) -> Bool[Array, "b t"]:
        """Which frames are hidden."""
        c = self.config

        def of_clip(row: Array, count: Array) -> Array:
            return random_span_mask(
                *(jax.random.fold_in(key, row), own.shape[1], count),
                rate=c.mask_rate,
                length=c.mask_length,
            )

        return jax.vmap(of_clip)(batch["row"], own.sum(axis=1))

    def _predict(
        self, variables, batch: Batch, mask: Array, key: PRNGKey | None
    ) -> Prediction:
        rngs = None
        if key is not None:
            dropout, layers = jax.random.split(key)
            rngs = {"dropout": dropout, "layer_drop": layers}
        found: Any = self.model.apply(
            {"params": variables["params"]},
            *(batch["wave"], batch["samples"]),
            mask=mask,
            deterministic=key is None,
            rngs=rngs,
        )
        return found

    def loss(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> LossOutput:
        """Cross-entropy of hidden frames; its mean over clips is that over frames."""
        c = self.config
        mask_key, drop_key = jax.random.split(key)
        target, own = self.targets(variables, batch)
        mask = self.mask(batch, own, mask_key)
        found = self._predict(variables, batch, mask, drop_key)
        losses = frame_cross_entropy(found.logits, target)
        hits = (found.logits.argmax(axis=-1) == target).astype(jnp.float32)
        visible = own & ~mask
        square = jnp.square(found.cnn.astype(jnp.float32)).mean(axis=-1)
        metrics = {
            "masked_loss": frame_means(losses, mask),
            "masked_accuracy": frame_means(hits, mask),
            "visible_accuracy": frame_means(hits, visible),
            "cnn_square": frame_means(square, own),
        }
        total = metrics["masked_loss"] + c.cnn_penalty * metrics["cnn_square"]
        if c.visible_weight:
            metrics["visible_loss"] = frame_means(losses, visible)
            total = total + c.visible_weight * metrics["visible_loss"]
        state = {k: v for k, v in variables.items() if k != "params"}
        return LossOutput(total, metrics, state)

    def evaluate(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> Mapping[str, Array]:
        """Sums over each clip's frames, which `summarise` makes figures of."""
        target, own = self.targets(variables, batch)
        mask = self.mask(batch, own, key)
        found = self._predict(variables, batch, mask, None)
        losses = frame_cross_entropy(found.logits, target)
        hits = (found.logits.argmax(axis=-1) == target).astype(jnp.float32)
        copied = copied_hits(target, mask, own & ~mask).astype(jnp.float32)
        kinds = jax.nn.one_hot(target, self.config.clusters) * mask[..., None]
        return {
            "loss": frame_sums(losses, mask),
            "hits": frame_sums(hits, mask),
            "copied": frame_sums(copied, mask),
            "visible_hits": frame_sums(hits, own & ~mask),
            "visible": (own & ~mask).sum(axis=1).astype(jnp.float32),
            "kinds": kinds.sum(axis=1),
        }

    def summarise(self, means: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Figures of a whole split, every frame counted alike.

        `loss` and `masked_accuracy` are of hidden frames, `visible_accuracy` of others.
        What they are to be read against: `copied_accuracy`, of repeating the nearest
        visible frame's cluster; `most_frequent`, of naming always the most frequent
        one; `chance`, one through the clusters; `unigram_loss`, the entropy of hidden
        frames' clusters, below which no constant prediction comes.
        """
        kinds = np.asarray(means["kinds"], np.float64)
        masked = max(float(kinds.sum()), 1e-12)
        share = kinds / masked
        share = share[share > 0]
        return {
            "loss": float(means["loss"]) / masked,
            "masked_accuracy": float(means["hits"]) / masked,
            "visible_accuracy": float(means["visible_hits"])
            / max(float(means["visible"]), 1e-12),
            "copied_accuracy": float(means["copied"]) / masked,
            "most_frequent": float(kinds.max()) / masked,
            "chance": 1 / self.config.clusters,
            "unigram_loss": float(-(share * np.log(share)).sum()),
            "clusters_seen": float(np.count_nonzero(kinds)),
        }


def nearest(x: Float[Array, "*a p"], centre: Float[Array, "v p"]) -> Int[Array, "*a"]:
    """Number of the nearest centre, by squared distance; int32."""
    product = jnp.matmul(x, centre.T, precision=jax.lax.Precision.HIGHEST)
    away = jnp.square(centre).sum(axis=-1) / 2 - product
    return away.argmin(axis=-1).astype(jnp.int32)


def copied_hits(
    target: Int[Array, "b t"], mask: Bool[Array, "b t"], visible: Bool[Array, "b t"]
) -> Bool[Array, "b t"]:
    """Whether the nearest visible frame's cluster is a hidden frame's, too.

    Of two that are as near the earlier one counts. False where nothing is visible.
    """
    place = jnp.broadcast_to(jnp.arange(target.shape[1]), target.shape)
    before = jax.lax.cummax(jnp.where(visible, place, -_FAR), axis=1)
    after = jax.lax.cummin(jnp.where(visible, place, _FAR), axis=1, reverse=True)
    chosen = jnp.where(place - before <= after - place, before, after)
    there = (chosen >= 0) & (chosen < target.shape[1])
    copied = jnp.take_along_axis(
        target, jnp.clip(chosen, 0, target.shape[1] - 1), axis=1
    )
    return mask & there & (copied == target)


def _check_teacher(
    model: SpeechEncoderConfig, teacher: SpeechEncoderConfig, layer: int
) -> None:
    if (teacher.hop, teacher.min_samples) != (model.hop, model.min_samples):
        raise ValueError(
            f"the earlier encoder has frames of {teacher.min_samples} samples every"
            f" {teacher.hop}, model of {model.min_samples} every {model.hop}"
        )
    if not 0 <= layer <= teacher.depth:
        raise ValueError(
            f"task.layer={layer}, but the earlier encoder has layers 0 to"
            f" {teacher.depth}"
        )


def _check_frames(model: SpeechEncoderConfig, config: CepstraConfig) -> None:
    bank = config.fbank
    if model.hop % bank.shift_samples or bank.frame_samples > model.min_samples:
        raise ValueError(
            f"task.cepstra has frames of {bank.frame_samples} samples every"
            f" {bank.shift_samples}: they must lie within the encoder's, of"
            f" {model.min_samples} every {model.hop}"
        )
