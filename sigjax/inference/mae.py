"""A masked autoencoder's encoder out of its bundle: arrays or raw files to tokens."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from sigjax.config import build
from sigjax.data.formats import ReadOptions
from sigjax.inference.base import BundleError, SignalConfig, prepare
from sigjax.models.mae import Mae, MaeConfig
from sigjax.signal.patches import patchify


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

    def __init__(
        self,
        params: Any,
        info: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
    ):
        """Builds the encoder that `info` describes; it has no `state`."""
        del state
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
            prepared = prepare(source, self.info, options)
            stretches = [(s.start, s.acceleration) for s in prepared.segments]
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
