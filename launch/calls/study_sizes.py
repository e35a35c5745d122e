"""Sizes of the study: encoders, how they are pre-trained, how they are probed."""

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Any

from launch.calls.study_data import ESC10, FSDD
from sigjax.evals.layer_probes import ProbeProtocol, protocol


@dataclasses.dataclass(frozen=True, kw_only=True)
class Size:
    """How much is spent.

    Attributes:
      says: In words.
      variant: Of `configs/speech_encoder.py`.
      overrides: Of that, by set.
      probes: By set.
    """

    says: str
    variant: str
    overrides: Mapping[str, Mapping[str, Any]]
    probes: Mapping[str, ProbeProtocol]

    def trained_says(self, name: str) -> str:
        """How encoders of a set are pre-trained, in words."""
        module = importlib.import_module("configs.speech_encoder")
        config = module.get_config(self.variant)
        config.update_from_flattened_dict(dict(self.overrides[name]))
        crops = f"{config.data.batch_size} crops of up to {config.data.window_s:g} s"
        return f"pre-trained for {config.train.steps:,} steps of {crops}"


# Splits say who is held out: nothing is drawn from those that are trained on.
_OVERRIDES = {"data.validation_fraction": 0.0}
_SEEDS = (0, 1, 2)

NANO = Size(
    says="0.9 million parameters: convolutions of 64 channels, 4 blocks of width 128",
    variant="nano+short",
    overrides={
        FSDD: _OVERRIDES,
        # Clips of 5 s have room for the paper's spans.
        ESC10: {
            **_OVERRIDES,
            "data.window_s": 1.0,
            "task.mask_length": 10,
            "task.mask_rate": 0.08,
            "train.steps": 400,
            "train.evaluate_every": 400,
            "train.checkpoint_every": 100,
        },
    },
    probes={
        FSDD: protocol("default", seeds=_SEEDS),
        # 240 calls are two batches of the default: too few steps an epoch to stop by.
        ESC10: protocol("default", seeds=_SEEDS, batch=16),
    },
)
_TINY = {
    **_OVERRIDES,
    "model.conv_dim": (8,) * 7,
    "model.width": 16,
    "model.depth": 1,
    "model.heads": 2,
    "model.mlp": 16,
    "model.pos_taps": 4,
    "model.pos_groups": 2,
    "data.window_s": 0.2,
    "data.batch_size": 4,
    "task.clusters": 5,
    "task.code_width": 8,
    "clusters.starts": 1,
    "clusters.passes": 2,
    "optim.warmup_steps": 1,
    "train.steps": 2,
    "train.log_every": 1,
    "train.checkpoint_every": 2,
    "train.evaluate_every": 2,
}
SMOKE = Size(
    says="one block of width 16",
    variant="nano+short",
    overrides={name: _TINY for name in (FSDD, ESC10)},
    probes={
        name: protocol("default", seeds=(0, 1), epochs=2, batch=16)
        for name in (FSDD, ESC10)
    },
)
SIZES = {"nano": NANO, "smoke": SMOKE}
