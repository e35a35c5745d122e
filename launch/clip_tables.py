"""What is in a built set of clips and what is not, as text."""

import collections
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import tqdm
from absl import flags

from sigjax.data import store_layout
from sigjax.data.clip_set import ClipSet
from sigjax.data.datasets.sound_clips import BuildOptions

# Clips with a larger share of samples at full scale than this clip in earnest.
_CLIPPED = 1e-4


def lines(dataset: ClipSet) -> list[str]:
    """Counts of clips, of what was done to them, and of what was left out and why."""
    metadata = dataset.metadata
    hours = float(dataset.samples.sum()) / dataset.rate_hz / 3600
    found = [f"{len(dataset):>8,} clips, {hours:,.2f} hours at {dataset.rate_hz:,} Hz"]
    if dataset.simulated:
        found[0] += ", SIMULATED"
    for number, what in _resampled(metadata, dataset.rate_hz):
        found.append(f"{number:>8,} {what}")
    clipped = dataset.at_limit > _CLIPPED * dataset.samples
    for flagged, what in ((dataset.silent, "silent"), (clipped, "clipped")):
        if flagged.any():
            first = dataset.clips[int(flagged.argmax())].path
            found.append(f"{int(flagged.sum()):>8,} {what}; {first}")
    found += losses(metadata)
    found += [f"{n:>8,} {what}" for what, n in metadata["counts"].items() if n]
    return found + [f"warning: {text}" for text in metadata["warnings"]]


def build_options(f: flags.FlagValues) -> BuildOptions:
    """How flags `threads` and `overwrite` say that a set is built; with a bar."""
    return BuildOptions(
        threads=f.threads or store_layout.usable_cores(),
        overwrite=f.overwrite,
        progress=functools.partial(tqdm.tqdm, unit="clip", desc="reading"),
    )


def losses(metadata: Mapping[str, Any]) -> list[str]:
    """Why clips were left out, one line for each kind of reason, with the first."""
    kinds: dict[str, list[tuple[str, str]]] = collections.defaultdict(list)
    for path, reason in metadata["left_out"]:
        # Reasons that name places in a file are of one kind.
        kinds[re.sub(r"\d[\d,.]*", "N", reason)].append((path, reason))
    return [
        f"{len(same):>8,} left out: {same[0][1]}; {same[0][0]}"
        for _, same in sorted(kinds.items())
    ]


def _resampled(metadata: Mapping[str, Any], rate_hz: int) -> Iterator[tuple[int, str]]:
    """How many clips were of another rate or of several channels, and what was done."""
    for rate, number in sorted(metadata["file_rates_hz"].items()):
        if int(rate) != rate_hz:
            yield number, f"resampled from {int(rate):,} Hz"
    for channels, number in sorted(metadata["file_channels"].items()):
        if channels != "1":
            channel = metadata["settings"]["channel"]
            taken = "their mean" if channel == "mean" else f"channel {channel}"
            yield number, f"of {channels} channels: {taken}"
