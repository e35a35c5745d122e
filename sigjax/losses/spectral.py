"""Reconstruction losses on patches: MSE and the log-magnitude losses LMM and LMV.

Lorenzen et al. 2025 (arXiv 2502.17477), Eqs. 1-7. Everything here is per patch and per
channel; which patches are masked, and the mean over them, is the task's business.

Where the paper is wrong or silent:
  * Eqs. 1 and 4 print `log(min(., eps))`, which is constant wherever the magnitude
    exceeds eps; a floor is meant, so it is `max` here.
  * The variance over time in Eq. 4 is taken over the population (no n - 1).
  * The Hann window is periodic and the transform unnormalised, as in torch.stft: with
    eps = 1e-2 the normalisation matters.
"""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from sigjax.signal.stft import Method, Pad, map_rows, stft_magnitude
from sigjax.typing import Array, Float


@dataclasses.dataclass(frozen=True, kw_only=True)
class SpectralLossConfig:
    """Weights and transform of the reconstruction loss.

    Attributes:
      lmm: Weight of the log-scale mean magnitude loss.
      lmv: Weight of the log-scale magnitude variance loss.
      mse: Weight of the mean squared error.
      n_fft: STFT window in samples (16, 32, 64 and 128 in the paper). Hop is half.
      eps: Floor of the logarithm's argument.
      pad: `"zero"` as in the paper. Gravity then shows as a step at the patch's ends,
        which in quiet patches outweighs the signal; `"reflect"` has no such step.
      detrend: Take each patch's mean off before the transform. Removes the same step,
        and with it all that the spectrum knows of posture.
      method: How magnitudes are computed; see `stft_magnitude`.
    """

    lmm: float = 1.0
    lmv: float = 0.0
    mse: float = 0.0
    n_fft: int = 32
    eps: float = 1e-2
    pad: Pad = "zero"
    detrend: bool = False
    method: Method = "auto"

    def __post_init__(self):
        """Refuses weights and sizes without meaning."""
        if min(self.lmm, self.lmv, self.mse) < 0 or not (
            self.lmm + self.lmv + self.mse
        ):
            raise ValueError("weights lmm, lmv, mse must be >= 0 and not all 0")
        if self.n_fft < 2 or self.n_fft % 2:
            raise ValueError(f"n_fft must be even, got {self.n_fft}")
        if self.eps <= 0:
            raise ValueError(f"eps must be positive, got {self.eps}")


def _log_statistic(
    statistic: Callable[..., Array], x: Array, config: SpectralLossConfig
) -> Array:
    """`log(max(statistic over time of |STFT(x)|, eps))`."""

    def of_rows(x):
        if config.detrend:
            x = x - x.mean(axis=-1, keepdims=True)
        magnitude = stft_magnitude(
            x, n_fft=config.n_fft, pad=config.pad, method=config.method
        )
        return jnp.log(jnp.maximum(statistic(magnitude, axis=-2), config.eps))

    return map_rows(of_rows, x)


def log_mean_magnitude(
    x: Float[Array, "*a s"], config: SpectralLossConfig
) -> Float[Array, "*a f"]:
    """`U(x) = log(max(mean_t |STFT(x)|, eps))`, Eq. 1: `[..., s]` to `[..., f]`."""
    return _log_statistic(jnp.mean, x, config)


def log_magnitude_variance(
    x: Float[Array, "*a s"], config: SpectralLossConfig
) -> Float[Array, "*a f"]:
    """`V(x) = log(max(var_t |STFT(x)|, eps))`, Eq. 4: `[..., s]` to `[..., f]`."""
    return _log_statistic(jnp.var, x, config)


def mse(
    target: Float[Array, "*a s"], prediction: Float[Array, "*a s"]
) -> Float[Array, "*a"]:
    """Mean squared error over the last axis: `[..., s]` twice to `[...]`."""
    return jnp.mean((target - prediction) ** 2, axis=-1)


def lmm(
    target: Float[Array, "*a s"],
    prediction: Float[Array, "*a s"],
    config: SpectralLossConfig,
) -> Float[Array, "*a"]:
    """Log-scale mean magnitude loss, Eq. 2: `[..., s]` twice to `[...]`."""
    return mse(
        log_mean_magnitude(target, config), log_mean_magnitude(prediction, config)
    )


def lmv(
    target: Float[Array, "*a s"],
    prediction: Float[Array, "*a s"],
    config: SpectralLossConfig,
) -> Float[Array, "*a"]:
    """Log-scale magnitude variance loss, Eq. 5: `[..., s]` twice to `[...]`."""
    return mse(
        log_magnitude_variance(target, config),
        log_magnitude_variance(prediction, config),
    )


def components(
    target: Float[Array, "*a s"],
    prediction: Float[Array, "*a s"],
    config: SpectralLossConfig,
    *,
    every: bool = False,
) -> dict[str, Float[Array, "*a"]]:
    """The unweighted losses: those with a weight, or `every` one.

    The paper reports components unweighted, also those with weight 0.

    Args:
      target: Float32 `[..., s]`.
      prediction: Float32 `[..., s]`.
      config: Weights and transform.
      every: Also compute components whose weight is 0.

    Returns:
      `{"lmm": [...], "lmv": [...], "mse": [...]}`, those asked for.
    """
    losses = {}
    if every or config.lmm:
        losses["lmm"] = lmm(target, prediction, config)
    if every or config.lmv:
        losses["lmv"] = lmv(target, prediction, config)
    if every or config.mse:
        losses["mse"] = mse(target, prediction)
    return losses


def weighted_sum(
    losses: dict[str, Float[Array, "*a"]], config: SpectralLossConfig
) -> Float[Array, "*a"]:
    """`w_lmm LMM + w_lmv LMV + w_mse MSE`, Eqs. 3 and 6."""
    weights = {"lmm": config.lmm, "lmv": config.lmv, "mse": config.mse}
    terms = [weights[k] * v for k, v in losses.items() if weights[k]]
    return sum(terms[1:], start=terms[0])
