"""Inference bundles: what `launch.export` writes and `sigjax.load` reads.

BUNDLE/params/       plain Orbax checkpoint, loadable with Orbax alone
BUNDLE/state/        likewise, what a model has beside parameters (running statistics)
BUNDLE/bundle.json   model, its config, preprocessing, signal, labels, versions, source

A detector of machine sounds has more parts: see `sigjax.inference.sounds.bundle`.
"""

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Union

from etils import epath

import sigjax
from sigjax.inference.audio_events import AudioEventsModel
from sigjax.inference.autoencoder import AutoencoderModel
from sigjax.inference.base import FORMAT, BundleError, SignalConfig
from sigjax.inference.classifier import ClassifierModel
from sigjax.inference.code_classifier import CodeClassifierModel
from sigjax.inference.generator import GeneratorModel
from sigjax.inference.harnet import HarNetModel
from sigjax.inference.mae import Embedding, MaeModel
from sigjax.inference.segmentation import SegmenterModel
from sigjax.inference.sounds.detector import SoundDetector
from sigjax.inference.speech_encoder import SpeechEncoderModel
from sigjax.train.checkpoint import load_params, save_params

if TYPE_CHECKING:  # It needs scikit-learn, which is slow to import.
    from sigjax.inference.anomaly_detector import AutoencoderDetector

__all__ = [
    "MODELS",
    "AudioEventsModel",
    "AutoencoderModel",
    "BundleError",
    "ClassifierModel",
    "CodeClassifierModel",
    "Embedding",
    "GeneratorModel",
    "HarNetModel",
    "MaeModel",
    "Model",
    "SegmenterModel",
    "SignalConfig",
    "SoundDetector",
    "SpeechEncoderModel",
    "load",
    "read_info",
    "save",
]

_READABLE = (1, FORMAT)

Model = Union[  # noqa: UP007
    MaeModel,
    HarNetModel,
    ClassifierModel,
    SoundDetector,
    "AutoencoderDetector",
    AudioEventsModel,
    AutoencoderModel,
    GeneratorModel,
    CodeClassifierModel,
    SegmenterModel,
    SpeechEncoderModel,
]

# None for the class that `load` imports when it is asked for.
MODELS: Mapping[str, Any] = {
    "mae": MaeModel,
    "harnet10": HarNetModel,
    "window_classifier": ClassifierModel,
    "sound_detector": SoundDetector,
    "autoencoder_detector": None,
    "audio_events": AudioEventsModel,
    "autoencoder": AutoencoderModel,
    "generator": GeneratorModel,
    "code_classifier": CodeClassifierModel,
    "segmenter": SegmenterModel,
    # Other people's, as launch.convert writes them.
    "ast": AudioEventsModel,
    "dat": AudioEventsModel,
    "speech": SpeechEncoderModel,
}
# Those that write their bundles, and read them, themselves.
_OWN = ("sound_detector", "autoencoder_detector")


def save(
    path: epath.PathLike,
    *,
    model: str,
    params: Any,
    state: Mapping[str, Any] | None = None,
    model_config: Any,
    signal: SignalConfig,
    preprocessing: Mapping[str, Any],
    source_run: Mapping[str, Any],
    labels: tuple[str, ...] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Writes a bundle, replacing one that is there.

    Args:
      path: Folder or URL.
      model: A key of `MODELS`, but for detectors, which write their bundles.
      params: Parameters, on any devices.
      state: The model's other collections, such as `{"batch_stats": ...}`.
      model_config: The model's config dataclass.
      signal: What the model takes in.
      preprocessing: How its training data were prepared: the description of their
        store (`PrepareConfig` fields, and under `read` those of `ReadOptions`).
      source_run: Where the parameters come from; free form.
      labels: Class names in output order, for classifiers.
      extra: Whatever else is worth knowing, such as the figures on held-out people.

    Raises:
      BundleError: If the model is unknown, or a classifier has no labels.
    """
    if model not in MODELS:
        raise BundleError(f"unknown model {model!r}; known: {', '.join(MODELS)}")
    if model in _OWN:
        raise BundleError(f"a {model} writes its bundle itself: detector.save")
    if model in ("window_classifier", "code_classifier") and not labels:
        raise BundleError("a classifier's bundle needs its labels, in output order")
    path = epath.Path(path)
    path.mkdir(parents=True, exist_ok=True)
    # First, so that one that is replaced is no bundle while its parts change.
    (path / "bundle.json").unlink(missing_ok=True)
    save_params(path / "params", params)
    if (path / "state").exists():
        (path / "state").rmtree()
    if state:
        save_params(path / "state", dict(state))
    info = {
        "format": FORMAT,
        "model": model,
        "model_config": dataclasses.asdict(model_config),
        "signal": dataclasses.asdict(signal),
        "preprocessing": dict(preprocessing),
        "labels": labels,
        "sigjax_version": sigjax.__version__,
        "source_run": dict(source_run),
        "extra": dict(extra or {}),
    }
    # Last, so that a bundle with this file is whole.
    (path / "bundle.json").write_text(json.dumps(info, indent=1) + "\n")


def load(path: epath.PathLike) -> Model:
    """Reads a bundle onto the default device, whatever devices it was trained on.

    Args:
      path: What `launch.export`, `launch.finetune`, `launch.convert` or
        `launch.fit_sounds` wrote; see `sigjax.bundles` for those that come with sigjax.

    Returns:
      By what the bundle holds:
        `MaeModel`: `apply` (batches), `embed` (signals and raw files).
        `HarNetModel`: `apply`.
        `ClassifierModel`: `logits` (batches), `prepare` (raw files), `classify`
          (signals of any length).
        `SoundDetector`: `score`, `nearest`, `fit`, `anomaly_map`.
        `AutoencoderDetector`: `predict`, `decision_function`.
        `AutoencoderModel`: `encode`, `decode`, `apply`, `denoise`, `score`, `sample`
          (batches).
        `GeneratorModel`: `sample`, `generate` (latent vectors), `score` (batches).
        `CodeClassifierModel`: `classify`, `logits`, `codes` (batches).
        `AudioEventsModel`: `predict` (waves of any length), `logits`, `features`
          (batches).
        `SegmenterModel`: `segment` (waves of any length), `probabilities` (batches).
        `SpeechEncoderModel`: `embed` (waves of any length, features of all layers),
          `layers` (frames), `apply`, `moments` (batches).

    Raises:
      BundleError: If there is no bundle, it is of a newer format, or a detector's is
        damaged.
      sigjax.train.checkpoint.CheckpointError: If its parameters cannot be read.
    """
    path = epath.Path(path)
    info = read_info(path)
    if info["model"] == "autoencoder_detector":
        from sigjax.inference.anomaly_detector import AutoencoderDetector

        return AutoencoderDetector.read(path, info)
    if info["model"] == "sound_detector":
        return SoundDetector.read(path, info)
    params = load_params(path / "params")
    state = load_params(path / "state") if (path / "state").exists() else {}
    return MODELS[info["model"]](params, info, state)


def read_info(path: epath.PathLike) -> dict[str, Any]:
    """A bundle's `bundle.json`.

    Raises:
      BundleError: If there is no bundle, or it is of a newer format.
    """
    path = epath.Path(path)
    file = path / "bundle.json"
    if not file.exists():
        raise BundleError(
            f"{path} is no bundle (bundle.json is missing): write one with"
            " `python -m launch.export --workdir=RUN --output=BUNDLE`"
        )
    try:
        info = json.loads(file.read_text())
    except json.JSONDecodeError as error:
        raise BundleError(f"{file} is damaged: {error}") from None
    if info.get("format") not in _READABLE or info.get("model") not in MODELS:
        raise BundleError(
            f"{file} has format {info.get('format')} and model {info.get('model')!r};"
            f" sigjax {sigjax.__version__} reads formats up to {FORMAT} and models"
            f" {', '.join(MODELS)}"
        )
    return info
