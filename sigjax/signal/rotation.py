"""Rotations of three axes, as when a device is worn another way round."""

import jax
import jax.numpy as jnp

from sigjax.typing import Array, Float, Num, PRNGKey


def rotation_matrix(quaternion: Float[Array, "... q"]) -> Float[Array, "... c e"]:
    """Rotation matrices of quaternions `w x y z` of any length but 0.

    Args:
      quaternion: `[..., 4]`.

    Returns:
      `[..., 3, 3]`, orthogonal with determinant 1.
    """
    q = quaternion / jnp.linalg.norm(quaternion, axis=-1, keepdims=True)
    w, x, y, z = jnp.moveaxis(q, -1, 0)
    rows = (
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    )
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def random_rotations(key: PRNGKey, seed: Num[Array, " b"]) -> Float[Array, "b c e"]:
    """A rotation for each seed, uniform over all of them (Shoemake 1992).

    Args:
      key: Another key, other rotations.
      seed: Uint32 `[b]`, each example's own: its place in the batch does not matter.

    Returns:
      Float32 `[b, 3, 3]`.
    """

    def draw(seed):
        return jax.random.normal(jax.random.fold_in(key, seed), (4,))

    # A normal vector in four dimensions points everywhere alike.
    return rotation_matrix(jax.vmap(draw)(seed))
