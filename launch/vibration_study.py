r"""Autoencoders as detectors of a damaged bearing, in SIMULATED vibration.

python -m launch.vibration_study --output=docs/anomalies_in_vibration  # minutes

Dense, convolutional, variational and denoising autoencoders, of windows and of the
spectra of their envelopes, trained on healthy recordings alone, beside PCA and what
learns nothing: root mean square, kurtosis, and the envelope's line at the rate at which
rollers pass a defect. Each is asked for damage of several depths, in steady noise and
beside machines that knock. Thresholds are made for 5 % false alarms by other healthy
recordings and tried on others again.

AUC is of recordings (mean score of their windows) that none was trained on, with 95 %
intervals over recordings. Writes OUTPUT.json and OUTPUT.png, and puts the tables into
OUTPUT.md, between its two lines `<!-- tables -->`; without such a page it prints them.
"""

import functools
import sys
from typing import Any

from absl import app, flags

from launch import runtime
from launch.pages import publish
from launch.vibration import detectors, figures, tables
from launch.vibration.comparison import calibrations, compare
from launch.vibration.recordings import CONDITIONS, simulated

_say = functools.partial(print, flush=True)


def study(
    *, recordings: int, tested: int, depths: list[float], epochs: int, seed: int
) -> tuple[dict[str, Any], list[figures.Example]]:
    """Rows of all tables, and what to draw of some recordings.

    Args:
      recordings: Healthy ones to train on, and as many to make thresholds of.
      tested: Healthy ones, and damaged ones of each depth.
      depths: Of blows, in standard deviations of the noise.
      epochs: Of the networks of windows; those of spectra have three times as many.
      seed: Of data and networks.
    """
    rows, several, examples = [], [], []
    for name, knocks_hz in CONDITIONS.items():
        given = simulated(
            recordings=recordings,
            tested=tested,
            depths=depths,
            knocks_hz=knocks_hz,
            seed=seed,
        )
        examples.append(figures.example(name, given))
        for detector in detectors.fitted(given.train, epochs=epochs, seed=seed):
            row, healthy = compare(detector, given)
            rows.append({"condition": name, **row})
            _say(f"{name}: {tables.in_short(row)}")
            if detector.name == "AE":
                own = calibrations(healthy, seed=seed)
                told = {"condition": name, "seen": detector.seen}
                several += [{**told, **line} for line in own]
    told = dict(recordings=recordings, tested=tested, epochs=epochs, seed=seed)
    found = {"simulated": [told], "rows": rows, "calibrations": several}
    return found, examples


def define_flags() -> None:
    """The command's flags."""
    flags.DEFINE_string("output", "", "Results' path without its ending.")
    flags.DEFINE_integer(
        "recordings",
        40,
        "Healthy ones to train on, and for thresholds.",
        lower_bound=19,
    )
    flags.DEFINE_integer("tested", 80, "Healthy ones, and damaged ones.", lower_bound=2)
    flags.DEFINE_list(
        "depths", ["1", "2", "3", "4", "8", "16"], "Of blows, in sd of the noise."
    )
    flags.DEFINE_integer("epochs", 10, "Of networks of windows.", lower_bound=1)
    flags.DEFINE_integer("seed", 0, "Of data and networks.", lower_bound=0)


def main(argv: list[str]) -> None:
    """Simulates, trains, compares, writes."""
    if len(argv) > 1:
        raise app.UsageError(f"flags start with two dashes; not understood: {argv[1:]}")
    given = flags.FLAGS
    try:
        depths = sorted({float(depth) for depth in given.depths})
    except ValueError as error:
        sys.exit(f"error: --depths: {error}")
    if not depths or depths[0] <= 0:
        sys.exit(f"error: --depths are above 0, got {given.depths}")
    runtime.start()
    found, examples = study(
        recordings=given.recordings,
        tested=given.tested,
        depths=depths,
        epochs=given.epochs,
        seed=given.seed,
    )
    found = tables.rounded(found)
    if not given.output:
        _say(tables.markdown(found))
        return
    figures.draw(f"{given.output}.png", found, examples)
    text = tables.as_text(found)
    _say(publish(given.output, found, tables.markdown(found), text))


if __name__ == "__main__":
    define_flags()
    app.run(main)
