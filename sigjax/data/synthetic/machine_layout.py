"""Names and folders of simulated clips: those of the DCASE challenges, Task 2."""

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sigjax.data.synthetic import machine_plan as plan
from sigjax.data.synthetic.machine_record import Section

LAYOUTS = ("2021", "2022")
_FIRST_OF_EVALUATION = 3  # sections 00 to 02 are for development


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts:
    """Clips of a section.

    Attributes:
      train_source: Normal clips of the source domain to train on.
      train_target: Normal clips of the target domain to train on.
      test_normal: Normal clips to test on, in each domain.
      test_anomaly: Anomalous clips to test on, in each domain.
    """

    train_source: int
    train_target: int
    test_normal: int
    test_anomaly: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A clip and its place in the folder.

    Attributes:
      path: Relative to the folder.
      full_name: File name that hides nothing.
      split: "dev" or "eval".
      side: "train" or "test".
      domain: "source" or "target".
      label: 0 normal, 1 anomaly.
      clip: What is true of it.
    """

    path: str
    full_name: str
    split: str
    side: str
    domain: str
    label: int
    clip: plan.Clip


def split_of(section: str) -> str:
    """Whether a section, two digits, is for development or for evaluation."""
    return "eval" if int(section) >= _FIRST_OF_EVALUATION else "dev"


def entries(
    section: Section, counts: Counts, *, layout: str, clip_s: float, seed: int
) -> list[Entry]:
    """All clips of a section, train first, as a layout names them.

    A clip's sound depends on its domain, side, label and number alone: more clips leave
    the others as they are (names of evaluation clips are shuffled, so they change).
    """
    found = []
    for domain, count in (
        ("source", counts.train_source),
        ("target", counts.train_target),
    ):
        for number in range(count):
            clip = _clip(section, seed, "train", domain, 0, number, clip_s)
            name = _name(section.name, domain, "train", 0, number) + _suffix(clip)
            found.append(_entry(section, "train", name, name, "train", domain, 0, clip))
    if split_of(section.name) == "dev":
        return found + _development(section, counts, layout, clip_s, seed)
    return found + _evaluation(section, counts, layout, clip_s, seed)


def _development(
    section: Section, counts: Counts, layout: str, clip_s: float, seed: int
) -> list[Entry]:
    found = []
    for domain, label, number in _tests(counts):
        clip = _clip(section, seed, "test", domain, label, number, clip_s)
        name = _name(section.name, domain, "test", label, number)
        folder = f"{domain}_test"
        if layout != "2021":
            name, folder = name + _suffix(clip), "test"
        found.append(_entry(section, folder, name, name, "test", domain, label, clip))
    return found


def _evaluation(
    section: Section, counts: Counts, layout: str, clip_s: float, seed: int
) -> list[Entry]:
    tests = _tests(counts)
    rng = plan.generator(seed, section.type, int(section.name), "shuffle")
    order = [tests[place] for place in rng.permutation(len(tests))]
    found, numbers = [], {"source": 0, "target": 0}
    for place, (domain, label, number) in enumerate(order):
        clip = _clip(section, seed, "test", domain, label, number, clip_s)
        if layout == "2021":
            shown, folder = numbers[domain], f"{domain}_test"
            name = f"section_{section.name}_{domain}_test_{shown:04d}"
        else:
            shown, folder = place, "test"
            name = f"section_{section.name}_{shown:04d}"
        numbers[domain] += 1
        full = _name(section.name, domain, "test", label, shown) + _suffix(clip)
        found.append(_entry(section, folder, name, full, "test", domain, label, clip))
    # The real folders are listed by name.
    return sorted(found, key=lambda entry: entry.path)


def _tests(counts: Counts) -> list[tuple[str, int, int]]:
    return [
        (domain, label, number)
        for domain in ("source", "target")
        for label, count in enumerate((counts.test_normal, counts.test_anomaly))
        for number in range(count)
    ]


def _clip(
    section: Section,
    seed: int,
    side: str,
    domain: str,
    label: int,
    number: int,
    clip_s: float,
) -> plan.Clip:
    own = plan.generator(
        seed, section.type, int(section.name), side, domain, label, number
    )
    kinds = list(section.machine.faults)
    return section.clip(
        tuple(int(word) for word in own.integers(0, 2**32, 4)),
        domain=domain,
        # In turn, so that few clips have them all.
        kind=kinds[number % len(kinds)] if label else None,
        clip_s=clip_s,
    )


def _name(section: str, domain: str, side: str, label: int, number: int) -> str:
    condition = "anomaly" if label else "normal"
    return f"section_{section}_{domain}_{side}_{condition}_{number:04d}"


def _suffix(clip: plan.Clip) -> str:
    return "".join(f"_{k}_{v}" for k, v in clip.setting.attributes().items())


def _entry(
    section: Section,
    folder: str,
    name: str,
    full: str,
    side: str,
    domain: str,
    label: int,
    clip: plan.Clip,
) -> Entry:
    split = split_of(section.name)
    return Entry(
        path=f"{split}_data/{section.type}/{folder}/{name}.wav",
        full_name=f"{full}.wav",
        split=split,
        side=side,
        domain=domain,
        label=label,
        clip=clip,
    )


def tables(section: Section, found: Sequence[Entry], layout: str) -> Mapping[str, str]:
    """The CSV files of a section by their path relative to the folder.

    Ground truth of evaluation clips, without a header, as the evaluators of that year
    have it; attributes, with one, in the layouts from 2022 on.
    """
    tests = [entry for entry in found if entry.side == "test"]
    hidden = split_of(section.name) == "eval"
    names = [entry.path.rpartition("/")[2] for entry in tests]
    stem = f"ground_truth_{section.type}_section_{section.name}"
    texts = {}
    if hidden and layout == "2021":
        for domain in ("source", "target"):
            texts[f"ground_truth_data/{stem}_{domain}_test.csv"] = _csv(
                (name, entry.label)
                for name, entry in zip(names, tests, strict=True)
                if entry.domain == domain
            )
    elif hidden:
        for kind, values in (
            ("data", [entry.label for entry in tests]),
            ("domain", [int(entry.domain == "target") for entry in tests]),
            ("attributes", [entry.full_name for entry in tests]),
        ):
            texts[f"ground_truth_{kind}/{stem}_test.csv"] = _csv(
                zip(names, values, strict=True)
            )
    if layout != "2021":
        shown = [entry for entry in found if entry.side == "train" or not hidden]
        path = f"{split_of(section.name)}_data/{section.type}"
        texts[f"{path}/attributes_{section.name}.csv"] = _attributes(shown)
    return texts


def _attributes(found: Sequence[Entry]) -> str:
    """Paths relative to the split's folder with their attributes, name and value."""
    rows, pairs = [], plan.ATTRIBUTES
    for entry in found:
        known = entry.clip.setting.attributes()
        row = [text for name in pairs for text in (name, known[name])]
        rows.append([entry.path.partition("/")[2], *row])
    header = [f"d{n}{what}" for n in range(1, len(pairs) + 1) for what in "pv"]
    return _csv([["file_name", *header], *rows])


def _csv(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def truth(section: Section, entry: Entry, clip_s: float) -> dict[str, Any]:
    """What is true of a clip, for JSON; times in seconds from its beginning."""
    clip = entry.clip
    known = {
        "machine": section.type,
        "section": section.name,
        "split": entry.split,
        "side": entry.side,
        "domain": entry.domain,
        "label": entry.label,
        "duration_s": clip_s,
        "setting": dataclasses.asdict(clip.setting),
        "attributes": clip.setting.attributes(),
        "rates_hz": section.machine.rates(clip.setting),
        "events": {name: list(values) for name, values in clip.events.items()},
        "anomaly": dataclasses.asdict(clip.anomaly) if clip.anomaly else None,
    }
    return rounded(known)


def rounded(value: Any) -> Any:
    """JSON values with seven significant digits."""
    if isinstance(value, Mapping):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(item) for item in value]
    if isinstance(value, float | np.floating):
        return float(f"{value:.7g}")
    return int(value) if isinstance(value, np.integer) else value
