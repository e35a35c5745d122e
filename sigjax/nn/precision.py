"""Which arithmetic a backend computes in; parameters are float32 everywhere."""

from typing import Literal

import jax
import jax.numpy as jnp

ComputeDtype = Literal["auto", "float32", "bfloat16"]


def compute_dtype(name: ComputeDtype, backend: str | None = None) -> jnp.dtype:
    """The dtype that activations are computed in.

    Args:
      name: `"auto"` is bfloat16 on accelerators and float32 on CPU, where bfloat16 is
        emulated and no faster.
      backend: `"cpu"`, `"gpu"` or `"tpu"`; the default backend when not given.
    """
    if name == "auto":
        backend = backend or jax.default_backend()
        name = "float32" if backend == "cpu" else "bfloat16"
    return jnp.dtype(name)
