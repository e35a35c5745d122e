"""A speech encoder out of its bundle: features of clips, of every layer."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.config import build
from sigjax.data.calls.buckets import BatchPlan, BucketConfig, plan
from sigjax.data.calls.reading import Normalise, ReadingConfig, Short, normalised
from sigjax.data.segments import fitted
from sigjax.inference.base import BundleError, SignalConfig
from sigjax.inference.sounds.waves import Waves, as_floats, checked
from sigjax.models.speech_encoder import (
    Moments,
    SpeechEncoder,
    SpeechEncoderConfig,
    SpeechEncoderOutput,
    functionals,
    merge,
)
from sigjax.nn.precision import ComputeDtype

__all__ = ["ChunkMerger", "ClipFrames", "SpeechEncoderModel"]


class ClipFrames(NamedTuple):
    """Frames of one clip, one every 20 ms.

    Attributes:
      cnn: Float32 `[t, c]`, after the convolutions on the wave.
      proj: Float32 `[t, d]`, after the projection.
      layers: Float32 `[l, t, d]`: what goes into block 0, and what every block gives.
      last: Float32 `[t, d]`, the last layer, after the last norm where there is one.
      logits: Float32 `[t, v]` of the CTC head; None without one.
    """

    cnn: np.ndarray
    proj: np.ndarray
    layers: np.ndarray
    last: np.ndarray
    logits: np.ndarray | None


class ChunkMerger:
    """Turns batches' moments into clips' features; chunks are put together in order."""

    def __init__(self, ddof: int = 0):
        """Takes `ddof` of `sigjax.models.speech_encoder.functionals`."""
        self._features = jax.jit(functools.partial(functionals, ddof=ddof))
        self._waiting: dict[int, dict[int, Moments]] = {}

    def add(
        self, row: np.ndarray, chunk: np.ndarray, chunks: np.ndarray, moments: Moments
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Takes a batch in.

        Args:
          row: Int `[b]`, number of each row's clip; -1 for none.
          chunk: Int `[b]`, which chunk of it.
          chunks: Int `[b]`, how many it has.
          moments: Of the batch.

        Yields:
          Number and features, float32 `[l, 2 d]`, of each clip that is now complete.
        """
        whole = np.asarray(self._features(moments))
        parts: Moments | None = None
        for at, number in enumerate(row.tolist()):
            if number < 0:
                continue
            if chunks[at] == 1:
                yield number, whole[at]
                continue
            if parts is None:
                parts = jax.tree.map(np.asarray, moments)
            own = self._waiting.setdefault(number, {})
            own[int(chunk[at])] = jax.tree.map(lambda x, at=at: x[at : at + 1], parts)
            if len(own) == chunks[at]:
                ordered = [own[i] for i in sorted(self._waiting.pop(number))]
                total = functools.reduce(merge, ordered)
                yield number, np.asarray(self._features(total))[0]


class SpeechEncoderModel:
    """wav2vec 2.0, HuBERT, WavLM or AVES, ready for use.

    Attributes:
      params: Float32 parameters.
      config: Architecture.
      signal: What it takes in.
      normalise: How it wants whole clips normalised: `"peak"`, `"zscore"` or `"none"`.
      labels: Tokens of its CTC head in output order; empty without one.
      info: The whole of `bundle.json`.
    """

    def __init__(
        self,
        params: Any,
        info: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
        *,
        dtype: ComputeDtype = "auto",
    ):
        """Builds the network that `info` describes.

        Raises:
          BundleError: Its parts do not fit together.
        """
        del state  # It has none.
        self.params = jax.tree.map(jnp.asarray, params)
        self.info = info
        self.signal = build(SignalConfig, info["signal"], path="signal")
        self.config = build(
            SpeechEncoderConfig, info["model_config"], path="model_config"
        )
        self.labels = tuple(info.get("labels") or ())
        if self.labels and len(self.labels) != self.config.ctc_classes:
            raise BundleError(
                f"the bundle names {len(self.labels)} tokens but its head has"
                f" {self.config.ctc_classes}"
            )
        reading = build(ReadingConfig, info["preprocessing"], path="preprocessing")
        self.normalise: Normalise = reading.normalise
        self._module = SpeechEncoder(self.config, dtype)

    def __repr__(self) -> str:
        """One line: what goes in and what comes out."""
        c = self.config
        count = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        head = f", CTC head of {c.ctc_classes} tokens" if c.ctc_classes else ""
        return (
            f"SpeechEncoderModel({count:,} parameters; {c.kind}, {c.depth} blocks"
            f"{head}; embed: clips at {self.rate_hz:,} Hz, {self.normalise} ->"
            f" [clips, {c.depth + 1}, {2 * c.width}])"
        )

    @property
    def rate_hz(self) -> int:
        """Sampling rate of the waves that it takes."""
        return round(self.signal.rate_hz)

    def embed(
        self,
        waves: Waves,
        *,
        rate_hz: float | None = None,
        normalise: Normalise | None = None,
        short: Short = "pad",
        ddof: int = 0,
        proj: bool = False,
        buckets: BucketConfig | None = None,
    ) -> np.ndarray:
        """Mean and standard deviation over frames, of every layer of each clip.

        Clips are batched by length; what a clip gives depends on it alone. Clips above
        `buckets.longest` (30 s) are read in chunks, between which no frame looks.

        Args:
          waves: Float `[s]`, one clip; `[n s]`; or a sequence of `[s]` of any lengths.
            In units of full scale, or int16.
          rate_hz: Their rate, from which they are resampled; by default the model's.
          normalise: By default as the weights were trained.
          short: What becomes of clips under two frames (720 samples): `"pad"` repeats
            them to that; `"tile5000"` repeats whatever is shorter than 5000 samples;
            `"error"`.
          ddof: 1 for the standard deviation of `torch.std`, as the paper's code has it.
          proj: Whether the projected frames come before layer 0.
          buckets: Shapes of batches.

        Returns:
          Float32 `[n, l, 2 d]`, of layers 0 .. L; means, then standard deviations.

        Raises:
          sigjax.data.audio.AudioError: Naming the wave: it is empty, has several
            channels, or samples that are no numbers.
          BundleError: A clip is too short and `short` is `"error"`.
        """
        clips = self._clips(waves, rate_hz, normalise, short)
        shapes = buckets or BucketConfig()
        plans = plan([len(clip) for clip in clips], shapes)
        layers = self.config.depth + 1 + proj
        found = np.zeros((len(clips), layers, 2 * self.config.width), np.float32)
        merger = ChunkMerger(ddof)
        for batch in plans:
            moments = self.moments(*_filled(batch, clips, shapes), proj=proj)
            done = merger.add(batch.row, batch.chunk, batch.chunks, moments)
            for number, features in done:
                found[number] = features
        return found

    def layers(
        self,
        wave: np.ndarray,
        *,
        rate_hz: float | None = None,
        normalise: Normalise | None = None,
        short: Short = "pad",
    ) -> ClipFrames:
        """Frames of all layers of one clip, taken in one piece.

        Args:
          wave: Float `[s]`, or int16. Memory grows with the square of its length.
          rate_hz: See `embed`, and for what is raised.
          normalise: Likewise.
          short: Likewise.
        """
        (clip,) = self._clips([wave], rate_hz, normalise, short)
        width = _width(len(clip), BucketConfig())
        padded = np.pad(clip, (0, width - len(clip)))[None]
        found = self.apply(padded, np.array([len(clip)], np.int32))
        count = int(found.frames[0])

        def own(x: jax.Array) -> np.ndarray:
            return np.asarray(x[0, :count].astype(jnp.float32))

        return ClipFrames(
            cnn=own(found.cnn),
            proj=own(found.proj),
            layers=np.stack([own(layer) for layer in found.layers]),
            last=own(found.last),
            logits=None if found.logits is None else own(found.logits),
        )

    def apply(
        self, x: np.ndarray | jax.Array, samples: np.ndarray | jax.Array
    ) -> SpeechEncoderOutput:
        """Frames of all layers of a batch; jitted, compiled once per shape.

        Args:
          x: Float `[b, s]` at the model's rate, normalised, zeros behind each clip.
          samples: Int `[b]`, how many are the clip's.
        """
        return self._apply(self.params, *_batch(x, samples))

    def moments(
        self,
        x: np.ndarray | jax.Array,
        samples: np.ndarray | jax.Array,
        *,
        proj: bool = False,
    ) -> Moments:
        """Means and sums of squares of every layer of a batch; see `apply`."""
        return self._moments(self.params, *_batch(x, samples), proj)

    @functools.cached_property
    def _apply(self) -> Any:
        return jax.jit(
            lambda params, x, n: self._module.apply({"params": params}, x, n)
        )

    @functools.cached_property
    def _moments(self) -> Any:
        module = self._module

        def moments(params, x, samples, proj):
            return module.apply(
                {"params": params},
                *(x, samples),
                proj=proj,
                method=SpeechEncoder.layer_moments,
            )

        return jax.jit(moments, static_argnums=3)

    def _clips(
        self,
        waves: Waves,
        rate_hz: float | None,
        normalise: Normalise | None,
        short: Short,
    ) -> list[np.ndarray]:
        """Waves as the encoder takes them, as `sigjax.data.calls` reads them."""
        reading = ReadingConfig(
            normalise=normalise or self.normalise, rate_hz=self.rate_hz, short=short
        )
        rows, _ = checked(
            waves, rate_hz=rate_hz or self.rate_hz, samples=reading.min_samples
        )
        return [_clip(i, row, rate_hz, reading) for i, row in enumerate(rows)]


def _clip(
    number: int, wave: np.ndarray, rate_hz: float | None, reading: ReadingConfig
) -> np.ndarray:
    wave = as_floats(wave)
    if rate_hz is not None and rate_hz != reading.rate_hz:
        import soxr

        wave = soxr.resample(wave, rate_hz, reading.rate_hz, quality="HQ")
        if not len(wave):
            raise BundleError(f"wave {number} is shorter than a sample")
    wave = normalised(wave, reading.normalise)
    if len(wave) >= reading.min_samples:
        return wave
    if reading.short == "error":
        raise BundleError(
            f"wave {number} has {len(wave)} samples at {reading.rate_hz:,} Hz, fewer"
            f" than {reading.min_samples}: leave it out, or choose what becomes of"
            " short clips: pad or tile5000"
        )
    return fitted(wave, 0, reading.min_samples, "tile")


def _width(samples: int, shapes: BucketConfig) -> int:
    """One of few widths, each compiled once for all calls; padding changes nothing."""
    widths = (*shapes.widths, -(-samples // 16000) * 16000)
    return next(width for width in widths if width >= samples)


def _filled(
    batch: BatchPlan, clips: Sequence[np.ndarray], shapes: BucketConfig
) -> tuple[np.ndarray, np.ndarray]:
    """Waves `[b, s]` of a planned batch, and how many samples of each are real."""
    width = _width(batch.width, shapes)
    wave = np.zeros((len(batch.row), width), np.float32)
    for at, (row, start, count) in enumerate(
        zip(batch.row, batch.start, batch.samples, strict=True)
    ):
        if row >= 0:
            wave[at, :count] = clips[row][start : start + count]
    return wave, batch.samples


def _batch(x: Any, samples: Any) -> tuple[jax.Array, jax.Array]:
    x, samples = jnp.asarray(x, jnp.float32), jnp.asarray(samples, jnp.int32)
    if x.ndim != 2 or samples.shape != x.shape[:1]:
        raise BundleError(
            "expected waves [batch, samples] and a number of samples of each, got"
            f" shapes {tuple(x.shape)} and {tuple(samples.shape)}"
        )
    return x, samples
