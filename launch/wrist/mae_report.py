"""What a run of masked pre-training leaves behind: figures, a picture, what is next."""

import json
from typing import TYPE_CHECKING

import jax
import numpy as np
from etils import epath

from sigjax.evals import figures
from sigjax.tasks.masked_modelling import MaskedModelling
from sigjax.train.loop import Trainer
from sigjax.typing import PyTree

if TYPE_CHECKING:
    from launch.wrist.wrist_mae import WristMae

_WINDOWS = 8  # The liveliest of these is drawn.


def report(
    trainer: Trainer, task: MaskedModelling, system: "WristMae", workdir: epath.Path
) -> None:
    """Writes the last evaluation and the picture, and says what to do next."""
    example = trainer.example(task.reconstruct_masked, _WINDOWS)
    if jax.process_index() != 0:
        return
    where = workdir / "eval" / example.split
    where.mkdir(parents=True, exist_ok=True)
    if trainer.evaluated:  # not if nobody is held out, or the run had ended before
        (where / "metrics.json").write_text(json.dumps(trainer.evaluated, indent=1))
    title = title_of(system, workdir, trainer.total_steps)
    draw(where, system, example.output, title)
    print(_next_steps(workdir, where))


def title_of(system: "WristMae", workdir: epath.Path, step: int) -> str:
    """Of a run's figures."""
    simulated = ", SIMULATED data" if system.data.simulate else ""
    return f"{workdir.name}, step {step}{simulated}"


def draw(folder: epath.Path, system: "WristMae", output: PyTree, title: str) -> None:
    """Writes `FOLDER/reconstruction.png`, from what `reconstruct_masked` returned."""
    masked, reconstruction = output
    figures.reconstruction(
        folder / "reconstruction.png",
        patches=np.asarray(masked.patches[:_WINDOWS]),
        index=np.asarray(masked.index[:_WINDOWS]),
        reconstruction=np.asarray(reconstruction[:_WINDOWS]),
        rate_hz=system.task.rate_hz,
        channels=system.task.channels,
        loss=system.loss,
        title=title,
    )


def _next_steps(workdir: epath.Path, where: epath.Path) -> str:
    return f"""
done. In {workdir}:
  checkpoints/        Orbax, the newest few
  metrics.jsonl       one JSON object per log line
  tensorboard/        the same numbers as events
  {where.relative_to(workdir)}/
                      {", ".join(sorted(p.name for p in where.iterdir()))}
next:
  tensorboard --logdir={workdir}
  python -m launch.export --workdir={workdir} --output={workdir}/bundle
  python -c "import sigjax; print(sigjax.load('{workdir}/bundle'))"
your own recordings (Axivity, GENEActiv, ActiGraph, Empatica, tables):
  python -m launch.prepare --input=FOLDER --output=STORE --preset=paper
  python -m launch.pretrain --config=configs/mae_wrist.py --workdir=runs/mine \\
      --config.data.store=STORE"""
