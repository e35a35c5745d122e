"""Inference bundles: what `launch.export` writes and `sigjax.load` reads.

BUNDLE/params/       plain Orbax checkpoint, loadable with Orbax alone
BUNDLE/bundle.json   model, its config, preprocessing, signal, versions, source run
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

import sigjax
from sigjax.config import build
from sigjax.data.formats import ReadOptions, read_recording
from sigjax.data.wearable.prepare import PrepareConfig, prepare_recording
from sigjax.models.mae import Mae, MaeConfig
from sigjax.signal.patches import patchify
from sigjax.train.checkpoint import load_params, save_params

_FORMAT = 1


class BundleError(ValueError):
    """A bundle cannot be read, or an input does not fit it; says which and why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignalConfig:
    """What the model takes in.

    Attributes:
      rate_hz: Sampling rate.
      channels: Channels, in device order (x y z).
      units: Physical unit of the samples.
      window_s: Length the model was trained on; longer and shorter inputs are allowed.
      patch_s: Length of a patch, hence of a token.
      normalisation: What is done to samples first: `"none"` for accelerometry in g.
    """

    rate_hz: float
    channels: int
    units: str
    window_s: float
    patch_s: float
    normalisation: str = "none"

    @property
    def patch_samples(self) -> int:
        """Samples per token."""
        return round(self.patch_s * self.rate_hz)


class Embedding(NamedTuple):
    """Embeddings of one stretch of a recording.

    Attributes:
      start: Seconds since 1970-01-01 of the first sample, on the device's clock.
      time: Float64 `[n]`, start of each token on the same clock.
      tokens: Float32 `[n, d]`.
    """

    start: float
    time: np.ndarray
    tokens: np.ndarray


class MaeModel:
    """A trained masked autoencoder's encoder, ready for use.

    Attributes:
      params: Float32 parameters.
      config: Architecture.
      signal: What it takes in.
      info: The whole of `bundle.json`.
    """

    def __init__(self, params: Any, info: Mapping[str, Any]):
        """Builds the encoder that `info` describes."""
        self.params = jax.tree.map(jnp.asarray, params)
        self.config = build(MaeConfig, info["model_config"], path="model_config")
        self.signal = build(SignalConfig, info["signal"], path="signal")
        self.info = info
        module, patch_samples = Mae(self.config), self.signal.patch_samples

        @jax.jit
        def encode(params, x):
            patches = patchify(x, patch_samples)
            tokens = module.apply({"params": params}, patches, method=Mae.encode)
            return jnp.asarray(tokens, jnp.float32)

        self._encode = encode

    def __repr__(self) -> str:
        """One line: what goes in and what comes out."""
        s = self.signal
        count = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        return (
            f"MaeModel({count:,} parameters; apply: [batch, samples, {s.channels}] in"
            f" {s.units} at {s.rate_hz:g} Hz -> [batch, samples /"
            f" {s.patch_samples}, {self.config.width}])"
        )

    def apply(self, x: np.ndarray | jax.Array) -> jax.Array:
        """Tokens of a batch of windows; jitted, compiled once per shape.

        Args:
          x: Float `[b, s, c]` in `signal.units` (g) at `signal.rate_hz`. `s` is a
            multiple of the patch length, and all `s` samples see each other: cut long
            recordings to about `signal.window_s`, what the model was trained on.

        Returns:
          Float32 `[b, s / patch_samples, d]`.

        Raises:
          BundleError: If the shape does not fit.
        """
        x = jnp.asarray(x, jnp.float32)
        s = self.signal
        if x.ndim != 3 or x.shape[2] != s.channels or x.shape[1] % s.patch_samples:
            raise BundleError(
                f"expected [batch, samples, {s.channels}] with samples a multiple of"
                f" {s.patch_samples} ({s.patch_s:g} s at {s.rate_hz:g} Hz), got"
                f" {tuple(x.shape)}"
            )
        return self._encode(self.params, x)

    def embed(
        self,
        source: np.ndarray | jax.Array | epath.PathLike,
        *,
        batch_size: int = 8,
        options: ReadOptions | None = None,
    ) -> list[Embedding]:
        """Embeds a signal of any length, or a raw device file.

        The signal is cut into windows of `signal.window_s`; the last one reaches back,
        so that it is as long, and only its new tokens are used. What is shorter than
        one window is embedded as it is; up to one patch at the end is left over.

        Args:
          source: Float `[s, c]` in g at `signal.rate_hz`, or a path to a file that
            `sigjax.data.formats` reads; that is prepared as the training data were,
            except that short and uncalibrated recordings are used too.
          batch_size: Windows per call of the model.
          options: How to read the file (columns of a table, time zone); as the
            training data were read if None.

        Returns:
          One `Embedding` per stretch of wear, in time order; one for an array, from
          time 0.

        Raises:
          BundleError: If nothing in it is as long as a patch.
          sigjax.data.recording.FormatError: If the file cannot be read.
        """
        if isinstance(source, np.ndarray | jax.Array):
            stretches = [(0.0, np.asarray(source, np.float32))]
        else:
            stretches = self._prepare(source, options)
        long_enough = [
            (start, x) for start, x in stretches if len(x) >= self.signal.patch_samples
        ]
        if not long_enough:
            longest = max((len(x) for _, x in stretches), default=0)
            raise BundleError(
                f"nothing to embed: the longest stretch has {longest} samples, one"
                f" patch needs {self.signal.patch_samples} ({self.signal.patch_s:g} s)"
            )
        return [self._embed(start, x, batch_size) for start, x in long_enough]

    def _prepare(
        self, path: epath.PathLike, options: ReadOptions | None
    ) -> list[tuple[float, np.ndarray]]:
        settings = dict(self.info["preprocessing"])
        trained = ReadOptions.from_json(settings.pop("read"))
        preset = build(PrepareConfig, settings, path="preprocessing")
        preset = dataclasses.replace(
            preset, min_wear_h=0.0, on_calibration_failure="keep"
        )
        recording = read_recording(path, options or trained)
        name = epath.Path(path).stem
        prepared = prepare_recording(recording, preset, name=name, person=name)
        return [(s.start, s.acceleration) for s in prepared.segments]

    def _embed(self, start: float, x: np.ndarray, batch_size: int) -> Embedding:
        patch = self.signal.patch_samples
        tokens = len(x) // patch
        per_window = min(tokens, round(self.signal.window_s / self.signal.patch_s))
        firsts = list(range(0, tokens - per_window + 1, per_window))
        if firsts[-1] + per_window < tokens:
            firsts.append(tokens - per_window)
        found = np.zeros((tokens, self.config.width), np.float32)
        full = min(batch_size, len(firsts))
        for i in range(0, len(firsts), batch_size):
            some = firsts[i : i + batch_size]
            windows = [x[f * patch : (f + per_window) * patch] for f in some]
            # A full batch always: another size would compile again.
            windows += [windows[-1]] * (full - len(some))
            out = np.asarray(self.apply(np.stack(windows)))
            for first, values in zip(some, out, strict=False):
                # Only the last window reaches back over tokens that exist already.
                new = -first % per_window
                found[first + new : first + per_window] = values[new:]
        time = start + np.arange(tokens) * self.signal.patch_s
        return Embedding(start, time, found)


MODELS = {"mae": MaeModel}


def save(
    path: epath.PathLike,
    *,
    model: str,
    params: Any,
    model_config: Any,
    signal: SignalConfig,
    preprocessing: Mapping[str, Any],
    source_run: Mapping[str, Any],
    labels: tuple[str, ...] | None = None,
) -> None:
    """Writes a bundle, replacing one that is there.

    Args:
      path: Folder or URL.
      model: A key of `MODELS`.
      params: Parameters, on any devices.
      model_config: The model's config dataclass.
      signal: What the model takes in.
      preprocessing: How its training data were prepared: the description of their
        store (`PrepareConfig` fields, and under `read` those of `ReadOptions`).
      source_run: Where the parameters come from; free form.
      labels: Class names in output order, for classifiers.
    """
    if model not in MODELS:
        raise BundleError(f"unknown model {model!r}; known: {', '.join(MODELS)}")
    path = epath.Path(path)
    path.mkdir(parents=True, exist_ok=True)
    save_params(path / "params", params)
    info = {
        "format": _FORMAT,
        "model": model,
        "model_config": dataclasses.asdict(model_config),
        "signal": dataclasses.asdict(signal),
        "preprocessing": dict(preprocessing),
        "labels": labels,
        "sigjax_version": sigjax.__version__,
        "source_run": dict(source_run),
    }
    # Last, so that a bundle with this file is whole.
    (path / "bundle.json").write_text(json.dumps(info, indent=1) + "\n")


def load(path: epath.PathLike) -> MaeModel:
    """Reads a bundle onto the default device, whatever devices it was trained on.

    Args:
      path: What `launch.export` wrote.

    Returns:
      A model with `apply` (batches) and `embed` (signals and raw files).

    Raises:
      BundleError: If there is no bundle, or it is of a newer format.
      sigjax.train.checkpoint.CheckpointError: If its parameters cannot be read.
    """
    path = epath.Path(path)
    file = path / "bundle.json"
    if not file.exists():
        raise BundleError(
            f"{path} is no bundle (bundle.json is missing): write one with"
            " `python -m launch.export --workdir=RUN --output=BUNDLE`"
        )
    try:
        info = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise BundleError(f"{file} is damaged: {error}") from None
    if info.get("format") != _FORMAT or info.get("model") not in MODELS:
        raise BundleError(
            f"{file} has format {info.get('format')} and model {info.get('model')!r};"
            f" sigjax {sigjax.__version__} reads format {_FORMAT} and models"
            f" {', '.join(MODELS)}"
        )
    return MODELS[info["model"]](load_params(path / "params"), info)
