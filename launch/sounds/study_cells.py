"""The study's cells: what is trained on which recordings, and its scores, as files.

A cell is one split of one motor, or one class and fold of ESC-10. Each is a file, so
that a study that was stopped goes on where it was.
"""

import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from etils import epath

from launch.sounds import study_detectors as detectors
from launch.sounds.study_data import Recording, Sounds, environment, motors, normalised
from launch.sounds.study_networks import (
    Trained,
    run,
    run_shipped,
    shipped,
    train,
)
from launch.sounds.study_recipes import ESC_MEL, ESC_RECIPES, MEL, MOTOR_RECIPES, Recipe
from sigjax.train.writer import replace_file

_PLAIN_SPLITS, _TRAIN_HOP_S = 20, 0.25
MOTORS = ("M1", "M2")
SHIPPED = "shipped network"
Cell = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """Where cells are kept, and those that were read or made.

    Attributes:
      folder: Their files.
      say: Tells what is being done.
      missing: Whether to make those that are not there.
    """

    folder: epath.Path
    say: Callable[[str], None] = print
    missing: bool = True

    def get(self, name: str, settings: Any, make: Callable[[], Cell | None]) -> Cell:
        """A cell of these settings, made if it is not there; empty if it cannot be."""
        digest = hashlib.blake2b(repr(settings).encode(), digest_size=4).hexdigest()
        path = self.folder / f"{name}-{digest}.json"
        if path.exists():
            return json.loads(path.read_text())
        start = time.monotonic()
        made = make() if self.missing else None
        if made is None:
            return {}
        seconds = time.monotonic() - start
        self.folder.mkdir(parents=True, exist_ok=True)
        found = {**made, "seconds": round(seconds, 1)}
        replace_file(path, json.dumps(found).encode())
        self.say(f"{name}: {seconds:.0f} s")
        return found


def motor_splits(count: int) -> list[np.ndarray]:
    """Which four of eight healthy recordings are trained on, so many times.

    Two by two they complement each other: of an even number of splits each recording
    is trained on, and tested, in half.
    """
    rng = np.random.default_rng(0)
    orders = [rng.permutation(8) for _ in range((count + 1) // 2)]
    halves = [np.sort(half) for order in orders for half in (order[:4], order[4:])]
    return halves[:count]


def plain_splits() -> list[np.ndarray]:
    """Twenty of the seventy splits at random."""
    rng = np.random.default_rng(1)
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < _PLAIN_SPLITS:
        drawn[tuple(sorted(rng.permutation(8)[:4].tolist()))] = None
    return [np.array(each) for each in drawn]


def healthy(recordings: tuple[Recording, ...], machine: str) -> np.ndarray:
    """Numbers of a motor's healthy recordings."""
    return np.array(
        [i for i, r in enumerate(recordings) if r.machine == machine and not r.fault]
    )


class Motors:
    """All cells of the brushless motors."""

    def __init__(
        self,
        folder: epath.PathLike,
        cells: Cells,
        splits: int,
        recipes: Mapping[str, Recipe] = MOTOR_RECIPES,
    ):
        """Reads the recordings; networks are trained on so many splits."""
        self.cells, self.splits, self.recipes = cells, splits, recipes
        self.whole, self.segments = motors(folder)
        self.recordings = self.whole.recordings
        self._spectrograms = {
            "10 s": detectors.spectrograms_of(self.whole, MEL),
            "1 s": detectors.spectrograms_of(self.segments, MEL),
        }

    def apart(self) -> Iterator[tuple[str, Cell]]:
        """Kind of each cell, and the cell: detectors of one motor."""
        yield "numbers", self.cells.get("bldc-numbers", 1, self._numbers)
        for machine in MOTORS:
            for k, chosen in enumerate(plain_splits()):
                rows = healthy(self.recordings, machine)[chosen]
                name = f"bldc-{machine}-plain{k:02}"
                yield "plain", self._get(name, machine, rows, "plain", self._plain)
        for k, chosen in enumerate(motor_splits(self.splits)):
            for machine in MOTORS:
                rows = healthy(self.recordings, machine)[chosen]
                for kind, make in self._kinds(k).items():
                    name = f"bldc-{machine}-{kind.replace(' ', '_')}{k}"
                    yield kind, self._get(name, machine, rows, kind, make)

    def together(self) -> Iterator[tuple[str, Cell]]:
        """Likewise: a classifier of all three motors."""
        for k, chosen in enumerate(motor_splits(self.splits)):
            # The third motor has six recordings.
            own = {m: healthy(self.recordings, m) for m in ("M1", "M2", "M3")}
            picks = {"M1": chosen, "M2": chosen, "M3": chosen[chosen < 6][:3]}
            rows = np.concatenate([own[m][picks[m]] for m in own])
            make = functools.partial(self._of_motors, "classifier", seed=100 + k)
            name = f"bldc-motors-classifier{k}"
            yield "motors", self._get(name, "", rows, "classifier", make)

    def _get(self, name, machine, rows, kind, make) -> Cell:
        version = 3 if kind in ("plain", "common") else 2
        recipe = {**MOTOR_RECIPES, **self.recipes}.get(kind) or _bundle(kind)
        settings = [rows.tolist(), recipe, version]

        def made() -> Cell | None:
            scores = make(rows)
            return scores and {"machine": machine, "train": rows.tolist(), **scores}

        return self.cells.get(name, settings, made)

    def _kinds(self, k: int) -> dict[str, Callable[[np.ndarray], Cell | None]]:
        return {
            "common": self._plain,
            **{
                kind: functools.partial(self._of_recordings, kind, seed=k)
                for kind in self.recipes
            },
            **({"bundle": self._of_bundle} if "classifier" in self.recipes else {}),
        }

    def _mask(self, rows: np.ndarray) -> np.ndarray:
        """Bool by segment: of these recordings."""
        return np.isin(self.segments.row, rows)

    def _both(self, scores: Mapping[str, np.ndarray]) -> Cell:
        """Scores of segments, and their means of recordings."""
        return {
            name: {
                "segment": value.tolist(),
                "recording": self.segments.mean(value).tolist(),
            }
            for name, value in scores.items()
        }

    def _numbers(self) -> Cell:
        """One number of each sound: it is the same whatever is trained on."""
        found = self._both(detectors.one_number(self.segments))
        for name, value in detectors.one_number(self.whole).items():
            found[f"{name}, 10 s"] = {"recording": value.tolist()}
        return {"scores": found}

    def _plain(self, rows: np.ndarray) -> Cell:
        found = self._both(
            detectors.no_network(self._spectrograms["1 s"], self._mask(rows))
        )
        used = np.isin(np.arange(len(self.recordings)), rows)
        whole = detectors.no_network(self._spectrograms["10 s"], used)
        for name, value in whole.items():
            found[f"{name}, 10 s"] = {"recording": value.tolist()}
        return {"scores": found}

    def _crops(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What networks are trained on: overlapping seconds, and whose they are."""
        length = self.segments.wave.shape[1]
        hop = round(_TRAIN_HOP_S * length)
        raw = [
            np.lib.stride_tricks.sliding_window_view(self.whole.raw[row], length)[::hop]
            for row in rows
        ]
        number = np.repeat(np.arange(len(rows)), [len(part) for part in raw])
        return normalised(np.concatenate(raw)), number

    def _of_recordings(self, kind: str, rows: np.ndarray, *, seed: int) -> Cell:
        """One motor's; a classifier tells its recordings (speeds) apart."""
        wave, label = self._crops(rows)
        made = train(self.recipes[kind], wave, label, seed=seed)
        mask = self._mask(rows)
        names = np.array([r.path for r in self.recordings])[self.segments.row]
        found = {}
        for state, variables in _states(made).items():
            said = run(made.task, variables, self.segments.wave)
            if said.residual is not None:
                scores = detectors.of_autoencoder(said, mask)
            else:
                scores = detectors.of_classifier(said, names, mask, by_class=False)
            found |= {f"{kind}, {name}, {state}": s for name, s in scores.items()}
        return {"scores": self._both(found), "loss": made.loss}

    def _of_motors(self, kind: str, rows: np.ndarray, *, seed: int) -> Cell:
        """All three motors': the classifier tells them apart."""
        wave, number = self._crops(rows)
        machine = np.array([r.machine for r in self.recordings])
        label = np.unique(machine[rows], return_inverse=True)[1][number]
        made = train(MOTOR_RECIPES[kind], wave, label, seed=seed)
        section, mask = machine[self.segments.row], self._mask(rows)
        found = {}
        for state, variables in _states(made).items():
            said = run(made.task, variables, self.segments.wave)
            for name, own in detectors.by_section(said, section, mask).items():
                for motor, value in own.items():
                    found[f"{kind}, {name}, {state}@{motor}"] = value
        return {"scores": self._both(found), "loss": made.loss}

    def _of_bundle(self, rows: np.ndarray) -> Cell | None:
        if shipped() is None:
            return None
        mask, wave = self._mask(rows), self.segments.wave
        section, found = np.full(len(mask), "machine"), {}
        for state, said in run_shipped(wave, wave[mask], seed=0).items():
            scores = detectors.of_classifier(
                said, section, mask, by_class=False, confidence=False
            )
            found |= {f"{SHIPPED}, {name}, {state}": s for name, s in scores.items()}
        return {"scores": self._both(found)}


class Environment:
    """All cells of ESC-10: each class in turn is the machine, or the anomaly."""

    def __init__(self, folder: epath.PathLike, cells: Cells, folds: int):
        """Reads the clips and their spectrograms; `folds` of five are tested."""
        self.sounds: Sounds = environment(folder)
        self.recordings, self.cells, self.folds = self.sounds.recordings, cells, folds
        self.machine = np.array([r.machine for r in self.recordings])
        self.fold = np.array([r.fold for r in self.recordings])
        self._spectrogram = detectors.spectrograms_of(self.sounds, ESC_MEL)
        self._said: dict[int, Any] = {}  # By fold; that of the shipped network.

    def all(self) -> Iterator[tuple[str, Cell]]:
        """Kind of each cell, and the cell."""
        yield "numbers", self.cells.get("esc10-numbers", 1, self._numbers)
        names = np.unique(self.machine).tolist()
        kinds = {
            "common": self._plain,
            "AE": self._autoencoder,
            "bundle": self._of_bundle,
            **{
                kind: functools.partial(self._of_classes, kind)
                for kind in ("classifier", "multi-resolution")
            },
        }
        for fold in range(1, self.folds + 1):
            for kind, make in kinds.items():
                for number, own in enumerate(names):
                    name = f"esc10-{fold}-{number:02}-{kind}"
                    yield kind, self._get(name, own, fold, kind, make)

    def _get(self, name, own, fold, kind, make) -> Cell:
        def made() -> Cell | None:
            scores = make(own, fold)
            return scores and {"machine": own, "fold": fold, **scores}

        recipe = ESC_RECIPES.get(kind) or _bundle(kind)
        return self.cells.get(name, [own, fold, recipe, 2], made)

    def _rows(self, own: str, fold: int) -> tuple[np.ndarray, np.ndarray]:
        """Masks of the clips trained on: of this class, and of the others."""
        train, is_own = self.fold != fold, self.machine == own
        return train & is_own, train & ~is_own

    def _tested(self, fold: int, scores: Mapping[str, np.ndarray]) -> Cell:
        rows = np.flatnonzero(self.fold == fold)
        found = {name: value[rows].tolist() for name, value in scores.items()}
        return {"scores": found, "tested": rows.tolist()}

    def _numbers(self) -> Cell:
        found = detectors.one_number(self.sounds)
        return {"scores": {name: value.tolist() for name, value in found.items()}}

    def _plain(self, own: str, fold: int) -> Cell:
        found = {}
        for reading, mask in zip(READINGS, self._rows(own, fold), strict=True):
            scores = detectors.no_network(self._spectrogram, mask)
            scores["level, silence, length"] = detectors.level_and_length(
                self.sounds, mask
            )
            found |= {f"{reading}: {name}": s for name, s in scores.items()}
        return self._tested(fold, found)

    def _autoencoder(self, own: str, fold: int) -> Cell:
        mask = self._rows(own, fold)[0]
        wave = self.sounds.wave[mask]
        label = np.zeros(len(wave), int)
        made = train(ESC_RECIPES["AE"], wave, label, seed=fold)
        found = {}
        for state, variables in _states(made).items():
            said = run(made.task, variables, self.sounds.wave)
            for name, value in detectors.of_autoencoder(said, mask).items():
                found[f"machine: AE, {name}, {state}"] = value
        return {**self._tested(fold, found), "loss": made.loss}

    def _of_classes(self, kind: str, own: str, fold: int) -> Cell:
        """A classifier of the nine others, which never met this class."""
        normal, others = self._rows(own, fold)
        label = np.unique(self.machine[others], return_inverse=True)[1]
        made = train(ESC_RECIPES[kind], self.sounds.wave[others], label, seed=fold)
        found = {}
        for state, variables in _states(made).items():
            said = run(made.task, variables, self.sounds.wave)
            alone = detectors.of_classifier(
                said, self.machine, normal, by_class=False, confidence=False
            )
            rest = detectors.of_classifier(said, self.machine, others, by_class=True)
            for reading, scores in zip(READINGS, (alone, rest), strict=True):
                for name, value in scores.items():
                    found[f"{reading}: {kind}, {name}, {state}"] = value
        return {**self._tested(fold, found), "loss": made.loss}

    def _of_bundle(self, own: str, fold: int) -> Cell | None:
        if shipped() is None:
            return None
        found = {}
        if fold not in self._said:
            wave = self.sounds.wave
            self._said[fold] = run_shipped(wave, wave[self.fold != fold], seed=fold)
        for reading, mask in zip(READINGS, self._rows(own, fold), strict=True):
            for state, said in self._said[fold].items():
                scores = detectors.of_classifier(
                    *(said, self.machine, mask),
                    by_class=reading == "open",
                    confidence=False,
                )
                for name, value in scores.items():
                    found[f"{reading}: {SHIPPED}, {name}, {state}"] = value
        return self._tested(fold, found)


# The class is the machine and the nine others are anomalies; or they are what is known
# and the class is the anomaly.
READINGS = ("machine", "open")


def _bundle(kind: str) -> Any:
    """What a cell of the shipped network depends on; None for others."""
    found = shipped() if kind == "bundle" else None
    return None if found is None else found[1]


def _states(made: Trained) -> dict[str, Mapping[str, Any]]:
    return {"trained": made.trained, "untrained": made.untrained}
