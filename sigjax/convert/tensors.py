"""Tensors of a checkpoint: windows on storages, which are read when they are needed."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import ml_dtypes
import numpy as np

from sigjax.convert.constructors import COMMON, SETTINGS, Placeholders
from sigjax.convert.pickles import Deferred, Global, WeightsError

# torch's name of a dtype, that of its storage class, that of safetensors, and numpy's.
_DTYPES = (
    ("float64", "Double", "F64", np.float64),
    ("float32", "Float", "F32", np.float32),
    ("float16", "Half", "F16", np.float16),
    ("bfloat16", "BFloat16", "BF16", ml_dtypes.bfloat16),
    ("float8_e4m3fn", "", "F8_E4M3", ml_dtypes.float8_e4m3fn),
    ("float8_e5m2", "", "F8_E5M2", ml_dtypes.float8_e5m2),
    ("int64", "Long", "I64", np.int64),
    ("int32", "Int", "I32", np.int32),
    ("int16", "Short", "I16", np.int16),
    ("int8", "Char", "I8", np.int8),
    ("uint8", "Byte", "U8", np.uint8),
    ("uint16", "", "U16", np.uint16),
    ("uint32", "", "U32", np.uint32),
    ("uint64", "", "U64", np.uint64),
    ("bool", "Bool", "BOOL", np.bool_),
    ("complex64", "ComplexFloat", "C64", np.complex64),
    ("complex128", "ComplexDouble", "C128", np.complex128),
)
_STORAGES = {f"{s}Storage": np.dtype(n) for _, s, _, n in _DTYPES if s}
_UNTYPED = "UntypedStorage"  # bytes; the tensor has the dtype
SAFETENSORS = {s: np.dtype(n) for _, _, s, n in _DTYPES}
_NAMED = {f"torch.{t}": np.dtype(n) for t, _, _, n in _DTYPES}


@dataclasses.dataclass(eq=False)
class Storage:
    """A block of numbers in the file, read when a tensor needs it.

    Attributes:
      dtype: Of the numbers.
      numel: How many there are.
      read: Gives their bytes.
      swap: Whether their byte order is not this machine's.
      untyped: Whether the tensors have the dtype; `dtype` is then a byte.
    """

    dtype: np.dtype
    numel: int
    read: Callable[[], bytes]
    swap: bool = False
    untyped: bool = False

    @functools.cached_property
    def data(self) -> bytes:
        """The bytes, in the file's order."""
        data, wanted = self.read(), self.numel * self.dtype.itemsize
        if len(data) < wanted:
            raise WeightsError(
                f"truncated: a storage has {len(data)} of its {wanted} bytes"
            )
        return data[:wanted]

    def array(self, dtype: np.dtype | None) -> np.ndarray:
        """All numbers, flat."""
        dtype = self.dtype if dtype is None else dtype
        flat = np.frombuffer(self.data, dtype, len(self.data) // dtype.itemsize)
        if not self.swap:
            return flat
        if dtype.kind in "biufc":
            return flat.byteswap()
        # bfloat16 and float8 swap as integers of their size.
        return flat.view(f"u{dtype.itemsize}").byteswap().view(dtype)


@dataclasses.dataclass(eq=False)
class Tensor(Deferred):
    """A window on a storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: np.dtype | None = None

    def value(self) -> np.ndarray:
        """A read-only array, on the storage's memory."""
        flat = self.storage.array(self.dtype)
        steps = zip(self.size, self.stride, strict=True)
        last = self.offset + sum((n - 1) * step for n, step in steps)
        try:
            if 0 in self.size:
                return np.zeros(self.size, flat.dtype)
            if last >= len(flat):
                raise ValueError(f"beyond the {len(flat)} numbers of its storage")
            return np.lib.stride_tricks.as_strided(
                flat[self.offset :],
                self.size,
                [step * flat.itemsize for step in self.stride],
                writeable=False,
            )
        except (ValueError, OverflowError, MemoryError) as error:
            raise WeightsError(
                f"damaged: a tensor of shape {str(self.size)[:60]}: {error}"
            ) from None


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any):
    del rest  # requires_grad, hooks, metadata
    return checked_tensor(storage, offset, size, stride, None)


def _rebuild_tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any
):
    del grad, hooks
    if not isinstance(dtype, Global):
        raise WeightsError("damaged pickle: a tensor without a dtype")
    return checked_tensor(storage, offset, size, stride, _NAMED.get(dtype.name))


def checked_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, dtype: np.dtype | None = None
) -> Tensor:
    """A tensor of what a file says of it.

    Raises:
      WeightsError: If that is no shape, no strides or no storage.
    """

    def counts(values):
        return isinstance(values, tuple) and all(
            type(v) is int and v >= 0 for v in values
        )

    fits = isinstance(storage, Storage) and counts((offset,)) and counts(size)
    if not (fits and counts(stride) and len(size) == len(stride)):
        raise WeightsError("damaged pickle: a tensor's shape, strides or storage")
    if storage.untyped and dtype is None:
        raise WeightsError("a tensor of a dtype that numpy does not have")
    return Tensor(storage, offset, size, stride, dtype)


def _first(value: Any, *rest: Any) -> Any:
    # A Parameter's tensor, a Size's tuple, a device's name.
    del rest
    return value


# What a torch checkpoint may name.
TORCH: Mapping[str, Any] = {
    **COMMON,
    **{f"torch.{name}": None for name in (*_STORAGES, _UNTYPED)},
    **{f"torch.cuda.{name}": None for name in _STORAGES},
    f"torch.storage.{_UNTYPED}": None,
    **dict.fromkeys(_NAMED),
    "torch.Size": _first,
    "torch.device": _first,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor_v3,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
}

# And one of fairseq, whose settings are objects.
FAIRSEQ: Mapping[str, Any] = Placeholders(
    {**TORCH, **SETTINGS}, ("fairseq", "omegaconf")
)


def storage_of(pid: Any) -> tuple[np.dtype, bool, str, int]:
    """Dtype, whether untyped, key and count of the storage that a pickle refers to."""
    if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage"):
        raise WeightsError("damaged pickle: it refers to something else than a storage")
    kind, key, numel = pid[1], pid[2], pid[4]
    name = kind.name.rsplit(".", 1)[-1] if isinstance(kind, Global) else ""
    if not (name == _UNTYPED or name in _STORAGES):
        raise WeightsError(
            f"storage of an unknown kind ({name or type(kind).__name__})"
        )
    if not (isinstance(key, str) and type(numel) is int and numel >= 0):
        raise WeightsError("damaged pickle: a storage's key or size")
    return _STORAGES.get(name, np.dtype(np.uint8)), name == _UNTYPED, key, numel
