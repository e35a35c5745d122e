"""The figure of an experiment, from its cells."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from launch.reproduction.autoencoders.cells import Plan
from launch.reproduction.autoencoders.scores import PICTURES, RowScore
from launch.reproduction.autoencoders.sheets import DATA, Metric, Row
from sigjax.evals.autoencoders import figures, pictures
from sigjax.evals.autoencoders.figures import Bar, Panel, Spot
from sigjax.train.writer import replace_file

Found = list[tuple[Row, RowScore]]


def draw(
    plan: Plan, scores: Sequence[RowScore], table: Mapping[str, Any], workdir
) -> list[epath.Path]:
    """Draws what the sheet asks for, below `WORKDIR/figures`.

    Returns:
      The files written; none if no row has numbers.
    """
    every = zip(plan.sheet.rows, scores, strict=True)
    found = [(row, score) for row, score in every if not score.failed]
    if not plan.sheet.figure or not found:
        return []
    folder = workdir / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name in plan.sheet.figure.split("+"):
        path = folder / f"{plan.sheet.key}-{name}.png"
        if DRAW[name](path, plan, found, note(plan, table, found)):
            drawn.append(path)
    return drawn


def note(plan: Plan, table: Mapping[str, Any], found: Found) -> str:
    """Under a figure's title: what its numbers are of, and what is missing."""
    lines = []
    shown = {row.data for row, _ in found}
    for line in table["data"]:
        if line.partition(":")[0] not in shown:
            continue
        text = line.rpartition(", fingerprint")[0]
        lines.append(text if len(text) < 120 else text[:117] + "...")
    more = f"scale {table['scale_key']}, means over {plan.seeds} seed"
    lines.append(more + "s" * (plan.seeds > 1))
    missing = len([row for row in plan.sheet.rows if not row.hidden]) - len(found)
    if missing:
        lines[-1] += f"; {missing} rows have no numbers yet"
    return "\n".join(lines)


def _arrays(score: RowScore) -> dict[str, np.ndarray]:
    assert score.folder is not None
    path = score.folder / PICTURES
    if not path.exists():
        return {}
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


def _by_data(found: Found) -> dict[str, Found]:
    groups: dict[str, Found] = {}
    for row, score in found:
        groups.setdefault(row.data, []).append((row, score))
    return groups


def _spot(x: float, own: Mapping[str, Any] | None, metric: Metric) -> Spot:
    if not own or own["value"] is None:
        return Spot(x, None)
    ends = [own[end] and own[end] * metric.factor for end in ("low", "high")]
    return Spot(x, own["value"] * metric.factor, *ends)


def _curves(path: epath.Path, plan: Plan, found: Found, told: str) -> bool:
    """Every metric over the rows' `x`, a panel for each metric, or each data set."""
    sheet = plan.sheet
    first, metric = next(iter(sheet.metrics.items()))
    several = _by_data(found)
    panels = []
    if len(several) > 1:
        chosen = [(data, own, first, metric) for data, own in several.items()]
    else:
        ((data, own),) = several.items()
        chosen = [(data, own, name, one) for name, one in sheet.metrics.items()]
    for data, own, name, one in chosen:
        lines: dict[str, list[Spot]] = {}
        for row, score in own:
            if row.x is not None and score.metrics.get(name):
                line = row.line or row.labels[0]
                lines.setdefault(line, []).append(
                    _spot(row.x, score.metrics[name], one)
                )
        if not lines:
            continue
        xs = [s.x for line in lines.values() for s in line]
        log = sheet.settings.get("log_x", False)
        values = [s.value for line in lines.values() for s in line if s.value]
        wide = min(values, default=0) > 0 and max(values) / min(values) > 30
        level = sheet.settings.get("levels", {}).get(name, {})
        panels.append(
            Panel(
                title=data if len(several) > 1 else one.name,
                x=sheet.x,
                y=one.name,
                lines={k: sorted(v, key=lambda s: s.x) for k, v in lines.items()},
                log_x=bool(log and max(xs) > 0),
                log_y=wide,
                level=level,
            )
        )
    if panels:
        told += _intervals([score.metrics.get(first) for _, score in found])
        figures.curves(path, panels, title=sheet.title, note=told)
    return bool(panels)


def _intervals(shown: Sequence[Mapping[str, Any] | None]) -> str:
    """What the intervals of a figure's values are over."""
    found = [one for one in shown if one and one["low"] is not None]
    overs = dict.fromkeys(one["over"] for one in found)
    return f"; strokes: 95 % intervals over {' or '.join(overs)}" if overs else ""


def _gains(path: epath.Path, plan: Plan, found: Found, told: str) -> bool:
    """The first metric less its bar's, over the rows' `x`; a panel for each data set.

    Repeats of a row and of its bar move together: the curves' own intervals hide what
    these show.
    """
    sheet = plan.sheet
    metric = next(iter(sheet.metrics.values()))
    bars = " or ".join(dict.fromkeys(sheet.bar(r) for r, s in found if s.difference))
    panels = []
    for data, own in _by_data(found).items():
        lines: dict[str, list[Spot]] = {}
        for row, score in own:
            if row.x is not None and score.difference:
                spot = _spot(row.x, score.difference, metric)
                lines.setdefault(row.line or row.labels[0], []).append(spot)
        if lines:
            panels.append(
                Panel(
                    title=data,
                    x=sheet.x,
                    y=f"{metric.name}, less that of its bar",
                    lines={k: sorted(v, key=lambda s: s.x) for k, v in lines.items()},
                    log_x=sheet.settings.get("log_x", False),
                    level={"its bar": 0.0},
                )
            )
    if panels:
        told += _intervals([score.difference for _, score in found])
        told += f"\nits bar, with as many labels: {bars}"
        # Looks as in the curves.
        names = list(dict.fromkeys(row.line or row.labels[0] for row, _ in found))
        figures.curves(path, panels, title=sheet.title, note=told, names=names)
    return bool(panels)


def _dots(path: epath.Path, plan: Plan, found: Found, told: str) -> bool:
    """Every metric of every row, a line each."""
    panels = {}
    overs = []
    for name, metric in plan.sheet.metrics.items():
        bars = []
        for row, score in found:
            own = score.metrics.get(name)
            spot = _spot(0.0, own, metric)
            seeds = tuple(v * metric.factor for v in (own or {}).get("seeds", ()))
            overs.append((own or {}).get("over", ""))
            bars.append(
                Bar(
                    row.title,
                    spot.value,
                    spot.low,
                    spot.high,
                    seeds,
                    bool(row.method) and row.method != "detector",
                )
            )
        if any(bar.value is not None for bar in bars):
            panels[metric.name] = bars
    over = " or ".join(dict.fromkeys(text for text in overs if text))
    figures.dots(
        path,
        panels,
        title=plan.sheet.title,
        note=told,
        interval=f"95 % interval over {over}" if over else "no interval",
    )
    return True


def _images(path: epath.Path, plan: Plan, found: Found, told: str) -> bool:
    """Examples and what each row makes of them, a figure for each data set."""
    drawn = False
    for data, own in _by_data(found).items():
        rows = []
        wanted = plan.sheet.settings.get("shown_x")
        for row, score in own:
            if wanted is not None and row.x not in (None, wanted):
                continue
            arrays = _arrays(score)
            name = "copies" if "copies" in arrays else "made"
            if name not in arrays:
                continue
            real = arrays.get("x", arrays.get("real"))
            if not rows and real is not None:
                rows.append(("held-out examples", real))
            rows.append((_name(row), arrays[name]))
            if "path" in arrays:
                rows.append((f"{_name(row)}: from one code to another", arrays["path"]))
        if not rows:
            continue
        sound = data in ("sounds", "machines")
        low, high = (0.0, 1.0) if sound else _range([x for _, x in rows[:1]])
        strips = [pictures.Strip(n, _as_images(x), low, high) for n, x in rows]
        several = len(_by_data(found)) > 1
        pictures.strips(
            path.with_name(f"{path.stem}-{data}.png") if several else path,
            strips,
            title=plan.sheet.title,
            note="\n".join(_of_data(told, data)),
            sound=sound,
            axes_note="time to the right, frequency (mel) upwards, brighter is louder"
            if sound
            else "",
        )
        drawn = True
    return drawn


def _of_data(told: str, data: str) -> list[str]:
    """Lines of a note, without those of other data."""
    other = tuple(f"{name}:" for name in DATA if name != data)
    return [line for line in told.split("\n") if not line.startswith(other)]


def _name(row: Row) -> str:
    """Of a row whose data are told elsewhere."""
    labels = row.labels[1:] if row.labels[0] == row.data else row.labels
    return " ".join(labels)


def _range(images: Sequence[np.ndarray]) -> tuple[float, float]:
    return float(min(x.min() for x in images)), float(max(x.max() for x in images))


def _as_images(x: np.ndarray) -> np.ndarray:
    """`[n, h, w]` of maps, or of vectors that are squares."""
    x = np.squeeze(x)
    if x.ndim == 2:
        side = round(np.sqrt(x.shape[1]))
        x = x.reshape(len(x), side, side)
    return x


def _clouds(path: epath.Path, plan: Plan, found: Found, told: str) -> bool:
    """Points in the plane, a panel for each row that has two numbers."""
    name, metric = next(iter(plan.sheet.metrics.items()))
    panels, classes = [], ()
    several = len({row.data for row, _ in found}) > 1
    for row, score in found:
        arrays = _arrays(score)
        if row.method == "input":  # Two of many values are no plane.
            continue
        if "points" not in arrays or score.metrics.get("code", {}).get("value", 2) != 2:
            continue
        value = score.metrics[name]["seeds"][0] * metric.factor
        classes = classes or score.facts.get("classes", ())
        panels.append(
            pictures.Cloud(
                f"{f'{row.data}: ' * several}{_name(row)}\n"
                f"{metric.name}: {value:.{metric.digits}f}",
                arrays["points"],
                arrays.get("label"),
                arrays.get("marks"),
                x="first number" if "label" in arrays else "x",
                y="second number" if "label" in arrays else "y",
            )
        )
    marked = any(panel.marks is not None for panel in panels)
    crosses = "; crosses: modes that should be reached" if marked else ""
    if panels:
        pictures.clouds(
            path,
            panels,
            classes,
            title=plan.sheet.title,
            note=told.replace("means over", "the first of") + crosses,
            legend="classes, unseen in training" if classes else "",
            shared=not classes,
        )
    return bool(panels)


def _field(path: epath.Path, plan: Plan, found: Found, told: str) -> bool:
    panels = []
    data = np.zeros((0, 2))
    for row, score in found:
        arrays = _arrays(score)
        data = arrays["data"]
        panels.append(pictures.Field(row.title, arrays["at"], arrays["moved"]))
    pictures.fields(path, panels, data, title=plan.sheet.title, note=told)
    return True


def _waves(path: epath.Path, plan: Plan, found: Found, told: str) -> bool:
    """The example of each method at one ratio."""
    wanted = plan.sheet.settings.get("shown_x")
    columns = {}
    for data, own in _by_data(found).items():
        shown = [(row, score) for row, score in own if row.x == wanted]
        if not shown:
            continue
        waves, first = [], _arrays(shown[0][1])
        facts = shown[0][1].facts
        channel = int(np.argmax(first["clean"].reshape(len(first["clean"]), -1).std(0)))

        def one(x, channel=channel):
            return x.reshape(len(x), -1)[:, channel]

        waves.append(pictures.Wave("clean", one(first["clean"])))
        waves.append(pictures.Wave(f"noisy, {wanted:g} dB", one(first["noisy"])))
        for row, score in shown:
            gain = score.metrics[next(iter(plan.sheet.metrics))]["value"]
            name = f"{row.line or row.labels[0]} (mean gain {gain:+.1f} dB)"
            waves.append(pictures.Wave(name, one(_arrays(score)["estimate"])))
        unit = {"g": "g", "full scale": "a. u."}.get(facts["units"], "input units")
        columns[data] = (facts["rate_hz"] or 1.0, unit, waves)
    if columns:
        pictures.waves(path, columns, title=plan.sheet.title, note=told)
    return bool(columns)


def _examples(path: epath.Path, plan: Plan, found: Found, told: str) -> bool:
    """The pictures that evaluations drew: of the first two rows."""
    del told
    drawn = False
    for place, (_, score) in enumerate(found[:2], 1):
        picture = score.facts.get("picture")
        if picture and epath.Path(picture).exists():
            name = f"{path.stem}-{place}.png"
            replace_file(path.with_name(name), epath.Path(picture).read_bytes())
            drawn = True
    return drawn


DRAW: Mapping[str, Callable[[epath.Path, Plan, Found, str], bool]] = {
    "curves": _curves,
    "gains": _gains,
    "dots": _dots,
    "images": _images,
    "clouds": _clouds,
    "field": _field,
    "waves": _waves,
    "examples": _examples,
}
