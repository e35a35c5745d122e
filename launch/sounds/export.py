"""Trained sound models as detectors: fits their back-ends and writes their bundles."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from launch.sounds.autoencoder import SoundAutoencoder
from launch.sounds.scoring import Fitted, Part, fit_part, trained
from launch.systems import Run
from sigjax.config import ConfigError
from sigjax.evals.anomaly.registry import BACKENDS
from sigjax.inference.sounds.detector import SoundDetector
from sigjax.inference.sounds.known_machines import (
    KnownSection,
    MachineModel,
    references,
)
from sigjax.inference.sounds.network import SoundNetwork

# Clips of a section that references and mean spectra are made of.
_MOST = 64


def part_of(run: Run, data_folder: epath.Path) -> Part:
    """A run with its data; what a config simulates lies in the folder of all parts."""
    data = run.system.open_data(data_folder)
    return Part(system=run.system, data=data, workdir=run.workdir)


def choose(
    part: Part, evaluated: epath.Path, name: str = ""
) -> tuple[dict[str, Any], str]:
    """The back-end of each machine of a part.

    Args:
      part: Whose config names candidates.
      evaluated: What `launch.evaluate` wrote, if it did.
      name: The back-end that was asked for; without, the one that the evaluation chose,
        or the first candidate.

    Returns:
      Descriptions by machine, and how they were chosen, in words.

    Raises:
      ConfigError: There is no such back-end.
    """
    candidates = part.candidates()
    if name:
        # An autoencoder's embedding is one number: most others say nothing of it.
        others = () if isinstance(part.system, SoundAutoencoder) else tuple(BACKENDS)
        known = (*candidates, *(n for n in others if n not in candidates))
        if name not in known:
            raise ConfigError(
                f"no back-end {name!r} for this run; there are {', '.join(known)}"
            )
        given = candidates.get(name, name)
        return dict.fromkeys(part.machines, given), f"{name}, as asked for"
    path = evaluated / "choice.json"
    if path.exists():
        choice = json.loads(path.read_text())
        if set(part.machines) <= set(choice) and (
            {choice[m] for m in part.machines} <= set(candidates)
        ):
            chosen = {machine: candidates[choice[machine]] for machine in part.machines}
            said = ", ".join(f"{m}: {choice[m]}" for m in part.machines)
            return chosen, f"{said}; chosen by launch.evaluate ({path})"
    first = next(iter(candidates))
    return (
        dict.fromkeys(part.machines, candidates[first]),
        f"{first}, the first that the config names: there is no {path} of these"
        " machines (launch.evaluate chooses)",
    )


def detector_of(
    part: Part, chosen: Mapping[str, Any], source_run: Mapping[str, Any]
) -> SoundDetector:
    """The detector of a trained part.

    Args:
      part: A trained model and its data.
      chosen: Description of a back-end by machine.
      source_run: Where it comes from, for the bundle.
    """
    step, task, variables = trained(part)
    system, data = part.system, part.data
    network = SoundNetwork(task, variables, clip_s=system.data.clip_s)
    models, sections = {}, []
    for machine, fitted in fit_part(part, chosen).items():
        models[machine] = MachineModel(fitted.detector, "embedding")
        for section in fitted.held_out:
            sections.append(_known(part, network, machine, section, fitted))
    info = {
        "simulated": data.simulated,
        "source_run": {"workdir": str(part.workdir), "step": step, **source_run},
        "dataset": {"name": data.dataset.name, "fingerprint": data.dataset.fingerprint},
    }
    return SoundDetector(network, sections, models, info)


def _known(
    part: Part, network: SoundNetwork, machine: str, section: str, fitted: Fitted
) -> KnownSection:
    data, scoring = part.data, part.system.scoring
    every = data.dataset.select(machine, section)
    held = _some(np.intersect1d(every, data.validation_clips))
    seen = np.intersect1d(every, data.training_clips)
    minutes = float(data.dataset.samples[seen].sum()) / data.rate_hz / 60
    seen = _some(seen)
    waves = data.dataset.read_many(seen.tolist())
    embedding = network.embed(waves).columns[network.space]
    new = None
    if len(held):
        apart = network.embed(data.dataset.read_many(held.tolist()))
        new = apart.columns[network.space]
    return KnownSection(
        machine=machine,
        section=section,
        threshold=fitted.thresholds[section],
        held_out=fitted.held_out[section],
        false_alarms_per_day=scoring.false_alarms_per_day,
        hop_s=scoring.hop_s,
        clips=fitted.clips[section],
        level=network.levels(waves).mean(axis=0),
        facts={
            "fitted": "on clips that the network was trained on",
            "minutes": minutes,
        },
        **references(embedding, network.metric, new=new),
    )


def _some(numbers: np.ndarray) -> np.ndarray:
    """At most so many, spread over all."""
    if len(numbers) <= _MOST:
        return numbers
    return numbers[np.linspace(0, len(numbers) - 1, _MOST).round().astype(np.int64)]
