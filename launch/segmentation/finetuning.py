"""What launch.finetune does with segmentation of sound."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
from etils import epath

from launch.concluding import about_set, end_of, write_result
from launch.finetuning import Result, Start
from launch.segmentation import bundle_evaluation, evaluation, weights
from launch.segmentation.system import SoundSegmentation
from sigjax import export
from sigjax.config import ConfigError
from sigjax.data.segmentation.stream import MixtureData
from sigjax.evals.segmentation import lines
from sigjax.inference.base import SignalConfig
from sigjax.inference.segmentation import SegmenterConfig, SegmenterModel


def check(system: SoundSegmentation) -> None:
    """Refuses sections that contradict each other.

    Raises:
      ConfigError: Saying which.
    """
    weights.check(system)
    system.make_task()


def start(
    system: SoundSegmentation,
    data: MixtureData,
    workdir: epath.Path,
    save: Callable[[], None],
) -> Start:
    """Task and batches; see `launch.finetuning.Room`.

    Raises:
      ConfigError: The selection does not fit the data, or the encoder's weights the
        encoder.
    """
    if system.train.select and not len(data.sides["validation"]):
        raise ConfigError(
            f"train.select={system.train.select!r} needs clips to choose the step with:"
            " set data.validation_fold, data.validation_splits or"
            " data.validation_fraction, or train.select to '' for the last step"
        )
    found = weights.pretrained(system, workdir)
    system = dataclasses.replace(system, model=found.model)
    task = system.make_task(data)
    if jax.process_index() == 0:
        for remark in (*data.remarks, *found.notes):
            print(remark, flush=True)
    save()
    return Start(task, data, found.given)


def conclude(
    system: SoundSegmentation, data: MixtureData, workdir: epath.Path
) -> Result:
    """Exports the chosen step, evaluates it on test mixtures, writes the result.

    Returns:
      What `WORKDIR/result.json` holds; as it is there, if it was done for that step.
    """
    end, select = end_of(workdir, system.train.select), system.train.select
    if end.before is not None:
        return end.before
    found = weights.pretrained(system, workdir)
    system = dataclasses.replace(system, model=found.model)
    result: Result = {
        "chosen_step": end.step,
        "last_step": end.last,
        "rule": f"the highest {select} of validation mixtures"
        if select
        else f"the last step, {end.last}",
        "model": {
            "kind": system.model.kind,
            "target": system.task.target,
            "parameters": sum(
                int(leaf.size) for leaf in jax.tree.leaves(end.variables["params"])
            ),
        },
        "encoder": {
            "weights": system.encoder.weights or "from scratch",
            "source": dict(found.source),
            "notes": list(found.notes),
        },
        "clips": {side: len(clips) for side, clips in data.sides.items()},
        "classes": list(data.classes),
        "remarks": data.remarks,
        "dataset": about_set(data),
        "test": None,
    }
    _export(system, data, workdir, end.variables, result)
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


def open_bundle(workdir: epath.Path) -> SegmenterModel:
    """The bundle of a concluded run."""
    model = export.load(workdir / "bundle")
    assert isinstance(model, SegmenterModel)
    return model


def _export(
    system: SoundSegmentation,
    data: MixtureData,
    workdir: epath.Path,
    variables: Mapping[str, Any],
    result: Result,
) -> None:
    task, kind = system.task, system.model.kind
    model: Any = {kind: system.architecture(len(data.classes))}
    export.save(
        workdir / "bundle",
        model="segmenter",
        params=variables["params"],
        state={k: v for k, v in variables.items() if k != "params"},
        model_config=SegmenterConfig(
            task=task, classes=data.classes, rule=system.evaluation.rule, **model
        ),
        signal=SignalConfig(
            rate_hz=float(task.mel.rate_hz),
            channels=1,
            units="full scale",
            window_s=task.window_s,
            patch_s=task.frame_s,
            normalisation="log_mel",
        ),
        preprocessing={"rate_hz": task.mel.rate_hz},
        source_run={"workdir": str(workdir), "step": result["chosen_step"]},
        labels=data.classes,
        extra={
            **{k: v for k, v in result.items() if k != "test"},
            **bundle_evaluation.how_judged(system),
        },
    )


def _told(result: Result) -> str:
    """What the encoder started from; runs of before say nothing of it."""
    return result.get("encoder", {}).get("weights", "from scratch")


def summary(result: Result, workdir: epath.Path) -> str:
    """A result in a few lines, for the terminal."""
    data = result["dataset"]
    counts = ", ".join(f"{count} {side}" for side, count in result["clips"].items())
    told = [
        "",
        f"{data['name']} ({data['fingerprint']})"
        + (", SIMULATED" if data["simulated"] else "")
        + f": clips {counts}",
        f"{result['model']['kind']} of {result['model']['parameters']:,} parameters,"
        f" {result['model']['target']}, encoder {_told(result)}; step"
        f" {result['chosen_step']} of {result['last_step']}: {result['rule']}",
    ]
    if result["test"]:
        told += lines(result["test"])
    told += [
        f"in {workdir}: result.json, eval/test, bundle",
        f"next: python -m launch.predict FILE --bundle={workdir / 'bundle'}",
    ]
    return "\n".join(told)
