"""Probes an encoder: logistic regression on its tokens, on people kept apart.

WORKDIR gets `result.json` and `eval/test/` with figures and predictions. Of an encoder
from `launch.pretrain` it also tells how well that run reconstructs the people tested
on, beside the trivial predictors.
"""

import json
import math
import sys
from collections.abc import Mapping
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags
from etils import epath

from launch import command, pretrain, runtime
from launch.systems import build_one, load_run
from launch.wrist.encoders import Pretrained, load_encoder, random_encoder
from launch.wrist.har_probe import HarProbe
from launch.wrist.wrist_mae import WristMae
from sigjax.config import ConfigError
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.har import HarData, open_har_data
from sigjax.data.windows import LabelledWindows, WindowConfig
from sigjax.evals import wrist_features
from sigjax.evals.classification import score, write_evaluation
from sigjax.evals.predictions import Predictions, write_predictions
from sigjax.evals.probe import probe
from sigjax.evals.windows import Rows, rows_of
from sigjax.inference.base import BundleError
from sigjax.losses.spectral import SpectralLossConfig, log_mean_magnitude
from sigjax.models.heads import HeadConfig
from sigjax.models.mae import MaeConfig
from sigjax.models.window_classifier import WindowClassifier, WindowClassifierConfig
from sigjax.train.checkpoint import latest_params
from sigjax.train.writer import prepare_workdir, replace_file

EXPECTED_ERRORS = (
    *pretrain.EXPECTED_ERRORS,
    BundleError,
    DatasetError,
    FileNotFoundError,
)
_WINDOWS_AT_ONCE = 64
# Masks per window of the test people: few windows, many of them.
_MASKS = 16


def run_probe(config, workdir: epath.PathLike, figures: bool = True) -> dict[str, Any]:
    """Probes what `config` describes.

    Args:
      config: System `har_probe`.
      workdir: Gets `result.json` and `eval/test/`.
      figures: Write all of an evaluation; else the predictions alone, which takes a
        tenth of the time.

    Returns:
      What `result.json` holds: `test`, the figures of `score`; `reconstruction`, the
      pre-training's losses on the people tested on (`{}` if there are none);
      `people` of each side; `dataset`; `features`.

    Raises:
      EXPECTED_ERRORS: With messages that say what to change.
    """
    system: HarProbe = build_one(config, "launch.probe")
    workdir = prepare_workdir(workdir)
    try:
        data = open_har_data(system.data, workdir)
    except ValueError as error:
        raise ConfigError(f"config section 'data': {error}") from error
    if not data.people["test"]:
        raise ConfigError("data.test names nobody: a probe needs people to be tested")
    runtime.save_config(workdir, config)
    sides = {}
    for side in ("train", "test"):
        source = data.windows(side, stride_s=system.data.window_s, tail="pad")
        sides[side] = _Side(source)
    features = _features(system, data, sides)
    label = sides["train"].label
    probability = probe(
        features["train"],
        label,
        features["test"],
        len(data.classes),
        penalty=system.probe.penalty,
    )
    predictions = sides["test"].predictions(data, probability)
    found = {
        "test": score(predictions),
        "reconstruction": _reconstruction(system, data),
        "people": {side: len(data.people[side]) for side in sides},
        "features": system.probe.features,
        "width": int(features["test"].shape[1]),
        "context_s": system.data.window_s,
        "dataset": {
            "path": str(data.dataset.path),
            "fingerprint": data.dataset.fingerprint,
            "simulated": data.simulated,
        },
    }
    note = "SIMULATED data" if data.simulated else ""
    where = workdir / "eval" / "test"
    if figures:
        write_evaluation(where, predictions, found["test"], title="probe", note=note)
    else:
        where.mkdir(parents=True, exist_ok=True)
        write_predictions(where / "predictions.parquet", predictions)
    replace_file(workdir / "result.json", (json.dumps(found, indent=1) + "\n").encode())
    return found


class _Side:
    """All windows of one side's people, read at once."""

    def __init__(self, source: LabelledWindows):
        self.source = source
        self.rows: Rows = rows_of(source)
        batch = source.read([source.fixed_plan(i, 0) for i in range(len(source))])
        self.x = batch["counts"] * batch["scale"][:, None, None]
        self.label_samples = source.samples // source.labels
        self.length = batch["valid"] // self.label_samples
        self.label = batch["label"][self.rows.window, self.rows.place]

    @property
    def patches(self) -> np.ndarray:
        """Float32 `[r, s, 3]`, the samples of each label window."""
        b, _, channels = self.x.shape
        apart = self.x.reshape(b, -1, self.label_samples, channels)
        return apart[self.rows.window, self.rows.place]

    @property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each label window: its number in its stretch, and how many that has."""
        place = self.source.first[self.rows.window] + self.rows.place
        segments = np.array(
            [s.samples // self.label_samples for s in self.source.dataset.segments]
        )
        return place, segments[self.source.segment[self.rows.window]]

    def predictions(self, data: HarData, probability: np.ndarray) -> Predictions:
        source, rows = self.source, self.rows
        segments = [source.dataset.segments[i] for i in source.segment]
        starts = np.array([source.start(i) for i in range(len(source))])
        return Predictions(
            classes=tuple(data.classes),
            probability=probability,
            label=self.label.astype(np.int32),
            person=np.array([s.person for s in segments])[rows.window],
            recording=np.array([s.recording for s in segments])[rows.window],
            time=starts[rows.window] + rows.place * source.dataset.label_s,
        )


def _features(
    system: HarProbe, data: HarData, sides: Mapping[str, _Side]
) -> dict[str, np.ndarray]:
    kind = system.probe.features
    if kind == "tokens":
        return _tokens(system, data, sides)
    if kind == "position":
        return {n: wrist_features.position(*s.places) for n, s in sides.items()}
    if kind == "log_spectrum":
        loss = SpectralLossConfig(n_fft=system.probe.n_fft)
        found = {}
        for name, side in sides.items():
            u = log_mean_magnitude(jnp.asarray(side.patches.swapaxes(1, 2)), loss)
            found[name] = np.asarray(u).reshape(len(side.label), -1)
        return found
    function = getattr(wrist_features, kind)
    return {name: function(side.patches) for name, side in sides.items()}


def _tokens(
    system: HarProbe, data: HarData, sides: Mapping[str, _Side]
) -> dict[str, np.ndarray]:
    given = load_encoder(system.encoder)
    config = _classifier(system, len(data.classes), given)
    if given is not None:
        variables = given.variables()
    elif system.encoder.weights:
        variables = random_encoder(config, system.seed)
    else:
        raise ConfigError(
            "encoder.weights is empty: give a run of launch.pretrain, a bundle, or"
            " 'untrained' for an encoder that never learned"
        )
    model = WindowClassifier(config)
    encode = jax.jit(
        lambda x, length: model.apply(variables, x, length, method=model.encode)
    )
    found = {}
    for name, side in sides.items():
        count = len(side.x)
        size = min(_WINDOWS_AT_ONCE, count)
        tokens = []
        for first in range(0, count, size):
            at = np.minimum(np.arange(first, first + size), count - 1)
            some = encode(side.x[at], side.length[at])
            tokens.append(np.asarray(some)[: count - first])
        every = np.concatenate(tokens)
        found[name] = every[side.rows.window, side.rows.place]
    return found


def _classifier(
    system: HarProbe, classes: int, given: Pretrained | None
) -> WindowClassifierConfig:
    encoder = system.encoder
    architecture = given.architecture if given else encoder.mae or encoder.harnet
    mae = isinstance(architecture, MaeConfig)
    try:
        return WindowClassifierConfig(
            patch_samples=system.task.patch_samples,
            channels=system.task.channels,
            pool=system.task.pool,
            head=HeadConfig(kind="linear", classes=classes),
            mae=architecture if mae else None,
            harnet=None if mae else architecture,
        )
    except ValueError as error:
        raise ConfigError(f"config section 'encoder': {error}") from error


def _reconstruction(system: HarProbe, data: HarData) -> dict[str, float]:
    """A pre-training's losses on the people tested on, mean over their windows."""
    path = epath.Path(system.encoder.weights)
    if system.probe.features != "tokens" or not (path / "config.json").exists():
        return {}
    run, _ = load_run(path)
    if not isinstance(run, WristMae):
        return {}
    task = run.make_task()
    length = run.data.crop_s
    if math.remainder(length, data.dataset.record_s):
        return {}
    try:
        source = _Crops(data, length)
    except DatasetError:  # nobody's stretch is as long as a crop
        return {}
    _, params = latest_params(path, system.encoder.step)
    evaluate = jax.jit(task.evaluate)
    totals: dict[str, float] = {}
    for mask in range(_MASKS):
        found = evaluate({"params": params}, source.batch, jax.random.key(mask))
        for name, value in found.items():
            totals[name] = totals.get(name, 0.0) + float(np.mean(value)) / _MASKS
    return {**totals, "windows": source.count}


class _Crops:
    """Every whole crop of the people tested on."""

    def __init__(self, data: HarData, length: float):
        windows = LabelledWindows(
            data.dataset,
            data.people["test"],
            WindowConfig(
                scheme=data.config.scheme,
                window_s=length,
                stride_s=length,
                tail="drop",
                unlabelled=True,
            ),
        )
        plans = [windows.fixed_plan(i, 0) for i in range(len(windows))]
        read = windows.read(plans)
        self.count = len(windows)
        self.batch = {name: read[name] for name in ("counts", "scale", "seed")}


def summary(found: Mapping[str, Any], workdir: epath.Path) -> str:
    """The result as text."""
    lines = []
    for name in ("balanced_accuracy", "kappa", "macro_f1"):
        one = cast(Mapping[str, Any], found["test"][name])
        interval = ""
        if one["low"] is not None:
            interval = f"  [{one['low']:.3f}, {one['high']:.3f}] over people"
        lines.append(f"{name:<20}{one['value']:.3f}{interval}")
    if found["reconstruction"]:
        r = found["reconstruction"]
        lines += [
            f"{name.upper():<20}{r[name]:.4f}, trivial {r[f'{name}_baseline']:.4f}"
            for name in ("lmm", "mse")
        ]
    return "\n".join([*lines, f"written to {workdir}"])


define_flags, parse_flags = pretrain.define_flags, pretrain.parse_flags


def main(argv: list[str]) -> None:
    """Runs `run_probe` with the values of the flags."""
    command.refuse_arguments(argv)
    try:
        config, _ = pretrain.given_config()
        runtime.start()
        found = run_probe(config, flags.FLAGS.workdir)
    except EXPECTED_ERRORS as error:
        sys.exit(f"error: {error}")
    print(summary(found, epath.Path(flags.FLAGS.workdir)))
