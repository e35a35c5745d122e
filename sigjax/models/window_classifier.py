"""An encoder and a head: what was done in each label window of a signal."""

import dataclasses

import flax.linen as nn
import jax.numpy as jnp

from sigjax.models.harnet import HarNet, HarNetConfig
from sigjax.models.heads import Head, HeadConfig
from sigjax.models.mae import Mae, MaeConfig
from sigjax.signal.patches import patchify
from sigjax.typing import Array, Float, Int


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowClassifierConfig:
    """Architecture of a classifier.

    Attributes:
      patch_samples: Samples per patch, what the encoder makes one token of.
      channels: Channels of the signal.
      pool: Patches per label window; their tokens are averaged.
      head: What stands on the encoder.
      mae: The encoder, if it is a masked autoencoder's: tokens see each other.
      harnet: The encoder, if it is HARNet's: each patch on its own.
    """

    patch_samples: int
    channels: int
    pool: int
    head: HeadConfig
    mae: MaeConfig | None = None
    harnet: HarNetConfig | None = None

    def __post_init__(self):
        """Refuses anything but one encoder that fits the patches."""
        if (self.mae is None) == (self.harnet is None):
            raise ValueError("exactly one encoder must be given: mae or harnet")
        values = self.patch_samples * self.channels
        if self.mae is not None and self.mae.patch_size != values:
            raise ValueError(
                f"the encoder takes patches of {self.mae.patch_size} values, but"
                f" {self.patch_samples} samples of {self.channels} channels are"
                f" {values}"
            )
        if self.harnet is not None and self.harnet.channels != self.channels:
            raise ValueError(
                f"the encoder takes {self.harnet.channels} channels, the signal has"
                f" {self.channels}"
            )

    @property
    def context(self) -> bool:
        """Whether a token depends on other patches than its own."""
        return self.mae is not None

    @property
    def label_samples(self) -> int:
        """Samples per label window."""
        return self.patch_samples * self.pool


class WindowClassifier(nn.Module):
    """Signal to class scores.

    Its parameters are `encoder` and `head`. Those of a masked autoencoder are what
    pre-training calls `embed`, `encoder` and `mask_token`; its reconstruction head is
    not part of it.

    Attributes:
      config: The architecture.
    """

    config: WindowClassifierConfig

    def setup(self):
        """Builds both parts."""
        c = self.config
        if c.mae is not None:
            self.encoder = Mae(c.mae)
        else:
            assert c.harnet is not None
            self.encoder = HarNet(c.harnet)
        self.head = Head(c.head)

    def encode(
        self,
        x: Float[Array, "b s c"],
        length: Int[Array, " b"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b n d"]:
        """Tokens, one per label window.

        Args:
          x: `[b, s, c]` in g; `s` is a whole number of label windows.
          length: Int `[b]`, how many label windows are real; all without it. The others
            do not change these.
          train: Whether batch statistics are of this batch (HARNet's).

        Returns:
          Float32 `[b, n, d]`.
        """
        c = self.config
        b, s, channels = x.shape
        if s % c.label_samples or channels != c.channels:
            raise ValueError(
                f"expected [batch, samples, {c.channels}] with samples a multiple of"
                f" {c.label_samples}, got {x.shape}"
            )
        patches = None if length is None else length * c.pool
        if c.mae is not None:
            tokens = self.encoder.encode(patchify(x, c.patch_samples), length=patches)
        else:
            tokens = self._apart(x, patches, train)
        tokens = tokens.astype(jnp.float32)
        if c.pool == 1:
            return tokens
        return tokens.reshape(b, -1, c.pool, tokens.shape[-1]).mean(axis=2)

    def _apart(self, x: Array, length: Array | None, train: bool) -> Array:
        """Tokens of an encoder that sees one patch at a time."""
        b, s, channels = x.shape
        count = s // self.config.patch_samples
        apart = x.reshape(b * count, self.config.patch_samples, channels)
        mask = None
        if length is not None:
            mask = (jnp.arange(count) < length[:, None]).reshape(-1)
        assert isinstance(self.encoder, HarNet)
        return self.encoder(apart, train=train, mask=mask).reshape(b, count, -1)

    def classify(
        self,
        tokens: Float[Array, "b n d"],
        length: Int[Array, " b"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b n v"]:
        """Float32 logits of tokens, `[b, n, d]` to `[b, n, v]`."""
        return self.head(tokens, length, train)

    def __call__(
        self,
        x: Float[Array, "b s c"],
        length: Int[Array, " b"] | None = None,
        train: bool = False,
    ) -> Float[Array, "b n v"]:
        """Float32 logits of a signal, `[b, s, c]` to `[b, n, v]`; see `encode`."""
        return self.classify(self.encode(x, length, train), length, train)
