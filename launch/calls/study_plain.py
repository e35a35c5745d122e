"""The bars: what scikit-learn makes of librosa's MFCCs, and of numbers that say little.

Of digits: means of 20 MFCCs in five parts of a call, in order, or their means and
standard deviations, which know no order, as a probe's features do not; a support vector
machine with C = 10. Of ESC-10 the bar of `launch.event_study`: statistics of log-mels
and MFCCs, a machine whose penalty the training folds choose. The controls see duration
and level alone.
"""

import functools
from collections.abc import Mapping

import numpy as np

from launch.audio_events import study_data as event_data
from launch.audio_events import study_plain as event_plain
from launch.calls.study_data import FSDD, StudyCalls, StudyError
from sigjax.data import audio

SEGMENTS, MOMENTS = "MFCC, 5 segments", "MFCC, mean and sd"
EVENTS = "log-mel + MFCC statistics"
TRIVIAL = {
    FSDD: "duration, level, peak: SVM",
    "esc10": "duration, level, silence: forest",
}
# What stands for "MFCC" in a fusion.
RICH = {FSDD: SEGMENTS, "esc10": EVENTS}
_RATE_HZ, _MFCC, _MELS, _WINDOW, _HOP, _PARTS = 8_000, 20, 40, 256, 80, 5
_PENALTY = 10.0


def machine(features: str) -> str:
    """What the support vector machine on some features is called."""
    return f"{features}: SVM"


@functools.cache
def features(calls: StudyCalls) -> Mapping[str, np.ndarray]:
    """Features `[n, d]` by name; those of `TRIVIAL` last.

    Raises:
      StudyError: librosa is not installed.
    """
    try:
        import librosa
    except ImportError as error:
        raise StudyError(
            "the bars take librosa's features: pip install librosa, or leave `plain`"
            " out of --parts"
        ) from error
    if calls.name != FSDD:
        rich, trivial = event_plain.features(_as_clips(calls))
        return {EVENTS: rich, TRIVIAL[calls.name]: trivial}
    parts, moments, trivial = [], [], []
    for path in calls.paths():
        wave, _ = audio.read(path, rate_hz=_RATE_HZ)
        found = librosa.feature.mfcc(
            y=wave,
            sr=_RATE_HZ,
            n_mfcc=_MFCC,
            n_fft=_WINDOW,
            hop_length=_HOP,
            n_mels=_MELS,
        )
        every = np.array_split(found, _PARTS, axis=1)
        parts.append(np.concatenate([part.mean(axis=1) for part in every]))
        moments.append(np.concatenate([found.mean(axis=1), found.std(axis=1)]))
        level = np.log(np.sqrt(np.mean(np.square(wave, dtype=np.float64))) + 1e-9)
        trivial.append([len(wave) / _RATE_HZ, level, np.abs(wave).max()])
    named = {SEGMENTS: parts, MOMENTS: moments, TRIVIAL[FSDD]: trivial}
    return {name: np.array(rows) for name, rows in named.items()}


def predict(calls: StudyCalls, train: np.ndarray) -> dict[str, np.ndarray]:
    """Classes of all calls by machines that were fitted on some.

    Args:
      calls: All.
      train: Int `[m]`, rows to fit on.

    Returns:
      Int `[n]` by name.
    """
    found, label = features(calls), calls.label
    if calls.name != FSDD:
        chosen = np.isin(np.arange(len(label)), train)
        clips, values = _as_clips(calls), tuple(found.values())
        said = event_plain.predict(clips, (values[0], values[1]), chosen)
        return {
            machine(EVENTS): said[event_plain.SVM],
            TRIVIAL[calls.name]: said[event_plain.TRIVIAL],
        }
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    said = {}
    for name, values in found.items():
        fitted = make_pipeline(StandardScaler(), SVC(C=_PENALTY))
        fitted.fit(values[train], label[train])
        own = name if name == TRIVIAL[FSDD] else machine(name)
        said[own] = fitted.predict(values)
    return said


def _as_clips(calls: StudyCalls) -> event_data.EventClips:
    """What `launch.event_study` takes; its networks alone need the waves."""
    return event_data.EventClips(
        path=tuple(map(str, calls.paths())),
        name=calls.classes,
        label=calls.label,
        fold=np.array([calls.units.index(unit) + 1 for unit in calls.unit]),
        source=np.array([call.source for call in calls.manifest.calls]),
        wave=np.zeros((len(calls.unit), 0), np.int16),
        fingerprint=calls.fingerprint,
    )
