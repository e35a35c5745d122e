"""Trains the study's networks, in memory, with the product's own task and steps."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from launch.audio_events.study_data import EventClips
from launch.audio_events.study_sizes import Recipe, Size
from sigjax.tasks.audio_events import AudioEvents, fbank_statistics
from sigjax.train.optim import make_optimizer
from sigjax.train.step import make_init, make_train_step

_SCORED = 40  # Clips that are scored at once.


class Trained(NamedTuple):
    """What became of a training.

    Attributes:
      score: Float32 `[n v]`, log probabilities of all clips.
      loss: Means over the first and the last tenth of the steps.
      parameters: How many the network has.
    """

    score: np.ndarray
    loss: tuple[float, float]
    parameters: int


def train(
    size: Size, variant: str, clips: EventClips, rows: np.ndarray, *, seed: int
) -> Trained:
    """Trains a variant and scores all clips with it.

    Order, starts and levels of the clips are the same for all variants of a seed.

    Args:
      size: Which networks.
      variant: Of `VARIANTS`, but for the plain one.
      clips: All.
      rows: Int `[m]`, clips to train on.
      seed: Of weights, order and augmentation.
    """
    recipe = size.recipe
    steps_per_epoch = max(1, len(rows) // recipe.batch)
    total = recipe.epochs * steps_per_epoch
    task, init, step, score = _compiled(
        size, variant, len(clips.name), steps_per_epoch, total
    )
    rng = np.random.default_rng([seed, 0])
    samples = clips.wave.shape[1]
    seen = ({"wave": w, "valid": _whole(w)} for w in _parts(clips.wave[rows]))
    given = {"statistics": fbank_statistics(seen, size.fbank)}

    def batches():
        for _ in range(recipe.epochs):
            order = rng.permutation(rows)[: steps_per_epoch * recipe.batch]
            for chosen in order.reshape(steps_per_epoch, -1):
                wave = augmented(clips.wave[chosen], recipe, rng)
                label = clips.label[chosen]
                yield {"wave": wave, "valid": _whole(wave), "label": label}

    state, losses = None, []
    for batch in batches():
        if state is None:
            state = init(jax.random.key(seed), batch, given)
        state, metrics = step(state, batch)
        losses.append(metrics["loss"])
    assert state is not None
    found = np.asarray(jax.device_get(losses), np.float64)
    tenth = max(1, total // 10)
    starts = [samples * n // recipe.shifts for n in range(recipe.shifts)]
    scores = [
        score(state.judged, np.roll(part, -start, axis=1), _whole(part))
        for part in _parts(clips.wave)
        for start in starts
    ]
    kept = np.stack(jax.device_get(scores))
    kept = kept.reshape(-1, recipe.shifts, *kept.shape[1:]).mean(axis=1)
    return Trained(
        kept.reshape(-1, kept.shape[-1])[: len(clips)],
        (float(found[:tenth].mean()), float(found[-tenth:].mean())),
        sum(leaf.size for leaf in jax.tree.leaves(state.params)),
    )


def augmented(wave: np.ndarray, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """Clips begun elsewhere and made louder or softer, int16 `[b s]`."""
    start = rng.integers(wave.shape[1], size=len(wave)) * recipe.shift
    gain = 10 ** (rng.uniform(-1, 1, size=len(wave)) * recipe.gain_db / 20)
    rolled = np.stack([np.roll(w, -s) for w, s in zip(wave, start, strict=True)])
    if not recipe.gain_db:
        return rolled
    louder = np.clip(np.round(rolled * gain[:, None]), -32768, 32767)
    return louder.astype(np.int16)


@functools.lru_cache(maxsize=16)
def _compiled(
    size: Size, variant: str, classes: int, steps_per_epoch: int, total: int
) -> tuple[AudioEvents, Any, Any, Any]:
    """The task, and its functions to start, to step and to score, compiled once."""
    task = AudioEvents(size.model(variant, classes), size.task)
    optimizer = make_optimizer(
        size.recipe.optim, steps_per_epoch=steps_per_epoch, total_steps=total
    )

    def score(variables: Mapping[str, Any], wave, valid):
        return jax.nn.log_softmax(task.scores(variables, wave, valid)["label"])

    return (
        task,
        jax.jit(make_init(task, optimizer)),
        jax.jit(make_train_step(task, optimizer), donate_argnums=0),
        jax.jit(score),
    )


def _whole(wave: np.ndarray) -> np.ndarray:
    """Of clips without padding, all samples are real."""
    return np.full(len(wave), wave.shape[1], np.int32)


def _parts(wave: np.ndarray) -> list[np.ndarray]:
    """Batches of one shape; the last is filled with its own first row."""
    parts = []
    for start in range(0, len(wave), _SCORED):
        part = wave[start : start + _SCORED]
        fill = np.repeat(part[:1], _SCORED - len(part), axis=0)
        parts.append(np.concatenate([part, fill]))
    return parts
