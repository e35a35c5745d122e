"""Gives clips what the ground truth knows of them, by name, never by order."""

import collections
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sigjax.data.machine_sound import names, years
from sigjax.data.machine_sound.clips import Clip
from sigjax.data.machine_sound.truth import Entry, Key, Truth, TruthError


class Joined(NamedTuple):
    """Clips with what the truth says of them.

    Attributes:
      clips: In their order.
      counts: What was joined and what found no partner.
      warnings: What a user must know.
    """

    clips: tuple[Clip, ...]
    counts: Mapping[str, int]
    warnings: tuple[str, ...]


def join(clips: Sequence[Clip], truth: Truth) -> Joined:
    """Gives clips the labels, domains and attributes that are hidden in their names.

    Only test clips without a label get one. If the truth covers a machine and section,
    it must cover all of its clips.

    Raises:
      TruthError: Clips of a machine and section that the truth covers are not in it,
        or it says two things of one clip.
    """
    joining = _Joining(truth)
    done = tuple(joining.clip(clip) for clip in clips)
    return Joined(done, joining.finished(), tuple(joining.warnings()))


class _Joining:
    def __init__(self, truth: Truth):
        self.truth = truth
        self.counts: collections.Counter[str] = collections.Counter()
        self.used: set[Key] = set()
        self.entry_years = {year for year, _, _ in truth.entries}
        self.name_years = {year for year, _, _ in truth.true_names}
        self.covered = {(year, machine, key[0]) for year, machine, key in truth.entries}
        self.touched: set[tuple[int, str, str]] = set()
        self.missing: list[str] = []
        self.in_wrong_lists = {row.split(",")[0] for row in truth.wrong_lists}
        self.wrong: collections.Counter[str] = collections.Counter()

    def clip(self, clip: Clip) -> Clip:
        """The clip with what is known of it."""
        name = names.parse(clip.path)
        changes: dict[str, Any] = {}
        true_name = self._unhidden(clip, names.stem(clip.path))
        hidden = clip.side == "test" and clip.label == names.UNKNOWN
        if hidden and name is not None and name.label == names.UNKNOWN:
            entry = self._entry(clip, name)
            if entry is not None:
                changes = {"label": entry.label, "domain": clip.domain or entry.domain}
                listed = names.stem(entry.true_name)
                true_name = self._unhidden(clip, listed) or listed or true_name
                if entry.attributes and not clip.attributes:
                    changes["attributes"] = dict(entry.attributes)
                    self.counts["hidden attributes joined"] += 1
        if true_name and not clip.attributes and "attributes" not in changes:
            found = names.parse(true_name)
            if found is not None and found.attributes:
                changes["attributes"] = dict(found.attributes)
                self.counts["hidden attributes joined"] += 1
        return dataclasses.replace(clip, **changes) if changes else clip

    def _entry(self, clip: Clip, name: names.Name) -> Entry | None:
        domain = name.domain or (clip.domain if clip.year == 2021 else "")
        key = (name.section, domain, name.number)
        could = {clip.year, 0} if clip.year else self.entry_years
        found = {(y, clip.machine, key) for y in could} & self.truth.entries.keys()
        covered = {(y, clip.machine, name.section) for y in could} & self.covered
        self.touched |= covered
        if len({self.truth.entries[k].label for k in found}) > 1:
            raise TruthError(
                f"{clip.path}: the ground truth of {sorted(y for y, _, _ in found)}"
                " has a clip of this name, with other labels; give the clips' year"
            )
        if found:
            self.used |= found
            entry = self.truth.entries[max(found)]
            if entry.label == names.UNKNOWN:
                self.counts["test clips whose label the ground truth leaves open"] += 1
            else:
                self.counts["labels joined"] += 1
            return entry
        if covered:
            self.missing.append(clip.path)
        elif clip.machine in self.in_wrong_lists and years.labels_known_wrong(
            clip.year, clip.machine, clip.section, ""
        ):
            self.wrong[clip.machine] += 1
        else:
            self.counts["test clips without label or ground truth"] += 1
        return None

    def _unhidden(self, clip: Clip, stem: str) -> str:
        """The true name behind a published one, or none."""
        table = self.truth.true_names
        could = {clip.year, 0} if clip.year else self.name_years
        keys = {(year, clip.machine, stem) for year in could} & table.keys()
        found = {table[key] for key in keys}
        if len(found) > 1:
            self.counts["hidden attributes not joined: several years have them"] += 1
            return ""
        return found.pop() if found else ""

    def finished(self) -> dict[str, int]:
        """Counts, once all clips are joined.

        Raises:
          TruthError: Clips are missing in the truth.
        """
        if self.missing:
            some = ", ".join(self.missing[:3]) + (", ..." if self.missing[3:] else "")
            raise TruthError(
                f"{len(self.missing)} test clips are not in the ground truth of their"
                f" machine and section: {some}. Is it that of another year, or a part"
                " of it only?"
            )
        for year, machine, key in self.truth.entries.keys() - self.used:
            touched = (year, machine, key[0]) in self.touched
            what = "without a clip" if touched else "of machines that are not there"
            self.counts[f"rows of ground truth {what}"] += 1
        self.counts["rows of lists known to be wrong, not used"] += len(
            self.truth.wrong_lists
        )
        self.counts["CSV files of the ground truth not understood"] += len(
            self.truth.not_understood
        )
        return dict(self.counts)

    def warnings(self) -> Iterable[str]:
        """What a user must know of the truth."""
        for machine, clips in self.wrong.items():
            yield (
                f"2022 {machine}: {clips} evaluation clips get no label: the list given"
                " is known to be wrong for ToyCar and ToyTrain. Give the folders"
                " ground_truth_data and ground_truth_domain of the 2022 evaluator"
                " (github.com/Kota-Dohi/dcase2022_evaluator)"
            )
        if self.truth.entries and not self.counts["labels joined"]:
            yield "no clip is in the ground truth: is it that of another year?"
        rest = self.counts["rows of ground truth without a clip"]
        if rest:
            yield f"{rest} rows of ground truth have no clip: clips are missing"
        for path in self.truth.not_understood[:3]:
            yield f"{path}: not understood as ground truth"
