"""Masked modelling of long recordings: hide patches, reconstruct them.

Lorenzen et al. 2025 (arXiv 2502.17477), section II.C-D.
"""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from sigjax.losses import spectral
from sigjax.losses.spectral import SpectralLossConfig
from sigjax.models.mae import Mae, MaeConfig, MaeOutput
from sigjax.signal.masking import index_to_mask, masked_count, random_masked_index
from sigjax.signal.patches import cut_windows, dequantise, patchify
from sigjax.typing import Array, Batch, Float, Int, LossOutput, PRNGKey, PyTree


@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskedModellingConfig:
    """How a crop becomes masked windows of patches.

    Attributes:
      rate_hz: Sampling rate of the store.
      channels: Channels of the signal.
      window_s: What the model sees at once, in seconds (50 minutes).
      windows: Windows cut from each crop, at evenly spaced starts.
      patch_s: Length of a patch (a token), in seconds.
      mask_rate: Share of patches hidden: exactly `round(mask_rate * patches)`.
    """

    rate_hz: float
    channels: int
    window_s: float
    windows: int
    patch_s: float
    mask_rate: float

    @property
    def window_samples(self) -> int:
        """Samples per window."""
        return round(self.window_s * self.rate_hz)

    @property
    def patch_samples(self) -> int:
        """Samples per patch."""
        return round(self.patch_s * self.rate_hz)

    @property
    def tokens(self) -> int:
        """Patches per window."""
        return self.window_samples // self.patch_samples


class Masked(NamedTuple):
    """A batch as the model meets it.

    Attributes:
      patches: Float32 `[e, n, p]`, one row per window.
      index: Int32 `[e, m]`, the masked positions.
    """

    patches: Array
    index: Array


class MaskedModelling:
    """Task: reconstruct the masked patches of every window.

    Batches hold `counts` int16 `[b, s, c]`, `scale` float32 `[b]` (g per count) and
    `seed` uint32 `[b]`. A window's mask depends on the step's key and its recording's
    seed alone, not on its place in the batch: process count cannot change it.
    """

    def __init__(
        self,
        model: MaeConfig,
        loss: SpectralLossConfig,
        config: MaskedModellingConfig,
    ):
        """Checks that the three sections fit together.

        Raises:
          ValueError: Naming the keys that do not.
        """
        expected = config.patch_samples * config.channels
        if model.patch_size != expected:
            raise ValueError(
                f"model.patch_size={model.patch_size} but a patch of {config.patch_s} s"
                f" at {config.rate_hz} Hz on {config.channels} channels has {expected}"
                " values: make them equal"
            )
        if loss.n_fft > config.patch_samples:
            raise ValueError(
                f"loss.n_fft={loss.n_fft} is longer than a patch of"
                f" {config.patch_samples} samples"
            )
        self.model = Mae(model)
        self.loss_config = loss
        self.config = config
        self.masked = masked_count(config.tokens, config.mask_rate)

    def windows(self, batch: Batch) -> Float[Array, "e n p"]:
        """Patches of every window: `e = b * windows`, recording by recording."""
        c = self.config
        cut = cut_windows(batch["counts"], window=c.window_samples, count=c.windows)
        b, w, s, channels = cut.shape
        if channels != c.channels:
            raise ValueError(
                f"batches have {channels} channels, task.channels is {c.channels}"
            )
        scale = jnp.repeat(batch["scale"], w)
        signal = dequantise(cut.reshape(b * w, s, channels), scale)
        return patchify(signal, c.patch_samples)

    def mask(self, batch: Batch, key: PRNGKey) -> Int[Array, "e m"]:
        """Masked positions of every window, ascending."""

        def of_recording(seed):
            keys = jax.random.split(jax.random.fold_in(key, seed), self.config.windows)
            return jax.vmap(
                lambda k: random_masked_index(k, self.config.tokens, self.masked)
            )(keys)

        index = jax.vmap(of_recording)(batch["seed"])
        return index.reshape(-1, self.masked)

    def init(self, key: PRNGKey, batch: Batch) -> Mapping[str, PyTree]:
        """Parameters; one window decides all shapes."""
        shape = (1, self.config.tokens, self.model.config.patch_size)
        return self.model.init(key, jnp.zeros(shape))

    def reconstruct_masked(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> tuple[Masked, Float[Array, "e m p"]]:
        """The masked batch and what the model makes of its masked patches."""
        patches, index = self.windows(batch), self.mask(batch, key)
        mask = index_to_mask(index, self.config.tokens)
        out = cast(MaeOutput, self.model.apply(variables, patches, mask, index))
        return Masked(patches, index), out.reconstruction

    def _by_channel(self, patches: Array) -> Array:
        """`[e, m, c * l]` to `[e, m, c, l]`; losses act on one channel's samples."""
        return patches.reshape(*patches.shape[:-1], self.config.channels, -1)

    def _reduce(self, per_channel: Array) -> Array:
        """Eq. 7: the sum over channels, the mean over masked patches; `[e]`."""
        return per_channel.sum(axis=-1).mean(axis=-1)

    def _components(self, masked: Masked, reconstruction: Array, *, every: bool):
        target = jnp.take_along_axis(masked.patches, masked.index[..., None], axis=1)
        losses = spectral.components(
            self._by_channel(target),
            self._by_channel(reconstruction),
            self.loss_config,
            every=every,
        )
        return {name: self._reduce(value) for name, value in losses.items()}

    def loss(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> LossOutput:
        """Weighted reconstruction loss of each window, masked patches only."""
        masked, reconstruction = self.reconstruct_masked(variables, batch, key)
        losses = self._components(masked, reconstruction, every=False)
        return LossOutput(spectral.weighted_sum(losses, self.loss_config), losses, {})

    def evaluate(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> Mapping[str, Array]:
        """Every component, weighted or not, and what a trivial predictor scores.

        `lmm_baseline` predicts each masked patch's log spectrum by the mean log
        spectrum of the window's visible patches, `mse_baseline` each sample by their
        mean. A model that does not beat them has learned nothing of the signal.
        """
        masked, reconstruction = self.reconstruct_masked(variables, batch, key)
        losses = self._components(masked, reconstruction, every=True)
        total = spectral.weighted_sum(losses, self.loss_config)
        return {"loss": total, **losses, **self._baselines(masked)}

    def _baselines(self, masked: Masked) -> dict[str, Array]:
        hidden = index_to_mask(masked.index, self.config.tokens)
        x = self._by_channel(masked.patches)
        visible = (~hidden)[..., None, None].astype(x.dtype)

        def visible_mean(features):
            total = (features * visible).sum(axis=1, keepdims=True)
            return total / visible.sum(axis=1, keepdims=True)

        def score(features, mean):
            error = jnp.square(features - mean).mean(axis=-1).sum(axis=-1)
            return (error * hidden).sum(axis=-1) / hidden.sum(axis=-1)

        spectra = spectral.log_mean_magnitude(x, self.loss_config)
        level = visible_mean(x).mean(axis=-1, keepdims=True)
        return {
            "lmm_baseline": score(spectra, visible_mean(spectra)),
            "mse_baseline": score(x, level),
        }
