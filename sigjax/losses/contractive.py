"""The contractive penalty `||J_h(x)||_F^2` (Rifai et al. 2011, ICML, eq. 1).

The squared derivatives of every value of the code in every value of the input, summed.
For one layer `h = s(W x + b)` it is `sum_j s'(a_j)^2 ||W_j||^2` (their eq. 6 for the
sigmoid). Of any other encoder the Jacobian is needed: row by row with one VJP for each
value of the code, or column by column with one JVP for each value of the input. Codes
with too many values take Hutchinson's estimate, `E ||J^T v||^2` with random signs `v`.

Derivatives are of an example's code in its own input. An encoder that mixes the
examples of a batch (batch norm in training) has others too; give one that does not.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float, PRNGKey

Method = Literal["auto", "closed", "exact", "hutchinson"]
# Of a batch of inputs; each row of the result depends on its row alone.
Encode = Callable[[Array], Array]

# s'(a) from s(a).
_SLOPES: dict[str, Callable[[Array], Array]] = {
    "identity": jnp.ones_like,
    "sigmoid": lambda h: h * (1 - h),
    "tanh": lambda h: 1 - jnp.square(h),
}
CLOSED_ACTIVATIONS = tuple(_SLOPES)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContractiveConfig:
    """How codes are made insensitive to small changes of the input.

    Attributes:
      weight: The penalty's factor, lambda.
      method: `"closed"` for an encoder of one dense layer; `"exact"`; `"hutchinson"`;
        `"auto"` takes the closed form where there is one, the exact sum if the smaller
        of code and input has at most `most` values, else the estimate.
      probes: Random sign vectors for each example and step, of the estimate. Its
        variance falls with their number; a batch averages it as well.
      most: See `method`. An exact penalty costs so many passes through the encoder.
    """

    weight: float | int
    method: Method = "auto"
    probes: int = 1
    most: int = 64

    def __post_init__(self):
        """Refuses values without meaning."""
        if self.weight < 0:
            raise ValueError(f"weight must be >= 0, got {self.weight}")
        if self.method not in ("auto", "closed", "exact", "hutchinson"):
            raise ValueError(f"method is no way to take the penalty: {self.method!r}")
        if self.probes < 1 or self.most < 0:
            raise ValueError(
                f"probes must be >= 1 and most >= 0, got {self.probes} and {self.most}"
            )


def chosen_method(
    config: ContractiveConfig, *, closed: bool, code_values: int, input_values: int
) -> Literal["closed", "exact", "hutchinson"]:
    """What `config.method` comes to.

    Args:
      config: Asks for a method.
      closed: Whether the encoder has the closed form.
      code_values: Of an example.
      input_values: Of an example.

    Raises:
      ValueError: The closed form is asked for and there is none.
    """
    if config.method == "closed" and not closed:
        raise ValueError(
            "contractive.method='closed' needs an encoder of one dense layer without"
            f" norm, dropout or spectral norm, and one of {CLOSED_ACTIVATIONS} as its"
            " activation: take 'auto', 'exact' or 'hutchinson'"
        )
    if config.method != "auto":
        return config.method
    if closed:
        return "closed"
    fits = min(code_values, input_values) <= config.most
    return "exact" if fits else "hutchinson"


def closed_form(
    code: Float[Array, "b k"], kernel: Float[Array, "d k"], activation: str
) -> Float[Array, " b"]:
    """The penalty of one dense layer, from its output.

    Args:
      code: `[b, k]`, `s(x W + b)`.
      kernel: `[d, k]`, `W`.
      activation: `s`: `"sigmoid"`, `"tanh"` or `"identity"`.

    Returns:
      `[b]`.

    Raises:
      ValueError: There is no closed form of the activation.
    """
    if activation not in _SLOPES:
        raise ValueError(
            f"no closed form for {activation!r}, only for {CLOSED_ACTIVATIONS}"
        )
    slope = jnp.square(_SLOPES[activation](code))
    lengths = jnp.square(kernel).sum(axis=0)
    return (slope * lengths).sum(axis=1)


def _squares(x: Array, first: int) -> Array:
    """Sum of squares over the axes from `first` on."""
    return jnp.square(x).sum(axis=tuple(range(first, x.ndim)))


def _unit_vectors(shape: tuple[int, ...], batch: int, dtype) -> Array:
    """`[n, batch, *shape]`: each of the `n` values of `shape` as direction, in turn."""
    n = math.prod(shape)
    eye = jnp.eye(n, dtype=dtype).reshape(n, 1, *shape)
    return jnp.broadcast_to(eye, (n, batch, *shape))


def exact(encode: Encode, x: Float[Array, "b *a"]) -> Float[Array, " b"]:
    """The penalty of any encoder, by as many VJPs or JVPs as are fewer.

    Args:
      encode: `[b, ...]` to `[b, ...]`, example by example.
      x: `[b, ...]`.

    Returns:
      `[b]`.
    """
    out = jax.eval_shape(encode, x)
    if math.prod(out.shape[1:]) <= math.prod(x.shape[1:]):
        _, pull = jax.vjp(encode, x)
        vectors = _unit_vectors(out.shape[1:], len(x), out.dtype)
        rows = jax.vmap(lambda v: pull(v)[0])(vectors)
    else:
        _, push = jax.linearize(encode, x)
        rows = jax.vmap(push)(_unit_vectors(x.shape[1:], len(x), x.dtype))
    return _squares(rows, 2).sum(axis=0)


def hutchinson(
    encode: Encode, x: Float[Array, "b *a"], keys: PRNGKey, probes: int
) -> Float[Array, " b"]:
    """An unbiased estimate of the penalty, whatever the size of the code.

    Args:
      encode: `[b, ...]` to `[b, ...]`, example by example.
      x: `[b, ...]`.
      keys: `[b]`, one for each example.
      probes: Random sign vectors for each example; one VJP each.

    Returns:
      `[b]`, the mean over the probes.
    """
    out, pull = jax.vjp(encode, x)

    def signs(key):
        return jax.random.rademacher(key, (probes, *out.shape[1:]), out.dtype)

    vectors = jnp.moveaxis(jax.vmap(signs)(keys), 1, 0)
    rows = jax.vmap(lambda v: pull(v)[0])(vectors)
    return _squares(rows, 2).mean(axis=0)
