"""The objective of an autoencoder, and what a model must be for it."""

import dataclasses
from typing import get_args

from sigjax.losses.contractive import CLOSED_ACTIVATIONS, ContractiveConfig
from sigjax.losses.reconstruction import Likelihood
from sigjax.losses.sparsity import SparsityConfig
from sigjax.models.autoencoder import AutoencoderConfig
from sigjax.signal.corruption import CorruptionConfig
from sigjax.tasks.example_input import ExampleInputConfig

# Layers that only move or choose values.
_MOVES = ("flatten", "reshape", "max_pool", "upsample")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReconstructionConfig:
    """The objective.

    Attributes:
      input: What the model is given.
      likelihood: Loss of a reconstruction; `"bernoulli"` of values in [0, 1], of which
        the decoder gives logits. A gaussian code needs `"bernoulli"` or `"gaussian"`:
        with another there is no bound. `"log_mse"` is for denoising at several
        signal-to-noise ratios. The mean over an example's values, with a
        gaussian code their sum.
      log_scale: Of `"gaussian"`: log of the standard deviation of the values about
        their reconstruction, or where it starts.
      learn_scale: Whether it is a parameter, one number for all values.
      noise: Corruption of what is encoded.
      sparsity: If given, of the code.
      contractive: If given, of the encoder as it is used: running statistics, no
        dropout, the clean example.
      beta: Factor of the divergence of a gaussian code (Higgins et al. 2017).
      l2: Factor of the sum of squared kernels.
      depth: 0 trains the whole. 1, 2, ... trains that layer with a kernel alone, to
        reconstruct what the layers before make; see `sigjax.tasks.layerwise`.
    """

    input: ExampleInputConfig = ExampleInputConfig()
    likelihood: Likelihood = "mse"
    log_scale: float | int = 0.0
    learn_scale: bool = False
    noise: CorruptionConfig = CorruptionConfig()
    sparsity: SparsityConfig | None = None
    contractive: ContractiveConfig | None = None
    beta: float | int = 1.0
    l2: float | int = 0.0
    depth: int = 0

    def __post_init__(self):
        """Refuses factors without meaning."""
        if self.likelihood not in get_args(Likelihood):
            raise ValueError(f"likelihood is none: {self.likelihood!r}")
        if self.beta < 0 or self.l2 < 0:
            raise ValueError(f"beta and l2 must be >= 0, got {self.beta} and {self.l2}")
        if self.depth < 0:
            raise ValueError(f"depth must be >= 0, got {self.depth}")
        if self.likelihood != "gaussian" and (self.learn_scale or self.log_scale):
            raise ValueError(
                "log_scale and learn_scale belong to likelihood='gaussian', not to"
                f" {self.likelihood!r}"
            )


def check_likelihood(model: AutoencoderConfig, config: ReconstructionConfig) -> None:
    """Refuses a bound without a likelihood, and probabilities in place of logits.

    Raises:
      ValueError: Says what to change.
    """
    likelihood = config.likelihood
    if model.residual and config.noise.kind == "none":
        raise ValueError(
            "model.residual adds the input to what is decoded: without task.noise"
            " nothing is left to learn"
        )
    if model.residual and likelihood == "bernoulli":
        raise ValueError("model.residual adds values, likelihood='bernoulli' logits")
    if model.code == "gaussian" and likelihood not in ("bernoulli", "gaussian"):
        raise ValueError(
            f"likelihood={likelihood!r} with model.code='gaussian' is no bound of a"
            " likelihood: take 'bernoulli' or 'gaussian' (of log_scale -0.3466: the sum"
            " of squared errors and a constant)"
        )
    if model.base != "none" and likelihood == "bernoulli":
        raise ValueError(
            f"model.base={model.base!r} adds values, likelihood='bernoulli' logits"
        )
    last = model.decoder_layers[-1].activation
    if likelihood == "bernoulli" and last != "identity":
        raise ValueError(
            "likelihood='bernoulli' takes logits: the decoder must end in 'identity',"
            f" not {last!r}; `reconstruct` gives their sigmoid"
        )


def check_activations(model: AutoencoderConfig) -> None:
    """Refuses codes that are no probabilities.

    Raises:
      ValueError: Says what to change.
    """
    layers = [
        layer
        for layer in model.encoder
        if not (layer.kind in _MOVES and layer.activation == "identity")
    ]
    last = layers[-1].activation if layers else "identity"
    if last != "sigmoid" or model.code == "gaussian" or model.base == "principal":
        raise ValueError(
            "sparsity.kind='kl' takes activations for probabilities: the code must be"
            f" plain and end in 'sigmoid', but is {model.code} and ends in {last!r},"
            f" base={model.base!r};"
            " change it, or take sparsity.kind='l1'"
        )


def closed_layer(model: AutoencoderConfig) -> int | None:
    """Which layer the encoder consists of, if the closed form holds of it."""
    plain = {"activation": "identity", "norm": "none", "dropout": 0.0}
    at = []
    for i, layer in enumerate(model.encoder):
        moves = layer.kind in ("flatten", "reshape")
        if not moves or any(getattr(layer, k) != v for k, v in plain.items()):
            at.append(i)
    if len(at) != 1 or model.code == "gaussian" or model.base != "none":
        return None
    layer = model.encoder[at[0]]
    # On maps a dense layer is applied at every position: its kernel is used repeatedly.
    vector = len(model.input_shape) == 1 or any(
        before.kind == "flatten" for before in model.encoder[: at[0]]
    )
    fits = (
        layer.kind == "dense"
        and vector
        and layer.activation in CLOSED_ACTIVATIONS
        and layer.norm == "none"
        and not layer.dropout
        and not layer.spectral
    )
    return at[0] if fits else None
