"""Any backbone as an encoder: where its maps' values stand, and what is trained."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.models import encoder_decoder
from sigjax.models.ast import Ast, AstConfig
from sigjax.models.dat import Dat, DatConfig
from sigjax.models.encoder_decoder import (
    EncoderDecoder,
    EncoderDecoderConfig,
    Placed,
    interpolated,
)
from sigjax.models.mobilenet import MobileNetV2, MobileNetV2Config
from sigjax.models.section_classifier import SectionClassifier, SectionClassifierConfig
from sigjax.nn.stack import Layer, Stack

FRAMES, BANDS = 41, 32
ENCODERS = {
    "dat": (
        DatConfig(
            widths=(4, 8), blocks=("L", "D"), heads=(1, 2), groups=(1, 1),
            strides=(1, 1), taps=(5, 3), drop_path=0.0,
        ),
        Dat,
    ),
    "ast": (
        AstConfig(frames=FRAMES, bands=BANDS, width=4, depth=1, heads=2, mlp=4),
        Ast,
    ),
    "sections": (
        SectionClassifierConfig(
            classes=0, frames=FRAMES, mels=BANDS, stem=2, channels=4, expansion=(1, 1),
            blocks=(1, 1), wide=4, embedding=2,
        ),
        SectionClassifier,
    ),
    "mobilenet": (
        MobileNetV2Config(classes=0, frames=FRAMES, mels=BANDS, alpha=0.1),
        MobileNetV2,
    ),
    "stack": (
        (
            Layer(kind="conv", width=2, taps=3, padding=1, activation="relu"),
            Layer(kind="conv", width=3, taps=4, stride=2, padding=1),
            Layer(kind="max_pool", taps=2, stride=2),
        ),
        Stack,
    ),
}  # fmt: skip
# Sizes of the maps below the spectrogram, fine ones first.
SIZES = {
    "dat": [(11, 8), (6, 4)],
    "ast": [(3, 2)],
    "sections": [(21, 16), (11, 8), (6, 4)],
    "mobilenet": [(21, 16), (11, 8), (6, 4), (3, 2), (2, 1)],
    "stack": [(20, 16), (10, 8)],
}


@pytest.mark.parametrize("name", ENCODERS)
def test_every_backbone_gives_its_maps_and_keeps_its_parameters(name, monkeypatch):
    seen = []
    own = encoder_decoder._pyramid
    monkeypatch.setattr(
        encoder_decoder,
        "_pyramid",
        lambda *given: seen.append(own(*given)) or seen[-1],
    )
    encoder, module = ENCODERS[name]
    x = jax.ShapeDtypeStruct((2, FRAMES, BANDS, 1), jnp.float32)
    config = EncoderDecoderConfig(classes=3, width=2, convolutions=1, **{name: encoder})
    model = EncoderDecoder(config)
    found, made = jax.eval_shape(model.init_with_output, jax.random.key(0), x)
    assert found.shape == (2, FRAMES, BANDS, 3)
    assert [m.value.shape[1:3] for m in seen[0]] == SIZES[name]
    alone = x if name == "stack" else jax.ShapeDtypeStruct(x.shape[:3], jnp.float32)
    theirs = jax.eval_shape(module(encoder).init, jax.random.key(0), alone)
    shapes = [jax.tree.map(lambda v: v.shape, t["params"]) for t in (made, theirs)]
    assert shapes[0]["encoder"] == shapes[1]
    without = dataclasses.replace(config, skips=False)
    fewer = jax.eval_shape(EncoderDecoder(without).init, jax.random.key(0), x)
    for level in range(len(SIZES[name])):  # the decoder's input alone is narrower
        layer = f"decode{level}"
        taken = [t["params"][layer]["conv1"]["kernel"].shape[2] for t in (made, fewer)]
        channels = 1 if not level else seen[0][level - 1].value.shape[-1]
        assert taken == [2 + channels, 2]


def test_a_ramp_stays_one_wherever_it_is_asked_for():
    """A map whose values are their places gives every place its own."""
    x = Placed(
        jnp.stack(
            jnp.meshgrid(
                2.5 + 4 * jnp.arange(6.0), 1 + 2 * jnp.arange(8.0), indexing="ij"
            ),
            axis=-1,
        )[None],
        (4.0, 2.0),
        (2.5, 1.0),
    )
    at = Placed(jnp.zeros((1, 23, 15, 1)), (1.0, 1.0), (0.0, 0.0))
    found = interpolated(x, at)[0]
    time = np.clip(np.arange(23.0), 2.5, 22.5)[:, None].repeat(15, axis=1)
    band = np.clip(np.arange(15.0), 1.0, 15.0)[None].repeat(23, axis=0)
    np.testing.assert_allclose(found[..., 0], time, rtol=1e-6)
    np.testing.assert_allclose(found[..., 1], band, rtol=1e-6)


def test_values_of_a_stack_stand_over_the_middle_of_what_they_see():
    """A mean over a kernel of a ramp is the ramp at the kernel's middle."""
    layers = (
        Layer(kind="conv", width=1, taps=(4, 3), stride=(2, 1), padding=(1, 0)),
        Layer(kind="conv", width=1, taps=3, stride=(3, 2), dilation=2),
    )
    ramp = np.arange(60.0, dtype=np.float32)
    square = np.broadcast_to(ramp[:, None], (60, 60))
    for axis, one in enumerate((square, square.T)):
        x = jnp.asarray(one)[None, ..., None]
        variables = Stack(layers, name="encoder").init(jax.random.key(0), x)
        params = jax.tree.map(
            lambda v: jnp.full_like(v, 0.0 if v.ndim == 1 else 1 / v.size),
            variables["params"],
        )
        hidden = Stack(layers).apply({"params": params}, x).hidden
        for one in encoder_decoder._placed(layers, hidden):
            values = np.asarray(one.value)[0, ..., 0]
            values = values[1:-1].mean(1) if axis == 0 else values[2:-2, 1:-1].mean(0)
            place = one.first[axis] + one.step[axis] * np.arange(1, len(values) + 1)
            np.testing.assert_allclose(values, place, rtol=1e-4)


def test_what_is_no_encoder_is_refused():
    dat, stack = ENCODERS["dat"][0], ENCODERS["stack"][0]
    for given in ({}, {"dat": dat, "stack": stack}):
        with pytest.raises(ValueError, match="exactly one of dat, ast"):
            EncoderDecoderConfig(classes=2, **given)
    with pytest.raises(ValueError, match="conv and max_pool, got dense"):
        EncoderDecoderConfig(classes=2, stack=(Layer(kind="dense", width=3),))
    model = EncoderDecoder(EncoderDecoderConfig(classes=2, dat=dat))
    with pytest.raises(ValueError, match="one channel, got 2"):
        jax.eval_shape(
            model.init,
            jax.random.key(0),
            jax.ShapeDtypeStruct((1, 16, 16, 2), jnp.float32),
        )
