"""Which sigjax this is."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("sigjax")
except PackageNotFoundError:  # a source tree that was never installed
    VERSION = "0+source"
