"""Published layouts of calls by name, and which of them a folder has."""

from collections.abc import Callable

from sigjax.data.calls import beans, events, fsdd, marmosets, mescalina, watkins
from sigjax.data.calls.manifest import CallManifest
from sigjax.data.clips import Report
from sigjax.data.layouts import Layouts

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
_CALLS = Layouts(LAYOUTS, _SIGNS)

layout_of = _CALLS.layout_of
scan = _CALLS.scan
