"""Speech encoders: padding never shows, and what sizes and inputs are refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.models.speech_encoder import (
    SpeechEncoder,
    SpeechEncoderConfig,
    frame_count,
    functionals,
    merge,
    speech_size,
)

# Three convolutions instead of seven: a frame of 325 samples every 320.
SMALL = {
    "conv_dim": (16,) * 3,
    "conv_kernel": (10, 8, 8),
    "conv_stride": (5, 8, 8),
    "width": 24,
    "depth": 1,
    "mlp": 32,
    "pos_taps": 6,
}
LARGE = {"conv_norm": "layer", "pre_norm": True, "conv_bias": True}
VARIANTS = {
    "hubert": {"pos_groups": 4},
    "batch norm": {"pos_norm": "batch"},
    "wavlm": {"kind": "wavlm", "buckets": 8, "max_distance": 6},
    "large": LARGE,
}
SAMPLES = [1700, 900, 450]


def small(name="hubert", **changes):
    fields = SMALL | {"heads": 2, "pos_groups": 2} | VARIANTS[name] | changes
    return SpeechEncoderConfig(**fields)


@functools.cache
def encoder(config, dtype="float32"):
    """A compiled encoder whose every weight is random, biases too."""
    model = SpeechEncoder(config, dtype)
    leaves, tree = jax.tree.flatten(
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 1700)))
    )
    random = np.random.default_rng(0)
    params = jax.tree.unflatten(
        tree,
        [
            # Between GELUs twice the variance, or what comes through fades away.
            jnp.asarray(random.normal(size=leaf.shape), "f4")
            * (0.5 if leaf.ndim == 1 else (3 / np.prod(leaf.shape[:-1])) ** 0.5)
            for leaf in leaves
        ],
    )
    return jax.jit(functools.partial(model.apply, params)), model, params


def waves(fill=0.0):
    x = np.random.default_rng(1).normal(size=(3, 1700)).astype("f4")
    for row, count in zip(x, SAMPLES, strict=True):
        row[count:] = fill
    return jnp.asarray(x)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_clip_in_a_batch_gives_what_it_gives_alone(name):
    run, _, _ = encoder(small(name))
    x = waves()
    batch = run(x, jnp.array(SAMPLES))
    assert [int(n) for n in batch.frames] == [5, 2, 1]
    alone = run(x[1:2, : SAMPLES[1]])
    assert alone.frames[0] == alone.last.shape[1] == 2
    names = ("cnn", "proj", "last")
    pairs = [(getattr(batch, k), getattr(alone, k)) for k in names]
    pairs += list(zip(batch.layers, alone.layers, strict=True))
    for padded, own in pairs:
        assert np.std(own) > 0.05
        np.testing.assert_allclose(padded[1, :2], own[0], atol=1e-5)


def test_a_clip_in_a_batch_of_transformers_differs():
    """What `norm_stats="hf"` repeats, so that it is seen to do something."""
    run, _, _ = encoder(small(norm_stats="hf"))
    got = run(waves(), jnp.array(SAMPLES)).last
    exact = encoder(small())[0](waves(), jnp.array(SAMPLES)).last
    np.testing.assert_allclose(got[0], exact[0], atol=1e-5)  # without padding
    assert np.abs(got[1, :2] - exact[1, :2]).max() > 0.01


def test_neighbours_and_what_padding_holds_change_nothing():
    run, _, _ = encoder(small())
    first = run(waves(), jnp.array(SAMPLES))
    other = run(waves(fill=7.0).at[0].set(-3), jnp.array([400, *SAMPLES[1:]]))
    for i, frames in ((1, 2), (2, 1)):
        for a, b in zip(first.layers, other.layers, strict=True):
            np.testing.assert_array_equal(a[i, :frames], b[i, :frames])


def test_moments_are_those_of_the_frames():
    config = small()
    run, model, params = encoder(config)
    x, samples = waves(), jnp.array([1700, 900, 0])
    found = run(x, samples)
    moments = jax.jit(
        functools.partial(
            model.apply, params, method=SpeechEncoder.layer_moments, proj=True
        )
    )
    got = moments(x, samples)
    features = functionals(got)
    assert features.shape == (3, config.depth + 2, 2 * config.width)
    np.testing.assert_array_equal(got.count, [5, 2, 0])
    for i, frames in ((0, 5), (1, 2)):
        for k, layer in enumerate((found.proj, *found.layers)):
            own = np.asarray(layer[i, :frames], "f8")
            expected = np.concatenate([own.mean(axis=0), own.std(axis=0)])
            np.testing.assert_allclose(features[i, k], expected, atol=1e-5)
    np.testing.assert_array_equal(features[2], 0)  # a row that only fills the batch
    again = functionals(merge(got, got))
    np.testing.assert_allclose(again, features, atol=1e-6)


def test_half_precision_stays_near_float32():
    x, samples = waves(), jnp.array(SAMPLES)
    full = encoder(small())[0](x, samples)
    half = encoder(small(), "bfloat16")[0](x, samples)
    assert half.last.dtype == jnp.bfloat16
    error = np.abs(np.asarray(half.last[0], "f4") - full.last[0])
    assert 0 < error.mean() < 0.05 * np.std(full.last[0])


def test_masked_frames_hold_the_learned_vector_and_the_head_gives_logits():
    config = small(mask_embedding=True, ctc_classes=5)
    run, _, params = encoder(config)
    mask = jnp.zeros((3, 5), bool).at[:, 1].set(True)
    got = run(waves(), jnp.array(SAMPLES), mask=mask)
    np.testing.assert_array_equal(got.proj[0, 1], params["params"]["mask"])
    assert got.logits.shape == (3, 5, 5) and got.logits.dtype == jnp.float32
    plain = encoder(small())[0](waves(), jnp.array(SAMPLES))
    assert plain.logits is None
    with pytest.raises(ValueError, match="mask_embedding"):
        encoder(small())[0](waves(), mask=mask)


DROPS = (
    "dropout",
    "attention_dropout",
    "activation_dropout",
    "feature_dropout",
    "layer_drop",
)


def trained(config, key, deterministic=False):
    _, model, params = encoder(small())
    keys = {"dropout": key, "layer_drop": key}
    return model.clone(config=config).apply(
        params, waves()[:, :500], deterministic=deterministic, rngs=keys
    )


@pytest.mark.parametrize("name", DROPS)
def test_training_drops_what_it_is_told_to_and_only_then(name):
    def draws(**options):
        config = small(**{name: 0.5})
        traced = jax.make_jaxpr(functools.partial(trained, config, **options))
        return str(traced(jax.random.key(0))).count("random_bits")

    assert draws() > 0
    assert draws(deterministic=True) == 0


def test_what_is_dropped_changes_with_the_key():
    run = jax.jit(functools.partial(trained, small(**dict.fromkeys(DROPS, 0.3))))
    first, second, again = (run(jax.random.key(i)).last for i in (0, 1, 0))
    assert np.isfinite(first).all() and np.abs(first - second).max() > 0.01
    np.testing.assert_array_equal(first, again)


def test_gradients_of_padded_clips_are_finite():
    _, model, params = encoder(small("wavlm"))

    @jax.jit
    def slopes(params, samples):
        def loss(params):
            found = model.apply(params, waves(), samples)
            own = jnp.arange(5) < found.frames[:, None]
            return jnp.where(own[..., None], found.last, 0).var()

        return jax.grad(loss)(params)

    found = jax.tree.leaves(slopes(params, jnp.array([1700, 900, 0])))
    sizes = [float(np.abs(leaf).max()) for leaf in found]
    assert np.isfinite(sizes).all() and max(sizes) > 1e-3


def test_blocks_are_rebuilt_where_it_is_asked_for():
    for remat in (False, True):
        traced = jax.make_jaxpr(functools.partial(trained, small(remat=remat)))
        assert ("remat" in str(traced(jax.random.key(0)))) == remat


def test_frames_of_published_encoders():
    base = speech_size("hubert", "base")
    assert (base.hop, base.min_samples) == (320, 400)
    assert [frame_count(n, base) for n in (400, 719, 720, 16_000)] == [1, 1, 2, 49]
    np.testing.assert_array_equal(frame_count(np.array([400, 16_000]), base), [1, 49])
    np.testing.assert_array_equal(
        frame_count(jnp.array([0, 399, 720]), base), [0, 0, 2]
    )
    for samples in (399, 0, np.array([16_000, 399])):
        with pytest.raises(ValueError, match="too short.*400 samples"):
            frame_count(samples, base)
    with pytest.raises(ValueError, match="a clip of 324 samples is too short"):
        jax.eval_shape(encoder(small())[0], jnp.zeros((1, 324)))


def test_sizes_have_the_published_numbers_of_parameters():
    """transformers' of the base size: 94,371,712 and 94,381,936."""
    counts = {}
    for kind in ("hubert", "wavlm"):
        model = SpeechEncoder(speech_size(kind, "base"))
        tree = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 400)))
        counts[kind] = sum(leaf.size for leaf in jax.tree.leaves(tree))
    # The mask vector (768) and the weight norm's gains (128) are not among ours.
    assert counts["hubert"] == 94_371_712 - 768 - 128
    assert counts["wavlm"] == 94_381_936 - 768 - 128


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"heads": 7}, "no multiple of heads=7"),
        ({"conv_kernel": (10, 3)}, "of one length"),
        ({"conv_dim": ()}, "conv_dim must hold"),
        ({"layer_drop": 1.0}, "layer_drop must be in"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"kind": "wavlm", "buckets": 5}, "even"),
        ({"kind": "wavlm", "max_distance": 80}, "above a quarter"),
        ({"ctc_classes": -1}, "ctc_classes"),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SpeechEncoderConfig(**changes)
