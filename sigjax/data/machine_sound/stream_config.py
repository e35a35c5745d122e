"""Which machine sounds are trained on, and what is cut out of them."""

import dataclasses

from sigjax.data.reader_config import ReaderConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimulatedSoundsConfig:
    """Simulated machines, for trying things out without data.

    Attributes:
      machines: Types; see `synthetic.machine_sound.write_machine_sounds`.
      sections: Two digits each; 03 and up are for evaluation.
      train_source: Normal clips of the source domain per section.
      train_target: Normal clips of the target domain per section.
      test_normal: Normal clips to test on per section and domain.
      test_anomaly: Anomalous clips to test on per section and domain.
      clip_s: Length of each, seconds.
      seed: Another seed, other machines.
    """

    machines: tuple[str, ...]
    sections: tuple[str, ...]
    train_source: int
    train_target: int
    test_normal: int
    test_anomaly: int
    clip_s: float = 10.0
    seed: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoundDataConfig(ReaderConfig):
    """Which clips, and what is cut out of them.

    Attributes:
      dataset: Folder of a set of machine sounds (`launch.build_sounds`). With
        `simulate`, and if empty, one that is built under `WORKDIR/sets`.
      batch_size: Clips in a global batch.
      machines: Those to train on; empty for all.
      sections: Those to train on; empty for all.
      split: `"dev"` or `"eval"` to train on one of them; empty for both.
      year: Of DCASE, for a set of several; 0 for all.
      clip_s: Length of what a model sees, seconds. Longer clips are cropped at random
        in training, shorter ones repeated.
      validation_fraction: Share of each class's training clips held out, to choose the
        step with. Those of the target domain are never held out: there are three.
      seed: Of what is held out, of the order and of the crops.
      simulate: Simulate files and build a set of them first; None for real ones.
      workers: Reader processes; 0 reads in threads.
      read_threads: Batches read at once.
      prefetch_batches: Batches kept ready on the host.
    """

    dataset: str
    machines: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    split: str = ""
    year: int = 0
    clip_s: float = 10.0
    validation_fraction: float = 0.0
    simulate: SimulatedSoundsConfig | None = None

    def __post_init__(self):
        """Refuses sizes without meaning."""
        super().__post_init__()
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(
                f"validation_fraction {self.validation_fraction} is not in [0, 1)"
            )
        if not self.clip_s > 0:
            raise ValueError(f"clip_s must be positive, got {self.clip_s}")
        if self.split not in ("", "dev", "eval"):
            raise ValueError(f"split must be 'dev', 'eval' or '', got {self.split!r}")
