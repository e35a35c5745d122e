import jax
import jax.numpy as jnp
import numpy as np

from sigjax.nn.prelu import PRelu


def test_prelu_has_a_slope_per_channel():
    x = jnp.array([[-2.0, -2.0, 3.0]])
    variables = {"params": {"slope": jnp.array([0.5, 0.1, 9.0])}}
    np.testing.assert_allclose(PRelu().apply(variables, x), [[-1, -0.2, 3]])
    assert PRelu().init(jax.random.key(0), x)["params"]["slope"].shape == (3,)


def test_gradients_are_those_of_the_definition(monkeypatch):
    random = np.random.default_rng(0)
    x = jnp.asarray(random.normal(size=(2, 3, 4)), jnp.float32).at[0, 0, 0].set(0.0)
    slope = jnp.asarray(random.normal(size=4), jnp.float32)

    def gradients(function):
        return jax.grad(lambda *given: jnp.sin(function(*given)).sum(), (0, 1))(
            slope, x
        )

    def ours(slope, x):
        return PRelu().apply({"params": {"slope": slope}}, x)

    expected = gradients(lambda slope, x: jnp.where(x > 0, x, slope * x))
    for backend in ("cpu", "gpu"):
        monkeypatch.setattr(jax, "default_backend", lambda backend=backend: backend)
        for got, wanted in zip(gradients(ours), expected, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6)
