"""Figures of a segmenter on fixed mixtures: of a side of a run, or of a set."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import tqdm
from etils import epath

from launch.segmentation.system import EvaluationConfig, SoundSegmentation
from sigjax.data.segmentation.stream import MixtureData, Side
from sigjax.evals import segmentation as evals
from sigjax.inference.segmentation import SegmenterModel
from sigjax.signal.mel import mel_frequencies

SIDES: tuple[Side, ...] = ("test", "validation", "train")


def judged(
    model: SegmenterModel,
    mixtures: Iterable[Mapping[str, np.ndarray]],
    of: str = "judging",
) -> Iterator[evals.Judged]:
    """Mixtures with what a model says of them.

    Args:
      model: The segmenter.
      mixtures: Batches of `MixtureSource.read`, with `weight`, 0 for a row that is
        none; of masks with `sources`.
    """
    task, rule = model.task, model.config.rule
    target, spectrogram = jax.jit(task.target), jax.jit(task.spectrogram)
    for batch in tqdm.tqdm(
        mixtures, disable=None, unit="batch", leave=False, desc="judging"
    ):
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
    step = f"step {trained['chosen_step']}: {trained['rule']}"
    return write(
        model,
        judged(model, data.mixtures(side)),
        folder,
        system.evaluation,
        about={
            "side": side,
            "dataset": trained["dataset"],
            "model": trained["model"],
            "step": step,
        },
        title=f"{data.dataset.name}, {side}, {step}",
        simulated=data.simulated,
    )


def write(
    model: SegmenterModel,
    every: Iterable[evals.Judged],
    folder: epath.Path,
    how: EvaluationConfig,
    *,
    about: Mapping[str, Any],
    title: str,
    simulated: bool,
) -> dict[str, Any]:
    """Scores what a model says and writes the results.

    Args:
      model: The segmenter.
      every: Mixtures or recordings with what it says of them.
      folder: Gets metrics.json, per_class.csv and examples.png.
      how: Tolerances, and how many are drawn; the rule is the model's.
      about: Put into metrics.json.
      title: Of the picture.
      simulated: Whether the sound is.

    Returns:
      What metrics.json holds.
    """
    score = evals.Score(
        model.classes,
        threshold=model.config.rule.threshold,
        frame_s=model.frame_s,
        tolerances_s=how.tolerances_s,
    )
    return evals.write_evaluation(
        folder,
        every,
        score,
        about=about,
        title=title,
        note="SIMULATED data" if simulated else "",
        frame_s=model.frame_s,
        band_hz=mel_frequencies(model.config.task.mel),
        examples=how.examples,
    )


def table(found: Mapping[str, Any], folder: epath.Path, title: str) -> str:
    """Figures and files for the terminal."""
    names = ", ".join(sorted(path.name for path in folder.iterdir()))
    return "\n".join(["", title, *evals.lines(found), "", f"in {folder}: {names}"])
