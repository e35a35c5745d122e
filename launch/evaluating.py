"""What launch.evaluate needs of a bundle: the room of its model, with one function.

Each kind of model has its own libraries, so its room is imported when it is asked for.
"""

import dataclasses
import importlib
from collections.abc import Mapping
from typing import Protocol, cast

from etils import epath

from sigjax import export
from sigjax.inference.audio_events import AudioEventsModel
from sigjax.inference.autoencoder import AutoencoderModel
from sigjax.inference.classifier import ClassifierModel
from sigjax.inference.code_classifier import CodeClassifierModel
from sigjax.inference.generator import GeneratorModel
from sigjax.inference.harnet import HarNetModel
from sigjax.inference.mae import MaeModel
from sigjax.inference.segmentation import SegmenterModel
from sigjax.inference.sounds.detector import SoundDetector
from sigjax.inference.speech_encoder import SpeechEncoderModel

ROOMS: Mapping[type | None, str] = {
    ClassifierModel: "launch.wrist.bundle_evaluation",
    AudioEventsModel: "launch.audio_events.bundle_evaluation",
    SegmenterModel: "launch.segmentation.bundle_evaluation",
    CodeClassifierModel: "launch.autoencoders.classifier_evaluation",
    AutoencoderModel: "launch.autoencoders.bundle_evaluation",
}
_ENCODER = (
    "holds an encoder without classes: train a head with launch.finetune, or compare"
    " features with launch.probe; the losses of a run that trained one are those of"
    " --workdir=RUN"
)
# None is the detector of rows and windows, whose class is imported when it is loaded.
INSTEAD: Mapping[type | None, str] = {
    GeneratorModel: "is a generator (a GAN), which says nothing of given data: evaluate"
    " the run that trained it, --workdir=RUN, or draw with sigjax.load(BUNDLE).sample",
    MaeModel: _ENCODER,
    HarNetModel: _ENCODER,
    SpeechEncoderModel: "is a speech encoder, which has no classes: launch.extract"
    " gives its features of a table of calls, and launch.probe judges them",
    SoundDetector: "is a detector of machine sounds: evaluate the run behind it,"
    " --workdir=RUN, or score a year's files with --submission and --truth;"
    " launch.predict scores recordings",
    None: "is a detector of rows and windows: sigjax.load(BUNDLE).decision_function(x)"
    " scores arrays, and sigjax.metrics.detection.roc_auc judges scores",
}


class EvaluationError(ValueError):
    """What is asked for cannot be evaluated, or should not be; says why."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of an evaluation, beside bundle and data.

    Attributes:
      scheme: Label scheme of a labelled set; the set's default if empty.
      split: Division of people by name or path; of clips and examples splits, separated
        by commas; everything if empty.
      side: Side of the division of people.
      min_purity: A label counts if this share of its raw samples has it.
      allow_training_people: Also evaluate what was trained on.
      batch_size: Windows or examples at a time; None chooses.
      bootstrap: Resamples of people, groups or sources.
      seed: Of the resamples and of the points drawn.
      points: Embeddings drawn at most; 0 for none.
    """

    scheme: str = ""
    split: str = ""
    side: str = "test"
    min_purity: float = 0.0
    allow_training_people: bool = False
    batch_size: int | None = None
    bootstrap: int = 1000
    seed: int = 0
    points: int = 20_000

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of splits of clips or examples."""
        return tuple(filter(None, self.split.split(",")))

    def refuse(self, *names: str, why: str) -> None:
        """Says which of some fields were given that mean nothing here.

        Raises:
          EvaluationError: One was.
        """
        blank = Asked()
        given = [n for n in names if getattr(self, n) != getattr(blank, n)]
        if given:
            raise EvaluationError(f"{', '.join(f'--{n}' for n in given)}: {why}")


class Room(Protocol):
    """A kind of model's module."""

    def evaluate_bundle(
        self,
        bundle: epath.PathLike,
        dataset: epath.PathLike,
        output: epath.PathLike,
        asked: Asked,
    ) -> str:
        """Evaluates a bundle on data; results go to a folder, a table is returned."""
        ...


def room_of(bundle: epath.PathLike) -> Room:
    """The room of a bundle's model.

    Raises:
      BundleError: There is no bundle.
      EvaluationError: Bundles of its kind are not evaluated; says what to do instead.
    """
    name = export.read_info(bundle)["model"]
    kind = export.MODELS[name]
    if kind not in ROOMS:
        raise EvaluationError(f"{bundle} {INSTEAD[kind]}")
    return cast(Room, importlib.import_module(ROOMS[kind]))
