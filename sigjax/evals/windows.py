"""Runs a classifier over labelled windows: predictions, and embeddings of some rows."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import numpy as np
from scipy.special import softmax

from sigjax.data.windows import LabelledWindows
from sigjax.evals.predictions import Predictions, PredictionsError


class Signal(Protocol):
    """What a model takes in."""

    @property
    def rate_hz(self) -> float:
        """Sampling rate."""
        ...

    @property
    def channels(self) -> int:
        """Channels."""
        ...


class Classifier(Protocol):
    """What is needed of a model; `sigjax.load` gives such ones."""

    @property
    def labels(self) -> Sequence[str]:
        """Class names, in the order of the logits."""
        ...

    @property
    def label_s(self) -> float:
        """Seconds that one label stands for."""
        ...

    @property
    def signal(self) -> Signal:
        """What it takes in."""
        ...

    def logits(self, x: np.ndarray, valid_samples: np.ndarray) -> Any:
        """Float `[b, n, v]` of `[b, s, c]` in g, of which `valid_samples` are real."""
        ...

    def tokens(self, x: np.ndarray, valid_samples: np.ndarray) -> Any:
        """Float `[b, n, d]`, what the head sees."""
        ...


class Rows(NamedTuple):
    """Where the rows of a source's predictions are.

    Attributes:
      window: Int64 `[r]`, index into the source.
      place: Int64 `[r]`, which label window of it.
    """

    window: np.ndarray
    place: np.ndarray


def rows_of(source: LabelledWindows) -> Rows:
    """Every whole label window of a source's windows once.

    Of a last window that reaches back, only what the one before it has not. Sources
    whose windows overlap otherwise have rows twice, which `predictions.order` refuses.
    """
    label_samples = source.samples // source.labels
    samples = np.array([s.samples for s in source.dataset.segments], np.int64)
    whole = samples[source.segment] // label_samples - source.first
    stop = np.minimum(whole, source.labels)
    windows = np.arange(len(source))
    count = np.maximum(stop - source.seen, 0)
    window = np.repeat(windows, count)
    before = np.cumsum(count) - count
    place = np.arange(len(window)) - before[window] + source.seen[window]
    return Rows(window, place)


def predict_windows(
    model: Classifier,
    source: LabelledWindows,
    *,
    batch_size: int | None = None,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> Predictions:
    """Runs a model over windows: one row per whole label window, in time order.

    Args:
      model: What `sigjax.load` gives for a classifier's bundle.
      source: Windows, whose labels become the truth.
      batch_size: Windows per call of the model; by default what suits the device.
      progress: Wraps the iteration over batches, such as `tqdm.tqdm`.

    Raises:
      PredictionsError: Class names, sampling rate, axes or label length of model and
        source differ; or a score is not finite.
      DatasetError: Records cannot be read.
    """
    columns = _check(model, source)
    rows = rows_of(source)
    logits, labels = [], []
    windows = np.unique(rows.window)
    for _, batch, found in _run(model.logits, source, windows, batch_size, progress):
        logits.append(found)
        labels.append(batch["label"])
    # Where each window landed: those without a row were not run.
    at = np.searchsorted(windows, rows.window)
    chosen = np.concatenate(logits)[at, rows.place][:, columns]
    segments = [source.dataset.segments[i] for i in source.segment]
    starts = np.array([source.start(i) for i in range(len(source))])
    label = np.concatenate(labels)[at, rows.place]
    return Predictions(
        classes=tuple(source.classes),
        probability=softmax(chosen.astype(np.float64), axis=-1).astype(np.float32),
        label=label.astype(np.int32),
        person=np.array([s.person for s in segments])[rows.window],
        recording=np.array([s.recording for s in segments])[rows.window],
        time=starts[rows.window] + rows.place * source.dataset.label_s,
    )


def embed_rows(
    model: Classifier,
    source: LabelledWindows,
    chosen: np.ndarray,
    *,
    batch_size: int | None = None,
    progress: Callable[[Sequence[int]], Iterable[int]] = iter,
) -> np.ndarray:
    """Embeddings of some rows of `predict_windows`: those of all may not fit in memory.

    Args:
      model: As for `predict_windows`.
      source: The same.
      chosen: Int `[k]`, indices of rows, ascending.
      batch_size: Windows per call of the model.
      progress: Wraps the iteration over batches.

    Returns:
      Float32 `[k, d]`.
    """
    _check(model, source)
    rows = rows_of(source)
    window, place = rows.window[chosen], rows.place[chosen]
    found = []
    for some, _, tokens in _run(
        model.tokens, source, np.unique(window), batch_size, progress
    ):
        here = np.isin(window, some)
        found.append(tokens[np.searchsorted(some, window[here]), place[here]])
    return np.concatenate(found).astype(np.float32)


def _run(
    call: Callable[[np.ndarray, np.ndarray], Any],
    source: LabelledWindows,
    windows: np.ndarray,
    batch_size: int | None,
    progress: Callable[[Sequence[int]], Iterable[int]],
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]]:
    """Yields windows, their batch and what the model makes of them, batch by batch."""
    size = min(batch_size or _batch_size(), len(windows))
    waiting = None
    for first in progress(range(0, len(windows), size)):
        some = windows[first : first + size]
        batch = source.read([source.fixed_plan(int(i), 0) for i in some])
        x = batch["counts"] * batch["scale"][:, None, None]
        # A full batch always: another size would compile again.
        more = size - len(some)
        x = np.concatenate([x, np.repeat(x[-1:], more, axis=0)])
        valid = np.concatenate([batch["valid"], np.repeat(batch["valid"][-1:], more)])
        # The next batch is read while the device works on this one.
        now = some, batch, call(x, valid)
        if waiting is not None:
            yield _arrived(*waiting)
        waiting = now
    if waiting is not None:
        yield _arrived(*waiting)


def _arrived(some, batch, out) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    return some, batch, np.asarray(out)[: len(some)]


def _batch_size() -> int:
    """Windows at a time: what keeps an accelerator busy, and fits a CPU's caches."""
    return 4 if jax.default_backend() == "cpu" else 32


def _check(model: Classifier, source: LabelledWindows) -> list[int]:
    """Columns of the logits in the order of the source's classes."""
    path, scheme = source.dataset.path, source.config.scheme
    ours, theirs = list(model.labels), list(source.classes)
    if sorted(ours) != sorted(theirs):
        unknown = [name for name in theirs if name not in ours]
        surplus = [name for name in ours if name not in theirs]
        raise PredictionsError(
            f"the model and the label scheme {scheme!r} of {path} have different"
            f" classes: only the scheme has {', '.join(unknown) or 'none'}; only the"
            f" model has {', '.join(surplus) or 'none'}. Choose the scheme that the"
            f" model was trained on; the set has {', '.join(source.dataset.schemes)}"
        )
    signal = model.signal
    for name, there, here in (
        ("rate_hz", signal.rate_hz, source.dataset.rate_hz),
        ("label_s", model.label_s, source.dataset.label_s),
        ("axes", signal.channels, 3),
    ):
        if abs(there - here) > 1e-6:
            raise PredictionsError(
                f"the model takes {name}={there:g} but {path} has {here:g}: build the"
                " set again with the model's, or train a model on this set"
            )
    return [ours.index(name) for name in theirs]
