r"""Lists the calls of a folder as a manifest, divides them, and says what is in it.

    python -m launch.build_calls --layout=watkins --input=watkins --output=calls.csv

reads the Watkins, InfantMarmosetsVox, Mescalina and BEANS sets, the Free Spoken Digit
Dataset, ESC-10, ESC-50 and VGGSound as they are published, and folders that are called
as their classes. The layout is told from what is in the folder; `--layout` names it. A
table of one's own does as well:

    python -m launch.build_calls --manifest=own.csv --output=calls.csv --split=grouped

with the columns id, path, start, end, label, split and group, of which path is
required; paths are relative to `--input`, or to the table. `--output` is CSV, or JSON
lines if it ends in `.jsonl`; names of classes, in their order, go beside it.

`--split` divides the calls: `paper` is the random 70:20:10 split with PyTorch's seed
42, `stratified` divides each class, `grouped` keeps callers or recordings on one side,
`folds` and `leave_one_group_out` make a cross-validation. Random splits leak
individuals, which the report says. Calls that cannot be read are listed and left out,
before they are divided. With `--decode` all sound is decoded, not the headers alone.
"""

import collections
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tqdm
from absl import app, flags
from etils import epath

from launch import command
from sigjax.data import audio
from sigjax.data.calls import layouts, overview, reading, splits
from sigjax.data.calls.manifest import CallManifest, read_calls, with_splits
from sigjax.data.clips import LeftOut, ManifestError, Report


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    own: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_string("input", "", "Folder of the audio files and tables.", **own)
    flags.DEFINE_string("output", None, "The manifest, .csv or .jsonl.", **own)
    kinds = ["auto", *layouts.LAYOUTS]
    flags.DEFINE_enum("layout", "auto", kinds, "Whose folder this is.", **own)
    flags.DEFINE_string("manifest", "", "A table of one's own; see above.", **own)
    tasks = ["call_type", "caller"]
    whose = "Of marmosets: what is to be told apart."
    flags.DEFINE_enum("task", "call_type", tasks, whose, **own)
    divided = "How calls are divided; 'given' as the set does."
    flags.DEFINE_enum("split", "given", ["given", *splits.METHODS], divided, **own)
    shares = "Of training, validation and test, for stratified and grouped."
    defaults = [str(share) for share in splits.FRACTIONS]
    flags.DEFINE_list("fractions", defaults, shares, **own)
    flags.DEFINE_integer("folds", 5, "How many, for --split=folds.", **own)
    seed = "Of the division; by default 42 for paper, else 0."
    flags.DEFINE_integer("seed", None, seed, **own)
    flags.DEFINE_integer("rate_hz", 16000, "Rate at which calls are read.", **own)
    flags.DEFINE_string(
        "channel", "0", "Of files with several: index or 'mean'.", **own
    )
    odd = "Calls with less than two frames: repeated, as in the paper, or an error."
    flags.DEFINE_enum("short", "pad", list(reading.SHORT), odd, **own)
    whole = "Decode all sound: tells of damage, NaN, silence and clipping."
    flags.DEFINE_bool("decode", False, whole, **own)
    flags.DEFINE_integer("threads", 4, "Files read at once.", **own)
    flags.mark_flag_as_required("output", values)


def _listed(f: flags.FlagValues) -> tuple[CallManifest, Report]:
    """The calls of the input, and what was left out."""
    if not (f.input or f.manifest):
        raise ValueError("--input or --manifest is needed")
    if f.manifest:
        if f["layout"].present and f.layout != "auto":
            raise ValueError(
                f"--layout={f.layout} and --manifest contradict each other"
            )
        manifest = read_calls(f.manifest, f.input or None)
        files = len({call.path for call in manifest.calls})
        return manifest, Report(files=files, clips=len(manifest.calls))
    layout = layouts.layout_of(f.input) if f.layout == "auto" else f.layout
    options = {}
    if f["task"].present:
        if layout != "marmosets":
            raise ValueError(f"--task: only for marmosets, and {f.input} is {layout}")
        options["task"] = f.task
    return layouts.scan(f.input, layout, **options)


def _readable(
    manifest: CallManifest, found: reading.Survey, bad: Sequence[LeftOut]
) -> tuple[CallManifest, reading.Survey]:
    """Manifest and survey without the calls that cannot be read."""
    names = {name for name, _ in (*found.left_out, *bad)}
    kept = np.array([call.id not in names for call in manifest.calls], bool)
    if not kept.any():
        first = (*found.left_out, *bad)[0]
        raise ManifestError(
            f"{manifest.root}: none of {len(kept)} calls can be read; {first.path}:"
            f" {first.reason}"
        )
    remarks = {
        what: tuple(name for name in ids if name not in names)
        for what, ids in found.remarks.items()
    }
    calls = tuple(call for call, keep in zip(manifest.calls, kept, strict=True) if keep)
    survey = dataclasses.replace(
        found,
        seconds=found.seconds[kept],
        samples=found.samples[kept],
        remarks={what: ids for what, ids in remarks.items() if ids},
    )
    return dataclasses.replace(manifest, calls=calls), survey


def _decoded(
    manifest: CallManifest, found: reading.Survey, config: reading.ReadingConfig
) -> tuple[list[LeftOut], dict[str, tuple[str, ...]]]:
    """Calls that cannot be decoded, and remarks on the others."""
    bad: list[LeftOut] = []
    remarks: dict[str, list[str]] = collections.defaultdict(list)
    for row in tqdm.tqdm(found.usable.tolist(), unit="call", desc="decoding"):
        call = manifest.calls[row]
        wave = reading.read_call(manifest.root, call, int(found.samples[row]), config)
        if wave.reason:
            bad.append(LeftOut(call.id, wave.reason))
        for what in wave.remarks:
            remarks[what].append(call.id)
    return bad, {what: tuple(ids) for what, ids in remarks.items()}


def _report_lines(report: Report, left_out: Sequence[LeftOut]) -> Iterator[str]:
    """What was found and left out, by reason, with the first of each."""
    whole = dataclasses.replace(report, left_out=(*report.left_out, *left_out))
    # Calls are counted after those that cannot be read were taken out.
    yield from (line for line in whole.lines() if not line.endswith(" clips"))


def build(f: flags.FlagValues) -> None:
    """Writes the manifest that flags ask for, and prints what is in it."""
    config = reading.ReadingConfig(
        normalise="none",
        rate_hz=f.rate_hz,
        channel=audio.checked_channel(f.channel),
        short=f.short,
    )
    if epath.Path(f.output).suffix not in (".csv", ".jsonl"):
        raise ValueError(f"--output={f.output}: must end in .csv or .jsonl")
    manifest, report = _listed(f)
    found = reading.survey(manifest.root, manifest.calls, config, threads=f.threads)
    bad: list[LeftOut] = []
    if f.decode:
        bad, remarks = _decoded(manifest, found, config)
        found = dataclasses.replace(found, remarks={**found.remarks, **remarks})
    manifest, survey = _readable(manifest, found, bad)
    if f.split != "given":
        divided = splits.divide(
            manifest.calls,
            f.split,
            fractions=[float(share) for share in f.fractions],
            seed=f.seed,
            count=f.folds,
        )
        manifest = with_splits(manifest, divided)
    manifest.write(f.output)
    print(f.output)
    print("\n".join(_report_lines(report, (*found.left_out, *bad))))
    print("\n".join(overview.lines(manifest, survey)))


def main(argv: list[str]) -> None:
    """Lists what the flags name."""
    command.refuse_arguments(argv)
    errors = (FileNotFoundError, ValueError)
    with command.told(errors, "stopped; nothing was written"):
        build(flags.FLAGS)


if __name__ == "__main__":
    define_flags()
    app.run(main)
