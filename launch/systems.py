"""The systems that can be trained, one dataclass each.

Adding a system is adding a file beside this one and a line below: the fields of its
dataclass are the config's sections, its methods say which task and data they make.
"""

import json
from collections.abc import Mapping
from typing import Any, TypeVar

import ml_collections
from etils import epath

from launch.har_probe import HarProbe
from launch.har_wrist import HarWrist
from launch.wrist_mae import WristMae
from sigjax.config import ConfigError, build

System = WristMae | HarWrist | HarProbe
S = TypeVar("S", WristMae, HarWrist, HarProbe)

SYSTEMS: Mapping[str, type[System]] = {
    "wrist_mae": WristMae,
    "har_wrist": HarWrist,
    "har_probe": HarProbe,
}
COMMANDS = {
    WristMae: "launch.pretrain",
    HarWrist: "launch.finetune",
    HarProbe: "launch.probe",
}


def build_system(config: ml_collections.ConfigDict) -> System:
    """The system a config describes, every key checked.

    Raises:
      ConfigError: Naming the key that is unknown, missing or of the wrong type.
    """
    sections = config.to_dict()
    name = sections.pop("system", None)
    if name not in SYSTEMS:
        known = ", ".join(SYSTEMS)
        raise ConfigError(f"config key 'system' must be one of {known}, got {name!r}")
    return build(SYSTEMS[name], sections)


def build_one(config: ml_collections.ConfigDict, kind: type[S]) -> S:
    """Like `build_system`, for a command that trains one kind.

    Raises:
      ConfigError: Also if the config is another command's; the message says which.
    """
    system = build_system(config)
    if not isinstance(system, kind):
        raise ConfigError(
            f"this config is for python -m {COMMANDS[type(system)]}, not for"
            f" {COMMANDS[kind]}: its 'system' is {config.system!r}"
        )
    return system


def load_run(workdir: epath.PathLike) -> tuple[System, dict[str, Any]]:
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
