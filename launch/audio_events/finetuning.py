"""What launch.finetune does with audio events."""

import json
from collections.abc import Callable

import jax
import numpy as np
from etils import epath

from launch.audio_events import conclusion, encoders, evaluation
from launch.audio_events.system import EventRecognition
from launch.finetuning import Result, Start
from sigjax.config import ConfigError
from sigjax.data.audio_events.stream import EventData
from sigjax.tasks.audio_events import fbank_statistics
from sigjax.train.writer import replace_file

conclude = conclusion.conclude

# Clips that the statistics of the input are taken of.
_MOST = 1024


def check(system: EventRecognition) -> None:
    """Refuses sections that contradict each other.

    Raises:
      ConfigError: Saying which.
    """
    system.make_task()
    if system.encoder.keep_head and not system.encoder.weights:
        raise ConfigError("encoder.keep_head needs encoder.weights to keep it of")


def start(
    system: EventRecognition,
    data: EventData,
    workdir: epath.Path,
    save: Callable[[], None],
) -> Start:
    """Task, batches and weights; see `launch.finetuning.Room`.

    Raises:
      ConfigError: Weights or selection do not fit the data.
    """
    if system.train.select and not len(data.sides["validation"]):
        raise ConfigError(
            f"train.select={system.train.select!r} needs clips to choose the step with:"
            " set data.validation_fold, data.validation_splits or"
            " data.validation_fraction, or train.select to '' for the last step"
        )
    found = encoders.model_of(system, data)
    task = system.make_task(found.model)
    if jax.process_index() == 0:
        for remark in (*data.remarks, *found.notes):
            print(remark, flush=True)
    save()
    given = dict(found.given)
    if system.task.mean is None:
        given["statistics"] = _statistics(system, data, workdir)
    return Start(task, data, given)


def _statistics(
    system: EventRecognition, data: EventData, workdir: epath.Path
) -> dict[str, np.ndarray]:
    """Mean and spread of the training clips' filter banks, taken once in a run."""
    path = workdir / "input_statistics.json"
    if not path.exists():
        found = fbank_statistics(
            evaluation.windows(data, "train", most=_MOST), system.task.fbank
        )
        text = json.dumps({name: float(value) for name, value in found.items()})
        replace_file(path, f"{text}\n".encode())
    found = json.loads(path.read_text())
    return {name: np.asarray(value, np.float32) for name, value in found.items()}


def summary(result: Result, workdir: epath.Path) -> str:
    """A result in a few lines, for the terminal."""
    data = result["dataset"]
    counts = ", ".join(f"{count} {side}" for side, count in result["clips"].items())
    lines = [
        "",
        f"{data['name']} ({data['fingerprint']})"
        + (", SIMULATED" if data["simulated"] else "")
        + f": clips {counts}",
        f"step {result['chosen_step']} of {result['last_step']}: {result['rule']};"
        f" weights: {result['weights']}",
    ]
    if result["test"]:
        lines += evaluation.lines(result["test"])
    lines += [
        f"in {workdir}: result.json, eval/test, bundle",
        f"next: python -m launch.predict FILE --bundle={workdir / 'bundle'}",
    ]
    return "\n".join(lines)
