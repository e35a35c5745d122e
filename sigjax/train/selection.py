"""Which step of a run is kept as its best, and when no better one is waited for."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from etils import epath

from sigjax.train.checkpoint import Checkpointer
from sigjax.typing import PyTree


@dataclasses.dataclass(frozen=True, kw_only=True)
class Chosen:
    """The step that held-out people choose; saved with every checkpoint.

    Attributes:
      step: Where the figure was best, the first of equals.
      value: What it was.
      since: Evaluations after that one.
    """

    step: int
    value: float
    since: int = 0


class Selection:
    """Keeps the state whose held-out figure is the highest, under `WORKDIR/best`.

    Attributes:
      chosen: What was best so far; None before the first evaluation, or if no figure
        was named.
    """

    def __init__(self, workdir: epath.Path, *, figure: str, patience: int | None):
        """See `TrainConfig.select` and `TrainConfig.patience`."""
        self.chosen: Chosen | None = None
        self._figure, self._patience = figure, patience
        # Two: a run killed between this write and the next checkpoint goes back to a
        # step before the newest choice, and that choice must still be there.
        self._best = Checkpointer(workdir / "best", keep=2) if figure else None

    @property
    def ended(self) -> bool:
        """Whether as many evaluations as `patience` have passed without a better one.

        Then training is over, also for a run that is continued.
        """
        if self._patience is None or self.chosen is None:
            return False
        return self.chosen.since >= self._patience

    def consider(self, step: int, figures: Mapping[str, float], state: PyTree) -> None:
        """Keeps `state` if its figure is above all before it.

        Args:
          step: Steps taken.
          figures: Of the held-out split; nothing is chosen without any.
          state: The training state.

        Raises:
          ValueError: If there is no such figure; the message lists them.
        """
        if self._best is None or not figures:
            return
        if self._figure not in figures:
            raise ValueError(
                f"train.select={self._figure!r} is no held-out figure; there are:"
                f" {', '.join(figures)}"
            )
        value, best = figures[self._figure], self.chosen
        if best is not None and not value > best.value:
            self.chosen = dataclasses.replace(best, since=best.since + 1)
            return
        self.chosen = Chosen(step=step, value=value)
        self._best.save(step, state, {"step": step, self._figure: value})
        # On disk before any checkpoint that names it.
        self._best.wait()

    def position(self) -> dict[str, Any] | None:
        """What a checkpoint must hold so that the choice goes on from there."""
        return dataclasses.asdict(self.chosen) if self.chosen else None

    def restore(self, position: Mapping[str, Any] | None) -> None:
        """Goes on from what `position` returned."""
        self.chosen = Chosen(**position) if position else None

    def close(self) -> None:
        """Ends the writer's threads."""
        if self._best:
            self._best.close()
