r"""Builds a labelled set from raw files, as a TFDS dataset (TensorFlow is not needed).

    python -m launch.build_dataset --dataset=capture24 --input=capture24 --output=sets

reads `P001.csv.gz`... and the two tables beside them and writes `sets/capture24/1.0.0`.

    python -m launch.build_dataset --dataset=labelled_csv --input=DATA --output=sets \
        --csv='x=x_acc,y=y_acc,z=z_acc,unit=m/s2,time=timestamp,time_unit=ms,'\
    'label=label' --person_regex='(?P<person>s\d+)_' --record_s=1 --label_s=1

does so with any labelled tables. Every setting of `launch.prepare` is a flag here too.
A set is complete or it is not there: run again after a build that was stopped. It is
read with `sigjax.data.labelled.LabelledSet`, or by its people with
`tfds.data_source("capture24", data_dir="sets", split="P001+P002")`.
"""

import collections
import dataclasses
import functools
from typing import Any

import numpy as np
import tqdm
from absl import app, flags, logging

from launch import command
from launch.wrist import prepare_flags
from sigjax.data import labelled, splits
from sigjax.data.datasets import builder, capture24, labelled_csv
from sigjax.data.datasets.records import BuildSettings
from sigjax.data.wearable import pool

DATASETS = {
    "capture24": (capture24.Capture24, capture24.settings),
    "labelled_csv": (labelled_csv.LabelledCsv, labelled_csv.settings),
}
_MOST_COLUMNS = 12


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_enum("dataset", None, sorted(DATASETS), "Which set.")
    flags.DEFINE_string("input", None, "Folder, file or pattern of the raw files.")
    flags.DEFINE_string("output", None, "Folder of sets; this one is in OUTPUT/NAME.")
    flags.DEFINE_float("record_s", None, "Length of a record, seconds (300; CSV: 10).")
    flags.DEFINE_float("label_s", None, "Length of a label's window, seconds (10).")
    prepare_flags.define_config()
    prepare_flags.define_reading()
    flags.DEFINE_integer(
        "workers",
        0,
        "Processes; 0 for as many as cores and memory allow.",
        lower_bound=0,
    )
    flags.DEFINE_bool("overwrite", False, "Replace the set if it is there.")
    flags.DEFINE_string(
        "scheme", "", "Label scheme of the table that is printed; by default the first."
    )
    flags.mark_flags_as_required(["dataset", "input", "output"])


def _settings() -> BuildSettings:
    base = DATASETS[flags.FLAGS.dataset][1](flags.FLAGS.input)
    given: dict[str, Any] = {
        name: flags.FLAGS[name].value
        for name in ("record_s", "label_s", "person_regex")
        if flags.FLAGS[name].present
    }
    return dataclasses.replace(
        base,
        prepare=prepare_flags.config(base.prepare),
        options=prepare_flags.options(),
        **given,
    )


def table(dataset: labelled.LabelledSet, scheme: str) -> str:
    """What is in a set and what is not, as text."""
    recordings = dataset.metadata["recordings"]
    used = [r for r in recordings if r["quality"]["status"] == "used"]
    rows: list[tuple[str, str]] = [
        ("files found", f"{len(recordings):,}"),
        ("  used", f"{len(used):,}"),
        ("people", f"{len(dataset.people):,}"),
        ("stretches of wear", f"{len(dataset.segments):,}"),
    ]
    hours: collections.Counter[str] = collections.Counter()
    for recording in recordings:
        hours.update(recording["quality"].get("hours", {}))
    rows += [(f"hours {k.replace('_', ' ')}", f"{v:,.2f}") for k, v in hours.items()]
    lines = [f"{label:<32}{value:>12}" for label, value in rows]
    lines += _losses(dataset)
    lines += _divisions(dataset)
    lines += _classes(dataset, scheme)
    return "\n".join(lines)


def _losses(dataset: labelled.LabelledSet) -> list[str]:
    """Why files are not used, one line for each kind, with the first of it."""
    kinds = collections.defaultdict(list)
    for recording in dataset.metadata["recordings"]:
        status = recording["quality"]["status"]
        if status != "used":
            kinds[status.split(" (")[0]].append((recording["source"], status))
    for source, reason in dataset.metadata["not_read"]:
        kinds["not supported"].append((source, reason))
    lines = []
    for kind, ((source, reason), *more) in sorted(kinds.items()):
        detail = "" if reason == kind else f": {reason}"
        lines.append(f"{len(more) + 1:>6,} {kind}; {source}{detail}")
    return lines


def _divisions(dataset: labelled.LabelledSet) -> list[str]:
    """The divisions of this set's people that are fixed by name, and who lacks."""
    lines = []
    for name in splits.names(dataset.name):
        absent = dataset.absent(name)
        for side, people in splits.person_split(name, dataset=dataset.name).items():
            lacks = absent[side]
            text = f"{name}, {side}: {len(people) - len(lacks)} of {len(people)} people"
            some = ", ".join(lacks[:5]) + (", ..." if len(lacks) > 5 else "")
            lines.append(text + (f"; absent: {some}" if lacks else ""))
    return lines


def _classes(dataset: labelled.LabelledSet, scheme: str) -> list[str]:
    """Label windows by class, and by person and class where that fits on a line."""
    counts = dataset.counts(scheme)
    names = [*dataset.scheme(scheme).classes, "(none)"]
    total = np.sum(list(counts.values()), axis=0)
    lines = [f"{scheme}: windows of {dataset.label_s:g} s, hours, people"]
    for number, name in enumerate(names):
        hours = int(total[number]) * dataset.label_s / 3600
        people = sum(bool(own[number]) for own in counts.values())
        lines.append(f"  {name:<30}{total[number]:>12,}{hours:>12,.2f}{people:>8,}")
    if len(names) <= _MOST_COLUMNS:
        lines.append("windows by person: " + ", ".join(names))
        for person, own in counts.items():
            lines.append(f"  {person:<12}" + " ".join(f"{n:7,}" for n in own))
    return lines


def _build() -> None:
    workers = flags.FLAGS.workers or pool.default_workers()[0]
    kind, _ = DATASETS[flags.FLAGS.dataset]
    folder, new = builder.build(
        kind,
        _settings(),
        flags.FLAGS.output,
        workers=workers,
        overwrite=flags.FLAGS.overwrite,
        progress=functools.partial(tqdm.tqdm, unit="file", desc="preparing"),
    )
    dataset = labelled.LabelledSet.open(folder)
    print(f"{folder}{'' if new else ' (was built before)'}")
    print(table(dataset, flags.FLAGS.scheme or dataset.default_scheme))


def main(argv: list[str]) -> None:
    """Builds what the flags name."""
    command.refuse_arguments(argv)
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # TFDS tells of each split.
    errors = (FileNotFoundError, ValueError, pool.WorkerError)
    with command.told(errors, "stopped; nothing was left behind"):
        _build()


if __name__ == "__main__":
    define_flags()
    app.run(main)
