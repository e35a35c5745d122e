"""What a bundle of audio events holds: of this package, or of launch.convert."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from sigjax.config import build
from sigjax.data.segments import Short
from sigjax.models.ast import AstConfig
from sigjax.models.audio_classifier import AudioClassifierConfig
from sigjax.models.dat import DatConfig
from sigjax.tasks.audio_events import HEADS, AudioEventsConfig

# What launch.convert calls the bundles of other people's backbones.
_BACKBONES = {"ast": AstConfig, "dat": DatConfig}


@dataclasses.dataclass(frozen=True, kw_only=True)
class EventModelConfig:
    """What a bundle of audio events holds under `model_config`.

    Attributes:
      task: What the model sees of a wave.
      model: Its architecture.
      classes: Names of each head's classes, in output order: pairs of head and names.
      short: What becomes of waves shorter than a window: `"pad"` or `"tile"`, as in
        training.
    """

    task: AudioEventsConfig
    model: AudioClassifierConfig
    classes: tuple[tuple[str, tuple[str, ...]], ...]
    short: Short = "pad"


def config_of(info: Mapping[str, Any], params: Mapping[str, Any]) -> EventModelConfig:
    """The config of a bundle.

    Args:
      info: Its `bundle.json`.
      params: Its parameters, which tell whether other people's network has a head.

    Raises:
      sigjax.config.ConfigError: A key is unknown, missing or of the wrong type.
    """
    if info["model"] in _BACKBONES:
        return _of_converted(info, params)
    return build(EventModelConfig, info["model_config"], path="model_config")


def _of_converted(
    info: Mapping[str, Any], params: Mapping[str, Any]
) -> EventModelConfig:
    """The config of other people's backbone, as launch.convert wrote it."""
    kind = info["model"]
    backbone = build(_BACKBONES[kind], info["model_config"], path="model_config")
    taken, labels = info["preprocessing"], tuple(info.get("labels") or ())
    extra = info.get("extra") or {}
    target = "single" if extra.get("target") == "single" else "multi"
    head = HEADS[target][0]
    count = params["head"]["logits"]["kernel"].shape[-1] if "head" in params else 0
    names = labels or tuple(f"class {number}" for number in range(count))
    fbank = taken["fbank"]
    task = build(
        AudioEventsConfig,
        {
            "target": target,
            "fbank": fbank,
            "frames": taken["frames"],
            "window_s": info["signal"]["window_s"],
            "mean": taken["mean"],
            "std": taken["std"],
            "time_mask": 0,
            "band_mask": 0,
            "mixup": 0.0,
        },
        path="preprocessing",
    )
    model = AudioClassifierConfig(
        heads=((head, count),) if count else (),
        head_norm="norm" in params.get("head", {}),
        head_eps=extra.get("head_eps", 1e-5),
        ast=backbone if isinstance(backbone, AstConfig) else None,
        dat=backbone if isinstance(backbone, DatConfig) else None,
    )
    classes = ((head, names),) if count else ()
    return EventModelConfig(task=task, model=model, classes=classes)
