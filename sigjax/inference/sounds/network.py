"""A trained network of machine sounds on waves of any length.

A wave is cut into segments and they are averaged exactly as in an evaluation
(`sigjax.data.segments`, `sigjax.evals.sound_embedding`), so that a clip's
score does not depend on who asks.
"""

import dataclasses
import operator
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.config import ConfigError, build
from sigjax.evals.anomaly.per_section import Bank
from sigjax.inference.base import BundleError, SignalConfig
from sigjax.inference.sounds.waves import (
    Waves,
    as_floats,
    checked,
    segment,
    segment_starts,
)
from sigjax.models.frame_autoencoder import FrameAutoencoderConfig
from sigjax.models.mobilenet import MobileNetV2Config
from sigjax.models.section_classifier import SectionClassifierConfig
from sigjax.models.spectral_branches import SpectralBranchesConfig
from sigjax.signal.mel import MelConfig, log_mel
from sigjax.signal.stft import stft_magnitude
from sigjax.tasks.frame_reconstruction import (
    FrameReconstruction,
    FrameReconstructionConfig,
)
from sigjax.tasks.section_id import SectionIdConfig, SectionIdentification
from sigjax.tasks.sound_input import dequantised
from sigjax.typing import PyTree

SoundTask = SectionIdentification | FrameReconstruction
# What back-ends on an embedding get: the task's; an autoencoder's `profile`; or the
# wave's `spectrum`, of which the network says nothing.
Space = Literal["embedding", "profile", "spectrum"]

MODELS: Mapping[str, type] = {
    "dual_block": SectionClassifierConfig,
    "mobilenet": MobileNetV2Config,
    "branches": SpectralBranchesConfig,
    "frame_autoencoder": FrameAutoencoderConfig,
}
# Of the magnitudes of a model that takes waves.
N_FFT = 1024


class Embedded(NamedTuple):
    """What the network said of waves; give it in their stead to ask more than once.

    Attributes:
      columns: By name, `[n ...]` each: `embedding` and `logits` of a classifier; of an
        autoencoder `embedding` (the mean squared error), `profile` (mean and standard
        deviation of each band's residual). Where a back-end reads them also `residual`
        of an autoencoder and `spectrum`, see `spectrum_mel`.
      remark: Of each wave: silent, clipped, repeated because it is short; or `""`.
    """

    columns: Mapping[str, np.ndarray]
    remark: tuple[str, ...]

    def __len__(self) -> int:
        """Waves."""
        return len(self.remark)

    def take(self, rows: Any) -> "Embedded":
        """Those of an index."""
        columns = {name: column[rows] for name, column in self.columns.items()}
        return Embedded(columns, tuple(np.asarray(self.remark, object)[rows]))

    def bank(
        self,
        machine: str,
        section: str,
        domain: Any = None,
        *,
        space: Space,
        scaling: np.ndarray | None = None,
    ) -> Bank:
        """All of them as one section's clips, for back-ends.

        Args:
          machine: Of all.
          section: Likewise.
          domain: Of all, or of each.
          space: The column that is the embedding.
          scaling: See `MachineModel`.
        """
        count = len(self)
        names = ("logits", "residual")
        given = {name: self.columns[name] for name in names if name in self.columns}
        given["embedding"] = self.columns[space]
        if scaling is not None:
            given["embedding"] = (given["embedding"] - scaling[0]) / scaling[1]
        return Bank(
            machine=[machine] * count,
            section=[section] * count,
            domain=[domain or ""] * count if isinstance(domain, str | None) else domain,
            **given,
        )


class SoundNetwork:
    """A task and its trained variables.

    Attributes:
      task: Classifier or autoencoder.
      variables: `params` and other collections, on the device.
      rate_hz: Sampling rate of waves.
      clip_s: Length of a segment.
      samples: Likewise.
      space: Which column tells sounds apart.
    """

    def __init__(
        self, task: SoundTask, variables: Mapping[str, PyTree], *, clip_s: float
    ):
        """Compiles nothing yet.

        Args:
          task: Of the variables.
          variables: As trained.
          clip_s: Length of what a clip is cut into, seconds.
        """
        self.task = task
        self.variables = {
            name: jax.tree.map(jnp.asarray, value)
            for name, value in variables.items()
            if name != "centres"  # of the loss alone
        }
        self.rate_hz, self.clip_s = _rate_of(task), clip_s
        self.samples = round(clip_s * self.rate_hz)
        frames = isinstance(task, FrameReconstruction)
        self.space: Space = "profile" if frames else "embedding"
        self._run = jax.jit(task.residuals if frames else task.embed)
        self._levels = jax.jit(self._level)
        self._spectrum = jax.jit(self._statistics)

    @property
    def is_autoencoder(self) -> bool:
        """Whether it reconstructs rather than classifies."""
        return isinstance(self.task, FrameReconstruction)

    @property
    def metric(self) -> str:
        """Distance between sounds: of classifiers the angle, else the length."""
        return "euclidean" if self.is_autoencoder else "cosine"

    @property
    def spectrum_mel(self) -> MelConfig:
        """Of `spectrum`: mean and standard deviation over time of 64 log-mel bands."""
        return MelConfig(rate_hz=self.rate_hz, n_mels=64)

    def embed(self, waves: Waves, *, also: Collection[str] = ()) -> Embedded:
        """What the network says of waves.

        Args:
          waves: See `sigjax.inference.sounds.waves.checked`.
          also: `"residual"` keeps an autoencoder's residuals, 0.8 MB for each 10 s;
            `"spectrum"` takes the waves' own.

        Raises:
          sigjax.data.audio.AudioError: Likewise.
        """
        rows, remark = checked(waves, rate_hz=self.rate_hz, samples=self.samples)
        first, segments = self._cut(rows)
        counts = np.diff([*first, len(segments)])
        parts: dict[str, list[np.ndarray]] = {}
        for out in self._batches(segments):
            for name, value in self._columns(out, "residual" in also).items():
                parts.setdefault(name, []).append(value)
        if "spectrum" in also:
            parts["spectrum"] = list(self._batches(segments, self._spectrum))
        found = {name: np.concatenate(part) for name, part in parts.items()}
        columns = {}
        for name, values in found.items():
            mean = name in ("embedding", "profile", "spectrum")
            function = _mean if mean else _side_by_side
            columns[name] = function(values, counts)
        return Embedded(columns, remark)

    def levels(self, waves: Waves) -> np.ndarray:
        """Mean spectrum of waves: float32 `[n f]`.

        Of a log-mel model dB in each band, else the STFT's magnitude in each bin.
        """
        rows, _ = checked(waves, rate_hz=self.rate_hz, samples=self.samples)
        first, segments = self._cut(rows)
        counts = np.diff([*first, len(segments)])
        parts = list(self._batches(segments, self._levels))
        return _mean(np.concatenate(parts), counts).astype(np.float32)

    def residuals(self, segments: np.ndarray) -> np.ndarray:
        """An autoencoder's residuals of segments: float32 `[b n p]`."""
        return np.concatenate(list(self._batches(list(segments))))

    def _cut(self, rows: Sequence[np.ndarray]) -> tuple[list[int], list[np.ndarray]]:
        """First segment of each wave, and all segments, float32 `[samples]`."""
        first, segments = [], []
        for wave in rows:
            first.append(len(segments))
            wave = as_floats(wave)
            for start in segment_starts(len(wave), self.samples):
                segments.append(segment(wave, int(start), self.samples))
        return first, segments

    def _batches(self, segments: Sequence[np.ndarray], function: Any = None):
        function = function or self._run
        # One window at a time is what a stream brings.
        size = 1 if len(segments) == 1 else _batch_size()
        for at in range(0, len(segments), size):
            some = list(segments[at : at + size])
            # A last batch of the same shape compiles nothing anew.
            full = some + [some[0]] * (size - len(some))
            out = jax.device_get(function(self.variables, np.stack(full)))
            kept = slice(len(some))
            yield jax.tree.map(operator.itemgetter(kept), out)

    def _columns(self, out: Any, residuals: bool) -> dict[str, np.ndarray]:
        if not isinstance(self.task, FrameReconstruction):
            return {"embedding": out.embedding, "logits": out.logits}
        residual = out.reshape(len(out), -1, self.task.config.mel.n_mels)
        # The mean over a vector's values, in float64 as in an evaluation.
        error = np.square(out, dtype=np.float64).mean(axis=(1, 2))
        spread = [residual.mean(axis=1), residual.std(axis=1)]
        found = {"embedding": error[:, None]}
        found["profile"] = np.concatenate(spread, axis=1)
        return found | ({"residual": residual} if residuals else {})

    def _statistics(self, variables: Any, wave: jax.Array) -> jax.Array:
        del variables
        x = log_mel(dequantised(wave), self.spectrum_mel)
        return jnp.concatenate([x.mean(axis=1), x.std(axis=1)], axis=-1)

    def _level(self, variables: Any, wave: jax.Array) -> jax.Array:
        del variables
        x = dequantised(wave)
        mel = self.task.config.mel
        if mel is None:
            return stft_magnitude(x, n_fft=N_FFT).mean(axis=1)
        return log_mel(x, mel).mean(axis=1)

    def describe(self) -> dict[str, Any]:
        """Entries of a bundle's `bundle.json` that say what the network is."""
        task, model = self.task, self.task.model_config
        if isinstance(task, SectionIdentification):
            model = dataclasses.replace(model, classes=task.classes)  # pyright: ignore
        name = next(n for n, kind in MODELS.items() if type(model) is kind)
        signal = SignalConfig(
            rate_hz=self.rate_hz,
            channels=1,
            units="full scale",
            window_s=self.clip_s,
            patch_s=self.clip_s,
        )
        return {
            "model_config": dataclasses.asdict(model),
            "task": {"model": name, **dataclasses.asdict(task.config)},
            "signal": dataclasses.asdict(signal),
        }

    @classmethod
    def restore(
        cls, info: Mapping[str, Any], variables: Mapping[str, PyTree]
    ) -> "SoundNetwork":
        """The network that `describe` said, with its variables.

        Raises:
          BundleError: Naming the entry that is missing or wrong.
        """
        try:
            settings = dict(info["task"])
            name = settings.pop("model")
            if name not in MODELS:
                raise BundleError(f"bundle.json: task.model is {name!r}")
            model = build(MODELS[name], info["model_config"], path="model_config")
            signal = build(SignalConfig, info["signal"], path="signal")
            if name == "frame_autoencoder":
                config = build(FrameReconstructionConfig, settings, path="task")
                task = FrameReconstruction(model, config)
            else:
                config = build(SectionIdConfig, settings, path="task")
                task = SectionIdentification(model, config)  # pyright: ignore
        except KeyError as error:
            raise BundleError(f"bundle.json lacks {error}") from None
        except (ConfigError, ValueError) as error:
            raise BundleError(f"bundle.json: {error}") from error
        return cls(task, variables, clip_s=signal.window_s)


def _rate_of(task: SoundTask) -> int:
    if task.config.mel is not None:
        return round(task.config.mel.rate_hz)
    model = task.model_config
    assert isinstance(model, SpectralBranchesConfig)
    return model.rate_hz


def _batch_size() -> int:
    """Segments at a time: what keeps an accelerator busy, and fits a CPU's caches."""
    return 8 if jax.default_backend() == "cpu" else 64


def _mean(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Means over each wave's segments, float64."""
    total = np.zeros((len(counts), *values.shape[1:]))
    np.add.at(total, np.repeat(np.arange(len(counts)), counts), values)
    return total / counts.reshape((-1,) + (1,) * (total.ndim - 1))


def _side_by_side(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """As in `sigjax.evals.sound_embedding`: a wave's segments along one axis.

    Those of waves with fewer segments are repeated.
    """
    most = int(counts.max())
    first = np.cumsum(counts) - counts
    found = values[first[:, None] + np.arange(most) % counts[:, None]]
    if found.ndim > 3:
        return found.reshape(len(counts), -1, found.shape[-1])
    return found[:, 0] if most == 1 else found
