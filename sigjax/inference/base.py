"""What all bundles share: the signal they take in, and how a raw file becomes it."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from etils import epath

from sigjax.config import build
from sigjax.data.formats import ReadOptions
from sigjax.data.recording import PreparedRecording
from sigjax.data.wearable.jobs import prepare_file
from sigjax.data.wearable.prepare import PrepareConfig

# Of `bundle.json`. 2 adds `state/` and, to the signal, `label_s`.
FORMAT = 2


class BundleError(ValueError):
    """A bundle cannot be read, or an input does not fit it; says which and why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignalConfig:
    """What the model takes in.

    Attributes:
      rate_hz: Sampling rate.
      channels: Channels, in device order (x y z).
      units: Physical unit of the samples.
      window_s: Length the model was trained on; longer and shorter inputs are allowed.
      patch_s: Length of a patch, hence of a token.
      normalisation: What is done to samples first: `"none"` for accelerometry in g.
      label_s: Length of what a classifier gives one label; None for encoders.
    """

    rate_hz: float
    channels: int
    units: str
    window_s: float
    patch_s: float
    normalisation: str = "none"
    label_s: float | None = None

    @property
    def patch_samples(self) -> int:
        """Samples per token."""
        return round(self.patch_s * self.rate_hz)


def read_options(info: Mapping[str, Any]) -> ReadOptions:
    """How the training data of a bundle were read, from its `bundle.json`."""
    return ReadOptions.from_json(info["preprocessing"]["read"])


def prepare(
    path: epath.PathLike,
    info: Mapping[str, Any],
    options: ReadOptions | None = None,
    *,
    name: str = "",
    person_regex: str = "",
    **changes: Any,
) -> PreparedRecording:
    """Prepares a raw device file as the training data of a bundle were.

    Short stretches of wear and recordings that cannot be calibrated are kept:
    `quality["calibration"]` says whether it was (`ok`) and why not (`reason`).

    Args:
      path: A file that `sigjax.data.formats` reads.
      info: The whole of `bundle.json`.
      options: How to read the file (columns of a table, time zone); as the training
        data were read if None.
      name: Of the prepared recording; the file's name by default.
      person_regex: See `sigjax.data.wearable.names.person_of`.
      **changes: Fields of `PrepareConfig` that are to differ from the training data's.

    Raises:
      BundleError: The bundle does not say how its training data were prepared, or
        they were at another rate than its model takes.
      sigjax.data.recording.FormatError: If the file cannot be read.
    """
    settings = dict(info["preprocessing"])
    if "read" not in settings:
        raise BundleError(
            "this bundle does not say how its training data were prepared: prepare the"
            " recording yourself and give the model arrays"
        )
    trained = ReadOptions.from_json(settings.pop("read"))
    config = build(PrepareConfig, settings, path="preprocessing")
    if config.rate_hz != info["signal"]["rate_hz"]:
        raise BundleError(
            f"the bundle's preprocessing gives {config.rate_hz:g} Hz but its model"
            f" takes {info['signal']['rate_hz']:g} Hz"
        )
    kept = {"min_wear_h": 0.0, "on_calibration_failure": "keep"}
    config = dataclasses.replace(config, **{**kept, **changes})
    return prepare_file(
        path,
        config,
        name=name or epath.Path(path).stem,
        options=options or trained,
        person_regex=person_regex,
    )
