"""Which audio events are trained on, and what is cut out of them."""

import dataclasses
from typing import Literal

from sigjax.data.reader_config import ReaderConfig
from sigjax.data.segments import Short

Layout = Literal["esc50", "audioset", "epic_kitchens"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulatedEventsConfig:
    """Simulated events, for trying things out without data.

    Attributes:
      layout: Whose files are written: `"esc50"` has one label a clip and 5 folds,
        `"audioset"` any number of labels, `"epic_kitchens"` verbs and nouns.
      clips: How many; of each class in `"esc50"`, of each split in the others.
      classes: How many classes of sound, at most those of the simulator.
      clip_s: Length of each; of a few a little less or more.
      rate_hz: Sampling rate of the files.
      seed: Another seed, other sounds.
    """

    layout: Layout = "esc50"
    clips: int = 10
    classes: int = 4
    clip_s: float = 2.0
    rate_hz: int = 16000
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class EventDataConfig(ReaderConfig):
    """Which clips, and what is cut out of them.

    A set with folds is divided by `test_fold` (and `validation_fold`): all other folds
    are trained on. Without `test_fold` the splits decide, which the set was published
    with.

    Attributes:
      dataset: Folder of a set of audio events (`launch.build_events`). With `simulate`,
        and if empty, one that is built under `WORKDIR/sets`.
      batch_size: Clips in a global batch.
      window_s: Length of what a model sees, seconds. 10.24 s at 16 kHz are 1,022 whole
        frames of 25 ms, 10 ms apart.
      train_splits: Splits to train on, where there is no `test_fold`.
      validation_splits: Those to choose the step with.
      test_splits: Those to report on.
      test_fold: Fold to report on; 0 to divide by splits.
      validation_fold: Fold to choose the step with; 0 for none.
      validation_fraction: Share of what is left to train on that is held out instead,
        to choose the step with: whole groups, so that clips of one source never
        cross, and where clips have one label, of each class alike.
      classes: `"all"` of the set; or `"trained"`, those with a clip to train on: clips
        of others are then counted and left out.
      sampling: `"uniform"`, every clip once an epoch; or `"balanced"`, with
        replacement and with a weight of the sum over a clip's classes of one through
        how many clips of the class are trained on, as AST samples AudioSet.
      short: What becomes of clips shorter than a window: `"pad"` with zeros behind
        (`valid` tells how many samples are sound), or `"tile"`: repeated.
      validation_windows: Of longer clips that are held out: `"centre"`, one; or
        `"sliding"`, all, whose figures count for their clip in equal parts. In training
        a window is drawn at random.
      hop_s: From one sliding window to the next; 0 for windows that do not overlap.
      seed: Of what is held out, of the order and of the crops.
      simulate: Simulate files and build a set of them first; None for real ones.
      workers: Reader processes; 0 reads in threads.
      read_threads: Batches read at once.
      prefetch_batches: Batches kept ready on the host.
    """

    dataset: str
    window_s: float = 10.24
    train_splits: tuple[str, ...] = ("train",)
    validation_splits: tuple[str, ...] = ("validation",)
    test_splits: tuple[str, ...] = ("test",)
    test_fold: int = 0
    validation_fold: int = 0
    validation_fraction: float = 0.0
    classes: Literal["all", "trained"] = "all"
    sampling: Literal["uniform", "balanced"] = "uniform"
    short: Short = "pad"
    validation_windows: Literal["centre", "sliding"] = "centre"
    hop_s: float = 0.0
    simulate: SimulatedEventsConfig | None = None

    def __post_init__(self):
        """Refuses sizes without meaning and words that are none."""
        super().__post_init__()
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction {self.validation_fraction} is not in [0, 1)"
            )
        if not self.window_s > 0:
            raise ValueError(f"window_s must be positive, got {self.window_s}")
        if not 0 <= self.hop_s <= self.window_s:
            raise ValueError(
                f"hop_s {self.hop_s} is not in [0, window_s]: windows of"
                f" {self.window_s} s would leave gaps"
            )
        for name, allowed in (
            ("classes", ("all", "trained")),
            ("sampling", ("uniform", "balanced")),
            ("short", ("pad", "tile")),
            ("validation_windows", ("centre", "sliding")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} must be {' or '.join(map(repr, allowed))}, got"
                    f" {getattr(self, name)!r}"
                )
        if min(self.test_fold, self.validation_fold) < 0:
            raise ValueError("test_fold and validation_fold are counted from 1")
        if self.validation_fold and not self.test_fold:
            raise ValueError("validation_fold is given without test_fold")
        if self.test_fold and self.test_fold == self.validation_fold:
            raise ValueError(
                f"fold {self.test_fold} is test_fold and validation_fold: a step chosen"
                " on what is reported is no result"
            )
