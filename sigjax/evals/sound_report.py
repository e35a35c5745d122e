"""A detector's results on one page: for who reports scores, and who runs the machine.

    FOLDER/report.html     the page; needs nothing else, prints, and fits a phone
    FOLDER/scores.csv      see `sound_results`
    FOLDER/results.json

Evaluation and development clips are never in one figure. What the best choice would
have been in hindsight (an oracle) is not shown: it is no result.
"""

import base64
import datetime
import importlib.resources
from collections.abc import Sequence
from typing import Any, NamedTuple

import jinja2
import numpy as np
from etils import epath

from sigjax.evals import dcase, detection_intervals
from sigjax.evals import sound_figures as figures
from sigjax.evals.dcase_years import COLUMNS, rule_of
from sigjax.evals.detection_intervals import LEVEL, Interval
from sigjax.evals.sound_figures import SoundExample
from sigjax.evals.sound_results import (
    UNDECIDED,
    SoundResults,
    SoundResultsError,
    decided,
    decided_rows,
)
from sigjax.metrics import detection

__all__ = ["SoundExample", "write_report"]

_FEW = 10  # Clips of a kind below which an AUC says little.
_MOST_VALUES = 40
_MOST_EXAMPLES = 12  # Of a machine; the page stays small enough for a phone.
_NOTE = "SIMULATED data"
_METRICS = {"auc": "AUC", "pauc": "pAUC"}


class Attributed(NamedTuple):
    """Clips with one value of an attribute.

    Attributes:
      name: Attribute.
      value: Value.
      normal: Normal clips with it.
      anomalous: Anomalous clips with it.
      auc: Within sections, averaged by pairs of clips; NaN if there are none.
      of: Which clips the AUC compares.
      flagged: Shares of its normal and of its anomalous clips that were flagged.
      few: Whether there are too few clips to say much.
    """

    name: str
    value: str
    normal: int
    anomalous: int
    auc: float
    of: str
    flagged: tuple[float, float]
    few: bool


def write_report(
    folder: epath.PathLike,
    results: SoundResults,
    *,
    examples: Sequence[SoundExample] = (),
    bootstrap: int = 1000,
) -> epath.Path:
    """Writes the page and, beside it, the results.

    Args:
      folder: Made if it is not there.
      results: Scores of at least one clip.
      examples: Clips to show; `sound_results.choose_examples` finds some.
      bootstrap: Resamples for the intervals; 0 for none.

    Returns:
      Path of `report.html`.

    Raises:
      DcaseError: There are no clips, or they lack domains that the year needs.
      SoundResultsError: An example is of a machine that has no scores.
    """
    from sigjax.train.writer import replace_file  # It imports JAX.

    machines = set(results.clips.machine.tolist())
    for example in examples:
        if example.machine not in machines:
            raise SoundResultsError(
                f"example {example.name}: no clip of {example.machine!r} was scored"
            )
    path = epath.Path(folder).expanduser() / "report.html"
    page = _page(results, examples, bootstrap)
    results.write(path.parent)
    replace_file(path, page)
    return path


def _page(
    results: SoundResults, examples: Sequence[SoundExample], bootstrap: int
) -> bytes:
    note = _NOTE if results.simulated else ""
    sides = [_side(results.of_side(side), bootstrap, note) for side in results.sides]
    machines = []
    names = dict.fromkeys(name for side in sides for name in side["machines"])
    for name in names:
        own = [example for example in examples if example.machine == name]
        shown = own[:_MOST_EXAMPLES]
        machines.append({
            "name": name,
            "chosen": results.chosen.get(name, ""),
            "sides": [s["machines"][name] for s in sides if name in s["machines"]],
            "examples": _examples(shown, note),
            "more": len(own) - len(shown),
        })  # fmt: skip
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["pc"] = _percent
    environment.filters["num"] = _number
    folder = importlib.resources.files("sigjax.evals")
    source = (folder / "sound_report.html.jinja").read_text(encoding="utf-8")
    template = environment.from_string(source)
    size = 0
    for _ in range(2):  # The page tells its own size.
        page = template.render(
            r=results,
            rule="2022 to 2026" if rule_of(results.year) == 2022 else results.year,
            columns=_columns(results.year),
            ids={name: f"machine-{i}" for i, name in enumerate(names, start=1)},
            sides=sides,
            machines=machines,
            written=datetime.datetime.now().astimezone(),
            bootstrap=bootstrap,
            level=LEVEL,
            max_fpr=detection.MAX_FPR,
            few=_FEW,
            size_mb=size / 1e6,
        ).encode()
        size = len(page)
    return page


def _columns(year: int) -> list[tuple[str, str]]:
    """Of a table: column of the means, and its title."""
    columns = COLUMNS[rule_of(year)]
    return [
        (name, f"{_METRICS[metric]} {domain}".strip())
        for name, (metric, domain) in columns.items()
        if domain is not None
    ]


def _side(results: SoundResults, bootstrap: int, note: str) -> dict[str, Any]:
    scores = results.score()
    intervals = {}
    if bootstrap:
        intervals = detection_intervals.bootstrap_scores(
            scores, group=_group(results), resamples=bootstrap
        )
    machines = {}
    for machine in scores.machines:
        machines[machine] = {
            "side": results.side[0],
            "means": _with_intervals(scores.mean(machine), intervals.get(machine)),
            "sections": _sections(results, scores, machine, bootstrap),
            "decided": decided_rows(results, machine),
            "thresholds": [
                (section, threshold.describe(results.hop_s))
                for (m, section), threshold in sorted(results.thresholds.items())
                if m == machine and (m, section) in scores.sections
            ],
            "attributes": _attributes(results, machine),
            "not_scored": [e for e in scores.not_scored if e.machine == machine],
            **_pictures(results, scores, machine, note),
        }
    every = np.arange(len(results.clips))
    return {
        "name": results.side[0],
        "scores": scores,
        "total": _with_intervals(scores.mean(), intervals.get("total")),
        "decided": decided(results, every, "all", ""),
        "machines": machines,
    }


def _with_intervals(
    means: dict[str, float], intervals: dict[str, Interval] | None
) -> dict[str, Interval]:
    none = np.nan
    return {
        column: (intervals or {}).get(column, Interval(value, none, none))
        for column, value in means.items()
    }


def _group(results: SoundResults) -> np.ndarray | None:
    return None if results.group is None else np.asarray(results.group)


def _sections(
    results: SoundResults, scores: dcase.DcaseScores, machine: str, bootstrap: int
) -> list[dict[str, Any]]:
    """A row for each section and domain: the clips compared, AUC, pAUC, intervals."""
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    group = _group(results)
    for term, value in zip(scores.terms, scores.values, strict=True):
        if term.machine != machine or not term.official:
            continue
        label = scores.clips.label[term.rows]
        interval = Interval(float(value), np.nan, np.nan)
        if bootstrap and np.isfinite(value):
            interval = detection_intervals.bootstrap(
                label,
                scores.clips.score[term.rows],
                stratum=scores.clips.domain[term.rows],
                group=None if group is None else group[term.rows],
                max_fpr=detection.MAX_FPR if term.metric == "pauc" else 1.0,
                resamples=bootstrap,
            )
        row = rows.setdefault((term.section, term.domain), {
            "section": term.section,
            "domain": term.domain or "all clips",
            "normal": int((label == 0).sum()),
            "anomalous": int((label == 1).sum()),
            "recordings": [
                results.recordings(term.rows[label == kind])
                for kind in (0, 1)
                if group is not None
            ],
        })  # fmt: skip
        row[term.metric] = interval
    return list(rows.values())


def _attributes(results: SoundResults, machine: str) -> dict[str, Any]:
    """Rows of the table of attributes, and names that have too many values."""
    clips = results.clips
    values: dict[str, dict[str, list[int]]] = {}
    for row in np.flatnonzero(clips.machine == machine).tolist():
        for name, value in results.attributes[row].items():
            values.setdefault(name, {}).setdefault(value, []).append(row)
    rows, many = [], []
    for name, by_value in values.items():
        if len(by_value) > _MOST_VALUES:
            many.append((name, len(by_value)))
            continue
        for value in sorted(by_value, key=_natural):
            which = np.array(by_value[value])
            rows.append(_attributed(results, machine, name, value, which))
    return {"rows": rows, "many": many}


def _attributed(
    results: SoundResults, machine: str, name: str, value: str, which: np.ndarray
) -> Attributed:
    clips = results.clips
    has = np.zeros(len(clips), bool)
    has[which] = True
    own, normal, anomaly = clips.machine == machine, clips.label == 0, clips.label == 1
    low, high = has & normal, has & anomaly
    of = "its own clips"
    if low.any() and not high.any():
        high, of = own & anomaly, "its normal clips, all anomalies"
    elif high.any() and not low.any():
        low, of = own & normal, "its anomalies, all normal clips"
    area, pairs, used = 0.0, 0, np.zeros(len(clips), bool)
    for section in np.unique(clips.section[has]):  # Sections have scales of their own.
        here = (low | high) & (clips.section == section)
        both = int((here & low).sum()), int((here & high).sum())
        if min(both):
            auc = detection.roc_auc(clips.label[here], clips.score[here])
            area, pairs = (
                area + float(auc) * both[0] * both[1],
                pairs + both[0] * both[1],
            )
            used |= here
    made = results.decision
    counts = int((has & normal).sum()), int((has & anomaly).sum())
    flagged = [
        float((made[some & (made != UNDECIDED)] == 1).mean())
        if (some & (made != UNDECIDED)).any()
        else np.nan
        for some in (has & normal, has & anomaly)
    ]
    least = min(int((used & normal).sum()), int((used & anomaly).sum()))
    return Attributed(
        name=name,
        value=value,
        normal=counts[0],
        anomalous=counts[1],
        auc=area / pairs if pairs else np.nan,
        of=of if pairs else "no normal and anomalous clips of one section",
        flagged=(flagged[0], flagged[1]),
        few=least < _FEW,
    )


def _natural(value: str) -> tuple[int, float, str]:
    try:
        return 0, float(value), value
    except ValueError:
        return 1, 0.0, value


def _pictures(
    results: SoundResults, scores: dcase.DcaseScores, machine: str, note: str
) -> dict[str, str]:
    """ROC curves of what the year's figures are of, and histograms; "" for none."""
    clips, made = scores.clips, results.decision
    curves: dict[str, dict[str, figures.Roc]] = {"auc": {}, "pauc": {}}
    column = {pair: name for name, pair in COLUMNS[rule_of(scores.year)].items()}
    means = scores.mean(machine)
    for term, value in zip(scores.terms, scores.values, strict=True):
        if term.machine != machine or not term.official or np.isnan(value):
            continue
        mean = means[column[term.metric, term.domain]]
        who = term.domain or "all clips"
        label = f"{who}: {_METRICS[term.metric]} {_percent(mean)}"
        curve = curves[term.metric].setdefault(
            term.domain, figures.Roc(term.domain, label, [], [])
        )
        rates = detection.roc_curve(clips.label[term.rows], clips.score[term.rows])
        curve.sections.append((rates.fpr, rates.tpr))  # pyright: ignore
        label, decided = clips.label[term.rows], made[term.rows]
        if (decided != UNDECIDED).all():
            point = tuple(float(decided[label == kind].mean()) for kind in (0, 1))
            curve.points.append(point)  # pyright: ignore
    found = {"roc": "", "zoom": "", "histograms": ""}
    if curves["auc"]:
        auc = list(curves["auc"].values())
        found["roc"] = _inline(figures.roc(auc, zoom=False, note=note))
    if curves["pauc"]:
        pauc = list(curves["pauc"].values())
        # Since 2022 the pAUC is of all clips; the domains differ there all the same.
        pauc += [
            curve._replace(label=domain, shaded=False)
            for domain, curve in curves["auc"].items()
            if domain not in curves["pauc"]
        ]
        found["zoom"] = _inline(figures.roc(pauc, zoom=True, note=note))
    panels = []
    for section in [s for m, s in scores.sections if m == machine]:
        here = clips.of_section(machine, section)
        threshold = results.thresholds.get((machine, section))
        for domain in sorted(set(clips.domain[here].tolist())):
            which = here & (clips.domain == domain)
            normal, anomaly = (clips.score[which & (clips.label == k)] for k in (0, 1))
            value = None if threshold is None else threshold.value
            panels.append(figures.Panel(section, domain, normal, anomaly, value))
    found["histograms"] = _inline(figures.histograms(panels, note=note))
    return found


def _examples(examples: Sequence[SoundExample], note: str) -> list[dict[str, Any]]:
    """Clips of one machine, on common scales of colour."""
    shown = [example.spectrogram() for example in examples]
    limits = figures.levels([s.value for s in shown], 0.02, 80.0) if shown else (0, 1)
    maps = [example.map for example in examples if example.map is not None]
    map_limits = figures.levels(maps, 0.5) if maps else (0, 1)
    found = []
    for example, picture in zip(examples, shown, strict=True):
        over = ""
        if example.map is not None:
            over = _inline(figures.overlay(
                picture, example.map, limits=limits, map_limits=map_limits, note=note
            ))  # fmt: skip
        heard = _inline(figures.spectrogram(picture, limits=limits, note=note))
        flagged = example.score > example.threshold
        found.append({"of": example, "heard": heard, "over": over, "flagged": flagged})
    return found


def _inline(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode()


def _percent(value: float, digits: int = 1) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.{digits}f}"


def _number(value: float) -> str:
    """Three digits are enough for rates."""
    if np.isnan(value):
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
