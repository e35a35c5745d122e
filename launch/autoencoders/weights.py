"""Weights of a trained autoencoder, for another autoencoder or a classifier."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath

from sigjax import export
from sigjax.config import ConfigError
from sigjax.data.examples.config import ExampleDataConfig
from sigjax.models.autoencoder import AutoencoderConfig
from sigjax.nn.layer_grammar import Layer, Shape
from sigjax.tasks.example_input import ExampleInputConfig
from sigjax.train.checkpoint import latest_variables
from sigjax.train.optim import OptimConfig

# Of two runs on the same examples, what decides who is held out.
_DIVISION = ("held_out", "held_out_groups", "held_out_splits", "seed")


@dataclasses.dataclass(frozen=True, kw_only=True)
class StartConfig:
    """What training starts from.

    Attributes:
      weights: A run of an autoencoder, or the folder of its parts, whose last is taken;
        or a bundle of one. Empty for random weights. `{parts}` in it stands for the
        folder that all parts of a config are in.
    """

    weights: str = ""


class Weights(NamedTuple):
    """A trained autoencoder.

    Attributes:
      path: Where it was read.
      model: Its architecture.
      input: How examples became what it takes.
      variables: `params` and any other collection, NumPy arrays.
      data: What it was trained on; None if a bundle does not say.
      source: What is known of its training, JSON-able.
    """

    path: str
    model: AutoencoderConfig
    input: ExampleInputConfig
    variables: dict[str, Any]
    data: ExampleDataConfig | None
    source: Mapping[str, Any]

    def check(
        self,
        model: AutoencoderConfig,
        own: ExampleInputConfig,
        data: ExampleDataConfig,
    ) -> None:
        """Refuses an autoencoder of another architecture, input or division.

        Raises:
          ConfigError: Says what differs.
        """
        self.check_encoder(model.input_shape, model.encoder, own, data)
        if self.model != model:
            raise ConfigError(
                f"encoder.weights={self.path!r} has this encoder, but another decoder"
                " or code: make `model` equal to that run's"
            )

    def check_encoder(
        self,
        shape: Shape,
        layers: tuple[Layer, ...],
        own: ExampleInputConfig,
        data: ExampleDataConfig,
    ) -> None:
        """Refuses an encoder of another architecture, input or division.

        Raises:
          ConfigError: Says what differs.
        """
        where = f"encoder.weights={self.path!r}"
        if self.model.input_shape != shape:
            raise ConfigError(
                f"{where} takes examples of shape {self.model.input_shape}, this config"
                f" {shape}"
            )
        there = self.model.encoder
        for number in range(max(len(there), len(layers))):
            pair = [_nth(layers, number) for layers in (there, layers)]
            if pair[0] != pair[1]:
                raise ConfigError(
                    f"{where} is of another architecture: its layer {number} is"
                    f" {_told(pair[0])}, this config's {_told(pair[1])}"
                )
        if self.input != own:
            raise ConfigError(
                f"{where} was trained on input={self.input}, this config has {own}:"
                " make task.input equal"
            )
        if self.data is not None:
            check_division(where, self.data, data)


def check_division(
    where: str, there: ExampleDataConfig, data: ExampleDataConfig
) -> None:
    """Refuses weights that were trained on who is held out here.

    Args:
      where: What messages call the weights.
      there: What they were trained on.
      data: The examples here.

    Raises:
      ConfigError: The data are the same, and who is held out is not.
    """
    if (there.source, there.path) != (data.source, data.path):
        return
    differ = [k for k in _DIVISION if getattr(there, k) != getattr(data, k)]
    if not (there.held_out or data.held_out):
        differ = [name for name in differ if name != "seed"]
    if differ:
        told = ", ".join(
            f"data.{k} is {getattr(there, k)!r} there and {getattr(data, k)!r} here"
            for k in differ
        )
        raise ConfigError(
            f"{where} was trained on other examples of the same data, perhaps on"
            f" those that are held out here: {told}; make them equal"
        )


def _nth(layers: tuple[Layer, ...], number: int) -> Layer | None:
    return layers[number] if number < len(layers) else None


def _told(layer: Layer | None) -> str:
    """A layer's values that are not the default."""
    if layer is None:
        return "none"
    plain = Layer(kind="flatten")
    found = dataclasses.asdict(layer).items()
    return ", ".join(f"{k}={v!r}" for k, v in found if v != getattr(plain, k)) or (
        layer.kind
    )


def read_weights(weights: str, workdir: epath.Path) -> Weights:
    """Reads an autoencoder.

    Args:
      weights: See `StartConfig`.
      workdir: Of the run that starts from it.

    Raises:
      ConfigError: There is none.
      sigjax.inference.base.BundleError: The bundle is damaged.
      sigjax.train.checkpoint.CheckpointError: The run has no checkpoint.
    """
    path = place_of(weights, workdir)
    if (path / "bundle.json").exists():
        return _from_bundle(path)
    if (path / "config.json").exists():
        return _from_run(path)
    raise ConfigError(
        f"encoder.weights={weights!r} holds neither bundle.json nor config.json: give"
        " a run of launch.pretrain on configs/autoencoder.py, or its bundle"
    )


def place_of(weights: str, workdir: epath.Path) -> epath.Path:
    """Where weights lie; see `StartConfig` for `{parts}`."""
    return epath.Path(weights.replace("{parts}", str(workdir.parent))).expanduser()


def _from_run(path: epath.Path) -> Weights:
    from launch.systems import runs_of  # It imports this system.

    try:
        run = runs_of(path)[-1]
    except FileNotFoundError as error:
        raise ConfigError(f"encoder.weights={str(path)!r}: {error}") from error
    system = run.system
    model = getattr(system, "model", None)
    if not isinstance(model, AutoencoderConfig):
        raise ConfigError(
            f"encoder.weights={str(path)!r} is a run of {type(system).__name__}, no"
            " autoencoder of examples: train configs/autoencoder.py"
        )
    best = run.workdir / "best" if system.train.select else run.workdir
    step, variables = latest_variables(best)
    return Weights(
        path=str(path),
        model=model,
        input=system.task.input,
        variables=variables,
        data=system.data,
        source={"workdir": str(run.workdir), "step": step},
    )


def _from_bundle(path: epath.Path) -> Weights:
    model = export.load(path)
    if not isinstance(model, export.AutoencoderModel):
        raise ConfigError(
            f"encoder.weights={str(path)!r} is a {type(model).__name__}, no"
            " autoencoder: export a run of configs/autoencoder.py"
        )
    variables = jax.tree.map(np.asarray, model.variables)
    return Weights(
        path=str(path),
        model=model.config,
        input=model.task.config.input,
        variables=variables,
        data=None,
        source={"bundle": str(path), **model.info["source_run"]},
    )


def stopped(optim: OptimConfig, names: str) -> OptimConfig:
    """The same optimizer, which moves no parameter whose name has this pattern.

    No gradient is not enough: weight decay needs none.
    """
    return dataclasses.replace(optim, multipliers=((names, 0.0), *optim.multipliers))
