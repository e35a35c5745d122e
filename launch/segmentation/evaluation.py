"""Figures of a segmenter on the fixed mixtures of a side."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
import tqdm
from etils import epath

from launch.segmentation.system import SoundSegmentation
from sigjax.data.segmentation.stream import MixtureData, Side
from sigjax.evals import segmentation as evals
from sigjax.inference.segmentation import SegmenterModel
from sigjax.signal.mel import mel_frequencies

SIDES: tuple[Side, ...] = ("test", "validation", "train")


def judged(
    model: SegmenterModel, system: SoundSegmentation, data: MixtureData, side: Side
) -> Iterator[evals.Judged]:
    """The mixtures of a side, with what the model says of them."""
    task, rule = system.make_task(data), model.config.rule
    target, spectrogram = jax.jit(task.target), jax.jit(task.spectrogram)
    batches = tqdm.tqdm(
        data.mixtures(side), disable=None, unit="batch", leave=False, desc="judging"
    )
    for batch in batches:
        given = {k: v for k, v in batch.items() if k != "weight"}
        true = np.asarray(target(given)) > 0.5
        said = np.asarray(model.probabilities(given["wave"]))
        seen = np.asarray(spectrogram(given["wave"]))[..., 0]
        frames = model.frames(true.astype(np.float32)) > 0.5
        scores = model.frames(said)
        for row in np.flatnonzero(batch["weight"] > 0):
            yield evals.Judged(
                spectrogram=seen[row],
                true=true[row],
                said=said[row],
                true_frames=frames[row],
                said_frames=rule.active(scores[row], model.frame_s),
            )


def evaluate(
    model: SegmenterModel,
    system: SoundSegmentation,
    data: MixtureData,
    side: Side,
    folder: epath.Path,
    trained: Mapping[str, Any],
) -> dict[str, Any]:
    """Scores the mixtures of a side and writes the results.

    Args:
      model: The run's bundle.
      system: The run's.
      data: Its data.
      side: Whose clips are mixed.
      folder: Gets metrics.json, per_class.csv and examples.png.
      trained: What the run's `result.json` says.

    Returns:
      What metrics.json holds.

    Raises:
      sigjax.data.datasets.folders.DatasetError: There is no clip on that side.
    """
    score = evals.Score(
        model.classes,
        threshold=model.config.rule.threshold,
        frame_s=model.frame_s,
        tolerances_s=system.evaluation.tolerances_s,
    )
    step = f"step {trained['chosen_step']}: {trained['rule']}"
    return evals.write_evaluation(
        folder,
        judged(model, system, data, side),
        score,
        about={
            "side": side,
            "dataset": trained["dataset"],
            "model": trained["model"],
            "step": step,
        },
        title=f"{data.dataset.name}, {side}, {step}",
        note="SIMULATED data" if data.simulated else "",
        frame_s=model.frame_s,
        band_hz=mel_frequencies(system.task.mel),
        examples=system.evaluation.examples,
    )


def table(found: Mapping[str, Any], folder: epath.Path, title: str) -> str:
    """Figures and files for the terminal."""
    names = ", ".join(sorted(path.name for path in folder.iterdir()))
    return "\n".join(["", title, *evals.lines(found), "", f"in {folder}: {names}"])
