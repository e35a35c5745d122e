"""Where and when events sound in a mixture: a mask of each class, or its frames.

The spectrogram is a log-mel relative to the clip's loudest value, and so are targets:

  "mask"    `[t, f, v]`, the ideal binary mask: 1 where the power of a class's events
            exceeds that of all the rest by `criterion_db` (Wang 2005)
  "frames"  `[t, v]`, 1 where the middle of a frame lies in one of its events

Both are computed from what is known of a mixture on the device, by the same frames as
the input, so they cannot be shifted against it. A model's scores `[t, f, v]` are those
of the mask; of frames they are their mean over the bands.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.losses.segmentation import dice, weighted_cross_entropy
from sigjax.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from sigjax.models.fcn import Fcn, FcnConfig
from sigjax.models.unet import UNet, UNetConfig
from sigjax.signal.mel import MelConfig, frame_count, log_mel
from sigjax.tasks.example_input import ExampleInputConfig, example_input
from sigjax.tasks.sound_input import dequantised
from sigjax.typing import Array, Batch, Float, LossOutput, PRNGKey, PyTree

ModelConfig = UNetConfig | FcnConfig | EncoderDecoderConfig
Target = Literal["mask", "frames"]

_MODULES: Mapping[type, Any] = {
    UNetConfig: UNet,
    FcnConfig: Fcn,
    EncoderDecoderConfig: EncoderDecoder,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentationConfig:
    """What the model sees of a mixture and what it is trained with.

    Attributes:
      target: See the module docstring.
      mel: How the spectrogram is computed.
      window_s: Length of what a model sees at once, seconds.
      top_db: What lies so far below the loudest value of a window is 0, that value 1.
      criterion_db: Of the ideal binary mask.
      prior: Probability that a model's scores of 0 stand for. Near the share of cells
        that are in events it spares training the steps that find that (Lin et al.
        2017, arXiv 1708.02002, Sect. 3.3). Of a share s and a `positive_weight` w that
        is `w s / (w s + 1 - s)`.
      cross_entropy: Weight of the binary cross-entropy, a mean over cells and classes.
      positive_weight: In it, of cells that are in an event of the class; see
        `sigjax.losses.segmentation.weighted_cross_entropy`.
      dice: Weight of one minus the soft Dice coefficient.
    """

    target: Target
    mel: MelConfig
    window_s: float
    top_db: float = 80.0
    criterion_db: float = 0.0
    prior: float = 0.5
    cross_entropy: float = 1.0
    positive_weight: float = 1.0
    dice: float = 0.0

    def __post_init__(self):
        """Refuses values without meaning."""
        if not 0 < self.prior < 1:
            raise ValueError(f"prior must be in (0, 1), got {self.prior:g}")
        if min(self.cross_entropy, self.dice) < 0 or not self.cross_entropy + self.dice:
            raise ValueError(
                "cross_entropy and dice must not be negative, nor both 0, got"
                f" {self.cross_entropy:g} and {self.dice:g}"
            )
        if not self.positive_weight > 0:
            raise ValueError(
                f"positive_weight must be above 0, got {self.positive_weight:g}"
            )
        if self.samples < 1:
            raise ValueError(f"window_s={self.window_s:g} has no sample")

    @property
    def samples(self) -> int:
        """Samples of a window."""
        return round(self.window_s * self.mel.rate_hz)

    @property
    def frames(self) -> int:
        """Frames of a window."""
        return frame_count(self.samples, self.mel)

    @property
    def frame_s(self) -> float:
        """Seconds from one frame's middle to the next; the first one's is at 0."""
        return self.mel.hop / self.mel.rate_hz

    @property
    def input(self) -> ExampleInputConfig:
        """How a wave becomes what the model takes."""
        return ExampleInputConfig(kind="log_mel", mel=self.mel, top_db=self.top_db)


class Segmentation:
    """Task: find events in time, or in time and frequency.

    Batches hold `wave` int16 `[b, s]`, and of each event `label` int32 `[b, e]` (-1 for
    none), `start` and `stop` int32 `[b, e]` (samples) and, for masks, `sources` int16
    `[b, e, s]`, the event alone.
    """

    def __init__(self, model: ModelConfig, config: SegmentationConfig):
        """Checks that model and spectrograms fit.

        Raises:
          ValueError: They do not.
        """
        if isinstance(model, UNetConfig) and model.padding == "valid":
            raise ValueError(
                "padding='valid' leaves out the borders of a spectrogram: use 'same'"
            )
        self.model_config, self.config = model, config
        self.model = _MODULES[type(model)](model)

    def init(self, key: PRNGKey, batch: Batch) -> Mapping[str, PyTree]:
        """Variables; no value of the batch matters."""
        c = self.config
        return self.model.init(key, jnp.zeros((1, c.frames, c.mel.n_mels, 1)))

    def spectrogram(self, wave: Array) -> Float[Array, "b t f c"]:
        """What the model sees of waves.

        Args:
          wave: Int16 `[b, s]`, or float32 in units of full scale.

        Returns:
          Float32 `[b, t, f, 1]`, in [0, 1].

        Raises:
          ValueError: Waves have another length than a window.
        """
        c = self.config
        if wave.ndim != 2 or wave.shape[1] != c.samples:
            raise ValueError(
                f"the task takes windows of {c.samples} samples ({c.window_s:g} s at"
                f" {c.mel.rate_hz:g} Hz), got {tuple(wave.shape[1:])}"
            )
        return example_input(wave, c.input, (c.frames, c.mel.n_mels, 1))

    def target(self, batch: Batch) -> Float[Array, "b t *f v"]:
        """What is true of mixtures: `[b, t, f, v]` of masks, `[b, t, v]` of frames."""
        c = self.config
        own = jax.nn.one_hot(batch["label"], self.model_config.classes)  # b e v
        if c.target == "frames":
            middle = jnp.arange(c.frames) * c.mel.hop
            start, stop = batch["start"][..., None], batch["stop"][..., None]
            inside = (start <= middle) & (middle < stop)  # b e t
            return jnp.einsum("bet,bev->btv", inside.astype(jnp.float32), own).clip(
                0, 1
            )
        sources, wave = dequantised(batch["sources"]), dequantised(batch["wave"])
        # Events of one class are one: what it sounds like altogether.
        same = jnp.einsum("bev,bgv->beg", own, own)
        alike = jnp.einsum(
            "beg,bgs->bes", same, sources, precision=jax.lax.Precision.HIGHEST
        )
        mel = dataclasses.replace(c.mel, top_db=None)
        rest_db = log_mel(wave[:, None] - alike, mel)
        above = log_mel(alike, mel) > rest_db + c.criterion_db  # b e t f
        return jnp.einsum("betf,bev->btfv", above.astype(jnp.float32), own).clip(0, 1)

    def loss(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> LossOutput:
        """Cross-entropy and Dice of each mixture, weighted."""
        streams = ("dropout", "drop_path", "noise")
        x = self.spectrogram(batch["wave"])
        scores, state = self.model.apply(
            dict(variables),
            x,
            True,
            rngs=dict(zip(streams, jax.random.split(key, 3), strict=True)),
            mutable=[name for name in variables if name != "params"],
        )
        loss, parts = self._losses(self._reduced(scores), self.target(batch))
        return LossOutput(loss, parts, dict(state))

    def scores(
        self, variables: Mapping[str, PyTree], wave: Array
    ) -> Float[Array, "b t *f v"]:
        """Logits of windows, as `target`; a pure function, to be jitted."""
        x = self.spectrogram(wave)
        return self._reduced(self.model.apply(dict(variables), x))

    def evaluate(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> Mapping[str, Array]:
        """Loss `[b]`, and counts `[b, v]` that `summarise` makes figures of."""
        del key
        scores, target = self.scores(variables, batch["wave"]), self.target(batch)
        loss, parts = self._losses(scores, target)
        places = tuple(range(1, scores.ndim - 1))
        said, true = (scores > 0).astype(jnp.float32), target
        return {
            "loss": loss,
            **parts,
            "matched": (said * true).sum(axis=places),
            "true": true.sum(axis=places),
            "said": said.sum(axis=places),
        }

    def summarise(self, means: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Losses, and `iou` and `f1` of cells at the threshold 0.5.

        Means over the classes that are true or said anywhere; NaN without any. (See
        `sigjax.metrics.segmentation`.)
        """
        both, true, said = (means[name] for name in ("matched", "true", "said"))
        there = true + said > 0
        union = np.where(there, true + said - both, np.nan)
        whole = np.where(there, (true + said) / 2, np.nan)
        figures = {k: float(v) for k, v in means.items() if np.ndim(v) == 0}
        for name, below in (("iou", union), ("f1", whole)):
            each = (both / below)[there]
            figures[name] = float(each.mean()) if each.size else float("nan")
        return figures

    def _reduced(self, scores: Array) -> Array:
        c = self.config
        scores = scores + math.log(c.prior / (1 - c.prior))
        return scores if c.target == "mask" else scores.mean(axis=2)

    def _losses(self, scores: Array, target: Array) -> tuple[Array, dict[str, Array]]:
        c, rows = self.config, len(scores)
        parts = {}
        if c.cross_entropy:
            parts["cross_entropy"] = weighted_cross_entropy(
                scores, target, c.positive_weight
            )
        if c.dice:
            parts["dice"] = dice(scores, target)
        total = sum(
            (getattr(c, name) * value for name, value in parts.items()),
            jnp.zeros(rows),
        )
        return total, parts if len(parts) > 1 else {}
