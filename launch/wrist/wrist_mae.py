"""The wrist masked autoencoder: the sections of its config and what they build."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
from etils import epath

from launch import runtime
from sigjax.config import ConfigError
from sigjax.data.store import Store, StoreError
from sigjax.data.wrist import WristData, WristDataConfig, batch_spec
from sigjax.losses.spectral import SpectralLossConfig
from sigjax.models.mae import MaeConfig
from sigjax.tasks.masked_modelling import MaskedModelling, MaskedModellingConfig
from sigjax.train.config import TrainConfig
from sigjax.train.optim import OptimConfig
from sigjax.train.sharding import MeshConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class WristMae:
    """Masked autoencoder on wrist recordings: one section per field."""

    seed: int
    task: MaskedModellingConfig
    data: WristDataConfig
    model: MaeConfig
    loss: SpectralLossConfig
    optim: OptimConfig
    train: TrainConfig
    mesh: MeshConfig

    def make_task(self, data: WristData | None = None) -> MaskedModelling:
        """The task, with sections checked against each other."""
        del data  # all that it needs is in the config
        if self.data.crop_s < self.task.window_s:
            raise ConfigError(
                f"data.crop_s={self.data.crop_s} is shorter than one window,"
                f" task.window_s={self.task.window_s}"
            )
        try:
            return MaskedModelling(self.model, self.loss, self.task)
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def batch_spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        """Shapes of a global batch, known without opening any data."""
        samples = round(self.data.crop_s * self.task.rate_hz)
        spec = batch_spec(batch_size=self.data.batch_size, samples=samples)
        return {k: jax.ShapeDtypeStruct(v.shape, v.dtype) for k, v in spec.items()}

    def open_data(self, workdir: epath.Path) -> WristData:
        """Opens the store; simulates and prepares it first if the config says so.

        Raises:
          StoreError: If there is no store, or its rate is not the task's.
        """
        path = self.data.store or str(workdir / "store")
        if self.data.simulate is not None:
            if jax.process_index() == 0:
                _simulate(self.data, workdir, path)
            runtime.wait_for_all("data prepared")
        elif not self.data.store:
            raise StoreError(
                "no data: prepare your recordings with `python -m launch.prepare"
                " --input=FOLDER --output=STORE` and give --config.data.store=STORE,"
                " or try --config=configs/mae_wrist.py:demo on simulated ones"
            )
        store = Store.open(path, cache_bytes=self.data.cache_mb * 2**20)
        if store.rate_hz != self.task.rate_hz:
            raise StoreError(
                f"{path} holds {store.rate_hz} Hz but task.rate_hz="
                f"{self.task.rate_hz}: prepare again at that rate or change the task"
            )
        try:
            return WristData(store, self.data)
        except StoreError:
            raise
        except ValueError as error:
            raise ConfigError(f"config section 'data': {error}") from error

    def given(self, task, data: WristData, workdir: epath.Path) -> dict[str, Any]:
        """Nothing: weights are drawn."""
        del task, data, workdir
        return {}

    def report(self, trainer, task: MaskedModelling, workdir: epath.Path) -> None:
        """Writes the last evaluation and the picture, and says what to do next."""
        from launch.wrist import mae_report

        mae_report.report(trainer, task, self, workdir)


def _simulate(data: WristDataConfig, workdir: epath.Path, store: str) -> None:
    """Writes simulated device files and prepares them as real ones are prepared."""
    # Preparation is slow to import, and most runs read a store that is there.
    from sigjax.data.formats import find_recordings
    from sigjax.data.synthetic.recordings import simulate_recordings
    from sigjax.data.wearable.batch import prepare_files
    from sigjax.data.wearable.prepare import PRESETS

    simulate = data.simulate
    assert simulate is not None
    print(
        f"SIMULATED data: writing {simulate.people} wrist recordings of"
        f" {simulate.days:g} days as Axivity AX3 files to {workdir / 'simulated'}",
        flush=True,
    )
    simulate_recordings(
        workdir / "simulated",
        people=simulate.people,
        days=simulate.days,
        seed=simulate.seed,
    )
    paths, skipped = find_recordings(str(workdir / "simulated"))
    preset = dataclasses.replace(
        PRESETS["paper"],
        min_wear_h=data.crop_s / 3600,
        # Half an hour holds too few postures to calibrate on.
        on_calibration_failure="drop" if simulate.days >= 1 else "keep",
    )
    report = prepare_files(
        paths, store, preset, root=str(workdir / "simulated"), skipped=skipped
    )
    used = report.hours["used"]
    print(f"prepared {report.persons} people, {used:.1f} h of wear, into {store}")
