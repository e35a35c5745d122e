"""The bar: what scikit-learn makes of statistics of log-mel and MFCC.

Features as anybody would compute them with librosa, a support vector machine whose
penalty an inner cross-validation chooses; and three numbers that say how much the level
and the padding of the clips give away.
"""

from collections.abc import Mapping

import numpy as np

from launch.audio_events.study_data import EventClips, StudyError
from sigjax.data import audio

_RATE_HZ = 22_050
_MELS, _MFCC = 64, 20
# Below it a sample counts as silence.
_SILENT = 1e-4
_PENALTIES = (0.1, 1.0, 10.0, 100.0)
_TREES = 500
SVM, TRIVIAL = "log-mel + MFCC statistics, SVM", "duration, level, silence: forest"


def features(clips: EventClips) -> tuple[np.ndarray, np.ndarray]:
    """Statistics of log-mel and MFCC `[n d]`, and the three trivial numbers `[n 3]`.

    Raises:
      StudyError: librosa is not installed.
    """
    try:
        import librosa
    except ImportError as error:
        raise StudyError(
            "the plain bar takes librosa's features: pip install librosa, or leave"
            " `plain` out of --variants"
        ) from error
    rows, trivial = [], []
    for path in clips.path:
        wave, _ = audio.read(path, rate_hz=_RATE_HZ, channel="mean")
        mel = librosa.feature.melspectrogram(y=wave, sr=_RATE_HZ, n_mels=_MELS)
        level = librosa.power_to_db(mel)
        mfcc = librosa.feature.mfcc(S=level, sr=_RATE_HZ, n_mfcc=_MFCC)
        moving = np.concatenate([mfcc, librosa.feature.delta(mfcc)])
        rows.append(np.concatenate([_of_levels(level), *_moments(moving)]))
        power = np.sqrt(np.mean(np.square(wave, dtype=np.float64)))
        silent = np.mean(np.abs(wave) < _SILENT)
        trivial.append([len(wave) / _RATE_HZ, 20 * np.log10(power + 1e-9), silent])
    return np.array(rows), np.array(trivial)


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x.mean(axis=1), x.std(axis=1)


def _of_levels(level: np.ndarray) -> np.ndarray:
    """Mean, spread, spread of steps, and two quantiles of each band."""
    steps = np.diff(level, axis=1).std(axis=1)
    low, high = np.quantile(level, [0.1, 0.9], axis=1)
    return np.concatenate([*_moments(level), steps, low, high])


def predict(
    clips: EventClips, found: tuple[np.ndarray, np.ndarray], train: np.ndarray
) -> Mapping[str, np.ndarray]:
    """Classes of all clips by what was fitted on some.

    Args:
      clips: All.
      found: What `features` gave.
      train: Bool `[n]`, clips to fit on; their folds choose the penalty.

    Returns:
      Int `[n]` by `SVM` and `TRIVIAL`.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    rich, trivial = found
    machine = GridSearchCV(
        make_pipeline(StandardScaler(), SVC()),
        {"svc__C": list(_PENALTIES)},
        cv=LeaveOneGroupOut(),
    )
    forest = RandomForestClassifier(_TREES, random_state=0)
    label = clips.label
    machine.fit(rich[train], label[train], groups=clips.fold[train])
    forest.fit(trivial[train], label[train])
    return {SVM: machine.predict(rich), TRIVIAL: forest.predict(trivial)}
