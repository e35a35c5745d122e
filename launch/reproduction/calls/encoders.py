"""Encoders of cells: a bundle, or one with random weights; and how large they are."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from etils import epath

import sigjax
from sigjax import export
from sigjax.inference.base import BundleError
from sigjax.inference.speech_encoder import SpeechEncoderModel
from sigjax.models.speech_encoder import SpeechEncoder, SpeechEncoderConfig

# Of a checkpoint, but of no encoder's frames.
_ASIDE = ("ctc", "mask")
_RATE_HZ = 16000


def write_random(folder: epath.Path, random: Mapping[str, Any]) -> epath.Path:
    """Writes a bundle with random weights, unless it is there.

    Args:
      folder: Of the cell.
      random: `config`, fields of `SpeechEncoderConfig`; `seed`; `normalise`.
    """
    path = folder / "bundle"
    if (path / "bundle.json").exists():
        return path
    config = SpeechEncoderConfig(**random["config"])
    init = jax.jit(SpeechEncoder(config).init)
    wave = jnp.zeros((1, config.min_samples))
    export.save(
        path,
        model="speech",
        params=init(jax.random.key(random["seed"]), wave)["params"],
        model_config=config,
        signal=export.SignalConfig(
            rate_hz=_RATE_HZ,
            channels=1,
            units="full scale",
            window_s=config.min_samples / _RATE_HZ,
            patch_s=config.hop / _RATE_HZ,
            normalisation=random["normalise"],
        ),
        preprocessing={"rate_hz": _RATE_HZ, "normalise": random["normalise"]},
        source_run={"random": random["seed"]},
    )
    return path


def opened(path: epath.PathLike) -> SpeechEncoderModel:
    """The encoder of a bundle.

    Raises:
      BundleError: It is of something else.
    """
    model = sigjax.load(path)
    if not isinstance(model, SpeechEncoderModel):
        raise BundleError(f"{path} holds a {type(model).__name__}, no speech encoder")
    return model


def counted(config: SpeechEncoderConfig, params: Any) -> dict[str, float]:
    """Parameters in 10^6 without heads and mask vectors, width and blocks.

    Args:
      config: Of the encoder.
      params: Arrays, or their shapes.
    """
    own = {name: value for name, value in params.items() if name not in _ASIDE}
    count = sum(leaf.size for leaf in jax.tree.leaves(own))
    return {
        "parameters_m": count / 1e6,
        "width": config.width,
        "blocks": config.depth,
    }


def published(kind: Any) -> dict[str, float]:
    """The same of the base size of a kind, of which no weights are made."""
    config = SpeechEncoderConfig(kind=kind)
    shapes = jax.eval_shape(
        SpeechEncoder(config).init, jax.random.key(0), jnp.zeros((1, 720))
    )
    return counted(config, shapes["params"])
