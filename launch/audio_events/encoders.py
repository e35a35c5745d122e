"""Trained backbones of spectrograms from wherever they are: bundles and runs."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from flax import traverse_util

from launch.audio_events.system import EventRecognition, class_counts
from sigjax import export
from sigjax.config import ConfigError
from sigjax.data.audio_events.stream import EventData
from sigjax.inference.audio_events import AudioEventsModel
from sigjax.models import ast
from sigjax.models.ast import AstConfig
from sigjax.models.audio_classifier import AudioClassifier, AudioClassifierConfig
from sigjax.models.dat import DatConfig
from sigjax.nn.deformable import resize_table
from sigjax.tasks.audio_events import AudioEventsConfig

# What the config decides, whatever the weights were trained with.
DECIDED_HERE: Mapping[type, tuple[str, ...]] = {
    AstConfig: ("dropout", "drop_path", "dtype", "remat", "unroll", "attention"),
    DatConfig: (
        "drop_path",
        "dtype",
        "deformable",
        "adaptor_strength",
        "adaptor_taps",
        "input_noise",
        "noise_scale",
        "design",
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A backbone's weights and what is known of them.

    Attributes:
      model: The classifier that is trained with them.
      given: A part of its variables to start from.
      source: Where they come from; free form.
      notes: What was changed or left out, for people.
    """

    model: AudioClassifierConfig
    given: Mapping[str, Any]
    source: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def model_of(system: EventRecognition, data: EventData) -> Pretrained:
    """The model of a run, and the weights it starts from; none from scratch.

    Raises:
      ConfigError: `encoder.weights` names nothing, or a backbone of another kind.
      sigjax.export.BundleError: The bundle cannot be read.
    """
    counts = class_counts(data)
    if not system.encoder.weights:
        return Pretrained(model=system.classifier(counts), given={}, source={})
    path = bundle_in(epath.Path(system.encoder.weights).expanduser())
    if path is None:
        raise ConfigError(
            f"encoder.weights={system.encoder.weights} holds no bundle: give one of"
            " launch.convert, or a finished run of launch.finetune"
        )
    found = export.load(path)
    if not isinstance(found, AudioEventsModel):
        raise ConfigError(
            f"encoder.weights={system.encoder.weights!r} is no bundle of an audio"
            f" network: {found}"
        )
    theirs = found.config.model.backbone
    wanted = AstConfig if system.encoder.kind == "ast" else DatConfig
    if not isinstance(theirs, wanted):
        raise ConfigError(
            f"encoder.kind={system.encoder.kind!r} but {path} holds weights of"
            f" {type(theirs).__name__}"
        )
    ours = system.encoder.architecture
    model = system.classifier(counts, adopted(theirs, ours))
    params = jax.tree.map(np.asarray, found.params)
    backbone, notes = _fitted(params["backbone"], model, system.task)
    given = {"backbone": backbone}
    if system.encoder.keep_head:
        given |= _heads(found, params, data, path)
    return Pretrained(
        model=model,
        given={"params": given},
        source={"bundle": str(path), **found.info["source_run"]},
        notes=notes,
    )


def bundle_in(path: epath.Path) -> epath.Path | None:
    """The bundle that a folder is, or that the run in it left; None without one."""
    for folder in (path, path / "bundle"):
        if (folder / "bundle.json").exists():
            return folder
    return None


def adopted(
    theirs: AstConfig | DatConfig, ours: AstConfig | DatConfig
) -> AstConfig | DatConfig:
    """An architecture of weights, with what the config decides whatever they are."""
    kept = {name: getattr(ours, name) for name in DECIDED_HERE[type(theirs)]}
    return dataclasses.replace(theirs, **kept)


def _fitted(
    params: Mapping[str, Any], model: AudioClassifierConfig, task: AudioEventsConfig
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A backbone's parameters for the task; see `fitted`."""
    x = jax.ShapeDtypeStruct((1, task.frames, task.fbank.n_mels), np.float32)
    own = jax.eval_shape(AudioClassifier(model).init, jax.random.key(0), x)
    return fitted(params, own["params"]["backbone"])


def fitted(
    params: Mapping[str, Any], own: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A backbone's parameters for other spectrograms and the config's ablations.

    Positions and tables of positions are resized; an input adaptor or offset network
    that the config does without is left out. What else does not fit stays as it is, and
    is refused where training starts.

    Args:
      params: As trained.
      own: Arrays or their shapes, of the backbone that is to start from them.

    Returns:
      The parameters, and notes for people of what was changed, left out or not there.
    """
    found: dict[str, Any] = {}
    resized, left_out = 0, set()
    wanted: Any = traverse_util.flatten_dict(dict(own))
    value: Any
    for path, value in traverse_util.flatten_dict(dict(params)).items():
        extra = {"adaptor", "offsets"}.intersection(path)
        if path not in wanted and extra:
            left_out |= extra
            continue
        shape = wanted[path].shape if path in wanted else value.shape
        if value.shape != shape and path[-1] == "positions":
            value, resized = ast.resize_positions(value, shape[:2]), resized + 1
        elif value.shape != shape and path[-1] == "table" and value.ndim == 3:
            size = (shape[1] + 1) // 2, (shape[2] + 1) // 2
            value = np.asarray(resize_table(jnp.asarray(value), size))
            resized += 1
        found["/".join(path)] = value
    notes = [f"left out of the weights: {name}" for name in sorted(left_out)]
    if resized:
        notes.append(f"tables of positions resized to the task's size: {resized}")
    fresh = sorted({p[0] for p in wanted if "/".join(p) not in found})
    if fresh:
        notes.append(f"from random weights: {', '.join(fresh)}")
    return traverse_util.unflatten_dict(found, sep="/"), tuple(notes)


def _heads(
    found: AudioEventsModel,
    params: Mapping[str, Any],
    data: EventData,
    path: epath.Path,
) -> dict[str, Any]:
    if found.classes != dict(data.classes):
        theirs = {head: len(names) for head, names in found.classes.items()}
        raise ConfigError(
            f"encoder.keep_head: the classes of {path} ({theirs}) are not those of"
            f" {data.dataset.path} ({class_counts(data)}), or in another order"
        )
    return {name: tree for name, tree in params.items() if name != "backbone"}
