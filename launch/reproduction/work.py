"""Does a cell: its config to `pretrain`, `finetune` or `run_probe`, right here."""

import json
from collections.abc import Mapping
from typing import Any

from etils import epath

from launch import finetune, pretrain, runtime
from launch.reproduction.cells import Cell
from launch.reproduction.working import in_cell
from launch.wrist.probing import run_probe


class Work:
    """Runs cells; what they print goes to `log.txt` in their folders."""

    def __init__(self, workdir: epath.Path, names: Mapping[str, str]):
        """Remembers where cells lie, and what `{name}` stands for in a config's text.

        Args:
          workdir: The folder of all cells.
          names: Replacements, such as `{"people": PATH}`.
        """
        self._workdir, self._names = workdir, names

    def __call__(self, cell: Cell, folder: epath.Path) -> dict[str, Any]:
        """Runs or continues `cell` in `folder`.

        Returns:
          For a pretraining `validation`, the figures of its last evaluation. For a
          finetuning `predictions`, the path of its predictions below `folder`, and
          `finetuned`, what `launch.finetune` or `launch.probe` says.
        """
        run = folder / "run"
        config = self.resolved(cell)
        with in_cell(folder):
            if cell.kind == "pretrain":
                pretrain.pretrain(config, run)
                result = _pretrained(run)
            elif config.system == "har_probe":
                result = _finetuned(run_probe(config, run, False), run)
            else:
                result = _finetuned(finetune.finetune(config, run), run)
        return {**result, **runtime.provenance()}

    def resolved(self, cell: Cell):
        """The config with every path filled in."""
        config = cell.config()
        filled = {
            name: self._filled(value)
            for name, value in cell.overrides.items()
            if isinstance(value, str) and "{" in value
        }
        data = {"pretrain": "data.store", "finetune": "data.dataset"}[cell.kind]
        filled[data] = cell.data.path
        if cell.parent is not None:
            filled["encoder.weights"] = str(
                self._workdir / "cells" / cell.parent.key / "run"
            )
        elif cell.weights.path:
            filled["encoder.weights"] = cell.weights.path
        config.update_from_flattened_dict(filled)
        return config

    def _filled(self, text: str) -> str:
        for name, value in self._names.items():
            text = text.replace(f"{{{name}}}", value)
        return text


def _pretrained(run: epath.Path) -> dict[str, Any]:
    path = run / "eval" / "validation" / "metrics.json"
    return {"validation": json.loads(path.read_text()) if path.exists() else {}}


def _finetuned(found: Mapping[str, Any], run: epath.Path) -> dict[str, Any]:
    path = run / "eval" / "test" / "predictions.parquet"
    return {
        "predictions": str(path.relative_to(run.parent)),
        "finetuned": {k: v for k, v in found.items() if k != "test"},
    }
