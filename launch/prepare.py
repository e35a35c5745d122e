r"""Prepares wrist recordings for training.

python -m launch.prepare --input=FOLDER --output=STORE --preset=paper --min_wear_h=1

FOLDER is searched with all that is below it; a file or a pattern such as
'raw/*/ACC.csv' works too. Run again with the same flags, it continues where it was
stopped and adds files that are new. What became of every file is in STORE/report.json.
"""

import collections
import dataclasses
import functools
import re
import sys

import tqdm
from absl import app, flags
from etils import epath

from sigjax.data import formats
from sigjax.data.wearable import batch, prepare


def _config() -> prepare.PrepareConfig:
    given = {
        "min_wear_h": flags.FLAGS.min_wear_h,
        "max_gap_s": flags.FLAGS.max_gap_s,
        "on_calibration_failure": flags.FLAGS.on_calibration_failure,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    return dataclasses.replace(prepare.PRESETS[flags.FLAGS.preset], **changes)


def _root(where: str) -> str | None:
    """The folder that names start from, the same whichever files it holds today."""
    if epath.Path(where).is_dir():
        return where
    fixed = re.split(r"[*?\[]", where, maxsplit=1)[0]
    return fixed.rpartition("/")[0] or "." if fixed != where else None


def table(report: batch.Report) -> str:
    """The report as text: counts, hours, and why files were not used."""
    rows = [
        ("device files found", report.found),
        ("  prepared", report.prepared),
        ("  already in the store", report.already_there),
        ("  unreadable", len(report.unreadable)),
        ("other files, not read", len(report.skipped)),
        ("in the store: segments", report.segments),
        ("  persons", report.persons),
        ("  recordings without a segment", len(report.dropped)),
    ]
    lines = [f"{label:<32}{count:>10,}" for label, count in rows]
    for key, hours in report.hours.items():
        label = f"hours {key.replace('_', ' ')}"
        lines.append(f"{label:<32}{hours:>10,.2f}")
    for title, losses in (
        ("unreadable", report.unreadable),
        ("not read", report.skipped),
        ("no segment", report.dropped),
    ):
        # "not calibrated (3 stationary windows, ...)": one line for each kind.
        kinds = collections.defaultdict(list)
        for loss in losses:
            kinds[loss[1].split(" (")[0]].append(loss)
        for kind, (first, *more) in kinds.items():
            lines.append(f"{len(more) + 1:>6,} {title}: {kind}; {': '.join(first)}")
    return "\n".join(lines)


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("input", None, "Folder, file or pattern of device files.")
    flags.DEFINE_string("output", None, "Folder of the store.")
    flags.DEFINE_enum(
        "preset", "paper", sorted(prepare.PRESETS), "Whose preprocessing to follow."
    )
    flags.DEFINE_float(
        "min_wear_h", None, "Shortest wear to keep, hours (preset paper: 24)."
    )
    flags.DEFINE_float(
        "max_gap_s", None, "Longest gap to bridge, seconds (presets: 2)."
    )
    flags.DEFINE_enum(
        "on_calibration_failure",
        None,
        ["drop", "keep"],
        "What to do with recordings that cannot be calibrated (preset paper: drop).",
    )
    flags.DEFINE_string(
        "person_regex",
        "",
        "Where a path names the person: a regular expression with a group named person,"
        r" such as '(?P<person>S\d+)_'. Default: the header's subject code, else the"
        " folder (Empatica E4), else the file name.",
    )
    flags.mark_flags_as_required(["input", "output"])


def main(argv: list[str]) -> None:
    """Prepares what the flags name."""
    if len(argv) > 1:
        raise app.UsageError(f"flags start with two dashes; not understood: {argv[1:]}")
    try:
        paths, skipped = formats.find_recordings(flags.FLAGS.input)
        report = batch.prepare_files(
            paths,
            flags.FLAGS.output,
            _config(),
            root=_root(flags.FLAGS.input),
            person_regex=flags.FLAGS.person_regex,
            skipped=skipped,
            progress=functools.partial(tqdm.tqdm, unit="file", desc="preparing"),
        )
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(table(report))


if __name__ == "__main__":
    define_flags()
    app.run(main)
