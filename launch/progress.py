"""A progress bar over files of unequal size."""

import collections
import sys
from types import TracebackType

import tqdm

from sigjax.data.wearable import jobs


class FilesBar:
    """Shows files done, failures, throughput, and the time left by bytes.

    A context manager; call it with each outcome.
    """

    def __init__(self, todo: tuple[jobs.Job, ...]):
        """Shows nothing before it is entered, and nothing at all for no files."""
        self._files = len(todo)
        self._bytes = sum(job.bytes for job in todo)
        self._ends: collections.Counter[str] = collections.Counter()

    def __enter__(self) -> "FilesBar":
        """Shows the bar."""
        self._bar = tqdm.tqdm(
            total=self._bytes or None,
            # The average since the start: workers finish in bursts.
            smoothing=0,
            bar_format="{percentage:3.0f}%|{bar}| {desc} [{elapsed}<{remaining}]",
            mininterval=0.5 if sys.stderr.isatty() else 30.0,
            disable=not self._files,
        )
        self._show()
        return self

    def __call__(self, outcome: jobs.Outcome) -> None:
        """Counts a file."""
        self._ends[outcome.status] += 1
        # tqdm draws at its own interval; the text must be ready for that.
        self._bar.set_description_str(self._text(), refresh=False)
        self._bar.update(outcome.job.bytes)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves the last state on the screen."""
        self._show()
        self._bar.close()

    def _show(self) -> None:
        self._bar.set_description_str(self._text(), refresh=True)

    def _text(self) -> str:
        done = sum(self._ends.values())
        text = f"{done}/{self._files} files"
        for status in ("dropped", "unreadable"):
            if self._ends[status]:
                text += f", {self._ends[status]} {status}"
        hours = self._bar.format_dict["elapsed"] / 3600
        if done and hours:
            gigabytes = self._bar.n / 1e9 / hours
            text += f", {done / hours:,.0f} files/h, {gigabytes:,.1f} GB/h"
        return text
