"""Any labelled recordings: tables with a label column, or a format that has one."""

import dataclasses
from typing import Any

from sigjax.data.datasets.builder import LabelledBuilder
from sigjax.data.datasets.records import BuildSettings
from sigjax.data.wearable import prepare


class LabelledCsv(LabelledBuilder, skip_registration=True):
    """Labelled tables, prepared: wrist acceleration and the label of each window."""

    def schemes(self, settings: BuildSettings) -> dict[str, dict[str, str]]:
        """None but the labels themselves, which every set has as `"annotation"`."""
        del settings
        return {}


def settings(input: str, **changes: Any) -> BuildSettings:  # noqa: A002 (a flag's name)
    """The paper's filter and grid, and nothing left out.

    Labelled recordings are often short and seated: there is no rest long enough to
    calibrate with, and a still minute is not non-wear.

    Args:
      input: Folder, file or pattern.
      **changes: Fields of `BuildSettings`.
    """
    everything = dataclasses.replace(
        prepare.PRESETS["paper"], calibration="none", nonwear_min=None, min_wear_h=0.0
    )
    given = {"prepare": everything, "record_s": 10.0, "label_s": 10.0, **changes}
    return BuildSettings(input=input, **given)
