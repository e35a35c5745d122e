r"""Simulates machine sounds in the layout of the DCASE challenge, Task 2.

    python -m launch.simulate_sounds --output=FOLDER --machines=fan,pump --seed=0

writes `FOLDER/dev_data` and `FOLDER/eval_data` with the challenge's names, the ground
truth of the evaluation clips in the evaluator's layout, and `truth.json`, which says of
each clip how the machine ran and what was wrong with it. No sound is real: they are for
tests, for trying a system before there is data, and for controlled experiments.

The counts of the challenge are the default: 1,403 clips a section, 0.45 GB; all seven
machines with six sections are 19 GB. --train_source=60 --test_normal=25
--test_anomaly=25 is enough to try things. Run again with the same flags, the command
continues where it was stopped; a folder that holds anything else is refused.
"""

import functools
from typing import Any

import tqdm
from absl import app, flags

from launch import command
from sigjax.data import store_layout
from sigjax.data.synthetic import machine_layout, machine_sound
from sigjax.data.wearable import pool


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("output", None, "Folder; created if missing.")
    flags.DEFINE_list(
        "machines",
        list(machine_sound.MACHINES),
        f"Types, of {', '.join(machine_sound.MACHINES)}.",
    )
    flags.DEFINE_list(
        "sections",
        list(machine_sound.SECTIONS),
        "Two digits each; 00 to 02 are for development, 03 and up for evaluation.",
    )
    for name, count, what in (
        ("train_source", 1000, "Normal clips of the source domain to train on"),
        ("train_target", 3, "Normal clips of the target domain to train on"),
        ("test_normal", 100, "Normal clips to test on, in each domain"),
        ("test_anomaly", 100, "Anomalous clips to test on, in each domain"),
    ):
        flags.DEFINE_integer(name, count, f"{what}, per section.")
    flags.DEFINE_float("clip_s", 10.0, "Seconds per clip.")
    flags.DEFINE_integer("rate_hz", 16_000, "Sampling rate.")
    flags.DEFINE_enum(
        "layout",
        "2021",
        machine_layout.LAYOUTS,
        "Whose names and folders; 2022 for those of 2022 and later.",
    )
    flags.DEFINE_integer("seed", 0, "Of everything.")
    flags.DEFINE_integer("workers", 0, "Processes; 0 for one per core.", lower_bound=0)
    flags.mark_flags_as_required(["output"])


_PARAMETERS = (
    "machines",
    "sections",
    "train_source",
    "train_target",
    "test_normal",
    "test_anomaly",
    "clip_s",
    "rate_hz",
    "layout",
    "seed",
)


def main(argv: list[str]) -> None:
    """Simulates what the flags ask for."""
    command.refuse_arguments(argv)
    given: dict[str, Any] = {name: flags.FLAGS[name].value for name in _PARAMETERS}
    errors = (OSError, ValueError, pool.WorkerError)
    with command.told(errors, "stopped; the same command goes on from here"):
        folder = machine_sound.write_machine_sounds(
            flags.FLAGS.output,
            **given,
            workers=flags.FLAGS.workers or store_layout.usable_cores(),
            progress=functools.partial(tqdm.tqdm, unit="clip", desc="simulating"),
        )
    print(f"{folder}: simulated; see SIMULATED.txt and truth.json")


if __name__ == "__main__":
    define_flags()
    app.run(main)
