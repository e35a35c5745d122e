"""Greedy layer-wise training: each layer learns to reconstruct what those below make.

Bengio et al. 2007 ("Greedy layer-wise training of deep networks", NIPS 19); with
`noise` the stacked denoising autoencoder of Vincent et al. 2010 (JMLR 11, Sect. 3.5):
what a layer is given is corrupted, the layers below see clean examples. Layer k of the
encoder and its mirror image in the decoder are an autoencoder of their own. Only they
learn; all layers are there from the beginning, so a run for layer k starts from the
variables of the run for layer k - 1 as they are.
"""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from sigjax.models.autoencoder import Autoencoder, AutoencoderConfig
from sigjax.nn.layer_grammar import WEIGHTED, Layer, Shape, pooled_shapes, stack_shapes
from sigjax.nn.stack import Stack
from sigjax.signal.corruption import CorruptionConfig
from sigjax.tasks.example_input import ExampleInputConfig
from sigjax.tasks.reconstruction import Reconstruction
from sigjax.tasks.reconstruction_config import ReconstructionConfig
from sigjax.typing import Array, Batch, Float, LossOutput, Num, PRNGKey, PyTree

Variables = Mapping[str, PyTree]


class Block(NamedTuple):
    """A layer with a kernel, what moves or pools behind it, and its mirror image.

    Attributes:
      shape: Of what it is given, without the batch.
      encoder: First of its layers in the encoder, and the first that is not.
      decoder: Likewise in the decoder.
    """

    shape: Shape
    encoder: tuple[int, int]
    decoder: tuple[int, int]


def blocks(model: AutoencoderConfig) -> tuple[Block, ...]:
    """Divides an autoencoder into autoencoders of one layer, from the input on.

    Raises:
      ValueError: The decoder does not run the encoder backwards, or the code is
        gaussian.
    """
    if model.code != "plain":
        raise ValueError("depth: a gaussian code cannot be trained layer by layer")
    decoder = model.decoder_layers
    starts = _weighted(model.encoder)
    ends = _weighted(decoder)
    if not starts or len(starts) != len(ends):
        raise ValueError(
            f"depth: the encoder has {len(starts)} layers with kernels and the decoder"
            f" {len(ends)}: to train layer by layer each needs its mirror image"
        )
    cuts = [0, *starts[1:], len(model.encoder)]
    shapes = (model.input_shape, *model.encoder_shapes)
    given = [shapes[at] for at in cuts[:-1]]
    pools = pooled_shapes(model.encoder, model.input_shape)
    made = (model.code_shape, *stack_shapes(decoder, model.code_shape, pools))
    bounds = [len(decoder)]
    for number in range(1, len(starts)):
        # Behind the kernel that undoes this layer's, and before the next one.
        last = ends[len(ends) - number]
        first = ends[len(ends) - number - 1] + 1
        fitting = [at for at in range(first, last + 1) if made[at] == given[number]]
        if not fitting:
            raise ValueError(
                f"depth: layer {number + 1} of the encoder is given {given[number]},"
                f" and the decoder makes {made[first : last + 1]} there: to train layer"
                " by layer it must run the encoder backwards"
            )
        bounds.append(fitting[0])
    bounds.append(0)
    return tuple(
        Block(shape, own, (after, before))
        for shape, own, (before, after) in zip(
            given, itertools.pairwise(cuts), itertools.pairwise(bounds), strict=True
        )
    )


def _weighted(layers: tuple[Layer, ...]) -> list[int]:
    return [i for i, layer in enumerate(layers) if layer.kind in WEIGHTED]


def reconstruction_task(
    model: AutoencoderConfig, config: ReconstructionConfig
) -> Reconstruction:
    """The task of a config: of the whole, or of one layer if it has a `depth`.

    Raises:
      ValueError: Model and objective do not fit; says what to change.
    """
    if config.depth:
        return LayerwiseReconstruction(model, config)
    return Reconstruction(model, config)


class LayerwiseReconstruction(Reconstruction):
    """Task: one layer of an autoencoder on what the layers below make of examples.

    Losses and figures are those of the layer's own autoencoder: the likelihood holds
    for the first layer, deeper ones reconstruct activations with a squared (or
    absolute) error. Layers below run as they are used (running statistics, no dropout,
    clean examples) and get no gradient, layers above none either. Reconstructions,
    codes and scores of examples go through all layers up to this one.

    Attributes:
      whole: The architecture of all layers; `init` makes variables for it.
      block: Which layers learn.
    """

    def __init__(self, model: AutoencoderConfig, config: ReconstructionConfig):
        """Takes the layer out.

        Raises:
          ValueError: There is no such layer, or model and objective do not fit.
        """
        found = blocks(model)
        if not 0 < config.depth <= len(found):
            raise ValueError(
                f"depth={config.depth}: there are layers 1 to {len(found)}, 0 trains"
                " the whole"
            )
        if config.learn_scale:
            raise ValueError("depth: a learned scale (learn_scale) is of the whole")
        if model.residual:
            raise ValueError("depth: model.residual adds the input to the whole")
        if model.base != "none":
            raise ValueError(
                f"depth: model.base={model.base!r} is of the whole: take 'none'"
            )
        self.whole, self.block = model, found[config.depth - 1]
        first = config.depth == 1
        whole = dataclasses.replace(config, depth=0)
        if not first:
            kind: Any = config.likelihood if config.likelihood == "l1" else "mse"
            changes: dict[str, Any] = {"likelihood": kind, "log_scale": 0.0}
            whole = dataclasses.replace(whole, noise=CorruptionConfig(), **changes)
            config = dataclasses.replace(config, **changes)
        super().__init__(_upto(model, self.block), _plain(whole))
        self._own = Reconstruction(
            _alone(model, self.block),
            dataclasses.replace(
                config,
                depth=0,
                input=config.input if first else ExampleInputConfig(),
            ),
        )
        self._below = Stack(model.encoder[: self.block.encoder[0]])

    def init(self, key: PRNGKey, batch: Batch) -> Variables:
        """Variables of all layers; no value of the batch matters."""
        del batch
        return dict(
            Autoencoder(self.whole).init(key, jnp.zeros((1, *self.whole.input_shape)))
        )

    def given(self, variables: Variables, batch: Batch) -> Num[Array, "b *a"]:
        """What the layer is to reconstruct, `[b, *block.shape]`; raw for the first."""
        if not self.block.encoder[0]:
            return batch["x"]
        encoder = {k: v["encoder"] for k, v in variables.items() if "encoder" in v}
        made: Any = self._below.apply(encoder, self.input(batch["x"]))
        return jax.lax.stop_gradient(made.x)

    def loss(self, variables: Variables, batch: Batch, key: PRNGKey) -> LossOutput:
        """The layer's objective of each example; see `Reconstruction.loss`."""
        own = self._part(variables, self.block)
        batch = {"x": self.given(variables, batch)}
        out = self._own.loss(own, batch, key)
        state = {k: v for k, v in variables.items() if k != "params"}
        return out._replace(model_state=self._put_back(state, out.model_state))

    def evaluate(
        self, variables: Variables, batch: Batch, key: PRNGKey
    ) -> Mapping[str, Array]:
        """The layer's figures; see `Reconstruction.evaluate`."""
        own = self._part(variables, self.block)
        return self._own.evaluate(own, {"x": self.given(variables, batch)}, key)

    def summarise(self, means: Mapping[str, np.ndarray]) -> dict[str, float]:
        """See `Reconstruction.summarise`."""
        return self._own.summarise(means)

    def generate(
        self, variables: Variables, z: Float[Array, "b *k"]
    ) -> Float[Array, "b *c"]:
        """What this layer's codes decode to; see `Reconstruction.generate`."""
        return super().generate(self._through(variables), z)

    def _apply(self, variables, x, keys=None):
        return super()._apply(self._through(variables), x, keys)

    def _encode(self, variables, x):
        return super()._encode(self._through(variables), x)

    def _through(self, variables: Variables) -> dict[str, PyTree]:
        """Variables of all layers up to this one, as their own model names them."""
        last, first = self.block.encoder[1], self.block.decoder[0]
        decoder = first, len(self.whole.decoder_layers)
        return self._part(variables, Block((), (0, last), decoder))

    def _part(self, variables: Variables, block: Block) -> dict[str, PyTree]:
        """A block's variables, layers numbered from 0."""
        found = {}
        for name, collection in variables.items():
            halves = {}
            for half in ("encoder", "decoder"):
                first, stop = getattr(block, half)
                own = {
                    f"layer{number - first}": collection[half][f"layer{number}"]
                    for number in range(first, stop)
                    if f"layer{number}" in collection.get(half, {})
                }
                if own:
                    halves[half] = own
            if halves:
                found[name] = halves
        return found

    def _put_back(self, state: Variables, own: Variables) -> dict[str, PyTree]:
        """State of all layers with this block's new one."""
        found = {}
        for name, collection in state.items():
            found[name] = dict(collection)
            for half, layers in own.get(name, {}).items():
                first = getattr(self.block, half)[0]
                changed = {
                    f"layer{int(layer[len('layer') :]) + first}": value
                    for layer, value in layers.items()
                }
                found[name][half] = {**collection[half], **changed}
        return found


def _plain(config: ReconstructionConfig) -> ReconstructionConfig:
    """Without the terms of a layer's code: of all layers only reconstructions are."""
    return dataclasses.replace(config, sparsity=None, contractive=None)


def _upto(model: AutoencoderConfig, block: Block) -> AutoencoderConfig:
    """All layers up to a block's."""
    return dataclasses.replace(
        model,
        encoder=model.encoder[: block.encoder[1]],
        decoder=() if model.tied else model.decoder[block.decoder[0] :],
    )


def _alone(model: AutoencoderConfig, block: Block) -> AutoencoderConfig:
    """The autoencoder of one block."""
    first, stop = block.encoder
    changes: dict[str, Any] = {
        "input_shape": block.shape,
        "encoder": model.encoder[first:stop],
    }
    if not model.tied:
        decoder = model.decoder[block.decoder[0] : block.decoder[1]]
        return dataclasses.replace(model, decoder=decoder, **changes)
    if first:
        before = [x for x in model.encoder[:first] if x.kind in WEIGHTED][-1]
        if before.norm != "none" or before.dropout or before.slope != Layer.slope:
            raise ValueError(
                "depth: behind a norm, dropout or leaky ReLU a tied layer cannot be"
                " trained alone: untie the decoder, or leave them out"
            )
        changes["decoder_activation"] = before.activation
    return dataclasses.replace(model, **changes)


def others(model: AutoencoderConfig, depth: int) -> str:
    """A regular expression of all parameters but those of a layer; `""` if it is all.

    For `optim.multipliers`: weight decay moves what gets no gradient.
    """
    found = blocks(model)
    if len(found) == 1:
        return ""
    own = []
    for half in ("encoder", "decoder"):
        layers = range(*getattr(found[depth - 1], half))
        own.append(f"{half}/layer({'|'.join(map(str, layers))})/")
    return f"^(?!{'|'.join(own)})"
