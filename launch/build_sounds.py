r"""Builds a set of machine sounds from audio files, as a TFDS dataset.

    python -m launch.build_sounds --input=dcase2021 --truth=dcase2021_task2_evaluator \
        --output=sets

reads `dcase2021/{dev_data,eval_data}/[raw/]MACHINE/...`, of any year from 2020 on,
takes labels of evaluation clips from the organisers' ground truth by name, and writes
`sets/machine_sounds/1.0.0`. Any other folder of WAV, FLAC or OGG files does as well:

    python -m launch.build_sounds --input=recordings --output=sets --name=motors \
        --pattern='(?P<condition>\w+)/(?P<section>M\d)/' --anomaly=propeller,bearing

or with a table of the files, `--manifest=clips.csv`, of which only the column `path` is
required (path, start_s, end_s, year, split, machine, section, side, domain, label,
attributes). A set is complete or it is not there: run again after a build that was
stopped. It is read with `sigjax.data.machine_sound.sounds.SoundSet`.
"""

from absl import app, flags, logging

from launch import clip_tables, command
from sigjax.data import audio
from sigjax.data.datasets import machine_sound
from sigjax.data.machine_sound import clips, folder, layout, sounds


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("input", None, "Folder of the audio files.")
    flags.DEFINE_string("truth", "", "Folder (or one CSV) of DCASE ground truth.")
    flags.DEFINE_string("output", None, "Folder of sets; this one is in OUTPUT/NAME.")
    flags.DEFINE_string("name", "machine_sounds", "Name of the set.")
    flags.DEFINE_enum(
        "layout",
        "auto",
        ["auto", "dcase", "folder"],
        "'dcase' for that of DCASE Task 2, 'folder' for any other; 'auto' looks for"
        " machine folders with train or test in them.",
    )
    flags.DEFINE_integer("year", None, "Of DCASE, where the folders do not tell.")
    flags.DEFINE_string("manifest", "", "CSV of the files; see above.")
    flags.DEFINE_string("machine", "", "Machine of all files that do not say it.")
    flags.DEFINE_string(
        "pattern",
        "",
        "Regular expression searched in each path; its groups machine, section, side,"
        " domain, condition say what they are called, others are attributes.",
    )
    flags.DEFINE_list("normal", [], "More words for normal, as folders are called.")
    flags.DEFINE_list("anomaly", [], "More words for an anomaly.")
    flags.DEFINE_float("test_fraction", 0.0, "Share of normal clips kept for testing.")
    flags.DEFINE_float("cut_s", None, "Cut longer files into stretches of this length.")
    flags.DEFINE_integer("rate_hz", 16000, "All clips are resampled to it.")
    flags.DEFINE_string("channel", "0", "Of files with several: an index or 'mean'.")
    flags.DEFINE_integer("threads", 0, "Files read at once; 0 for all cores.")
    flags.DEFINE_string("write_manifest", "", "Also write the list of clips here, CSV.")
    flags.DEFINE_bool("overwrite", False, "Replace the set if it is there.")
    flags.mark_flags_as_required(["input", "output"])


# Flags that one of the two layouts alone knows.
_OF_DCASE = ("truth", "year")
_OF_FOLDERS = (
    "manifest",
    "machine",
    "pattern",
    "normal",
    "anomaly",
    "test_fraction",
    "cut_s",
)


def _listed() -> tuple[clips.Manifest, clips.Report]:
    """The clips of the input, in the layout that it has."""
    f = flags.FLAGS
    given = {name for name in (*_OF_DCASE, *_OF_FOLDERS) if f[name].present}
    kind = f.layout
    if kind == "auto":
        kind = "folder"
        if not given & set(_OF_FOLDERS) and layout.machine_folders(f.input):
            kind = "dcase"
    wrong = given & set(_OF_FOLDERS if kind == "dcase" else _OF_DCASE)
    if wrong:
        other = "any other folder" if kind == "dcase" else "the layout of DCASE"
        names = ", ".join(f"--{name}" for name in sorted(wrong))
        raise ValueError(f"{names}: only for {other}, and {f.input} is read as {kind}")
    if kind == "dcase":
        return layout.scan(f.input, truth=f.truth or None, year=f.year)
    return folder.folder_manifest(
        f.input,
        f.manifest or None,
        machine=f.machine,
        pattern=f.pattern,
        normal=f.normal,
        anomaly=f.anomaly,
        test_fraction=f.test_fraction,
        cut_s=f.cut_s,
    )


def table(dataset: sounds.SoundSet) -> str:
    """What is in a set and what is not, as text."""
    lines = clip_tables.lines(dataset)
    lines.append(f"{'machine':<20}{'section':>8} {'side':<13}normal anomaly unknown")
    for (machine, section, side), counts in clips.count(dataset.clips).items():
        numbers = "".join(f"{counts[label]:>8,}" for label in (0, 1, -1))
        lines.append(f"{machine:<20}{section:>8} {side:<11}{numbers}")
    return "\n".join(lines)


def _build() -> None:
    f = flags.FLAGS
    settings = machine_sound.SoundSettings(
        rate_hz=f.rate_hz, channel=audio.checked_channel(f.channel)
    )
    manifest, report = _listed()
    if f.write_manifest:
        manifest.write(f.write_manifest)
    path, new = machine_sound.build(
        manifest,
        report,
        f.output,
        name=f.name,
        settings=settings,
        **clip_tables.build_options(f),
    )
    print(f"{path}{'' if new else ' (was built before)'}")
    print(table(sounds.SoundSet.open(path)))


def main(argv: list[str]) -> None:
    """Builds what the flags name."""
    command.refuse_arguments(argv)
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # TFDS tells of each split.
    errors = (FileNotFoundError, ValueError)
    with command.told(errors, "stopped; nothing was left behind"):
        _build()


if __name__ == "__main__":
    define_flags()
    app.run(main)
