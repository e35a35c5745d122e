"""Layers of ours held against `tests/golden/dat.npz`."""

import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.golden.drawn import drawn

FILE = pathlib.Path(__file__).parents[1] / "golden" / "dat.npz"
_DEPTHWISE = ("conv_offset.0.weight", "rpe_table.weight")
TURNS = {
    "matrix": lambda x: x.reshape(x.shape[:2]).T,
    "kernel": lambda x: x.transpose(2, 3, 1, 0),
    None: lambda x: x,
}


@functools.cache
def contents() -> dict[str, np.ndarray]:
    with np.load(FILE) as file:
        return dict(file)


def state_of(case: str) -> dict[str, np.ndarray]:
    """The state dict that a case was computed with, float64; buffers are zeros."""
    found = contents()
    shapes = (tuple(map(int, s.split())) for s in found[f"{case}/shapes"].tolist())
    return {
        name: drawn(name, shape)
        for name, shape in zip(found[f"{case}/names"].tolist(), shapes, strict=True)
    }


def slopes_of(case: str) -> dict[str, float]:
    found = contents()
    names = found[f"{case}/names"].tolist()
    return dict(zip(names, found[f"{case}/slopes"].tolist(), strict=True))


def near(found: Any, expected: Any, scale: float, tolerance: float, what: str) -> None:
    error = float(np.abs(np.asarray(found) - np.asarray(expected)).max()) / scale
    assert error < tolerance, f"{what}: {error:.1e} of {scale:.1e}"


class Golden:
    """A case, and where its arrays stand in our parameters.

    `paths` is our tree with a name of theirs, or (name, turn), at each leaf.
    """

    def __init__(self, case: str, paths: Any):
        self.case, self.paths = case, paths
        self.state, self.slopes = state_of(case), slopes_of(case)

    def tree(self, values: dict[str, np.ndarray]) -> Any:
        def leaf(entry):
            name, turn = entry if isinstance(entry, tuple) else (entry, None)
            return TURNS[turn](values[name])

        is_leaf = lambda x: not isinstance(x, dict)  # noqa: E731
        return jax.tree.map(leaf, self.paths, is_leaf=is_leaf)

    def check(
        self,
        module: Any,
        *,
        gradients: bool = True,
        differences: tuple[str, ...] = (),
    ) -> None:
        """The output of `module(dtype=float64)`, and all gradients, to 1e-9.

        Those of `differences` are also held against differences of the output.
        """
        expected = contents()[f"{self.case}/y"].transpose(1, 2, 0)
        shape = (1, expected.shape[2], *expected.shape[:2])

        def last(array):
            return array.transpose(0, 2, 3, 1)

        with jax.enable_x64():
            network = module(dtype=jnp.dtype("float64"))
            x = last(drawn(self.case, shape, "input"))
            params = jax.tree.map(jnp.asarray, self.tree(self.state))
            if not gradients:
                y = jax.jit(network.apply)({"params": params}, x)
                near(y[0], expected, np.abs(expected).max(), 1e-9, "output")
                return
            cotangent = last(drawn("y", shape, "cotangent"))

            def loss(params, x):
                y = network.apply({"params": params}, x)
                return (y * cotangent).sum(), y

            run = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
            (_, y), (found, slope) = run(params, x)
            for name in differences:
                self.check_difference(run, params, x, found, name)
        near(y[0], expected, np.abs(expected).max(), 1e-9, "output")
        along = (np.asarray(slope) * last(drawn("x", shape, "direction"))).sum()
        wanted = float(contents()[f"{self.case}/slope_x"])
        near(along, wanted, abs(wanted), 1e-9, "input")
        self.check_gradients(found)

    def check_difference(self, run, params, x, gradients, name: str) -> None:
        """A gradient against the slope of the output along a random direction."""
        rng, step = np.random.default_rng(0), 1e-7
        direction = jax.tree.map(lambda a: rng.normal(size=a.shape), params[name])

        def value(sign):
            moved = jax.tree.map(lambda a, d: a + sign * d, params[name], direction)
            return float(run({**params, name: moved}, x)[0][0])

        slope = (value(step) - value(-step)) / (2 * step)
        parts = jax.tree.map(lambda g, d: (g * d).sum(), gradients[name], direction)
        near(sum(jax.tree.leaves(parts)), slope, abs(slope), 1e-5, f"slope of {name}")

    def check_gradients(self, gradients: Any, tolerance: float = 1e-9) -> None:
        """Each gradient along its direction, in units of the largest of them."""
        directions = {
            name: drawn(name, value.shape, "direction")
            for name, value in self.state.items()
        }
        along = jax.tree.map(
            lambda g, d: float((np.asarray(g, np.float64) * d).sum()),
            gradients,
            self.tree(directions),
        )
        names = jax.tree.leaves(self.paths, is_leaf=lambda x: not isinstance(x, dict))
        names = [n if isinstance(n, str) else n[0] for n in names]
        scale = max(map(abs, self.slopes.values()))
        for name, value in zip(names, jax.tree.leaves(along), strict=True):
            # Sums of a depthwise kernel's gradient are taken in float32.
            loose = name.endswith(_DEPTHWISE)
            limit = max(tolerance, 1e-6) if loose else tolerance
            near(value, self.slopes[name], scale, limit, name)
