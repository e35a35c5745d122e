"""Does a cell: trains a classifier or a baseline, or scores the test clips with it."""

from typing import Any

from etils import epath

from launch import pretrain, runtime
from launch.reproduction.cells import Cell
from launch.reproduction.working import in_cell
from launch.sounds import candidates as sound_candidates
from launch.sounds import scoring as sound_scoring
from launch.sounds.scoring import Part
from launch.systems import build_system

SCORES = "candidates.csv"


class Work:
    """Runs cells; what they print goes to `log.txt` in their folders."""

    def __init__(self, workdir: epath.Path, *, optimise: bool = True):
        """Remembers where cells lie, and whether XLA is to optimise."""
        self._workdir, self._optimise = workdir, optimise

    def __call__(self, cell: Cell, folder: epath.Path) -> dict[str, Any]:
        """Runs or continues `cell` in `folder`.

        Returns:
          For an evaluation `scores`, the path of its scores below `folder`.
        """
        with in_cell(folder, optimise=self._optimise):
            if cell.kind == "evaluation":
                result = self._evaluate(cell, folder)
            else:
                pretrain.pretrain(self.resolved(cell), folder / "run")
                result = {}
        return {**result, **runtime.provenance()}

    def resolved(self, cell: Cell) -> Any:
        """The config with every path filled in."""
        config = cell.config()
        filled = {"data.dataset": cell.data.path}
        if cell.parent is not None and cell.starts_from:
            filled[cell.WEIGHTS] = str(self._run_of(cell.parent))
        config.update_from_flattened_dict(filled)
        return config

    def _run_of(self, cell: Cell) -> epath.Path:
        return self._workdir / "cells" / cell.key / "run"

    def _evaluate(self, cell: Cell, folder: epath.Path) -> dict[str, Any]:
        assert cell.parent is not None
        run = self._run_of(cell.parent)
        system: Any = build_system(self.resolved(cell))
        data = system.open_data(run)
        scored = sound_scoring.score_part(
            Part(system=system, data=data, workdir=run), with_thresholds=False
        )
        clips = sound_candidates.by_candidate(scored, data.dataset)
        sides = sound_candidates.sides_of(scored, data.dataset)
        sound_candidates.write_candidates(folder / SCORES, clips, sides)
        return {"scores": SCORES, "candidates": list(clips), "clips": len(sides)}
