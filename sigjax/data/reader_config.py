"""How batches are read: what the data sections of all configs have in common."""

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReaderConfig:
    """Size, order and preparation of batches.

    Attributes:
      batch_size: Examples in a global batch.
      seed: Of all that is drawn.
      workers: Reader processes; 0 reads in threads.
      read_threads: Batches read at once.
      prefetch_batches: Batches kept ready on the host.
    """

    batch_size: int
    seed: int = 0
    workers: int = 0
    read_threads: int = 2
    prefetch_batches: int = 2

    def __post_init__(self):
        """Refuses sizes without meaning."""
        for name in ("batch_size", "read_threads", "prefetch_batches"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, got {getattr(self, name)}"
                )
        if self.workers < 0 or not 0 <= self.seed < 2**32:
            raise ValueError(
                "workers must be >= 0 and seed in [0, 2**32), got"
                f" {self.workers} and {self.seed}"
            )
