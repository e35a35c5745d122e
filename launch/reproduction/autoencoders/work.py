"""Does a cell: trains a network, or measures one."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import soundfile
from etils import epath

from launch import finetune, pretrain, runtime
from launch.reproduction.autoencoders import measures
from launch.reproduction.autoencoders.cells import FamilyCell
from launch.reproduction.autoencoders.opened import Measured, Opened
from launch.reproduction.autoencoders.scores import PICTURES, VALUES
from launch.reproduction.cells import Cell
from launch.reproduction.working import in_cell
from launch.systems import SYSTEMS
from sigjax.evals import bootstrap


class Work:
    """Runs cells; what they print goes to `log.txt` in their folders."""

    def __init__(
        self,
        workdir: epath.Path,
        paths: Mapping[str, Mapping[str, Any]],
        *,
        optimise: bool = True,
    ):
        """Remembers where cells and data lie, and whether XLA is to optimise.

        Args:
          workdir: Of all cells.
          paths: By fingerprint of data, the overrides that say where they lie.
          optimise: Let XLA.
        """
        self._workdir, self._paths, self._optimise = workdir, paths, optimise

    def __call__(self, cell: Cell, folder: epath.Path) -> dict[str, Any]:
        """Runs or continues `cell` in `folder`.

        Returns:
          For a measurement `numbers` and `facts`; arrays go to files beside.
        """
        assert isinstance(cell, FamilyCell)
        with in_cell(folder, optimise=self._optimise):
            config, run = self.resolved(cell), folder / "run"
            if cell.kind == "measure":
                trained = cell.parent and self._run_of(cell.parent)
                opened = Opened(config, trained, folder)
                result = _measured(cell, opened, folder)
            else:
                entry = SYSTEMS[str(config.system)]
                if entry.command == "launch.pretrain":
                    pretrain.pretrain(config, run)
                else:
                    finetune.finetune(config, run)
                result = {}
        return {**result, **runtime.provenance()}

    def resolved(self, cell: Cell) -> Any:
        """The config with every path filled in."""
        config = cell.config()
        filled = dict(self._paths.get(cell.data.fingerprint, {}))
        if cell.starts_from and cell.parent is not None:
            filled[cell.WEIGHTS] = str(self._run_of(cell.parent))
        if cell.kind == "measure" and cell.parent and cell.parent.starts_from:
            assert cell.parent.parent is not None
            filled[cell.WEIGHTS] = str(self._run_of(cell.parent.parent))
        config.update_from_flattened_dict(filled)
        return config

    def _run_of(self, cell: Any) -> epath.Path:
        return self._workdir / "cells" / cell.key / "run"


def _measured(cell: FamilyCell, opened: Opened, folder: epath.Path) -> dict[str, Any]:
    found = measures.MEASURES[cell.measure](opened, cell.method, cell.settings)
    write(found, folder)
    facts = {**found.facts}
    numbers = {
        k: None if v is None else bootstrap.number(v) for k, v in found.numbers.items()
    }
    return json.loads(json.dumps({"numbers": numbers, "facts": facts}))


def write(found: Measured, folder: epath.Path) -> None:
    """Writes the arrays and sounds of a measurement."""
    values = {name: np.asarray(own, np.float64) for name, own in found.values.items()}
    if values:
        group = {} if found.group is None else {"group": found.group}
        arrays: Any = {**values, **group}
        np.savez(folder / VALUES, **arrays)
    if found.pictures:
        arrays = {**found.pictures}
        np.savez_compressed(folder / PICTURES, **arrays)
    for name, (wave, rate_hz) in found.sounds.items():
        (folder / "sounds").mkdir(exist_ok=True)
        soundfile.write(folder / "sounds" / name, wave, rate_hz, subtype="PCM_16")
