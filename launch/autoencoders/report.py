"""What a run leaves behind: figures of the held-out examples, and what is next."""

import json
from typing import Any

import jax
import numpy as np
from etils import epath

from launch.autoencoders import drawing
from launch.autoencoders.drawing import Row
from launch.autoencoders.examples import ExampleSections
from sigjax.data.examples.example_set import ExampleSet
from sigjax.evals.autoencoders.pictures import Cloud
from sigjax.signal.corruption import corrupt, example_keys
from sigjax.tasks.adversarial import AdversarialAutoencoding, Generation
from sigjax.tasks.example_input import example_input
from sigjax.tasks.reconstruction import Reconstruction
from sigjax.train.loop import Trainer
from sigjax.train.writer import replace_file

_SAMPLES = 256


def report(trainer: Trainer, task: Any, system: ExampleSections, workdir) -> None:
    """Writes the last evaluation and pictures of a batch, and says what to do next.

    Args:
      trainer: Of a finished run.
      task: Reconstruction, Generation or AdversarialAutoencoding.
      system: Its config.
      workdir: Of the run; `eval/validation` gets the files.
    """
    count = system.data.batch_size
    example = trainer.example(lambda v, b, k: shown(task, v, b, k), count)
    if jax.process_index() != 0:
        return
    data: Any = trainer.data
    found = data.held_out_set if example.split == "validation" else data.train_set
    where = epath.Path(workdir) / "eval" / example.split
    where.mkdir(parents=True, exist_ok=True)
    if trainer.evaluated:
        text = json.dumps(trainer.evaluated, indent=1)
        replace_file(where / "metrics.json", f"{text}\n".encode())
    side = "held-out" if example.split == "validation" else "training"
    title = f"{epath.Path(workdir).name}, step {trainer.total_steps}, {side} examples"
    draw(where, example.output, task, found, title)
    print(_told(trainer.evaluated, workdir, where), flush=True)


def shown(task: Any, variables, batch, key) -> dict[str, jax.Array]:
    """What is drawn of a batch: `[b, ...]` each, by name; to be jitted."""
    if isinstance(task, Generation):
        shape = task.model_config.output_shape
        own = example_input(batch["x"], task.config.input, shape)
        return {"input": own, "sample": task.sample(variables, key, len(own))}
    shape = task.model_config.input_shape
    own = example_input(batch["x"], task.config.input, shape)
    found = {"input": own, "label": batch["label"]}
    found["code"] = task.codes(variables, batch["x"]).reshape(len(own), -1)
    if isinstance(task, AdversarialAutoencoding):
        found["reconstruction"] = task.reconstruct(variables, batch["x"])
        return found | {"sample": task.sample(variables, key, len(own))}
    if task.config.noise.kind != "none":
        found["corrupted"] = corrupt(own, task.config.noise, example_keys(own, key))
        made = task.restore(variables, found["corrupted"])
    else:
        made = task.reconstruct(variables, batch["x"])
    found["reconstruction"] = made
    if task.variational:
        z = jax.random.normal(key, (len(own), *task.model_config.code_shape))
        found["sample"] = task.generate(variables, z)
    return found


def draw(
    folder: epath.Path, output: dict[str, Any], task: Any, found: ExampleSet, title: str
) -> None:
    """Draws what `shown` returned."""
    own = task.config.input
    # A batch that is larger than the set is filled up.
    output = {name: np.asarray(v)[: len(found.x)] for name, v in output.items()}
    names = found.ids.tolist()
    if "reconstruction" in output:
        names_of = {"corrupted": "corrupted", "reconstruction": "reconstruction"}
        rows = [Row("input", np.asarray(output["input"]))]
        rows += [
            Row(name, np.asarray(output[key]))
            for key, name in names_of.items()
            if key in output
        ]
        path = folder / drawing.RECONSTRUCTION
        drawing.draw_rows(path, rows, found, own, title=title, names=names)
        code = np.asarray(output["code"])
        if code.shape[1] == 2:
            label = np.asarray(output["label"])
            panel = Cloud(
                "codes of two numbers", code, label if (label >= 0).all() else None
            )
            drawing.draw_codes(folder / drawing.CODE_PLANE, [panel], found, title=title)
    if "sample" in output:
        rows = [
            Row("data", np.asarray(output["input"])),
            Row("samples", np.asarray(output["sample"])),
        ]
        path = folder / drawing.SAMPLES
        drawing.draw_rows(path, rows, found, own, title=title)


def _told(evaluated: dict[str, float], workdir: Any, where: epath.Path) -> str:
    figures = ", ".join(f"{name} {value:.4g}" for name, value in evaluated.items())
    files = ", ".join(sorted(path.name for path in where.iterdir()))
    return (
        (f"held out: {figures}\n" if figures else "")
        + f"{where}: {files}\n"
        + f"next: python -m launch.evaluate --workdir={workdir}\n"
        + f"      python -m launch.export --workdir={workdir}"
        + f" --output={workdir}/bundle"
    )


__all__ = ["Reconstruction", "draw", "report", "shown"]
