"""Three designs of the position bias, samples of maps, and sizes of tables."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn.deformable import conventions, position_bias, resize_table, sample
from sigjax.nn.deformable.position_bias import choose_design
from sigjax.nn.deformable.tables import cubic_matrix


def hats(place, size):
    """Weights of `size` cells at a place, and their slopes to the right."""
    cell, low = np.arange(size), np.floor(place)[..., None]
    part = place[..., None] - low
    weight = (cell == low) * (1 - part) + (cell == low + 1) * part
    return weight, (cell == low + 1) * 1.0 - (cell == low)


def plain(table, points, size, convention, cotangent):
    """Bias and gradients by full sums, in NumPy."""
    heads, batch, groups, keys = len(table), *points.shape[:3]
    out = np.zeros((batch, heads, size[0] * size[1], keys))
    grad_table, grad_points = np.zeros_like(table), np.zeros_like(points)
    queries = conventions.query_points(*size, convention).reshape(-1, 2)
    half = (np.array(size) - 1) / 2
    for b, h in np.ndindex(batch, heads):
        g = h * groups // heads
        place = (queries[:, None] - points[b, g][None]) * half + 2 * half
        (wy, sy), (wx, sx) = (hats(place[..., i], 2 * size[i] - 1) for i in (0, 1))
        c = cotangent[b, h]
        out[b, h] = np.einsum("mnr,rq,mnq->mn", wy, table[h], wx)
        grad_table[h] += np.einsum("mn,mnr,mnq->rq", c, wy, wx)
        along = (
            np.einsum("mn,mnr,rq,mnq->n", c, a, table[h], d)
            for a, d in ((sy, wx), (wy, sx))
        )
        grad_points[b, g] -= np.stack(list(along), -1) * half
    return out, grad_table, grad_points


# "pp" has the queries of "text".
@pytest.mark.parametrize("convention", ["text", "v1"])
def test_all_designs_are_the_sum_over_the_table(convention):
    size, rng = (3, 4), np.random.default_rng(0)
    table = rng.normal(size=(4, 5, 7))
    # Some points lie far outside the map, and windows outside the table.
    points = rng.uniform(-1.7, 1.7, (2, 2, 5, 2))
    points[0, :, 0], points[1, :, 1] = 5.0, -5.0
    cotangent = rng.normal(size=(2, 4, 12, 5))
    expected = plain(table, points, size, convention, cotangent)

    def run(table, points, cotangent):
        found = []
        for design in ("gather", "slices", "matmul"):
            y, pull = jax.vjp(
                lambda t, p, design=design: position_bias(
                    t, p, size, convention, design=design
                ),
                table,
                points,
            )
            found.append((y, *pull(cotangent)))
        return found

    with jax.enable_x64():
        arrays = map(jnp.asarray, (table, points, cotangent))
        for found in jax.jit(run)(*arrays):
            for one, two in zip(found, expected, strict=True):
                np.testing.assert_allclose(one, two, rtol=0, atol=1e-12)


def test_the_choice_of_a_design_is_by_backend_and_convention():
    assert choose_design("v1", (8, 64), 512, "cpu") == "slices"
    assert choose_design("text", (8, 64), 512, "gpu") == "slices"
    assert choose_design("v1", (8, 64), 512, "gpu") == "matmul"
    assert choose_design("pp", (8, 64), 512, "tpu") == "matmul"


def test_samples_are_bilinear_with_zeros_outside():
    x = np.arange(12.0).reshape(1, 3, 4, 1)
    cells = np.array([[0, 0], [2, 3], [1.25, 2], [-0.5, 0], [2, 3.75], [-3, 9]])
    points = cells / ([1.0, 1.5]) - 1
    with jax.enable_x64():
        wide = jnp.asarray(x), jnp.asarray(points[None])
        y, pull = jax.vjp(sample, *wide)
        grad_x, grad_points = pull(jnp.ones_like(y))
    np.testing.assert_allclose(y[0, :, 0], [0, 11, 7, 0, 2.75, 0], atol=1e-12)
    # One row is 4, one column is 1; half a map's extent is 1 and 1.5 cells.
    np.testing.assert_allclose(grad_points[0, 2], [4 * 1, 1.5], atol=1e-12)
    np.testing.assert_allclose(grad_points[0, 5], [0, 0])
    expected = np.zeros((3, 4))
    expected[[0, 2, 1, 2], [0, 3, 2, 2]] = 1.5, 1.25, 0.75, 0.25
    np.testing.assert_allclose(grad_x[0, :, :, 0], expected, atol=1e-12)


def test_references_of_the_three_conventions():
    axis = {c: conventions.key_axis(4, c) for c in ("text", "v1", "pp")}
    np.testing.assert_allclose(axis["text"], [-1, -1 / 3, 1 / 3, 1])
    np.testing.assert_allclose(axis["v1"], [-0.75, -0.25, 0.25, 0.75])
    np.testing.assert_allclose(axis["pp"], [-2 / 3, 0, 2 / 3, 4 / 3])
    raw = jnp.full((1, 4, 6, 2), 100.0)
    for convention, unit in (("text", 2 / 7), ("v1", 1 / 4), ("pp", 1 / 3)):
        points = conventions.move(raw, 2.0, convention, (8, 16))
        reach = points[0, 0, 0, 0] - conventions.key_axis(4, convention)[0]
        np.testing.assert_allclose(reach, 2 * unit, rtol=1e-5)
    assert np.abs(conventions.move(raw, -1.0, "pp", (8, 16))).max() == 1
    turned = conventions.move(raw * 0, -1.0, "v1", (8, 16))
    np.testing.assert_allclose(turned[0, :, 0, 0], np.tanh(axis["v1"]), rtol=1e-6)
    with pytest.raises(ValueError, match="offset factor of 0"):
        conventions.move(raw, 0.0, "text", (8, 16))


def test_tables_are_resized_axis_by_axis():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(2, 5, 7)).astype(np.float32)
    assert resize_table(jnp.asarray(table), (3, 4)).shape == table.shape
    found = resize_table(jnp.asarray(table), (4, 4))
    assert found.shape == (2, 7, 7)
    expected = np.einsum("ua,haq->huq", cubic_matrix(5, 7), table)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    matrix = cubic_matrix(5, 9)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    # PyTorch's bicubic weights half way between two cells.
    np.testing.assert_allclose(cubic_matrix(4, 8)[3, :4], _QUARTER, atol=1e-7)


# a = -3/4 at distances 1.25, 0.25, 0.75 and 1.75.
_QUARTER = [-0.10546875, 0.87890625, 0.26171875, -0.03515625]
