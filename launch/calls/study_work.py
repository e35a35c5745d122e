"""Does the study's cells with the commands' own functions."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from launch import pretrain, runtime
from launch.calls import study_plain
from launch.calls.encoder import Encoder
from launch.calls.extraction import Extraction, Settings
from launch.calls.study_cells import PLAIN, PRETRAINED, RANDOM, StudyCell
from launch.calls.study_data import RATE_HZ, Sides, StudyCalls, StudyError
from launch.reproduction.working import in_cell
from launch.speech.pretraining import SpeechPretraining
from sigjax import export
from sigjax.data.calls.buckets import BucketConfig
from sigjax.data.calls.manifest import CallManifest, read_calls
from sigjax.data.calls.reading import ReadingConfig
from sigjax.evals.layer_features import ClipFeatures
from sigjax.evals.layer_probes import Fold, LayerFeatures, layers_of, sweep
from sigjax.evals.layer_probes.protocol import ProbeProtocol
from sigjax.models.speech_encoder import SpeechEncoder

# Few programs to compile: features do not depend on them.
_BUCKETS = BucketConfig(ratio=1.5)
_BUNDLE, _FEATURES = "bundle", "features"


class Work:
    """Does a cell's work; what is printed meanwhile goes to its `log.txt`."""

    def __init__(self, sets: Mapping[str, StudyCalls], workdir: epath.Path):
        """Remembers the calls by their set's name, and where cells lie."""
        self._sets, self._workdir = sets, workdir

    def __call__(self, cell: Any, folder: epath.Path) -> dict[str, Any]:
        """Does it.

        Returns:
          Of bars `machines` and `probes`, of probes `probes`, by name (see
          `probes_told`), with `tested`, the rows; of encoders `clips`, and `validation`
          of those that were trained.
        """
        calls = self._sets[cell.calls]
        with in_cell(folder):
            if cell.kind == PLAIN:
                found = bars(calls, cell.unit, cell.size.probes[calls.name])
            elif cell.kind == RANDOM:
                found = _random(cell, calls, folder)
            elif cell.kind == PRETRAINED:
                found = _pretrained(cell, calls, folder)
            else:
                parent = self._workdir / "cells" / cell.parent.key
                found = self._probed(cell, calls, parent / _FEATURES)
        return {**found, **runtime.provenance()}

    def _probed(
        self, cell: StudyCell, calls: StudyCalls, folder: epath.Path
    ) -> dict[str, Any]:
        found = ClipFeatures.open(folder)
        if found.ids.tolist() != [call.id for call in calls.manifest.calls]:
            raise StudyError(f"{folder}: calls were left out, which the study has not")
        layers = layers_of("encoder", found.features, found.layers)
        protocol, sides = cell.size.probes[calls.name], calls.sides(cell.unit)
        return {
            "tested": sides.test.tolist(),
            "probes": probes_told(layers, calls, cell.unit, protocol),
        }


def bars(calls: StudyCalls, unit: str, protocol: ProbeProtocol) -> dict[str, Any]:
    """What learns no features, tested on a unit.

    Machines are fitted on all other units (`machines`), and on those that the probes
    learn from (`machines_without_chooser`).
    """
    sides, features = calls.sides(unit), study_plain.features(calls)
    others = np.sort(np.concatenate([sides.train, sides.validation]))
    machines = {
        name: {n: v[sides.test].tolist() for n, v in said.items()}
        for name, said in (
            ("machines", study_plain.predict(calls, others)),
            ("machines_without_chooser", study_plain.predict(calls, sides.train)),
        )
    }
    rich = [name for name in features if name != study_plain.TRIVIAL[calls.name]]
    layers = [
        LayerFeatures(model=name, layer="", values=features[name]) for name in rich
    ]
    probes = probes_told(layers, calls, unit, protocol)
    return {"tested": sides.test.tolist(), **machines, "probes": probes}


def probes_told(
    layers: Sequence[LayerFeatures],
    calls: StudyCalls,
    unit: str,
    protocol: ProbeProtocol,
) -> dict[str, Any]:
    """Probes all layers, tested on a unit.

    Returns:
      By model `layers`: of each its `validation` UAR by seed, and the classes
      `predicted` of the tested calls by seed; `chosen`, the layer with the best mean of
      the former; `posterior` of it by seed, call and class; `epochs` that its probes
      ran, on average.
    """
    sides: Sides = calls.sides(unit)
    fold = Fold(
        name=unit, train=sides.train, validation=sides.validation, test=sides.test
    )
    found = sweep(layers, calls.label, calls.classes, [fold], protocol)
    told: dict[str, Any] = {}
    for model in found.models:
        chosen = found.chosen(model)[0]
        told[model] = {
            "layers": {
                own.layer: {
                    "validation": own.validation_uar[0].round(4).tolist(),
                    "predicted": own.probability[0].argmax(axis=-1).tolist(),
                }
                for own in found.of(model)
            },
            "chosen": chosen.layer,
            "epochs": float(chosen.epochs.mean()),
            "posterior": chosen.probability[0].astype(float).round(4).tolist(),
        }
    return told


def _random(cell: StudyCell, calls: StudyCalls, folder: epath.Path) -> dict[str, Any]:
    system = cell.check()
    assert isinstance(system, SpeechPretraining)
    model = system.model
    wave = jnp.zeros((1, model.min_samples))
    params = SpeechEncoder(model).init(jax.random.key(cell.seed), wave)["params"]
    reading = system.data.reading
    if not (folder / _BUNDLE).exists():
        export.save(
            folder / _BUNDLE,
            model="speech",
            params=params,
            model_config=dataclasses.replace(model, layer_drop=0.0),
            signal=export.SignalConfig(
                rate_hz=RATE_HZ,
                channels=1,
                units="full scale",
                window_s=system.data.window_s,
                patch_s=model.hop / RATE_HZ,
                normalisation=reading.normalise,
            ),
            preprocessing={"rate_hz": RATE_HZ, "normalise": reading.normalise},
            source_run={"random weights, seed": cell.seed},
        )
    return {"clips": _extract(folder / _BUNDLE, calls.manifest, folder / _FEATURES)}


def _pretrained(
    cell: StudyCell, calls: StudyCalls, folder: epath.Path
) -> dict[str, Any]:
    manifest, run = folder / "calls.csv", folder / "run"
    calls.divided(cell.unit).write(manifest)
    config = cell.config()
    here = {"data.manifest": str(manifest), "mesh.data": 1}
    config.update_from_flattened_dict(here)
    pretrain.pretrain(config, run)
    metrics = json.loads((run / "eval" / "validation" / "metrics.json").read_text())
    own = read_calls(manifest)
    return {
        "validation": metrics,
        "steps": cell.check().train.steps,
        "clips": _extract(run / _BUNDLE, own, folder / _FEATURES),
    }


def _extract(bundle: epath.Path, manifest: CallManifest, folder: epath.Path) -> int:
    """Features of all layers of all calls, as `launch.extract` has them.

    Returns:
      How many calls there are.
    """
    encoder = Encoder(bundle, proj=True, devices=1)
    settings = Settings(
        reading=ReadingConfig(normalise=encoder.model.normalise, rate_hz=RATE_HZ),
        buckets=_BUCKETS,
    )
    extraction = Extraction(encoder, manifest, folder, settings)
    extraction.begin()
    extraction.compute()
    return extraction.publish({"bundle": str(bundle)})["clips"]
