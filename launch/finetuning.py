"""What launch.finetune needs of a system: a room with four functions.

Each system has its own libraries, so its room is imported when it is asked for.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, cast

from etils import epath

from sigjax.train.task import Data, Task

Result = dict[str, Any]

ROOMS: Mapping[str, str] = {
    "har_wrist": "launch.wrist.finetuning",
    "audio_events": "launch.audio_events.finetuning",
    "segmentation": "launch.segmentation.finetuning",
    "code_classifier": "launch.autoencoders.finetuning",
}


class Start(NamedTuple):
    """What is trained.

    Attributes:
      task: The problem.
      data: Its batches.
      given: A part of the task's variables to start from.
    """

    task: Task
    data: Data
    given: Mapping[str, Any]


class Room(Protocol):
    """Functions of a system's room; `system` is what its config describes."""

    def check(self, system: Any) -> None:
        """Refuses what can be told to be wrong before any data is opened."""
        ...

    def start(
        self, system: Any, data: Any, workdir: epath.Path, save: Callable[[], None]
    ) -> Start:
        """What is trained, from data that `system.open_data` opened.

        `save` writes the run's config; it is called once all is checked that a run
        which is continued otherwise is refused for, before work that takes long.
        """
        ...

    def conclude(self, system: Any, data: Any, workdir: epath.Path) -> Result:
        """Bundle, figures and `result.json` of a trained run; done before, as read."""
        ...

    def summary(self, result: Result, workdir: epath.Path) -> str:
        """A result in a few lines, for the terminal."""
        ...


def room_of(name: str) -> Room:
    """The room of a config's `system`."""
    return cast(Room, importlib.import_module(ROOMS[name]))
