"""HARNet out of its bundle: features of patches."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.config import build
from sigjax.inference.base import BundleError, SignalConfig
from sigjax.models.harnet import HarNet, HarNetConfig


class HarNetModel:
    """HARNet's feature extractor, ready for use.

    Attributes:
      params: Float32 parameters.
      state: `{"batch_stats": ...}`, running means and variances.
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
        """Builds the network that `info` describes."""
        self.params = jax.tree.map(jnp.asarray, params)
        self.state = jax.tree.map(jnp.asarray, dict(state or {}))
        self.config = build(HarNetConfig, info["model_config"], path="model_config")
        self.signal = build(SignalConfig, info["signal"], path="signal")
        self.info = info
        module = HarNet(self.config)

        @jax.jit
        def features(variables, x):
            return module.apply(variables, x)

        self._features = features

    def __repr__(self) -> str:
        """One line: what goes in and what comes out."""
        c, s = self.config, self.signal
        count = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        return (
            f"HarNetModel({count:,} parameters; apply: [batch, {c.samples},"
            f" {c.channels}] in {s.units} at {s.rate_hz:g} Hz -> [batch, {c.width}])"
        )

    def apply(self, x: np.ndarray | jax.Array) -> jax.Array:
        """Features of a batch of patches; jitted, compiled once per shape.

        Args:
          x: Float `[b, s, c]` in `signal.units` (g) at `signal.rate_hz`; HARNet10
            takes 300 samples, 10 s.

        Returns:
          Float32 `[b, d]`, 1024 features of HARNet10.

        Raises:
          BundleError: If the shape does not fit.
        """
        x = jnp.asarray(x, jnp.float32)
        c = self.config
        fits = x.ndim == 3 and x.shape[2] == c.channels
        if not fits or (x.shape[1] != c.samples and not c.resize):
            raise BundleError(
                f"expected [batch, {c.samples}, {c.channels}], got {tuple(x.shape)}"
            )
        return self._features({"params": self.params, **self.state}, x)
