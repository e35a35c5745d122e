"""Windows of a labelled set of wrist recordings."""

import numpy as np

from sigjax.data.examples.config import ExampleDataConfig
from sigjax.data.examples.example_set import UNKNOWN, ExampleError, example_set
from sigjax.data.examples.loaded import Loaded, undivided
from sigjax.data.labelled import LabelledSet
from sigjax.data.windows import LabelledWindows, Window, WindowConfig

_AT_ONCE = 1024


def windows(config: ExampleDataConfig) -> Loaded:
    """Windows, float32 `[s, 3]` in g, with or without a label; groups are people.

    A window's label is that of most of its label windows, of several the first class.
    What is behind the last whole window of a stretch is left out.

    Raises:
      ExampleError: Lengths do not fit the set's records.
      sigjax.data.datasets.folders.DatasetError: There is no set, or no window in it.
    """
    dataset = LabelledSet.open(config.path)
    wanted = WindowConfig(
        scheme=config.scheme or dataset.default_scheme,
        window_s=config.window_s,
        stride_s=config.stride_s or config.window_s,
        tail="drop",
        unlabelled=True,
    )
    try:
        source = LabelledWindows(dataset, tuple(dataset.people), wanted)
    except ValueError as error:
        raise ExampleError(f"{dataset.path}: {error}") from error
    x = np.empty((len(source), source.samples, 3), np.float32)
    label = np.empty(len(source), np.int32)
    for at in range(0, len(source), _AT_ONCE):
        here = range(at, min(at + _AT_ONCE, len(source)))
        batch = source.read([Window(index, 0) for index in here])
        x[here] = batch["counts"] * batch["scale"][:, None, None]
        label[here] = [_most(row, len(source.classes)) for row in batch["label"]]
    segments = [dataset.segments[number] for number in source.segment]
    ids = [
        f"{segment.recording}:{segment.segment}@{first * dataset.label_s:g}"
        for segment, first in zip(segments, source.first, strict=True)
    ]
    simulated = "SIMULATED " if dataset.simulated else ""
    examples = example_set(
        x,
        label=label,
        group=[segment.person for segment in segments],
        ids=ids,
        classes=source.classes,
        rate_hz=dataset.rate_hz,
        units="g",
        origin=f"{simulated}windows of {config.window_s:g} s of {dataset.path}",
    )
    lost = source.summary["hours_outside_windows"]
    told = f"{lost:g} of {source.summary['hours']:g} hours fill no window: left out"
    return undivided(examples)._replace(remarks=(told,) if lost else ())


def _most(labels: np.ndarray, classes: int) -> int:
    counts = np.bincount(labels[labels >= 0], minlength=classes)
    return int(counts.argmax()) if counts.any() else UNKNOWN
