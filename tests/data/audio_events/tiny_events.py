"""Tiny audio files and tables, under the names that sets are published with."""

import numpy as np
import soundfile
from etils import epath

from sigjax.data.audio_events.clips import (
    EventClip,
    EventManifest,
    Report,
    occurring,
)
from sigjax.data.audio_events.sounds import EventSet
from sigjax.data.datasets import audio_events
from tests.data.machine_sound.tiny_sounds import write, write_table

RATE_HZ = 16000


def audioset(root):
    """Two balanced segments (one without sound), three to evaluate, five classes."""
    write_table(
        root / "class_labels_indices.csv",
        [
            "index,mid,display_name",
            '0,/m/09x0r,"Speech"',
            '1,/m/0ytgt,"Child speech, kid speaking"',
            '2,/m/0bt9lr,"Dog"',
            "3,/t/dd00088,Gush",
            "4,/m/04rlf,Music",
        ],
    )
    head = [
        "# Segments csv created Sun Mar  5 10:54:31 2017",
        "# num_ytids=2, num_segs=2, num_unique_labels=527, num_positive_labels=3",
        "# YTID, start_seconds, end_seconds, positive_labels",
    ]
    write_table(
        root / "balanced_train_segments.csv",
        [
            *head,
            '--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"',
            '--ZhevVpy1s, 50.000, 60.000, "/m/0ytgt"',
        ],
    )
    write_table(
        root / "eval_segments.csv",
        [
            *head,
            '--4gqARaEJE, 0.000, 10.000, "/m/0bt9lr,/m/unknown"',
            '-0RWZT-miFs, 420.000, 430.000, "/m/04rlf"',
            '--BfvyPmVMo, 20.000, 30.000, "/m/nothing"',
        ],
    )
    write(
        root,
        [
            "bal/Y--PJHxphWEs.wav",
            "eval/--4gqARaEJE_0.000.flac",
            "eval/-0RWZT-miFs_420000_430000.wav",
            "eval/stranger.wav",
        ],
        samples=800,
    )
    return root


def numbered(root, lengths, *, labels=("a", "b", "c"), folds=0, per_group=1):
    """A manifest of ramps: sample `t` of clip `i` is `1000 * i + t`, 16 bits."""
    root.mkdir(parents=True, exist_ok=True)
    clips = []
    for number, length in enumerate(lengths):
        wave = (1000 * number + np.arange(length)).astype(np.int16)
        soundfile.write(root / f"{number:02d}.wav", wave, RATE_HZ, subtype="PCM_16")
        group = number // per_group
        clips.append(
            EventClip(
                path=f"{number:02d}.wav",
                labels=(labels[number % len(labels)],),
                fold=1 + number * folds // len(lengths) if folds else 0,
                group=f"g{group}",
            )
        )
    return EventManifest(
        root=epath.Path(root),
        clips=tuple(clips),
        kind="single",
        classes=occurring(clips, "single"),
    )


def built(manifest, folder, **options):
    """A set of a manifest, opened."""
    count = len(manifest.clips)
    report = Report(files=count, clips=count)
    return EventSet.open(audio_events.build(manifest, report, folder, **options)[0])
