"""What pickles of weights may build besides tensors: see `COMMON`, `SETTINGS`."""

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from sigjax.convert.pickles import (
    Constructor,
    Deferred,
    Global,
    Record,
    WeightsError,
    keys,
)


class _NumpyDtype(Deferred):
    def __init__(self, code: Any, *flags: Any):
        del flags  # align, copy
        # No objects ("O") and no structures ("V"): those could hold pickles again.
        if not (isinstance(code, str) and re.fullmatch(r"[biufcSU]\d{1,9}", code)):
            raise WeightsError(f"numpy dtype {str(code)[:20]!r} is not supported")
        self.dtype = np.dtype(code)

    def build(self, state: Any) -> None:
        if not isinstance(state, tuple) or state[1] not in ("<", ">", "|", "="):
            raise WeightsError("damaged pickle: state of a numpy dtype")
        self.dtype = self.dtype.newbyteorder(state[1])

    def value(self) -> np.dtype:
        return self.dtype


class _NumpyArray(Deferred):
    def __init__(self, kind: Any, *start: Any):
        del kind, start  # all is in the state
        self.array = np.zeros(0)

    def build(self, state: Any) -> None:
        _, shape, dtype, fortran, data = state
        if not isinstance(dtype, _NumpyDtype):
            raise WeightsError("damaged pickle: a numpy array without a dtype")
        flat = np.frombuffer(_bytes(data), dtype.dtype)
        self.array = flat.reshape(shape, order="F" if fortran else "C")

    def value(self) -> np.ndarray:
        return self.array


def _numpy_from_buffer(
    data: Any, dtype: Any, shape: Any, order: Any, axes: Any = None
) -> np.ndarray:
    # Pickle protocol 5; "K" is C order whose axes were permuted.
    if not isinstance(dtype, _NumpyDtype):
        raise WeightsError("damaged pickle: a numpy array without a dtype")
    flat = np.frombuffer(_bytes(data), dtype.dtype)
    if order == "K" and axes is not None:
        return flat.reshape(shape).transpose(axes)
    return flat.reshape(shape, order="F" if order == "F" else "C")


def _numpy_scalar(dtype: Any, data: Any) -> Any:
    if not isinstance(dtype, _NumpyDtype):
        raise WeightsError("damaged pickle: a numpy number without a dtype")
    return np.frombuffer(_bytes(data), dtype.dtype, count=1)[0]


def _bytes(data: Any) -> bytes:
    if isinstance(data, str):  # Python 2 wrote bytes as text
        return data.encode("latin-1")
    if not isinstance(data, bytes | bytearray):
        raise WeightsError("damaged pickle: numbers without bytes")
    return bytes(data)


def _encode(text: Any, encoding: Any) -> bytes:
    # How pickle protocol 2 writes bytes.
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise WeightsError("damaged pickle: bytes in an unknown encoding")
    return text.encode("latin-1")


def _bytearray(data: Any = b"", *encoding: Any) -> bytearray:
    return bytearray(_encode(data, *encoding) if encoding else _bytes(data))


def _record(*arguments: Any) -> Record:
    return Record(arguments=arguments) if arguments else Record()


def _reconstructor(kind: Any, *base: Any) -> Record:
    # copyreg's way to an object without state, of pickle protocols 0 and 1.
    if not (isinstance(kind, Global) and kind.name in _RECORDS):
        raise WeightsError("the file makes an object of a kind that is refused")
    del base
    return Record()


def _items(pairs: Any = ()) -> dict[Any, Any]:
    found = [tuple(pair) for pair in pairs]
    return dict(zip(keys(key for key, _ in found), (v for _, v in found), strict=True))


_RECORDS = ("argparse.Namespace", "types.SimpleNamespace")
_PATHS = ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")
_BUILTINS: Mapping[str, Constructor | None] = {
    "set": lambda items=(): set(keys(items)),
    "frozenset": lambda items=(): frozenset(keys(items)),
    "complex": lambda real, imag: complex(float(real), float(imag)),
    "bytes": lambda: b"",
    "bytearray": _bytearray,
    **dict.fromkeys(("object", "int", "float", "bool", "str", "list", "dict")),
}

COMMON: Mapping[str, Constructor | None] = {
    "collections.OrderedDict": _items,
    "collections.defaultdict": lambda factory=None: {},
    "copyreg._reconstructor": _reconstructor,
    "copy_reg._reconstructor": _reconstructor,
    "_codecs.encode": _encode,
    **{
        f"{m}.{k}": v for m in ("builtins", "__builtin__") for k, v in _BUILTINS.items()
    },
    **dict.fromkeys(_RECORDS, _record),
    **{
        f"pathlib.{name}": lambda *parts: str(pathlib.PurePosixPath(*parts))
        for name in _PATHS
    },
    "numpy.dtype": _NumpyDtype,
    "numpy.ndarray": None,
    **{
        f"numpy.{core}.{name}": build
        for core in ("core", "_core")
        for name, build in (
            ("multiarray._reconstruct", _NumpyArray),
            ("multiarray.scalar", _numpy_scalar),
            ("numeric._frombuffer", _numpy_from_buffer),
        )
    },
}

# How pickles spell `Optional[int]`, `int | None` and the like, which omegaconf keeps
# beside a value. Each makes a record of what it is called with, and calls nothing.
SETTINGS: Mapping[str, Constructor | None] = {
    **{
        f"{module}.{name}": _record
        for module in ("operator", "_operator")
        for name in ("getitem", "or_")
    },
    **{f"{module}.type": _record for module in ("builtins", "__builtin__")},
    **{f"{m}.reduce": _record for m in ("functools", "_functools", "__builtin__")},
    **{f"typing.{name}": _record for name in ("Any", "Union", "Optional")},
    **{f"typing.{name}": _record for name in ("Dict", "List", "Tuple")},
    # Python 2's names, which protocol 2 gives the types of Python 3.
    **dict.fromkeys(("__builtin__.unicode", "__builtin__.long")),
    "collections.Counter": lambda counts=(): {},
}


class Placeholders(dict[str, Constructor | None]):
    """Constructors by name, where all names of some packages make a `Record`.

    The packages are neither imported nor needed: an object of theirs becomes a dict of
    its attributes, and a call of theirs one of its arguments.
    """

    def __init__(
        self, known: Mapping[str, Constructor | None], packages: tuple[str, ...]
    ):
        """Takes the table to look in first, and the packages' names."""
        super().__init__(known)
        self._starts = tuple(f"{package}." for package in packages)

    def __contains__(self, name: object) -> bool:
        """Whether a pickle may use the name."""
        inert = isinstance(name, str) and name.startswith(self._starts)
        return inert or super().__contains__(name)

    def __missing__(self, name: str) -> Constructor:
        """What such a name makes."""
        if name in self:
            return _record
        raise KeyError(name)
