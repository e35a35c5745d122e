"""Self-supervised learning on signals, in JAX and Flax."""

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

try:
    __version__ = version("sigjax")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+source"

if TYPE_CHECKING:
    from sigjax.export import load, save

__all__ = ["__version__", "load", "save"]


def __getattr__(name: str) -> Any:
    # Importing a model must not import Orbax: resolve the bundle functions on use.
    if name in ("load", "save"):
        from sigjax import export

        return getattr(export, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
