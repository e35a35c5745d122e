import functools

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from sigjax.nn.attention import (
    RotaryAttention,
    attend,
    attention_kind,
    recomputing_attention,
    rotary_angles,
    rotate,
    valid_tokens,
)

reference = functools.partial(jax.nn.dot_product_attention, implementation="xla")


def _inputs(b=2, n=9, h=3, k=8, scale=1.0):
    keys = jax.random.split(jax.random.key(0), 4)
    q, key, v, grad = (jax.random.normal(x, (b, n, h, k)) for x in keys)
    return (scale * q, key, v), grad


@functools.partial(jax.jit, static_argnums=0)
def _value_and_gradients(attention, inputs, grad):
    out, pullback = jax.vjp(attention, *inputs)
    return out, pullback(grad)


def _close(got, expected, tolerance=1e-5):
    scale = max(float(jnp.abs(expected).max()), 1.0)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("n", [1, 2, 37, 300])
@pytest.mark.parametrize("h, k", [(1, 5), (4, 64)])
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_the_cpu_kernel_equals_jaxs_attention(n, h, k, scale):
    inputs, grad = _inputs(n=n, h=h, k=k, scale=scale)
    got, ours = _value_and_gradients(recomputing_attention, inputs, grad)
    expected, theirs = _value_and_gradients(reference, inputs, grad)
    # Logits of several hundred carry an absolute rounding error of 1e-5 themselves.
    tolerance = 1e-5 if scale == 1.0 else 1e-3
    _close(got, expected, tolerance)
    for x, y in zip(ours, theirs, strict=True):
        _close(x, y, tolerance)


def test_extreme_logits_stay_finite():
    (q, k, v), grad = _inputs(scale=1e4)
    found = _value_and_gradients(recomputing_attention, (q, 1e4 * k, v), grad)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(found))


def test_gradients_match_float64_differences():
    (q, k, v), grad = _inputs(b=1, n=4, h=1, k=2)

    def loss(q):
        value = np.float64(np.asarray(v)[0, :, 0])
        key = np.float64(np.asarray(k)[0, :, 0])
        logits = q @ key.T / np.sqrt(2)
        p = np.exp(logits - logits.max(-1, keepdims=True))
        mixed = p / p.sum(-1, keepdims=True) @ value
        return np.sum(np.asarray(grad)[0, :, 0] * mixed)

    _, pullback = jax.vjp(recomputing_attention, q, k, v)
    got = np.asarray(pullback(grad)[0])[0, :, 0]
    start, step = np.float64(np.asarray(q)[0, :, 0]), 1e-6
    expected = np.zeros_like(start)
    for i in np.ndindex(*start.shape):
        shift = np.zeros_like(start)
        shift[i] = step
        expected[i] = (loss(start + shift) - loss(start - shift)) / (2 * step)
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("wrap", ["jit", "vmap", "scan", "remat"])
def test_transformations_leave_values_and_gradients(wrap):
    inputs, _ = _inputs()

    def mean(attention, inputs):
        if wrap == "vmap":
            out = jax.vmap(lambda *x: attention(*(y[None] for y in x))[0])(*inputs)
        elif wrap == "scan":
            q, k, v = inputs
            out = jax.lax.scan(lambda q, _: (attention(q, k, v), None), q, length=3)[0]
        elif wrap == "remat":
            out = jax.checkpoint(attention)(*inputs)
        else:
            out = jax.jit(attention)(*inputs)
        return (out**2).mean()

    both = jax.jit(jax.value_and_grad(mean, argnums=1), static_argnums=0)
    got, expected = both(recomputing_attention, inputs), both(reference, inputs)
    jax.tree.map(_close, got, expected)


def test_bfloat16_keeps_its_dtype_and_sums_in_float32():
    inputs, grad = _inputs(n=64)
    half = tuple(x.astype(jnp.bfloat16) for x in inputs)
    out, grads = _value_and_gradients(
        recomputing_attention, half, grad.astype(jnp.bfloat16)
    )
    assert out.dtype == jnp.bfloat16
    _close(out.astype(jnp.float32), reference(*inputs), 0.03)
    assert {g.dtype for g in grads} == {jnp.dtype(jnp.bfloat16)}


def test_sharded_inputs_give_the_same():
    devices = jax.devices()
    mesh = jax.make_mesh(
        (len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices
    )
    inputs, _ = _inputs(b=8)
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    step = jax.jit(
        jax.grad(lambda x: (recomputing_attention(*x) ** 2).sum()),
        in_shardings=((sharding,) * 3,),
        out_shardings=(sharding,) * 3,
    )
    whole = jax.jit(jax.grad(lambda x: (reference(*x) ** 2).sum()))(inputs)
    jax.tree.map(_close, step(jax.device_put(inputs, sharding)), whole)


def test_the_kernel_is_chosen_by_backend_and_dtype():
    f4, bf16 = jnp.dtype("float32"), jnp.dtype(jnp.bfloat16)
    assert attention_kind("auto", f4, "cpu") == "recompute"
    assert attention_kind("auto", bf16, "cpu") == "recompute"
    assert attention_kind("auto", bf16, "gpu") == "cudnn"
    assert attention_kind("auto", f4, "gpu") == "xla"
    assert attention_kind("auto", bf16, "tpu") == "xla"
    assert attention_kind("xla", f4, "cpu") == "xla"


def test_xla_attention_can_be_differentiated_forwards():
    inputs, _ = _inputs()
    out, tangent = jax.jvp(lambda *x: attend(*x, kind="xla"), inputs, inputs)
    assert np.isfinite(tangent).all()
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(recomputing_attention, inputs, inputs)


KINDS = ["xla", "recompute"]
LENGTH = jnp.array([9, 1, 4, 8])


def _in_float64(q, k, v, length):
    """Attention of every query to the first `length` keys, one row at a time."""
    q, k, v = (np.asarray(x, np.float64) for x in (q, k, v))
    out = np.zeros_like(q)
    for b, h in np.ndindex(q.shape[0], q.shape[2]):
        n = length[b]
        logits = q[b, :, h] @ k[b, :n, h].T / np.sqrt(q.shape[-1])
        p = np.exp(logits - logits.max(-1, keepdims=True))
        out[b, :, h] = p / p.sum(-1, keepdims=True) @ v[b, :n, h]
    return out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype, tolerance", [("float32", 1e-5), ("bfloat16", 0.03)])
def test_padding_is_not_attended_to(kind, dtype, tolerance):
    inputs, grad = _inputs(b=4)
    half = tuple(x.astype(dtype) for x in inputs)
    got = _at_length(kind, half, grad.astype(dtype), LENGTH)[0].astype(jnp.float32)
    _close(got, _in_float64(*inputs, LENGTH), tolerance)


@functools.partial(jax.jit, static_argnums=0)
def _at_length(kind, inputs, grad, length):
    """Output and gradients; one compilation for all lengths."""
    attention = functools.partial(attend, kind=kind, length=length)
    return _value_and_gradients(attention, inputs, grad)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_at_a_length_are_those_of_the_cut_arrays(kind):
    inputs, grad = _inputs(b=4)
    grad = jnp.where(valid_tokens(9, LENGTH)[..., None, None], grad, 0)
    _, got = _at_length(kind, inputs, grad, LENGTH)
    for b, n in enumerate(LENGTH.tolist()):
        cut = [x[b : b + 1, :n] for x in inputs]
        _, expected = _value_and_gradients(reference, cut, grad[b : b + 1, :n])
        for x, y in zip(got, expected, strict=True):
            _close(x[b, :n], y[0])
            assert (x[b, n:] == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_full_length_is_no_length(kind):
    inputs, grad = _inputs(b=4)
    got = _at_length(kind, inputs, grad, jnp.full(4, 9))
    jax.tree.map(_close, got, _at_length(kind, inputs, grad, None))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [1e6, np.nan])
def test_keys_and_values_of_padding_never_matter(kind, value):
    (q, k, v), grad = _inputs(b=4)
    valid = valid_tokens(9, LENGTH)[..., None, None]
    other = q, jnp.where(valid, k, value), jnp.where(valid, v, value)
    got, expected = (_at_length(kind, x, grad, LENGTH) for x in (other, (q, k, v)))
    jax.tree.map(np.testing.assert_array_equal, got, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_length_out_of_range_counts_as_the_nearest(kind):
    inputs, grad = _inputs(b=4, scale=100.0)
    got, expected = (
        _at_length(kind, inputs, grad, jnp.array(length))
        for length in ([0, 99, -5, 10], [1, 9, 1, 9])
    )
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(got))
    jax.tree.map(np.testing.assert_array_equal, got, expected)


@pytest.mark.parametrize("shape, dtype", [((2,), float), ((2, 1), int), ((3,), int)])
def test_a_length_is_one_integer_per_row(shape, dtype):
    (q, k, v), _ = _inputs()
    with pytest.raises(jaxtyping.TypeCheckError, match="length"):
        attend(q, k, v, length=jnp.ones(shape, dtype))


@pytest.mark.parametrize("wrap", ["vmap", "remat"])
def test_transformations_of_attention_with_a_length(wrap):
    inputs, _ = _inputs(b=4)

    def mean(inputs, kind, wrap=""):
        attention = functools.partial(attend, kind=kind)

        def one(length, *inputs):
            return attention(*(x[None] for x in inputs), length=length[None])[0]

        if wrap == "vmap":
            out = jax.vmap(one)(LENGTH, *inputs)
        elif wrap == "remat":
            out = jax.checkpoint(attention)(*inputs, length=LENGTH)
        else:
            out = attention(*inputs, length=LENGTH)
        return (out**2).mean()

    both = jax.jit(jax.value_and_grad(mean), static_argnums=(1, 2))
    jax.tree.map(_close, both(inputs, "recompute", wrap), both(inputs, "xla"))


def test_rotation_keeps_lengths_and_depends_on_distance_alone():
    cos, sin = rotary_angles(12, 8)
    q, k = (jax.random.normal(jax.random.key(i), (8,)) for i in (0, 1))
    rotated_q, rotated_k = (
        rotate(jnp.broadcast_to(x, (1, 12, 1, 8)), cos, sin)[0, :, 0] for x in (q, k)
    )
    lengths = jnp.linalg.norm(rotated_q, axis=-1)
    np.testing.assert_allclose(lengths, jnp.linalg.norm(q), rtol=1e-5)
    scores = np.asarray(rotated_q @ rotated_k.T)
    for distance in range(-5, 6):
        diagonal = np.diagonal(scores, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], rtol=1e-4, atol=1e-5)
    assert abs(scores[0, 3] - scores[3, 0]) > 1e-3  # before is not after


def test_both_kernels_serve_the_module():
    x = jax.random.normal(jax.random.key(0), (2, 7, 16))
    cos, sin = rotary_angles(7, 4)
    modules = [RotaryAttention(16, 4, jnp.dtype("float32"), kind) for kind in KINDS]
    variables = jax.jit(modules[0].init)(jax.random.key(1), x, cos, sin)
    assert set(variables["params"]) == {"qkv", "out"}
    apply = [jax.jit(module.apply) for module in modules]
    xla, recompute = (f(variables, x, cos, sin) for f in apply)
    _close(recompute, xla)
    length = jnp.array([3, 7])
    some = [f(variables, x, cos, sin, length) for f in apply]
    _close(some[1], some[0])
    assert np.abs(some[0][0] - xla[0]).max() > 1e-3
    _close(some[0][1], xla[1])
