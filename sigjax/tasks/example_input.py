"""What comes between a batch of examples and an autoencoder: scaling, or a log-mel."""

import dataclasses
import math
from typing import Literal

import jax.numpy as jnp

from sigjax.signal.mel import MelConfig, frame_count, log_mel
from sigjax.tasks.sound_input import dequantised
from sigjax.typing import Array, Float, Num


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleInputConfig:
    """How raw examples become what a model takes.

    Attributes:
      kind: `"values"`: the raw values, scaled; `"log_mel"`: of a wave.
      scale: Of `"values"`: `x * scale + offset`, so 1 / 255 for images in [0, 1].
      offset: See `scale`.
      mel: Of `"log_mel"`, which needs it.
      top_db: Of `"log_mel"`: what lies so far below the loudest value of the clip
        becomes 0, that value 1. A clip's level is lost.
    """

    kind: Literal["values", "log_mel"] = "values"
    scale: float | int = 1.0
    offset: float | int = 0.0
    mel: MelConfig | None = None
    top_db: float | int = 80.0

    def __post_init__(self):
        """Refuses settings that belong to the other kind."""
        if self.kind not in ("values", "log_mel"):
            raise ValueError(f"input.kind is no kind of input: {self.kind!r}")
        if (self.kind == "log_mel") != (self.mel is not None):
            raise ValueError(
                "input.mel belongs to input.kind='log_mel', which needs it;"
                f" kind is {self.kind!r} and mel {self.mel}"
            )
        if self.kind == "log_mel" and (self.scale, self.offset) != (1.0, 0.0):
            raise ValueError("input.scale and input.offset are of kind='values' alone")
        if not self.scale:
            raise ValueError("input.scale must not be 0: every example would be alike")
        if not self.top_db > 0:
            raise ValueError(f"input.top_db must be positive, got {self.top_db}")


def example_input(
    x: Num[Array, "b *a"], config: ExampleInputConfig, shape: tuple[int, ...]
) -> Float[Array, "b *c"]:
    """Raw examples as a model takes them; a pure function, to be jitted.

    Args:
      x: Raw examples. `"values"`: `[b, ...]` of any numeric dtype; `"log_mel"`: int16
        `[b, s]`, or floating in units of full scale.
      config: How.
      shape: Of the model's input, without the batch. Axes of size 1 may come and go,
        and vectors become maps or maps vectors; axes are not exchanged.

    Returns:
      Float32 `[b, *shape]`. A `"log_mel"` is `[t, f, 1]` in [0, 1], or what `shape`
      makes of it; a clip of silence is 1 everywhere.

    Raises:
      ValueError: An example is not of the model's shape.
    """
    if config.mel is None:
        x = x.astype(jnp.float32) * config.scale + config.offset
        _check(x.shape[1:], shape, "an example")
        return x.reshape(len(x), *shape)
    if x.ndim != 2:
        raise ValueError(
            f"input.kind='log_mel' takes waves [b, s], got a batch of shape {x.shape}"
        )
    frames = frame_count(x.shape[1], config.mel)
    own = (frames, config.mel.n_mels, 1)
    _check(own, shape, f"the log-mel of {x.shape[1]} samples")
    db = log_mel(dequantised(x), config.mel)
    loudest = db.max(axis=(1, 2), keepdims=True)
    level = jnp.clip((db - loudest + config.top_db) / config.top_db, 0.0, 1.0)
    return level.reshape(len(x), *shape)


def _check(own: tuple[int, ...], shape: tuple[int, ...], what: str) -> None:
    # A reshape would also take [t, f] for [f, t], and mix up both.
    one, other = (tuple(size for size in s if size != 1) for s in (own, shape))
    flat = len(one) <= 1 or len(other) <= 1
    if one != other and not (flat and math.prod(one) == math.prod(other)):
        raise ValueError(
            f"{what} has shape {own}, {math.prod(own)} values, but the model takes"
            f" {shape}, {math.prod(shape)}: change model.input_shape or the input"
        )
