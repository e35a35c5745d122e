"""Sets of audio events with one label a clip, as calls: ESC-10, ESC-50, VGGSound."""

import dataclasses
from collections.abc import Callable

from etils import epath

from sigjax.data.audio_events import esc, folder, vggsound
from sigjax.data.audio_events.clips import EventManifest
from sigjax.data.calls.manifest import FOLD, Call, CallManifest, stretch_id
from sigjax.data.clips import Report

EventScan = Callable[[epath.PathLike], tuple[EventManifest, Report]]


def calls_of(manifest: EventManifest) -> CallManifest:
    """The same clips as calls; a fold becomes the split `"fold1"` and so on."""
    calls = [
        Call(
            id=stretch_id(clip.path, clip.start_s or None, clip.end_s),
            path=clip.path,
            label=clip.labels[0] if clip.labels else "",
            split=f"{FOLD}{clip.fold}" if clip.fold else clip.split,
            group=clip.group,
            start_s=clip.start_s,
            end_s=clip.end_s,
        )
        for clip in manifest.clips
    ]
    # What a listing takes for a training set because nothing is said of splits.
    if {call.split for call in calls} == {"train"}:
        calls = [dataclasses.replace(call, split="") for call in calls]
    return CallManifest(
        root=manifest.root, calls=tuple(calls), classes=manifest.classes["label"]
    )


def scan_esc10(root: epath.PathLike) -> tuple[CallManifest, Report]:
    """ESC-10, with its folds and uploads; see `audio_events.esc`."""
    return _scanned(esc.scan_esc10, root)


def scan_esc50(root: epath.PathLike) -> tuple[CallManifest, Report]:
    """ESC-50, with its folds and uploads; see `audio_events.esc`."""
    return _scanned(esc.scan_esc50, root)


def scan_vggsound(root: epath.PathLike) -> tuple[CallManifest, Report]:
    """VGGSound, with its splits and videos; see `audio_events.vggsound`."""
    return _scanned(vggsound.scan, root)


def scan_folder(root: epath.PathLike) -> tuple[CallManifest, Report]:
    """Folders that are called as their classes; see `audio_events.folder`."""
    return _scanned(folder.scan, root)


def _scanned(scan: EventScan, root: epath.PathLike) -> tuple[CallManifest, Report]:
    manifest, report = scan(root)
    return calls_of(manifest), report
