"""Capture-24: 151 people, about 24 hours each, annotated from a body camera.

Chan Chang et al. 2021 (ORA, uuid:99d7c092-d865-4a19-b096-cc16440cd001, CC BY 4.0).
Its recordings are calibrated already, on a grid of 100 Hz, and a third of the samples
has no annotation.
"""

import dataclasses
import logging
from typing import Any

from etils import epath

from sigjax.data.datasets.builder import LabelledBuilder
from sigjax.data.datasets.folders import DatasetError
from sigjax.data.datasets.records import BuildSettings
from sigjax.data.formats import capture24_labels
from sigjax.data.wearable import prepare

DICTIONARY = "annotation-label-dictionary.csv"
PARTICIPANTS = "metadata.csv"


class Capture24(LabelledBuilder, skip_registration=True):
    """Capture-24, prepared: wrist acceleration and annotations of 10 s windows."""

    BESIDE = (DICTIONARY, PARTICIPANTS)

    def schemes(self, settings: BuildSettings) -> dict[str, dict[str, str]]:
        """The six published ones, from the dictionary beside the recordings."""
        path = _beside(settings.input, DICTIONARY)
        if not path.exists():
            raise DatasetError(
                f"{path} is missing: it turns annotations into classes. Put the one of"
                " capture24.zip there."
            )
        found = capture24_labels.read_dictionary(path)
        return {
            name: dict(zip(found.annotations, classes, strict=True))
            for name, classes in found.labels.items()
        }

    def about_people(self, settings: BuildSettings) -> dict[str, dict[str, str]]:
        """Age group and sex."""
        path = _beside(settings.input, PARTICIPANTS)
        if not path.exists():
            logging.getLogger(__name__).warning(
                "%s is missing: the set will not tell people's age and sex", path
            )
            return {}
        people = capture24_labels.read_participants(path)
        return {person: row._asdict() for person, row in people.items()}


def settings(input: str, **changes: Any) -> BuildSettings:  # noqa: A002 (a flag's name)
    """How the paper prepares Capture-24, in records of five minutes.

    Lorenzen et al. 2025: 15 Hz low-pass, 30 Hz, non-wear dropped, contiguous wear of
    at least 1 h, labels of 10 s. Without calibration: the published files have it.
    A window of 50 minutes at any stride of 5 minutes is ten records.

    Args:
      input: Folder with `P001.csv.gz`... and the dictionary.
      **changes: Fields of `BuildSettings`.
    """
    paper = dataclasses.replace(
        prepare.PRESETS["paper"], calibration="none", min_wear_h=1.0
    )
    given = {"prepare": paper, "record_s": 300.0, "label_s": 10.0, **changes}
    return BuildSettings(input=input, **given)


def _beside(where: str, name: str) -> epath.Path:
    path = epath.Path(where)
    return (path if path.is_dir() else path.parent) / name
