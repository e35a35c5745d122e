r"""Autoencoders as detectors of a damaged bearing, in SIMULATED vibration.

python -m launch.vibration_study [--output=runs/vibration]

Dense, convolutional, variational and denoising autoencoders of raw windows, trained on
healthy recordings alone, beside root mean square and kurtosis, which learn nothing.
AUC is of recordings (mean score of their windows) that none was trained on, with 95 %
intervals over recordings; beside it the share of healthy windows that are flagged at a
threshold for 5 %. Writes OUTPUT.png and OUTPUT.json; prints the table.
"""

import functools
import json
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import app, flags
from etils import epath

from launch import runtime
from sigjax.data.examples.example_set import ExampleSet
from sigjax.data.synthetic.bearing import bearing_windows
from sigjax.evals import sound_study_figures
from sigjax.evals.detection_intervals import bootstrap
from sigjax.evals.sound_study_figures import Mark, Panel
from sigjax.inference.anomaly_detector import AutoencoderDetector
from sigjax.train.writer import replace_file

DETECTORS: Mapping[str, Mapping[str, Any]] = {
    "AE": {"widths": (128, 64), "code": 16},
    "conv AE": {"kind": "conv", "widths": (16, 32, 32), "code": 16},
    "VAE": {"widths": (128, 64), "code": 16, "latent": "gaussian"},
    "denoising AE": {"widths": (128, 64), "code": 16, "noise": 0.5},
}
RATE = 0.05
_say = functools.partial(print, flush=True)


def numbers(x: np.ndarray) -> dict[str, np.ndarray]:
    """What learns nothing: float64 `[n]` of windows `[n, s, 1]`."""
    x = x[..., 0].astype(np.float64)
    x = x - x.mean(axis=1, keepdims=True)
    square = np.square(x).mean(axis=1)
    return {
        "root mean square": np.sqrt(square),
        "kurtosis": (x**4).mean(axis=1) / square**2,
    }


def compare(
    train: ExampleSet, test: ExampleSet, *, epochs: int = 30, seed: int = 0
) -> list[dict[str, Any]]:
    """A row for each detector.

    Args:
      train: Healthy windows alone.
      test: Healthy ones and others, of other recordings.
      epochs: Of each autoencoder.
      seed: Of each.

    Returns:
      Rows with `detector`, `auc`, `low`, `high`, and of detectors with a threshold
      `false_alarms` and `found`, shares of windows.
    """
    found = [_row(name, score, test) for name, score in numbers(test.x).items()]
    for name, given in DETECTORS.items():
        made = AutoencoderDetector(
            **given, epochs=epochs, false_alarm_rate=RATE, random_state=seed
        ).fit(train.x, groups=train.group)
        row = _row(name, made.anomaly_score(test.x), test)
        flagged, odd = made.predict(test.x) < 0, test.label > 0
        row |= {
            "false_alarms": float(flagged[~odd].mean()),
            "found": float(flagged[odd].mean()),
        }
        found.append(row)
    return found


def _row(name: str, score: np.ndarray, test: ExampleSet) -> dict[str, Any]:
    names, first, member = np.unique(test.group, return_index=True, return_inverse=True)
    mean = np.bincount(member, weights=score) / np.bincount(member)
    value = bootstrap(test.label[first], mean, group=names)
    return {"detector": name, "auc": value.value, "low": value.low, "high": value.high}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = ["| detector | AUC of recordings | false alarms | found |"]
    lines.append("| --- | --- | --- | --- |")
    for row in rows:
        cells = [f"{row['auc']:.3f} [{row['low']:.2f}, {row['high']:.2f}]"]
        for name in ("false_alarms", "found"):
            cells.append(f"{100 * row[name]:.1f} %" if name in row else "")
        lines.append(f"| {row['detector']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(path: epath.PathLike, rows: list[dict[str, Any]]) -> None:
    """The figure: AUCs with their intervals."""
    marks = [
        Mark(
            row["detector"],
            "trained" if "found" in row else "nothing to train",
            *(float(row[name]) for name in ("auc", "low", "high")),
        )
        for row in rows
    ]
    title = "SIMULATED bearing:\ndamage against other healthy recordings"
    sound_study_figures.draw(path, [Panel(title, 1.0, {}, marks)])


def define_flags() -> None:
    """The command's flags."""
    flags.DEFINE_string("output", "", "Results' path without its ending.")
    flags.DEFINE_integer("recordings", 40, "Healthy ones to train on.", lower_bound=5)
    flags.DEFINE_integer("tested", 20, "Healthy ones, and damaged ones.", lower_bound=2)
    flags.DEFINE_float("depth", 2.0, "Of blows, in standard deviations of the noise.")
    flags.DEFINE_integer("epochs", 30, "Of each autoencoder.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Of data and networks.")


def main(argv: list[str]) -> None:
    """Simulates, trains, compares."""
    if len(argv) > 1:
        raise app.UsageError(f"flags start with two dashes; not understood: {argv[1:]}")
    given = flags.FLAGS
    runtime.start()
    try:
        train = bearing_windows(healthy=given.recordings, damaged=0, seed=given.seed)
        test = bearing_windows(
            healthy=given.tested,
            damaged=given.tested,
            depth=given.depth,
            seed=given.seed + 1,
        )
        rows = compare(train, test, epochs=given.epochs, seed=given.seed)
    except ValueError as error:
        sys.exit(f"error: {error}")
    _say(f"{test.origin}: {len(test.x):,} windows of {2 * given.tested} recordings")
    _say(table(rows))
    if given.output:
        draw(f"{given.output}.png", rows)
        text = json.dumps({"origin": test.origin, "rows": rows}, indent=1) + "\n"
        replace_file(epath.Path(f"{given.output}.json"), text.encode())


if __name__ == "__main__":
    define_flags()
    app.run(main)
