"""How well events are found in mixtures: cells, frames and boundaries of a side."""

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from sigjax.evals import segmentation_figures
from sigjax.metrics import segmentation as metrics
from sigjax.metrics.segmentation import Counts
from sigjax.train.writer import replace_file


@dataclasses.dataclass(frozen=True, kw_only=True)
class Judged:
    """One mixture: what is true of it and what is said.

    Attributes:
      spectrogram: Float `[t, f]`, as the network sees it, in [0, 1].
      true: Bool `[t, f, v]` of masks, or `[t, v]` of frames.
      said: Float, likewise: probabilities.
      true_frames: Bool `[t, v]`, frames of events.
      said_frames: Bool `[t, v]`.
    """

    spectrogram: np.ndarray
    true: np.ndarray
    said: np.ndarray
    true_frames: np.ndarray
    said_frames: np.ndarray


class Score:
    """Adds up counts over mixtures."""

    def __init__(
        self,
        classes: Sequence[str],
        *,
        threshold: float,
        frame_s: float,
        tolerances_s: Sequence[float],
    ):
        """Nothing has been judged yet.

        Args:
          classes: Names, `v` of them.
          threshold: A cell is said from this probability on.
          frame_s: Seconds from one frame to the next.
          tolerances_s: That boundaries may be off; in whole frames, rounded down.
        """
        self.classes, self._threshold = tuple(classes), threshold
        self._tolerances = {
            float(s): int(s / frame_s + 1e-9) for s in tolerances_s
        }  # frames
        blank = Counts(*np.zeros((3, len(self.classes)), np.int64))
        self._counts: dict[str, Counts] = {"cells": blank, "frames": blank}
        for tolerance in self._tolerances:
            for kind in ("onset", "offset"):
                self._counts[f"{kind} {tolerance:g}"] = blank
        self.mixtures = self.silent = self.false_alarms = 0

    def add(self, one: Judged) -> None:
        """Takes a mixture."""
        self.mixtures += 1
        if not one.true_frames.any():
            self.silent += 1
            self.false_alarms += bool(one.said_frames.any())
        self._more("cells", metrics.cell_counts(one.true, one.said >= self._threshold))
        self._more("frames", metrics.cell_counts(one.true_frames, one.said_frames))
        for tolerance, frames in self._tolerances.items():
            found = metrics.boundary_counts(one.true_frames, one.said_frames, frames)
            for kind, counts in found.items():
                self._more(f"{kind} {tolerance:g}", counts)

    def _more(self, name: str, counts: Counts) -> None:
        self._counts[name] = self._counts[name] + counts

    def figures(self) -> dict[str, Any]:
        """All figures, JSON-able; None in place of NaN.

        `cells`, `frames` and the boundaries of each tolerance: F1 over all classes
        together (`f1`) and its mean over classes (`f1_macro`); of cells also the IoU.
        Boundaries are onsets and offsets together, and each.
        """
        boundaries = []
        for tolerance, frames in self._tolerances.items():
            onset, offset = (
                self._counts[f"{kind} {tolerance:g}"] for kind in ("onset", "offset")
            )
            boundaries.append(
                {
                    "tolerance_s": tolerance,
                    "tolerance_frames": frames,
                    **_figures(onset + offset),
                    "onset_f1": _number(metrics.f1(_summed(onset))),
                    "offset_f1": _number(metrics.f1(_summed(offset))),
                }
            )
        cells = self._counts["cells"]
        return {
            "mixtures": self.mixtures,
            "silent_mixtures": self.silent,
            "silent_mixtures_with_a_false_event": self.false_alarms,
            "cells": {
                **_figures(cells),
                "iou": _number(metrics.iou(_summed(cells))),
                "iou_macro": _number(metrics.macro(metrics.iou(cells))),
            },
            "frames": _figures(self._counts["frames"]),
            "boundaries": boundaries,
            "classes": self._rows(),
        }

    def _rows(self) -> list[dict[str, Any]]:
        cells, frames = self._counts["cells"], self._counts["frames"]
        columns = {"iou": metrics.iou(cells), "frame_f1": metrics.f1(frames)}
        for tolerance in self._tolerances:
            pair = (self._counts[f"{k} {tolerance:g}"] for k in ("onset", "offset"))
            onset, offset = pair
            columns[f"boundary_f1_{tolerance:g}s"] = metrics.f1(onset + offset)
        return [
            {"class": name, **{k: _number(v[i]) for k, v in columns.items()}}
            for i, name in enumerate(self.classes)
        ]


def _figures(counts: Counts) -> dict[str, Any]:
    whole = _summed(counts)
    return {
        "f1": _number(metrics.f1(whole)),
        "precision": _number(metrics.precision(whole)),
        "recall": _number(metrics.recall(whole)),
        "f1_macro": _number(metrics.macro(metrics.f1(counts))),
        "true": int(whole.true),
        "said": int(whole.said),
    }


def _summed(counts: Counts) -> Counts:
    return Counts(*(np.asarray(value).sum() for value in counts))


def _number(value: Any) -> float | None:
    value = float(value)
    return round(value, 6) if np.isfinite(value) else None


def write_evaluation(
    folder: epath.Path,
    judged: Iterable[Judged],
    score: Score,
    *,
    about: Mapping[str, Any],
    title: str,
    note: str,
    frame_s: float,
    band_hz: np.ndarray,
    examples: int,
) -> dict[str, Any]:
    """Scores mixtures and writes metrics.json, per_class.csv and examples.png.

    Args:
      folder: Gets the files.
      judged: Mixtures; none is kept but the first ones with events.
      score: Empty.
      about: Put into metrics.json.
      title: Of the picture.
      note: A coloured line, such as `"SIMULATED data"`.
      frame_s: Seconds from one frame to the next.
      band_hz: Float `[f]`, where bands peak.
      examples: Mixtures in the picture.

    Returns:
      What metrics.json holds.
    """
    shown: list[Judged] = []
    for one in judged:
        score.add(one)
        if len(shown) < examples and one.true_frames.any():
            shown.append(one)
    found = {**score.figures(), "about": dict(about)}
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
    replace_file(folder / "metrics.json", text.encode())
    table = io.StringIO()
    writer = csv.DictWriter(table, list(found["classes"][0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(found["classes"])
    replace_file(folder / "per_class.csv", table.getvalue().encode())
    if shown:
        picture = segmentation_figures.examples(
            shown,
            score.classes,
            frame_s=frame_s,
            band_hz=band_hz,
            title=title,
            note=note,
        )
        replace_file(folder / "examples.png", picture)
    return found


def lines(found: Mapping[str, Any]) -> list[str]:
    """Figures for the terminal; of recordings none of cells, of which nobody knows."""
    cells, frames = found["cells"], found["frames"]
    what = found.get("about", {}).get("of", "mixtures")
    told = [
        f"{found['mixtures']:,} {what}, {found['silent_mixtures']} of them without"
        f" an event ({found['silent_mixtures_with_a_false_event']} with a false one)",
    ]
    if what == "mixtures":
        told.append(
            f"cells: IoU {_text(cells['iou'])} (mean over classes"
            f" {_text(cells['iou_macro'])}), F1 {_text(cells['f1'])}"
        )
    told += [
        f"frames: F1 {_text(frames['f1'])} (mean over classes"
        f" {_text(frames['f1_macro'])})",
    ]
    for one in found["boundaries"]:
        told.append(
            f"boundaries within {one['tolerance_s']:g} s"
            f" ({one['tolerance_frames']} frames): F1 {_text(one['f1'])} (onsets"
            f" {_text(one['onset_f1'])}, offsets {_text(one['offset_f1'])})"
        )
    return told


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
