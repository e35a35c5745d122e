"""The end of a run of launch.finetune: what the conclusions of all rooms begin with."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from etils import epath

from launch.finetuning import Result
from sigjax.train.checkpoint import latest_variables
from sigjax.train.writer import replace_file


class End(NamedTuple):
    """What a run ended with.

    Attributes:
      step: The chosen one.
      last: The last one.
      variables: Of the chosen step.
      before: What `result.json` says, if it is of these steps.
    """

    step: int
    last: int
    variables: Mapping[str, Any]
    before: Result | None


def end_of(workdir: epath.Path, select: str) -> End:
    """The step that a run is judged by.

    Args:
      workdir: Of the run.
      select: What chose it; empty for the last step.

    Raises:
      sigjax.train.checkpoint.CheckpointError: It has no checkpoint.
    """
    last, _ = latest_variables(workdir)
    step, variables = latest_variables(workdir / "best" if select else workdir)
    file, before = workdir / "result.json", None
    if file.exists():
        result = json.loads(file.read_text())
        if (result["chosen_step"], result["last_step"]) == (step, last):
            before = result
    return End(step, last, variables, before)


def about_set(data: Any) -> dict[str, Any]:
    """What a result says of the set that a run's data are of."""
    return {
        "path": str(data.dataset.path),
        "name": data.dataset.name,
        "fingerprint": data.dataset.fingerprint,
        "simulated": data.simulated,
    }


def write_result(workdir: epath.Path, result: Result) -> Result:
    """Writes `result.json`, whole or not at all; returns the result."""
    text = json.dumps(result, indent=1) + "\n"
    replace_file(workdir / "result.json", text.encode())
    return result
