r"""Builds a set of audio events from audio files and tables, as a TFDS dataset.

    python -m launch.build_events --input=ESC-50-master --output=sets --name=esc50

reads ESC-50, ESC-10, AudioSet, VGGSound, Kinetics-Sounds and EPIC-KITCHENS-100 as they
are published, with the sound in any folders below the input, and writes
`sets/esc50/1.0.0`. The layout is told from the tables; `--layout` names it. Folders
that are called as their classes do as well, and so does a table of one's own:

    python -m launch.build_events --input=clips --manifest=clips.csv --output=sets

with the columns path, start_s, end_s, labels (separated by `|`), verb, noun, split,
fold and group, of which path and labels (or verb and noun) are required; paths are
relative to the input. Names of classes, in their order, are those of
`clips_classes.csv` (head,name) if that is there, else those that occur.

Clips whose sound is missing, damaged or too short are counted and listed, never left
out silently. A set is complete or it is not there: run again after a build that was
stopped. It is read with `sigjax.data.audio_events.sounds.EventSet`.
"""

import collections
from typing import Any

from absl import app, flags, logging

from launch import clip_tables, command
from sigjax.data import audio
from sigjax.data.audio_events import folder, layouts, sounds
from sigjax.data.audio_events.clips import EventManifest, Report
from sigjax.data.datasets import audio_events
from sigjax.data.datasets.sound_clips import SoundSettings

# As many classes as a table names one by one.
_MANY_CLASSES = 60


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    own: dict[str, Any] = {"flag_values": values}

    def text(name: str, default: str | None, meaning: str) -> None:
        flags.DEFINE_string(name, default, meaning, **own)

    text("input", None, "Folder of the audio files and tables.")
    text("output", None, "Folder of sets; this one is in OUTPUT/NAME.")
    text("name", "", "Name of the set; by default its layout.")
    kinds = ["auto", *layouts.LAYOUTS]
    whose = "Whose tables these are; 'folder' for folders called as their classes."
    flags.DEFINE_enum("layout", "auto", kinds, whose, **own)
    text("manifest", "", "CSV of the clips; see above.")
    several = "Of a manifest: a clip has any number of labels."
    flags.DEFINE_bool("multi_label", None, several, **own)
    ten = "Of ESC-50: the ten classes of ESC-10 alone."
    flags.DEFINE_bool("esc10", False, ten, **own)
    videos = "Of AudioSet: files named by the video alone are all of it, to be cut."
    flags.DEFINE_bool("whole_videos", False, videos, **own)
    others = "Of Kinetics-Sounds: other classes, in their order."
    flags.DEFINE_list("classes", [], others, **own)
    flags.DEFINE_integer("rate_hz", 16000, "All clips are resampled to it.", **own)
    text("channel", "0", "Of files with several: an index or 'mean'.")
    least = "Shorter clips are left out."
    flags.DEFINE_float("min_s", audio_events.MIN_S, least, **own)
    cores = "Files read at once; 0 for all cores."
    flags.DEFINE_integer("threads", 0, cores, **own)
    text("write_manifest", "", "Also write the list of clips here, CSV.")
    flags.DEFINE_bool("overwrite", False, "Replace the set if it is there.", **own)
    flags.mark_flags_as_required(["input", "output"], values)


# Flags that one layout alone knows.
_OF_LAYOUT = {
    "multi_label": "manifest",
    "esc10": "esc50",
    "whole_videos": "audioset",
    "classes": "kinetics_sounds",
}


def _listed(f: flags.FlagValues) -> tuple[str, EventManifest, Report]:
    """The layout of the input, and its clips."""
    if f.manifest:
        if f["layout"].present and f.layout != "auto":
            raise ValueError(
                f"--layout={f.layout} and --manifest contradict each other"
            )
        layout = "manifest"
    else:
        layout = layouts.layout_of(f.input) if f.layout == "auto" else f.layout
    options = {}
    for name, of in _OF_LAYOUT.items():
        if f[name].present and of != layout:
            raise ValueError(f"--{name}: only for {of}, and {f.input} is {layout}")
        if f[name].present:
            options[name] = f[name].value
    if f.manifest:
        return "events", *folder.scan_manifest(f.input, f.manifest, **options)
    return layout, *layouts.scan(f.input, layout, **options)


def table(dataset: sounds.EventSet) -> str:
    """What is in a set and what is not, as text."""
    lines = clip_tables.lines(dataset)
    parts = collections.Counter((clip.split, clip.fold) for clip in dataset.clips)
    for (split, fold), number in sorted(parts.items()):
        lines.append(f"{number:>8,} {split}{f', fold {fold}' if fold else ''}")
    for head, names in dataset.classes.items():
        counts = collections.Counter(
            name for clip in dataset.clips for name in clip.named(head)
        )
        lines.append(f"{len(names):>8,} classes of {head!r}")
        if len(names) <= _MANY_CLASSES:
            lines += [f"{counts[name]:>16,} {name}" for name in names]
        else:
            ends = counts.most_common()
            for name, number in (*ends[:3], *ends[-3:]):
                lines.append(f"{number:>16,} {name}")
    return "\n".join(lines)


def build(f: flags.FlagValues) -> None:
    """Builds what flags name, and prints what is in it."""
    settings = SoundSettings(
        rate_hz=f.rate_hz, channel=audio.checked_channel(f.channel), min_s=f.min_s
    )
    layout, manifest, report = _listed(f)
    if f.write_manifest:
        manifest.write(f.write_manifest)
    path, new = audio_events.build(
        manifest,
        report,
        f.output,
        name=f.name or layout,
        settings=settings,
        **clip_tables.build_options(f),
    )
    print(f"{path}{'' if new else ' (was built before)'}")
    print(table(sounds.EventSet.open(path)))


def main(argv: list[str]) -> None:
    """Builds what the flags name."""
    command.refuse_arguments(argv)
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # TFDS tells of each split.
    errors = (FileNotFoundError, ValueError)
    with command.told(errors, "stopped; nothing was left behind"):
        build(flags.FLAGS)


if __name__ == "__main__":
    define_flags()
    app.run(main)
