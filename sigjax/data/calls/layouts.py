"""Published layouts of calls by name, and which of them a folder has."""

import pathlib
from collections.abc import Callable

from etils import epath

from sigjax.data.calls import beans, events, fsdd, marmosets, mescalina, watkins
from sigjax.data.calls.manifest import CallManifest
from sigjax.data.clips import Report

Scan = Callable[..., tuple[CallManifest, Report]]

LAYOUTS: dict[str, Scan] = {
    "watkins": watkins.scan,
    "marmosets": marmosets.scan,
    "mescalina": mescalina.scan,
    "beans": beans.scan,
    "fsdd": fsdd.scan,
    "esc10": events.scan_esc10,
    "esc50": events.scan_esc50,
    "vggsound": events.scan_vggsound,
    "folder": events.scan_folder,
}
# What tells a layout from others: a file or folder near the root.
_SIGNS = {
    "beans": "annotations.train.csv",
    "watkins": "annotations.csv",
    "marmosets": "labels.csv",
    "mescalina": "L-S1",
    "fsdd": "[0-9]_*_[0-9]*.wav",
    "esc50": "esc50.csv",
    "vggsound": "vggsound.csv",
    "esc10": "[0-9][0-9][0-9] - *",
}


def layout_of(root: epath.PathLike) -> str:
    """The layout of a folder by what is in it; `"folder"` if nothing tells.

    Raises:
      FileNotFoundError: There is no such folder.
    """
    path = pathlib.Path(root).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    for name, sign in _SIGNS.items():
        if any(
            found for depth in ("", "*/", "*/*/") for found in path.glob(depth + sign)
        ):
            return name
    return "folder"


def scan(
    root: epath.PathLike, layout: str = "auto", **options: object
) -> tuple[CallManifest, Report]:
    """Lists the calls of a folder in a published layout.

    Args:
      root: The folder.
      layout: A key of `LAYOUTS`, or `"auto"`.
      **options: Of that layout's function.

    Raises:
      ManifestError: Tables are missing or wrong, or there is no audio.
      FileNotFoundError: There is no such folder.
      ValueError: There is no such layout.
    """
    name = layout_of(root) if layout == "auto" else layout
    if name not in LAYOUTS:
        raise ValueError(f"layout {name!r} is none of {', '.join(LAYOUTS)}")
    return LAYOUTS[name](root, **options)
