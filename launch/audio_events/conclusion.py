"""The end of a run on audio events: chosen step, bundle, held-out figures, result.

It needs one process and the run's directory alone, so `launch.evaluate` can do it for
a run that many processes trained.
"""

from collections.abc import Mapping
from typing import Any

from etils import epath

from launch.audio_events import encoders, evaluation
from launch.audio_events.system import EventRecognition
from launch.concluding import about_set, end_of, write_result
from launch.finetuning import Result
from sigjax import export
from sigjax.data.audio_events.stream import EventData
from sigjax.inference.audio_events import AudioEventsModel, EventModelConfig
from sigjax.inference.base import SignalConfig
from sigjax.train.writer import validation_at


def conclude(system: EventRecognition, data: EventData, workdir: epath.Path) -> Result:
    """Exports the chosen step, evaluates it on the test clips, writes the result.

    Args:
      system: Of the run.
      data: Its data.
      workdir: Its directory.

    Returns:
      What `WORKDIR/result.json` holds; as it is there, if it was done for that step.
    """
    end = end_of(workdir, system.train.select)
    if end.before is not None:
        return end.before
    found = encoders.model_of(system, data)
    result: Result = {
        "chosen_step": end.step,
        "last_step": end.last,
        "rule": _rule(system, data, end.last),
        "weights": _weights(system),
        "encoder": {
            "kind": system.encoder.kind,
            "weights": system.encoder.weights or "from scratch",
            "source": dict(found.source),
            "notes": list(found.notes),
        },
        "clips": {side: len(clips) for side, clips in data.sides.items()},
        "remarks": data.remarks,
        "classes": {head: list(names) for head, names in data.classes.items()},
        "dataset": about_set(data),
        "validation": validation_at(workdir, end.step)
        if len(data.sides["validation"])
        else None,
        "test": None,
    }
    _export(system, data, workdir, found, end.variables, result)
    if len(data.sides["test"]):
        result["test"] = evaluation.evaluate(
            open_bundle(workdir),
            system,
            data,
            "test",
            workdir / "eval" / "test",
            result,
        )
    return write_result(workdir, result)


def open_bundle(workdir: epath.Path) -> AudioEventsModel:
    """The bundle of a concluded run."""
    model = export.load(workdir / "bundle")
    assert isinstance(model, AudioEventsModel)
    return model


def _rule(system: EventRecognition, data: EventData, last: int) -> str:
    select = system.train.select
    if not select:
        return f"the last step, {last}"
    held = len(data.sides["validation"])
    return f"the highest {select} of the {held} validation clips"


def _weights(system: EventRecognition) -> str:
    average = system.optim.averaging
    if average.kind == "ema":
        return f"exponential moving average, decay {average.decay:g}"
    if average.kind == "epochs":
        last = average.last_epoch or "last"
        return f"mean of the ends of epochs {average.first_epoch} to {last}"
    return "of the step"


def _export(
    system: EventRecognition,
    data: EventData,
    workdir: epath.Path,
    found: encoders.Pretrained,
    variables: Mapping[str, Any],
    result: Result,
) -> None:
    task = system.task
    labels = tuple(data.classes.values())
    export.save(
        workdir / "bundle",
        model="audio_events",
        params=variables["params"],
        state={k: v for k, v in variables.items() if k != "params"},
        model_config=EventModelConfig(
            task=task,
            model=found.model,
            classes=tuple((head, names) for head, names in data.classes.items()),
            short=data.config.short,
        ),
        signal=SignalConfig(
            rate_hz=task.fbank.expected_hz,
            channels=1,
            units="full scale",
            window_s=task.window_s,
            patch_s=task.fbank.shift_ms / 1000,
            normalisation="fbank",
        ),
        preprocessing={"rate_hz": task.fbank.expected_hz, "short": data.config.short},
        source_run={"workdir": str(workdir), "step": result["chosen_step"]},
        labels=labels[0] if len(labels) == 1 else None,
        extra={k: v for k, v in result.items() if k not in ("validation", "test")},
    )
