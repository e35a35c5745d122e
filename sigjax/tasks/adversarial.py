"""Tasks of two networks against each other: a GAN, an adversarial autoencoder.

Both networks are trained in one step of the one loop. An example's loss is the sum of
the generator's and the critic's, and no gradient crosses: where the critic learns, what
it judges is a constant, and where the generator learns, the critic's parameters are.
The single gradient of the sum is then each network's own gradient of its own loss.
Optimizers of their own are `optim.groups` ("^generator/", "^critic/"); with `every=n`
for the generator the critic takes n steps for one of it.

In a training step the critic judges real and made examples in two passes, as Radford
et al. 2016 (arXiv 1511.06434) keep them apart for batch norm. Its batch statistics and
spectral vectors move with either pass; the generator's gradient is taken through the
second, with the same state.

What is drawn for an example is decided by the step's key and by what the example holds.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from sigjax.losses.adversarial import (
    Game,
    critic_loss,
    generator_loss,
    squared_gradient,
)
from sigjax.losses.reconstruction import Likelihood, reconstruction
from sigjax.models.gan import (
    AdversarialAutoencoder,
    AdversarialAutoencoderConfig,
    Gan,
    GanConfig,
    draw_prior,
)
from sigjax.signal.corruption import example_keys
from sigjax.tasks.example_input import ExampleInputConfig, example_input
from sigjax.typing import Array, Batch, Float, LossOutput, PRNGKey, PyTree

# The one collection that is not the model's: steps taken, for `r1_every`.
_COUNTERS = "adversarial"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialConfig:
    """What is played, and with which penalty.

    Attributes:
      input: How raw examples become what the model takes.
      game: See `sigjax.losses.adversarial`.
      r1: Weight gamma of the critic's squared gradient at real data, gamma / 2 of it
        (Mescheder et al. 2018, arXiv 1801.04406, equation 9); 0 for none.
      r1_every: Take it in every n-th step alone, n times as heavy (Karras et al. 2020,
        arXiv 1912.04958, section 3.1). Microbatches of `train.accumulation` count as
        steps.
    """

    input: ExampleInputConfig = ExampleInputConfig()
    game: Game = "non_saturating"
    r1: float = 0.0
    r1_every: int = 1

    def __post_init__(self):
        """Refuses values without meaning."""
        if self.game not in ("non_saturating", "min_max", "hinge"):
            raise ValueError(
                f"game must be non_saturating, min_max or hinge, got {self.game!r}"
            )
        if self.r1 < 0 or self.r1_every < 1:
            raise ValueError(
                f"r1 must be >= 0 and r1_every >= 1, got {self.r1} and {self.r1_every}"
            )
        if self.r1_every > 1 and not self.r1:
            raise ValueError(f"r1_every={self.r1_every} needs r1 above 0")


@dataclasses.dataclass(frozen=True, kw_only=True)
class AdversarialAutoencodingConfig(AdversarialConfig):
    """What an adversarial autoencoder is trained with.

    Makhzani et al. 2015 reconstruct and regularise in turn; here both gradients are of
    one step, the encoder's their sum.

    Attributes:
      likelihood: How reconstructions are judged, averaged over an example's values.
      weight: Of the encoder's loss against the critic, beside the reconstruction.
    """

    likelihood: Likelihood = "mse"
    weight: float = 1.0

    def __post_init__(self):
        """Refuses values without meaning."""
        super().__post_init__()
        if self.weight <= 0:
            raise ValueError(f"weight must be above 0, got {self.weight}")


def _judged(real: Array, made: Array, game: Game) -> dict[str, Array]:
    """Figures `[b]` of the critic's logits."""
    return {
        "generator": generator_loss(game, made),
        "critic": critic_loss(game, real, made),
        "accuracy_real": (real > 0).astype(jnp.float32),
        "accuracy_made": (made < 0).astype(jnp.float32),
    }


class _Adversarial:
    """What both tasks share: the critic's side, and the state of both networks."""

    model: Gan | AdversarialAutoencoder
    config: AdversarialConfig

    def _counters(self) -> dict[str, PyTree]:
        if self.config.r1_every == 1:
            return {}
        return {_COUNTERS: {"steps": jnp.zeros((), jnp.int32)}}

    def _apply(self, params, state, x, key, method: str) -> tuple[Any, dict]:
        """A method's result in training, and the state after it."""
        own = [name for name in state if name != _COUNTERS]
        found, changed = self.model.apply(
            {"params": params, **{name: state[name] for name in own}},
            x,
            True,
            method=method,
            mutable=own,
            rngs={"dropout": key},
        )
        return found, {**state, **changed}

    def _play(
        self, params: PyTree, state: dict, real: Array, made: Array, key: PRNGKey
    ) -> tuple[Array, Array, dict[str, Array], dict]:
        """One round.

        Args:
          params: Of both networks.
          state: The other collections.
          real: `[b, ...]`, as the critic takes it.
          made: The same of the generator, with the gradient in its parameters.
          key: For dropout.

        Returns:
          The generator's loss `[b]`, the critic's `[b]` with its penalty, figures, and
          the state after it.
        """
        real_key, made_key = jax.random.split(key)
        of_real, after = self._apply(params, state, real, real_key, "criticise")
        constant = jax.lax.stop_gradient(made)
        of_made, end = self._apply(params, after, constant, made_key, "criticise")
        frozen = jax.lax.stop_gradient(params)
        fooled, _ = self._apply(frozen, after, made, made_key, "criticise")
        figures = _judged(of_real, of_made, self.config.game)
        generator = generator_loss(self.config.game, fooled)
        critic = figures["critic"]
        if self.config.r1:

            def logits(x: Array) -> Array:
                return self._apply(params, state, x, real_key, "criticise")[0]

            figures["r1"], end = self._squared_gradient(logits, real, end)
            critic = critic + 0.5 * self.config.r1 * figures["r1"]
        return generator, critic, figures, end

    def _squared_gradient(self, logits, real, state) -> tuple[Array, dict]:
        """Of real data; zeros in most steps if taken rarely, n times it in the n-th."""
        every = self.config.r1_every
        if every == 1:
            return squared_gradient(logits, real), state
        steps = state[_COUNTERS]["steps"] + 1
        found = jax.lax.cond(
            steps % every == 0,
            lambda x: every * squared_gradient(logits, x),
            lambda x: jnp.zeros(len(x)),
            real,
        )
        return found, {**state, _COUNTERS: {"steps": steps}}

    def _result(self, variables: Mapping[str, PyTree], x: Array, method: str) -> Array:
        """A method's result outside of training."""
        own = {k: v for k, v in variables.items() if k != _COUNTERS}
        found = self.model.apply(own, x, method=method)
        assert isinstance(found, jax.Array)
        return found

    def _figures(
        self, variables: Mapping[str, PyTree], real: Array, made: Array
    ) -> dict[str, Array]:
        """Figures `[b]` outside of training."""
        logits = [self._result(variables, x, "criticise") for x in (real, made)]
        return _judged(logits[0], logits[1], self.config.game)


def _divided(variables: Mapping[str, PyTree]) -> tuple[PyTree, dict[str, PyTree]]:
    """Parameters, and the other collections."""
    return variables["params"], {k: v for k, v in variables.items() if k != "params"}


class Generation(_Adversarial):
    """Task: a GAN.

    Batches hold `x` `[b, *raw]`; other keys are not looked at.
    """

    def __init__(self, model: GanConfig, config: AdversarialConfig):
        """Builds both networks."""
        self.model_config, self.config = model, config
        self.model = Gan(model)

    def init(self, key: PRNGKey, batch: Batch) -> Mapping[str, PyTree]:
        """Variables; no value of the batch matters."""
        z = jnp.zeros((1, self.model_config.latent))
        return {**self.model.init(key, z), **self._counters()}

    def loss(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> LossOutput:
        """Generator's and critic's loss of each example, drawing one for each.

        Figures: `generator`, `critic` (without its penalty), the critic's accuracies
        `accuracy_real` and `accuracy_made`, and `r1`, the squared gradient.
        """
        real, z, rest = self._drawn(batch, key)
        params, state = _divided(variables)
        make_key, judge_key = jax.random.split(rest)
        made, state = self._apply(params, state, z, make_key, "generate")
        generator, critic, figures, state = self._play(
            params, state, real, made, judge_key
        )
        return LossOutput(generator + critic, figures, state)

    def evaluate(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> Mapping[str, Array]:
        """The figures of `loss` `[b]`, without R1; `loss` is both losses' sum."""
        real, z, _ = self._drawn(batch, key)
        made = self.generate(variables, z)
        figures = self._figures(variables, real, made)
        return {"loss": figures["generator"] + figures["critic"], **figures}

    def _drawn(self, batch: Batch, key: PRNGKey) -> tuple[Array, Array, PRNGKey]:
        """Real examples, a latent vector for each, and another key."""
        draw_key, rest = jax.random.split(key)
        m = self.model_config
        real = example_input(batch["x"], self.config.input, m.output_shape)
        z = draw_prior(m.prior, example_keys(real, draw_key), m.latent)
        return real, z, rest

    def generate(
        self, variables: Mapping[str, PyTree], z: Float[Array, "b k"]
    ) -> Float[Array, "b *a"]:
        """Examples of latent vectors; a pure function, to be jitted.

        Args:
          variables: As trained.
          z: Float32 `[b, latent]`; between two of them lie interpolations.

        Returns:
          Float32 `[b, *output_shape]`, in the units that `config.input` makes.
        """
        return self._result(variables, z, "generate")

    def sample(
        self, variables: Mapping[str, PyTree], key: PRNGKey, n: int
    ) -> Float[Array, "n *a"]:
        """`generate` of n draws of the prior."""
        keys = jax.random.split(key, n)
        m = self.model_config
        return self.generate(variables, draw_prior(m.prior, keys, m.latent))

    def score(self, variables: Mapping[str, PyTree], x: Array) -> Float[Array, " b"]:
        """The critic's logits for "real", float32 `[b]`, of raw `[b, *raw]`."""
        x = example_input(x, self.config.input, self.model_config.output_shape)
        return self._result(variables, x, "criticise")


class AdversarialAutoencoding(_Adversarial):
    """Task: an autoencoder whose codes are distributed as a prior.

    Batches hold `x` `[b, *raw]`; other keys are not looked at.
    """

    def __init__(
        self,
        model: AdversarialAutoencoderConfig,
        config: AdversarialAutoencodingConfig,
    ):
        """Builds the three networks."""
        self.model_config, self.config = model, config
        self._likelihood: Likelihood = config.likelihood
        self._weight = config.weight
        self.model = AdversarialAutoencoder(model)

    def init(self, key: PRNGKey, batch: Batch) -> Mapping[str, PyTree]:
        """Variables; no value of the batch matters."""
        x = jnp.zeros((1, *self.model_config.input_shape))
        made = self.model.init(key, x, method="everything")
        return {**made, **self._counters()}

    def loss(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> LossOutput:
        """Reconstruction, the encoder's loss and the critic's, of each example.

        Figures: those of a GAN, of codes, and `reconstruction`.
        """
        x, drawn, rest = self._drawn(batch, key)
        params, state = _divided(variables)
        encode_key, judge_key = jax.random.split(rest)
        out, state = self._apply(params, state, x, encode_key, "__call__")
        generator, critic, figures, state = self._play(
            params, state, drawn, out.code, judge_key
        )
        error = reconstruction(self._likelihood, out.reconstruction, x)
        loss = error + self._weight * generator + critic
        return LossOutput(loss, {"reconstruction": error, **figures}, state)

    def evaluate(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> Mapping[str, Array]:
        """The figures of `loss` `[b]`, without R1; `loss` is the losses' sum."""
        x, drawn, _ = self._drawn(batch, key)
        code = self._result(variables, x, "encode")
        # Not by `generate`: the loss of a Bernoulli is of logits.
        found = self._result(variables, code, "decode")
        error = reconstruction(self._likelihood, found, x)
        figures = self._figures(variables, drawn, code)
        loss = error + self._weight * figures["generator"] + figures["critic"]
        return {"loss": loss, "reconstruction": error, **figures}

    def _drawn(self, batch: Batch, key: PRNGKey) -> tuple[Array, Array, PRNGKey]:
        """Examples, a draw of the prior for each, and another key."""
        draw_key, rest = jax.random.split(key)
        x, m = self._input(batch["x"]), self.model_config
        keys = example_keys(x, draw_key)
        return x, draw_prior(m.prior, keys, m.code_shape[0]), rest

    def _input(self, x: Array) -> Array:
        return example_input(x, self.config.input, self.model_config.input_shape)

    def codes(self, variables: Mapping[str, PyTree], x: Array) -> Float[Array, "b k"]:
        """Codes, float32 `[b, k]`, of raw examples `[b, *raw]`; to be jitted."""
        return self._result(variables, self._input(x), "encode")

    def reconstruct(
        self, variables: Mapping[str, PyTree], x: Array
    ) -> Float[Array, "b *a"]:
        """Reconstructions, float32 `[b, *input_shape]`; probabilities if Bernoulli."""
        return self.generate(variables, self.codes(variables, x))

    def generate(
        self, variables: Mapping[str, PyTree], z: Float[Array, "b k"]
    ) -> Float[Array, "b *a"]:
        """Examples of codes `[b, k]`, in the units that `config.input` makes."""
        made = self._result(variables, z, "decode")
        return jax.nn.sigmoid(made) if self._likelihood == "bernoulli" else made

    def sample(
        self, variables: Mapping[str, PyTree], key: PRNGKey, n: int
    ) -> Float[Array, "n *a"]:
        """`generate` of n draws of the prior."""
        m = self.model_config
        drawn = draw_prior(m.prior, jax.random.split(key, n), m.code_shape[0])
        return self.generate(variables, drawn)

    def score(self, variables: Mapping[str, PyTree], x: Array) -> Float[Array, " b"]:
        """The critic's logits of the codes of raw examples, float32 `[b]`."""
        return self._result(variables, self.codes(variables, x), "criticise")
