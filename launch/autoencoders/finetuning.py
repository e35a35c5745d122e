"""What launch.finetune does with examples: encoder and linear head, or head alone."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
from etils import epath

from launch.autoencoders import classifier_evaluation as evaluation
from launch.autoencoders.batches import over
from launch.autoencoders.classifier import ExampleClassifier
from launch.autoencoders.export import learnt, preprocessing_of, signal_of
from launch.concluding import end_of, write_result
from launch.finetuning import Result, Start
from sigjax import export
from sigjax.config import ConfigError
from sigjax.data.examples.example_set import ExampleSet, digest
from sigjax.data.examples.supervised import SupervisedData
from sigjax.evals.classification import Predictions
from sigjax.train.writer import validation_at

_SIDE = "test"


def check(system: ExampleClassifier) -> None:
    """Refuses sections that contradict each other, before any data is opened.

    Raises:
      ConfigError: Saying which.
    """
    c = system.data
    if system.train.select and not (c.validation or c.validation_groups):
        raise ConfigError(
            f"train.select={system.train.select!r} needs examples to choose the step"
            " with: set data.validation or data.validation_groups, or train.select to"
            " '' for the last step"
        )


def start(
    system: ExampleClassifier,
    data: SupervisedData,
    workdir: epath.Path,
    save: Callable[[], None],
) -> Start:
    """Task, batches and weights; see `launch.finetuning.Room`.

    Raises:
      ConfigError: The weights do not fit.
    """
    task = system.make_task(data)
    given = system.given(task, data, workdir)
    if jax.process_index() == 0:
        for remark in data.remarks:
            print(remark, flush=True)
    save()
    return Start(task, data, given)


def conclude(
    system: ExampleClassifier, data: SupervisedData, workdir: epath.Path
) -> Result:
    """Exports the chosen step, evaluates it on test examples, writes the result.

    Returns:
      What `WORKDIR/result.json` holds; as it is there, if it was done for that step.
    """
    end, select = end_of(workdir, system.train.select), system.train.select
    there = (workdir / "bundle" / "bundle.json").exists()
    if end.before is not None and there:
        return end.before
    rule = f"the last step, {end.last}"
    if select:
        rule = f"the highest {select} of {len(data.validation_set.x)} examples"
    result: Result = {
        "chosen_step": end.step,
        "last_step": end.last,
        "rule": rule,
        "encoder": {
            "weights": system.encoder.weights or "from scratch",
            "trained": system.encoder.trainable,
            "source": _source(system, workdir),
        },
        "labels": {
            "share": system.data.labelled,
            "shown": len(data.train_set.x),
            "not_shown": data.unlabelled,
            "validation": len(data.validation_set.x),
            "of_class": [int(n) for n in data.class_counts],
        },
        "groups": _groups(data),
        "classes": list(data.classes),
        "dataset": {
            "path": system.data.path or system.data.source,
            "origin": data.train_set.origin,
            "simulated": data.simulated,
            "test": digest(data.held_out_set),
        },
        "remarks": data.remarks,
        "validation": validation_at(workdir, end.step)
        if data.validation_source
        else None,
        "test": None,
    }
    _export(system, data, workdir, end.variables, result)
    if (data.held_out_set.label >= 0).any():
        result["test"] = _test(system, data, end.variables, workdir, result)
    return write_result(workdir, result)


def _export(
    system: ExampleClassifier,
    data: SupervisedData,
    workdir: epath.Path,
    variables: Mapping[str, Any],
    result: Result,
) -> None:
    signal = signal_of(data)
    export.save(
        workdir / "bundle",
        model="code_classifier",
        params=variables["params"],
        state={k: v for k, v in variables.items() if k != "params"},
        model_config=system.make_task(data).model_config,
        signal=dataclasses.replace(signal, label_s=signal.window_s or None),
        preprocessing=preprocessing_of(data),
        labels=data.classes,
        source_run={"workdir": str(workdir), "step": result["chosen_step"]},
        extra={
            "task_kind": "code_classification",
            **learnt(system, data),
            **{k: v for k, v in result.items() if k != "test"},
        },
    )


def _source(system: ExampleClassifier, workdir: epath.Path) -> dict[str, Any]:
    try:
        found = system.weights(workdir)
    except (ConfigError, FileNotFoundError):  # moved or deleted since
        return {}
    return {} if found is None else dict(found.source)


def _groups(data: SupervisedData) -> dict[str, list[str]]:
    sides = {
        "train": data.train_set,
        "validation": data.validation_set,
        _SIDE: data.held_out_set,
    }
    return {
        name: sorted(set(found.group.tolist()) - {""}) for name, found in sides.items()
    }


def predictions_of(
    system: ExampleClassifier,
    data: SupervisedData,
    variables: Mapping[str, Any],
    found: ExampleSet,
) -> Predictions:
    """Probabilities of all examples of a set; persons are their groups."""
    task = system.make_task(data)
    size = system.data.batch_size
    probability = over(task.probabilities, found.x, variables, batch_size=size)
    return evaluation.predictions(data.classes, probability, found)


def _test(
    system: ExampleClassifier,
    data: SupervisedData,
    variables: Mapping[str, Any],
    workdir: epath.Path,
    result: Result,
) -> dict[str, Any]:
    predictions = predictions_of(system, data, variables, data.held_out_set)
    return evaluation.write(
        workdir / "eval" / _SIDE,
        predictions,
        f"{workdir.name}, step {result['chosen_step']}",
        grouped=evaluation.is_grouped(data.held_out_set),
        simulated=data.simulated,
    )


def summary(result: Result, workdir: epath.Path) -> str:
    """A result in a few lines, for the terminal."""
    labels, encoder = result["labels"], result["encoder"]
    how = "fine-tuned" if encoder["trained"] else "frozen"
    told = [
        "",
        f"{result['dataset']['origin']}: {labels['shown']} labels learnt from"
        f" ({labels['share']:.3g} of them), {labels['validation']} choose the step",
        f"encoder {encoder['weights']}, {how}; step {result['chosen_step']} of"
        f" {result['last_step']}: {result['rule']}",
    ]
    test = result["test"]
    if test:
        told += [f"test, {test['labels']} examples:", *evaluation.lines(test)]
    told.append(f"in {workdir}: result.json, eval/{_SIDE}, bundle")
    told.append(f"next: python -m launch.predict FILE --bundle={workdir / 'bundle'}")
    return "\n".join(told)
