"""Tables of an evaluation as files."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from etils import epath

from sigjax.train.writer import replace_file


def write_csv(
    path: epath.PathLike, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> None:
    """Writes a CSV with a row of names, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    replace_file(epath.Path(path), text.getvalue().encode())
