"""The systems that can be trained, one dataclass each.

Adding a system is adding a file beside this one and a line below: the fields of its
dataclass are the config's sections, its methods say which task and data they make.
"""

import importlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import ml_collections
from etils import epath

from sigjax.config import ConfigError, build

if TYPE_CHECKING:
    from launch.audio_events.system import EventRecognition
    from launch.autoencoders.classifier import ExampleClassifier
    from launch.autoencoders.gan import ExampleAdversarialAutoencoder, ExampleGan
    from launch.autoencoders.masked import ExampleMae
    from launch.autoencoders.system import ExampleAutoencoder
    from launch.segmentation.system import SoundSegmentation
    from launch.sounds.autoencoder import SoundAutoencoder
    from launch.sounds.sections import SoundSections
    from launch.speech.pretraining import SpeechPretraining
    from launch.wrist.har_probe import HarProbe
    from launch.wrist.har_wrist import HarWrist
    from launch.wrist.wrist_mae import WristMae

    System = (
        WristMae
        | HarWrist
        | HarProbe
        | SoundSections
        | SoundAutoencoder
        | EventRecognition
        | SoundSegmentation
        | SpeechPretraining
        | ExampleAutoencoder
        | ExampleAdversarialAutoencoder
        | ExampleGan
        | ExampleMae
        | ExampleClassifier
    )


# `parts` of a config that is trained machine by machine, whichever its set has.
EACH_MACHINE = "each machine"


class Entry(NamedTuple):
    """Where a system's dataclass is, and the command that trains it."""

    module: str
    name: str
    command: str

    def load(self) -> type:
        """The dataclass. Each has its own libraries: a command imports one system's."""
        return getattr(importlib.import_module(self.module), self.name)


SYSTEMS: Mapping[str, Entry] = {
    "wrist_mae": Entry("launch.wrist.wrist_mae", "WristMae", "launch.pretrain"),
    "har_wrist": Entry("launch.wrist.har_wrist", "HarWrist", "launch.finetune"),
    "har_probe": Entry("launch.wrist.har_probe", "HarProbe", "launch.probe"),
    "sound_sections": Entry(
        "launch.sounds.sections", "SoundSections", "launch.pretrain"
    ),
    "sound_autoencoder": Entry(
        "launch.sounds.autoencoder", "SoundAutoencoder", "launch.pretrain"
    ),
    "audio_events": Entry(
        "launch.audio_events.system", "EventRecognition", "launch.finetune"
    ),
    "segmentation": Entry(
        "launch.segmentation.system", "SoundSegmentation", "launch.finetune"
    ),
    "speech_encoder": Entry(
        "launch.speech.pretraining", "SpeechPretraining", "launch.pretrain"
    ),
    "autoencoder": Entry(
        "launch.autoencoders.system", "ExampleAutoencoder", "launch.pretrain"
    ),
    "adversarial_autoencoder": Entry(
        "launch.autoencoders.gan", "ExampleAdversarialAutoencoder", "launch.pretrain"
    ),
    "example_mae": Entry("launch.autoencoders.masked", "ExampleMae", "launch.pretrain"),
    "code_classifier": Entry(
        "launch.autoencoders.classifier", "ExampleClassifier", "launch.finetune"
    ),
    "gan": Entry("launch.autoencoders.gan", "ExampleGan", "launch.pretrain"),
}


def command_of(system: Any) -> str:
    """The command that trains a system, as `launch.pretrain`."""
    of = {(entry.module, entry.name): entry.command for entry in SYSTEMS.values()}
    kind = type(system)
    return of[kind.__module__, kind.__name__]


def build_system(config: ml_collections.ConfigDict) -> "System":
    """The system a config describes, every key checked.

    Raises:
      ConfigError: Naming the key that is unknown, missing or of the wrong type.
    """
    sections = config.to_dict()
    parts = sections.pop("parts", None)
    if parts:
        if isinstance(parts, str):
            raise ConfigError(f"{parts}: parts, each a run of its own")
        raise ConfigError(f"{', '.join(parts)} are parts, each a run of its own")
    name = sections.pop("system", None)
    if name not in SYSTEMS:
        known = ", ".join(SYSTEMS)
        raise ConfigError(f"config key 'system' must be one of {known}, got {name!r}")
    return build(SYSTEMS[name].load(), sections)


def build_one(config: ml_collections.ConfigDict, command: str) -> Any:
    """Like `build_system`, for one command.

    Args:
      config: Of a system.
      command: Such as `launch.pretrain`.

    Raises:
      ConfigError: Also if the config is another command's; the message says which.
    """
    entry = SYSTEMS.get(str(config.get("system")))
    # Before it is built: what another command's config lacks is of no interest.
    if entry is not None and entry.command != command:
        raise ConfigError(
            f"this config is for python -m {entry.command}, not for {command}: its"
            f" 'system' is {config.system!r}"
        )
    return build_system(config)


def parts_of(
    config: ml_collections.ConfigDict,
) -> dict[str, ml_collections.ConfigDict]:
    """The configs of a config with `parts`: one run each, by the folder's name.

    `parts` holds by name what differs: `dict(fan=dict(data=dict(machines=("fan",))))`.
    A config without is its own only part, `""`, and so is one of `EACH_MACHINE` before
    `each_machine` has named them.

    Raises:
      ConfigError: Naming a key that the config does not have.
    """
    if not config.get("parts"):
        return {"": config}
    if config.parts == EACH_MACHINE:
        whole = ml_collections.ConfigDict(config.to_dict())
        del whole["parts"]
        return {"": whole}
    found = {}
    for name, overrides in config.to_dict()["parts"].items():
        part = ml_collections.ConfigDict(config.to_dict())
        del part["parts"]
        part.lock()
        try:
            part.update(overrides)
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"parts.{name}: {error}") from error
        found[name] = part
    return found


def each_machine(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """The config with a part for each machine of its set, if it asks for that.

    Machines are those with clips to train on, or those that it simulates; of both, if
    `data.machines` names some, these alone.

    Raises:
      ConfigError: There is none.
      sigjax.data.datasets.errors.DatasetError: There is no set.
    """
    if config.get("parts") != EACH_MACHINE:
        return config
    data: Any = config.data
    wanted = tuple(data.machines) or None
    if data.simulate is not None:
        machines = wanted or tuple(data.simulate.machines)
    else:
        # Other systems do without what opens sets.
        from sigjax.data.datasets.folders import chosen_set
        from sigjax.data.machine_sound.sounds import SoundSet

        given = {"simulated": False, "build_with": "launch.build_sounds"}
        dataset = SoundSet.open(chosen_set(data.dataset, "", **given))
        sides = (data.sections or None, "train", data.split or None)
        found = dataset.select(wanted, *sides, year=data.year or None)
        machines = tuple(sorted({dataset.clips[i].machine for i in found.tolist()}))
        if not machines:
            named = f" of {', '.join(wanted)}" if wanted else ""
            raise ConfigError(f"{dataset.path} has no clip{named} to train on")
    parts = {name: {"data": {"machines": (name,)}} for name in machines}
    return ml_collections.ConfigDict({**config.to_dict(), "parts": parts})


def load_run(workdir: epath.PathLike) -> "tuple[System, dict[str, Any]]":
    """The system that a run trained, and its `config.json` as it stands.

    Raises:
      FileNotFoundError: If `workdir` holds no run.
    """
    path = epath.Path(workdir) / "config.json"
    if not path.exists():
        raise FileNotFoundError(
            f"{path} does not exist: it must be the directory of a launch.pretrain or"
            " launch.finetune run"
        )
    saved = json.loads(path.read_text())
    return build_system(ml_collections.ConfigDict(saved["config"])), saved


class Run(NamedTuple):
    """A trained run: its system and its folder."""

    system: Any
    workdir: epath.Path


def runs_of(workdir: epath.PathLike) -> list[Run]:
    """The runs in a folder: its own, or those of its parts.

    Raises:
      FileNotFoundError: If there is none, or a part has not been trained.
    """
    root = epath.Path(workdir)
    path = root / "config.json"
    if path.exists():
        parts = json.loads(path.read_text())["config"].get("parts")
        if parts:
            return [Run(load_run(root / name)[0], root / name) for name in parts]
    return [Run(load_run(root)[0], root)]
