"""Published layouts of audio events by name, and which of them a folder has."""

from collections.abc import Callable

from sigjax.data.audio_events import (
    audioset,
    epic_kitchens,
    esc,
    folder,
    kinetics_sounds,
    vggsound,
)
from sigjax.data.audio_events.clips import EventManifest, Report
from sigjax.data.layouts import Layouts

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
_EVENTS = Layouts(LAYOUTS, _SIGNS)

layout_of = _EVENTS.layout_of
scan = _EVENTS.scan
