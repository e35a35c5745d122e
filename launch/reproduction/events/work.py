"""Does a cell: trains a network with its evaluation, or counts one."""

from collections.abc import Mapping
from typing import Any

from etils import epath

from launch import finetune, runtime
from launch.reproduction.cells import Cell
from launch.reproduction.working import in_cell


class Work:
    """Runs cells; what they print goes to `log.txt` in their folders."""

    def __init__(self, *, optimise: bool = True):
        """Remembers whether XLA is to optimise."""
        self._optimise = optimise

    def __call__(self, cell: Cell, folder: epath.Path) -> dict[str, Any]:
        """Runs or continues `cell` in `folder`.

        Returns:
          For a training `predictions`, the path of those on the test clips below
          `folder`, and `finetuned`, what `launch.finetune` says; for a count `macs`.
        """
        with in_cell(folder, optimise=self._optimise):
            if cell.kind == "count":
                result: dict[str, Any] = {"macs": count(**cell.overrides)}
            else:
                run = folder / "run"
                found = finetune.finetune(resolved(cell), run)
                path = run / "eval" / "test" / "predictions.parquet"
                result = {
                    "predictions": str(path.relative_to(folder)),
                    "finetuned": {k: v for k, v in found.items() if k != "test"},
                }
        return {**result, **runtime.provenance()}


def resolved(cell: Cell) -> Any:
    """The config with every path filled in."""
    config = cell.config()
    filled = {"data.dataset": cell.data.path}
    if cell.weights.path:
        filled[cell.WEIGHTS] = cell.weights.path
    config.update_from_flattened_dict(filled)
    return config


def count(*, network: str, frames: int, bands: int, classes: int) -> Mapping[str, Any]:
    """Multiply-accumulates of a network at an input, by both conventions, 10^9.

    Args:
      network: As `benchmarks.macs` calls it.
      frames: Of the input.
      bands: Likewise.
      classes: Of the head.
    """
    from benchmarks import macs

    (found,) = [n for n in macs.networks() if n.name == network]
    row = macs.measure(found, frames=frames, bands=bands, classes=classes)
    return {
        "layers": row["gmacs_parameters"],
        "everything": row["gmacs_everything"],
        "parameters_m": row["parameters_m"],
    }
