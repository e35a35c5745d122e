"""What `launch.predict` is asked of machine sounds, from files or standard input."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from absl import flags
from etils import epath

import sigjax
from launch import results as res
from launch.recordings.clock import started
from sigjax import export
from sigjax.data import audio
from sigjax.evals.thresholds import ThresholdError
from sigjax.inference.base import BundleError
from sigjax.inference.sounds.detector import SoundDetector
from sigjax.inference.sounds.rolling import Window
from sigjax.inference.sounds.watch import Watch, resolve

FLAGS = (
    "machine", "section", "domain", "channel", "hop_s", "window_s", "start_time",
    "false_alarms_per_day", "alarm_after", "alarm_until", "nearest", "map",
)  # fmt: skip
# Those of files alone.
FILE_FLAGS = ("map",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What results depend on, beside file and detector.

    Attributes:
      format: `"csv"` or `"parquet"`.
      machine: Whose sound it is; `""` for the only one that is known.
      section: Which of its sections; `""` for the only or nearest one.
      domain: `"source"`, `"target"`, or `""` if that is not known.
      channel: Of recordings with several.
      hop_s: From one window to the next; 0 for windows that do not overlap.
      window_s: Length of a window; 0 for that of the model.
      start_time: When a recording began, ISO 8601; `""` for no clock.
      false_alarms_per_day: Moves thresholds; 0 for those of the bundle.
      alarm_after: Windows above the threshold in a row that begin an alarm.
      alarm_until: Windows well below it in a row that end one.
      nearest: Say which known machine each window sounds like.
      map: Draw where the most anomalous window is anomalous.
    """

    format: str = "csv"
    machine: str = ""
    section: str = ""
    domain: str = ""
    channel: audio.Channel = 0
    hop_s: float = 0.0
    window_s: float = 0.0
    start_time: str = ""
    false_alarms_per_day: float = 0.0
    alarm_after: int = 1
    alarm_until: int = 1
    nearest: bool = True
    map: bool = True

    def key(self, bundle: epath.PathLike) -> dict[str, Any]:
        """What tells whether results are those of these settings and a bundle."""
        return {
            "bundle": res.fingerprint(bundle),
            **dataclasses.asdict(self),
            "sigjax_version": sigjax.__version__,
        }

    def completed(self, detector: SoundDetector, hop_s: float = 0.0) -> "Settings":
        """With window and hop in seconds: the detector's clip, one after another.

        Args:
          detector: Whose clip it is.
          hop_s: The hop where none was asked for, at most a window; 0 for a window.
        """
        window_s = self.window_s or detector.clip_s
        found = self.hop_s or min(hop_s or window_s, window_s)
        return dataclasses.replace(self, window_s=window_s, hop_s=found)


def define_flags() -> None:
    """Flags of machine sounds."""
    text, number = flags.DEFINE_string, flags.DEFINE_float
    text("machine", "", "Of sounds. Whose sound it is, if the bundle knows several.")
    text("section", "", "Of sounds. Which of the machine's sections; default: nearest.")
    flags.DEFINE_enum("domain", "", ["", "source", "target"], "Of sounds, if known.")
    text("channel", "0", "Of sounds. Channel, counted from 0, or mean.")
    number(
        "hop_s",
        0,
        "Of sounds. Seconds from one window to the next. Default: windows of files do"
        " not overlap; 1 s for standard input.",
        lower_bound=0,
    )
    number(
        "window_s",
        0,
        "Of sounds. Length of a window; 0: what the model sees at once.",
        lower_bound=0,
    )
    text(
        "start_time",
        "",
        "Of sounds. When the recording began, such as 2026-03-01T06:00:00, or now for"
        " standard input: rows then have a clock time.",
    )
    number(
        "false_alarms_per_day",
        0,
        "Of sounds. Windows a day that may be flagged though nothing is wrong; 0: as"
        " the bundle has it.",
        lower_bound=0,
    )
    ends = {"after": "above the threshold that begin", "until": "well below that end"}
    for name, what in ends.items():
        flags.DEFINE_integer(
            f"alarm_{name}",
            1,
            f"Of sounds. Windows in a row {what} an alarm.",
            lower_bound=1,
        )
    flags.DEFINE_bool("nearest", True, "Of sounds. Say which machine they sound like.")
    flags.DEFINE_bool("map", True, "Of sounds. Draw where the worst window is odd.")


def settings() -> Settings:
    """What the flags say.

    Raises:
      ValueError: A time or a channel is none.
    """
    given = flags.FLAGS
    own: dict[str, Any] = {name: given[name].value for name in FLAGS}
    own["channel"] = audio.checked_channel(given.channel)
    if given.start_time not in ("", "now"):
        started(given.start_time)
    return Settings(format=given.format, **own)


def unheard(asked: Settings) -> str:
    """That there is sound in no window, where the hop is longer."""
    return (
        f"windows of {asked.window_s:g} s every {asked.hop_s:g} s: of each"
        f" {asked.hop_s:g} s, {asked.hop_s - asked.window_s:g} s are in no window"
    )


def open_detector(bundle: epath.PathLike) -> SoundDetector:
    """Loads a detector.

    Raises:
      BundleError: There is no bundle, or not of a detector.
    """
    model: Any = export.load(bundle)
    if not isinstance(model, SoundDetector):
        raise BundleError(
            f"{bundle} is no detector of sounds: write one by `python -m launch.export"
            " --workdir=RUN --output=BUNDLE` or `python -m launch.fit_sounds`"
        )
    return model


def with_alarms(detector: SoundDetector, asked: Settings) -> SoundDetector:
    """The detector with thresholds for the false alarms that are asked for.

    Raises:
      ThresholdError: Too little normal sound is known for so few.
    """
    if not asked.false_alarms_per_day:
        return detector
    try:
        return detector.with_alarms(
            false_alarms_per_day=asked.false_alarms_per_day, hop_s=asked.hop_s
        )
    except ThresholdError as error:
        raise ThresholdError(f"--false_alarms_per_day: {error}") from error


def watch(detector: SoundDetector, asked: Settings) -> Watch:
    """Watches the machine that the settings name.

    Raises:
      BundleError: It is not known, or several are and none is named.
    """
    return Watch(
        detector,
        machine=asked.machine or None,
        section=asked.section or None,
        domain=asked.domain or None,
        after=asked.alarm_after,
        until=asked.alarm_until,
        nearest=asked.nearest,
    )


def promise(watching: Watch, asked: Settings) -> str:
    """What the threshold promises for windows every `asked.hop_s`, in words."""
    detector, own = watching.detector, (watching.machine, watching.section or "")
    threshold = detector.thresholds.get(own)
    if threshold is None:
        return "each window by the threshold of the section that it is scored by"
    text = threshold.describe(asked.hop_s)
    if asked.hop_s < detector.hop_s[own] and not asked.false_alarms_per_day:
        asked_for = detector.false_alarms_per_day[own]
        text += (
            f"\n  its {asked_for:g} a day are of windows every"
            f" {detector.hop_s[own]:g} s; --false_alarms_per_day={asked_for:g} moves it"
            f" for windows every {asked.hop_s:g} s"
        )
    return text


def is_unknown(detector: SoundDetector, asked: Settings) -> str:
    """Why windows cannot be scored: the machine is not known or not named; or `""`."""
    try:
        resolve(detector, asked.machine or None, asked.section or None)
    except BundleError as error:
        return str(error)
    return ""


def unknown(
    detector: SoundDetector,
    why: str,
    asked: Settings,
    bundle: epath.PathLike,
    heard: Sequence[tuple[str, Window]],
) -> BundleError:
    """Says which known machines some windows sound like, and how to add another.

    Args:
      detector: That does not know the machine.
      why: What is wrong with the name.
      asked: With the name.
      bundle: Of the detector.
      heard: A window of each recording, and the recording's name.
    """
    lines = [why]
    if heard:
        near = detector.nearest([window.wave for _, window in heard])
        for i, (name, _) in enumerate(heard):
            text = f"{near.machine[i]}/{near.section[i]}"
            text += f" (distance {near.distance[i]:.3g})"
            if near.open_set[i]:
                text += ", yet like none that is known (open set)"
            lines.append(f"  {name}: nearest is {text}")
    lines.append(
        "some minutes of its normal sound add a machine, without training:\n  python -m"
        f" launch.fit_sounds --input=NORMAL --machine={asked.machine or 'NAME'}"
        f" --bundle={bundle} --output=NEW_BUNDLE"
    )
    return BundleError("\n".join(lines))
