"""Weights of a masked autoencoder for a classifier of examples.

Of a run on the same examples (configs/mae_windows.py), or of paper 000's own runs on
recordings (configs/mae_wrist.py, mae_seconds.py) and whatever bundles hold its encoder.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from etils import epath

from launch.autoencoders.weights import check_division, place_of
from sigjax.config import ConfigError
from sigjax.data.examples.config import ExampleDataConfig
from sigjax.data.examples.stream import ExampleData
from sigjax.inference.base import SignalConfig
from sigjax.models.code_classifier import CodeClassifierConfig
from sigjax.models.mae import MaeConfig
from sigjax.train.checkpoint import latest_variables

# How it is computed, not what: these may differ.
_COMPUTED = ("remat", "unroll", "dtype", "attention")


class MaskedWeights(NamedTuple):
    """A trained masked autoencoder, without its reconstruction head.

    Attributes:
      path: Where it was read.
      model: Its architecture.
      params: Of its encoder, nested, NumPy arrays.
      signal: What it takes in; None for a run on examples, whose `data` say it.
      data: The examples it was trained on; None if they were recordings, or unknown.
      source: What is known of its training, JSON-able.
    """

    path: str
    model: MaeConfig
    params: Mapping[str, Any]
    signal: SignalConfig | None
    data: ExampleDataConfig | None
    source: Mapping[str, Any]

    def check(
        self,
        model: CodeClassifierConfig,
        own: ExampleDataConfig,
        data: ExampleData | None,
    ) -> None:
        """Refuses an encoder of another architecture, signal or division.

        Raises:
          ConfigError: Says what differs.
        """
        where = f"encoder.weights={self.path!r}"
        assert model.mae is not None
        for field in dataclasses.fields(MaeConfig):
            name = field.name
            has, wants = getattr(self.model, name), getattr(model.mae, name)
            if has != wants and name not in _COMPUTED:
                raise ConfigError(
                    f"{where} has {name}={has}, this config model.mae.{name}={wants}:"
                    f" set model.mae.{name}={has}"
                )
        if self.data is not None:
            check_division(where, self.data, own)
        if self.signal is None or data is None:
            return
        found = data.train_set
        for name, has, wants in (
            ("rate_hz", self.signal.rate_hz, found.rate_hz),
            ("channels", self.signal.channels, found.shape[-1]),
            ("units", self.signal.units, found.units),
        ):
            if has != wants:
                raise ConfigError(
                    f"{where} takes {name}={has!r}, but {found.origin} have {wants!r}:"
                    " give other weights, or examples like those it was trained on"
                )

    def variables(self) -> dict[str, Any]:
        """As a part of a classifier's variables."""
        return {"params": {"encoder": dict(self.params)}}


def read_masked(weights: str, workdir: epath.Path) -> MaskedWeights:
    """Reads a masked autoencoder.

    Args:
      weights: A run or a bundle; see `launch.autoencoders.classifier.EncoderConfig`.
      workdir: Of the run that starts from it.

    Raises:
      ConfigError: There is none.
      sigjax.inference.base.BundleError: The bundle is damaged.
      sigjax.train.checkpoint.CheckpointError: The run has no checkpoint.
    """
    from launch.autoencoders.masked import ExampleMae
    from launch.systems import runs_of  # It imports this system.
    from launch.wrist import encoders
    from launch.wrist.har_wrist import EncoderConfig
    from launch.wrist.wrist_mae import WristMae

    path = place_of(weights, workdir)
    if not (path / "bundle.json").exists():
        try:
            run = runs_of(path)[-1]
        except FileNotFoundError as error:
            raise ConfigError(
                f"encoder.weights={weights!r} holds neither bundle.json nor"
                " config.json: give a run of launch.pretrain on configs/mae_windows.py,"
                " or a bundle of a masked autoencoder"
            ) from error
        if isinstance(run.system, ExampleMae):
            return _of_examples(weights, run.system, run.workdir)
        if not isinstance(run.system, WristMae):
            raise ConfigError(
                f"encoder.weights={weights!r} is a run of {type(run.system).__name__},"
                " no masked autoencoder: train configs/mae_windows.py, or leave"
                " model.mae away"
            )
    found = encoders.load_encoder(
        EncoderConfig(kind="mae", weights=str(path), trainable=True)
    )
    assert found is not None and isinstance(found.architecture, MaeConfig)
    known = ("bundle", "workdir", "step")
    return MaskedWeights(
        path=weights,
        model=found.architecture,
        params=found.params,
        signal=found.signal,
        data=None,
        source={k: v for k, v in found.source.items() if k in known},
    )


def _of_examples(path: str, system: Any, workdir: epath.Path) -> MaskedWeights:
    step, variables = latest_variables(
        workdir / "best" if system.train.select else workdir
    )
    params = {k: v for k, v in variables["params"].items() if k != "head"}
    return MaskedWeights(
        path=path,
        model=system.model,
        params=params,
        signal=None,
        data=system.data,
        source={"workdir": str(workdir), "step": step},
    )
