"""The end of a finetuning run: its chosen step, bundle, held-out figures and result.

It needs one process and the run's directory alone, so `launch.evaluate` and
`launch.export` can do it for a run that many processes trained.
"""

from collections.abc import Mapping
from typing import Any

from etils import epath

from launch.concluding import about_set, end_of, write_result
from launch.finetuning import Result
from launch.systems import load_run
from launch.wrist import encoders
from launch.wrist.har_wrist import HarWrist
from sigjax import export
from sigjax.config import ConfigError
from sigjax.data.har import HarData
from sigjax.evals.classification import score, write_evaluation
from sigjax.evals.windows import predict_windows
from sigjax.inference.base import SignalConfig
from sigjax.models.window_classifier import WindowClassifierConfig
from sigjax.train.writer import validation_at


def model_of(
    system: HarWrist, data: HarData
) -> tuple[WindowClassifierConfig, encoders.Pretrained | None]:
    """The model of a run, and the weights it starts from.

    Raises:
      ConfigError: The encoder does not fit the labelled set.
    """
    found = encoders.load_encoder(system.encoder)
    if found is not None:
        encoders.check_signal(found, system)
    architecture = found.architecture if found is not None else None
    return system.classifier(len(data.classes), architecture), found


def conclude(
    system: HarWrist, data: HarData, workdir: epath.Path, *, again: bool = False
) -> Result:
    """Exports the chosen step, evaluates it on the test people, writes the result.

    Args:
      system: Of the run.
      data: Its data.
      workdir: Its directory.
      again: Also if this was done for that step before.

    Returns:
      What `WORKDIR/result.json` holds.
    """
    end = end_of(workdir, system.train.select)
    if end.before is not None and not again:
        return end.before
    model, variables, about = _whole_model(system, data, workdir, end.variables)
    result: Result = {
        "chosen_step": end.step,
        "last_step": end.last,
        "rule": _rule(system, data, end.last),
        "selected_on": _selected_on(system, data),
        "encoder": about,
        "people": {side: list(people) for side, people in data.people.items()},
        "unused_people": list(data.unused),
        "classes": list(data.classes),
        "class_counts": [int(n) for n in data.class_counts],
        "windows": {"train": data.windows("train").summary},
        "dataset": about_set(data),
        "validation": validation_at(workdir, end.step)
        if data.people["validation"]
        else None,
        "test": None,
    }
    _export(system, data, workdir, model, variables, result)
    if data.people["test"]:
        result["test"] = _test(data, workdir, result)
    return write_result(workdir, result)


def conclude_run(workdir: epath.PathLike, *, again: bool = False) -> Result:
    """Like `conclude`, from the run's directory alone.

    Raises:
      FileNotFoundError: There is no run.
      ConfigError: It is not one of `launch.finetune`.
    """
    workdir = epath.Path(workdir)
    system, _ = load_run(workdir)
    if not isinstance(system, HarWrist):
        raise ConfigError(f"{workdir} is not a run of launch.finetune")
    return conclude(system, system.open_data(workdir), workdir, again=again)


def _whole_model(
    system: HarWrist, data: HarData, workdir: epath.Path, variables: Mapping[str, Any]
) -> tuple[WindowClassifierConfig, dict[str, Any], dict[str, Any]]:
    """Config and variables of encoder and head together, and what the encoder is."""
    if system.encoder.trainable:
        model, found = model_of(system, data)
        source = found.source if found else {}
        about = {
            "kind": system.encoder.kind,
            "weights": system.encoder.weights or "from scratch",
            "trained": True,
            "source": dict(source),
        }
        return model, dict(variables), about
    saved = encoders.saved_encoder(workdir / "encoder")
    if saved is None:
        raise ConfigError(
            f"{workdir / 'encoder'} is missing: run launch.finetune again"
        )
    encoder, about = saved
    model = system.classifier(len(data.classes), encoders.architecture_of(about))
    whole = {name: dict(tree) for name, tree in encoder.items()}
    for collection, tree in variables.items():
        whole.setdefault(collection, {})["head"] = tree
    return model, whole, {**about, "trained": False}


def _rule(system: HarWrist, data: HarData, last: int) -> str:
    c = system.train
    if not c.select:
        return f"the last step, {last}"
    every = f"{c.evaluate_every} steps"
    if c.evaluate_every is None:
        every = f"{c.evaluate_every_epochs:g} epochs" if c.evaluate_every_epochs else ""
    every = f"evaluations every {every}" if every else "the evaluation at the end"
    rule = (
        f"the highest {c.select} of the {len(data.people['validation'])} validation"
        f" people among {every}"
    )
    if c.patience is not None:
        rule += f"; training ends after {c.patience} without a better one"
    return rule


def _selected_on(system: HarWrist, data: HarData) -> str:
    if not system.train.select:
        return "last step"
    both = set(data.people["validation"]) & set(data.people["test"])
    return "the reported people" if both else "validation people"


def _export(
    system: HarWrist,
    data: HarData,
    workdir: epath.Path,
    model: WindowClassifierConfig,
    variables: Mapping[str, Any],
    result: Result,
) -> None:
    task = system.task
    rest = {name: tree for name, tree in variables.items() if name != "params"}
    export.save(
        workdir / "bundle",
        model="window_classifier",
        params=variables["params"],
        state=rest,
        model_config=model,
        signal=SignalConfig(
            rate_hz=task.rate_hz,
            channels=task.channels,
            units="g",
            window_s=system.data.window_s,
            patch_s=task.patch_s,
            label_s=task.label_s,
        ),
        preprocessing=data.preprocessing,
        source_run={"workdir": str(workdir), "step": result["chosen_step"]},
        labels=data.classes,
        extra={k: v for k, v in result.items() if k not in ("validation", "test")},
    )


def _test(data: HarData, workdir: epath.Path, result: Result) -> dict[str, Any]:
    """Figures of the test people, whose windows do not overlap."""
    model = export.load(workdir / "bundle")
    assert isinstance(model, export.ClassifierModel)
    predictions = predict_windows(model, data.windows("test"))
    metrics = score(predictions)
    simulated = ", SIMULATED data" if data.simulated else ""
    write_evaluation(
        workdir / "eval" / "test",
        predictions,
        metrics,
        title=f"{workdir.name}, step {result['chosen_step']}, test people{simulated}",
        note=f"step: {result['rule']}",
    )
    return metrics


def summary(result: Result, workdir: epath.Path) -> str:
    """A result in a few lines, for the terminal."""
    data, people = result["dataset"], result["people"]
    counts = ", ".join(f"{len(v)} {k}" for k, v in people.items())
    lines = [
        "",
        f"{data['name']} ({data['fingerprint']})"
        + (", SIMULATED" if data["simulated"] else "")
        + f": people {counts}",
        f"step {result['chosen_step']} of {result['last_step']}: {result['rule']}",
    ]
    if result["selected_on"] == "the reported people":
        lines.append("SELECTED ON THE PEOPLE WHO ARE REPORTED: figures are optimistic")
    for name in ("balanced_accuracy", "kappa", "macro_f1"):
        if result["test"]:
            lines.append(f"  {name:<18} {interval(result['test'][name])}")
    lines += [
        f"in {workdir}: result.json, eval/test, bundle",
        f"next: python -m launch.predict FILE --bundle={workdir / 'bundle'}",
    ]
    return "\n".join(lines)


def interval(figure: Mapping[str, float | None]) -> str:
    """`0.812 [0.790, 0.833]`, as far as it is known."""
    value, low, high = (figure[k] for k in ("value", "low", "high"))
    if value is None:
        return "undefined"
    if low is None or high is None:
        return f"{value:.3f} (one person: no interval)"
    return f"{value:.3f} [{low:.3f}, {high:.3f}] over people"
