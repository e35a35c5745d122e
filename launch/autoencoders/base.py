"""What an autoencoder adds to, of the examples that it is trained on."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.config import ConfigError
from sigjax.data.examples.example_set import ExampleSet
from sigjax.evals.autoencoders import linear
from sigjax.models.autoencoder import AutoencoderConfig
from sigjax.tasks.example_input import ExampleInputConfig, example_input

# Examples that statistics are taken of; more would not change them, but take memory.
_MOST = 5000
_AT_ONCE = 250


def base_of(
    model: AutoencoderConfig, own: ExampleInputConfig, train_set: ExampleSet
) -> dict[str, Any]:
    """The collection `statistics` of a network that has a base; {} of another.

    Of all examples, or of 5,000 that are evenly spread over them.

    Args:
      model: With its base; see `sigjax.models.autoencoder_base`.
      own: How raw examples become what it takes.
      train_set: Training examples.

    Raises:
      ConfigError: There are fewer than the code has numbers, or all are alike.
    """
    if model.base == "none":
        return {}
    x = _taken(model, own, train_set)
    mean = x.mean(axis=0, dtype=np.float64)
    scale = float((x - mean).std())
    if scale == 0:
        raise ConfigError(f"{train_set.origin}: all examples are alike")
    found: dict[str, Any] = {"mean": mean, "scale": np.array(scale)}
    if model.base == "principal":
        deviations = (x - mean) / scale
        try:
            pca = linear.fit_pca(deviations, model.code_shape[0])
        except ValueError as error:
            raise ConfigError(
                f"{train_set.origin}: model.base='principal': {error}"
            ) from error
        spread = pca.codes(deviations).std(axis=0)
        if spread.min() < 1e-6 * spread.max():
            raise ConfigError(
                f"{train_set.origin}: examples do not vary in"
                f" {model.code_shape[0]} directions: take a smaller code, or"
                " model.base='mean'"
            )
        found |= {"components": pca.components, "spread": spread}
    arrays = {name: np.asarray(value, np.float32) for name, value in found.items()}
    return {"statistics": {"base": arrays}}


def _taken(
    model: AutoencoderConfig, own: ExampleInputConfig, train_set: ExampleSet
) -> np.ndarray:
    """Float32 `[n, *input_shape]`, as the network takes them."""
    count = min(len(train_set.x), _MOST)
    rows = np.linspace(0, len(train_set.x) - 1, count).round().astype(int)
    taken = jax.jit(lambda x: example_input(x, own, model.input_shape))
    parts = [
        np.asarray(taken(jnp.asarray(train_set.x[rows[at : at + _AT_ONCE]])))
        for at in range(0, count, _AT_ONCE)
    ]
    return np.concatenate(parts)
