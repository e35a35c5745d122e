"""Self-supervised learning on signals, in JAX and Flax."""

from typing import TYPE_CHECKING, Any

from sigjax.version import VERSION as __version__

if TYPE_CHECKING:
    from sigjax.export import load, save

__all__ = ["__version__", "load", "save"]


def __getattr__(name: str) -> Any:
    # Importing a model must not import Orbax: resolve the bundle functions on use.
    if name in ("load", "save"):
        from sigjax import export

        return getattr(export, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
