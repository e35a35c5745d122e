"""Reconstruct what was given: autoencoders, by whatever keeps them from the identity.

An example is corrupted or not, encoded, decoded and compared with what it was. What
keeps the network from the identity is the size of its code, or a term of the loss:

  undercomplete   nothing else                     tied, deep, convolutional too
  sparse          `sparsity`: L1, or KL to a wanted activation
  contractive     `contractive`: the encoder's Jacobian
  denoising       `noise`: the clean example is wanted of the corrupted one
  variational     a gaussian code: the negative evidence lower bound, `beta`
  any             `l2`: squared kernels

The slides "Autoencoders" (Neural Networks and Deep Learning) have each of them. Where
they print a formula otherwise, the losses' own docstrings say so.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.losses import contractive, reconstruction, sparsity
from sigjax.losses.variational import kl_normal
from sigjax.models.autoencoder import Autoencoder, AutoencoderConfig, AutoencoderOutput
from sigjax.signal.corruption import corrupt, example_keys, snr_gain_db
from sigjax.tasks.example_input import example_input
from sigjax.tasks.reconstruction_config import (
    ReconstructionConfig,
    check_activations,
    check_likelihood,
    closed_layer,
)
from sigjax.typing import Array, Batch, Float, LossOutput, Num, PRNGKey, PyTree


class _Passed(NamedTuple):
    """One pass through the network.

    Attributes:
      x: `[b, ...]`, clean.
      corrupted: `[b, ...]`, what was encoded.
      out: The model's.
      changed: Collections that it changed.
      probes: `[b]` keys for the contractive penalty.
    """

    x: Array
    corrupted: Array
    out: AutoencoderOutput
    changed: PyTree
    probes: PRNGKey


class Reconstruction:
    """Task: an autoencoder on examples.

    Batches hold `x` `[b, ...]` (uint8, int16 or float32); other keys are not looked at.
    Corruption, the sample of a gaussian code and the probes of a Jacobian depend on the
    step's key and on the example itself, not on its place in the batch. Two things do
    depend on the other examples: noise that is taken from them, and what a batch norm
    or the KL sparsity averages, in each microbatch of an accumulated step by itself.
    """

    def __init__(self, model: AutoencoderConfig, config: ReconstructionConfig):
        """Checks that model and objective fit together.

        Raises:
          ValueError: They do not; says what to change.
        """
        if config.depth:
            raise ValueError(
                f"depth={config.depth} trains one layer: make the task by"
                " sigjax.tasks.layerwise.reconstruction_task"
            )
        self.model_config, self.config = model, config
        self.model = Autoencoder(model)
        self.variational = model.code == "gaussian"
        check_likelihood(model, config)
        if config.sparsity is not None and config.sparsity.kind == "kl":
            check_activations(model)
        self._closed = closed_layer(model)
        self.contractive_method = None
        if config.contractive is not None:
            self.contractive_method = contractive.chosen_method(
                config.contractive,
                closed=self._closed is not None,
                code_values=int(np.prod(model.code_shape)),
                input_values=int(np.prod(model.input_shape)),
            )

    def init(self, key: PRNGKey, batch: Batch) -> Mapping[str, PyTree]:
        """Variables; no value of the batch matters.

        `params` has the model's parameters and, if the scale is learned, `log_scale`.
        """
        x = jnp.zeros((1, *self.model_config.input_shape))
        variables = dict(self.model.init(key, x))
        if self.config.learn_scale:
            scale = jnp.asarray(self.config.log_scale, jnp.float32)
            variables["params"] = {**variables["params"], "log_scale": scale}
        return variables

    def input(self, x: Num[Array, "b *a"]) -> Float[Array, "b *c"]:
        """Raw examples as the model takes them; see `example_input`."""
        return example_input(x, self.config.input, self.model_config.input_shape)

    def loss(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> LossOutput:
        """The objective of each example, and its components without their factors.

        The KL sparsity and the L2 term are of the batch and of the model: every example
        has the same.
        """
        passed = self._pass(variables, batch["x"], key, train=True)
        found = self._components(variables, passed)
        sparse = self.config.sparsity
        if sparse is not None and sparse.kind == "kl":
            activation = sparsity.mean_activation(passed.out.code).mean(axis=0)
            penalty = sparsity.kl(sparse.rho, activation)
            found["sparsity"] = jnp.full(len(passed.x), penalty)
        return LossOutput(self._weighted(found), found, passed.changed)

    def evaluate(
        self, variables: Mapping[str, PyTree], batch: Batch, key: PRNGKey
    ) -> Mapping[str, Array]:
        """Components, `[b]` each, and what a user asks of an autoencoder.

        `mse` is of the reconstruction, whatever the likelihood. With corruption all are
        of the corrupted input, and `clean_reconstruction` of the clean one. `elbo` has
        no beta. With KL sparsity there is also `activation` `[b, k]`.
        """
        passed = self._pass(variables, batch["x"], key, train=False)
        found = self._components(variables, passed)
        total = self._weighted(found)
        more = {"mse": reconstruction.mse(self._values(passed.out), passed.x)}
        if self.variational:
            more["elbo"] = -found["reconstruction"] - found["kl"]
        if self.config.noise.kind != "none":
            clean = self._apply(variables, passed.x)
            more["clean_reconstruction"] = self._error(variables, clean, passed.x)
        sparse = self.config.sparsity
        if sparse is not None and sparse.kind == "kl":
            more["activation"] = sparsity.mean_activation(passed.out.code)
        return {"loss": total, **found, **more}

    def summarise(self, means: Mapping[str, np.ndarray]) -> dict[str, float]:
        """A split's figures; the KL sparsity is of the activations of all of it."""
        found = {k: float(v) for k, v in means.items() if k != "activation"}
        if "activation" in means and self.config.sparsity is not None:
            c = self.config.sparsity
            penalty = float(sparsity.kl(c.rho, jnp.asarray(means["activation"])))
            found["sparsity"] = penalty
            found["activation"] = float(np.mean(means["activation"]))
            found["loss"] += c.weight * penalty
        return found

    def reconstruct(
        self, variables: Mapping[str, PyTree], x: Num[Array, "b *a"]
    ) -> Float[Array, "b *c"]:
        """Reconstructions, from the mean of a gaussian code; to be jitted.

        Args:
          variables: As trained.
          x: Raw examples `[b, ...]`. A denoising autoencoder takes noisy ones.

        Returns:
          Float32 `[b, *input_shape]` in the units of `input(x)`: probabilities, if the
          likelihood is Bernoulli.
        """
        return self._values(self._apply(variables, self.input(x)))

    def restore(
        self, variables: Mapping[str, PyTree], x: Float[Array, "b *c"]
    ) -> Float[Array, "b *c"]:
        """Like `reconstruct`, of `[b, *input_shape]` as the model takes them."""
        return self._values(self._apply(variables, x))

    def generate(
        self, variables: Mapping[str, PyTree], z: Float[Array, "b *k"]
    ) -> Float[Array, "b *c"]:
        """What codes `[b, *code_shape]` decode to, in the units of `reconstruct`.

        Normal draws for z make samples of a variational autoencoder.
        """
        made: Any = self.model.apply(variables, z, method="decode")
        return self._in_units(made)

    def codes(
        self, variables: Mapping[str, PyTree], x: Num[Array, "b *a"]
    ) -> Float[Array, "b *k"]:
        """Codes of raw examples, `[b, *code_shape]`; the mean of a gaussian code."""
        return self._encode(variables, self.input(x))

    def score(
        self,
        variables: Mapping[str, PyTree],
        x: Num[Array, "b *a"],
        key: PRNGKey | None = None,
    ) -> Float[Array, " b"]:
        """How unlike the training examples each is: an anomaly score, higher is odder.

        The reconstruction's loss; for a gaussian code the negative `elbo`.

        Args:
          variables: As trained.
          x: Raw examples `[b, ...]`.
          key: For a sample of a gaussian code instead of its mean.

        Returns:
          Float32 `[b]`.
        """
        if self.variational:
            return -self.elbo(variables, x, key)
        x = self.input(x)
        return self._error(variables, self._apply(variables, x), x)

    def elbo(
        self,
        variables: Mapping[str, PyTree],
        x: Num[Array, "b *a"],
        key: PRNGKey | None = None,
    ) -> Float[Array, " b"]:
        """`log p(x | z) - KL(q(z | x) || p(z))` of each example, in nats.

        Args:
          variables: As trained.
          x: Raw examples `[b, ...]`.
          key: For one sample of the code: an unbiased estimate of the bound. Without it
            z is the code's mean: no noise, and in general no bound.

        Returns:
          Float32 `[b]`.

        Raises:
          ValueError: The code is not gaussian.
        """
        if not self.variational:
            raise ValueError("only a gaussian code (model.code) has a bound")
        x = self.input(x)
        keys = None if key is None else example_keys(x, key)
        out = self._apply(variables, x, keys)
        return -self._error(variables, out, x) - _divergence(out)

    def _apply(self, variables, x, keys=None) -> AutoencoderOutput:
        out: Any = self.model.apply(variables, x, False, keys)
        return out

    def _encode(self, variables, x) -> Array:
        code: Any = self.model.apply(variables, x, method="encode")
        return code

    def _pass(self, variables, raw, key, *, train: bool) -> _Passed:
        x = self.input(raw)
        # Divided before, not example by example: one loop of hashing less.
        noise, sample, probes = (
            example_keys(x, part) for part in jax.random.split(key, 3)
        )
        corrupted = corrupt(x, self.config.noise, noise)
        sample = sample if self.variational else None
        if not train:
            out = self._apply(variables, corrupted, sample)
            return _Passed(x, corrupted, out, {}, probes)
        state = [name for name in variables if name != "params"]
        out, changed = self.model.apply(
            variables,
            corrupted,
            True,
            sample,
            mutable=state,
            rngs={"dropout": key},
        )
        kept = {name: variables[name] for name in state}
        return _Passed(x, corrupted, out, {**kept, **changed}, probes)

    def _error(self, variables, out: AutoencoderOutput, x: Array) -> Array:
        return reconstruction.reconstruction(
            self.config.likelihood,
            out.reconstruction,
            x,
            reduce="sum" if self.variational else "mean",
            log_scale=variables["params"].get("log_scale", self.config.log_scale),
        )

    def _values(self, out: AutoencoderOutput) -> Array:
        return self._in_units(out.reconstruction)

    def _in_units(self, decoded: Array) -> Array:
        logits = self.config.likelihood == "bernoulli"
        return jax.nn.sigmoid(decoded) if logits else decoded

    def _components(self, variables, passed: _Passed) -> dict[str, Array]:
        """All but the KL sparsity, which is of more than one example."""
        c, out, rows = self.config, passed.out, len(passed.x)
        found = {"reconstruction": self._error(variables, out, passed.x)}
        if self.variational:
            found["kl"] = _divergence(out)
        if c.sparsity is not None:
            if c.sparsity.kind == "l1":
                found["sparsity"] = sparsity.l1(out.code)
            share = sparsity.active_share(out.code, c.sparsity.active)
            found["active_share"] = share
        if c.contractive is not None:
            found["contractive"] = self._contraction(variables, passed)
        if c.l2:
            penalty = reconstruction.kernel_l2(variables["params"])
            found["l2"] = jnp.full(rows, penalty)
        if c.learn_scale:
            found["scale"] = jnp.full(rows, jnp.exp(variables["params"]["log_scale"]))
        if c.noise.kind != "none":
            found["snr_gain_db"] = snr_gain_db(
                passed.x, passed.corrupted, self._values(out)
            )
        return found

    def _weighted(self, found: Mapping[str, Array]) -> Array:
        c = self.config
        factors = {
            "kl": c.beta,
            "sparsity": c.sparsity.weight if c.sparsity else 0.0,
            "contractive": c.contractive.weight if c.contractive else 0.0,
            "l2": c.l2,
        }
        total = found["reconstruction"]
        for name, factor in factors.items():
            if name in found:
                total = total + factor * found[name]
        return total

    def _contraction(self, variables, passed: _Passed) -> Array:
        def encode(x):
            return self._encode(variables, x)

        if self.contractive_method == "exact":
            return contractive.exact(encode, passed.x)
        if self.contractive_method == "hutchinson":
            assert self.config.contractive is not None
            probes = self.config.contractive.probes
            return contractive.hutchinson(encode, passed.x, passed.probes, probes)
        assert self._closed is not None
        layer = self._closed
        kernel = variables["params"]["encoder"][f"layer{layer}"]["kernel"]
        activation = self.model_config.encoder[layer].activation
        code = encode(passed.x)
        code = code.reshape(len(code), -1)
        return contractive.closed_form(code, kernel, activation)


def _divergence(out: AutoencoderOutput) -> Array:
    assert out.mean is not None and out.log_variance is not None
    return kl_normal(out.mean, out.log_variance)


__all__ = ["Reconstruction", "ReconstructionConfig"]
