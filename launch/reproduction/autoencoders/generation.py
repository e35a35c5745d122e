"""What is measured of generators: samples, the paths between them, modes reached."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from launch.reproduction.autoencoders.opened import Measured, Opened
from sigjax.data.examples.points import ring_centres
from sigjax.evals.autoencoders import inversion, linear, neighbours
from sigjax.evals.autoencoders.modes import coverage

_SHOWN, _STEPS = 10, 10


def samples(opened: Opened, method: str, settings: Mapping[str, Any]) -> Measured:
    """Whether samples can be told from examples that were held out.

    Methods: `"held_out"`, training examples in place of samples: what no generator
    beats; `"gaussian"`, the normal distribution of the training examples' principal
    components, as many as `code` says.

    Returns:
      Values `told_apart`; numbers `distance`, the median distance of a sample to the
      nearest training example over that of held-out ones: far above 1 samples are off
      the data, near 0 they are copies. Pictures, and of log-mels the sounds of some.
    """
    train = opened.inputs("train")
    real = opened.inputs("held_out", settings["most"])
    made = _made(opened, method, train, len(real), settings)
    usual = float(np.median(neighbours.distance_to(real, train)))
    # A training example is its own nearest: its distance says nothing.
    own = float(np.median(neighbours.distance_to(made, train)))
    distance = None if method == "held_out" else own / max(usual, 1e-12)
    pictures = {
        "real": real[:: max(1, len(real) // _SHOWN)][:_SHOWN],
        "made": np.asarray(made[:_SHOWN], np.float32),
    }
    if not method:
        pictures["path"] = _path(opened, settings)
    return Measured(
        numbers={"distance": distance},
        values={"told_apart": neighbours.told_apart(real, made)},
        pictures=pictures,
        facts={"spectrogram": opened.system.task.input.kind == "log_mel"},
        sounds=_sounds(opened, made, real, settings),
    )


def _made(
    opened: Opened,
    method: str,
    train: np.ndarray,
    count: int,
    settings: Mapping[str, Any],
) -> np.ndarray:
    rng = np.random.default_rng(0)
    if method == "held_out":
        if len(train) < count:
            raise ValueError(f"{len(train)} training examples for {count} held out")
        return train[rng.permutation(len(train))[:count]]
    if method == "gaussian":
        size = min(settings["code"], len(train) - 1, linear.flat(train).shape[1])
        found = linear.fit_pca(train, size)
        spread = found.codes(train).std(axis=0)
        drawn = rng.normal(size=(count, size)) * spread
        return (drawn @ found.components + found.mean).reshape(count, *train.shape[1:])
    keys = jax.random.key(0)
    if hasattr(opened.task, "sample"):
        sample = jax.jit(opened.task.sample, static_argnums=2)
        return np.asarray(sample(opened.variables, keys, count))
    shape = opened.task.model_config.code_shape
    return decoded(opened, np.asarray(jax.random.normal(keys, (count, *shape))))


def decoded(opened: Opened, codes: np.ndarray) -> np.ndarray:
    """What a decoder or generator makes of codes, in the units of the input."""
    return opened.mapped(lambda z: opened.task.generate(opened.variables, z), codes)


def _path(opened: Opened, settings: Mapping[str, Any]) -> np.ndarray:
    """Float32 `[steps, ...]`: decoded codes on the line between two."""
    del settings
    if hasattr(opened.task, "codes"):
        held = opened.examples("held_out")
        classes = np.unique(held.label)
        rows = [int(np.flatnonzero(held.label == c)[0]) for c in classes[:2]]
        rows = (rows * 2)[:2]
        first, last = opened.codes(held.x[np.array(rows)])
    else:
        width = opened.system.model.latent
        first, last = np.asarray(jax.random.normal(jax.random.key(1), (2, width)))
    share = np.linspace(0, 1, _STEPS).reshape(-1, *[1] * np.ndim(first))
    return decoded(opened, ((1 - share) * first + share * last).astype(np.float32))


def _sounds(
    opened: Opened, made: np.ndarray, real: np.ndarray, settings: Mapping[str, Any]
) -> dict[str, tuple[np.ndarray, int]]:
    config = opened.system.task.input
    if config.kind != "log_mel":
        return {}
    found = {}
    for name, every in (("sample", made), ("held_out", real)):
        for place in range(min(settings["sounds"], len(every))):
            wave = inversion.to_sound(
                np.squeeze(every[place], axis=-1),
                config.mel,
                top_db=config.top_db,
                rounds=settings["rounds"],
            )
            found[f"{name}{place}.wav"] = wave, int(config.mel.rate_hz)
    return found


def modes(opened: Opened, method: str, settings: Mapping[str, Any]) -> Measured:
    """How many modes of the ring samples reach, and how many samples are good."""
    points = opened.system.data.points
    centres = ring_centres(points)
    if method == "gaussian":
        x = opened.inputs("train")
        rng = np.random.default_rng(0)
        made = rng.multivariate_normal(x.mean(axis=0), np.cov(x.T), settings["samples"])
    elif method == "held_out":
        made = opened.inputs("held_out", settings["samples"])
    else:
        made = _made(opened, "", opened.inputs("train"), settings["samples"], settings)
    found = coverage(np.asarray(made), centres, points.sd, within=settings["within"])
    return Measured(
        numbers={
            "covered": float(found.covered),
            "good": found.good,
            "divergence": found.divergence,
        },
        pictures={"points": np.asarray(made[:1500], np.float32), "marks": centres},
    )
