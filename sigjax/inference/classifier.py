"""A classifier out of its bundle: what was done in each label window of a recording."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from sigjax.config import build
from sigjax.data.formats import ReadOptions
from sigjax.data.recording import PreparedRecording
from sigjax.data.wearable.prepare import PRESETS
from sigjax.inference.base import BundleError, SignalConfig, prepare
from sigjax.inference.overlap import merge, window_starts
from sigjax.models.window_classifier import WindowClassifier, WindowClassifierConfig


class ClassifierModel:
    """An encoder and a head with class names, ready for use.

    A window holds `n` label windows of `label_s` each; there are `v` classes.

    Attributes:
      params: Float32 parameters, `encoder` and `head`.
      state: Other collections (`batch_stats`, `statistics`), each like `params`.
      config: Architecture.
      signal: What it takes in.
      labels: Class names, in the order of the scores.
      label_s: Seconds that one label stands for.
      info: The whole of `bundle.json`.
    """

    def __init__(
        self,
        params: Any,
        info: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
    ):
        """Builds the classifier that `info` describes.

        Raises:
          BundleError: If its parts do not fit together.
        """
        self.params = jax.tree.map(jnp.asarray, params)
        self.state = jax.tree.map(jnp.asarray, dict(state or {}))
        self.config = build(
            WindowClassifierConfig, info["model_config"], path="model_config"
        )
        self.signal = build(SignalConfig, info["signal"], path="signal")
        self.labels = tuple(info.get("labels") or ())
        self.info = info
        _check(self.config, self.signal, self.labels)
        assert self.signal.label_s is not None
        self.label_s = self.signal.label_s
        module = WindowClassifier(self.config)

        @jax.jit
        def tokens(variables, x, length):
            return module.apply(variables, x, length, method=WindowClassifier.encode)

        @jax.jit
        def logits(variables, x, length):
            return module.apply(variables, x, length)

        @jax.jit
        def probability(variables, x, length):
            return jax.nn.softmax(jnp.asarray(module.apply(variables, x, length)))

        self._tokens, self._logits, self._probability = tokens, logits, probability

    def __repr__(self) -> str:
        """One line: what goes in and what comes out."""
        s = self.signal
        count = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        return (
            f"ClassifierModel({count:,} parameters; logits: [batch, samples,"
            f" {s.channels}] in {s.units} at {s.rate_hz:g} Hz -> [batch, samples /"
            f" {self.label_samples}, {len(self.labels)}]: {', '.join(self.labels)})"
        )

    @property
    def label_samples(self) -> int:
        """Samples per label window."""
        return self.config.label_samples

    @property
    def labels_per_window(self) -> int:
        """Label windows per window of `signal.window_s`."""
        return round(self.signal.window_s * self.signal.rate_hz) // self.label_samples

    def tokens(
        self, x: np.ndarray | jax.Array, valid_samples: np.ndarray | None = None
    ) -> jax.Array:
        """Embeddings of a batch of windows, one per label window; see `logits`.

        Returns:
          Float32 `[b, n, d]`.
        """
        return self._tokens(self._variables(), *self._batch(x, valid_samples))

    def logits(
        self, x: np.ndarray | jax.Array, valid_samples: np.ndarray | None = None
    ) -> jax.Array:
        """Class scores of a batch of windows; jitted, compiled once per shape.

        Args:
          x: Float `[b, s, c]` in `signal.units` (g) at `signal.rate_hz`; `s` is a
            multiple of `label_samples`. All `s` samples may see each other: cut long
            recordings to about `signal.window_s`, what the model was trained on.
          valid_samples: Int `[b]`, how many samples of each window are real; all
            without it. Padding after them does not change their scores; label windows
            that are not wholly real have scores without meaning.

        Returns:
          Float32 `[b, n, v]`.

        Raises:
          BundleError: If a shape does not fit, or a window has no whole label window.
        """
        return self._logits(self._variables(), *self._batch(x, valid_samples))

    def prepare(
        self,
        path: epath.PathLike,
        options: ReadOptions | None = None,
        *,
        name: str = "",
        person_regex: str = "",
        **changes: Any,
    ) -> PreparedRecording:
        """Prepares a raw device file as the training data were; see `base.prepare`.

        But for two things that labelled data sets often have done already, or are too
        short for, and raw files need: where the training data were not calibrated
        here, files are (van Hees et al. 2014), and where non-wear was not looked for,
        stationary periods of more than 90 minutes are found.
        """
        trained = self.info["preprocessing"]
        needed = {}
        if trained.get("calibration") == "none":
            needed["calibration"] = PRESETS["paper"].calibration
        if trained.get("nonwear_min", 0) is None:
            needed["nonwear_min"] = PRESETS["paper"].nonwear_min
        return prepare(
            path,
            self.info,
            options,
            name=name,
            person_regex=person_regex,
            **{**needed, **changes},
        )

    def classify(
        self,
        stretch: np.ndarray,
        *,
        overlap: float = 0.0,
        batch_size: int | None = None,
    ) -> np.ndarray:
        """Probabilities of one contiguous stretch; see `classify_all`.

        Args:
          stretch: Float `[s, c]` in g at `signal.rate_hz`, of any length.
          overlap: See `classify_all`.
          batch_size: See `classify_all`.

        Returns:
          Float32 `[s // label_samples, v]`, rows sum to one.
        """
        (found,) = self.classify_all([stretch], overlap=overlap, batch_size=batch_size)
        return found

    def classify_all(
        self,
        stretches: Sequence[np.ndarray],
        *,
        overlap: float = 0.0,
        batch_size: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[np.ndarray]:
        """Probabilities of several stretches, whose windows share batches.

        Windows are `signal.window_s` long and start `(1 - overlap)` of that apart; a
        label window that several cover gets the mean of their probabilities. The last
        window reaches back. A stretch shorter than a window is padded, and the model
        told so. Samples at the end that fill no label window have no row.

        Args:
          stretches: Each float `[s, c]` in g at `signal.rate_hz`, of any length.
          overlap: Share of a window that the next one covers too, in `[0, 1)`.
          batch_size: Windows per call of the model; chosen by device if None.
          progress: Called with windows done and windows in all, after every batch.

        Returns:
          For each, float32 `[s // label_samples, v]`; rows sum to one.

        Raises:
          BundleError: If a stretch has another number of channels.
          ValueError: If `overlap` is not in `[0, 1)`.
        """
        for stretch in stretches:
            if stretch.ndim != 2 or stretch.shape[1] != self.signal.channels:
                raise BundleError(
                    f"expected [samples, {self.signal.channels}], got {stretch.shape}"
                )
        rows = [len(stretch) // self.label_samples for stretch in stretches]
        starts = [window_starts(r, self.labels_per_window, overlap) for r in rows]
        todo = [(i, int(s)) for i, some in enumerate(starts) for s in some]
        shape = (self.labels_per_window, len(self.labels))
        found = [np.empty((len(some), *shape), np.float32) for some in starts]
        flat = ((i, k) for i, some in enumerate(starts) for k in range(len(some)))
        size = min(batch_size or _batch_size(), max(len(todo), 1))
        for done, probability in self._batches(stretches, rows, todo, size):
            for values in probability:
                i, k = next(flat)
                found[i][k] = values
            if progress is not None:
                progress(done, len(todo))
        return [merge(*parts) for parts in zip(found, starts, rows, strict=True)]

    def _batches(
        self,
        stretches: Sequence[np.ndarray],
        rows: Sequence[int],
        todo: Sequence[tuple[int, int]],
        size: int,
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Yields windows done, and probabilities `[b, n, v]`, batch by batch."""
        label, per_window = self.label_samples, self.labels_per_window
        # A full batch always: another size would compile again.
        x = np.zeros((size, per_window * label, self.signal.channels), np.float32)
        length = np.ones(size, np.int32)
        waiting = None
        for first in range(0, len(todo), size):
            some = todo[first : first + size]
            x = np.zeros_like(x)
            for place, (i, start) in enumerate(some):
                length[place] = min(per_window, rows[i] - start)
                part = stretches[i][start * label :][: length[place] * label]
                x[place, : len(part)] = part
            # The next batch is cut while the device works on this one.
            now = self._probability(self._variables(), x, length.copy())
            if waiting is not None:
                yield first, np.asarray(waiting)
            waiting = now[: len(some)]
        if waiting is not None:
            yield len(todo), np.asarray(waiting)

    def _variables(self) -> dict[str, Any]:
        return {"params": self.params, **self.state}

    def _batch(
        self, x: np.ndarray | jax.Array, valid_samples: np.ndarray | None
    ) -> tuple[jax.Array, jax.Array]:
        """Samples and whole label windows, checked."""
        s, label = self.signal, self.label_samples
        x = jnp.asarray(x, jnp.float32)
        if x.ndim != 3 or x.shape[2] != s.channels or not x.shape[1]:
            raise BundleError(
                f"expected [batch, samples, {s.channels}], got {tuple(x.shape)}"
            )
        if x.shape[1] % label:
            raise BundleError(
                f"expected samples a multiple of {label} ({self.label_s:g} s at"
                f" {s.rate_hz:g} Hz), got {x.shape[1]}"
            )
        if valid_samples is None:
            return x, jnp.full(len(x), x.shape[1] // label, jnp.int32)
        valid = np.asarray(valid_samples)
        if valid.shape != (len(x),) or (valid < label).any():
            raise BundleError(
                f"valid_samples must be [{len(x)}] and at least {label}, one label"
                f" window, got {valid}"
            )
        return x, jnp.minimum(valid, x.shape[1]).astype(jnp.int32) // label


def _batch_size() -> int:
    """Windows at a time: what keeps an accelerator busy, and fits a CPU's caches."""
    return 4 if jax.default_backend() == "cpu" else 32


def _check(
    config: WindowClassifierConfig, signal: SignalConfig, labels: tuple[str, ...]
) -> None:
    if len(labels) != config.head.classes:
        raise BundleError(
            f"the bundle names {len(labels)} labels but its head gives"
            f" {config.head.classes} scores"
        )
    label_s = config.label_samples / signal.rate_hz
    if signal.label_s is None or abs(signal.label_s - label_s) > 0.5 / signal.rate_hz:
        raise BundleError(
            f"the bundle's signal says label_s={signal.label_s}, but its model gives a"
            f" label every {label_s:g} s"
        )
    if signal.channels != config.channels:
        raise BundleError(
            f"the bundle's signal has {signal.channels} channels, its model takes"
            f" {config.channels}"
        )
    if signal.window_s * signal.rate_hz + 0.5 < config.label_samples:
        raise BundleError(
            f"a window of {signal.window_s:g} s holds no label window of {label_s:g} s"
        )
