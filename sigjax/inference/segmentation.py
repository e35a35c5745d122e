"""A segmenter of sound out of its bundle: which events there are, and when."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.config import build
from sigjax.data.segments import fitted
from sigjax.inference.base import BundleError
from sigjax.inference.overlap import FrameMeans
from sigjax.inference.sound_model import (
    SoundWindowModel,
    floating,
    resampled,
    rows_for,
)
from sigjax.metrics.segmentation import frame_score, runs, tidied
from sigjax.models.encoder_decoder import EncoderDecoderConfig
from sigjax.models.fcn import FcnConfig
from sigjax.models.unet import UNetConfig
from sigjax.tasks.segmentation import ModelConfig, Segmentation, SegmentationConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class EventRule:
    """How events are made of scores.

    Attributes:
      threshold: A cell is in an event from this probability on.
      least_bands: Of masks: a class is active in a frame where so many bands are.
      gap_s: Pauses that are no longer do not end an event.
      least_s: Shorter events are left out.
    """

    threshold: float = 0.5
    least_bands: int = 4
    gap_s: float = 0.06
    least_s: float = 0.06

    def __post_init__(self):
        """Refuses values without meaning."""
        if not 0 < self.threshold < 1 or self.least_bands < 1:
            raise ValueError(
                "threshold must be in (0, 1) and least_bands at least 1, got"
                f" {self.threshold:g} and {self.least_bands}"
            )
        if min(self.gap_s, self.least_s) < 0:
            raise ValueError("gap_s and least_s must not be negative")

    def active(self, score: np.ndarray, frame_s: float) -> np.ndarray:
        """Frames in an event, bool `[t, v]`, of scores of frames; NaN is in none."""
        return tidied(
            np.nan_to_num(score) >= self.threshold,
            gap=round(self.gap_s / frame_s),
            least=round(self.least_s / frame_s),
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmenterConfig:
    """What a bundle of a segmenter holds under `model_config`.

    Attributes:
      task: What the model sees of a wave.
      unet: The architecture, if it is a U-Net.
      fcn: Likewise.
      encoder_decoder: Likewise.
      classes: Names, in the order of the scores.
      rule: How events are made of scores.
    """

    task: SegmentationConfig
    unet: UNetConfig | None = None
    fcn: FcnConfig | None = None
    encoder_decoder: EncoderDecoderConfig | None = None
    classes: tuple[str, ...]
    rule: EventRule

    @property
    def model(self) -> ModelConfig:
        """The one architecture that is given."""
        (found,) = (
            m for m in (self.unet, self.fcn, self.encoder_decoder) if m is not None
        )
        return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class FoundEvent:
    """An event.

    Attributes:
      label: Its class.
      start_s: Where it begins.
      end_s: Where it ends.
      score: Mean probability of its frames.
    """

    label: str
    start_s: float
    end_s: float
    score: float


class SegmenterModel(SoundWindowModel):
    """A network of masks or frames with class names, ready for use.

    Attributes:
      params: Float32 parameters.
      state: Other collections, such as running statistics.
      config: Architecture, task and rule.
      signal: What it takes in.
      classes: Names, in the order of the scores.
      task: What it was trained to do.
      info: The whole of `bundle.json`.
    """

    def __init__(
        self,
        params: Any,
        info: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
    ):
        """Builds what `info` describes.

        Raises:
          BundleError: Its parts do not fit together.
        """
        super().__init__(params, info)
        self.state = jax.tree.map(jnp.asarray, dict(state or {}))
        self.config = build(SegmenterConfig, info["model_config"], path="model_config")
        self.classes = self.config.classes
        if len(self.classes) != self.config.model.classes:
            raise BundleError(
                f"the bundle names {len(self.classes)} classes but its model has"
                f" {self.config.model.classes}"
            )
        self.task = Segmentation(self.config.model, self.config.task)

    def __repr__(self) -> str:
        """One line: what goes in and what comes out."""
        return (
            f"SegmenterModel({self._count():,} parameters; segment: [samples] at"
            f" {self.rate_hz} Hz -> events of {len(self.classes)} classes, every"
            f" {1000 * self.frame_s:g} ms)"
        )

    @property
    def rate_hz(self) -> int:
        """Sampling rate of the waves that it takes."""
        return round(self.config.task.mel.rate_hz)

    @property
    def frame_s(self) -> float:
        """Seconds from one frame to the next."""
        return self.config.task.frame_s

    def probabilities(self, wave: np.ndarray | jax.Array) -> jax.Array:
        """Of a batch of windows; jitted, compiled once per shape.

        Args:
          wave: Int16 or floating `[b, s]`; `s` is `samples`.

        Returns:
          Float32 `[b, t, v]`, or `[b, t, f, v]` of masks.

        Raises:
          BundleError: Windows have another length.
        """
        variables = {"params": self.params, **self.state}
        return self._probabilities(variables, self._windows(wave))

    @functools.cached_property
    def _probabilities(self) -> Any:
        return jax.jit(lambda v, wave: jax.nn.sigmoid(self.task.scores(v, wave)))

    def frames(self, cells: np.ndarray | jax.Array) -> np.ndarray:
        """Scores of frames `[b, t, v]`, from what `probabilities` gave."""
        cells = np.asarray(cells)
        if self.config.task.target == "frames":
            return cells
        return frame_score(cells, self.config.rule.least_bands)

    def judge(
        self, waves: Sequence[np.ndarray], batch_size: int | None = None
    ) -> np.ndarray:
        """Scores of frames of windows.

        Args:
          waves: Of a window each, or shorter, which zeros fill up; int16 or floating.
          batch_size: Windows at a time.

        Returns:
          Float32 `[n, t, v]`.
        """
        size = batch_size or (8 if jax.default_backend() == "cpu" else 64)
        found = []
        for first in range(0, len(waves), size):
            some = [floating(wave) for wave in waves[first : first + size]]
            batch = np.zeros((rows_for(len(some), size), self.samples), np.float32)
            for row, wave in enumerate(some):
                batch[row] = fitted(wave, 0, self.samples, "pad")
            found.append(self.frames(self.probabilities(batch))[: len(some)])
        if not found:
            return np.empty((0, self.config.task.frames, len(self.classes)), np.float32)
        return np.concatenate(found)

    def segment(
        self,
        wave: np.ndarray,
        *,
        rate_hz: float | None = None,
        batch_size: int | None = None,
    ) -> list[FoundEvent]:
        """The events of a wave of any length, in windows that overlap by half.

        Args:
          wave: Int16 `[s]`, or floating in units of full scale.
          rate_hz: Its rate, from which it is resampled; by default the model's.
          batch_size: Windows at a time.

        Raises:
          BundleError: The wave has several channels, or no samples.
        """
        wave = np.asarray(wave)
        if wave.ndim != 1 or not len(wave):
            raise BundleError(f"expected one channel, [samples], got {wave.shape}")
        wave = resampled(floating(wave), rate_hz, self.rate_hz)
        hop = self.config.task.mel.hop
        half = max(1, self.samples // 2 // hop)
        last = -(-max(len(wave) - self.samples, 0) // hop)
        starts = [*range(0, last, half), last]
        windows = [wave[start * hop :][: self.samples] for start in starts]
        means = FrameMeans(len(self.classes))
        for start, score in zip(starts, self.judge(windows, batch_size), strict=True):
            means.add(start, score)
        return self.events(means.mean(1 + len(wave) // hop), len(wave) / self.rate_hz)

    def events(
        self, score: np.ndarray, duration_s: float, threshold: float = 0.0
    ) -> list[FoundEvent]:
        """Events of frames' scores `[t, v]`, by onset; see `EventRule`.

        Args:
          score: NaN where nothing is known.
          duration_s: No event ends later.
          threshold: In place of the rule's; 0 for that.
        """
        rule = self.config.rule
        if threshold:
            rule = dataclasses.replace(rule, threshold=threshold)
        found = []
        every = runs(rule.active(score, self.frame_s))
        for label, start, stop in zip(*every, strict=True):
            # A frame stands for half a hop before and behind its middle.
            low, high = ((n - 0.5) * self.frame_s for n in (start, stop))
            some = score[start:stop, label]
            found.append(
                FoundEvent(
                    label=self.classes[label],
                    start_s=round(min(max(low, 0.0), duration_s), 4),
                    end_s=round(min(high, duration_s), 4),
                    score=round(float(np.nanmean(some)), 4),
                )
            )
        return sorted(found, key=lambda e: (e.start_s, e.end_s, e.label))
