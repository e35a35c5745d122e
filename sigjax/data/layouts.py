"""Published layouts by name, and which of them a folder has."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from etils import epath

from sigjax.data.clips import Report

Manifest = TypeVar("Manifest")


@dataclasses.dataclass(frozen=True)
class Layouts(Generic[Manifest]):
    """The layouts of one kind of data.

    Attributes:
      scans: By name, what lists the clips of a folder; `"folder"` is for folders in
        which no sign is found.
      signs: What tells a layout from those that follow: a file or folder near the root,
        perhaps with wildcards.
    """

    scans: Mapping[str, Callable[..., tuple[Manifest, Report]]]
    signs: Mapping[str, str]

    def layout_of(self, root: epath.PathLike) -> str:
        """The layout of a folder by what is in it; `"folder"` if nothing tells.

        Raises:
          FileNotFoundError: There is no such folder.
        """
        path = pathlib.Path(root).expanduser()
        if not path.is_dir():
            raise FileNotFoundError(f"{root}: no such folder")
        # A folder may hold millions of files: no further down than two folders.
        for name, sign in self.signs.items():
            if any(
                found
                for depth in ("", "*/", "*/*/")
                for found in path.glob(depth + sign)
            ):
                return name
        return "folder"

    def scan(
        self, root: epath.PathLike, layout: str = "auto", **options: object
    ) -> tuple[Manifest, Report]:
        """Lists the clips of a folder in a published layout.

        Args:
          root: The folder.
          layout: A key of `scans`, or `"auto"`.
          **options: Of that layout's function.

        Raises:
          ManifestError: Tables are missing or wrong, or there is no audio.
          FileNotFoundError: There is no such folder.
          ValueError: There is no such layout.
        """
        name = self.layout_of(root) if layout == "auto" else layout
        if name not in self.scans:
            raise ValueError(f"layout {name!r} is none of {', '.join(self.scans)}")
        return self.scans[name](root, **options)
