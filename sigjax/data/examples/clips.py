"""Sounds of a table, each cropped or padded to one length."""

import collections

import numpy as np
from etils import epath

from sigjax.data import audio
from sigjax.data.calls.manifest import read_calls
from sigjax.data.clip_reading import read_clips
from sigjax.data.examples.config import ExampleDataConfig
from sigjax.data.examples.example_set import ExampleError, example_set
from sigjax.data.examples.loaded import Loaded
from sigjax.data.segments import fitted

_THREADS = 4


def centred(wave: np.ndarray, samples: int) -> np.ndarray:
    """The middle of a longer wave; a shorter one with zeros behind it: `[samples]`."""
    return fitted(wave, max(0, len(wave) - samples) // 2, samples, "pad")


def clips(config: ExampleDataConfig) -> Loaded:
    """Reads the clips of a table, int16 `[samples]`; full scale is 32768.

    Groups are the table's: callers, speakers, recordings; the file where it has none.
    Clips that cannot be read are left out, and counted.

    Raises:
      ExampleError: None can be read.
      sigjax.data.clips.ManifestError: It is no table of clips.
      FileNotFoundError: It is not there.
    """
    manifest = read_calls(epath.Path(config.path).expanduser())
    counts: collections.Counter[str] = collections.Counter()
    reasons: dict[str, list[str]] = collections.defaultdict(list)
    rows, waves = [], []
    sounds = read_clips(
        manifest.root,
        manifest.calls,
        rate_hz=config.rate_hz,
        channel=audio.checked_channel(config.channel),
        threads=_THREADS,
    )
    for row, sound in enumerate(sounds):
        reason = sound.reason or ("" if len(sound.wave) else "is shorter than a sample")
        if reason:
            reasons[reason].append(manifest.calls[row].id)
            continue
        rows.append(row)
        waves.append(centred(sound.wave, config.samples))
        counts["longer"] += len(sound.wave) > config.samples
        counts["shorter"] += len(sound.wave) < config.samples
        counts["silent"] += sound.silent
    remarks = [
        f"{len(ids)} clips left out: {reason}; {ids[0]}"
        for reason, ids in sorted(reasons.items())
    ]
    if not rows:
        raise ExampleError(f"{config.path}: no clip can be read: {'; '.join(remarks)}")
    done = {"longer": "cut to their middle", "shorter": "padded", "silent": "silent"}
    remarks += [f"{counts[key]} clips {done[key]}" for key in done if counts[key]]
    calls = [manifest.calls[row] for row in rows]
    examples = example_set(
        np.stack(waves),
        label=manifest.labels[np.array(rows)],
        group=[call.source for call in calls],
        ids=[call.id for call in calls],
        classes=manifest.classes,
        rate_hz=config.rate_hz,
        units="full scale",
        origin=f"{len(rows)} clips of {config.path}",
    )
    return Loaded(examples, np.array([call.split for call in calls]), tuple(remarks))
