"""A detector of anomalous machine sounds out of its bundle.

    detector = sigjax.load("bundles/pump")
    scores = detector.score([wave])              # float32 [s] at detector.rate_hz
    detector = detector.fit([normal], machine="pump7")    # no training
    where = detector.anomaly_map(wave, machine="pump7")

A network says something of a sound (an embedding, class scores, or what it could not
reconstruct), and for each machine a back-end of `sigjax.evals.anomaly` that was fitted
on normal sound turns this into a score. Above the machine's threshold it is an anomaly.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from sigjax.evals.thresholds import Threshold

Waves = np.ndarray | Sequence[np.ndarray]


class SoundScores(NamedTuple):
    """Scores of waves.

    Attributes:
      score: Float64 `[n]`; higher is more anomalous.
      threshold: Float64 `[n]`, above which a score is an anomaly.
      decision: Int8 `[n]`: 1 anomaly, 0 normal, -1 where there is no score.
      machine: Text `[n]`, whose model gave the score.
      section: Text `[n]`, likewise.
      remark: What a user must know of each wave, or `""`: silent, clipped, repeated
        because it is short, of a section that is not known.
    """

    score: np.ndarray
    threshold: np.ndarray
    decision: np.ndarray
    machine: np.ndarray
    section: np.ndarray
    remark: tuple[str, ...]


class Nearest(NamedTuple):
    """Which known machine waves sound most like.

    Attributes:
      machine: Text `[n]`.
      section: Text `[n]`.
      distance: Float64 `[n]`, to the nearest normal clip of that section.
      open_set: Bool `[n]`: further away than that section's own normal clips are from
        each other, so that it is probably none of the known machines.
    """

    machine: np.ndarray
    section: np.ndarray
    distance: np.ndarray
    open_set: np.ndarray


class AnomalyMap(NamedTuple):
    """Where in time and frequency a score comes from.

    Attributes:
      value: Float32 `[t f]`, in `unit`.
      frequency_hz: Float64 `[f]`, where each band peaks.
      time_s: Float64 `[t]`, centre of each frame from the wave's beginning on.
      machine: Whose model it is of.
      section: Likewise.
      score: Of the wave.
      baseline: Score of the baseline, 0 where there is none. With one, the map's sum is
        `score - baseline` but for the error of an integral's steps.
      unit: `"dB2"`, squared residual; or `"score"`, each point's share of the score.
    """

    value: np.ndarray
    frequency_hz: np.ndarray
    time_s: np.ndarray
    machine: str
    section: str
    score: float
    baseline: float
    unit: str


class Embedded(NamedTuple):
    """What the network said of waves; give it in their stead to ask more than once.

    Attributes:
      columns: By name (`"embedding"`, `"logits"`, `"residual"`), `[n ...]` each.
      remark: Of each wave.
    """

    columns: Mapping[str, np.ndarray]
    remark: tuple[str, ...]


class SoundDetector:
    """A network with a back-end and a threshold for each machine that it knows.

    Attributes:
      info: The whole of `bundle.json`.
      rate_hz: Sampling rate of waves.
      clip_s: What the network sees at once, seconds. Longer waves are cut into segments
        whose embeddings are averaged, shorter ones are repeated.
      machines: Machine and section of each that it knows.
      clips_seen: By machine and section: normal clips that its back-end was fitted on.
      thresholds: By machine and section.
      false_alarms_per_day: By machine and section: what its threshold was asked for.
      hop_s: By machine and section: the seconds between scored clips that this is for.
      simulated: Whether the network was trained on simulated sound.
    """

    info: Mapping[str, Any]
    rate_hz: int
    clip_s: float
    machines: tuple[tuple[str, str], ...]
    clips_seen: Mapping[tuple[str, str], int]
    thresholds: Mapping[tuple[str, str], Threshold]
    false_alarms_per_day: Mapping[tuple[str, str], float]
    hop_s: Mapping[tuple[str, str], float]
    simulated: bool

    def embed(self, waves: Waves) -> Embedded:
        """Runs the network.

        Args:
          waves: Float32 `[n s]` in units of full scale at `rate_hz`, or int16 counts;
            or a sequence of `[s]` of any lengths; or one `[s]`.

        Raises:
          sigjax.data.audio.AudioError: Naming the wave, where it is empty, has several
            channels, or samples that are NaN or infinite.
        """
        raise NotImplementedError

    def score(
        self,
        waves: Waves | Embedded,
        *,
        machine: str | None = None,
        section: str | None = None,
        domain: str | None = None,
    ) -> SoundScores:
        """Scores waves, each as one clip.

        Args:
          waves: See `embed`.
          machine: Which machine they are of; not needed where only one is known.
          section: Which of its sections; not needed where it has one. Of a section that
            is not known, the score is the least by the machine's sections, that of the
            nearest, and the remark says so.
          domain: `"source"`, `"target"`, or None if that is not known.

        Raises:
          BundleError: The machine is not known, or several are and none is named.
          sigjax.data.audio.AudioError: See `embed`.
        """
        raise NotImplementedError

    def nearest(self, waves: Waves | Embedded) -> Nearest:
        """Which known machine each wave sounds most like, and whether like none."""
        raise NotImplementedError

    def anomaly_map(
        self,
        wave: np.ndarray,
        *,
        machine: str | None = None,
        section: str | None = None,
        steps: int = 32,
        smooth: float = 1.0,
    ) -> AnomalyMap:
        """Where in time and frequency the score of one wave comes from.

        Args:
          wave: `[s]`, see `embed`.
          machine: See `score`.
          section: See `score`.
          steps: Of the integral from the baseline to the wave.
          smooth: Standard deviation of a Gaussian over frames and bands; 0 for none.
            It moves values to neighbours and keeps their sum.
        """
        raise NotImplementedError

    def fit(
        self,
        waves: Waves,
        *,
        machine: str,
        section: str = "00",
        domain: str | Sequence[str] = "source",
        backend: str | Mapping[str, Any] = "knn",
        false_alarms_per_day: float = 24.0,
        hop_s: float | None = None,
    ) -> "SoundDetector":
        """A detector that also knows another machine; nothing is trained.

        Args:
          waves: Normal sound, any number of recordings of any length.
          machine: Its name.
          section: Which one of its kind.
          domain: Of all recordings, or of each.
          backend: Name of a back-end, or a mapping of its name and settings.
          false_alarms_per_day: That the threshold may give.
          hop_s: Seconds from one scored clip to the next in use; `clip_s` by default.

        Raises:
          BundleError: There is too little sound for any threshold.
        """
        raise NotImplementedError

    def held_out(self, machine: str, section: str) -> np.ndarray:
        """Float64 `[n]`: scores of normal clips by a model that was fitted without them.

        The thresholds are made of them; limits of drift can be, too.
        """
        raise NotImplementedError

    def with_alarms(
        self, *, false_alarms_per_day: float | None = None, hop_s: float | None = None
    ) -> "SoundDetector":
        """The same detector with thresholds for other false alarms or another hop."""
        raise NotImplementedError

    def save(self, path: epath.PathLike) -> None:
        """Writes a bundle that `sigjax.load` reads, replacing one that is there."""
        raise NotImplementedError
