"""The study's detectors: what is fitted on normal sounds, and its scores of all."""

import numpy as np

from launch.sounds.study_data import Sounds
from launch.sounds.study_networks import Said, spectrograms
from sigjax.evals.anomaly.controls import UNTRAINED, untrained
from sigjax.evals.anomaly.per_section import Bank, PerSection
from sigjax.signal.mel import MelConfig

# As they are by default: nothing was chosen among settings.
BACKENDS = {
    "confidence": "confidence",
    "Mahalanobis": "mahalanobis",
    "kNN": {"name": "knn", "k": 1},
    "k-means": "kmeans",
    "GMM": "gmm",
    "LOF": "lof",
    "local density": "local_density",
    "min-z": {
        "name": "min_z",
        "members": ["knn", "local_density", "mahalanobis"],
    },
}
_MSE = {"name": "one_number", "number": "column", "column": 0, "tail": "high"}
_RESIDUALS = {
    "selective Mahalanobis": "selective_mahalanobis",
    "selective Mahalanobis per frame": {
        "name": "selective_mahalanobis",
        "form": "per_frame",
    },
}
_PLAIN_KNN = {"name": "knn", "k": 1, "metric": "euclidean"}
_STACKED = 5  # Frames of a vector of PCA, as of the autoencoder.
Scores = dict[str, np.ndarray]


def of_classifier(
    said: Said,
    label: np.ndarray,
    train: np.ndarray,
    *,
    by_class: bool,
    confidence: bool = True,
) -> Scores:
    """Every back-end on a classifier's embeddings; no test sound tells its class.

    Args:
      said: Of all sounds.
      label: Text `[n]`, the class of those trained on.
      train: Bool `[n]`, what back-ends are fitted on.
      by_class: One model for each class, and the least of their scores; otherwise one
        of all. Confidence is of a class in any case.
      confidence: Whether the classes are the network's own.

    Returns:
      By back-end, float64 `[n]`.
    """
    section = np.where(train, label, "")
    bank = Bank(section=section, embedding=said.embedding, logits=said.logits)
    asked = Bank(
        section=np.full(len(section), "?"),
        embedding=said.embedding,
        logits=said.logits,
    )
    found = {}
    for name, description in BACKENDS.items():
        if name == "confidence" and not confidence:
            continue
        each = by_class or name == "confidence"
        detector = PerSection(description, scope="section" if each else "machine")
        found[name] = detector.fit(bank.take(train)).score(asked).score
    return found


def by_section(said: Said, section: np.ndarray, train: np.ndarray) -> dict[str, Scores]:
    """Every back-end fitted for each section, and each section's scores of all sounds.

    Args:
      said: Of all sounds.
      section: Text `[n]`.
      train: Bool `[n]`.

    Returns:
      By back-end and section, float64 `[n]`.
    """
    columns = {"embedding": said.embedding, "logits": said.logits}
    fitted = Bank(section=section, **columns).take(train)
    names = np.unique(section).tolist()
    found: dict[str, Scores] = {}
    for name, description in BACKENDS.items():
        detector = PerSection(description).fit(fitted)
        found[name] = {
            own: detector.score(
                Bank(section=np.full(len(section), own), **columns)
            ).score
            for own in names
        }
    return found


def of_autoencoder(said: Said, train: np.ndarray) -> Scores:
    """The clip's error, and both selective Mahalanobis scores of its residuals."""
    section = np.full(len(train), "")
    bank = Bank(section=section, embedding=said.embedding, residual=said.residual)
    found = {}
    for name, description in {"MSE": _MSE, **_RESIDUALS}.items():
        detector = PerSection(description).fit(bank.take(train))
        found[name] = detector.score(bank).score
    return found


def log_mel_statistics(spectrogram: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each band over time, `[n t f]` to `[n 2f]`."""
    x = spectrogram.astype(np.float64)
    return np.concatenate([x.mean(axis=1), x.std(axis=1)], axis=1)


def no_network(spectrogram: np.ndarray, train: np.ndarray) -> Scores:
    """What needs no network: statistics of bands, and principal components.

    Args:
      spectrogram: `[n t f]`, in dB.
      train: Bool `[n]`, the normal ones.

    Returns:
      By name, float64 `[n]`.
    """
    x = log_mel_statistics(spectrogram)
    spread = x[train].std(axis=0)
    x = (x - x[train].mean(axis=0)) / np.where(spread > 0, spread, 1)
    section = np.full(len(train), "")
    found = {}
    for name, description in {
        "log-mel, kNN": _PLAIN_KNN,
        "log-mel, Mahalanobis": "mahalanobis",
    }.items():
        bank = Bank(section=section, embedding=x)
        found[name] = PerSection(description).fit(bank.take(train)).score(bank).score
    return found | principal_components(spectrogram, train)


def one_number(sounds: Sounds) -> Scores:
    """Crest factor and kurtosis of the normalised sound, level of the raw one."""
    shape = np.stack([untrained(wave) for wave in sounds.wave]).T
    level = np.stack([untrained(wave) for wave in sounds.raw]).T
    return {
        "kurtosis": shape[UNTRAINED.index("kurtosis")],
        "crest factor": shape[UNTRAINED.index("crest")],
        "raw loudness": level[UNTRAINED.index("level_db")],
    }


def level_and_length(sounds: Sounds, train: np.ndarray) -> np.ndarray:
    """Nearest neighbour in level, share of silence and length: what padding tells."""
    recordings = [sounds.recordings[row] for row in sounds.row]
    numbers = np.stack([untrained(r.wave) for r in recordings])
    at = [UNTRAINED.index(name) for name in ("level_db", "silence")]
    length = np.array([[len(r.wave)] for r in recordings], float)
    x = np.concatenate([numbers[:, at], length], axis=1)
    spread = x[train].std(axis=0)
    x = (x - x[train].mean(axis=0)) / np.where(spread > 0, spread, 1)
    bank = Bank(section=np.full(len(train), ""), embedding=x)
    return PerSection(_PLAIN_KNN).fit(bank.take(train)).score(bank).score


def principal_components(spectrogram: np.ndarray, train: np.ndarray) -> Scores:
    """Mean squared error of five frames from 8 and 32 components, float64 `[n]`."""
    from sklearn.decomposition import PCA

    count = spectrogram.shape[1] - _STACKED + 1
    stacked = np.concatenate(
        [spectrogram[:, i : i + count] for i in range(_STACKED)], axis=-1
    ).astype(np.float64)
    rows = stacked[train].reshape(-1, stacked.shape[-1])
    model = PCA(32, svd_solver="covariance_eigh").fit(rows)
    # The error of k components is what their coordinates leave of the length.
    centred = stacked - model.mean_
    length = np.square(centred).sum(axis=-1)
    coordinate = np.square(centred @ np.asarray(model.components_).T)
    return {
        f"PCA-{k}": (length - coordinate[..., :k].sum(axis=-1)).mean(axis=1)
        for k in (8, 32)
    }


def mel_of(top_db: float | None = None) -> MelConfig:
    """64 bands: the baselines' features."""
    return MelConfig(rate_hz=16_000, n_mels=64, top_db=top_db)


def spectrograms_of(sounds: Sounds, mel: MelConfig) -> np.ndarray:
    """Log-mel of normalised sounds."""
    return spectrograms(sounds.wave, mel)
