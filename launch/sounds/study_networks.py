"""What the study trains: small networks, in memory, with the product's own steps."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

import sigjax
from sigjax.data.segments import fitted
from sigjax.models.frame_autoencoder import FrameAutoencoderConfig
from sigjax.models.section_classifier import SectionClassifierConfig
from sigjax.models.spectral_branches import SpectralBranchesConfig
from sigjax.signal.corruption import CorruptionConfig
from sigjax.signal.mel import MelConfig, frame_count, log_mel
from sigjax.tasks.frame_reconstruction import (
    FrameReconstruction,
    FrameReconstructionConfig,
)
from sigjax.tasks.section_id import (
    SectionIdConfig,
    SectionIdentification,
    input_statistics,
)
from sigjax.train.optim import OptimConfig, make_optimizer
from sigjax.train.step import make_init, make_train_step

Task = SectionIdentification | FrameReconstruction
_EMBEDDED = 40  # Sounds that are embedded at once.
_OPTIM = OptimConfig(
    name="adamw",
    learning_rate=1e-3,
    schedule="constant",
    warmup_epochs=0.0,
    clip_norm=None,
)
# Batch norms of a network that was never trained see so many batches all the same: by
# then their running statistics have forgotten where they began.
_SETTLE = {"autoencoder": 400, "denoising autoencoder": 400}
_SETTLE_OTHERS = 40
# By the kind of a recipe: the network and the task of autoencoders, where they differ
# from the baseline's.
AUTOENCODERS: Mapping[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "autoencoder": ({}, {"vectors": 32}),
    "conv autoencoder": (
        {"kind": "conv", "frames": 16, "widths": (16, 32, 64)},
        {"vectors": 3, "hop": 8, "normalise": True},
    ),
    "variational autoencoder": (
        {"latent": "gaussian"},
        {"vectors": 32, "normalise": True},
    ),
    "denoising autoencoder": (
        {},
        {
            "vectors": 32,
            "normalise": True,
            "noise": CorruptionConfig(kind="gaussian", sd=0.25),
        },
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """A network and how long it is trained.

    Attributes:
      kind: `"classifier"`, `"branches"`, or one of `AUTOENCODERS`.
      clip_s: What it sees at once.
      mel: Its spectrogram; that of `"branches"` is its own.
      steps: Of Adam at 1e-3.
      batch: Sounds in a step.
      n_fft: Of `"branches"`.
      width: Of each branch.
      spectrum: Whether `"branches"` has one on the whole spectrum.
    """

    kind: str
    clip_s: float
    mel: MelConfig
    steps: int
    batch: int
    n_fft: tuple[int, ...] = ()
    width: int = 64
    spectrum: bool = False

    def task(self, classes: int) -> Task:
        """What is learned; an autoencoder has no classes."""
        mel, samples = self.mel, round(self.clip_s * self.mel.rate_hz)
        if self.kind in AUTOENCODERS:
            model, settings = AUTOENCODERS[self.kind]
            config = FrameReconstructionConfig(mel=mel, **settings)
            network = FrameAutoencoderConfig(mels=mel.n_mels, **model)
            return FrameReconstruction(network, config)
        if self.kind == "classifier":
            # Like the `demo` variant of configs/asd_sections.py.
            model = SectionClassifierConfig(
                classes=classes,
                frames=frame_count(samples, mel),
                mels=mel.n_mels,
                stem=16,
                channels=32,
                blocks=(1, 1, 1),
                wide=128,
                embedding=64,
            )
            given = SectionIdConfig(mel=mel, clip_s=self.clip_s)
            return SectionIdentification(model, given)
        branches = SpectralBranchesConfig(
            classes=classes,
            clip_s=self.clip_s,
            n_fft=self.n_fft,
            spectrum=self.spectrum,
            width=self.width,
        )
        given = SectionIdConfig(clip_s=self.clip_s, loss="adacos")
        return SectionIdentification(branches, given)


class Trained(NamedTuple):
    """A network after and before its training.

    Attributes:
      task: What it is of.
      trained: Variables.
      untrained: Those it began with, its batch norms settled.
      loss: Means over the first and the last tenth of the steps.
    """

    task: Task
    trained: Mapping[str, Any]
    untrained: Mapping[str, Any]
    loss: tuple[float, float]


def train(recipe: Recipe, wave: np.ndarray, label: np.ndarray, *, seed: int) -> Trained:
    """Trains a network.

    Args:
      recipe: Which and how.
      wave: Float32 `[n s]`, normalised; those of a step are drawn with replacement.
      label: Int `[n]` from 0 on, without gaps.
      seed: Of weights, order and Mixup.
    """
    task, init, step = _compiled(recipe, int(label.max()) + 1)
    rng = np.random.default_rng(seed)

    def batch() -> dict[str, np.ndarray]:
        rows = rng.integers(len(wave), size=recipe.batch)
        return {"wave": wave[rows], "label": label[rows].astype(np.int32)}

    given, mel = {}, _normalised_mel(task)
    if mel is not None:
        given["statistics"] = input_statistics([{"wave": wave}], mel)
    first = init(jax.random.key(seed), batch(), given)
    settled = first
    for _ in range(_SETTLE.get(recipe.kind, _SETTLE_OTHERS)):
        after, _ = step(settled, batch())
        state, opt = after.model_state, first.opt_state
        settled = dataclasses.replace(
            after, params=first.params, opt_state=opt, model_state=state
        )
    losses, state = [], first
    for _ in range(recipe.steps):
        state, metrics = step(state, batch())
        losses.append(metrics["loss"])
    losses = np.asarray(jax.device_get(losses), np.float64)
    tenth = max(1, recipe.steps // 10)
    ends = float(losses[:tenth].mean()), float(losses[-tenth:].mean())
    return Trained(task, state.variables, settled.variables, ends)


def _normalised_mel(task: Task) -> MelConfig | None:
    """The spectrogram that a task takes normalised, if it does."""
    if isinstance(task, FrameReconstruction):
        return task.config.mel if task.config.normalise else None
    return task.config.mel if isinstance(task, SectionIdentification) else None


@functools.lru_cache(maxsize=8)
def _compiled(recipe: Recipe, classes: int) -> tuple[Task, Any, Any]:
    """The task, and its functions to start and to step, compiled once."""
    task = recipe.task(classes)
    optimizer = make_optimizer(
        _OPTIM, steps_per_epoch=recipe.steps, total_steps=recipe.steps
    )
    return (
        task,
        jax.jit(make_init(task, optimizer)),
        jax.jit(make_train_step(task, optimizer)),
    )


class Said(NamedTuple):
    """What a network says of `n` sounds, in the words of `evals.anomaly`.

    Attributes:
      embedding: Float `[n d]`; of an autoencoder the mean squared error, `[n 1]`.
      logits: Log probabilities `[n v]`; None of an autoencoder.
      residual: Float32 `[n t f]`; None of a classifier.
    """

    embedding: np.ndarray
    logits: np.ndarray | None
    residual: np.ndarray | None


def run(task: Task, variables: Mapping[str, Any], wave: np.ndarray) -> Said:
    """Runs a network over sounds."""
    found = [jax.device_get(_apply(task)(variables, part)) for part in _padded(wave)]
    if isinstance(task, FrameReconstruction):
        residual = np.concatenate(found)[: len(wave)]
        error = np.square(residual, dtype=np.float64).mean(axis=(1, 2))
        frames = residual.reshape(len(wave), -1, task.config.mel.n_mels)
        return Said(error[:, None], None, frames)
    embedding = np.concatenate([out.embedding for out in found])[: len(wave)]
    logits = np.concatenate([out.logits for out in found])[: len(wave)]
    return Said(embedding, logits, None)


@functools.lru_cache(maxsize=8)
def _apply(task: Task) -> Any:
    if isinstance(task, FrameReconstruction):
        return jax.jit(task.residuals)
    return jax.jit(task.embed)


def spectrograms(wave: np.ndarray, mel: MelConfig) -> np.ndarray:
    """Log-mel in dB, float32 `[n t f]`."""
    made = jax.jit(functools.partial(log_mel, config=mel))
    parts = [np.asarray(made(part)) for part in _padded(wave)]
    return np.concatenate(parts)[: len(wave)]


def _padded(wave: np.ndarray) -> list[np.ndarray]:
    """Batches of one shape; the last is filled with its own first row."""
    parts = []
    for start in range(0, len(wave), _EMBEDDED):
        part = wave[start : start + _EMBEDDED]
        fill = np.repeat(part[:1], _EMBEDDED - len(part), axis=0)
        parts.append(np.concatenate([part, fill]))
    return parts


@functools.lru_cache(maxsize=1)
def shipped() -> tuple[Any, str] | None:
    """The network that comes with the package and its bundle's text; None without."""
    from sigjax import bundles

    if "machine_sounds" not in bundles.names():
        return None
    path = bundles.path("machine_sounds")
    detector: Any = sigjax.load(path)
    return detector.network, (path / "bundle.json").read_text()


def run_shipped(wave: np.ndarray, normal: np.ndarray, *, seed: int) -> dict[str, Said]:
    """What the shipped network says of sounds, and the same with random weights.

    Args:
      wave: Float32 `[n s]`; longer than the network's they are cut, shorter repeated.
      normal: Float32 `[m s]`, what the latter's batch norms settle on.
      seed: Of the random weights.
    """
    found = shipped()
    assert found is not None, "there is no shipped network"
    network, task = found[0], found[0].task
    variables = {**task.init(jax.random.key(seed), {})}
    variables |= {"statistics": network.variables["statistics"]}
    rng, settle = np.random.default_rng(seed), _settle(task)
    for number in range(_SETTLE_OTHERS):
        rows = _cut(normal[rng.integers(len(normal), size=16)], task.samples)[0]
        batch = {"wave": rows, "label": np.zeros(len(rows), np.int32)}
        state = settle(variables, batch, jax.random.key(number))
        variables |= state
    said = {}
    for name, given in (("trained", network.variables), ("untrained", variables)):
        parts = [run(task, given, part) for part in _cut(wave, task.samples)]
        embedding = np.mean([part.embedding for part in parts], axis=0)
        said[name] = Said(embedding, None, None)
    return said


@functools.lru_cache(maxsize=1)
def _settle(task: SectionIdentification) -> Any:
    return jax.jit(lambda *given: task.loss(*given).model_state)


def _cut(wave: np.ndarray, samples: int) -> list[np.ndarray]:
    """Segments as `data.segments` makes them of equally long waves."""
    length = wave.shape[1]
    count = max(1, -(-length // samples))
    starts = [max(0, min(i * samples, length - samples)) for i in range(count)]
    return [np.stack([fitted(row, start, samples) for row in wave]) for start in starts]
