"""What is said of a stream of scores: alarms, drift, troubles, and the end."""

import dataclasses
import math
from collections.abc import Callable

from sigjax.evals.sound_timeline_figures import clock
from sigjax.inference.sounds.watch import Row


@dataclasses.dataclass
class Tally:
    """Counts of a whole stream.

    Attributes:
      scored: Windows with a score.
      anomalous: Of these, above the threshold.
      refused: Windows with something wrong, and no score.
      skipped: Windows not looked at, to catch up.
      busy_s: Seconds of work.
      behind_s: Most seconds that a row came after its sound.
    """

    scored: int = 0
    anomalous: int = 0
    refused: int = 0
    skipped: int = 0
    busy_s: float = 0.0
    behind_s: float = 0.0

    def add(self, row: Row, busy_s: float, behind_s: float) -> None:
        """Counts a row that took `busy_s` seconds, `behind_s` after its sound came."""
        self.busy_s += busy_s
        self.behind_s = max(self.behind_s, behind_s)
        self.scored += row.decision >= 0
        self.refused += row.decision < 0
        self.anomalous += row.decision == 1

    def text(self, heard_s: float, hop_s: float, alarms: int, live: bool) -> str:
        """Two lines for people."""
        windows = self.scored + self.refused + self.skipped
        text = f"heard {clock(heard_s)}: {windows:,} windows, {self.scored:,}"
        text += f" scored, {self.refused:,} not scored, {self.skipped:,} skipped;"
        text += f" {self.anomalous:,} above the threshold, {alarms:,} alarms"
        if self.scored:
            each_s = self.busy_s / (windows - self.skipped)
            text += (
                f"\n{each_s:.3f} s for each window, one every {hop_s:g} s:"
                f" {hop_s / each_s:.1f} times real time"
            )
            if live:
                text += f"; at most {max(self.behind_s, 0):.1f} s behind"
            if each_s > hop_s:
                text += (
                    f"\ntoo slow for a live source: take --hop_s={math.ceil(each_s)}"
                    " or more, or --nonearest"
                )
        return text


class Events:
    """Says what changes from row to row.

    Attributes:
      alarms: How many have begun.
    """

    def __init__(self, say: Callable[[str], None]):
        """Nothing has happened."""
        self._say, self.alarms = say, 0
        self._begun_s, self._highest = math.nan, -math.inf
        self._alarm, self._drift, self._dumb = False, "", ""
        self._said: set[str] = set()
        self._open_set = 0

    def add(self, row: Row) -> None:
        """Takes the next row."""
        at = clock(row.end_s)
        if row.alarm and not self._alarm:
            self.alarms += 1
            self._begun_s, self._highest = row.end_s, -math.inf
            self._say(f"{at} ALARM: score {row.score:.4g} above {row.threshold:.4g}")
        if row.alarm and row.score > self._highest:
            self._highest = row.score
        if self._alarm and not row.alarm:
            lasted = clock(row.end_s - self._begun_s)
            self._say(f"{at} alarm ends after {lasted}; highest {self._highest:.4g}")
        if row.drift != self._drift:
            side = {"high": "above", "low": "below"}.get(row.drift)
            where = f"{side} its limits" if side else "within its limits again"
            self._say(f"{at} drift: the running median of scores is {where}")
        self._alarm, self._drift = row.alarm, row.drift
        self._remark(row, at)
        self._known(row, at)

    def _remark(self, row: Row, at: str) -> None:
        """Each kind of remark once; what is not scored whenever it begins and ends."""
        dumb = "" if row.decision >= 0 else row.kinds[0]
        if dumb == "skipped":  # Told already.
            return
        if dumb != self._dumb:
            self._say(f"{at} {row.remark}" if dumb else f"{at} scored again")
        elif not dumb and not self._said.issuperset(row.kinds):
            self._say(f"{at} {row.remark}")
            self._said.update(row.kinds)
        self._dumb = dumb

    def _known(self, row: Row, at: str) -> None:
        """Says once if ten windows in a row sound like no known machine."""
        self._open_set = self._open_set + 1 if row.open_set else 0
        if self._open_set == 10 and "open set" not in self._said:
            self._said.add("open set")
            self._say(
                f"{at} this sounds like no known machine (open set; nearest:"
                f" {row.nearest}): some minutes of its normal sound add it, see"
                " launch.fit_sounds"
            )
