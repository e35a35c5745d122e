"""Examples of one's own, in an .npz."""

import zipfile

import numpy as np
from etils import epath

from sigjax.data.examples.example_set import ExampleError, example_set
from sigjax.data.examples.loaded import Loaded

_KEYS = ("x", "label", "group", "ids", "split", "classes", "rate_hz", "units")


def arrays(path: epath.PathLike) -> Loaded:
    """Reads examples.

    Args:
      path: An .npz of `numpy.savez`: `x` `[n, ...]` uint8, int16, float32 or float64,
        and what is known of `label` (int `[n]`, -1 unknown, or names), `group`, `ids`
        and `split` (text `[n]`), `classes` (text), `rate_hz` and `units`.

    Raises:
      ExampleError: It is no such file; see `example_set.example_set`.
      FileNotFoundError: It is not there.
    """
    path = epath.Path(path).expanduser()
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as opened:
            found = {key: opened[key] for key in opened.files}
    except (ValueError, zipfile.BadZipFile, AttributeError, EOFError) as error:
        raise ExampleError(
            f"{path}: no .npz of plain arrays: {error}. Write one with"
            " numpy.savez(path, x=...)"
        ) from error
    unknown = sorted(set(found) - set(_KEYS))
    if "x" not in found or unknown:
        raise ExampleError(
            f"{path}: has the arrays {', '.join(sorted(found)) or 'none'}; x is needed,"
            f" and {', '.join(_KEYS[1:])} are known"
        )
    label, classes = _labelled(found, str(path))
    examples = example_set(
        found["x"],
        label=label,
        group=found.get("group"),
        ids=found.get("ids"),
        classes=classes,
        rate_hz=float(found.get("rate_hz", 0.0)),
        units=str(found.get("units", "")),
        origin=str(path),
    )
    split = found.get("split", np.full(len(examples.x), "")).astype(str)
    if split.shape != (len(examples.x),):
        raise ExampleError(
            f"{path}: split is {list(split.shape)}, and there are {len(examples.x)}"
            " examples"
        )
    return Loaded(examples, split)


def _labelled(found, path: str) -> tuple[np.ndarray | None, list[str]]:
    """Numbers of the labels, and names of the classes."""
    classes = [str(name) for name in found.get("classes", ())]
    label = found.get("label")
    if label is None:
        return None, classes
    if label.dtype.kind == "U":
        names = classes or sorted(set(label.tolist()) - {""})
        number = {name: index for index, name in enumerate(names)} | {"": -1}
        unknown = sorted(set(label.tolist()) - set(number))
        if unknown:
            raise ExampleError(f"{path}: label {unknown[0]!r} is none of the classes")
        return np.array([number[name] for name in label.tolist()], np.int32), names
    if not classes and label.dtype.kind in "iu" and label.size:
        classes = [str(number) for number in range(int(label.max()) + 1)]
    return label, classes
