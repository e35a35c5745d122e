"""Masked autoencoders of examples: the sections of their config."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
from etils import epath

from launch.autoencoders.batches import over
from launch.autoencoders.examples import ExampleSections
from sigjax.config import ConfigError
from sigjax.data.examples.stream import ExampleData
from sigjax.evals import figures
from sigjax.losses.spectral import SpectralLossConfig
from sigjax.models.mae import MaeConfig
from sigjax.tasks.example_masking import ExampleMasking, ExampleMaskingConfig
from sigjax.train.checkpoint import latest_variables
from sigjax.train.writer import replace_file

_DRAWN = 8  # The liveliest of these is drawn.
_SEED = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExampleMae(ExampleSections):
    """The masked autoencoder of windows: one config section per field."""

    task: ExampleMaskingConfig
    model: MaeConfig
    loss: SpectralLossConfig

    def input_shape(self) -> tuple[int, ...]:
        """What the model takes, without the batch."""
        return self.task.input_shape

    def make_task(self, data: ExampleData | None = None) -> ExampleMasking:
        """The task, with sections checked against each other."""
        del data
        try:
            return ExampleMasking(self.model, self.loss, self.task)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def report(self, trainer: Any, task: ExampleMasking, workdir: epath.Path) -> None:
        """Writes the evaluation and the picture, and says what to do next."""
        del trainer, task
        if jax.process_count() > 1:
            return  # `launch.evaluate` does it, in one process.
        print(evaluate(self, workdir))
        print(
            "next: python -m launch.finetune --config=configs/code_classifier.py:wrist"
            f"+mae --config.encoder.weights={workdir} --workdir=FOLDER"
            " --config.data.path=SET\n"
            f"      python -m launch.export --workdir={workdir}"
            f" --output={workdir}/bundle"
        )


def evaluate(system: ExampleMae, workdir: epath.Path) -> str:
    """Losses of held-out examples and `reconstruction.png`, below `WORKDIR/eval`.

    Of the training examples if none is held out.

    Returns:
      A table for the terminal: losses, and beside them those of a trivial predictor.

    Raises:
      ConfigError: Its data cannot be read.
      sigjax.train.checkpoint.CheckpointError: It has no checkpoint.
    """
    data, task = system.open_data(workdir), system.make_task()
    step, variables = latest_variables(
        workdir / "best" if system.train.select else workdir
    )
    side = "validation" if data.validation_source else "train"
    found = data.held_out_set if data.validation_source else data.train_set
    key = jax.random.key(_SEED)
    values = over(
        lambda v, x: task.evaluate(v, {"x": x}, key),
        found.x,
        variables,
        batch_size=system.data.batch_size,
    )
    means = {name: float(own.mean(dtype=np.float64)) for name, own in values.items()}
    folder = workdir / "eval" / side
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"step": step, "examples": len(found.x), **means}, indent=1)
    replace_file(folder / "metrics.json", f"{text}\n".encode())
    title = f"{workdir.name}, step {step}, {'held-out' if side != 'train' else side}"
    title += f" examples{', SIMULATED data' * data.simulated}"
    spread = np.linspace(0, len(found.x) - 1, min(_DRAWN, len(found.x))).astype(int)
    masked, made = jax.jit(task.reconstruct_masked)(
        variables, {"x": found.x[spread]}, key
    )
    figures.reconstruction(
        folder / "reconstruction.png",
        patches=np.asarray(masked.patches),
        index=np.asarray(masked.index),
        reconstruction=np.asarray(made),
        rate_hz=found.rate_hz or 1.0,
        channels=task.config.channels,
        loss=system.loss,
        title=title,
    )
    lines = ["", f"{title}: {len(found.x)}", f"{'':<8}{'model':>10}{'trivial':>10}"]
    for name, value in means.items():
        if not name.endswith("_baseline"):
            trivial = means.get(f"{name}_baseline")
            beside = "" if trivial is None else f"{trivial:>10.4f}"
            lines.append(f"  {name:<6}{value:>10.4f}{beside}")
    lines.append("trivial: the mean log spectrum, or mean, of the visible patches")
    return "\n".join([*lines, f"in {folder}: metrics.json, reconstruction.png"])
