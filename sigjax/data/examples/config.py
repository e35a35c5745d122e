"""Which examples are trained on, and which are kept apart."""

import dataclasses
from typing import Literal, get_args

from sigjax.data.reader_config import ReaderConfig

Source = Literal["digits", "mnist", "points", "clips", "windows", "arrays"]
PointKind = Literal["ring", "spiral"]
# What lies in a file or folder that the config names.
READ_FROM = {
    "clips": "a table of `launch.build_calls`",
    "windows": "the folder of a labelled set of `launch.build_dataset`",
    "arrays": "an .npz with x, and label, group, ids as far as they are known",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PointsConfig:
    """Points of the plane, simulated.

    Attributes:
      kind: `"ring"`: Gaussians on a circle, each a class; `"spiral"`: a curve with
        noise about it.
      count: How many points.
      modes: Gaussians of the ring.
      radius: Of the ring, or of the spiral's outer end.
      sd: Standard deviation of each Gaussian, or of the noise about the curve.
      seed: Another seed, other points.
    """

    kind: PointKind = "ring"
    count: int = 4096
    modes: int = 8
    radius: float = 2.0
    sd: float = 0.02
    seed: int = 0

    def __post_init__(self):
        """Refuses sizes without meaning."""
        if self.kind not in get_args(PointKind):
            raise ValueError(f"kind must be one of {', '.join(get_args(PointKind))}")
        if min(self.count, self.modes) < 1 or self.radius <= 0 or self.sd < 0:
            raise ValueError(
                f"count {self.count}, modes {self.modes} and radius {self.radius} must"
                f" be positive, sd {self.sd} not negative"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleDataConfig(ReaderConfig):
    """Which examples, how they are divided, and which labels are shown.

    Attributes:
      source: `"digits"`: scikit-learn's 1,797 images of 8 x 8. `"mnist"`: MNIST through
        TensorFlow Datasets. `"points"`: see `points`. `"clips"`: sounds of a table.
        `"windows"`: of a labelled set of wrist recordings. `"arrays"`: an .npz.
      path: See `READ_FROM`; of `"mnist"` the folder of TFDS's sets, by default TFDS's
        own (`$TFDS_DATA_DIR` or `~/tensorflow_datasets`).
      points: Of `"points"`.
      samples: Of `"clips"`: longer ones lose what is before and behind the middle,
        zeros follow shorter ones.
      rate_hz: Of `"clips"`: all are resampled to it.
      channel: Of `"clips"` with several: an index, or `"mean"`.
      window_s: Of `"windows"`: length, seconds.
      stride_s: Of `"windows"`: from one to the next, seconds; 0 for `window_s`.
      scheme: Of `"windows"`: the label scheme; empty for the set's default.
      held_out: Share of all examples that is held out, chosen by a hash of their ids.
      held_out_groups: Persons, speakers or recordings that are held out.
      held_out_splits: Splits that are held out: of `"mnist"` it has `"train"` and
        `"test"`, of `"clips"` those of the table.
      trained_classes: Classes that are trained on; empty for all. Those held out are
        of all classes: to train on what is normal.
      labelled: Share of the training labels that is shown, of each class at least one;
        the others are -1. A smaller share is part of a larger one.
      missing_classes: `"error"` refuses data without a labelled training example of
        some class; `"ignore"` says so.
      batch_size: Examples in a global batch.
      seed: Of what is held out, of which labels are shown, and of the order.
      workers: Reader processes; 0 reads in threads.
      read_threads: Batches read at once.
      prefetch_batches: Batches kept ready.
    """

    source: Source
    path: str = ""
    points: PointsConfig = PointsConfig()
    samples: int = 0
    rate_hz: int = 0
    channel: int | str = 0
    window_s: float = 0.0
    stride_s: float = 0.0
    scheme: str = ""
    held_out: float = 0.0
    held_out_groups: tuple[str, ...] = ()
    held_out_splits: tuple[str, ...] = ()
    trained_classes: tuple[str, ...] = ()
    labelled: float = 1.0
    missing_classes: Literal["error", "ignore"] = "ignore"

    def __post_init__(self):
        """Refuses sizes without meaning and divisions that contradict each other."""
        super().__post_init__()
        if self.source not in get_args(Source):
            raise ValueError(f"source must be one of {', '.join(get_args(Source))}")
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out {self.held_out} is not in [0, 1)")
        if not 0 < self.labelled <= 1:
            raise ValueError(f"labelled {self.labelled} is not in (0, 1]")
        if self.missing_classes not in ("error", "ignore"):
            raise ValueError(
                "missing_classes must be 'error' or 'ignore', got"
                f" {self.missing_classes!r}"
            )
        ways = ("held_out", "held_out_groups", "held_out_splits")
        given = [name for name in ways if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} say who is held out; give one")
        if self.source == "clips" and min(self.samples, self.rate_hz) < 1:
            raise ValueError(
                f"clips need samples and rate_hz, got {self.samples} and {self.rate_hz}"
            )
        if self.source == "windows" and not self.window_s > 0:
            raise ValueError(f"windows need window_s, got {self.window_s}")
        if self.stride_s < 0:
            raise ValueError(f"stride_s {self.stride_s} is negative")
