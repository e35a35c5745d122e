r"""Fits a detector on the normal sound of a machine, without training anything.

python -m launch.fit_sounds --input=recordings/pump7 --machine=pump7 --output=pump7
python -m launch.predict --bundle=pump7 --output=predictions new.wav

--input is an audio file (WAV, FLAC, OGG; any length, rate and number of channels) or a
folder of them. The sound is cut into windows that do not overlap, and a back-end
remembers each: mean and standard deviation of its log-mel bands, or, with
--features=network, what a network that was trained before says of it (--bundle; by
default the one that comes with sigjax). The threshold promises a number of false alarms
per day, and says how much more sound fewer of them need: for one a day, a day.

The bundle that comes with sigjax was trained on SIMULATED machines. These are not kept
in the new bundle, unless by --keep_simulated.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from absl import app, flags
from etils import epath

from launch import command, runtime
from launch.sounds.windows import Found, read_windows
from sigjax import bundles, export
from sigjax.data import audio
from sigjax.data.machine_sound.clips import ManifestError
from sigjax.evals.anomaly.backend import BackendError
from sigjax.evals.thresholds import ThresholdError, clips_per_day, plain
from sigjax.inference.base import BundleError
from sigjax.inference.sounds.alarm_thresholds import minutes_needed
from sigjax.inference.sounds.detector import SoundDetector
from sigjax.train.checkpoint import CheckpointError

EXPECTED_ERRORS = (
    audio.AudioError,
    BackendError,
    BundleError,
    CheckpointError,
    FileNotFoundError,
    ManifestError,
    ThresholdError,
)
# Of the table that says how much sound fewer false alarms need.
_RATES = (24.0, 4.0, 1.0)
_MOST_LINES = 10


def fit_sounds(
    given: epath.PathLike,
    output: epath.PathLike,
    *,
    machine: str,
    section: str = "00",
    bundle: epath.PathLike = "",
    minutes: float | None = None,
    channel: audio.Channel = 0,
    keep_simulated: bool = False,
    **settings: Any,
) -> list[str]:
    """Writes a bundle that knows a machine from its normal sound.

    Args:
      given: Audio file, or folder of them.
      output: Folder of the bundle.
      machine: Name of the machine.
      section: Which one of its kind.
      bundle: What to start from; the one that comes with sigjax if empty.
      minutes: Use at most so much sound, spread over all there is.
      channel: Of files with several.
      keep_simulated: Keep the machines of a network that was trained on simulated ones.
      **settings: Others of `SoundDetector.fit`.

    Returns:
      What was done, line by line.

    Raises:
      EXPECTED_ERRORS: With messages that say what to change.
    """
    start = export.load(bundle or bundles.path("machine_sounds"))
    if not isinstance(start, SoundDetector):
        raise BundleError(
            f"{bundle} is no detector of machine sounds: {type(start).__name__}"
        )
    found = read_windows(
        pathlib.Path(given).expanduser(),
        machine=machine,
        window_s=start.clip_s,
        rate_hz=start.rate_hz,
        channel=channel,
        minutes=minutes,
    )
    if not found.waves:
        why = [f"{given}: no sound to fit on", *_left_out(found)]
        raise BundleError("\n".join(why))
    detector = start.fit(found.waves, machine=machine, section=section, **settings)
    if detector.simulated and not keep_simulated:
        kept = [m for m in detector.models if m == machine or _is_fitted(detector, m)]
        detector = detector.only(*kept)
    detector.save(output)
    lines = [f"{machine}/{section} from {given}"]
    lines += [*_used(detector, machine, section, found, channel), *_left_out(found)]
    lines += _promise(detector, machine, section)
    lines.append(f"  sounds most like {_nearest(start, found)}")
    lines.append(f"  {output}: {detector!r}")
    if (machine, section) in start.machines:
        lines.append(f"  {machine}/{section} was known before and is replaced")
    return lines


def _is_fitted(detector: SoundDetector, machine: str) -> bool:
    return all(
        known.facts.get("fitted") == "without training"
        for known in detector.sections.values()
        if known.machine == machine
    )


def _used(
    detector: SoundDetector,
    machine: str,
    section: str,
    found: Found,
    channel: audio.Channel,
) -> list[str]:
    facts = detector.sections[machine, section].facts
    clips = detector.clips_seen[machine, section]
    lines = [
        f"  used: {clips:,} windows of {detector.clip_s:g} s, {facts['minutes']:.1f}"
        f" minutes of {len(found.waves)} files"
    ]
    models, space, _ = detector.models[machine]
    what = {"spectrum": "log-mel statistics"}.get(space, "what the network says")
    name = models.description()["backend"]["name"]
    lines.append(f"  remembered: {what} of each, by {name}")
    for why, seconds in facts["left_out_s"].items():
        lines.append(f"  left out: {seconds:.1f} s {why}")
    if facts["clipped_clips"]:
        lines.append(
            f"  clipped: {facts['clipped_clips']} of these windows have samples at full"
            " scale. They are used; record with less gain"
        )
    others = [rate for rate in found.rates_hz if rate != detector.rate_hz]
    if others:
        rates = ", ".join(f"{rate}" for rate in others)
        lines.append(f"  resampled: from {rates} Hz to {detector.rate_hz} Hz")
        if min(others) < detector.rate_hz:
            lines.append(
                "  warning: recordings at less than the network's rate lack its"
                " highest frequencies; score none of another rate with this bundle"
            )
    if found.channels > 1:
        what = "their mean" if channel == "mean" else f"channel {channel}"
        lines.append(f"  channels: up to {found.channels}, of which {what} is used")
    if found.unused_s:
        lines.append(f"  not used: {found.unused_s / 60:.1f} minutes beyond --minutes")
    return lines


def _left_out(found: Found) -> list[str]:
    lines = [
        f"  left out: {path}: {reason}" for path, reason in found.left_out[:_MOST_LINES]
    ]
    more = len(found.left_out) - _MOST_LINES
    return lines + ([f"  left out: {more} more"] if more > 0 else [])


def _promise(detector: SoundDetector, machine: str, section: str) -> list[str]:
    key = machine, section
    threshold, hop_s = detector.thresholds[key], detector.hop_s[key]
    have = threshold.clips * detector.clip_s / 60
    promised = threshold.per_day(hop_s)
    line = f"  threshold {threshold.value:.6g}: {plain(promised)} false alarms a day"
    if threshold.at_most is not None:
        most = threshold.at_most * clips_per_day(hop_s)
        line += f" (with 95 % confidence at most {plain(most)})"
    lines = [f"{line} at one window per {hop_s:g} s"]
    if threshold.remark:
        lines.append(f"  warning: {threshold.remark}")
    for rate in _RATES:
        needed = minutes_needed(rate, hop_s, detector.clip_s)
        if needed > have and rate < promised:
            lines.append(
                f"  {rate:g} a day: {needed:,.0f} minutes of normal sound,"
                f" {needed - have:,.0f} more"
            )
    lines.append(
        "  the promise is for days like those that were recorded: record at all loads"
        " and times of day"
    )
    return lines


def _nearest(detector: SoundDetector, found: Found) -> str:
    """The known machine that most windows are nearest to."""
    size = round(detector.clip_s * detector.rate_hz)
    pieces = [w[i : i + size] for w in found.waves for i in range(0, len(w), size)]
    waves: Sequence[Any] = pieces[:: max(1, len(pieces) // 32)]
    near = detector.nearest(waves)
    names = [f"{m}/{s}" for m, s in zip(near.machine, near.section, strict=True)]
    most = max(set(names), key=names.count)
    share = float(near.open_set.mean())
    what = "SIMULATED " if detector.simulated else ""
    return (
        f"the {what}machine {most} of those known before ({names.count(most)} of"
        f" {len(names)} windows; {share:.0%} are unlike all of them)"
    )


def define_flags() -> None:
    """The command's flags; not on import, where other commands' may be defined."""
    text = flags.DEFINE_string
    text("input", None, "Audio file, or folder of them: normal sound alone.")
    text("machine", None, "Name of the machine.")
    text("section", "00", "Which one of its kind.")
    text("output", None, "Folder of the bundle; replaced if it is one.")
    text("bundle", "", "Bundle to start from; by default the one of sigjax.")
    text("backend", "knn", "What remembers the sound; see sigjax.evals.anomaly.")
    flags.DEFINE_enum(
        "features",
        "spectrum",
        ["spectrum", "network"],
        "What is remembered: log-mel statistics, or what the network says.",
    )
    text("channel", "0", "Of files with several: an index, or 'mean'.")
    flags.DEFINE_float("false_alarms_per_day", 24.0, "That the threshold may give.")
    flags.DEFINE_float("hop_s", None, "Seconds between scored windows in use.", 0.001)
    flags.DEFINE_float("minutes", None, "Use at most so much sound.", 0.0)
    flags.DEFINE_bool("keep_simulated", False, "Keep the simulated machines.")
    flags.mark_flags_as_required(["input", "machine", "output"])


def main(argv: list[str]) -> None:
    """Fits what the flags name."""
    command.refuse_arguments(argv)
    runtime.start()
    given = flags.FLAGS
    names = ("machine", "section", "bundle", "backend", "features", "hop_s", "minutes")
    settings: dict[str, Any] = {name: given[name].value for name in names}
    try:
        channel = audio.checked_channel(given.channel)
    except ValueError as error:
        raise app.UsageError(f"--channel: {error}") from error
    with command.told(EXPECTED_ERRORS, "stopped"):
        lines = fit_sounds(
            given.input,
            given.output,
            channel=channel,
            keep_simulated=given.keep_simulated,
            false_alarms_per_day=given.false_alarms_per_day,
            **settings,
        )
    print(*lines, sep="\n")


if __name__ == "__main__":
    define_flags()
    app.run(main)
