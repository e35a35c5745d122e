"""The calls study's tables in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from launch.calls.study_data import FSDD
from launch.calls.study_tables import BAR, CONTROL, ENCODER, FUSION, PROBED, Row

TITLES: Mapping[str, str] = {
    FSDD: "FSDD: digits of a speaker who was left out",
    "esc10": "ESC-10: the official folds",
}
_UNIT = {FSDD: "speaker", "esc10": "fold"}
_UNITS = {FSDD: "speakers", "esc10": "folds"}
_KINDS = {
    CONTROL: "*control*",
    BAR: "*bar: support vector machine*",
    PROBED: "*bar: the probes on what learns no features*",
    ENCODER: "*probes of encoders: the layer that validation chose*",
    FUSION: "*fusion: mean of posteriors*",
}


def markdown(found: Mapping[str, Any]) -> str:
    """All tables of what `call_study.collect` found."""
    lines = [f"Size `{found['size']}`: {found['size_says']}.", ""]
    if found["waiting"]:
        lines += [_waiting(found["waiting"]), ""]
    for name, title in TITLES.items():
        rows = [row for row in found["rows"] if row["set"] == name]
        if rows:
            told = found["trained_says"][name]
            lines += [f"### {title}", "", f"Encoders were {told}.", ""]
            lines += _of_set(name, found, rows)
    lines += [f"made with: {found['made_with']}", ""]
    return "\n".join(lines)


def _waiting(waiting: Mapping[str, int]) -> str:
    told = ", ".join(f"{count} of kind `{kind}`" for kind, count in waiting.items())
    return f"**Not finished: {told}.** Rows say of how many units they are."


def _of_set(name: str, found: Mapping[str, Any], rows: Sequence[Row]) -> list[str]:
    def own(key: str) -> list[Row]:
        return [row for row in found[key] if row["set"] == name]

    lines = [*_scores(name, rows), ""]
    if own("differences"):
        lines += [*_differences(name, own("differences")), ""]
    curved = [row for row in rows if "curve" in row]
    if curved:
        title = "UAR of every layer, and the layers that were chosen"
        lines += _folded(title, _layers(name, curved))
    if own("trainings"):
        lines += _folded("Pre-training", _trainings(name, own("trainings")))
    best = best_row(rows)
    title = f"Recall by class: {best['name']}"
    return lines + _folded(title, _classes(found["classes"][name], best))


def best_row(rows: Sequence[Row]) -> Row:
    """The encoder or fusion with the highest UAR on the most units; any row without.

    It is told, and drawn, in full. Test scores choose it: its own is too good by that.
    """
    own = [row for row in rows if row["kind"] in (ENCODER, FUSION)] or rows
    return max(own, key=lambda row: (len(row["units"]), row["uar"]["value"]))


def _scores(name: str, rows: Sequence[Row]) -> list[str]:
    units = list(dict.fromkeys(unit for row in rows for unit in row["units"]))
    head = ["UAR", *units, f"mean [95 %, {_UNITS[name]}]"]
    head += ["sd of weights", "sd of probes"]
    lines = _head(head)
    for kind in dict.fromkeys(row["kind"] for row in rows):
        lines.append(_row([_KINDS[kind], *[""] * (len(head) - 1)]))
        for row in rows:
            if row["kind"] != kind:
                continue
            each = [_number(row["units"].get(unit)) for unit in units]
            few = len(row["units"])
            mark = "" if few == len(units) else f" ({few} of {len(units)})"
            cells = [row["name"], *each, _interval(row["uar"]) + mark]
            cells += [_number(row["sd_weights"]), _number(row["sd_probes"])]
            lines.append(_row(cells))
    return lines


def _differences(name: str, told: Sequence[Row]) -> list[str]:
    head = ["paired differences of UAR", "less", f"mean [95 %, {_UNITS[name]}]"]
    head += [f"{_UNITS[name]} ahead"]
    lines = _head(head)
    for row in told:
        cells = [row["name"], row["less"], _interval(row["uar"], "+")]
        lines.append(_row([*cells, f"{row['ahead']} of {len(row['units'])}"]))
    return lines


def _layers(name: str, rows: Sequence[Row]) -> list[str]:
    layers = list(rows[0]["curve"])
    lines = _head(["encoder", "UAR of", *(f"layer {layer}" for layer in layers)])
    for row in rows:
        curve = [row["curve"][layer] for layer in layers]
        test = [_number(own["uar"]["value"]) for own in curve]
        validation = [_number(own["validation"]) for own in curve]
        lines.append(_row([row["name"], "test", *test]))
        lines.append(_row(["", "validation", *validation]))
    for row in rows:
        each = "; ".join(f"{u}: {', '.join(c)}" for u, c in row["chosen"].items())
        lines += ["", f"Chosen, {row['name']}, by tested {_UNIT[name]}: {each}."]
    return lines


def _trainings(name: str, told: Sequence[Row]) -> list[str]:
    head = [f"without ({_UNIT[name]})", f"hidden frames of ({_UNIT[name]})"]
    head += ["clusters told", "by repeating the nearest visible frame's"]
    head += ["by the most frequent one", "loss", "of the best constant"]
    lines = _head(head)
    for row in told:
        cells = [row["unit"], row["chooser"]]
        for key in ("masked_accuracy", "copied_accuracy", "most_frequent"):
            cells.append(_number(row[key]))
        cells += [f"{row['loss']:.2f}", f"{row['unigram_loss']:.2f}"]
        lines.append(_row(cells))
    return lines


def _classes(classes: Sequence[str], row: Row) -> list[str]:
    lines = _head(["truth", "recall", "most often taken for"])
    for place, name in enumerate(classes):
        shares = row["confusion"][place]
        others = [(s, n) for s, n in zip(shares, classes, strict=True) if n != name]
        share, other = max(others, key=lambda item: item[0])
        wrong = f"{other} ({share:.2f})" if share > 0 else ""
        lines.append(_row([name, _number(shares[place]), wrong]))
    return lines


def _folded(title: str, table: Sequence[str]) -> list[str]:
    start = ["<details>", f"<summary>{title}</summary>", ""]
    return [*start, *table, "", "</details>", ""]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _interval(own: Mapping[str, Any], sign: str = "") -> str:
    text = f"{own['value']:{sign}.3f}"
    if own["low"] is None:
        return text
    return f"{text} [{own['low']:{sign}.3f}, {own['high']:{sign}.3f}]"


def _head(cells: Sequence[str]) -> list[str]:
    return [_row(cells), _row(["---"] * len(cells))]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
