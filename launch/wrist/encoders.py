"""Trained encoders from wherever they are: runs, bundles, converted weights."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from launch.systems import load_run
from launch.wrist.har_wrist import EncoderConfig, HarWrist
from launch.wrist.wrist_mae import WristMae
from sigjax import export
from sigjax.config import ConfigError, build
from sigjax.data.store import Store, StoreError
from sigjax.inference.base import SignalConfig
from sigjax.models.harnet import HarNetConfig
from sigjax.models.mae import MaeConfig
from sigjax.models.window_classifier import WindowClassifier, WindowClassifierConfig
from sigjax.train.checkpoint import CheckpointError, latest_params

UNTRAINED = "untrained"

# What a masked autoencoder has beside its encoder.
_NOT_ENCODER = ("head",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pretrained:
    """An encoder's weights and what is known of them.

    Attributes:
      kind: `"mae"` or `"harnet10"`.
      architecture: Its config.
      params: Parameters, nested, NumPy arrays.
      state: Other collections (`batch_stats`), each nested like `params`.
      signal: What it takes in.
      preprocessing: How its training data were prepared; empty if that is unknown.
      source: Where it comes from; free form.
    """

    kind: str
    architecture: MaeConfig | HarNetConfig
    params: Any
    state: Mapping[str, Any]
    signal: SignalConfig
    preprocessing: Mapping[str, Any]
    source: Mapping[str, Any]

    def variables(self) -> dict[str, Any]:
        """As a part of a `WindowClassifier`'s variables."""
        named = {"params": self.params, **self.state}
        return {collection: {"encoder": tree} for collection, tree in named.items()}


def load_encoder(config: EncoderConfig) -> Pretrained | None:
    """What `encoder.weights` names; None from scratch.

    Raises:
      ConfigError: It names nothing, or an encoder of another kind.
      sigjax.export.BundleError: The bundle cannot be read.
      sigjax.train.checkpoint.CheckpointError: The run has no such checkpoint.
    """
    if config.weights in ("", UNTRAINED):
        return None
    path = epath.Path(config.weights)
    if (path / "bundle.json").exists():
        if config.step is not None:
            raise ConfigError(
                f"encoder.step={config.step}: {path} is a bundle, which has one step"
            )
        found = _from_bundle(path)
    elif (path / "config.json").exists():
        found = _from_run(path, config.step)
    else:
        raise ConfigError(
            f"encoder.weights={config.weights!r} holds neither bundle.json nor"
            " config.json: give a bundle, or the directory of a run"
        )
    if found.kind != config.kind:
        raise ConfigError(
            f"encoder.kind={config.kind!r} but {path} holds weights of {found.kind!r}"
        )
    return found


def _from_bundle(path: epath.Path) -> Pretrained:
    model = export.load(path)
    if isinstance(model, export.SoundDetector):
        raise ConfigError(f"encoder.weights={path} is a detector of machine sounds")
    if isinstance(model, export.AudioEventsModel | export.SpeechEncoderModel):
        raise ConfigError(f"encoder.weights={path} is a network of sound")
    if not isinstance(
        model, export.MaeModel | export.HarNetModel | export.ClassifierModel
    ):
        raise ConfigError(f"encoder.weights={path} is no encoder of wrist recordings")
    info = model.info
    params = jax.tree.map(np.asarray, model.params)
    state: Mapping[str, Any] = {}
    if isinstance(model, export.ClassifierModel):
        architecture = model.config.mae or model.config.harnet
        params = params["encoder"]
        state = {k: v["encoder"] for k, v in model.state.items() if "encoder" in v}
    else:
        architecture = model.config
        if isinstance(model, export.HarNetModel):
            state = model.state
    assert architecture is not None
    kind = "mae" if isinstance(architecture, MaeConfig) else "harnet10"
    return Pretrained(
        kind=kind,
        architecture=architecture,
        params=_encoder_of(params),
        state=jax.tree.map(np.asarray, dict(state)),
        signal=model.signal,
        preprocessing=info["preprocessing"],
        source={"bundle": str(path), **info["source_run"]},
    )


def _from_run(path: epath.Path, step: int | None) -> Pretrained:
    system, saved = load_run(path)
    if isinstance(system, HarWrist):
        raise ConfigError(
            f"{path} is a run of launch.finetune: give its bundle, {path / 'bundle'}"
        )
    assert isinstance(system, WristMae)
    step, params = latest_params(path, step)
    try:
        store = system.data.store or str(path / "store")
        preprocessing: Mapping[str, Any] = Store.open(store).description
    except StoreError:  # moved or deleted since: only a comparison is lost
        preprocessing = {}
    return Pretrained(
        kind="mae",
        architecture=system.model,
        params=_encoder_of(params),
        state={},
        signal=signal_of(system),
        preprocessing=preprocessing,
        source={"workdir": str(path), "step": step, **saved},
    )


def signal_of(system: WristMae) -> SignalConfig:
    """What a pre-trained encoder takes in."""
    task = system.task
    return SignalConfig(
        rate_hz=task.rate_hz,
        channels=task.channels,
        units="g",
        window_s=task.window_s,
        patch_s=task.patch_s,
    )


def _encoder_of(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: v for name, v in params.items() if name not in _NOT_ENCODER}


def check_signal(found: Pretrained, system: HarWrist) -> list[str]:
    """Whether an encoder can read a labelled set.

    Returns:
      Differences in preparation that do not forbid it, one line each.

    Raises:
      ConfigError: Rate, axes, units or patches differ.
    """
    task = system.task
    for name, has, needs in (
        ("rate_hz", found.signal.rate_hz, task.rate_hz),
        ("channels", found.signal.channels, task.channels),
        ("units", found.signal.units, "g"),
        ("patch_s", found.signal.patch_s, task.patch_s),
    ):
        if has != needs and not (name == "patch_s" and _resizes(found)):
            raise ConfigError(
                f"encoder.weights={system.encoder.weights!r} has {name}={has}, the task"
                f" {needs}: take other weights, or build the labelled set and set"
                f" task.{name} to fit"
            )
    return []


def _resizes(found: Pretrained) -> bool:
    return isinstance(found.architecture, HarNetConfig) and found.architecture.resize


def preparation_differences(
    trained: Mapping[str, Any], labelled: Mapping[str, Any]
) -> list[str]:
    """How the labelled recordings were prepared otherwise, one line for each key.

    What only decides which recordings are kept is left out.
    """
    selection = ("read", "min_wear_h", "on_calibration_failure", "nonwear_min")
    return [
        f"{key}: {trained[key]} in pre-training, {labelled[key]} here"
        for key in sorted(trained.keys() & labelled.keys())
        if key not in selection and trained[key] != labelled[key]
    ]


def random_encoder(model: WindowClassifierConfig, seed: int) -> dict[str, Any]:
    """Variables of an encoder that was never trained."""
    module = WindowClassifier(model)
    x = jnp.zeros((1, model.label_samples, model.channels))
    init = jax.jit(lambda key: module.init(key, x, method=WindowClassifier.encode))
    return jax.device_get(dict(init(jax.random.key(seed))))


def save_encoder(folder: epath.Path, variables: Any, about: Mapping[str, Any]) -> None:
    """Keeps a frozen encoder in its run, so that the run stands on its own."""
    from sigjax.train.checkpoint import save_params

    save_params(folder / "variables", variables)
    if jax.process_index() == 0:
        (folder / "encoder.json").write_text(json.dumps(dict(about), indent=1) + "\n")


def saved_encoder(folder: epath.Path) -> tuple[Any, dict[str, Any]] | None:
    """What `save_encoder` kept; None if nothing was, or it was not finished."""
    from sigjax.train.checkpoint import load_params

    if not (folder / "encoder.json").exists():
        return None
    about = json.loads((folder / "encoder.json").read_text())
    try:
        return load_params(folder / "variables"), about
    except CheckpointError as error:
        raise CheckpointError(f"{folder} is damaged: {error}") from error


def architecture_of(about: Mapping[str, Any]) -> MaeConfig | HarNetConfig:
    """The architecture that `encoder.json` holds."""
    kind = MaeConfig if about["kind"] == "mae" else HarNetConfig
    return build(kind, about["architecture"], path="encoder.json")
