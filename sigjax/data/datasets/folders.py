"""Sets of TensorFlow Datasets as folders: building one that is whole, and opening it.

OUTPUT/NAME/VERSION/dataset_info.json
"""

import contextlib
import io
import tempfile
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow_datasets as tfds
from etils import epath

from sigjax.data.datasets.errors import DatasetError
from sigjax.data.wearable import lock

_INFO = "dataset_info.json"


class Opened(NamedTuple):
    """A finished set.

    Attributes:
      path: Its folder.
      metadata: As its builder wrote it; empty for a set of somebody else.
    """

    path: epath.Path
    metadata: Mapping[str, Any]

    def source(self) -> Any:
        """Records of all its splits, by number."""
        # TFDS wraps the method and pyright no longer sees its arguments.
        open_splits: Any = tfds.builder_from_directory(self.path).as_data_source
        return open_splits(split="+".join(self.metadata["splits"]))


def open_set(path: epath.PathLike, build_with: str) -> Opened:
    """Finds the one finished set in a folder.

    Args:
      path: Its folder, or one above it that holds no other set.
      build_with: The command that builds such sets, for messages.

    Raises:
      DatasetError: There is no finished set, or there are several.
    """
    folder = _found(epath.Path(path).expanduser(), build_with)
    builder = tfds.builder_from_directory(folder)
    return Opened(folder, dict(builder.info.metadata or {}))


def _found(path: epath.Path, build_with: str) -> epath.Path:
    if (path / _INFO).exists():
        return path
    found = [p.parent for p in (*path.glob(f"*/{_INFO}"), *path.glob(f"*/*/{_INFO}"))]
    found = [p for p in found if "incomplete" not in p.name]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(sorted(str(p) for p in found))
        raise DatasetError(f"{path}: holds several sets, give one of {names}")
    raise DatasetError(
        f"{path}: no finished set here; build one with `python -m {build_with}`"
    )


def chosen_set(
    dataset: epath.PathLike,
    workdir: epath.PathLike,
    *,
    simulated: bool,
    build_with: str,
) -> epath.Path:
    """The folder of the set that a config names, or where simulated ones are built.

    Args:
      dataset: As the config has it; empty for none.
      workdir: Of the run.
      simulated: Whether the config simulates its data.
      build_with: The command that builds such sets, for messages.

    Raises:
      DatasetError: Nothing is named and nothing simulated.
    """
    if not dataset and not simulated:
        raise DatasetError(
            f"no data: build a set with `python -m {build_with}` and give its folder as"
            " data.dataset, or try the variant 'demo' of the config"
        )
    return epath.Path(dataset or epath.Path(workdir) / "sets")


def differences(before: Any, now: Mapping[str, Any]) -> list[str]:
    """Settings of a set and of one to be built, in words where they differ."""
    if not isinstance(before, dict):
        return ["unknown settings"]
    return [
        f"{key}={before.get(key)!r}, not {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]


def build_set(
    builder: Any, different: Callable[[], list[str]], *, overwrite: bool
) -> tuple[epath.Path, bool]:
    """Builds a set, or finds it built.

    It is written beside its place and moved there when it is complete, so one that was
    killed halfway leaves nothing that looks finished.

    Args:
      builder: A `tfds.core.DatasetBuilder`, which nobody else writes at the same time.
      different: Called if the set is there; what it differs in, a list of texts.
      overwrite: Replace a set that is there.

    Returns:
      The set's folder, and whether it was built now.

    Raises:
      DatasetError: A set that was built otherwise is there.
    """
    folder = epath.Path(builder.data_path)
    with lock.only_writer(folder.parent):
        for left in folder.parent.glob(f"incomplete.*_{folder.name}"):
            left.rmtree()  # Of a build that was killed: nobody else writes here.
        if folder.exists() and not overwrite:
            if found := different():
                raise DatasetError(
                    f"{folder} was built otherwise ({'; '.join(found)}): build into"
                    " another folder or under another name, or overwrite it"
                )
            return folder, False
        # TFDS prints about downloads and makes a folder for them; there are none.
        with (
            contextlib.redirect_stdout(io.StringIO()),
            tempfile.TemporaryDirectory() as nothing,
        ):
            mode = tfds.GenerateMode.REUSE_CACHE_IF_EXISTS
            builder.download_and_prepare(
                download_dir=nothing,
                download_config=tfds.download.DownloadConfig(download_mode=mode),
            )
    return folder, True
