"""A recogniser of audio events out of its bundle: what is heard in a clip, and when."""

import dataclasses
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.data.segments import fitted, window_starts
from sigjax.inference.base import BundleError
from sigjax.inference.event_config import EventModelConfig, config_of
from sigjax.inference.sound_model import (
    SoundWindowModel,
    floating,
    resampled,
    rows_for,
)
from sigjax.tasks.audio_events import HEADS, AudioEvents

__all__ = ["AudioEventsModel", "ClipEvents", "EventModelConfig"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipEvents:
    """What is heard in a clip.

    Attributes:
      classes: Names of each head's classes.
      windows: Float32 `[n, v]` by head: probabilities in each window.
      start_s: Float `[n]`, where each window begins.
      end_s: Float `[n]`, where it ends, or the clip does.
    """

    classes: Mapping[str, tuple[str, ...]]
    windows: Mapping[str, np.ndarray]
    start_s: np.ndarray
    end_s: np.ndarray

    @property
    def probability(self) -> dict[str, np.ndarray]:
        """Float32 `[v]` by head: the mean over windows."""
        return {head: value.mean(axis=0) for head, value in self.windows.items()}

    def top(self, count: int = 5, head: str = "") -> list[tuple[str, float]]:
        """The likeliest classes and their probabilities, highest first.

        Args:
          count: How many at most.
          head: Which head's; the first by default.
        """
        head = head or next(iter(self.classes))
        mean = self.probability[head]
        order = np.argsort(-mean, kind="stable")[:count]
        return [(self.classes[head][i], float(mean[i])) for i in order]

    def __str__(self) -> str:
        """A line for each head."""
        several = len(self.classes) > 1
        return "\n".join(
            (f"{head}: " if several else "")
            + ", ".join(f"{name} {p:.2f}" for name, p in self.top(head=head))
            for head in self.classes
        )


class AudioEventsModel(SoundWindowModel):
    """A backbone and heads with class names, ready for use.

    Attributes:
      params: Float32 parameters, `backbone` and `head`, or `head_verb`, `head_noun`.
      state: The collection `statistics`.
      config: Architecture and task.
      signal: What it takes in.
      classes: Names of each head's classes, in the order of the scores; empty for a
        backbone without a head.
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
        self.config = config_of(info, params)
        task, model = self.config.task, self.config.model
        self.classes = dict(self.config.classes)
        counts = tuple((head, len(names)) for head, names in self.classes.items())
        if counts != model.heads:
            raise BundleError(
                f"the bundle names classes of {dict(counts)} but its model has the"
                f" heads {dict(model.heads)}"
            )
        if not state:
            mean, std = task.mean or 0.0, task.std or 1.0
            state = {"statistics": {"mean": np.float32(mean), "std": np.float32(std)}}
        self.state = jax.tree.map(jnp.asarray, dict(state))
        # A backbone alone has no target: its features are all that is asked for.
        self._task = AudioEvents(model, task) if model.heads else None

    def __repr__(self) -> str:
        """One line: what goes in and what comes out."""
        heads = ", ".join(f"{len(v)} {k}s" for k, v in self.classes.items())
        return (
            f"AudioEventsModel({self._count():,} parameters; predict: [samples] at"
            f" {self.rate_hz} Hz, windows of {self.window_s:g} s ->"
            f" {heads or 'features alone'})"
        )

    @property
    def rate_hz(self) -> int:
        """Sampling rate of the waves that it takes."""
        return round(self.config.task.fbank.expected_hz)

    @property
    def multi_label(self) -> bool:
        """Whether probabilities of classes stand each on its own."""
        return self.config.task.target == "multi"

    def predict(
        self,
        wave: np.ndarray,
        *,
        rate_hz: float | None = None,
        hop_s: float | None = None,
        batch_size: int | None = None,
    ) -> ClipEvents:
        """What is heard in a clip of any length.

        Longer clips are cut into windows, whose probabilities are averaged; the last
        one reaches back. Shorter ones are padded or repeated, as in training.

        Args:
          wave: Int16 `[s]`, or floating in units of full scale.
          rate_hz: Its rate, from which it is resampled; by default the model's.
          hop_s: From one window to the next; by default they do not overlap.
          batch_size: Windows at a time; by default what suits the device.

        Raises:
          BundleError: The wave has several channels, is shorter than a frame, or holds
            what is no number; or the model has no head.
        """
        (found,) = self.predict_all(
            [resampled(wave, rate_hz, self.rate_hz)],
            hop_s=hop_s,
            batch_size=batch_size,
        )
        return found

    def predict_all(
        self,
        waves: Iterable[np.ndarray],
        *,
        hop_s: float | None = None,
        batch_size: int | None = None,
    ) -> Iterator[ClipEvents]:
        """What is heard in each of many clips, whose windows share batches.

        Args:
          waves: At the model's rate; see `predict`. Read one by one.
          hop_s: See `predict`.
          batch_size: See `predict`.

        Yields:
          One for each wave, in their order.
        """
        size = batch_size or _batch_size()
        assert self._scores  # Refuses a backbone without a head.
        waiting: list[tuple[int, np.ndarray]] = []  # window starts of each clip
        windows: list[tuple[np.ndarray, int]] = []
        done: dict[str, list[np.ndarray]] = {head: [] for head in self.classes}

        def run(least: int) -> None:
            while len(windows) >= max(least, 1):
                some = windows[:size]
                del windows[:size]
                for head, value in self._run(some, size).items():
                    done[head].extend(value)

        def ready() -> Iterator[ClipEvents]:
            while waiting and len(next(iter(done.values()))) >= len(waiting[0][1]):
                length, starts = waiting.pop(0)
                yield self._clip(length, starts, done)

        for wave in waves:
            wave = _checked(wave, self.config.task.fbank.frame_samples)
            starts = self._starts(len(wave), hop_s)
            waiting.append((len(wave), starts))
            windows += [self.fitted(wave[first:]) for first in starts]
            run(size)
            yield from ready()
        run(1)
        yield from ready()

    def logits(
        self, wave: np.ndarray | jax.Array, valid: np.ndarray | None = None
    ) -> dict[str, jax.Array]:
        """Scores of a batch of windows; jitted, compiled once per shape.

        Args:
          wave: Int16 or floating `[b, s]`; `s` is `samples`.
          valid: Int `[b]`, real samples; all without it.

        Returns:
          Float32 `[b, v]` by head.
        """
        return self._scores(self._variables(), *self._batch(wave, valid))[0]

    def features(
        self, wave: np.ndarray | jax.Array, valid: np.ndarray | None = None
    ) -> jax.Array:
        """What the heads see of a batch of windows, float32 `[b, d]`; see `logits`."""
        return self._features(self._variables(), *self._batch(wave, valid))

    def probabilities(
        self, wave: np.ndarray | jax.Array, valid: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        """Likewise probabilities: of several labels each on its own, else of one."""
        found = self._scores(self._variables(), *self._batch(wave, valid))[1]
        return {head: np.asarray(value) for head, value in found.items()}

    def judge(
        self, waves: Sequence[np.ndarray], batch_size: int | None = None
    ) -> dict[str, np.ndarray]:
        """Probabilities of windows.

        Args:
          waves: Of a window each, or shorter: int16 or floating, at the model's rate.
          batch_size: Windows at a time; by default what suits the device.

        Returns:
          Float32 `[n, v]` by head.

        Raises:
          BundleError: As `predict`.
        """
        size, least = batch_size or _batch_size(), self.config.task.fbank.frame_samples
        found: dict[str, list[np.ndarray]] = {head: [] for head in self.classes}
        for first in range(0, len(waves), size):
            some = [
                self.fitted(_checked(w, least)) for w in waves[first : first + size]
            ]
            for head, value in self._run(some, size).items():
                found[head].append(value)
        return {
            head: np.concatenate(parts)
            if parts
            else np.empty((0, len(self.classes[head])), np.float32)
            for head, parts in found.items()
        }

    @functools.cached_property
    def _scores(self) -> Any:
        task = self._task
        if task is None:
            raise BundleError(
                "this bundle holds a backbone without a head: train one with"
                " launch.finetune, encoder.weights=BUNDLE; its features are there"
            )

        @jax.jit
        def scores(variables, wave, valid):
            logits = task.scores(variables, wave, valid)
            return logits, {k: task.probabilities(v) for k, v in logits.items()}

        return scores

    @functools.cached_property
    def _features(self) -> Any:
        task = self._task or _featured(self.config)
        return jax.jit(task.features)

    def _variables(self) -> dict[str, Any]:
        return {"params": self.params, **self.state}

    def _batch(self, wave: Any, valid: Any) -> tuple[jax.Array, jax.Array]:
        wave = self._windows(wave)
        if valid is None:
            valid = np.full(len(wave), self.samples)
        return wave, jnp.asarray(valid, jnp.int32)

    def _starts(self, length: int, hop_s: float | None) -> np.ndarray:
        """First samples of the windows of a clip, as an evaluation cuts them."""
        hop = self.samples if hop_s is None else round(hop_s * self.rate_hz)
        try:
            return window_starts(np.array([length]), self.samples, hop)[1]
        except ValueError as error:
            raise BundleError(f"hop_s={hop_s}: {error}") from error

    def fitted(self, wave: np.ndarray) -> tuple[np.ndarray, int]:
        """A window of what begins with it, and how many of its samples are real."""
        short = self.config.short
        valid = self.samples if short == "tile" else min(self.samples, len(wave))
        return fitted(wave, 0, self.samples, short), valid

    def _run(
        self, some: Sequence[tuple[np.ndarray, int]], size: int
    ) -> dict[str, np.ndarray]:
        """Probabilities of at most `size` windows that are fitted."""
        rows = rows_for(len(some), size)
        wave = np.zeros((rows, self.samples), np.float32)
        valid = np.full(rows, self.samples, np.int32)
        for row, (own, length) in enumerate(some):
            wave[row], valid[row] = own, length
        found = self.probabilities(wave, valid)
        return {head: value[: len(some)] for head, value in found.items()}

    def _clip(
        self, length: int, starts: np.ndarray, done: dict[str, list[np.ndarray]]
    ) -> ClipEvents:
        found = {}
        for head, values in done.items():
            found[head] = np.stack(values[: len(starts)])
            del values[: len(starts)]
        return ClipEvents(
            classes=self.classes,
            windows=found,
            start_s=starts / self.rate_hz,
            end_s=np.minimum(starts + self.samples, length) / self.rate_hz,
        )


def _featured(config: EventModelConfig) -> AudioEvents:
    """A task with a head that nobody asks, for a backbone alone."""
    head = HEADS[config.task.target][0]
    model = dataclasses.replace(config.model, heads=((head, 1),))
    return AudioEvents(model, config.task)


def _checked(wave: np.ndarray, least: int) -> np.ndarray:
    """Float32 `[s]`.

    Raises:
      BundleError: It is no wave, or none that can be used.
    """
    wave = np.asarray(wave)
    if wave.ndim != 1:
        raise BundleError(
            f"expected one channel, [samples], got {wave.shape}: choose one or take"
            " their mean"
        )
    if len(wave) < least:
        raise BundleError(
            f"a clip of {len(wave)} samples is shorter than a frame of {least}"
        )
    wave = floating(wave)
    if not np.isfinite(wave).all():
        raise BundleError("the wave holds samples that are no finite numbers")
    return wave


def _batch_size() -> int:
    """Windows at a time: what keeps an accelerator busy, and fits a CPU's caches."""
    return 4 if jax.default_backend() == "cpu" else 64
