"""Published layouts by name, and which of them a folder has."""

import pathlib
from collections.abc import Callable

from etils import epath

from sigjax.data.audio_events import (
    audioset,
    epic_kitchens,
    esc,
    folder,
    kinetics_sounds,
    vggsound,
)
from sigjax.data.audio_events.clips import EventManifest, Report

Scan = Callable[..., tuple[EventManifest, Report]]

LAYOUTS: dict[str, Scan] = {
    "audioset": audioset.scan,
    "esc50": esc.scan_esc50,
    "esc10": esc.scan_esc10,
    "vggsound": vggsound.scan,
    "kinetics_sounds": kinetics_sounds.scan,
    "epic_kitchens": epic_kitchens.scan,
    "folder": folder.scan,
}
# What tells a layout from others.
_SIGNS = {
    "esc50": "esc50.csv",
    "vggsound": "vggsound.csv",
    "audioset": "class_labels_indices.csv",
    "epic_kitchens": "EPIC_100_*.csv",
    "kinetics_sounds": "kinetics*.csv",
    "esc10": "[0-9][0-9][0-9] - *",
}


def layout_of(root: epath.PathLike) -> str:
    """The layout of a folder by the tables in it; `"folder"` if there are none.

    Raises:
      FileNotFoundError: There is no such folder.
    """
    path = pathlib.Path(root).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(f"{root}: no such folder")
    # Tables lie near the root, and a folder may hold millions of files.
    for name, sign in _SIGNS.items():
        if any(
            found for depth in ("", "*/", "*/*/") for found in path.glob(depth + sign)
        ):
            return name
    return "folder"


def scan(
    root: epath.PathLike, layout: str = "auto", **options: object
) -> tuple[EventManifest, Report]:
    """Lists the clips of a folder in a published layout.

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
