"""Trained backbones for the encoder of a segmenter, from bundles and runs."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath
from flax import traverse_util

from launch.audio_events.encoders import adopted, bundle_in, fitted
from launch.autoencoders.weights import read_weights
from launch.segmentation.system import SegmenterArchitecture, SoundSegmentation
from sigjax import export
from sigjax.config import ConfigError
from sigjax.models.ast import AstConfig
from sigjax.models.dat import DatConfig
from sigjax.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from sigjax.models.mobilenet import MobileNetV2Config
from sigjax.models.section_classifier import SectionClassifierConfig
from sigjax.tasks.example_input import ExampleInputConfig

# Sections of an encoder-decoder, by what they hold.
_SECTIONS: Mapping[type, str] = {
    AstConfig: "ast",
    DatConfig: "dat",
    SectionClassifierConfig: "sections",
    MobileNetV2Config: "mobilenet",
    tuple: "stack",
}
# Of a classifier of sections: what makes the maps. What follows is of its clips' size.
_STAGES = ("stem", "stage", "block")
# Of a deformable transformer: what a config may add to the weights' own.
_ADDED = ("adaptor", "offsets")
_TAKEN = (
    "a network of audio events (launch.finetune, launch.convert), an autoencoder of"
    " log-mels that begins with convolutions, a detector with a classifier of sections,"
    " or a segmenter with a backbone"
)


class Backbone(NamedTuple):
    """What is taken of a bundle.

    Attributes:
      architecture: Of the encoder: a tuple of layers, or a config.
      variables: By collection, nested, NumPy arrays.
      source: Where they come from; free form.
      input: What they were trained on, if a segmenter can have the same.
      told: What they saw otherwise, for people.
    """

    architecture: Any
    variables: Mapping[str, Any]
    source: Mapping[str, Any]
    input: ExampleInputConfig | None = None
    told: str = ""


class Pretrained(NamedTuple):
    """A network and the weights that its encoder starts from.

    Attributes:
      model: What is trained with them.
      given: A part of its variables to start from; empty from scratch.
      source: Where they come from; free form.
      notes: What was changed or left out, for people.
    """

    model: SegmenterArchitecture
    given: Mapping[str, Any] = {}
    source: Mapping[str, Any] = {}
    notes: tuple[str, ...] = ()


def check(system: SoundSegmentation) -> None:
    """Refuses weights for a network that has no backbone.

    Raises:
      ConfigError: Saying what to change.
    """
    if system.encoder.weights and system.model.kind != "encoder_decoder":
        raise ConfigError(
            f"encoder.weights={system.encoder.weights!r} needs a network with a"
            f" backbone, model.kind='encoder_decoder', got {system.model.kind!r}: take"
            " a variant of configs/segmentation.py such as dat, ast or stack"
        )


def pretrained(system: SoundSegmentation, workdir: epath.Path) -> Pretrained:
    """The network of a run and the weights its encoder starts from.

    The encoder's architecture is that of the weights, but for what
    `launch.audio_events.encoders.DECIDED_HERE` lists, and sizes of spectrograms.

    Args:
      system: The run's.
      workdir: Its folder.

    Raises:
      ConfigError: `encoder.weights` names nothing, a network of another kind, or one
        whose parameters are not those of the encoder; it lists which.
      sigjax.export.BundleError: The bundle cannot be read.
    """
    if not system.encoder.weights:
        return Pretrained(system.model)
    own = system.model.encoder_decoder
    assert own is not None
    found = _backbone(system.encoder.weights, workdir)
    where = f"encoder.weights={system.encoder.weights!r}"
    if found.input is not None and found.input != system.task.input:
        raise ConfigError(
            f"{where} was trained on input={found.input}, this config has"
            f" {system.task.input}: make task.mel and task.top_db equal"
        )
    model = dataclasses.replace(
        system.model, encoder_decoder=_with(own, found.architecture, where)
    )
    system = dataclasses.replace(system, model=model)
    wanted, notes = _shapes(system), [found.told] if found.told else []
    given = {}
    for collection, tree in found.variables.items():
        if collection in wanted:
            tree, more = fitted(tree, wanted[collection])
            notes += more
        given[collection] = tree
    _check_names(given, wanted, where)
    return Pretrained(
        model=model,
        given={name: {"encoder": tree} for name, tree in given.items()},
        source=found.source,
        notes=tuple(notes),
    )


def _backbone(weights: str, workdir: epath.Path) -> Backbone:
    path = bundle_in(epath.Path(weights).expanduser())
    if path is None or export.read_info(path)["model"] == "autoencoder":
        # A run of launch.pretrain does as well; what is none is refused there.
        return _of_autoencoder(weights if path is None else str(path), workdir)
    model: Any = export.load(path)
    if isinstance(model, export.AudioEventsModel):
        bank = model.config.task.fbank
        return Backbone(
            architecture=model.config.model.backbone,
            variables=_arrays({"params": model.params["backbone"]}),
            source={"bundle": str(path), **model.info["source_run"]},
            told=f"the weights saw filter banks of {bank.n_mels} bands at"
            f" {bank.rate_hz:g} Hz with mean 0 and deviation 0.5, not log-mels in"
            " [0, 1]: the first layers have that to learn",
        )
    if isinstance(model, export.SegmenterModel):
        network = model.config.encoder_decoder
        if network is not None:
            named = {"params": model.params, **model.state}
            encoders = {k: v["encoder"] for k, v in named.items() if "encoder" in v}
            return Backbone(
                architecture=_encoder_of(network),
                variables=_arrays(encoders),
                source={"bundle": str(path), **model.info["source_run"]},
                input=model.config.task.input,
            )
    if isinstance(model, export.SoundDetector) and not model.network.is_autoencoder:
        return _of_detector(model, path)
    raise ConfigError(
        f"encoder.weights={weights!r} holds no backbone of spectrograms: {model}; give"
        f" the bundle of {_TAKEN}"
    )


def _of_autoencoder(weights: str, workdir: epath.Path) -> Backbone:
    found = read_weights(weights, workdir)
    layers = tuple(_leading(found.model.encoder))
    if not layers or found.input.kind != "log_mel" or len(found.model.input_shape) != 3:
        raise ConfigError(
            f"encoder.weights={weights!r} is an autoencoder of"
            f" {found.input.kind} of shape {found.model.input_shape} that begins with"
            f" {found.model.encoder[0].kind}; a segmenter takes the convolutions of one"
            " of log-mels (h, w, c)"
        )
    names = [f"layer{number}" for number in range(len(layers))]
    variables = {
        collection: {name: tree["encoder"][name] for name in names if name in
                     tree["encoder"]}
        for collection, tree in found.variables.items()
        if "encoder" in tree
    }  # fmt: skip
    return Backbone(
        architecture=layers,
        variables=_arrays(variables),
        source=found.source,
        input=found.input,
        told=""
        if found.model.base == "none"
        else "the weights saw log-mels less their mean example (model.base ="
        f" {found.model.base!r}), not log-mels: the first layers have that to learn",
    )


def _leading(layers: tuple[Any, ...]) -> Iterator[Any]:
    """The layers of maps that an encoder begins with."""
    for layer in layers:
        if layer.kind not in ("conv", "max_pool"):
            return
        yield layer


def _of_detector(model: export.SoundDetector, path: epath.Path) -> Backbone:
    task: Any = model.network.task
    if type(task.model_config) not in _SECTIONS:
        raise ConfigError(
            f"encoder.weights={str(path)!r}: {type(task.model_config).__name__} has no"
            f" maps of one spectrogram; give the bundle of {_TAKEN}"
        )
    variables = {
        collection: {k: v for k, v in tree["model"].items() if k.startswith(_STAGES)}
        if collection == "params"
        else {k: v for k, v in tree.items() if k.startswith(_STAGES)}
        for collection, tree in model.network.variables.items()
        if collection in ("params", "batch_stats")
    }
    return Backbone(
        architecture=task.model_config,
        variables=_arrays(variables),
        source={"bundle": str(path), **model.info["source_run"]},
        told="the weights saw log-mels with mean 0 and deviation 1, not in [0, 1]: the"
        " first layers have that to learn",
    )


def _encoder_of(network: EncoderDecoderConfig) -> Any:
    """The one encoder of a network."""
    names = _SECTIONS.values()
    return next(each for each in (getattr(network, n) for n in names) if each)


def _with(own: EncoderDecoderConfig, theirs: Any, where: str) -> EncoderDecoderConfig:
    """The config's network with the encoder of the weights."""
    name, ours = _SECTIONS[type(theirs)], _encoder_of(own)
    if type(ours) is not type(theirs):
        raise ConfigError(
            f"{where} holds an encoder of the kind {name!r}, model.encoder_decoder has"
            f" {_SECTIONS[type(ours)]!r}: take --config=configs/segmentation.py:{name}"
        )
    if isinstance(theirs, AstConfig | DatConfig):
        theirs = adopted(theirs, ours)
    elif not isinstance(theirs, tuple):
        theirs = dataclasses.replace(theirs, dtype=ours.dtype)
    return dataclasses.replace(own, **{name: theirs})


def _shapes(system: SoundSegmentation) -> dict[str, Any]:
    """Shapes of the encoder's variables, by collection."""
    config: Any = system.architecture(1)
    size = (1, system.task.frames, system.task.mel.n_mels, 1)
    x = jax.ShapeDtypeStruct(size, np.float32)
    try:
        made = jax.eval_shape(EncoderDecoder(config).init, jax.random.key(0), x)
    except ValueError as error:
        raise ConfigError(f"encoder.weights: {error}") from error
    found = {name: tree["encoder"] for name, tree in made.items() if "encoder" in tree}
    if isinstance(_encoder_of(config), SectionClassifierConfig | MobileNetV2Config):
        return {
            name: {k: v for k, v in tree.items() if k.startswith(_STAGES)}
            for name, tree in found.items()
        }
    return found


def _check_names(given: Mapping[str, Any], wanted: Mapping[str, Any], where: str):
    """Refuses variables that are not the encoder's.

    Raises:
      ConfigError: Lists what is missing, what is too much and what has another shape.
    """
    ours: Any = traverse_util.flatten_dict(dict(wanted), sep="/")
    theirs: Any = traverse_util.flatten_dict(dict(given), sep="/")
    missing = [
        name
        for name in sorted(ours.keys() - theirs.keys())
        if not set(_ADDED).intersection(name.split("/"))
    ]
    extra = sorted(theirs.keys() - ours.keys())
    other = [
        f"{name} {theirs[name].shape}, not {ours[name].shape}"
        for name in sorted(ours.keys() & theirs.keys())
        if theirs[name].shape != ours[name].shape
    ]
    told = [
        f"{what}: {', '.join(names)}"
        for what, names in (
            ("missing", missing), ("of no use", extra), ("of another shape", other),
        )
        if names
    ]  # fmt: skip
    if told:
        raise ConfigError(f"{where} does not fit the encoder; {'; '.join(told)}")


def _arrays(tree: Mapping[str, Any]) -> dict[str, Any]:
    return jax.tree.map(np.asarray, dict(tree))
