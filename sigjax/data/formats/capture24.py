"""Reads recordings as Capture-24 publishes them: `P001.csv.gz` and so on.

Columns `time,x,y,z,annotation`: 100 Hz, in g, already calibrated and resampled, with
an annotation on about two thirds of the samples. Times are local to the participant,
without a zone, and randomised (Chan Chang et al. 2021, Capture-24, ORA,
uuid:99d7c092-d865-4a19-b096-cc16440cd001). `capture24_labels` turns annotations into
the classes of a label scheme.
"""

import dataclasses
import re

from etils import epath

from sigjax.data.formats import table_csv
from sigjax.data.formats.options import DEFAULT, CsvLayout, ReadOptions
from sigjax.data.formats.source import Source
from sigjax.data.recording import Recording

HEADER = "time,x,y,z,annotation"
_LAYOUT = CsvLayout(x="x", y="y", z="z", time="time", label="annotation")


def recognises(source: Source) -> bool:
    """Whether a `.csv` begins with the column names of Capture-24."""
    if not source.kind.endswith(".csv"):
        return False
    rows = source.first_rows
    return bool(rows) and rows[0].strip() == HEADER


def read_capture24(
    source: epath.PathLike | bytes | Source,
    *,
    name: str = "",
    options: ReadOptions = DEFAULT,
) -> Recording:
    """Reads one recording of Capture-24.

    Args:
      source: A path (local or in a bucket, `.gz` and `.zip` too) or the bytes of a
        file.
      name: What to call the source; the path unless given.
      options: Nothing of it applies. The published times are randomised, so no zone
        could tell their daylight saving.

    Returns:
      The recording. The channel `"label"` holds int16 codes of the annotations in
      `metadata["labels"]`, -1 where there is none; `metadata["subject_code"]` is the
      participant (`"P001"`) if the file is named so. `table_csv.read_table` tells
      the rest.

    Raises:
      FormatError: If this is no such table.
      FileNotFoundError: If there is no such file.
    """
    del options
    source = Source(source, name)
    recording = table_csv.read_table(source, options=ReadOptions(csv=_LAYOUT))
    metadata = dict(recording.metadata)
    person = re.fullmatch(r"(p\d{3})\.csv", source.kind)
    if person:
        metadata["subject_code"] = person[1].upper()
    return dataclasses.replace(recording, device="Capture-24", metadata=metadata)
