"""Maps of half and of double size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn.conv_block import ConvBlock, Doubled, centred, halved


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 2)])
def test_a_last_row_or_column_that_is_alone_is_its_own_maximum(size):
    x = -1 - np.random.default_rng(0).random((2, *size, 3), np.float32)  # below 0
    found = np.asarray(halved(jnp.asarray(x)))
    for i, j in np.ndindex(*found.shape[1:3]):
        part = x[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
        np.testing.assert_array_equal(found[:, i, j], part.max(axis=(1, 2)))
    assert found.shape[1:3] == tuple(-(-n // 2) for n in size)
    slope = jax.grad(lambda x: halved(x).sum())(jnp.asarray(x))
    assert np.isfinite(slope).all() and slope.sum() == found.size


def test_the_middle_of_a_map():
    x = jnp.arange(35.0).reshape(1, 5, 7, 1)
    np.testing.assert_array_equal(centred(x, (3, 4)), x[:, 1:4, 1:5])


def test_a_transposed_convolution_of_stride_two_is_a_matrix_for_each_quarter():
    x = jax.random.normal(jax.random.key(0), (1, 2, 3, 4))
    module = Doubled(5)
    made = module.init(jax.random.key(1), x)
    kernel = made["params"]["kernel"]
    found = module.apply(made, x)
    for i, j in np.ndindex(2, 2):
        wanted = jnp.einsum("bhwc,dc->bhwd", x, kernel[i, j], precision="highest")
        np.testing.assert_allclose(found[:, i::2, j::2], wanted, rtol=1e-5, atol=1e-6)


def test_valid_convolutions_take_their_borders_off():
    for padding, size in (("same", (9, 7)), ("valid", (5, 3))):
        block = ConvBlock(2, padding=padding, norm="none")
        x = jax.ShapeDtypeStruct((1, 9, 7, 1), jnp.float32)
        made = jax.eval_shape(block.init, jax.random.key(0), x)
        assert jax.eval_shape(block.apply, made, x).shape == (1, *size, 2)
        assert set(made["params"]["conv1"]) == {"kernel", "bias"}
