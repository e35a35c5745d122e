"""A masked-modelling task of a few thousand parameters, and data from memory."""

import dataclasses
from collections.abc import Iterator, Mapping

import jax
import numpy as np

from sigjax.losses.spectral import SpectralLossConfig
from sigjax.models.mae import MaeConfig
from sigjax.tasks.masked_modelling import MaskedModelling, MaskedModellingConfig

MODEL = MaeConfig(patch_size=48, width=16, depth=2, num_heads=2, mlp_dim=32)
LOSS = SpectralLossConfig(lmm=1.0, mse=0.1, n_fft=8)
TASK = MaskedModellingConfig(
    rate_hz=8.0, channels=3, window_s=20.0, windows=3, patch_s=2.0, mask_rate=0.6
)


def make_task(**changes) -> MaskedModelling:
    return MaskedModelling(dataclasses.replace(MODEL, **changes), LOSS, TASK)


@dataclasses.dataclass(frozen=True)
class ToyData:
    """Batches drawn from (seed, step) alone; crops of 200 samples."""

    batch_size: int = 8
    seed: int = 0
    steps_per_epoch: int = 4
    poison_step: int | None = None

    @property
    def spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        return {
            k: jax.ShapeDtypeStruct(v.shape, v.dtype) for k, v in self.batch(0).items()
        }

    @property
    def fingerprint(self) -> Mapping[str, object]:
        return {"seed": self.seed, "batch_size": self.batch_size}

    def batch(self, step: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng((self.seed, step))
        b = self.batch_size
        scale = np.full(b, 1e-3, np.float32)
        if step == self.poison_step:
            scale[-1] = np.nan
        return {
            "counts": rng.integers(-1000, 1000, (b, 200, 3), np.int16),
            "scale": scale,
            "seed": rng.integers(0, 2**32, b, np.uint32),
        }

    def _rows(self, batch, shard_index, shard_count):
        size = self.batch_size // shard_count
        rows = slice(shard_index * size, (shard_index + 1) * size)
        return {k: v[rows] for k, v in batch.items()}

    def train(
        self, *, start_step: int, shard_index: int, shard_count: int
    ) -> Iterator[Mapping[str, np.ndarray]]:
        step = start_step
        while True:
            yield self._rows(self.batch(step), shard_index, shard_count)
            step += 1

    def evaluation(
        self, *, shard_index: int, shard_count: int
    ) -> Iterator[Mapping[str, np.ndarray]]:
        batch = self.batch(10_000)
        weight = np.ones(self.batch_size, np.float32)
        weight[-1] = 0
        batch["scale"][-1] = np.nan  # padding must not reach the means
        yield self._rows(batch | {"weight": weight}, shard_index, shard_count)
