"""A bundle of a segmenter on mixtures of any set's clips, or on annotated recordings.

Of a set the mixtures are those of the run's evaluation: drawn alike, by the same seed,
of other clips. Recordings are heard as launch.predict hears them; of those it is known
when events sound, not at which frequencies, so their figures are of frames.
"""

import collections
import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from launch.audio_events.bundle_evaluation import check_classes, check_rate, chosen
from launch.audio_events.settings import Settings
from launch.evaluating import Asked, EvaluationError
from launch.segmentation import evaluation
from launch.segmentation.prediction import completed, listen, open_model
from launch.segmentation.system import EvaluationConfig, SoundSegmentation
from sigjax.config import build
from sigjax.data.audio_events.events import Event, read_events
from sigjax.data.audio_events.sounds import EventSet
from sigjax.data.audio_files import audio_files
from sigjax.data.clips import ManifestError
from sigjax.data.pipeline import eval_batches
from sigjax.data.segmentation.mixture import MixtureConfig
from sigjax.data.segmentation.stream import MixtureSource, check_single
from sigjax.evals.segmentation import Judged
from sigjax.inference.segmentation import SegmenterModel
from sigjax.train.writer import prepare_workdir

TABLE = "events.csv"
_BATCH = 16
_OF_PEOPLE = "for bundles of wrist recordings, and this is one of a segmenter"


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixturesConfig:
    """Which mixtures a run is evaluated on: in a bundle under `extra.mixtures`.

    Attributes:
      mixture: How they are drawn.
      classes: As of `MixtureDataConfig`.
      count: How many.
      seed: Of all of them.
    """

    mixture: MixtureConfig
    classes: str = "set"
    count: int = 400
    seed: int = 0


def how_judged(system: SoundSegmentation) -> dict[str, Any]:
    """What a bundle's `extra` says of the evaluation of its run."""
    data, how = system.data, system.evaluation
    mixtures = MixturesConfig(
        mixture=data.mixture,
        classes=data.classes,
        count=data.held_out_mixtures,
        seed=data.seed,
    )
    return {
        "mixtures": dataclasses.asdict(mixtures),
        "tolerances_s": how.tolerances_s,
        "examples": how.examples,
    }


def evaluate_bundle(
    bundle: epath.PathLike,
    dataset: epath.PathLike,
    output: epath.PathLike,
    asked: Asked,
) -> str:
    """Evaluates a segmenter; see `launch.evaluating.Room`.

    Args:
      bundle: Of a segmenter.
      dataset: A set of `launch.build_events` with one label a clip; or a folder with
        recordings and `events.csv`, or such a table: path (relative to it), start_s,
        end_s, label.
      output: Folder.
      asked: `split` of a set: splits or folds, such as `fold5`.

    Raises:
      ConfigError: The set is of another rate, of classes that the model does not know,
        or has no such split.
      DatasetError: There is no set, or none of which mixtures can be made.
      ManifestError: The table is wrong, or of classes that the model does not know.
      AudioError: A recording is not there or cannot be read.
      EvaluationError: The model was trained on these clips, or what is asked is for
        other bundles.
    """
    asked.refuse("scheme", "min_purity", why=_OF_PEOPLE)
    model = open_model(bundle)
    extra = model.info.get("extra") or {}
    known: dict[str, Any] = {"rule": model.config.rule}
    if "tolerances_s" in extra:
        known["tolerances_s"] = tuple(extra["tolerances_s"])
        known["examples"] = extra["examples"]
    how = EvaluationConfig(**known)
    path = epath.Path(dataset).expanduser()
    table = path / TABLE if (path / TABLE).exists() else path
    if table.suffix == ".csv":
        asked.refuse("split", why=f"for sets of clips; all of {table} is evaluated")
        given = _recordings(model, table, how.examples, asked.batch_size)
    else:
        given = _mixtures(model, EventSet.open(path), asked)
    folder = prepare_workdir(output)
    found = evaluation.write(
        model,
        given.every,
        folder,
        how,
        about={"bundle": str(bundle), **given.about},
        title=f"{epath.Path(bundle).name}: {given.title}",
        simulated=given.simulated,
    )
    title = "\n".join([f"{epath.Path(bundle).name}: {given.title}", *given.remarks])
    return evaluation.table(found, folder, title)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Given:
    """What is evaluated, and what is to be said of it."""

    every: Iterator[Judged]
    about: dict[str, Any]
    title: str
    remarks: Sequence[str]
    simulated: bool


def _mixtures(model: SegmenterModel, opened: EventSet, asked: Asked) -> _Given:
    """The fixed mixtures of some clips of a set."""
    check_single(opened)
    check_rate(opened, model.rate_hz)
    extra = model.info.get("extra") or {}
    trained = extra.get("dataset") or {}
    own = trained.get("fingerprint") == opened.fingerprint and not asked.split
    if own and not asked.allow_training_people:
        names = (*filter(None, opened.splits), *(f"fold{n}" for n in opened.folds))
        raise EvaluationError(
            f"the model was trained on clips of {opened.path}: give those of its test"
            f" side, --split={', '.join(names)}, or --allow_training_people if figures"
            " of what it has learnt are what you want to see"
        )
    c, remarks = _how_drawn(model)
    remarks += ["CLIPS OF THIS SET WERE TRAINED ON"] * own
    one_class = c.classes == "event"
    classes = opened.classes["label"] if one_class else model.classes
    if not one_class:
        check_classes(opened, {"label": model.classes})
    clips = chosen(opened, asked.splits)
    silent = int(opened.silent[clips].sum())
    if silent:
        remarks.append(f"{silent} clips are silent: left out")
    clips = clips[~opened.silent[clips]]
    if not len(clips):
        raise EvaluationError(f"{opened.path}: every clip that is asked for is silent")
    source = MixtureSource(
        opened,
        clips,
        classes,
        c.mixture,
        c.count,
        sources=model.config.task.target == "mask",
        one_class=one_class,
    )
    batches = eval_batches(
        source, batch_size=asked.batch_size or min(_BATCH, c.count), seed=c.seed
    )
    which = ", ".join(asked.splits) or "all clips"
    about = {"path": str(opened.path), "name": opened.name}
    return _Given(
        every=evaluation.judged(model, batches),
        about={
            "side": which,
            "clips": len(clips),
            "dataset": {**about, "fingerprint": opened.fingerprint},
            "mixtures": dataclasses.asdict(c),
            "remarks": remarks,
        },
        title=f"mixtures of {len(clips)} clips of {opened.name}, {which}",
        remarks=remarks,
        simulated=opened.simulated,
    )


def _how_drawn(model: SegmenterModel) -> tuple[MixturesConfig, list[str]]:
    """How the run's mixtures were drawn, and what is to be said of it."""
    found = (model.info.get("extra") or {}).get("mixtures")
    if found is not None:
        return build(MixturesConfig, found, path="extra.mixtures"), []
    longest = min(MixtureConfig.event_s[1], model.window_s)
    shortest = min(MixtureConfig.event_s[0], longest)
    mixture = MixtureConfig(window_s=model.window_s, event_s=(shortest, longest))
    classes = "event" if model.classes == ("event",) else "set"
    told = (
        "the bundle does not say how its run's mixtures were drawn: these are drawn as"
        " by default, and figures differ from the run's"
    )
    return MixturesConfig(mixture=mixture, classes=classes), [told]


def _recordings(
    model: SegmenterModel, table: epath.Path, shown: int, batch_size: int | None
) -> _Given:
    """The recordings that a table of events names."""
    every: dict[str, list[Event]] = collections.defaultdict(list)
    for event in read_events(table):
        every[event.path].append(event)
    one_class = model.classes == ("event",)
    labels = {event.label for events in every.values() for event in events}
    unknown = sorted(labels - set(model.classes)) if not one_class else []
    if unknown or not every:
        raise ManifestError(
            f"{table}: "
            + (f"has events of {', '.join(unknown)}" if every else "names no event")
            + f"; the model knows {', '.join(model.classes)}"
        )
    remarks = []
    rest = sorted({*audio_files(pathlib.Path(table.parent))[0]} - {*every})
    if rest:
        remarks.append(
            f"{len(rest)} recordings beside {table.name} have no event there and are"
            f" left out, such as {rest[0]}"
        )

    def heard() -> Iterator[Judged]:
        drawn = 0
        for name, events in every.items():
            one = _heard(model, table.parent / name, events, drawn < shown, batch_size)
            drawn += bool(one.true_frames.any())
            yield one

    return _Given(
        every=heard(),
        about={
            "of": "recordings",
            "side": "all recordings",
            "recordings": len(every),
            "events": sum(map(len, every.values())),
            "dataset": {"path": str(table)},
            "remarks": remarks,
        },
        title=f"recordings of {table}",
        remarks=remarks,
        simulated=(table.parent / "SIMULATED.txt").exists(),
    )


class _Kept:
    """The wave of a recording as it is read, if it is wanted."""

    def __init__(self, wanted: bool):
        self._wanted, self._parts = wanted, [np.empty(0, np.float32)]

    def feed(self, wave: np.ndarray) -> None:
        if self._wanted:
            self._parts.append(wave.copy())

    def wave(self) -> np.ndarray:
        return np.concatenate(self._parts)


def _heard(
    model: SegmenterModel,
    path: epath.Path,
    events: Sequence[Event],
    drawn: bool,
    batch_size: int | None,
) -> Judged:
    """One recording; its spectrogram, if it is drawn."""
    kept = _Kept(drawn)
    score, _, _ = listen(
        model, str(path), completed(Settings(), model), kept, batch_size
    )
    true = np.zeros(score.shape, bool)
    middle = np.arange(len(score)) * model.frame_s
    for event in events:
        number = model.classes.index(event.label) if len(model.classes) > 1 else 0
        true[(event.start_s <= middle) & (middle < event.end_s), number] = True
    return Judged(
        spectrogram=_spectrogram(model, kept.wave(), len(score))
        if drawn
        else np.empty((0, 0)),
        true=true,
        said=np.nan_to_num(score),
        true_frames=true,
        said_frames=model.config.rule.active(score, model.frame_s),
    )


def _spectrogram(model: SegmenterModel, wave: np.ndarray, frames: int) -> np.ndarray:
    """What the network sees of a wave, window after window, `[t, f]`."""
    hop = model.config.task.mel.hop
    each = max(1, model.samples // hop)  # whole frames; the next window goes on
    starts = np.arange(-(-frames // each)) * each * hop
    padded = np.zeros(starts[-1] + model.samples, np.float32)
    padded[: len(wave)] = wave[: len(padded)]
    spectrogram = jax.jit(model.task.spectrogram)
    parts = [
        np.asarray(spectrogram(padded[None, at : at + model.samples]))[0, :each, :, 0]
        for at in starts
    ]
    return np.concatenate(parts)[:frames]
