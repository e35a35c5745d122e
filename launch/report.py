r"""Writes the report of a store: what came in, what was lost and why.

python -m launch.report --store=STORE --recordings=P001,P002

launch.prepare writes the same report when it ends. This command writes it again, at
any time, with the movement of the recordings that are named, day by day. It leaves
report.html, report.csv and report.parquet in the store (or in --output), and a
picture of each named recording in weeks/.
"""

import difflib
import functools
import sys

import tqdm
from absl import app, flags

from launch import command
from sigjax.data import store_layout
from sigjax.data.wearable import report

_SHOWN = 5


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("store", None, "Folder or URL of the store.")
    flags.DEFINE_list(
        "recordings",
        [],
        "Names of recordings whose movement is drawn, or 'all'. Default: the first"
        " three.",
    )
    flags.DEFINE_string("output", None, "Where to write. Default: the store.")
    flags.mark_flag_as_required("store")


def chosen(wanted: list[str], rows: list[report.Row]) -> list[str]:
    """The names of the recordings to draw.

    Raises:
      ValueError: One is not in the store, or is not used; says which come near.
    """
    status = {row.name: row for row in rows}
    used = [row.name for row in rows if row.status == "used"]
    if wanted == ["all"] and "all" not in used:
        return used
    for name in wanted:
        if name in status and status[name].status != "used":
            row = status[name]
            raise ValueError(
                f"recording {name!r} has nothing to draw: {row.status}, {row.detail}"
            )
        if name not in status:
            near = difflib.get_close_matches(name, used, _SHOWN, cutoff=0.5)
            near = near or used[:_SHOWN]
            hint = f"did you mean {', '.join(near)}?" if near else "it has none in use"
            raise ValueError(
                f"no recording is called {name!r}; {hint} The name column of"
                " report.csv has them all"
            )
    return list(dict.fromkeys(wanted))


def main(argv: list[str]) -> None:
    """Writes the report that the flags ask for."""
    command.refuse_arguments(argv)
    try:
        names = []
        if flags.FLAGS.recordings:
            rows = report.rows(flags.FLAGS.store)
            names = chosen(flags.FLAGS.recordings, rows)
        written = report.write(
            flags.FLAGS.store,
            names,
            output=flags.FLAGS.output,
            progress=functools.partial(
                tqdm.tqdm, unit="recording", desc="drawing", disable=not names
            ),
        )
    except (store_layout.StoreError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(report.text(written.summary))
    print(f"report: {written.folder.rstrip('/')}/report.html")
    if written.weeks:
        print(f"{len(written.weeks):,} pictures: {written.folder.rstrip('/')}/weeks/")
    for name, why in written.not_drawn:
        print(f"not drawn: {name}: {why}", file=sys.stderr)


if __name__ == "__main__":
    define_flags()
    app.run(main)
