"""What `launch.predict` is asked of a recogniser of audio events."""

import dataclasses
from typing import Any

from absl import flags
from etils import epath

import sigjax
from launch import results as res
from launch.recordings.clock import started
from sigjax.data import audio
from sigjax.inference.audio_events import AudioEventsModel

# Of its own, and those that it shares with machine sounds.
OWN_FLAGS = ("event_threshold", "top")
SHARED_FLAGS = ("channel", "hop_s", "start_time")
# A class that is one of many, and one of which any number may be heard.
_THRESHOLD, _THRESHOLD_OF_SEVERAL = 0.5, 0.3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """What results depend on, beside file and model.

    Attributes:
      format: `"csv"` or `"parquet"`.
      channel: Of recordings with several.
      hop_s: From one window to the next; 0 for windows that do not overlap.
      start_time: When a recording began, ISO 8601; `""` for no clock.
      event_threshold: The probability from which a class is an event; 0 chooses.
      top: How many classes summaries and pictures show.
    """

    format: str = "csv"
    channel: audio.Channel = 0
    hop_s: float = 0.0
    start_time: str = ""
    event_threshold: float = 0.0
    top: int = 5

    def key(self, bundle: epath.PathLike) -> dict[str, Any]:
        """What tells whether results are those of these settings and a bundle."""
        return {
            "bundle": res.fingerprint(bundle),
            **dataclasses.asdict(self),
            "sigjax_version": sigjax.__version__,
        }

    def completed(self, model: AudioEventsModel) -> "Settings":
        """With hop and threshold that suit the model, where none was asked for."""
        threshold = _THRESHOLD_OF_SEVERAL if model.multi_label else _THRESHOLD
        return dataclasses.replace(
            self,
            hop_s=self.hop_s or model.window_s,
            event_threshold=self.event_threshold or threshold,
        )


def define_flags() -> None:
    """Flags of audio events alone."""
    flags.DEFINE_float(
        "event_threshold",
        0,
        "Of audio events. Probability from which a class is heard. Default:"
        f" {_THRESHOLD:g}, or {_THRESHOLD_OF_SEVERAL:g} where several classes are heard"
        " at once.",
        lower_bound=0,
        upper_bound=1,
    )
    flags.DEFINE_integer(
        "top",
        5,
        "Of audio events. Classes in summaries and pictures.",
        lower_bound=1,
    )


def settings() -> Settings:
    """What the flags say.

    Raises:
      ValueError: A time or a channel is none.
    """
    given = flags.FLAGS
    own: dict[str, Any] = {n: given[n].value for n in (*OWN_FLAGS, *SHARED_FLAGS)}
    own["channel"] = audio.checked_channel(given.channel)
    if given.start_time:
        started(given.start_time)
    return Settings(format=given.format, **own)
