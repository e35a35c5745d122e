"""One machine watched: windows of sound in, what a detector says of each out."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sigjax.evals import alarms
from sigjax.evals.thresholds import ThresholdError, plain
from sigjax.inference.base import BundleError
from sigjax.inference.sounds.detector import SoundDetector
from sigjax.inference.sounds.rolling import Window

# Share of samples at full scale from which on a window is said to clip.
_CLIPPED = 1e-3
# An alarm ends half-way from the threshold down to the median of normal scores.
_OFF = -0.5


class Row(NamedTuple):
    """What is said of one window.

    Attributes:
      start_s: Where it begins.
      end_s: Where it ends.
      score: Higher is more anomalous; NaN where there is none.
      threshold: Above which a score is an anomaly; NaN where there is none.
      decision: 1 anomaly, 0 normal, -1 not scored.
      alarm: Whether there is an alarm: it does not flicker as decisions do.
      drift: `"high"` or `"low"` where the running median of scores is out of its
        limits, else `""`.
      nearest: The known machine that it sounds most like, as `machine/section`.
      open_set: Whether it sounds like none that is known.
      remark: What is wrong with it, or `""`.
    """

    start_s: float
    end_s: float
    score: float
    threshold: float
    decision: int
    alarm: bool
    drift: str
    nearest: str
    open_set: bool
    remark: str

    @property
    def kinds(self) -> list[str]:
        """The remark's parts by the word that each begins with, such as `"clipped"`."""
        parts = self.remark.split("; ") if self.remark else []
        return [part.split(":")[0] for part in parts]


class Watch:
    """Scores windows in their order, with alarms and drift.

    Attributes:
      detector: What scores.
      machine: Whose sound it is.
      section: Which of its sections, or None for the nearest one.
      hysteresis: Begins and ends alarms.
      drift: Watches the running median; None where it cannot be watched.
      drift_note: Its limits in words, or why it is not watched.
    """

    def __init__(
        self,
        detector: SoundDetector,
        *,
        machine: str | None = None,
        section: str | None = None,
        domain: str | None = None,
        after: int = 1,
        until: int = 1,
        nearest: bool = True,
        drift_window: int = 61,
    ):
        """Begins without an alarm.

        Args:
          detector: Knows the machine.
          machine: Not needed where the detector knows one only.
          section: Not needed where the machine has one.
          domain: `"source"`, `"target"`, or None if that is not known.
          after: Windows above the threshold in a row that begin an alarm.
          until: Windows in a row that end it: each below the middle of threshold and
            median of normal scores.
          nearest: Whether to say which machine each window sounds most like.
          drift_window: Windows in the running median; odd. Only such that do not
            overlap are counted.

        Raises:
          BundleError: The machine is not known, or several are and none is named.
        """
        self.detector = detector
        self.machine, self.section = resolve(detector, machine, section)
        self._domain, self._nearest = domain, nearest
        self.hysteresis = alarms.Hysteresis(
            alarms.HysteresisConfig(on=0.0, off=_OFF, after=after, until=until)
        )
        self._reaches: dict[tuple[str, str], float] = {}
        self._drifted_s, self._drift = -math.inf, ""
        self.drift, self.drift_note = _drift(
            detector, self.machine, self.section, drift_window
        )

    def judge(self, windows: Sequence[Window]) -> list[Row]:
        """Scores windows; all at once, which is faster than one by one."""
        whole = [i for i, w in enumerate(windows) if not (w.damaged or w.constant)]
        said = dict(zip(whole, self._score([windows[i] for i in whole]), strict=True))
        rows = []
        for i, window in enumerate(windows):
            if i in said:
                rows.append(self._with_alarm(*said[i]))
            elif window.damaged:
                share = plain(100 * window.damaged)
                why = f"damaged: {share} % of the samples are no numbers (not scored)"
                rows.append(self.skip(window, why))
            else:
                why = "silent: every sample is the same (not scored)"
                rows.append(self.skip(window, why))
        return rows

    def skip(self, window: Window, why: str) -> Row:
        """The row of a window that is not scored; alarm and drift stay as they are."""
        return Row(
            start_s=window.start_s,
            end_s=window.end_s,
            score=math.nan,
            threshold=math.nan,
            decision=-1,
            alarm=self.hysteresis.active,
            drift=self._drift,
            nearest="",
            open_set=False,
            remark=why,
        )

    def _score(self, windows: Sequence[Window]) -> list[tuple[Row, float]]:
        """Rows without alarm and drift, and how far scores are above the threshold."""
        if not windows:
            return []
        embedded = self.detector.embed([w.wave for w in windows])
        found = self.detector.score(
            embedded, machine=self.machine, section=self.section, domain=self._domain
        )
        near = self.detector.nearest(embedded) if self._nearest else None
        rows = []
        for i, window in enumerate(windows):
            own = str(found.machine[i]), str(found.section[i])
            score, threshold = float(found.score[i]), float(found.threshold[i])
            row = Row(
                start_s=window.start_s,
                end_s=window.end_s,
                score=score,
                threshold=threshold,
                decision=int(found.decision[i]),
                alarm=False,
                drift="",
                nearest="" if near is None else f"{near.machine[i]}/{near.section[i]}",
                open_set=near is not None and bool(near.open_set[i]),
                remark=_remark(found.remark[i], window),
            )
            rows.append((row, (score - threshold) / self._reach(own, threshold)))
        return rows

    def _reach(self, own: tuple[str, str], threshold: float) -> float:
        """From the median of normal scores up to the threshold."""
        if own not in self._reaches:
            normal = self.detector.held_out(*own)
            normal = normal[np.isfinite(normal)]
            found = threshold - float(np.median(normal)) if len(normal) else 0.0
            self._reaches[own] = found if found > 0 else 1.0
        return self._reaches[own]

    def _with_alarm(self, row: Row, excess: float) -> Row:
        # Windows that overlap are no new evidence: limits hold for such that do not.
        if self.drift is not None and row.start_s >= self._drifted_s - 1e-6:
            self._drift = self.drift.update(row.score)
            self._drifted_s = row.end_s
        return row._replace(alarm=self.hysteresis.update(excess), drift=self._drift)


def _remark(said: str, window: Window) -> str:
    """The detector's remark, and that the window clips if it does not say so."""
    if window.clipped <= _CLIPPED or "clip" in said:
        return said
    own = f"clipped: {plain(100 * window.clipped)} % of the samples are at full scale"
    return f"{said}; {own}" if said else own


def resolve(
    detector: SoundDetector, machine: str | None, section: str | None
) -> tuple[str, str | None]:
    """Machine and section to score by.

    Returns:
      The machine, and its section: the only one, if none is named; None if there are
      several, so that each window is scored by the nearest.

    Raises:
      BundleError: The machine is not known, or several are and none is named.
    """
    known = dict.fromkeys(name for name, _ in detector.machines)
    if machine is None and len(known) == 1:
        machine = next(iter(known))
    if machine is None or machine not in known:
        problem = "name one with --machine"
        if machine is not None:
            problem = f"{machine!r} is none of them"
        raise BundleError(f"the bundle knows {', '.join(known)}: {problem}")
    sections = [own for name, own in detector.machines if name == machine]
    if section is None and len(sections) == 1:
        section = sections[0]
    return machine, section


def _drift(
    detector: SoundDetector, machine: str, section: str | None, window: int
) -> tuple[alarms.DriftAlarm | None, str]:
    """What watches the running median; its limits in words, or why it has none."""
    if section is None or (machine, section) not in detector.machines:
        return None, "not watched: scores of several sections are on several scales"
    normal = detector.held_out(machine, section)
    try:
        limits = alarms.drift_limits(normal, window=window)
    except ThresholdError as error:
        return None, f"not watched: {error}"
    text = (
        f"running median of {window} windows that do not overlap, from"
        f" {limits.low:.6g} to {limits.high:.6g} by {limits.clips:,} normal clips of"
        f" the training data (their median: {limits.median:.6g})"
    )
    return alarms.DriftAlarm(limits), text
