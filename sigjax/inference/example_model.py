"""What models of raw examples share: their units, windows of signals, batches."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.config import build
from sigjax.inference.base import BundleError, SignalConfig
from sigjax.inference.overlap import window_starts
from sigjax.typing import PRNGKey


class ExampleModel:
    """A trained network that takes examples as the run read them.

    Attributes:
      params: Float32 parameters.
      config: Architecture.
      task: What it was trained to do.
      signal: Rate, channels and units of what it takes in.
      raw_shape: Of an example.
      labels: Names of the classes of its data.
      info: The whole of `bundle.json`.
    """

    # `extra["task_kind"]` of a bundle: task, its model's config, its own.
    kinds: ClassVar[Mapping[str, tuple[Any, Any, Any]]] = {}

    def __init__(
        self,
        params: Any,
        info: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
    ):
        """Builds what `info` describes.

        Raises:
          BundleError: It describes something else.
        """
        extra = info["extra"]
        if extra.get("task_kind") not in self.kinds:
            known = ", ".join(self.kinds)
            raise BundleError(
                f"task_kind {extra.get('task_kind')!r} is none of {known}"
            )
        task, model_config, task_config = self.kinds[extra["task_kind"]]
        self.params = jax.tree.map(jnp.asarray, params)
        self.config: Any = build(
            model_config, info["model_config"], path="model_config"
        )
        config = build(task_config, extra["task"], path="extra.task")
        self.task: Any = task(self.config, config)
        self.signal = build(SignalConfig, info["signal"], path="signal")
        self.raw_shape = tuple(extra["examples"]["shape"])
        self.labels = tuple(info["labels"] or ())
        self.info = info
        given = jax.tree.map(jnp.asarray, dict(state or {}))
        self._variables = {"params": self.params, **given}

    def _described(self, method: str, into: str) -> str:
        """One line: what goes in and what comes out of a method."""
        count = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        units = f" in {self.signal.units}" if self.signal.units else ""
        rate = f" at {self.signal.rate_hz:g} Hz" if self.signal.rate_hz else ""
        return (
            f"{type(self).__name__}({count:,} parameters; {method}: [batch,"
            f" {sizes(self.raw_shape)}]{units}{rate} -> {into})"
        )

    @property
    def variables(self) -> dict[str, Any]:
        """Flax variables: `params` and any other collection."""
        return dict(self._variables)

    def as_raw(self, x: np.ndarray | jax.Array) -> jax.Array:
        """Examples in the model's units as raw ones, float32 `[b, *raw_shape]`.

        Args:
          x: `[b, ...]`, as a decoder or a generator gives them.

        Raises:
          BundleError: The model's units are those of a log-mel, whose phases are gone.
        """
        own = self.task.config.input
        if own.kind != "values":
            raise BundleError(
                "this model makes log-mels, of which phases are gone:"
                " sigjax.evals.autoencoders.inversion.to_sound finds some, by Griffin"
                " and Lim's algorithm"
            )
        made = jnp.asarray(x).reshape(-1, *self.raw_shape)
        return (made - own.offset) / own.scale

    def windows_of(
        self, x: np.ndarray, overlap: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Windows `[w, *raw_shape]` that cover a signal, and where each starts.

        The last reaches back, so that it ends with the signal.

        Args:
          x: `[s]` or `[s, c]`, as the model's windows; at least one window long.
          overlap: Share of a window that the next one covers too, in [0, 1).

        Raises:
          BundleError: The model takes no windows of signals, or the signal is too
            short.
        """
        x, shape = np.asarray(x), self.raw_shape
        if not self.signal.rate_hz:
            raise BundleError("this model takes whole examples, no windows of signals")
        if x.shape[1:] != shape[1:] or len(x) < shape[0]:
            raise BundleError(
                f"expected a signal [samples, ...] like windows of {sizes(shape)},"
                f" at least {shape[0]} samples, got {x.shape}"
            )
        starts = window_starts(len(x), shape[0], overlap)
        return np.stack([x[at : at + shape[0]] for at in starts]), starts

    def in_batches(
        self,
        function: Callable[[np.ndarray], Any],
        x: np.ndarray,
        *,
        batch_size: int = 64,
    ) -> np.ndarray:
        """A method of this model over many examples, compiled for one size of batch.

        Args:
          function: Such as `model.encode`.
          x: `[n, *raw_shape]`, one at least.
          batch_size: Examples at once.
        """
        size = min(batch_size, len(x))
        parts = []
        for at in range(0, len(x), size):
            some = x[at : at + size]
            rest = np.repeat(some[-1:], size - len(some), axis=0)
            parts.append(
                np.asarray(function(np.concatenate([some, rest])))[: len(some)]
            )
        return np.concatenate(parts)

    def _checked(self, x: np.ndarray | jax.Array) -> jax.Array:
        x = jnp.asarray(x)
        if x.shape[1:] != self.raw_shape or not x.ndim:
            raise BundleError(
                f"expected [batch, {sizes(self.raw_shape)}], got {tuple(x.shape)}"
            )
        return x


def key_of(seed: int | PRNGKey) -> PRNGKey:
    """A seed's key, or a key as it is."""
    return jax.random.key(seed) if isinstance(seed, int | np.integer) else seed


def sizes(shape: tuple[int, ...]) -> str:
    """A shape as text, without brackets."""
    return ", ".join(str(size) for size in shape)
