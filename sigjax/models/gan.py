"""Two networks against each other: GANs, and the adversarial autoencoder.

Goodfellow et al. 2014 (arXiv 1406.2661): a generator makes examples from draws of a
prior, and a critic (their discriminator) tells them from data. Radford et al. 2016
(DCGAN, arXiv 1511.06434) made both of convolutions: strided ones, batch norm, ReLU and
leaky ReLU, tanh at the end. Both are stacks here, so either is a config, and
`init="dcgan"` of their layers starts from DCGAN's normal distribution of 0.02.

Makhzani et al. 2015 (arXiv 1511.05644): the encoder of an autoencoder is the generator,
its codes are what is made, and draws of the prior are the data: training leaves codes
distributed as the prior, whatever that is, and the decoder a generator.
"""

import dataclasses
import math
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from sigjax.models.autoencoder import Autoencoder, AutoencoderConfig
from sigjax.nn.stack import Layer, Shape, Stack, stack_shapes
from sigjax.typing import Array, Float, PRNGKey

_FLOAT32 = jnp.dtype("float32")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """A distribution of vectors.

    Attributes:
      kind: `"normal"` with mean 0 and variance 1; `"uniform"` in [-1, 1]; `"ring"`: a
        mixture of normals, equally likely, evenly on a circle in the first two
        dimensions, those after them normal of the same deviation.
      components: Of `"ring"`.
      radius: Of `"ring"`.
      sd: Of a component of `"ring"`.
    """

    kind: Literal["normal", "uniform", "ring"] = "normal"
    components: int = 8
    radius: float = 2.0
    sd: float = 0.2

    def __post_init__(self):
        """Refuses values without meaning."""
        if self.kind not in ("normal", "uniform", "ring"):
            raise ValueError(f"prior.kind is no kind of prior: {self.kind!r}")
        if self.components < 1 or self.radius <= 0 or self.sd <= 0:
            raise ValueError(
                "components must be at least 1, radius and sd above 0, got"
                f" {self.components}, {self.radius} and {self.sd}"
            )


def draw_prior(config: PriorConfig, keys: Array, width: int) -> Float[Array, "b k"]:
    """One draw for each key.

    Args:
      config: Of what.
      keys: `[b]` keys.
      width: Of a draw; 2 or more for a ring.

    Returns:
      Float32 `[b, width]`.
    """

    def draw(key: PRNGKey) -> Array:
        if config.kind == "uniform":
            return jax.random.uniform(key, (width,), minval=-1.0, maxval=1.0)
        if config.kind == "normal":
            return jax.random.normal(key, (width,))
        place_key, noise_key = jax.random.split(key)
        place = jax.random.randint(place_key, (), 0, config.components)
        angle = 2 * math.pi * place / config.components
        noise = config.sd * jax.random.normal(noise_key, (width,))
        centre = config.radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        return noise.at[:2].add(centre)

    return jax.vmap(draw)(keys)


def _check_prior(prior: PriorConfig, width: int) -> None:
    if prior.kind == "ring" and width < 2:
        raise ValueError(f"a ring needs two dimensions, got {width}")


def _check_critic(critic: tuple[Layer, ...], input_shape: Shape) -> None:
    try:
        made = stack_shapes(critic, input_shape)[-1] if critic else input_shape
    except ValueError as error:
        raise ValueError(f"critic: {error}") from None
    if made != (1,) or not critic:
        raise ValueError(
            f"the critic makes {made} of {input_shape}; it must end in one value,"
            " (1,), the logit for what is real"
        )
    if critic[-1].activation != "identity":
        raise ValueError(
            f"the critic ends in {critic[-1].activation!r}; it must end in 'identity':"
            " its value is a logit, and the loss has the sigmoid"
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class GanConfig:
    """Architecture.

    Attributes:
      latent: Width k of what the generator starts from.
      output_shape: Of an example: `(d,)`, `(s, c)` or `(h, w, c)`.
      generator: From `(latent,)` to the output's shape.
      critic: From that shape to `(1,)`, without an activation at its end.
      prior: Of the latent vectors.
    """

    latent: int
    output_shape: tuple[int, ...]
    generator: tuple[Layer, ...]
    critic: tuple[Layer, ...]
    prior: PriorConfig = PriorConfig()

    def __post_init__(self):
        """Refuses networks whose sizes do not meet; the message names the layer."""
        if self.latent < 1 or not self.generator:
            raise ValueError(
                f"a GAN needs latent of at least 1, got {self.latent}, and layers in"
                " its generator"
            )
        _check_prior(self.prior, self.latent)
        try:
            made = stack_shapes(self.generator, (self.latent,))[-1]
        except ValueError as error:
            raise ValueError(f"generator: {error}") from None
        if made != self.output_shape:
            raise ValueError(
                f"the generator makes {made}, but output_shape is {self.output_shape}"
            )
        _check_critic(self.critic, self.output_shape)


class Gan(nn.Module):
    """Two stacks. Parameters: `{"generator": {"layer0": ...}, "critic": ...}`.

    Attributes:
      config: The architecture.
      dtype: What it computes in.
    """

    config: GanConfig
    dtype: jnp.dtype = _FLOAT32

    def setup(self):
        """Two stacks."""
        self.generator = Stack(self.config.generator, self.dtype)
        self.critic = Stack(self.config.critic, self.dtype)

    def __call__(
        self, z: Float[Array, "b k"], train: bool = False
    ) -> Float[Array, " b"]:
        """The critic's logits of what is generated, float32 `[b]`."""
        return self.criticise(self.generate(z, train), train)

    def generate(
        self, z: Float[Array, "b k"], train: bool = False
    ) -> Float[Array, "b *a"]:
        """Examples, float32 `[b, *output_shape]`, of `[b, latent]`."""
        return self.generator(z, train).x.astype(jnp.float32)

    def criticise(
        self, x: Float[Array, "b *a"], train: bool = False
    ) -> Float[Array, " b"]:
        """Logits for "real", float32 `[b]`, of examples `[b, *output_shape]`."""
        return self.critic(x, train).x[:, 0].astype(jnp.float32)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialAutoencoderConfig(AutoencoderConfig):
    """An autoencoder whose codes a critic compares with a prior.

    Codes are plain vectors: Makhzani et al.'s deterministic q(z|x).

    Attributes:
      critic: From the code's shape to `(1,)`, without an activation at its end.
      prior: What codes shall be distributed as.
    """

    critic: tuple[Layer, ...]
    prior: PriorConfig = PriorConfig()

    def __post_init__(self):
        """Refuses networks whose sizes do not meet; the message names the layer."""
        super().__post_init__()
        if self.code != "plain" or len(self.code_shape) != 1:
            raise ValueError(
                "an adversarial autoencoder has plain codes, vectors: got"
                f" {self.code!r} codes of shape {self.code_shape}"
            )
        if self.base != "none":
            raise ValueError(
                f"an adversarial autoencoder adds to nothing: base={self.base!r} must"
                " be 'none'"
            )
        try:
            stack_shapes(self.decoder_layers, self.code_shape)
        except ValueError as error:
            raise ValueError(
                f"the decoder cannot decode draws of the prior: {error}"
            ) from None
        _check_prior(self.prior, self.code_shape[0])
        _check_critic(self.critic, self.code_shape)


class AdversarialAutoencoder(Autoencoder):
    """Encoder, decoder and critic: parameters under these names.

    Attributes:
      config: The architecture, an `AdversarialAutoencoderConfig`.
      dtype: What it computes in.
    """

    def setup(self):
        """Three stacks."""
        super().setup()
        assert isinstance(self.config, AdversarialAutoencoderConfig)
        self.critic = Stack(self.config.critic, self.dtype)

    def criticise(
        self, z: Float[Array, "b k"], train: bool = False
    ) -> Float[Array, " b"]:
        """Logits for "drawn from the prior", float32 `[b]`, of codes `[b, k]`."""
        return self.critic(z, train).x[:, 0].astype(jnp.float32)

    def everything(self, x: Float[Array, "b *a"]) -> Float[Array, " b"]:
        """Runs all three networks, to initialise them."""
        return self.criticise(self(x).code)
