"""How long a run is, and when it logs, evaluates and saves."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How long, and how often to log, evaluate and save.

    Attributes:
      epochs: Length of training; an epoch sees every recording once.
      steps: Length in steps instead, if given.
      log_every: Steps between log lines; values are means over them.
      checkpoint_every: Steps between checkpoints. There is always one at the end.
      keep: How many of the newest checkpoints stay.
      keep_every: Also keep every checkpoint at a multiple of this many steps.
      evaluate_every: Steps between evaluations; always one at the end.
      evaluate_every_epochs: The same in epochs, where `evaluate_every` is None.
      select: The held-out figure whose highest value chooses the step that a run is
        judged by, such as `"balanced_accuracy"`; empty for the last step. The chosen
        state is kept in `WORKDIR/best`.
      patience: Evaluations without a better one after which training ends early.
      accumulation: Microbatches per update.
    """

    epochs: float = 1.0
    steps: int | None = None
    log_every: int = 50
    checkpoint_every: int = 1000
    keep: int = 3
    keep_every: int | None = None
    evaluate_every: int | None = None
    evaluate_every_epochs: float | None = None
    select: str = ""
    patience: int | None = None
    accumulation: int = 1

    def __post_init__(self):
        """Refuses intervals that never come."""
        if self.patience is not None and not self.select:
            raise ValueError("patience needs select: the figure that must get better")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name == "select" or value is None:
                continue
            epochs = field.name.endswith("epochs")
            if value <= 0 or (value < 1 and not epochs):
                least = "above 0" if epochs else "at least 1"
                raise ValueError(f"{field.name} must be {least}, got {value}")

    def total_steps(self, steps_per_epoch: int) -> int:
        """Where training ends."""
        return self.steps or max(1, round(self.epochs * steps_per_epoch))

    def evaluates(self, done: int, steps_per_epoch: int) -> bool:
        """Whether an evaluation is due after this many steps."""
        every = self.evaluate_every
        if every is None and self.evaluate_every_epochs:
            every = max(1, round(self.evaluate_every_epochs * steps_per_epoch))
        return every is not None and done % every == 0
