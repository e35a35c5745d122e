import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn.transposed_conv import (
    convolution,
    convolved_size,
    transposed_convolution,
    transposed_size,
)

# Size before, taps, stride, padding, output padding, dilation.
GRID = [
    (2, 3, 2, 0, 0, 1),
    (5, 5, 3, 1, 0, 1),
    (15, 2, 2, 1, 0, 1),
    (4, 3, 2, 1, 1, 1),
    (4, 3, 1, 0, 0, 2),
    (3, 3, 2, 2, 1, 3),
    (5, 1, 3, 0, 2, 1),
    (4, 3, 1, 2, 2, 3),
    (4, 2, 1, 2, 0, 1),
]


def draw(seed, *shape):
    values = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(values, jnp.float32)


def settings(case):
    names = ("stride", "padding", "output_padding", "dilation")
    return dict(zip(names, case[2:], strict=True))


def dense_matrix(kernel, size, out, case):
    """The transposed convolution of one axis as a matrix `[out, d, size, c]`."""
    _, taps, stride, padding, _, dilation = case
    matrix = np.zeros((out, kernel.shape[1], size, kernel.shape[2]))
    for i in range(size):
        for tap in range(taps):
            place = i * stride + tap * dilation - padding
            if 0 <= place < out:
                matrix[place, :, i] += kernel[tap]
    return matrix


@pytest.mark.parametrize("case", GRID)
def test_one_axis_is_its_definition_and_its_gradients(case):
    size, taps = case[:2]
    out = transposed_size(*case)
    x, kernel = draw(0, 2, size, 3), draw(1, taps, 2, 3)
    other, g = draw(2, *kernel.shape), draw(3, 2, out, 2)

    @jax.jit
    def both(x, kernel, other, g):
        transposed = functools.partial(transposed_convolution, **settings(case))
        y, pull = jax.vjp(transposed, x, kernel)
        return y, *pull(g), transposed(x, other)

    y, for_x, for_kernel, moved = both(x, kernel, other, g)
    assert y.shape == (2, out, 2)
    matrix = dense_matrix(np.asarray(kernel, np.float64), size, out, case)
    np.testing.assert_allclose(y, np.einsum("odic,bic->bod", matrix, x), atol=1e-5)
    np.testing.assert_allclose(for_x, np.einsum("odic,bod->bic", matrix, g), atol=1e-5)
    # Linear in the kernel too: <y(kernel'), g> = <kernel', gradient> for any kernel'.
    np.testing.assert_allclose(
        np.vdot(moved, g), np.vdot(other, for_kernel), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("case", [each for each in GRID if each[4] < each[2]])
def test_it_is_the_adjoint_of_the_convolution(case):
    size, taps = case[:2]
    plain = {k: v for k, v in settings(case).items() if k != "output_padding"}
    shape = tuple(transposed_size(*each) for each in (case, (size + 1, *case[1:])))
    assert tuple(
        map(
            lambda n: convolved_size(
                n, taps, *[plain[k] for k in ("stride", "padding", "dilation")]
            ),
            shape,
        )
    ) == (size, size + 1)
    x, y = draw(0, 2, *shape, 2), draw(1, 2, size, size + 1, 4)
    kernel = draw(2, taps, taps, 2, 4)
    down = np.vdot(convolution(x, kernel, **plain), y)
    up = np.vdot(x, transposed_convolution(y, kernel, **settings(case)))
    np.testing.assert_allclose(down, up, rtol=1e-4, atol=1e-4)


def test_each_axis_has_its_own_settings():
    y = transposed_convolution(
        draw(0, 1, 4, 5, 2),
        draw(1, 3, 2, 3, 2),
        stride=(2, 3),
        padding=(1, 0),
        output_padding=(1, 2),
        dilation=(2, 1),
    )
    sizes = (4, 3, 2, 1, 1, 2), (5, 2, 3, 0, 2, 1)
    assert y.shape == (1, *(transposed_size(*each) for each in sizes), 3)


def test_what_does_not_fit_is_refused():
    x, kernel = jnp.zeros((1, 2, 2, 3)), jnp.zeros((2, 2, 4, 3))
    with pytest.raises(ValueError, match="do not fit"):
        transposed_convolution(x, kernel.swapaxes(-1, -2))
    with pytest.raises(ValueError, match="do not fit"):
        transposed_convolution(x[:, 0, 0], kernel)
    with pytest.raises(ValueError, match="output padding"):
        transposed_convolution(x, kernel, stride=2, output_padding=2)
    with pytest.raises(ValueError, match="nothing left"):
        transposed_convolution(x, kernel, padding=2)
    with pytest.raises(ValueError, match="one number per axis"):
        transposed_convolution(x, kernel, stride=(2,))
    with pytest.raises(ValueError, match="does not fit"):
        convolution(x, jnp.zeros((3, 1, 3, 4)))
