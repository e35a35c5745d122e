"""The linear probe: the sections of its config."""

import dataclasses

from launch.wrist.har_wrist import EncoderConfig
from sigjax.data.har_config import HarDataConfig
from sigjax.evals.probe import ProbeConfig
from sigjax.tasks.classification import ClassificationConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class HarProbe:
    """Logistic regression on a frozen encoder: one section per field.

    Attributes:
      seed: Of an encoder that was never trained.
      task: Lengths and classes; it has no augmentation.
      data: Who trains and who is tested, and how long a window is.
      encoder: Whose tokens.
      probe: Which features, and the penalty.
    """

    seed: int
    task: ClassificationConfig
    data: HarDataConfig
    encoder: EncoderConfig
    probe: ProbeConfig
