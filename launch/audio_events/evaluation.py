"""Figures of a recogniser on labelled clips, windows of one clip averaged."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tqdm
from etils import epath

from launch.audio_events.system import EventRecognition
from sigjax.config import ConfigError
from sigjax.data.audio_events.sounds import EventSet
from sigjax.data.audio_events.stream import EventData, Side
from sigjax.data.segments import Segments
from sigjax.evals import audio_events as evals
from sigjax.inference.audio_events import AudioEventsModel

SIDES: tuple[Side, ...] = ("test", "validation", "train")
# What result.json keeps of an evaluation; the rest is in its folder.
_KEPT = (
    *("kind", "figures", "clips", "clips_without_labels"),
    *("sources", "level", "bootstrap"),
)

lines = evals.lines


def windows(
    data: EventData, side: Side, *, most: int
) -> Iterator[Mapping[str, np.ndarray]]:
    """Batches of whole clips of a side, of no more clips than `most`, spread evenly."""
    clips = data.sides[side]
    if len(clips) > most:
        clips = clips[np.linspace(0, len(clips) - 1, most).round().astype(np.int64)]
    found = Segments(
        data.dataset,
        clips,
        samples=data.samples,
        batch_size=data.config.batch_size,
        short=data.config.short,
    )
    for batch in found:
        yield {"wave": batch.wave, "valid": batch.valid, "weight": batch.weight}


def predictions(
    model: AudioEventsModel,
    dataset: EventSet,
    clips: np.ndarray,
    *,
    hop_s: float = 0.0,
    batch_size: int = 16,
) -> evals.EventPredictions:
    """What a model says of clips: means of the probabilities of their windows.

    Args:
      model: The recogniser.
      dataset: Of the clips, at the model's rate.
      clips: Numbers of the clips.
      hop_s: From one window to the next; 0 for windows that do not overlap.
      batch_size: Windows at a time.
    """
    segments = Segments(
        dataset,
        clips,
        samples=model.samples,
        batch_size=batch_size,
        hop=round(hop_s * model.rate_hz) or None,
        short=model.config.short,
    )
    found: dict[str, list[np.ndarray]] = {head: [] for head in model.classes}
    for batch in tqdm.tqdm(segments, disable=None, unit="batch", leave=False):
        values = model.probabilities(batch.wave, batch.valid)
        for head, value in values.items():
            found[head].append(value[batch.weight > 0])
    means = {
        head: segments.mean(np.concatenate(parts)) for head, parts in found.items()
    }
    return evals.of_clips(dataset, clips, means, model.classes)


def evaluate(
    model: AudioEventsModel,
    system: EventRecognition,
    data: EventData,
    side: Side,
    folder: epath.Path,
    trained: Mapping[str, Any],
    *,
    bootstrap: int | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Scores a side of a run's data and writes the results.

    Args:
      model: The run's bundle.
      system: The run's.
      data: Its data.
      side: Which clips.
      folder: Gets the files; see `sigjax.evals.audio_events.write_evaluation`.
      trained: What the run's `result.json` says.
      bootstrap: Resamples; by default those of the config.
      seed: Of the resamples.

    Returns:
      The figures, JSON-able.

    Raises:
      ConfigError: There is no clip on that side.
    """
    clips = data.sides[side]
    if not len(clips):
        there = ", ".join(f"{name} ({len(n)})" for name, n in data.sides.items())
        raise ConfigError(f"no clip is on the side {side!r}; clips: {there}")
    found = predictions(
        model,
        data.dataset,
        clips,
        hop_s=system.evaluation.hop_s,
        batch_size=data.config.batch_size,
    )
    step = f"step {trained['chosen_step']}: {trained['rule']}"
    return write(
        found,
        folder,
        title=f"{data.dataset.name}, {side}, {step}",
        simulated=data.simulated,
        about={"side": side, "dataset": trained["dataset"], "step": step},
        bootstrap=system.evaluation.bootstrap if bootstrap is None else bootstrap,
        seed=seed,
    )


def write(
    found: evals.EventPredictions,
    folder: epath.Path,
    *,
    title: str,
    simulated: bool,
    about: Mapping[str, Any],
    bootstrap: int,
    seed: int,
) -> dict[str, Any]:
    """Scores predictions and writes the results; returns the figures, JSON-able.

    Args:
      found: Of clips.
      folder: Gets the files; see `sigjax.evals.audio_events.write_evaluation`.
      title: Of the pictures.
      simulated: Whether the clips are.
      about: Put into metrics.json.
      bootstrap: Resamples of sources.
      seed: Of the resamples.
    """
    scored = evals.score(found, bootstrap=bootstrap, seed=seed)
    evals.write_evaluation(
        folder,
        found,
        {**scored, "about": {**about, "simulated": simulated}},
        title=title,
        note="SIMULATED data" if simulated else "",
    )
    return {name: scored[name] for name in _KEPT}


def table(found: Mapping[str, Any], folder: epath.Path, title: str) -> str:
    """Figures and files for the terminal."""
    names = ", ".join(sorted(path.name for path in folder.iterdir()))
    return "\n".join(["", title, *lines(found), "", f"in {folder}: {names}"])
