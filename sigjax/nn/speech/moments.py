"""Mean and standard deviation of frames, of parts of a clip put together exactly."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Bool, Float


class Moments(NamedTuple):
    """Sums over frames from which means and standard deviations follow.

    Attributes:
      count: Float32 `[b]`, frames.
      mean: Float32 `[b, l, d]`.
      m2: Float32 `[b, l, d]`, sums of squared deviations from `mean`.
    """

    count: Array
    mean: Array
    m2: Array


def frame_moments(
    x: Float[Array, "b t d"], own: Bool[Array, "b t"] | None
) -> tuple[Float[Array, "b d"], Float[Array, "b d"]]:
    """Mean and sum of squared deviations over a clip's own frames, float32.

    In two passes, so that no digits are lost.

    Args:
      x: `[b, t, d]`.
      own: Bool `[b, t]`, which frames are no padding; all without it.

    Returns:
      Two of `[b, d]`; zeros of a clip without frames.
    """
    x = x.astype(jnp.float32)
    weight = jnp.ones(x.shape[:2]) if own is None else own.astype(jnp.float32)
    count = jnp.maximum(weight.sum(axis=1), 1)[:, None]
    if own is not None:
        x = jnp.where(own[..., None], x, 0)  # what padding holds need not be finite
    # Products: XLA's own sums over frames are slow on CPU.
    total = jax.lax.Precision.HIGHEST
    mean = jnp.einsum("bt,btd->bd", weight, x, precision=total) / count
    deviation = jnp.square(x - mean[:, None])
    return mean, jnp.einsum("bt,btd->bd", weight, deviation, precision=total)


def merge(a: Moments, b: Moments) -> Moments:
    """Moments of the frames of both (Chan, Golub & LeVeque 1979, eq. 2.1).

    Neither order nor number of parts matters, to rounding; a part without frames adds
    nothing.
    """
    count = a.count + b.count
    share = (b.count / jnp.maximum(count, 1))[:, None, None]
    step = b.mean - a.mean
    between = jnp.square(step) * (a.count[:, None, None] * share)
    return Moments(count, a.mean + step * share, a.m2 + b.m2 + between)


def functionals(moments: Moments, ddof: int = 0) -> Float[Array, "b l w"]:
    """Means, then standard deviations: a clip's features of every layer.

    Args:
      moments: Of at least one frame each; zeros come of none.
      ddof: 1 divides by one frame less, as `torch.std` does by default. A clip of one
        frame has then no standard deviation: 0 is given, as with 0.

    Returns:
      Float32 `[b, l, 2 d]`.

    Raises:
      ValueError: `ddof` is neither 0 nor 1.
    """
    if ddof not in (0, 1):
        raise ValueError(f"ddof is 0 or 1, got {ddof}")
    count = jnp.maximum(moments.count - ddof, 1)[:, None, None]
    return jnp.concatenate([moments.mean, jnp.sqrt(moments.m2 / count)], axis=-1)
