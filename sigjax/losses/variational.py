"""The divergence of a Gaussian code from its prior, and a sample of the code.

Kingma & Welling 2014 (arXiv 1312.6114), Appendix B and Sect. 2.4.

The slides "Autoencoders" print `-1/2 sum_j (sigma_j + mu_j^2 - 1 - log sigma_j)`. Two
things are wrong: `sigma` there is the variance, and the sign. The divergence is
`+1/2 sum_j (sigma_j^2 + mu_j^2 - 1 - log sigma_j^2)`, which is what the slides' own
code computes; minimising what they print would drive codes away from the prior.
"""

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float, PRNGKey


def kl_normal(
    mean: Float[Array, "b *a"], log_variance: Float[Array, "b *a"]
) -> Float[Array, " b"]:
    """`KL(N(mean, variance) || N(0, 1))`, summed over a code's values.

    Args:
      mean: `[b, ...]`.
      log_variance: `[b, ...]`, `log sigma^2`; half of it is the log standard deviation.

    Returns:
      Float32 `[b]` in nats, at least 0; 0 at the prior.
    """
    mean = jnp.asarray(mean, jnp.float32)
    log_variance = jnp.asarray(log_variance, jnp.float32)
    # expm1: near the prior variance - 1 and its logarithm would cancel.
    value = jnp.square(mean) + jnp.expm1(log_variance) - log_variance
    return 0.5 * value.sum(axis=tuple(range(1, value.ndim)))


def sample_normal(
    mean: Float[Array, "b *a"],
    log_variance: Float[Array, "b *a"],
    keys: PRNGKey,
) -> Float[Array, "b *a"]:
    """`z = mean + sigma * epsilon` with `epsilon` from N(0, 1): differentiable in both.

    Args:
      mean: `[b, ...]`.
      log_variance: `[b, ...]`.
      keys: `[b]`, one for each example.

    Returns:
      `[b, ...]`.
    """
    noise = jax.vmap(lambda key: jax.random.normal(key, mean.shape[1:], mean.dtype))
    return mean + jnp.exp(0.5 * log_variance) * noise(keys)
