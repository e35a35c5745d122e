r"""Simulates audio events in a published layout, or long recordings of them.

    python -m launch.simulate_events --output=FOLDER --layout=esc50 --clips=20

writes files and tables as ESC-50, AudioSet or EPIC-KITCHENS-100 have them, to be built
with `python -m launch.build_events --input=FOLDER`, and `events.csv`, which tells when
which class sounds in which file. With `--recordings=3` long recordings are written
instead, for `launch.predict`. No sound is real: they are for tests and for trying a
system before there is data. Run again with the same flags, the command continues where
it was stopped; a folder that holds anything else is refused.
"""

from absl import app, flags

from launch import command
from sigjax.data.synthetic import event_sounds, events


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    flags.DEFINE_string("output", None, "Folder; created if missing.")
    flags.DEFINE_enum("layout", "esc50", events.LAYOUTS, "Whose tables and names.")
    flags.DEFINE_integer("clips", 20, "Of each class (esc50), or of each split.")
    flags.DEFINE_integer(
        "classes", 4, f"The first of {', '.join(event_sounds.SOUNDS)}.", lower_bound=2
    )
    flags.DEFINE_float("clip_s", 5.0, "Seconds per clip.")
    flags.DEFINE_integer("recordings", 0, "Long recordings, instead of a set.")
    flags.DEFINE_float("recording_s", 60.0, "Seconds per recording.", lower_bound=5)
    flags.DEFINE_integer("rate_hz", 16_000, "Sampling rate.")
    flags.DEFINE_integer("seed", 0, "Of everything.")
    flags.mark_flags_as_required(["output"])


def main(argv: list[str]) -> None:
    """Simulates what the flags ask for."""
    command.refuse_arguments(argv)
    f = flags.FLAGS
    common = {"classes": f.classes, "rate_hz": f.rate_hz, "seed": f.seed}
    errors = (OSError, ValueError)
    with command.told(errors, "stopped; the same command goes on from here"):
        if f.recordings:
            folder = events.write_event_recordings(
                f.output,
                recordings=f.recordings,
                duration_s=f.recording_s,
                **common,
            )
        else:
            folder = events.write_events_set(
                f.output, layout=f.layout, clips=f.clips, clip_s=f.clip_s, **common
            )
    print(f"{folder}: simulated; see SIMULATED.txt and events.csv")


if __name__ == "__main__":
    define_flags()
    app.run(main)
