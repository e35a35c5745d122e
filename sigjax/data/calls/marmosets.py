"""InfantMarmosetsVox (Sarkar and Magimai-Doss 2023): calls of ten infant marmosets.

    labels.csv: filename,start,end,duration,calltype,caller
    data/twin_1/DATE_Twin1_marmoset1.wav

Times are in seconds. Call types are numbers; silence (11), noise (12) and what is above
are left out, as in the paper.
"""

import re
from typing import Literal

from etils import epath

from sigjax.data.audio_events.listing import number_of
from sigjax.data.calls.listing import CallListing
from sigjax.data.calls.manifest import Call, CallManifest, stretch_id
from sigjax.data.clips import ManifestError, Report

CALL_TYPES = (
    "Peep(Pre-Phee)",
    "Phee",
    "Twitter",
    "Trill",
    "Trillphee",
    "Tsik Tse",
    "Egg",
    "Pheecry",
    "TrllTwitter",
    "Pheetwitter",
    "Peep",
)
_NO_CALLS = {11: "silence", 12: "noise"}
_CALLER = re.compile(r"twin[ _-]?(\d+)[ _-]?marmoset[ _-]?(\d+)", re.IGNORECASE)
# Of times that were rounded to milliseconds.
_ROUNDING_S = 2e-3


def scan(
    root: epath.PathLike, *, task: Literal["call_type", "caller"] = "call_type"
) -> tuple[CallManifest, Report]:
    """Lists the calls of a folder that holds `labels.csv`.

    Args:
      root: The folder.
      task: What is to be told apart: call types, with callers as groups; or callers,
        with recordings as groups.

    Returns:
      Calls in the order of the table, call types in the order of their numbers, and
      what was left out.

    Raises:
      ManifestError: The table is missing or wrong, or there is no audio.
      FileNotFoundError: There is no such folder.
    """
    listing = CallListing(root)
    table, rows = listing.rows(
        "labels.csv",
        needed=("filename", "start", "end", "calltype", "caller"),
        what="the table of InfantMarmosetsVox is needed",
    )
    other_lengths = 0
    for line, row in rows:
        kind = int(number_of(table, line, "calltype", row["calltype"]))
        start_s = number_of(table, line, "start", row["start"])
        end_s = number_of(table, line, "end", row["end"])
        if not 0 <= kind < len(CALL_TYPES):
            what = _NO_CALLS.get(kind, f"call type {kind}")
            listing.counts[f"rows of {what}, left out as in the paper"] += 1
            continue
        path = listing.find(row["filename"])
        if path is None:
            continue
        if row.get("duration"):
            length_s = number_of(table, line, "duration", row["duration"])
            other_lengths += abs(end_s - start_s - length_s) > _ROUNDING_S
        found = _CALLER.search(path)
        caller = (
            f"twin {found[1]} marmoset {found[2]}"
            if found
            else f"caller {row['caller']}"
        )
        try:
            call = Call(
                id=stretch_id(path, start_s, end_s),
                path=path,
                label=CALL_TYPES[kind] if task == "call_type" else caller,
                group=caller if task == "call_type" else path,
                start_s=start_s,
                end_s=end_s,
            )
        except ManifestError:
            listing.leave_out(
                f"row {line}", f"from {start_s} s to {end_s} s is no stretch"
            )
            continue
        listing.add(call)
    if other_lengths:
        listing.warnings.append(
            f"{other_lengths:,} rows of {table.name} have another duration than end -"
            " start, which is what is read: are the times in seconds?"
        )
    return listing.finished(CALL_TYPES if task == "call_type" else None)
