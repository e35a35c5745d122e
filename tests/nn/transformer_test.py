"""What a block of the transformer keeps for its backward pass."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sigjax.nn.transformer import Transformer


def products(jaxpr) -> int:
    """Matrix products of a program, those of loops once."""
    count = 0
    for equation in jaxpr.eqns:
        count += equation.primitive.name == "dot_general"
        for value in jax.tree.leaves(
            equation.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")
        ):
            inner = getattr(value, "jaxpr", value)
            count += products(inner) if hasattr(inner, "eqns") else 0
    return count


@pytest.mark.parametrize("attention", ["recompute", "xla"])
def test_no_product_of_a_layer_runs_twice(attention):
    model = Transformer(1, 2, 24, jnp.dtype("float32"), attention)
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 5, 8)), jnp.float32)
    variables = model.init(jax.random.key(0), x)

    def loss(variables, x):
        y: Any = model.apply(variables, x)
        return jnp.square(y).sum()

    program = jax.make_jaxpr(jax.grad(loss, argnums=(0, 1)))(variables, x)
    # Five layers: each forward, and twice backward. Attention: two, and twice each
    # backward; rebuilt logits are one more.
    assert products(program.jaxpr) == 5 * 3 + 2 * 3 + (attention == "recompute")
