"""What work on every cell has in common."""

import contextlib
import gc
from collections.abc import Iterator

import jax
from etils import epath


@contextlib.contextmanager
def in_cell(folder: epath.Path, *, optimise: bool = True) -> Iterator[None]:
    """What is printed meanwhile goes to `log.txt` of a cell; then memory is freed.

    Args:
      folder: Of the cell.
      optimise: Whether XLA does.
    """
    name = "jax_disable_most_optimizations"
    before = jax.config.values[name]
    with (folder / "log.txt").open("a") as log:
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            jax.config.update(name, before or not optimise)
            try:
                yield
            finally:
                jax.config.update(name, before)
    # Compiled programs of models that will not come again; the cache on disk stays.
    jax.clear_caches()
    gc.collect()
