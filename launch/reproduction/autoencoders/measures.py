"""What is measured of a network, or of a method in its place; one function each.

All take what was opened, the method (`""` for the network) and the sheet's settings.
Measured is on examples that were held out of training; whatever a method has to choose,
it chooses on those that were trained on.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from launch.reproduction.autoencoders import generation, supervised
from launch.reproduction.autoencoders.opened import Measured, Opened, groups_of
from sigjax.data.examples.points import spiral
from sigjax.evals.autoencoders import denoising, linear, neighbours
from sigjax.losses import contractive, sparsity
from sigjax.signal.corruption import CorruptionConfig, corrupt, example_keys
from sigjax.signal.corruption import snr_db as snr_of

Settings = Mapping[str, Any]
_SHOWN = 10


def compression(opened: Opened, method: str, settings: Settings) -> Measured:
    """Error of reconstructions; a method is PCA of as many numbers as `code` says.

    Returns:
      Values `error` (mean squared, of each example) and `unexplained` (over the mean
      variance about the training mean), numbers `code` and `parameters`.
    """
    train, x = opened.inputs("train"), opened.inputs("held_out")
    held = opened.examples("held_out")
    if method == "pca":
        size = min(settings["code"], len(train) - 1, linear.flat(train).shape[1])
        found = linear.fit_pca(train, size)
        copies, mean = found.reconstruct(x), found.mean
        numbers = {"code": size, "parameters": found.components.size + mean.size}
    else:
        copies, mean = opened.reconstructions(held.x), linear.flat(train).mean(axis=0)
        code = int(np.prod(opened.task.model_config.code_shape))
        numbers = {"code": code, "parameters": opened.parameters}
    error = linear.squared_error(x, copies)
    whole = float(((linear.flat(x) - mean) ** 2).mean())
    shown = _spread(held.label, _SHOWN)
    return Measured(
        numbers=numbers,
        values={"error": error, "unexplained": error / whole},
        group=groups_of(held),
        pictures={"x": x[shown], "copies": np.asarray(copies[shown], np.float32)},
    )


def _spread(label: np.ndarray, count: int) -> np.ndarray:
    """Rows of as many classes as there are, the first of each, then any."""
    first = [int(np.flatnonzero(label == one)[0]) for one in np.unique(label)]
    rest = [row for row in range(len(label)) if row not in first]
    return np.array((first + rest)[:count])


def plane(opened: Opened, method: str, settings: Settings) -> Measured:
    """Purity of neighbours in codes of two numbers, and in the examples themselves."""
    held = opened.examples("held_out")
    known = held.rows(held.label >= 0)
    x = opened.mapped(opened.taken, known.x)
    if method == "pca":
        codes = linear.fit_pca(opened.inputs("train"), settings["code"]).codes(x)
    elif method == "input":
        codes = linear.flat(x)
    else:
        codes = opened.codes(known.x)
    count = min(settings["neighbours"], len(known.x) - 1)
    purity = neighbours.purity(codes, known.label, neighbours=count)
    flat = linear.flat(codes)
    return Measured(
        numbers={"chance": neighbours.chance(known.label), "code": flat.shape[1]},
        values={"purity": purity},
        group=groups_of(known),
        pictures={"points": flat[:, :2], "label": known.label},
        facts={"classes": list(known.classes)},
    )


def sparsity_of(opened: Opened, method: str, settings: Settings) -> Measured:
    """Measured share of active numbers of the code, and the error that it costs."""
    del method
    held = opened.examples("held_out")
    codes = jnp.asarray(linear.flat(opened.codes(held.x)), jnp.float32)
    x = opened.inputs("held_out")
    share = np.asarray(sparsity.active_share(codes, settings["active"]))
    error = linear.squared_error(x, opened.reconstructions(held.x))
    used = np.asarray(jnp.abs(codes) > settings["active"]).any(axis=0)
    return Measured(
        numbers={"dead": float(1 - used.mean()), "code": codes.shape[1]},
        values={
            "active": share,
            "mean_activation": np.asarray(jnp.abs(codes).mean(axis=1)),
            "error": error,
        },
        group=groups_of(held),
    )


def contraction(opened: Opened, method: str, settings: Settings) -> Measured:
    """Squared norm of the encoder's Jacobian, exact; and how far codes go with noise.

    Returns:
      Values `jacobian`, `shift` (distance of the codes of an example and of its noisy
      copy, over the mean distance of codes of two examples) and `error`.
    """
    del method
    held = opened.examples("held_out", settings["most"])
    x = opened.inputs("held_out", settings["most"])

    def encode(x):
        return opened.task.model.apply(opened.variables, x, method="encode")

    jacobian = opened.mapped(lambda x: contractive.exact(encode, x), x)
    noise = np.random.default_rng(0).normal(0, settings["noise"], x.shape)
    codes = linear.flat(opened.mapped(encode, x))
    noisy = linear.flat(opened.mapped(encode, (x + noise).astype(np.float32)))
    order = np.random.default_rng(1).permutation(len(codes))
    apart = np.linalg.norm(codes - codes[order], axis=1).mean()
    shift = np.linalg.norm(noisy - codes, axis=1) / max(float(apart), 1e-12)
    error = linear.squared_error(x, opened.reconstructions(held.x))
    values = {"jacobian": jacobian, "shift": shift, "error": error}
    return Measured(values=values, group=groups_of(held))


def field(opened: Opened, method: str, settings: Settings) -> Measured:
    """How near to a curve reconstructions bring points off it.

    Returns:
      Values `before` and `after` (distances to the curve, in standard deviations of
      its own noise), `cosine` (of the way a point goes with the way to the curve).
    """
    del method
    points = opened.system.data.points
    curve = spiral(np.linspace(0, 1, 4000), points)
    rng = np.random.default_rng(0)
    on = spiral(rng.random(settings["points"]), points)
    off = on + rng.normal(0, settings["away"], on.shape)
    moved = opened.restored(off)
    nearest, before = _nearest(off, curve)
    _, after = _nearest(moved, curve)
    way, wanted = moved - off, nearest - off
    cosine = (way * wanted).sum(axis=1) / np.maximum(
        np.linalg.norm(way, axis=1) * np.linalg.norm(wanted, axis=1), 1e-12
    )
    reach = 1.25 * points.radius
    line = np.linspace(-reach, reach, settings["grid"])
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    pictures = {
        "at": grid,
        "moved": opened.restored(grid),
        "data": opened.examples("train", 800).x,
    }
    values = {"after": after, "before": before, "cosine": cosine}
    return Measured(values=values, pictures=pictures)


def _nearest(points: np.ndarray, curve: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    distance = np.linalg.norm(points[:, None] - curve[None], axis=-1)
    return curve[distance.argmin(axis=1)], distance.min(axis=1)


def noise_removed(opened: Opened, method: str, settings: Settings) -> Measured:
    """Gain in decibels at a signal-to-noise ratio, of the network or a filter.

    The noise is the same for all methods. A filter's window, or spectra, are those that
    gain most on training examples at this same ratio; the network has no such hint.
    """
    held = opened.examples("held_out", settings["most"])
    clean = opened.inputs("held_out", settings["most"])
    config = CorruptionConfig(kind="snr", snr_db=settings["snr_db"], centred=True)

    def noisy_of(clean: np.ndarray, seed: int) -> np.ndarray:
        x = jnp.asarray(clean)
        return np.asarray(corrupt(x, config, example_keys(x, jax.random.key(seed))))

    noisy, facts = noisy_of(clean, 0), {}
    if method:
        train = opened.inputs("train", settings["chosen_on"])
        chosen = denoising.choose(method, train, noisy_of(train, 1))  # pyright: ignore
        estimate, facts = chosen.apply(noisy), {"filter": chosen.name}
    else:
        estimate = opened.restored(noisy)
    gain = denoising.gains_db(clean, noisy, estimate)
    after = snr_of(jnp.asarray(clean), jnp.asarray(estimate, jnp.float32), True)
    # The example whose power is the largest of the middle third: no silence.
    power = clean.var(axis=tuple(range(1, clean.ndim)))
    shown = int(np.argsort(power)[int(0.9 * (len(power) - 1))])
    return Measured(
        values={"gain_db": gain, "after_db": np.asarray(after)},
        group=groups_of(held),
        pictures={
            "clean": clean[shown],
            "noisy": noisy[shown],
            "estimate": np.asarray(estimate[shown], np.float32),
        },
        facts={**facts, "rate_hz": held.rate_hz, "units": held.units},
    )


MEASURES: Mapping[str, Callable[[Opened, str, Settings], Measured]] = {
    "compression": compression,
    "plane": plane,
    "sparsity": sparsity_of,
    "contraction": contraction,
    "field": field,
    "denoising": noise_removed,
    "anomaly": supervised.anomaly,
    "labels": supervised.labels,
    "segments": supervised.segments,
    "samples": generation.samples,
    "modes": generation.modes,
}
