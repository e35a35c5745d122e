"""Checkpoints of PyTorch and safetensors as numpy arrays; no torch, nothing executed.

`read_state_dict` is what a converter needs: names and arrays. `read_with_settings` adds
what fairseq says of the model. `read_checkpoint` gives all that is in a file: also
epochs, options, an optimizer's moments.

Three formats, told apart by their first bytes:
  zip          torch >= 1.6: FILE/data.pkl refers to FILE/data/0, FILE/data/1, ...
  legacy       torch < 1.6: five pickles in a row, then the storages
  safetensors  a JSON header, then the tensors

safetensors is read here and not by its library: it is a header and `np.frombuffer`, and
the library's numpy side would be a dependency for that.
"""

import contextlib
import errno
import functools
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np
from etils import epath

from sigjax.convert import pickles
from sigjax.convert.pickles import WeightsError
from sigjax.convert.shards import INDEX, read_shards
from sigjax.convert.tensors import (
    FAIRSEQ,
    SAFETENSORS,
    TORCH,
    Storage,
    Tensor,
    checked_tensor,
    storage_of,
)

__all__ = [
    "WeightsError",
    "read_checkpoint",
    "read_state_dict",
    "read_with_settings",
]

Names = Mapping[str, pickles.Constructor | None]

# What zipfile raises over broken, encrypted or strangely packed archives.
_BROKEN = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    struct.error,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


def read_state_dict(
    path: epath.PathLike, *, key: str | None = None, prefix: str = "module."
) -> dict[str, np.ndarray]:
    """Names and arrays of a model.

    Args:
      path: A .pt, .pth, .mdl, .bin or .safetensors file, or the .index.json of files
        that share a model's arrays (`sigjax.convert.shards`).
      key: Entry of the checkpoint that holds them. By default the whole file if it
        is a state dict, else its `state_dict`, `model_state_dict` or `model`.
      prefix: Taken off the names that begin with it, as DataParallel's `module.`.

    Returns:
      Arrays by name; read-only, and bfloat16 as `ml_dtypes.bfloat16`.

    Raises:
      WeightsError: If the file is damaged, is no such file, names what is not among
        weights, or holds no state dict.
      FileNotFoundError: If there is no such file.
    """
    if str(path).endswith(INDEX):
        return read_shards(
            path, lambda part: read_state_dict(part, key=key, prefix=prefix)
        )
    with _errors_name(path), _opened(path) as tree:
        return _state_dict(tree, key, prefix)


def read_with_settings(
    path: epath.PathLike, *, prefix: str = "module."
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Names and arrays of a model, and how fairseq says that it was trained.

    fairseq keeps objects of its own and of omegaconf in `cfg` or `args`. They become
    `pickles.Record`s of their attributes; other unknown names are refused as ever. An
    optimizer's moments, beside them, are not read.

    Args:
      path: See `read_state_dict`, and for what is raised.
      prefix: Likewise.

    Returns:
      Arrays by name, and those of the entries `cfg` and `args` that are there.
    """
    if str(path).endswith(INDEX):
        return read_state_dict(path, prefix=prefix), {}
    with _errors_name(path), _opened(path, FAIRSEQ) as tree:
        state = _state_dict(tree, None, prefix)
        if _is_state_dict(tree):
            return state, {}
        settings = {k: tree[k] for k in ("cfg", "args") if tree.get(k) is not None}
        return state, pickles.resolve(settings)


def _state_dict(tree: Any, key: str | None, prefix: str) -> dict[str, np.ndarray]:
    found = pickles.resolve(_find_state_dict(tree, key))
    names = {name.removeprefix(prefix): value for name, value in found.items()}
    if len(names) < len(found):
        raise WeightsError(f"some names are there with and without {prefix!r}")
    return names


def read_checkpoint(path: epath.PathLike) -> Any:
    """All that a file holds: dicts, lists, numbers, text and arrays.

    Objects whose class is not needed (`argparse.Namespace`) become dicts of their
    attributes; names of dtypes stay `pickles.Global`. Argument, errors and arrays are
    as for `read_state_dict`.
    """
    with _errors_name(path), _opened(path) as tree:
        return pickles.resolve(tree)


@contextlib.contextmanager
def _errors_name(path: epath.PathLike) -> Iterator[None]:
    try:
        yield
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    except _BROKEN as error:
        raise WeightsError(f"{path} is truncated or damaged: {error}") from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # a damaged offset
            raise
        raise WeightsError(f"{path} is truncated or damaged: {error}") from None


@contextlib.contextmanager
def _opened(path: epath.PathLike, names: Names = TORCH) -> Iterator[Any]:
    """The file's structure, its tensors not yet read."""
    with epath.Path(path).open("rb") as file:
        start = file.read(9)
        file.seek(0)
        if start.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(file) as archive:
                yield _read_zip(archive, names)
        elif start[:1] == b"\x80":
            yield _read_legacy(file, names)
        elif start[8:] == b"{":
            yield _read_safetensors(file)
        else:
            raise WeightsError(_what_it_is(start))


def _what_it_is(start: bytes) -> str:
    if not start:
        return "the file is empty"
    if start.lstrip()[:1] == b"<":
        return "this is a web page, not weights: the download went wrong"
    if start.startswith(b"version "):
        return "this is a git-lfs pointer: fetch the file itself (git lfs pull)"
    return "this is no torch checkpoint (zip or legacy) and no safetensors file"


def _find_state_dict(tree: Any, key: str | None) -> dict[str, Any]:
    if not isinstance(tree, dict):
        raise WeightsError(f"it holds a {type(tree).__name__}, no state dict")
    keys = [key] if key is not None else ["state_dict", "model_state_dict", "model"]
    for candidate in [*([tree] if key is None else []), *(tree.get(k) for k in keys)]:
        if _is_state_dict(candidate):
            return candidate
    shown = ", ".join(f"{str(k)[:40]} ({type(v).__name__})" for k, v in tree.items())
    raise WeightsError(
        f"no state dict (names and tensors, nothing else) at its top or under"
        f" {', '.join(keys)}; it holds: {shown[:600] or 'nothing'}"
    )


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(isinstance(k, str) for k in value)
        and all(isinstance(v, Tensor) for v in value.values())
    )


def _read_zip(archive: zipfile.ZipFile, known: Names) -> Any:
    packings = {info.compress_type for info in archive.infolist()}
    if packings - {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise WeightsError("damaged, or packed in a way that torch does not use")
    names = set(archive.namelist())
    roots = [f"{n[:-9]}/" for n in names if n.endswith("/data.pkl")]
    if any(f"{root}constants.pkl" in names for root in roots):
        raise WeightsError(
            "this is a TorchScript program, not weights: save its state dict with"
            " torch: torch.save(torch.jit.load(FILE).state_dict(), NEW)"
        )
    if len(roots) != 1:
        raise WeightsError("a zip archive, but no torch checkpoint (data.pkl)")
    (root,) = roots
    order = f"{root}byteorder"
    swap = order in names and archive.read(order).strip() == b"big"
    storages: dict[str, Storage] = {}

    def persistent(pid):
        dtype, untyped, key, numel = storage_of(pid)
        if key not in storages:
            entry = f"{root}data/{key}"
            if entry not in names:
                raise WeightsError(f"damaged: the archive lacks {entry}")
            if archive.getinfo(entry).file_size < numel * dtype.itemsize:
                raise WeightsError(f"damaged: {entry} is too short")
            read = functools.partial(archive.read, entry)
            storages[key] = Storage(dtype, numel, read, swap, untyped)
        return storages[key]

    with archive.open(f"{root}data.pkl") as file:
        return pickles.load(file, known, persistent)


def _read_legacy(file: IO[bytes], known: Names) -> Any:
    if pickles.load(file, {}) != _LEGACY_MAGIC:
        raise WeightsError("a pickle, but no torch checkpoint")
    if (version := pickles.load(file, {})) != 1001:
        raise WeightsError(f"legacy torch format of unknown version {version!r}")
    pickles.load(file, {})  # sizes of C types; the storages are little-endian always
    storages: dict[str, Storage] = {}
    views: dict[str, Storage] = {}

    def persistent(pid):
        dtype, untyped, key, numel = storage_of(pid)
        if key not in storages:
            storages[key] = Storage(dtype, numel, bytes, untyped=untyped)
        if len(pid) < 6 or pid[5] is None:
            return storages[key]
        view, offset, size = pid[5]
        if not (isinstance(view, str) and min(int(offset), int(size)) >= 0):
            raise WeightsError("damaged pickle: a view of a storage")
        part = slice(offset * dtype.itemsize, (offset + size) * dtype.itemsize)
        return views.setdefault(
            view, Storage(dtype, size, lambda: storages[key].data[part])
        )

    tree = pickles.load(file, known, persistent)
    keys = pickles.load(file, {})
    if not isinstance(keys, list) or set(map(str, keys)) != storages.keys():
        raise WeightsError("damaged: its list of storages is not that of its tensors")
    at, end = file.tell(), file.seek(0, 2)
    for key in keys:
        storage = storages[key]
        size = storage.numel * storage.dtype.itemsize
        storage.read = functools.partial(_read_part, file, at + 8, size)
        if at + 8 + size > end or _read_part(file, at, 8) != struct.pack(
            "<q", storage.numel
        ):
            raise WeightsError(f"truncated or damaged at storage {key}")
        at += 8 + size
    return tree


def _read_part(file: IO[bytes], start: int, size: int) -> bytes:
    file.seek(start)
    return file.read(size)


def _read_safetensors(file: IO[bytes]) -> dict[str, Tensor]:
    (length,) = struct.unpack("<Q", file.read(8))
    end = file.seek(0, 2)
    if 8 + length > end:
        raise WeightsError("truncated: its header is longer than the file")
    try:
        header = json.loads(_read_part(file, 8, length))
        header.pop("__metadata__", None)
        return {
            name: _safetensor(file, 8 + length, end, entry)
            for name, entry in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, WeightsError):
            raise
        raise WeightsError(f"damaged safetensors header: {error!r:.200}") from None


def _safetensor(file: IO[bytes], start: int, end: int, entry: Any) -> Tensor:
    kind, size = entry["dtype"], tuple(entry["shape"])
    first, last = entry["data_offsets"]
    if kind not in SAFETENSORS:
        raise WeightsError(f"a tensor of dtype {kind!s:.20}, which numpy does not have")
    dtype, numel = SAFETENSORS[kind], math.prod(size)
    if type(first) is not int or first < 0 or last - first != numel * dtype.itemsize:
        raise WeightsError("damaged: a tensor's size is not that of its shape")
    if start + last > end:
        raise WeightsError("truncated: a tensor lies beyond the file's end")
    read = functools.partial(_read_part, file, start + first, last - first)
    stride = tuple(math.prod(size[i + 1 :]) for i in range(len(size)))
    return checked_tensor(Storage(dtype, numel, read), 0, size, stride, None)
